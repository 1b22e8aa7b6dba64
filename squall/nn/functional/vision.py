"""Resampling of images and volumes: interpolate, grid_sample, affine_grid."""

from __future__ import annotations

from itertools import product
from math import floor, prod
from typing import Any

import squall as sq
from squall.base.dim import Dim, larger, scaled, smaller
from squall.base.errors import TraceError
from squall.frontend.autocast import full_precision, once_rounded
from squall.frontend.conversion import own_memory
from squall.nn.functional.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from squall.nn.functional.core import ShapeError, check_tensor

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")
CUBIC = -0.75  # the slope of the cubic kernel that PyTorch uses


# ---------------------------------------------------------------- interpolate
def _along(x: Any, dim: int, places: list, weights: list | None) -> Any:
    """The sum over taps of elements at places along a dimension, times weights that vary along it."""
    total = None
    for i, at in enumerate(places):
        part = x.index_select(dim, sq.tensor(at, dtype=sq.int64))
        if weights is not None:
            shape = tuple(-1 if d == dim else 1 for d in range(x.dim()))
            part = part * sq.tensor(weights[i], dtype=x.dtype).reshape(shape)
        total = part if total is None else total + part
    return total


def _sources(size: int, out: int, scale: float | None, align: bool, clamped: bool) -> list[float]:
    """Where in the input each element of the result lies."""
    if align:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
        return [i * step for i in range(out)]
    step = size / out if scale is None else 1.0 / scale
    found = [(i + 0.5) * step - 0.5 for i in range(out)]
    return [max(v, 0.0) for v in found] if clamped else found


def _cubic(t: Any) -> list:
    """The weights of the four neighbours of a point a fraction t behind the second one."""
    near = lambda x: ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = lambda x: ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _step(size: Any, out: Any, scale: float | None, align: bool) -> Any:
    """How far elements of the result lie apart in the input: a float64 Tensor, for sizes that vary."""
    one = sq.ones((), dtype=sq.float64)
    if align:
        return one * (size - 1) / larger(out - 1, 1) * smaller(out - 1, 1)  # 0 for a single element
    return one * size / out if scale is None else one * (1.0 / scale)


def _resampled_by_tensors(x: Any, dim: int, out: Any, scale: float | None, mode: str, align: bool) -> Any:
    """As `_resampled`, by the same steps in float64, where places are not known before sizes are."""
    size = x.shape[dim]
    row = [-1 if d == dim else 1 for d in range(x.dim())]
    number = sq.arange(out, dtype=sq.float64)
    at = lambda places: x.index_select(dim, sq.maximum(sq.minimum(places.to(sq.int64), last), sq.zeros_like(last)))
    last = sq.zeros((), dtype=sq.int64) + (size - 1)
    if mode.startswith("nearest"):
        return at(((number + (0.5 if mode == "nearest-exact" else 0.0)) * _step(size, out, scale, False)).floor())
    step = _step(size, out, scale, align)
    points = number * step if align else (number + 0.5) * step - 0.5
    if mode == "bicubic":
        low = points.floor()
        weights = [w.to(x.dtype).reshape(row) for w in _cubic(points - low)]
        return sum((at(low + (k - 1)) * w for k, w in enumerate(weights[1:], 1)), at(low - 1) * weights[0])
    points = points if align else points.clamp(min=0.0)
    low = sq.minimum(points.floor(), last.to(sq.float64))
    part = points - low
    return at(low) * (1 - part).to(x.dtype).reshape(row) + at(low + 1) * part.to(x.dtype).reshape(row)


def _resampled(x: Any, dim: int, out: int, scale: float | None, mode: str, align: bool) -> Any:
    size = x.shape[dim]
    if isinstance(size, Dim) or isinstance(out, Dim):
        return _resampled_by_tensors(x, dim, out, scale, mode, align)
    if mode.startswith("nearest"):
        step = size / out if scale is None else 1.0 / scale
        shift = 0.5 if mode == "nearest-exact" else 0.0
        return _along(x, dim, [[min(floor((i + shift) * step), size - 1) for i in range(out)]], None)
    points = _sources(size, out, scale, align, mode != "bicubic")
    limit = lambda i: min(max(i, 0), size - 1)
    if mode == "bicubic":
        taps = [_cubic(p - floor(p)) for p in points]
        places = [[limit(floor(p) + k - 1) for p in points] for k in range(4)]
        return _along(x, dim, places, [[t[k] for t in taps] for k in range(4)])
    low = [limit(floor(p)) for p in points]
    part = [p - i for p, i in zip(points, low, strict=True)]
    return _along(x, dim, [low, [limit(i + 1) for i in low]], [[1 - t for t in part], part])


def _smoothed(x: Any, dim: int, out: int, scale: float | None, mode: str, align: bool) -> Any:
    """With antialiasing: the kernel is as wide as a step, where that is longer than 1."""
    size = x.shape[dim]
    if isinstance(size, Dim) or isinstance(out, Dim):
        return _smoothed_by_tensors(x, dim, out, scale, mode, align)
    step = ((size - 1) / (out - 1) if out > 1 else 0.0) if align else size / out if scale is None else 1.0 / scale
    stretch = max(step, 1.0)
    reach = (1.0 if mode == "bilinear" else 2.0) * stretch
    rows = []
    for i in range(out):
        centre = step * (i + 0.5)
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), size)
        row = [_kernel((j - centre + 0.5) / stretch, mode) if first <= j < last else 0.0 for j in range(size)]
        total = sum(row)
        rows.append([w / total if total else 0.0 for w in row])
    weights = sq.tensor(rows, dtype=x.dtype).reshape(out, size)
    return (x.movedim(dim, -1) @ weights.t()).movedim(-1, dim)


def _smoothed_by_tensors(x: Any, dim: int, out: Any, scale: float | None, mode: str, align: bool) -> Any:
    """As `_smoothed`, where sizes are not known yet."""
    size = x.shape[dim]
    step = _step(size, out, scale, align)
    stretch = step.clamp(min=1.0)
    reach = (1.0 if mode == "bilinear" else 2.0) * stretch
    centre = ((sq.arange(out, dtype=sq.float64) + 0.5) * step).unsqueeze(1)
    number = sq.arange(size, dtype=sq.float64)
    inside = (number >= (centre - reach + 0.5).trunc()).logical_and(number < (centre + reach + 0.5).trunc())
    t = ((number - centre + 0.5) / stretch).abs()
    if mode == "bilinear":
        row = (1.0 - t).clamp(min=0.0)
    else:
        a = -0.5
        row = sq.where(t < 1, ((a + 2) * t - (a + 3)) * t * t + 1, (((t - 5) * t + 8) * t - 4) * a)
        row = sq.where(t < 2, row, 0.0)
    row = sq.where(inside, row, 0.0)
    total = row.sum(1, keepdim=True)
    weights = sq.where(total == 0, 0.0, row / total).to(x.dtype)
    return (x.movedim(dim, -1) @ weights.t()).movedim(-1, dim)


def _kernel(x: float, mode: str) -> float:
    x = abs(x)
    if mode == "bilinear":
        return max(1.0 - x, 0.0)
    a = -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _output_sizes(x: Any, size: Any, scale_factor: Any) -> tuple[tuple, list]:
    """(the result's sizes, the scale of each dimension or None)."""
    spatial = x.dim() - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give one of size and scale_factor")
    given = size if scale_factor is None else scale_factor
    several = tuple(given) if isinstance(given, (tuple, list)) else (given,) * spatial
    if len(several) != spatial:
        raise ShapeError(f"interpolate: {several} has {len(several)} entries, expected {spatial} for input of shape "
                         f"{tuple(x.shape)}")
    if scale_factor is None:
        return tuple(n if isinstance(n, Dim) else int(n) for n in several), [None] * spatial
    return tuple(scaled(n, s) for n, s in zip(x.shape[2:], several, strict=True)), [float(s) for s in several]


def interpolate(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Any:
    """Resampled to other sizes.

    Args:
        input: shape (batch, channels, sizes...), of one to three sizes. size, scale_factor: the result's sizes, or
            their ratio to the input's: one number, or one for each. mode: "nearest", "nearest-exact", "area",
            "linear" (one size), "bilinear", "bicubic" (two) or "trilinear" (three). align_corners: whether the
            corner elements' centres stay in the corners. recompute_scale_factor: derive the scale from the sizes.
            antialias: smooth when shrinking; for "bilinear" and "bicubic".

    Raises:
        ValueError, ShapeError: for arguments that do not go together.
    """
    check_tensor("interpolate", "input", input)
    fits = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}.get(mode, input.dim())
    if mode not in MODES or input.dim() not in (3, 4, 5) or fits != input.dim():
        raise ValueError(f"interpolate: mode {mode!r} does not fit input of shape {tuple(input.shape)}")
    if align_corners is not None and (mode.startswith("nearest") or mode == "area"):
        raise ValueError("interpolate: align_corners is for linear, bilinear, bicubic and trilinear only")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError("interpolate: antialias is for bilinear and bicubic only")
    sizes, scales = _output_sizes(input, size, scale_factor)
    if any(n < 1 for n in sizes):
        raise ShapeError(f"interpolate: the result would have sizes {sizes}, which must be positive")
    if recompute_scale_factor:
        scales = [None] * len(sizes)
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[len(sizes) - 1](input, sizes)
    kind = input.dtype
    narrow = not mode.startswith("nearest") and kind in (sq.float16, sq.bfloat16)
    x = input.float() if narrow else input
    for i, out in enumerate(sizes):
        if antialias:
            x = _smoothed(x, 2 + i, out, scales[i], mode, bool(align_corners))
        elif out != x.shape[2 + i] or scales[i] not in (None, 1.0):
            x = _resampled(x, 2 + i, out, scales[i], mode, bool(align_corners))
    return own_memory(x.to(kind) if narrow else x, input)


def upsample(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Any:
    """`interpolate` under its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` by the nearest element."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` between elements whose corners stay in the corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# ---------------------------------------------------------------- grids
def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """Where an affine map takes the points of an image, as `grid_sample` reads it.

    Args:
        theta: shape (batch, 2, 3) or (batch, 3, 4). size: of the image, (batch, channels, height, width) or with a
            depth before the height.
    """
    check_tensor("affine_grid", "theta", theta)
    shape, dims = tuple(size)[2:], len(tuple(size)) - 2
    if dims not in (2, 3) or tuple(theta.shape[1:]) != (dims, dims + 1):
        raise ShapeError(f"affine_grid: theta of shape {tuple(theta.shape)} does not fit size {tuple(size)}")
    axes = []
    for n in shape:
        if isinstance(n, Dim):
            raise TraceError(f"affine_grid: the symbolic size {n} in 'size' is not known while tracing; make the grid "
                             "outside, or leave the dimension undeclared")
        ends = 1.0 if align_corners else 1.0 - 1.0 / n
        axes.append(sq.linspace(-ends, ends, n, dtype=theta.dtype) if n > 1 else sq.zeros(1, dtype=theta.dtype))
    grids = sq.meshgrid(*axes, indexing="ij")
    base = sq.stack([*reversed(grids), sq.ones_like(grids[0])], -1).reshape(1, prod(shape), dims + 1)
    out = base.expand(theta.shape[0], prod(shape), dims + 1) @ theta.transpose(1, 2)
    return out.reshape(theta.shape[0], *shape, dims)


def _reflected(x: Any, low: float, high: float) -> Any:
    """Coordinates reflected at both ends until they lie between them."""
    if high <= low:
        return x * 0.0
    span = high - low
    away = (x - low).abs()
    turns = (away / span).floor()
    rest = away - turns * span
    return sq.where(turns % 2 == 0, rest + low, span - rest + low)


def _reflected_by_size(x: Any, size: Any, align: bool) -> Any:
    """`_reflected` where the size is a Tensor, as it varies."""
    span, low = (size - 1.0, 0.0) if align else (size, -0.5)
    away = (x - low).abs()
    turns = (away / span.clamp(min=1.0)).floor()
    rest = away - turns * span
    return sq.where(span > 0, sq.where(turns % 2 == 0, rest + low, span - rest + low), x * 0.0)


def _inside(x: Any, size: int, padding: str, align: bool) -> Any:
    """Coordinates as the padding mode takes them: limited, reflected, or as they are."""
    if padding == "zeros":
        return x
    if isinstance(size, Dim):
        size = sq.zeros((), dtype=x.dtype) + size
        if padding == "reflection":
            x = _reflected_by_size(x, size, align)
        return sq.minimum(sq.maximum(x, sq.zeros_like(size)), size - 1)
    if padding == "reflection":
        x = _reflected(x, 0.0, size - 1.0) if align else _reflected(x, -0.5, size - 0.5)
    return x.clamp(0, size - 1)


def _read(plane: Any, places: list, sizes: tuple) -> Any:
    """Elements at integer coordinates, zeros outside; shape (batch, channels, points)."""
    flat, valid = 0, None
    for at, size in zip(places, sizes, strict=True):
        last = sq.zeros((), dtype=sq.int64) + (size - 1) if isinstance(size, Dim) else size - 1
        ok = (at >= 0) & (at <= last)
        valid = ok if valid is None else valid & ok
        place = at.detach().nan_to_num(0.0, 0.0, 0.0)
        if isinstance(size, Dim):
            place = sq.minimum(place.long().clamp(min=0), last)  # type: ignore[arg-type]
        else:
            place = place.clamp(0, size - 1).long()
        flat = flat * size + place
    index = flat.unsqueeze(1).expand(flat.shape[0], plane.shape[1], flat.shape[1])  # type: ignore[attr-defined]
    return sq.where(valid.unsqueeze(1), plane.gather(2, index), sq.zeros((), dtype=plane.dtype))  # type: ignore


def _sampled(plane: Any, at: list, sizes: tuple, mode: str, padding: str, align: bool) -> Any:
    if mode == "nearest":
        return _read(plane, [_inside(x, n, padding, align).round() for x, n in zip(at, sizes, strict=True)], sizes)
    if mode == "bilinear":
        at = [_inside(x, n, padding, align) for x, n in zip(at, sizes, strict=True)]
    base = [x.detach().floor() for x in at]
    part = [x - b for x, b in zip(at, base, strict=True)]
    if mode == "bilinear":
        taps, weights = (0, 1), [[1 - t, t] for t in part]
    else:
        taps, weights = (-1, 0, 1, 2), [_cubic(t) for t in part]
    total = None
    for corner in product(range(len(taps)), repeat=len(sizes)):
        places = [b + taps[k] for b, k in zip(base, corner, strict=True)]
        if mode == "bicubic":
            places = [_inside(p, n, padding, align).round() for p, n in zip(places, sizes, strict=True)]
        weight = 1
        for w, k in zip(weights, corner, strict=True):
            weight = weight * w[k]
        term = _read(plane, places, sizes) * weight.unsqueeze(1)  # type: ignore[attr-defined]
        total = term if total is None else total + term
    return total


@full_precision
@once_rounded
def grid_sample(input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Any:
    """An image read at the points of a grid.

    Args:
        input: shape (batch, channels, height, width), or with a depth before the height. grid: shape (batch,
            height', width', 2), or (batch, depth', height', width', 3): points (x, y[, z]) from -1 to 1. mode:
            "bilinear", "nearest" or (of images) "bicubic". padding_mode: what lies outside: "zeros", "border" or
            "reflection". align_corners: whether -1 and 1 are the centres of the corner elements, or their edges.

    Returns:
        Shape (batch, channels, height', width'), or with a depth.

    Raises:
        ShapeError, ValueError: for arguments that do not fit.
    """
    check_tensor("grid_sample", "input", input)
    check_tensor("grid_sample", "grid", grid)
    dims = input.dim() - 2
    if dims not in (2, 3) or grid.dim() != dims + 2 or grid.shape[-1] != dims or grid.shape[0] != input.shape[0]:
        raise ShapeError(f"grid_sample: grid of shape {tuple(grid.shape)} does not fit input of shape "
                         f"{tuple(input.shape)}")
    if mode not in ("bilinear", "nearest", "bicubic") or (mode == "bicubic" and dims == 3):
        raise ValueError(f"grid_sample: mode {mode!r} is not one of bilinear, nearest, and bicubic of images")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: padding_mode {padding_mode!r} is not zeros, border or reflection")
    sizes, points = tuple(input.shape[2:]), tuple(grid.shape[1:-1])
    flat = grid.reshape(grid.shape[0], prod(points), dims)
    at = []
    for i, n in enumerate(sizes):
        value = flat[:, :, dims - 1 - i]
        at.append((value + 1) / 2 * (n - 1) if align_corners else ((value + 1) * n - 1) / 2)
    plane = input.reshape(*input.shape[:2], prod(sizes))
    out = _sampled(plane, at, sizes, mode, padding_mode, bool(align_corners))
    return out.reshape(*input.shape[:2], *points)


_INTERPOLATIONS, _PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


@full_precision
def grid_sampler(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    """`grid_sample` with its modes by number: (bilinear, nearest, bicubic) and (zeros, border, reflection)."""
    return grid_sample(input, grid, _INTERPOLATIONS[interpolation_mode], _PADDINGS[padding_mode], align_corners)


grid_sampler_2d = grid_sampler_3d = grid_sampler


def affine_grid_generator(theta: Any, size: Any, align_corners: bool) -> Any:
    """Where `grid_sample` reads for affine maps: `affine_grid` as PyTorch's `torch.affine_grid_generator`.

    Args:
        theta: (batch, 2, 3), or (batch, 3, 4) for volumes. size: (batch, channels, sizes...). align_corners: whether -1
            and 1 are the middles of the outermost elements.

    Raises:
        ShapeError: for operands of other shapes.
    """
    return affine_grid(theta, size, align_corners)
