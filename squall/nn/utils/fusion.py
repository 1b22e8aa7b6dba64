"""A convolution or linear layer and the normalisation after it as one layer, for evaluation."""

from __future__ import annotations

import copy
from typing import Any

import squall as sq
from squall.nn.parameter import Parameter


def fuse_conv_bn_weights(
    conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any,
    transpose: bool = False,
) -> tuple[Any, Any]:
    """Weight and bias of a convolution that does what it and a batch normalisation after it did.

    Args:
        conv_w, conv_b: of the convolution; the bias may be None. bn_rm, bn_rv, bn_eps, bn_w, bn_b: running mean and
            variance, eps, scale and shift; the last two may be None. transpose: whether the convolution is transposed.
    """
    with sq.no_grad():
        scale = (bn_rv + bn_eps).rsqrt()
        scale = scale if bn_w is None else bn_w * scale
        shape = [1] * conv_w.dim()
        shape[1 if transpose else 0] = -1
        bias = sq.zeros_like(bn_rm) if conv_b is None else conv_b
        bias = (bias - bn_rm) * scale
        bias = bias if bn_b is None else bias + bn_b
        return Parameter((conv_w * scale.view(shape)).to(conv_w.dtype)), Parameter(bias.to(conv_w.dtype))


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A new convolution that does what both did.

    Args:
        conv, bn: evaluating. transpose: whether the convolution is transposed.

    Raises:
        ValueError: when one of them is training: its normalisation is then the batch's.

    Example:
        >>> import squall as sq
        >>> conv, bn = sq.nn.Conv2d(3, 4, 1).eval(), sq.nn.BatchNorm2d(4).eval()
        >>> x = sq.randn(1, 3, 2, 2)
        >>> sq.allclose(fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=1e-6)
        True
    """
    if conv.training or bn.training:
        raise ValueError("Fusion only for eval!")
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Any, Any]:
    """Weight and bias of a linear layer that does what it and a batch normalisation after it did."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A new linear layer that does what it and the BatchNorm1d after it did; both evaluating."""
    return fuse_conv_bn_eval(linear, bn)
