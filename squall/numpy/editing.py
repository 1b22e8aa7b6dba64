"""Arrays repeated, and with elements put in and taken out, under NumPy's names."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.frontend import functions_movement as moving
from squall.frontend.by_values import by_values
from squall.frontend.movement import expand
from squall.numpy import joining, shaping
from squall.numpy.core import (
    arr,
    axis_tuple,
    cast,
    int_value,
    is_array,
    lift,
    one_axis,
    shape_of,
    taken,
)
from squall.numpy.kinds import can_cast


def tile(A: Any, reps: Any, /) -> Any:
    """The array repeated as a whole along each axis."""
    x = arr(A)
    counts = (
        tuple(int_value(r) for r in (reps.tolist() if is_array(reps) and reps.ndim else reps))
        if hasattr(reps, "__iter__") and getattr(reps, "ndim", 1)
        else (int_value(reps),)
    )
    counts = (1,) * (x.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.ndim) + tuple(x.node.shape)
    made = moving.reshape(x, tuple(n for s in shape for n in (1, s)))
    made = expand(made, *[n for c, s in zip(counts, shape, strict=True) for n in (c, s)]) if shape else made
    return lift(moving.reshape(made, tuple(c * s for c, s in zip(counts, shape, strict=True))).clone())


@by_values("repeat")
def repeat(a: Any, /, repeats: Any, axis: int | None = None) -> Any:
    """Each element repeated next to itself, flattened unless an axis is given.

    Args:
        repeats: how often; one number, or one for each position.
    """
    x = arr(a)
    x, d = (moving.reshape(x, (-1,)), 0) if axis is None else (x, one_axis(axis, x.ndim))
    count = arr(repeats)
    if not can_cast(count.node.dtype, int64) and count.numel():
        raise TypeError(
            f"Cannot cast array data from {count.node.dtype} to int64 according to the rule 'safe'"
        )
    size = x.node.shape[d]
    if count.numel() and bool((count < 0).any()):
        raise ValueError("repeats may not contain negative values.")
    if count.numel() == 1:
        n = int(count.item())
        shape = tuple(x.node.shape)
        wide = expand(x.unsqueeze(d + 1), *shape[: d + 1], n, *shape[d + 1 :])
        return lift(moving.reshape(wide, (*shape[:d], size * n, *shape[d + 1 :])).clone())
    if count.ndim > 1 or count.numel() != size:
        raise ValueError(
            f"operands could not be broadcast together with shape ({size},) {tuple(count.node.shape)}"
        )
    import numpy

    places = numpy.repeat(numpy.arange(size), count.tolist())
    return lift(taken(x, arr(places), d))


def resize(a: Any, new_shape: Any) -> Any:
    """The elements in a new shape, repeated as often as needed."""
    x, shape = arr(shaping.ravel(a)), shape_of(new_shape)
    count = 1
    for s in shape:
        count *= s
    have = x.node.shape[0]
    if not have or not count:
        return lift(x.new_zeros(shape))
    return shaping.reshape(moving.narrow(arr(tile(x, -(-count // have))), 0, 0, count), shape)


def _positions(obj: Any) -> Any:
    """A slice, or positions as a NumPy array."""
    import numpy

    return obj if isinstance(obj, slice) else numpy.asarray(arr(obj).detach_array() if is_array(obj) else obj)


@by_values("delete")
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """The array without some positions of an axis; flattened unless one is given."""
    x = _as_array(shaping.ravel(arr) if axis is None else arr)
    d = 0 if axis is None else one_axis(axis, x.ndim)
    import numpy

    size = x.node.shape[d]
    chosen = _positions(obj)
    if not isinstance(chosen, slice) and not chosen.size and chosen.dtype.kind == "f":
        chosen = chosen.astype(int)
    keep = numpy.ones(size, bool)
    if not isinstance(chosen, slice) and chosen.dtype == bool and chosen.shape != (size,):
        raise ValueError(
            f"boolean array argument obj to delete must be one dimensional and match the axis length of {size}"
        )
    keep[chosen] = False
    return lift(taken(x, _as_array(numpy.nonzero(keep)[0]), d))


_as_array = arr


@by_values("insert")
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Values put in before positions of an axis; flattened unless one is given."""
    import numpy

    x = _as_array(shaping.ravel(arr) if axis is None else arr)
    d = 0 if axis is None else one_axis(axis, x.ndim)
    size = x.node.shape[d]
    places = numpy.arange(size)[obj] if isinstance(obj, slice) else _positions(obj)
    if places.dtype == bool:
        places = numpy.flatnonzero(places)
    single, places = places.ndim == 0, numpy.atleast_1d(places).astype(int)
    if places.size and (places.min() < -size or places.max() > size):
        raise IndexError(f"index {places} is out of bounds for axis {d} with size {size}")
    places = numpy.where(places < 0, places + size, places)
    new = cast(_as_array(values), x.node.dtype)
    if single and new.ndim == x.ndim and x.ndim > 0 and axis is not None:
        places = numpy.repeat(places, new.node.shape[d]) if new.node.shape[d] != 1 else places
    elif single and new.ndim and x.ndim == 1:
        places = numpy.repeat(places, new.numel())
    elif single and axis is not None and new.ndim and new.ndim < x.ndim:
        new = new.unsqueeze(d) if new.ndim == x.ndim - 1 else new
    shape = tuple(x.node.shape)
    new = _as_array(shaping.broadcast_to(new, shape[:d] + (len(places),) + shape[d + 1 :]))
    order = numpy.argsort(places, kind="stable")
    where = places[order] + numpy.arange(len(places))
    total = size + len(places)
    source = numpy.empty(total, int)
    old = numpy.ones(total, bool)
    old[where] = False
    source[old], source[where] = numpy.arange(size), size + order
    return lift(taken(_as_array(joining.concat([x, new], d)), _as_array(source), d))


@by_values("trim_zeros")
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """An array without zeros at its front ("f") and back ("b"), along all axes or some.

    Raises:
        ValueError: for another letter in `trim`, or none.
    """
    where = trim.lower()
    if where not in ("f", "b", "fb", "bf"):
        raise ValueError(f"unexpected character(s) in `trim`: {trim!r}")
    x = arr(filt)
    found = x.detach_array().nonzero() if x.ndim else ()
    for d in axis_tuple(axis, x.ndim, "trim_zeros"):
        low, high = (int(found[d].min()), int(found[d].max()) + 1) if len(found[d]) else (0, 0)
        low = low if "f" in where else 0
        high = high if "b" in where or not len(found[d]) else x.node.shape[d]
        x = moving.narrow(x, d, low, high - low)
    return lift(x)
