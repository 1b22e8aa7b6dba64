"""Loss functions with PyTorch's names, signatures and reductions."""

from __future__ import annotations

import warnings
from typing import Any

import squall as sq
from squall.base.errors import ArgumentError
from squall.frontend.autocast import full_precision
from squall.nn.functional.activation import log_softmax
from squall.nn.functional.core import (
    DtypeError,
    Native,
    ShapeError,
    apply,
    check_floating,
    check_reduction,
    check_tensor,
    ops,
    reduce_loss,
)
from squall.nn.functional.linear import linear
from squall.nn.functional.old_reductions import chosen_reduction


def _with_classes(function: str, input: Any, target: Any, weight: Any) -> tuple:
    """The operands, after checking that class numbers fit logits of shape (batch, classes, ...) or
    (classes,)."""
    check_floating(function, "input", input)
    check_tensor(function, "target", target)
    if input.dim() == 0:
        raise ShapeError(f"{function}: argument 'input' must have at least 1 dimension, the classes")
    expected = tuple(input.shape[:1]) + tuple(input.shape[2:]) if input.dim() > 1 else ()
    if tuple(target.shape) != expected:
        raise ShapeError(
            f"{function}: argument 'target' must have shape {expected} for 'input' of shape {tuple(input.shape)}, "
            f"got {tuple(target.shape)}"
        )
    if target.dtype not in (sq.int64, sq.int32, sq.uint8):
        raise DtypeError(f"{function}: argument 'target' must hold int64 class numbers, got {target.dtype}")
    target = target.to(sq.int64)
    if weight is None:
        return input, target
    classes = input.shape[1] if input.dim() > 1 else input.shape[0]
    if tuple(weight.shape) != (classes,):
        raise ShapeError(f"{function}: argument 'weight' must have shape ({classes},), got {tuple(weight.shape)}")
    return input, target, weight


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Negative log likelihood of softmax(input).

    Args:
        input: logits of shape (batch, classes, ...) or (classes,). target: int64 class numbers without the
            class dimension, or probabilities of the input's shape. weight: shape (classes,) or None.
            ignore_index: a target that counts not. reduction: "mean" (over what counts), "sum" or "none".
            label_smoothing: in [0, 1]. size_average, reduce: older names of reductions.

    Raises:
        ShapeError, DtypeError, ValueError; IndexRangeError when evaluated, for a class number outside.

    Example:
        >>> import squall as sq
        >>> round(sq.nn.functional.cross_entropy(sq.zeros(2, 10), sq.tensor([3, 7])).item(), 4)
        2.3026
    """
    if size_average is not None or reduce is not None:
        reduction = chosen_reduction(size_average, reduce, reduction)
    return Native.call(_cross_entropy, input, target, weight, ignore_index, reduction, label_smoothing)


@full_precision
def _cross_entropy(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float
) -> Any:
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    check_reduction("cross_entropy", reduction)
    check_tensor("cross_entropy", "target", target)
    if target.is_floating_point() and tuple(target.shape) == tuple(input.shape):
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    operands = _with_classes("cross_entropy", input, target, weight)
    options = {"ignore_index": int(ignore_index), "label_smoothing": float(label_smoothing)}
    return apply(ops.cross_entropy, operands, **options, reduction=reduction)


def _soft_cross_entropy(input: Any, target: Any, weight: Any, reduction: str, smoothing: float) -> Any:
    """Cross entropy against probabilities; the mean is over the batch."""
    dim = 1 if input.dim() > 1 else 0
    classes = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    logs = log_softmax(input, dim)
    if weight is not None:
        logs = logs * weight.view((1, -1) + (1,) * (input.dim() - 2) if dim else (-1,))
    loss = -(logs * target).sum(dim)
    return (
        loss.sum() / max(loss.numel(), 1)
        if reduction == "mean"
        else reduce_loss("cross_entropy", loss, reduction)
    )


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Negative log likelihood of given log probabilities; arguments as `cross_entropy`."""
    if size_average is not None or reduce is not None:
        reduction = chosen_reduction(size_average, reduce, reduction)
    return Native.call(_nll_loss, input, target, weight, ignore_index, reduction)


@full_precision
def _nll_loss(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    check_reduction("nll_loss", reduction)
    operands = _with_classes("nll_loss", input, target, weight)
    return apply(ops.nll_loss, operands, ignore_index=int(ignore_index), reduction=reduction)


def _same_shape(function: str, input: Any, target: Any) -> None:
    check_tensor(function, "input", input)
    check_tensor(function, "target", target)
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            f"{function}: argument 'target' of shape {tuple(target.shape)} must have the shape of 'input', "
            f"{tuple(input.shape)}; expand it if broadcasting is meant"
        )


def _pointwise(function: str, op: Any, input: Any, target: Any, reduction: str, **options: Any) -> Any:
    """An elementwise loss of two Tensors of one shape."""
    check_reduction(function, reduction)
    _same_shape(function, input, target)
    return apply(op, (input, target), reduction=reduction, **options)


def _broadcast(function: str, input: Any, target: Any) -> tuple:
    """Both Tensors in their common shape, with a warning where they differ: that is almost always a mistake."""
    check_tensor(function, "input", input)
    check_tensor(function, "target", target)
    if tuple(input.shape) == tuple(target.shape):
        return input, target
    warnings.warn(
        f"{function}: using a target size ({target.shape}) that is different to the input size ({input.shape}). "
        "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=3,
    )
    return sq.broadcast_tensors(input, target)


def mse_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The squared difference.

    Args:
        input, target: Tensors of one shape; others are broadcast with a warning. reduction: "mean", "sum" or
            "none". weight: multiplies each element; the mean is then over the weights. size_average, reduce:
            older names of reductions.
    """
    if size_average is not None or reduce is not None:
        reduction = chosen_reduction(size_average, reduce, reduction)
    return Native.call(_mse_loss, input, target, reduction, weight)


@full_precision
def _mse_loss(input: Any, target: Any, reduction: str, weight: Any) -> Any:
    input, target = _broadcast("mse_loss", input, target)
    return _weighed("mse_loss", ops.mse_loss, input, target, reduction, weight)


def _weighed(
    function: str, op: Any, input: Any, target: Any, reduction: str, weight: Any, **options: Any
) -> Any:
    """An elementwise loss, multiplied by weights where there are some."""
    if weight is None:
        return _pointwise(function, op, input, target, reduction, **options)
    check_reduction(function, reduction)
    if tuple(weight.shape) != tuple(input.shape):
        raise ShapeError(
            f"{function}: argument 'weight' of shape {tuple(weight.shape)} must have the shape of the input, "
            f"{tuple(input.shape)}"
        )
    loss = _pointwise(function, op, input, target, "none", **options) * weight
    return loss.sum() / weight.sum() if reduction == "mean" else reduce_loss(function, loss, reduction)


@full_precision
def l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The absolute difference; arguments as `mse_loss`."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    input, target = _broadcast("l1_loss", input, target)
    if input.is_complex() or target.is_complex():  # distances in the complex plane
        input = (input - target).abs()
        target = sq.zeros_like(input)
    return _weighed("l1_loss", ops.l1_loss, input, target, reduction, weight)


@full_precision
def smooth_l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """Squared below beta (0.5 d^2 / beta), absolute above (d - beta / 2); otherwise as `mse_loss`."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta={beta} must not be negative")
    input, target = _broadcast("smooth_l1_loss", input, target)
    if beta == 0:
        return _pointwise("l1_loss", ops.l1_loss, input, target, reduction)
    return _pointwise("smooth_l1_loss", ops.smooth_l1_loss, input, target, reduction, beta=float(beta))


@full_precision
def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """Squared below delta (0.5 d^2), linear above (delta * (d - delta / 2)); otherwise as `mse_loss`."""
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta={delta} must be positive")
    input, target = _broadcast("huber_loss", input, target)
    return _weighed("huber_loss", ops.huber_loss, input, target, reduction, weight, delta=float(delta))


@full_precision
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Cross entropy of probabilities in [0, 1]; the logarithms are at least -100."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    function = "binary_cross_entropy"
    if weight is None:
        return _pointwise(function, ops.bce_loss, input, target, reduction)
    return reduce_loss(function, _pointwise(function, ops.bce_loss, input, target, "none") * weight, reduction)


@full_precision
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", pos_weight: Any = None,
) -> Any:
    """Cross entropy of sigmoid(input) against probabilities, without overflow.

    Args:
        input, target: Tensors of one shape. weight: rescales each element. pos_weight: weight of positive
            examples, broadcast over the last dimension. size_average, reduce: older names of reductions.
    """
    if size_average is not None or reduce is not None:
        reduction = chosen_reduction(size_average, reduce, reduction)
    function = "binary_cross_entropy_with_logits"
    if weight is None and pos_weight is None:
        return Native.call(_bce_with_logits, input, target, reduction)
    if pos_weight is None:
        loss = _pointwise(function, ops.bce_with_logits, input, target, "none")
    else:
        _same_shape(function, input, target)
        scale = (pos_weight - 1) * target + 1
        loss = (1 - target) * input - scale * apply(ops.log_sigmoid, (input,))
    return reduce_loss(function, loss if weight is None else loss * weight, reduction)


@full_precision
def _bce_with_logits(input: Any, target: Any, reduction: str) -> Any:
    return _pointwise("binary_cross_entropy_with_logits", ops.bce_with_logits, input, target, reduction)


@full_precision
def kl_div(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """Divergence of target from input, which holds log probabilities; the two broadcast.

    Args:
        reduction: "batchmean" (the sum over the first size: the mathematical value), "mean", "sum" or "none".
            log_target: whether the target holds log probabilities too.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    whole = "sum" if reduction == "batchmean" else reduction
    batch = input.shape[0] if input.dim() else 1
    if tuple(input.shape) != tuple(target.shape):
        input, target = sq.broadcast_tensors(input, target)
    loss = _pointwise("kl_div", ops.kl_div, input, target, whole, log_target=bool(log_target))
    return loss / batch if reduction == "batchmean" else loss


def _check_linear(input: Any, weight: Any, bias: Any) -> None:
    """ShapeError unless the input ends in the last size of the weight, and the bias has its other sizes."""
    shape = tuple(weight.shape)
    if weight.dim() < 2:
        raise ShapeError(
            f"linear_cross_entropy: argument 'linear_weight' must have at least 2 dimensions, got shape {shape}"
        )
    if input.dim() < 1 or input.shape[-1] != shape[-1]:
        raise ShapeError(
            f"linear_cross_entropy: argument 'input' of shape {tuple(input.shape)} must end in the last size of "
            f"'linear_weight' of shape {shape}"
        )
    if weight.dim() > 2 and input.dim() < 2:
        raise ShapeError(
            f"linear_cross_entropy: argument 'linear_weight' of shape {shape} asks for several targets a sample, so "
            f"'input' must have a batch dimension, (N, {shape[-1]}), got shape {tuple(input.shape)}"
        )
    if bias is not None and tuple(bias.shape) != shape[:-1]:
        raise ShapeError(
            f"linear_cross_entropy: argument 'linear_bias' must have shape {shape[:-1]}, got {tuple(bias.shape)}"
        )


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Any:
    """`cross_entropy` of a linear map of the input, as one expression.

    Args:
        input: shape (..., in). linear_weight: shape (classes, in), or (classes, d1, ..., in) for several targets a
            sample. target, weight, reduction, label_smoothing: as for `cross_entropy`. linear_bias: of
            linear_weight's shape without the last size, or None. ignore_index: -100 for None. options: accepted
            as in PyTorch, where they choose a strategy.
    """
    _check_linear(input, linear_weight, linear_bias)
    if ignore_index is not None and target.is_floating_point():
        raise ArgumentError("linear_cross_entropy: argument 'ignore_index' goes with class numbers only")
    classes, *inner = linear_weight.shape[:-1]
    logits = linear(input, linear_weight.reshape(-1, linear_weight.shape[-1]),
                    None if linear_bias is None else linear_bias.reshape(-1))
    logits = logits.reshape(*input.shape[:-1], classes, *inner)
    return cross_entropy(
        logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index, reduction=reduction,
        label_smoothing=label_smoothing,
    )
