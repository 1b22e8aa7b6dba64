"""Convolution over one, two or three spatial dimensions: one implementation."""

from __future__ import annotations

from typing import Any

from squall.base.errors import ArgumentError
from squall.frontend.autocast import lowered
from squall.nn.functional.core import DtypeError, ShapeError, apply, check_tensor, many, ops


def _check(function: str, spatial: int, input: Any, weight: Any, bias: Any, groups: int) -> None:
    check_tensor(function, "input", input)
    check_tensor(function, "weight", weight)
    if weight.dim() != spatial + 2:
        raise ShapeError(
            f"{function}: argument 'weight' must have {spatial + 2} dimensions (out, in / groups, kernel...), "
            f"got shape {tuple(weight.shape)}"
        )
    if input.dim() not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"{function}: argument 'input' must have {spatial + 2} dimensions (batch, channels, sizes...), or "
            f"{spatial + 1} without the batch, got shape {tuple(input.shape)}"
        )
    channels = input.shape[-spatial - 1]
    if groups < 1 or weight.shape[0] % groups:
        raise ShapeError(
            f"{function}: groups={groups} must be positive and divide the {weight.shape[0]} output channels"
        )
    if channels != weight.shape[1] * groups:
        raise ShapeError(
            f"{function}: argument 'input' of shape {tuple(input.shape)} has {channels} channels, expected "
            f"{weight.shape[1] * groups} for 'weight' of shape {tuple(weight.shape)} and groups={groups}"
        )
    if input.dtype is not weight.dtype:
        raise DtypeError(
            f"{function}: 'input' is {input.dtype} and 'weight' is {weight.dtype}; they must be equal"
        )
    if bias is not None and bias.dtype is not input.dtype:
        raise DtypeError(f"{function}: 'input' is {input.dtype} and 'bias' is {bias.dtype}; they must be equal")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ShapeError(
            f"{function}: argument 'bias' must have shape ({weight.shape[0]},), got {tuple(bias.shape)}"
        )


def _convolve(
    spatial: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    function = f"conv{spatial}d"
    input, weight, bias = lowered(input, weight, bias)
    _check(function, spatial, input, weight, bias, groups)
    stride = many(stride, spatial, function, "stride")
    dilation = many(dilation, spatial, function, "dilation")
    if min(stride) < 1 or min(dilation) < 1:
        raise ArgumentError(f"{function}: stride={stride} and dilation={dilation} must be positive")
    kernel = tuple(weight.shape[2:])
    batched = input.dim() == spatial + 2
    if not batched:
        input = input.unsqueeze(0)
    sides = _sides(function, padding, stride, dilation, kernel)
    for i in range(spatial):
        size, reach = input.shape[2 + i] + sum(sides[i]), dilation[i] * (kernel[i] - 1) + 1
        if isinstance(size, int) and size < reach:
            raise ShapeError(
                f"{function}: the kernel reaches over {reach} of dimension {2 + i}, but the padded input of shape "
                f"{tuple(input.shape)} has only {size}"
            )
    operands = (input, weight) if bias is None else (input, weight, bias)
    out = apply(ops.convolution, operands, stride=stride, padding=sides, dilation=dilation, groups=groups)
    return out if batched else out.squeeze(0)


def _sides(
    function: str, padding: Any, stride: tuple, dilation: tuple, kernel: tuple
) -> tuple[tuple[int, int], ...]:
    """(low, high) padding of each dimension, from a number, numbers, "valid" or "same"."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if max(stride) > 1:
            raise ArgumentError(f"{function}: padding='same' is not supported for strided convolutions")
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    if isinstance(padding, str):
        raise ArgumentError(f"{function}: padding={padding!r} is neither 'valid' nor 'same' nor a number")
    padding = many(padding, len(kernel), function, "padding")
    if min(padding) < 0:
        raise ArgumentError(f"{function}: padding={padding} must not be negative")
    return tuple((p, p) for p in padding)


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation over one dimension; arguments as `conv2d`, sizes (batch, channels, length)."""
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation over two dimensions.

    Args:
        input: shape (batch, in, height, width), or without the batch. weight: shape (out, in / groups, rows,
        columns). bias: shape (out,) or None. stride, dilation: an int or one for each dimension. padding: the
            same, or "valid" or "same". groups: channels are split into so many independent parts.

    Returns:
        Shape (batch, out, height', width').

    Raises:
        ShapeError, DtypeError, ValueError: naming the argument, what was given and what was expected.

    Example:
        >>> import squall as sq
        >>> sq.nn.functional.conv2d(sq.ones(1, 1, 4, 4), sq.ones(2, 1, 3, 3)).shape
        squall.Size([1, 2, 2, 2])
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation over three dimensions; arguments as `conv2d`, sizes (batch, channels, depth,
    height, width)."""
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


# ---------------------------------------------------------------- transposed
def _transposed(
    spatial: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    function = f"conv_transpose{spatial}d"
    input, weight, bias = lowered(input, weight, bias)
    check_tensor(function, "input", input)
    check_tensor(function, "weight", weight)
    if weight.dim() != spatial + 2 or input.dim() not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"{function}: expected input (batch, in, sizes...) and weight (in, out / groups, kernel...) of "
            f"{spatial + 2} dimensions, got shapes {tuple(input.shape)} and {tuple(weight.shape)}"
        )
    channels = input.shape[-spatial - 1]
    if channels != weight.shape[0] or groups < 1 or channels % groups:
        raise ShapeError(
            f"{function}: argument 'input' of shape {tuple(input.shape)} has {channels} channels, expected "
            f"{weight.shape[0]} for 'weight' of shape {tuple(weight.shape)}, divisible by groups={groups}"
        )
    if input.dtype is not weight.dtype:
        raise DtypeError(f"{function}: 'input' is {input.dtype} and 'weight' is {weight.dtype}; they must be equal")
    if bias is not None and tuple(bias.shape) != (weight.shape[1] * groups,):
        raise ShapeError(
            f"{function}: argument 'bias' must have shape ({weight.shape[1] * groups},), got {tuple(bias.shape)}"
        )
    values = [many(v, spatial, function, n) for v, n in (
        (stride, "stride"), (padding, "padding"), (output_padding, "output_padding"), (dilation, "dilation"))]
    stride, padding, output_padding, dilation = values
    batched = input.dim() == spatial + 2
    operands = (input if batched else input.unsqueeze(0), weight) if bias is None else (
        input if batched else input.unsqueeze(0), weight, bias)
    out = apply(ops.convolution_transpose, operands, stride=stride, padding=tuple((p, p) for p in padding),
                output_padding=output_padding, dilation=dilation, groups=groups)
    return out if batched else out.squeeze(0)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of a convolution over one dimension; arguments as `conv_transpose2d`."""
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of a convolution over three dimensions; arguments as `conv_transpose2d`."""
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of a convolution over two dimensions: each element spreads the weight over the result.

    Args:
        input: shape (batch, in, height, width), or without the batch. weight: shape (in, out / groups, rows,
            columns). bias: shape (out,) or None. padding: crops the result. output_padding: added to its far ends.
            stride, dilation: an int or one for each dimension. groups: independent parts of the channels.

    Raises:
        ShapeError, DtypeError: naming the argument, what was given and what was expected.
    """
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """A convolution over the first dimension of (time, batch, channels).

    Args:
        input: (time, batch, in). weight: (kernel, in, out). bias: (out,). pad: zeros at both ends of time.

    Returns:
        Tensor: (time', batch, out).

    Raises:
        ShapeError: for operands that do not fit.
    """
    for name, value, rank in (("input", input, 3), ("weight", weight, 3), ("bias", bias, 1)):
        check_tensor("conv_tbc", name, value)
        if value.dim() != rank:
            raise ShapeError(f"conv_tbc: argument {name!r} must have {rank} dimensions, got {list(value.shape)}")
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)
