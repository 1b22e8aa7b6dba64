"""Facts about arrays and positions in them, under NumPy's names."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, int64
from squall.frontend import arithmetic
from squall.numpy import searching
from squall.numpy.core import arr, cast, int_value, lift, shape_of


def shape(a: Any) -> tuple:
    """The sizes of an array, or of what would be one."""
    return tuple(arr(a).node.shape)


def ndim(a: Any) -> int:
    """The number of dimensions of an array, or of what would be one."""
    return arr(a).ndim


def size(a: Any, axis: int | None = None) -> Any:
    """The number of elements, or the size of an axis."""
    x = arr(a)
    return x.numel() if axis is None else x.node.shape[axis]


def ix_(*args: Any) -> tuple:
    """Vectors as index arrays that select every combination of them; booleans stand for their positions."""
    found = []
    for i, given in enumerate(args):
        x = arr(given)
        if x.ndim != 1:
            raise ValueError("Cross index must be 1 dimensional")
        if x.node.dtype is bool_:
            x = arr(searching.nonzero(x)[0])
        elif not x.numel():
            x = cast(x, int64)
        found.append(lift(x.reshape(tuple(-1 if k == i else 1 for k in range(len(args))))))
    return tuple(found)


def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple:
    """Positions in a flattened shape as coordinates: one array for each dimension.

    Args:
        order: "C": the last coordinate runs fastest; "F": the first.
    """
    sizes = shape_of(shape)
    place = arr(indices)
    if place.node.dtype.category != 1 and place.numel():
        raise TypeError("only int indices permitted")
    total = 1
    for n in sizes:
        total *= n
    if place.numel() and (int(place.min()) < 0 or int(place.max()) >= total):
        wrong = int(place.min()) if int(place.min()) < 0 else int(place.max())
        raise ValueError(f"index {wrong} is out of bounds for array with size {total}")
    place, found = cast(place, int64), []
    for n in sizes if order == "F" else sizes[::-1]:
        found.append(lift(place.remainder(max(n, 1))))
        place = place.floor_divide(max(n, 1))
    return tuple(found if order == "F" else found[::-1])


def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """Coordinates, one array for each dimension, as positions in the flattened shape.

    Args:
        mode: what coordinates out of range mean: "raise" ValueError, "wrap" around, "clip" to the ends.
    """
    sizes = shape_of(dims)
    modes = (mode,) * len(sizes) if isinstance(mode, str) else tuple(mode)
    parts = [arr(m) for m in multi_index]
    if len(parts) != len(sizes):
        raise ValueError(f"parameter multi_index must be a sequence of length {len(sizes)}")
    total: Any = None
    steps, step = [], 1
    for n in sizes if order == "F" else sizes[::-1]:
        steps.append(step)
        step *= n
    if step >= 1 << 63:
        raise ValueError("invalid dims: array size defined by dims is larger than the maximum possible size.")
    steps = steps if order == "F" else steps[::-1]
    for part, n, how, width in zip(parts, sizes, modes, steps, strict=True):
        if part.node.dtype.category > 1:
            raise TypeError("only int indices permitted")
        part = cast(part, int64)
        if how == "wrap":
            part = part.remainder(n)
        elif how == "clip":
            part = part.clamp(0, n - 1)
        elif part.numel() and (int(part.min()) < 0 or int(part.max()) >= n):
            raise ValueError("invalid entry in coordinates array")
        moved = part * int_value(width)
        total = moved if total is None else arithmetic.add(total, moved, 1)
    return lift(total)
