"""Adaptive and fractional pooling, and the inverse of max pooling: windows that follow from the sizes wanted."""

from __future__ import annotations

from math import prod
from typing import Any

import squall as sq
from squall.base.dim import Dim
from squall.base.errors import ArgumentError
from squall.frontend.autocast import full_precision
from squall.nn.functional.core import ShapeError, apply, check_tensor, many, ops
from squall.ops.pooling import lowest


def _sized(function: str, spatial: int, input: Any, output_size: Any) -> tuple[Any, bool, tuple]:
    """(input with a batch, whether it had one, the sizes of the result)."""
    check_tensor(function, "input", input)
    if input.dim() not in (spatial + 1, spatial + 2):
        raise ArgumentError(
            f"{function}: argument 'input' must have {spatial + 2} dimensions (batch, channels, sizes...), or "
            f"{spatial + 1} without the batch, got shape {tuple(input.shape)}"
        )
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * spatial
    if len(wanted) != spatial:
        raise ShapeError(
            f"{function}: output_size={tuple(wanted)} has {len(wanted)} entries, expected {spatial} or one int"
        )
    given = zip(input.shape[-spatial:], wanted, strict=True)
    sizes = tuple(n if w is None else w if isinstance(w, Dim) else int(w) for n, w in given)
    if any(isinstance(n, int) and n < 0 for n in sizes):
        raise ShapeError(f"{function}: output_size={sizes} must not be negative")
    batched = input.dim() == spatial + 2
    return (input if batched else input.unsqueeze(0)), batched, sizes


def _adaptive_avg(spatial: int, input: Any, output_size: Any) -> Any:
    input, batched, sizes = _sized(f"adaptive_avg_pool{spatial}d", spatial, input, output_size)
    out = apply(ops.adaptive_avg_pool, (input,), size=sizes)
    return out if batched else out.squeeze(0)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The mean of windows chosen so that the result has a given length."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The mean of windows chosen so that the result has a given height and width.

    Args:
        input: shape (batch, channels, height, width), or without the batch. output_size: an int or a pair;
        None keeps a size.
    """
    return _adaptive_avg(2, input, output_size)


@full_precision
def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """The mean of windows chosen so that the result has a given depth, height and width."""
    return _adaptive_avg(3, input, output_size)


def _bins_of_sizes(size: Any, out: Any) -> tuple[Any, Any]:
    """As `_bins`, of sizes that vary: no bin is longer than the size over their number, rounded up, and one more."""
    number, tap = sq.arange(out), sq.arange(size // out + 2)
    starts = (number * size) // out
    ends = ((number + 1) * size + (out - 1)) // out
    places = starts.unsqueeze(1) + tap
    last = sq.zeros((), dtype=sq.int64) + (size - 1)
    return sq.minimum(places, last), places < ends.unsqueeze(1)


def _bins(size: int, out: int) -> tuple[Any, Any]:
    """The positions each bin covers, as a matrix of bins, and which of them count."""
    if isinstance(size, Dim) or isinstance(out, Dim):
        return _bins_of_sizes(size, out)
    starts = [i * size // out for i in range(out)]
    ends = [-(-(i + 1) * size // out) for i in range(out)]
    width = max((e - s for s, e in zip(starts, ends, strict=True)), default=1)
    rows = [[min(s + k, size - 1) for k in range(width)] for s in starts]
    inside = [[s + k < e for k in range(width)] for s, e in zip(starts, ends, strict=True)]
    return (sq.tensor(rows, dtype=sq.int64).reshape(out, width), sq.tensor(inside, dtype=sq.bool).reshape(out, width))


def _picked(input: Any, places: Any, spatial: int) -> Any:
    """Elements of each plane by flat positions, which have the result's shape."""
    plane = input.reshape(*input.shape[:2], prod(input.shape[2:]))
    shape = tuple(places.shape)
    return plane.gather(2, places.reshape(*shape[:2], prod(shape[2:]))).reshape(shape)


def _adaptive_max(spatial: int, input: Any, output_size: Any) -> tuple[Any, Any]:
    """The largest element along one dimension after the other, from the last; ties go to the first in memory."""
    function = f"adaptive_max_pool{spatial}d"
    input, batched, sizes = _sized(function, spatial, input, output_size)
    if 0 in input.shape[2:]:
        raise ShapeError(f"{function}: expected input with non-zero sizes, got shape {tuple(input.shape)}")
    planes = tuple(input.shape[2:])
    values, places = input.detach(), sq.zeros_like(input, dtype=sq.int64)
    step = 1
    for i in reversed(range(spatial)):
        d, size, out = 2 + i, planes[i], sizes[i]
        own = sq.arange(size).reshape(*(-1 if j == d else 1 for j in range(2 + spatial))) * step
        places, step = places + own, step * size
        rows, inside = _bins(size, out)
        shape = (*values.shape[:d], out, rows.shape[1], *values.shape[d + 1:])
        wide, at = (t.index_select(d, rows.reshape(-1)).reshape(shape) for t in (values, places))
        mask = inside.reshape(*(1,) * d, *inside.shape, *(1,) * (len(shape) - d - 2))
        wide = sq.where(mask, wide, sq.full((), lowest(input.dtype), dtype=input.dtype))
        best = wide.argmax(d + 1, True)
        values, places = (t.gather(d + 1, best).squeeze(d + 1) for t in (wide, at))
    found = _picked(input, places, spatial), places
    return found if batched else tuple(t.squeeze(0) for t in found)  # type: ignore[return-value]


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of windows chosen so that the result has a given length."""
    found = _adaptive_max(1, input, output_size)
    return found if return_indices else found[0]


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of windows chosen so that the result has a given height and width.

    Args:
        output_size: an int or a pair; None keeps a size. return_indices: also where each element stood, as a flat
            int64 index into (height, width).
    """
    found = _adaptive_max(2, input, output_size)
    return found if return_indices else found[0]


@full_precision
def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of windows chosen so that the result has a given depth, height and width."""
    found = _adaptive_max(3, input, output_size)
    return found if return_indices else found[0]


def adaptive_max_pool1d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> tuple[Any, Any]:
    """Largest elements over one dimension, always with where each stood; see `adaptive_max_pool2d`.

    Args:
        output_size: as there. return_indices: not asked; the indices are given in any case.

    Returns:
        tuple: (values, flat indices).
    """
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> tuple[Any, Any]:
    """Largest elements over two dimensions, always with where each stood; see `adaptive_max_pool2d`.

    Args:
        output_size: as there. return_indices: not asked; the indices are given in any case.

    Returns:
        tuple: (values, flat indices).
    """
    return adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> tuple[Any, Any]:
    """Largest elements over three dimensions, always with where each stood; see `adaptive_max_pool2d`.

    Args:
        output_size: as there. return_indices: not asked; the indices are given in any case.

    Returns:
        tuple: (values, flat indices).
    """
    return adaptive_max_pool3d(input, output_size, True)


# ---------------------------------------------------------------- unpooling
def _unpool(spatial: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any,
            output_size: Any) -> Any:
    function = f"max_unpool{spatial}d"
    check_tensor(function, "input", input)
    kernel = many(kernel_size, spatial, function, "kernel_size")
    stride = kernel if stride is None or stride == () else many(stride, spatial, function, "stride")
    padding = many(padding, spatial, function, "padding")
    if tuple(indices.shape) != tuple(input.shape):
        raise ShapeError(f"{function}: indices of shape {tuple(indices.shape)} must have that of input, "
                         f"{tuple(input.shape)}")
    sizes = input.shape[-spatial:]
    found = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(sizes, stride, padding, kernel, strict=True))
    if output_size is not None:
        wanted = tuple(output_size)[-spatial:]
        if any(not f - s < w < f + s for f, w, s in zip(found, wanted, stride, strict=True)):
            raise ValueError(f"{function}: output_size={wanted} must be within a stride of {found}")
        found = wanted
    lead = tuple(input.shape[:-spatial])
    flat = sq.zeros(*lead, prod(found), dtype=input.dtype)
    shape = (*lead, prod(sizes))
    return flat.scatter(len(lead), indices.reshape(shape), input.reshape(shape)).reshape(*lead, *found)


def max_unpool1d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Any:
    """Maxima put back where `max_pool1d` found them, zeros elsewhere."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


@full_precision
def max_unpool2d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Any:
    """Maxima put back where `max_pool2d` found them, zeros elsewhere.

    Args:
        indices: what max pooling gave with `return_indices`. output_size: when several sizes pool to this one.
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


@full_precision
def max_unpool3d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Any:
    """Maxima put back where `max_pool3d` found them, zeros elsewhere."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


# ---------------------------------------------------------------- fractional
def _fractional(spatial: int, input: Any, kernel_size: Any, output_size: Any, output_ratio: Any,
                samples: Any) -> tuple[Any, Any]:
    function = f"fractional_max_pool{spatial}d"
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{function}: give one of output_size and output_ratio")
    if output_size is None:
        ratio = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * spatial
        output_size = tuple(int(n * r) for n, r in zip(input.shape[-spatial:], ratio, strict=True))
    input, batched, sizes = _sized(function, spatial, input, output_size)
    kernel = many(kernel_size, spatial, function, "kernel_size")
    lead = tuple(input.shape[:2])
    if samples is None:
        samples = sq.rand(*lead, spatial, dtype=input.dtype)
    rank = 2 + 2 * spatial
    total: Any = 0
    for i, (size, out, k) in enumerate(zip(input.shape[2:], sizes, kernel, strict=True)):
        if out + k - 1 > size:
            raise ShapeError(f"{function}: {out} windows of {k} elements do not fit in size {size} of dim {2 + i}")
        # PyTorch's order: columns before rows in a plane, but planes, rows, columns in a volume.
        # The input's own dtype, in which PyTorch reckons: a window's start hangs on the last bit.
        draw = samples[: lead[0], :, 1 - i if spatial == 2 else i].unsqueeze(-1).to(input.dtype)
        alpha = sq.tensor((size - k) / (out - 1) if out > 1 else 0.0, dtype=input.dtype)
        start = ((sq.arange(out) + draw) * alpha).floor() - (draw * alpha).floor()
        start = sq.where(sq.arange(out) == out - 1, size - k, start.long())
        shape = (*lead, *(out if j == i else 1 for j in range(spatial)), *(1,) * spatial)
        taps = sq.arange(k).reshape(*(-1 if j == 2 + spatial + i else 1 for j in range(rank)))
        total = total * size + (start.reshape(shape) + taps)
    flat = total.reshape(*lead, *sizes, prod(kernel))
    best = _picked(input.detach(), flat, spatial).argmax(-1, True)
    places = flat.gather(-1, best).squeeze(-1)
    found = _picked(input, places, spatial), places
    return found if batched else tuple(t.squeeze(0) for t in found)  # type: ignore[return-value]


@full_precision
def fractional_max_pool2d(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Any = None) -> Any:
    """The largest element of windows at random distances, as many as the result has elements.

    Args:
        output_size, output_ratio: the result's sizes, or their ratio to the input's. _random_samples: where the
            windows start, shape (batch, channels, 2); drawn unless given.
    """
    found = _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


@full_precision
def fractional_max_pool3d(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Any = None) -> Any:
    """The largest element of windows at random distances; see `fractional_max_pool2d`."""
    found = _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


def fractional_max_pool2d_with_indices(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                                        return_indices: bool = False, _random_samples: Any = None) -> tuple:
    """(values, indices) of `fractional_max_pool2d`, whatever `return_indices` is."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)



def fractional_max_pool3d_with_indices(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                                        return_indices: bool = False, _random_samples: Any = None) -> tuple:
    """(values, indices) of `fractional_max_pool3d`, whatever `return_indices` is."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
