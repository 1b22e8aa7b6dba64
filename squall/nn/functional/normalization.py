"""Normalisation over rows, groups of channels, or the batch."""

from __future__ import annotations

from math import prod
from typing import Any

import squall as sq
from squall.frontend.core import wrap
from squall.frontend.out import into
from squall.nn.functional.core import Native, ShapeError, apply, check_floating, check_tensor, ops
from squall.ops.slicing import position


def _trailing(function: str, input: Any, shape: Any, **weights: Any) -> int:
    """How many trailing dimensions are normalised, after checking that they and the weights fit."""
    check_floating(function, "input", input)
    shape = tuple(shape)
    if not shape or tuple(input.shape[input.dim() - len(shape) :]) != shape or input.dim() < len(shape):
        raise ShapeError(
            f"{function}: argument 'input' of shape {tuple(input.shape)} must end in normalized_shape={shape}"
        )
    for name, weight in weights.items():
        if weight is not None and tuple(weight.shape) != shape:
            raise ShapeError(
                f"{function}: argument '{name}' must have shape {shape}, got {tuple(weight.shape)}"
            )
    return len(shape)


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Each row less its mean, over its standard deviation, times weight, plus bias.

    Args:
        input: shape (..., *normalized_shape). weight, bias: shape normalized_shape, or None. eps: added to
        the variance.
    """
    return Native.call(_layer_norm, input, normalized_shape, weight, bias, eps)


def _layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    rank = _trailing("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return apply(
        ops.layer_norm,
        (input, *_affine(input, tuple(normalized_shape), weight, bias)),
        rank=rank,
        eps=float(eps),
    )


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """Each row over the root of its mean square, times weight; eps is the dtype's own by default."""
    return Native.call(_rms_norm, input, normalized_shape, weight, eps)


def _rms_norm(input: Any, normalized_shape: Any, weight: Any, eps: float | None) -> Any:
    if input.is_complex():
        return _complex_rms_norm(input, normalized_shape, weight, eps)
    rank = _trailing("rms_norm", input, normalized_shape, weight=weight)
    least = sq.finfo(input.dtype).eps if eps is None else float(eps)
    return apply(ops.rms_norm, (input,) if weight is None else (input, weight), rank=rank, eps=least)


def _complex_rms_norm(input: Any, normalized_shape: Any, weight: Any, eps: float | None) -> Any:
    """The same formula over complex numbers, whose squares are complex too, as in PyTorch."""
    dims = tuple(range(-len(tuple(normalized_shape)), 0))
    least = sq.finfo(input.real.dtype).eps if eps is None else float(eps)
    out = input * (input.square().mean(dims, True) + least).rsqrt()
    return out if weight is None else out * weight


def _affine(input: Any, shape: tuple, weight: Any, bias: Any) -> tuple:
    """The operands for scale and shift: none, the scale, or both."""
    if bias is None:
        return () if weight is None else (weight,)
    return sq.ones(shape, dtype=input.dtype) if weight is None else weight, bias


def _per_channel(function: str, input: Any, **values: Any) -> int:
    """The number of channels, after checking rank and the sizes of what belongs to channels."""
    check_floating(function, "input", input)
    if input.dim() < 2:
        raise ShapeError(
            f"{function}: argument 'input' must have at least 2 dimensions (batch, channels, ...), "
            f"got shape {tuple(input.shape)}"
        )
    channels = input.shape[1]
    for name, value in values.items():
        if value is not None and tuple(value.shape) != (channels,):
            raise ShapeError(
                f"{function}: argument '{name}' must have shape ({channels},) for 'input' of shape "
                f"{tuple(input.shape)}, got {tuple(value.shape)}"
            )
    return channels


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel less its mean, over its standard deviation, times weight, plus bias.

    Args:
        input: shape (batch, channels, ...). running_mean, running_var: shape (channels,) or None; used when
            not training, moved towards the batch's in place (the variance without bias) when training.
            weight, bias: shape (channels,) or None. momentum: how far the running statistics move. eps: added
            to the variance.

    Raises:
        ValueError: when training with a single value a channel.
    """
    if tuple(input.shape) == (0,):  # nothing, of which PyTorch makes nothing
        check_floating("batch_norm", "input", input)
        return input.clone()
    channels = _per_channel(
        "batch_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: evaluation needs running_mean and running_var")
        return _with_statistics(input, running_mean, running_var, weight, bias, eps)
    count = input.numel() // channels if channels else 0
    if isinstance(count, int) and count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {tuple(input.shape)}"
        )
    return by_batch(input, running_mean, running_var, weight, bias, momentum, eps)[0]


def by_batch(
    input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, momentum: Any, eps: float
) -> tuple[Any, Any, Any]:
    """Normalisation by the batch's own statistics, which move the running ones: (result, mean, variance without
    correction)."""
    channels = input.shape[1]
    count = input.numel() // channels if channels else 0
    operands = (input, *_affine(input, (channels,), weight, bias))
    out, mean, variance = apply(ops.batch_norm, operands, eps=float(eps))
    mean, variance = mean.detach(), variance.detach()
    if isinstance(count, int) and count == 0:
        return out, mean, variance
    with sq.no_grad():
        if running_mean is not None:
            running_mean.mul_(1 - momentum).add_(mean * momentum)
        if running_var is not None:
            running_var.mul_(1 - momentum).add_(variance * (momentum * _unbiased(count)))
    return out, mean, variance


def _unbiased(count: Any) -> Any:
    """count / (count - 1); where the count is symbolic a scalar Tensor, in float64 as Python divides."""
    if isinstance(count, int):
        return count / (count - 1) if count > 1 else float("nan")
    size = wrap(position(count)).to(sq.float64)
    return size / (size - 1)


def _with_statistics(input: Any, mean: Any, variance: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Normalisation by known statistics: one scale and one shift a channel."""
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (1, -1) + (1,) * (input.dim() - 2)
    return input * scale.view(shape) + shift.view(shape)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Each group of channels of each sample less its mean, over its standard deviation, times weight, plus
    bias.

    Args:
        input: shape (batch, channels, ...). num_groups: divides the channels. weight, bias: shape (channels,)
        or None.
    """
    channels = _per_channel("group_norm", input, weight=weight, bias=bias)
    if num_groups < 1 or channels % num_groups:
        raise ShapeError(
            f"group_norm: num_groups={num_groups} must divide the {channels} channels of 'input' of shape "
            f"{tuple(input.shape)}"
        )
    operands = (input, *_affine(input, (channels,), weight, bias))
    return apply(ops.group_norm, operands, groups=num_groups, eps=float(eps))


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each sample less its mean, over its standard deviation, times weight, plus bias.

    Args:
        input: shape (batch, channels, ...). running_mean, running_var: shape (channels,) or None; moved
            towards the mean over the batch of what is found in place, or used instead of it. weight, bias:
            shape (channels,) or None. use_input_stats: whether the samples' own statistics are used.
            momentum: how far the running statistics move. eps: added to the variance.

    Raises:
        ValueError: for a single value a channel and sample.
    """
    channels = _per_channel(
        "instance_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "instance_norm: Expected running_mean and running_var to be defined when use_input_stats=False"
            )
        return _with_statistics(input, running_mean, running_var, weight, bias, eps)
    batch, sizes = input.shape[0], tuple(input.shape[2:])
    count = prod(sizes)
    if isinstance(count, int) and count == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {tuple(input.shape)}"
        )
    rows = (input.float() if input.dtype.itemsize == 2 else input).reshape(1, batch * channels, *sizes)
    out, mean, variance = apply(ops.batch_norm, (rows,), eps=float(eps))
    with sq.no_grad():
        found = ((running_mean, mean, 1), (running_var, variance, _unbiased(count) if count else 1))
        for running, value, factor in found:
            if running is not None:
                average = value.detach().view(batch, channels).mean(0)
                running.mul_(1 - momentum).add_(average * (momentum * factor))
    out, shape = out.view(input.shape), (1, -1) + (1,) * len(sizes)
    out = out if weight is None else out * weight.view(shape)
    out = out if bias is None else out + bias.view(shape)
    return out.to(input.dtype) if input.dtype.itemsize == 2 else out


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Each element over (k + alpha * the mean square of `size` neighbouring channels) to the power beta.

    Args:
        input: shape (batch, channels, ...), at least 3 dimensions. size: neighbours, counted with those that
            would lie outside, as zeros.
    """
    check_tensor("local_response_norm", "input", input)
    rank = input.dim()
    if rank < 3:
        raise ShapeError(
            f"local_response_norm: Expected 3D or higher dimensionality input (got {rank} dimensions)"
        )
    if input.numel() == 0:
        return input
    low = tuple(size // 2 if d == 1 else 0 for d in range(rank))
    high = tuple((size - 1) // 2 if d == 1 else 0 for d in range(rank))
    squares = apply(ops.pad, (input * input,), low=low, high=high, interior=(0,) * rank, value=0.0)
    around = apply(ops.window, (squares,), dims=(1,), sizes=(size,), steps=(1,), dilations=(1,))
    mean = around.mean(-1) if input.is_floating_point() else around.sum(-1) // size  # whole numbers, as in PyTorch
    return input / (mean * alpha + k) ** beta


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """The input over its p-norm along a dimension, the norm being at least eps; written to `out` when that is given."""
    return into(out, input / input.norm(p, dim, keepdim=True).clamp(min=eps), "normalize")
