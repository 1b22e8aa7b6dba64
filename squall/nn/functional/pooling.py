"""Pooling over windows: the largest, the mean, or a power mean, over one, two or three dimensions."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.dim import bounds, larger, smaller
from squall.base.errors import ArgumentError, TraceError
from squall.frontend.autocast import full_precision
from squall.nn.functional.core import ShapeError, apply, check_tensor, many, ops


def _prepare(function: str, spatial: int, input: Any, size: Any, stride: Any, padding: Any) -> tuple:
    """(input with a batch, whether it had one, kernel size, stride, padding), checked."""
    check_tensor(function, "input", input)
    if input.dim() not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"{function}: argument 'input' must have {spatial + 2} dimensions (batch, channels, sizes...), or "
            f"{spatial + 1} without the batch, got shape {tuple(input.shape)}"
        )
    kernel = many(size, spatial, function, "kernel_size")
    stride = kernel if stride is None or stride == () else many(stride, spatial, function, "stride")
    padding = many(padding, spatial, function, "padding")
    if min(kernel) < 1 or min(stride) < 1:
        raise ArgumentError(f"{function}: kernel_size={kernel} and stride={stride} must be positive")
    if any(p < 0 or 2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise RuntimeError(
            f"{function}: padding={padding} should be at most half of kernel_size={kernel}, and not negative"
        )
    batched = input.dim() == spatial + 2
    return (input if batched else input.unsqueeze(0)), batched, kernel, stride, padding


def _sides(
    input: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, ceil_mode: bool
) -> tuple:
    """(low, high) padding of each dimension; under ceil_mode the high side holds what the last window
    reaches over."""
    out = []
    for n, k, s, p, d in zip(input.shape[2:], kernel, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        over = 0
        if ceil_mode:
            least = bounds(n + 2 * p - reach)[0]
            if not isinstance(n, int) and (least is None or least < 0):
                raise TraceError(f"pooling with ceil_mode: a window reaches over {reach}, and the symbolic size {n} "
                                 f"with {p} of padding on each side may be smaller; declare "
                                 f"Dim(name, min={reach - 2 * p})")
            # a window may not begin in the padding after the end
            count = smaller(-(-(n + 2 * p - reach) // s), (n + p - 1) // s) + 1
            over = larger((count - 1) * s + reach - (n + 2 * p), 0)
        out.append((p, p + over))
    return tuple(out)


def _check_fits(function: str, input: Any, kernel: tuple, padding: tuple, dilation: tuple) -> None:
    for i, (k, p, d) in enumerate(zip(kernel, padding, dilation, strict=True)):
        size, reach = input.shape[2 + i] + 2 * p, d * (k - 1) + 1
        if isinstance(size, int) and size < reach:
            raise ShapeError(
                f"{function}: the window reaches over {reach} of dimension {2 + i}, but the padded input of shape "
                f"{tuple(input.shape)} has only {size}"
            )


def _max_pool(spatial: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
              function: str = "") -> tuple:
    function = function or f"max_pool{spatial}d"
    input, batched, kernel, stride, padding = _prepare(function, spatial, input, kernel_size, stride, padding)
    dilation = many(dilation, spatial, function, "dilation")
    if min(dilation) < 1:
        raise ArgumentError(f"{function}: argument 'dilation' must be positive, got {dilation}")
    if 0 in input.shape[1:]:
        raise ShapeError(f"{function}: argument 'input' may be empty in the batch only, got shape {tuple(input.shape)}")
    _check_fits(function, input, kernel, padding, dilation)
    sides = _sides(input, kernel, stride, padding, dilation, ceil_mode)
    found = apply(ops.max_pool, (input,), size=kernel, stride=stride, padding=sides, dilation=dilation)
    return tuple(found) if batched else tuple(t.squeeze(0) for t in found)


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window; arguments as `max_pool2d`, sizes (batch, channels, length)."""
    found = _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)
    return found if return_indices else found[0]


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window; NaN wins.

    Args:
        input: shape (batch, channels, height, width), or without the batch. kernel_size, stride, padding,
            dilation: an int or a pair; the stride is the kernel size by default. ceil_mode: windows may reach
            over the end. return_indices: also give where each element stood, as a flat int64 index into
            (height, width).

    Example:
        >>> import squall as sq
        >>> sq.nn.functional.max_pool2d(sq.arange(4.).view(1, 1, 2, 2), 2)
        tensor([[[[3.]]]])
    """
    found = _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode)
    return found if return_indices else found[0]


@full_precision
def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window; arguments as `max_pool2d`, sizes (batch, channels, depth, height, width)."""
    found = _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode)
    return found if return_indices else found[0]


def max_pool1d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> tuple:
    """(values, indices) of `max_pool1d`, whatever `return_indices` is."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> tuple:
    """(values, indices) of `max_pool2d`, whatever `return_indices` is."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> tuple:
    """(values, indices) of `max_pool3d`, whatever `return_indices` is."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode)


def _avg_pool(spatial: int, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
              count_include_pad: bool, divisor_override: int | None) -> Any:
    function = f"avg_pool{spatial}d"
    input, batched, kernel, stride, padding = _prepare(function, spatial, input, kernel_size, stride, padding)
    plain = (1,) * spatial
    _check_fits(function, input, kernel, padding, plain)
    if divisor_override == 0:
        raise RuntimeError(f"{function}: divisor_override must not be zero")
    sides = _sides(input, kernel, stride, padding, plain, ceil_mode)
    counted = tuple((p, p) if count_include_pad else (0, 0) for p in padding)
    out = apply(ops.avg_pool, (input,), size=kernel, stride=stride, padding=sides, counted=counted,
                divisor=divisor_override)
    return out if batched else out.squeeze(0)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window; arguments as `avg_pool2d`, sizes (batch, channels, length)."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window.

    Args:
        input: shape (batch, channels, height, width), or without the batch. kernel_size, stride, padding: an
            int or a pair; the stride is the kernel size by default. ceil_mode: windows may reach over the end.
            count_include_pad: whether padding counts in the mean. divisor_override: divide by this instead of
            the count.
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@full_precision
def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window; arguments as `avg_pool2d`, sizes (batch, channels, depth, height, width)."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _lp_pool(spatial: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    kernel = many(kernel_size, spatial, f"lp_pool{spatial}d", "kernel_size")
    mean = _avg_pool(spatial, input.pow(norm_type), kernel, stride, 0, ceil_mode, True, None)
    return ((mean.sign() * mean.abs().relu()) * prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(sum of x^p)^(1/p) of each window; sizes (batch, channels, length)."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(sum of x^p)^(1/p) of each window; sizes (batch, channels, height, width)."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(sum of x^p)^(1/p) of each window; sizes (batch, channels, depth, height, width)."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)
