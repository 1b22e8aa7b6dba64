"""Normalisation that also gives the statistics it found: PyTorch's `native_layer_norm` and its kin.

`nn.functional` and the layers use `normalization`, which keeps no statistics nobody reads.
"""

from __future__ import annotations

from math import prod
from typing import Any

import squall as sq
from squall.frontend.declaring import with_out
from squall.nn.functional.core import ShapeError, check_floating
from squall.nn.functional.normalization import batch_norm, by_batch, group_norm, layer_norm


def native_layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> tuple:
    """(`layer_norm`, mean of each row, one over its standard deviation); no gradient flows through the last two.

    Args:
        input: shape (..., *normalized_shape). weight, bias: shape normalized_shape, or None. eps: added to the
            variance.
    """
    out = layer_norm(input, normalized_shape, weight, bias, eps)
    dims = tuple(range(input.dim() - len(tuple(normalized_shape)), input.dim()))
    rows = input.detach()
    return out, rows.mean(dims, True), (rows.var(dims, correction=0, keepdim=True) + eps).rsqrt()


def native_group_norm(input: Any, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float) -> tuple:
    """(`group_norm`, mean of each group, one over its standard deviation).

    Args:
        input: shape (N, C, ...) with HxW elements a channel. weight, bias: shape (C,), or None. group: divides C.

    Raises:
        ShapeError: unless N, C and HxW are the input's.
    """
    check_floating("native_group_norm", "input", input)
    shape = tuple(input.shape)
    if shape[:2] != (N, C) or prod(shape[2:]) != HxW:
        raise ShapeError(f"native_group_norm: N={N}, C={C}, HxW={HxW} do not describe 'input' of shape {shape}")
    out = group_norm(input, group, weight, bias, eps)
    groups = input.reshape(N, group, prod(shape[1:]) // group)
    return out, groups.mean(-1), (groups.var(-1, correction=0) + eps).rsqrt()


@with_out
def native_batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool,
                      momentum: float, eps: float) -> tuple:
    """(`batch_norm`, mean of each channel, one over its standard deviation); the last two are empty unless training.

    Args:
        input: shape (batch, channels, ...). weight, bias, running_mean, running_var: shape (channels,), or None.
        training: whether the batch's own statistics are used, and the running ones moved by momentum. eps: added to
        the variance.
    """
    check_floating("native_batch_norm", "input", input)
    if not training:
        out = batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        return out, sq.empty(0, dtype=input.dtype), sq.empty(0, dtype=input.dtype)
    out, mean, variance = by_batch(input, running_mean, running_var, weight, bias, momentum, eps)
    given = [t for t in (weight, running_mean) if t is not None]
    kind = mean.dtype if any(t.dtype is mean.dtype for t in given) else input.dtype
    return out, mean.to(kind), (variance + eps).rsqrt().to(kind)
