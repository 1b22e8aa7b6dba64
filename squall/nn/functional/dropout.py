"""Dropout in its forms: of elements, of channels, and those that keep mean and variance of SELU networks."""

from __future__ import annotations

import warnings
from typing import Any

import squall as sq
from squall.frontend.arithmetic import in_place
from squall.frontend.core import wrap
from squall.nn.functional.core import apply, check_tensor, ops

# What SELU gives for very negative inputs: -scale * alpha.
_LIMIT = -1.7580993408473766


def _check(function: str, input: Any, p: float) -> None:
    check_tensor(function, "input", input)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{function}: dropout probability has to be between 0 and 1, but got {p}")


def _placed(function: str, input: Any, result: Any, inplace: bool) -> Any:
    return in_place(input, result, function) if inplace else result


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero each element with probability p and scale the others by 1 / (1 - p).

    Args:
        p: in [0, 1]. training: when False the input is given back. inplace: write over the input.
    """
    _check("dropout", input, p)
    if not training or p == 0.0:
        return input
    seed, offset = sq.default_generator.take(input.numel())
    result = apply(ops.dropout, (input, wrap(seed), wrap(offset)), p=float(p))
    return _placed("dropout", input, result, inplace)


def _by_channel(function: str, input: Any, p: float, training: bool, inplace: bool, batched: bool) -> Any:
    """Dropout of whole channels: one draw for each sample and channel."""
    _check(function, input, p)
    if not training or p == 0.0:
        return input
    lead = 2 if batched else 1
    shape = tuple(input.shape[:lead]) + (1,) * (input.dim() - lead)
    return _placed(function, input, input * dropout(sq.ones(shape, dtype=input.dtype), p), inplace)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (batch, channels, length) or (channels, length) with probability p."""
    check_tensor("dropout1d", "input", input)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that dropout1d exists "
            "to provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an "
            "optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _by_channel("dropout1d", input, p, training, inplace, input.dim() == 3)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (batch, channels, height, width) with probability p.

    Three dimensions are taken as (batch, channels, length), as PyTorch does.
    """
    check_tensor("dropout2d", "input", input)
    if input.dim() not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {input.dim()}-D input to dropout2d, which is deprecated and will result in an "
            "error in a future release. To retain the behavior and silence this warning, please use dropout instead.",
            stacklevel=2,
        )
    return _by_channel("dropout2d", input, p, training, inplace, True)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (batch, channels, depth, height, width), or of that without the batch."""
    check_tensor("dropout3d", "input", input)
    if input.dim() not in (4, 5):
        warnings.warn(
            f"dropout3d: Received a {input.dim()}-D input to dropout3d, which is deprecated and will result in an "
            "error in a future release. To retain the behavior and silence this warning, please use dropout instead.",
            stacklevel=2,
        )
    return _by_channel("dropout3d", input, p, training, inplace, input.dim() != 4)


def _keeping(function: str, input: Any, shape: tuple, p: float, inplace: bool) -> Any:
    """Elements become SELU's lower limit with probability p; all are then scaled and moved so that mean 0 and
    variance 1 stay."""
    if p == 1.0:
        return _placed(function, input, input * 0.0, inplace)
    kept = (sq.rand(shape) >= p).to(input.dtype)
    scale = ((1 - p) * (1 + p * _LIMIT * _LIMIT)) ** -0.5
    shift = -scale * _LIMIT * p
    return _placed(function, input, (input * kept + _LIMIT * (1 - kept)) * scale + shift, inplace)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps the mean and variance of SELU networks: elements go to SELU's lower limit instead of
    0, then all are rescaled."""
    _check("alpha_dropout", input, p)
    if not training or p == 0.0:
        return input
    return _keeping("alpha_dropout", input, tuple(input.shape), p, inplace)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """`alpha_dropout` of whole channels (dimension 1)."""
    _check("feature_alpha_dropout", input, p)
    if not training or p == 0.0:
        return input
    if input.dim() < 2:
        raise RuntimeError("feature_alpha_dropout: Feature dropout requires at least 2 dimensions in the input")
    shape = tuple(input.shape[:2]) + (1,) * (input.dim() - 2)
    return _keeping("feature_alpha_dropout", input, shape, p, inplace)
