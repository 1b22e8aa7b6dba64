"""Differences and integrals along dimensions, under PyTorch's names: diff, gradient, trapezoid."""

from __future__ import annotations

from typing import Any

from squall.base.errors import ArgumentError, ShapeError
from squall.base.shapes import normalize_dim
from squall.frontend.core import Handle
from squall.frontend.declaring import counted, floating, of_tensor
from squall.frontend.functions_movement import cat
from squall.frontend.out import checked


@of_tensor
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along dim, n times; of bools whether they differ.

    Args:
        prepend, append: put before and after the input first.
    """
    if not input.ndim:
        raise ShapeError("diff: expects input to be at least one-dimensional")
    if n < 0:
        raise ArgumentError(f"diff: order must be non-negative but got {n}")
    d = normalize_dim(dim, input.ndim, "diff")
    if not n:
        return input.clone()
    parts = [p for p in (prepend, input, append) if p is not None]
    x = cat(parts, d) if len(parts) > 1 else input
    for _ in range(min(n, x.node.shape[d])):
        size = max(x.node.shape[d] - 1, 0)
        after, before = x.narrow(d, min(1, x.node.shape[d]), size), x.narrow(d, 0, size)
        x = after - before if x.node.dtype.category else after.logical_xor(before)
    return x


def _weights(spacing: Any) -> tuple[Any, Any, Any]:
    """What the neighbours and the point itself count in a derivative at uneven points."""
    left, right = spacing.narrow(0, 0, spacing.node.shape[0] - 1), spacing.narrow(0, 1, spacing.node.shape[0] - 1)
    return -right / (left * (left + right)), (right - left) / (left * right), left / (right * (left + right))


def _derivative(x: Any, spacing: Any, d: int, edge_order: int) -> Any:
    size = x.node.shape[d]
    if size < edge_order + 1:
        raise ShapeError(f"gradient: expected each dimension size to be at least {edge_order + 1}, got {size} of "
                         f"dimension {d}")

    def at(start: int, count: int = 1) -> Any:
        return x.narrow(d, start, count)

    uneven = isinstance(spacing, Handle) and spacing.ndim == 1
    if uneven:
        shape = tuple(-1 if i == d else 1 for i in range(x.ndim))
        gaps = spacing.narrow(0, 1, size - 1) - spacing.narrow(0, 0, size - 1)
        first, last = gaps[0], gaps[-1]
        a, b, c = (w.reshape(shape) for w in _weights(gaps))
        inner = a * at(0, size - 2) + b * at(1, size - 2) + c * at(2, size - 2)
    else:
        gaps, first, last = None, spacing, spacing
        inner = (at(2, size - 2) - at(0, size - 2)) / (2 * spacing)
    if edge_order == 1:
        ends = (at(1) - at(0)) / first, (at(size - 1) - at(size - 2)) / last
    elif gaps is None:
        ends = ((4 * at(1) - 3 * at(0) - at(2)) / (2 * spacing),
                (3 * at(size - 1) - 4 * at(size - 2) + at(size - 3)) / (2 * spacing))
    else:
        h, k = gaps[0], gaps[1]
        low = -(2 * h + k) / (h * (h + k)) * at(0) + (h + k) / (h * k) * at(1) - h / (k * (h + k)) * at(2)
        h, k = gaps[-2], gaps[-1]
        high = (k / (h * (h + k)) * at(size - 3) - (h + k) / (h * k) * at(size - 2)
                + (2 * k + h) / (k * (h + k)) * at(size - 1))
        ends = low, high
    return cat((ends[0], inner, ends[1]), d)


def gradient(input: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> tuple:
    """Numerical derivatives along dims (all unless given), by central differences; one Tensor a dimension.

    Args:
        spacing: the distance of points (1 unless given): a number, one for each dim, or a vector of coordinates for
            each. edge_order: 1 or 2, the order of the differences at both ends.
    """
    x = checked(input, "gradient")
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order must be 1 or 2, got {edge_order}")
    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = tuple(normalize_dim(d, x.ndim, "gradient") for d in dims)
    spacing = 1 if spacing is None else spacing
    several = isinstance(spacing, (list, tuple))
    spaces = list(spacing) if several else [spacing] * len(dims)
    if len(set(dims)) < len(dims):
        raise ArgumentError(f"gradient: argument 'dim' {dims} names a dimension twice")
    if any(x.node.shape[d] <= edge_order for d in dims):
        raise ShapeError(f"gradient: each dimension must have at least edge_order+1={edge_order + 1} elements, got "
                         f"shape {list(x.node.shape)}")
    if len(spaces) != len(dims):
        raise ShapeError(f"gradient: expected spacing for {len(dims)} dimensions, got {len(spaces)}")
    x = counted(x)
    if x.node.dtype.category == 1:
        x = floating(x)
    return tuple(_derivative(x, s, d, edge_order) for s, d in zip(spaces, dims, strict=True))


# ---------------------------------------------------------------- integrals
def _areas(y: Any, x: Any, dx: Any, dim: int, function: str) -> tuple[Any, int]:
    """Twice the area between each two neighbours along a dimension."""
    d = normalize_dim(dim, y.ndim, function)
    size = max(y.node.shape[d] - 1, 0)
    skip = min(1, y.node.shape[d])
    sums = y.narrow(d, skip, size) + y.narrow(d, 0, size)
    if x is None:
        return sums * dx, d
    x = checked(x, function, "x")
    if x.ndim == 1 and y.ndim > 1:
        if x.node.shape[0] != y.node.shape[d]:
            raise ShapeError(f"{function}: there must be one x value for each sample point, got {x.node.shape[0]} for "
                             f"{y.node.shape[d]}")
        x = x.reshape(tuple(-1 if i == d else 1 for i in range(y.ndim)))
    along = d - y.ndim
    count = x.node.shape[along]
    gaps = x.narrow(along, min(1, count), max(count - 1, 0)) - x.narrow(along, 0, max(count - 1, 0))
    wide = gaps * sums
    return wide, d + wide.ndim - y.ndim


@of_tensor
def trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The integral along dim by the trapezoid rule, over points x or at distance dx."""
    areas, d = _areas(y, x, dx, dim, "trapezoid")
    return areas.sum(d) / 2


@of_tensor
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """Running integrals along dim by the trapezoid rule, over points x or at distance dx."""
    areas, d = _areas(y, x, dx, dim, "cumulative_trapezoid")
    return areas.cumsum(d) / 2


trapz = trapezoid
