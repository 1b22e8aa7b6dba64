"""Sorting, searching, sets and indexing functions under NumPy's and the Array API's names.

What has as many elements as the values say (`nonzero`, `unique`) evaluates its argument.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, int64
from squall.base.shapes import broadcast
from squall.frontend import arithmetic, functions_movement, reductions
from squall.frontend.by_values import by_values
from squall.frontend.creation import arange
from squall.frontend.movement import expand
from squall.ir.op import ops
from squall.numpy import editing, joining, shaping
from squall.numpy import elementwise as el
from squall.numpy.core import (
    arr,
    cast,
    fresh,
    is_array,
    lift,
    of_dtype,
    one_axis,
    taken,
    write_out,
)
from squall.numpy.kinds import common


# ---------------------------------------------------------------- extremes and counts
def _position(a: Any, axis: Any, out: Any, keepdims: bool, name: str) -> Any:
    x = arr(a)
    kind = x.node.dtype
    if kind is bool_:
        x = cast(x, int64)
    if kind.category == 3:
        return _complex_position(x, axis, out, keepdims, name)
    rank = x.ndim
    if axis is None:
        x = x.reshape(-1)
    d = 0 if axis is None else one_axis(axis, x.ndim)
    if x.ndim and not x.node.shape[d]:
        raise ValueError(f"attempt to get {name} of an empty sequence")
    made = reductions.position(
        getattr(ops, name), x, d if x.ndim else None, bool(keepdims) and axis is not None
    )
    if keepdims and axis is None:
        made = made.reshape((1,) * rank)
    return write_out(out, lift(made), "same_kind", name)


def _complex_position(x: Any, axis: Any, out: Any, keepdims: bool, name: str) -> Any:
    rank = x.ndim
    x, d = (x.reshape(-1), 0) if axis is None else (x, one_axis(axis, x.ndim))
    if not x.node.shape[d]:
        raise ValueError(f"attempt to get {name} of an empty sequence")
    missing = arr(el.isnan(x))
    best = arr((el.maximum if name == "argmax" else el.minimum).reduce(x, d, keepdims=True))
    found = cast(arithmetic.where(missing.any(d, True), missing, x == best), int64).argmax(d, keepdims)
    return write_out(
        out, lift(found.reshape((1,) * rank) if keepdims and axis is None else found), "same_kind", name
    )


def argmax(a: Any, /, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the largest element along an axis (of the flattened array), the first of ties."""
    return _position(a, axis, out, keepdims, "argmax")


def argmin(a: Any, /, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the smallest element along an axis (of the flattened array), the first of ties."""
    return _position(a, axis, out, keepdims, "argmin")


@by_values("nonzero")
def nonzero(a: Any, /) -> tuple:
    """The positions of nonzero elements: one array for each dimension."""
    x = arr(a)
    if not x.ndim:
        raise ValueError(
            "Calling nonzero on 0d arrays is not allowed. Use np.atleast_1d(scalar).nonzero() instead."
        )
    return tuple(lift(fresh(p)) for p in x.detach_array().nonzero())


@by_values("flatnonzero")
def flatnonzero(a: Any) -> Any:
    """The positions of nonzero elements of the flattened array."""
    return nonzero(shaping.ravel(a))[0]


@by_values("argwhere")
def argwhere(a: Any) -> Any:
    """The positions of nonzero elements as rows."""
    import numpy

    x = arr(a)
    return lift(fresh(numpy.argwhere(x.detach_array())))


def where(condition: Any, x1: Any = None, x2: Any = None, /) -> Any:
    """x1 where a condition holds, else x2; with a condition alone, the positions where it does."""
    if (x1 is None) is not (x2 is None):
        raise ValueError("either both or neither of x and y should be given")
    mask = cast(arr(condition), bool_)
    if x1 is None:
        return nonzero(mask)
    values = [v if v.__class__ in (int, float, complex, bool) else arr(v) for v in (x1, x2)]
    kind = common(values)
    return lift(arithmetic.where(mask, *[of_dtype(v, kind) for v in values]))


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For each element the choice of the first condition that holds, else the default."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not len(condlist):
        raise ValueError("select with an empty condition list is not possible")
    conditions = [arr(c) for c in condlist]
    for i, c in enumerate(conditions):
        if c.node.dtype is not bool_:
            raise TypeError(f"invalid entry {i} in condlist: should be boolean ndarray")
    choices = [c if c.__class__ in (int, float, complex) else arr(c) for c in (*choicelist, default)]
    kind = common(choices)
    shape = shaping.broadcast_shapes(
        *[tuple(c.node.shape) for c in conditions], *[tuple(c.node.shape) for c in choices if is_array(c)]
    )
    made = arr(shaping.broadcast_to(of_dtype(choices[-1], kind), shape))
    for condition, choice in zip(conditions[::-1], choices[-2::-1], strict=True):
        made = arithmetic.where(condition, of_dtype(choice, kind), made)
    return lift(made)


@by_values("extract")
def extract(condition: Any, arr: Any) -> Any:
    """The elements of the flattened array where a condition holds."""
    return compress(shaping.ravel(condition), shaping.ravel(arr))


@by_values("compress")
def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    """The positions of an axis (of the flattened array) where a condition holds."""
    mask = arr(condition)
    if mask.ndim != 1:
        raise ValueError("condition must be a 1-d array")
    x, d = (arr(a).reshape(-1), 0) if axis is None else (arr(a), one_axis(axis, arr(a).ndim))
    return write_out(out, lift(taken(x, nonzero(mask)[0], d)), "same_kind", "compress")


# ---------------------------------------------------------------- by index
def _index(indices: Any) -> Any:
    places = arr(indices)
    if places.node.dtype is not bool_ and places.node.dtype.category != 1 and places.numel():
        raise TypeError(
            f"Cannot cast array data from {places.node.dtype} to int64 according to the rule 'safe'"
        )
    return cast(places, int64)


def take(a: Any, /, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    """Elements along an axis (of the flattened array) by position.

    Args:
        mode: what positions out of range mean: "raise" IndexError, "wrap" around, "clip" to the ends.
    """
    x, places = arr(a), _index(indices)
    x, d = (x.reshape(-1), 0) if axis is None else (x, one_axis(axis, x.ndim))
    size = x.node.shape[d]
    if not size and places.numel():
        raise IndexError("cannot do a non-empty take from an empty axes.")
    if mode == "wrap":
        places = places.remainder(size)
    elif mode == "clip":
        places = places.clamp(0, size - 1)
    elif mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    else:
        check_places(places, size, d)
    return write_out(out, lift(taken(x, places, d)), "unsafe", "take")


def check_places(places: Any, size: int, axis: int) -> None:
    """IndexError for known positions that are out of range."""
    if places.numel() and places.node.buffer is not None:
        low, high = int(places.min()), int(places.max())
        if low < -size or high >= size:
            wrong = low if low < -size else high
            raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")


def take_along_axis(arr_: Any, indices: Any, /, axis: int | None = -1) -> Any:
    """Elements along an axis by an index of the same rank; the other dimensions broadcast."""
    x, places = arr(arr_), arr(indices)
    if places.node.dtype.category != 1:
        raise IndexError("`indices` must be an integer array")
    if axis is None:
        if places.ndim != 1:
            raise ValueError("when axis=None, `indices` must have a single dimension.")
        x, axis = x.reshape(-1), 0
    d = one_axis(axis, x.ndim)
    if places.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    check_places(places, x.node.shape[d], d)
    first, second = (tuple(1 if i == d else n for i, n in enumerate(t.node.shape)) for t in (x, places))
    rest = broadcast(first, second, "take_along_axis")
    shapes = [rest[:d] + (t.node.shape[d],) + rest[d + 1 :] for t in (x, places)]
    places = cast(places, int64)
    places = arithmetic.where(places < 0, places + x.node.shape[d], places)
    return lift(expand(x, *shapes[0]).gather(d, expand(places, *shapes[1])))


def put_along_axis(arr_: Any, indices: Any, values: Any, axis: int | None) -> None:
    """Elements along an axis replaced in place by an index of the same rank."""
    x = lift(arr(arr_).reshape(-1) if axis is None else arr(arr_))
    d = 0 if axis is None else one_axis(axis, x.ndim)
    places = arr(indices)
    if places.node.dtype.category != 1:
        raise IndexError("`indices` must be an integer array")
    if places.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    shape = tuple(places.node.shape)
    rest = tuple(x.shape[:d]) + shape[d : d + 1] + tuple(x.shape[d + 1 :])
    places = arr(shaping.broadcast_to(places, rest))
    grid = [
        arange(n).reshape(tuple(-1 if i == k else 1 for i in range(len(rest)))) for k, n in enumerate(rest)
    ]
    index = tuple(lift(places if k == d else g) for k, g in enumerate(grid))
    x[index] = values


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Elements of the flattened array replaced in place; values repeat as often as needed."""
    if not is_array(a):
        raise TypeError(f"argument 1 must be an array, not {type(a).__name__}")
    places, size = _index(ind).reshape(-1), arr(a).numel()
    places = (
        places.remainder(size) if mode == "wrap" else places.clamp(0, size - 1) if mode == "clip" else places
    )
    check_places(places, size, 0)
    count, values = places.numel(), arr(v)
    if not count or not values.numel():
        return
    values = editing.resize(values, (count,))
    flat = arr(a).reshape(-1).clone()
    flat[places] = cast(values, a.node.dtype)
    a[...] = flat.reshape(tuple(a.shape))


def putmask(a: Any, mask: Any, values: Any) -> None:
    """Elements replaced in place where a mask holds, by values at the same places (repeated as often as needed)."""
    if not is_array(a):
        raise TypeError(f"argument 1 must be an array, not {type(a).__name__}")
    chosen = cast(arr(mask), bool_)
    if chosen.numel() != arr(a).numel():
        raise ValueError("putmask: mask and data must be the same size")
    spread = editing.resize(values, tuple(a.shape))
    a[...] = arithmetic.where(chosen.reshape(tuple(a.shape)), cast(spread, a.node.dtype), arr(a))


def place(arr: Any, mask: Any, vals: Any) -> None:
    """Elements replaced in place where a mask holds, by the next of some values (repeated as often as needed)."""
    if not is_array(arr):
        raise TypeError(f"argument 1 must be an array, not {type(arr).__name__}")
    found = flatnonzero(mask)
    if found.size:
        if not shaping.ravel(vals).size:
            raise ValueError("Cannot insert from an empty array!")
        put(arr, found, editing.resize(vals, (found.size,)))


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """Values written into an array, broadcast, where a mask holds."""
    made = shaping.broadcast_to(src, tuple(dst.shape))
    made = (
        made
        if where is True
        else arithmetic.where(cast(arr(where), bool_), cast(made, arr(dst).node.dtype), arr(dst))
    )
    write_out(dst, lift(made), casting, "copyto")


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """For each element of an index array, the element of the choice it names."""
    index, given = _index(a), [arr(c) for c in choices]
    count = len(given)
    if mode == "raise":
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= count):
            raise ValueError("invalid entry in choice array")
    index = index.remainder(count) if mode == "wrap" else index.clamp(0, count - 1)
    parts = arr(joining.stack(shaping.broadcast_arrays(*given)))
    shape = shaping.broadcast_shapes(tuple(index.node.shape), tuple(parts.node.shape[1:]))
    wide = arr(
        shaping.broadcast_to(
            parts.reshape((count,) + (1,) * (len(shape) - parts.ndim + 1) + tuple(parts.node.shape[1:])),
            (count, *shape),
        )
    )
    made = functions_movement.gather(
        wide, 0, expand(index, *shape).unsqueeze(0) if shape else index.reshape(1)
    )
    return write_out(out, lift(made.reshape(shape)), "unsafe", "choose")


# ---------------------------------------------------------------- sets
def _numpy() -> Any:
    import numpy

    return numpy
