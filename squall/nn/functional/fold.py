"""Patches of images as columns, and columns added up to images."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.nn.functional.core import ShapeError, apply, check_tensor, ops, pair


def _windows(function: str, sizes: Any, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple) -> tuple:
    """How many windows fit along height and width."""
    if min(kernel) < 1 or min(dilation) < 1 or min(stride) < 1 or min(padding) < 0:
        raise RuntimeError(
            f"{function}: kernel_size={kernel}, dilation={dilation} and stride={stride} must be positive and "
            f"padding={padding} not negative"
        )
    counts = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(sizes, kernel, dilation, padding, stride, strict=True)
    )
    if min(counts) < 1:
        raise ShapeError(
            f"{function}: windows of kernel_size={kernel} and dilation={dilation} do not fit into {tuple(sizes)} "
            f"with padding={padding}"
        )
    return counts


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Every window of (batch, channels, height, width) as a column.

    Args:
        input: as above, or without the batch. kernel_size, dilation, padding, stride: an int or a pair.

    Returns:
        Shape (batch, channels * rows * columns of the kernel, windows).
    """
    check_tensor("unfold", "input", input)
    if input.dim() not in (3, 4):
        raise ShapeError(f"unfold: argument 'input' must have 3 or 4 dimensions, got shape {tuple(input.shape)}")
    batched = input.dim() == 4
    x = input if batched else input.unsqueeze(0)
    options = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
    kernel, dilation, padding, stride = (pair(v, "unfold", n) for n, v in options.items())
    _windows("unfold", x.shape[2:], kernel, dilation, padding, stride)
    if max(padding):
        around = (0, 0, *padding)
        x = apply(ops.pad, (x,), low=around, high=around, interior=(0,) * 4, value=0.0)
    windows = apply(ops.window, (x,), dims=(2, 3), sizes=kernel, steps=stride, dilations=dilation)
    batch, channels, rows, columns = windows.shape[:4]
    out = windows.permute(0, 1, 4, 5, 2, 3).reshape(batch, channels * prod(kernel), rows * columns)
    return out if batched else out.squeeze(0)


def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """The transpose of `unfold`: columns added up where their windows were.

    Args:
        input: shape (batch, channels * rows * columns of the kernel, windows), or without the batch.
        output_size: height and width of the result. kernel_size, dilation, padding, stride: an int or a pair.

    Returns:
        Shape (batch, channels, height, width).

    Raises:
        ShapeError: when the columns or their number do not fit.
    """
    check_tensor("fold", "input", input)
    options = {"output_size": output_size, "kernel_size": kernel_size, "dilation": dilation, "padding": padding,
               "stride": stride}
    size, kernel, dilation, padding, stride = (pair(v, "fold", n) for n, v in options.items())
    if input.dim() not in (2, 3) or input.shape[-2] % prod(kernel):
        raise ShapeError(
            f"fold: argument 'input' must have shape (batch, a multiple of {prod(kernel)}, windows), got "
            f"{tuple(input.shape)}"
        )
    counts = _windows("fold", size, kernel, dilation, padding, stride)
    if input.shape[-1] != prod(counts):
        raise ShapeError(
            f"fold: output_size={size} has {prod(counts)} windows, and 'input' of shape {tuple(input.shape)} holds "
            f"{input.shape[-1]}"
        )
    batched = input.dim() == 3
    x = input if batched else input.unsqueeze(0)
    batch, channels = x.shape[0], x.shape[1] // prod(kernel)
    windows = x.reshape(batch, channels, *kernel, *counts).permute(0, 1, 4, 5, 2, 3)
    whole = (batch, channels, *(n + 2 * p for n, p in zip(size, padding, strict=True)))
    out = apply(ops.unwindow, (windows,), shape=whole, dims=(2, 3), sizes=kernel, steps=stride, dilations=dilation)
    out = out[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]
    return out if batched else out.squeeze(0)
