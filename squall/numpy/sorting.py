"""Sorting and sorted sequences under NumPy's and the Array API's names; equal elements keep their order."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, int64
from squall.frontend import reductions
from squall.frontend.core import record
from squall.ir.op import ops
from squall.numpy import elementwise as el
from squall.numpy import shaping
from squall.numpy.core import (
    arr,
    cast,
    fresh,
    int_value,
    lift,
    one_axis,
    taken,
)
from squall.numpy.kinds import common


# ---------------------------------------------------------------- sorting
def _order(x: Any, axis: int, descending: bool) -> tuple[Any, Any]:
    """(values, positions) in stable order along an axis; complex numbers by real, then imaginary parts."""
    if x.node.dtype.category == 3:
        places = _complex_order(x, axis, descending)
        return x.gather(axis, places), places
    if x.node.dtype is bool_:
        values, places = reductions.sort(cast(x, int64), axis, descending)
        return cast(values, bool_), places
    return reductions.sort(x, axis, descending)


def _complex_order(x: Any, axis: int, descending: bool) -> Any:
    missing = arr(el.isnan(x))
    first = reductions.sort(x.imag, axis, descending)[1]
    again = reductions.sort(x.real.gather(axis, first), axis, descending)[1]
    places = first.gather(axis, again)
    last = reductions.sort(cast(missing.gather(axis, places), int64), axis, False)[1]
    return places.gather(axis, last)


def sort(
    a: Any,
    /,
    axis: int | None = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """The elements in order along an axis (flattened when it is None); the order of equal ones stays."""
    x = arr(a)
    if axis is None:
        x, axis = x.reshape(-1), 0
    d = one_axis(axis, x.ndim) if x.ndim or axis not in (-1, 0) else 0
    return lift(_order(x, d, descending)[0] if x.ndim and x.numel() else x.clone())


def argsort(
    a: Any,
    /,
    axis: int | None = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """The positions that sort along an axis (flattened when it is None)."""
    x = arr(a)
    if axis is None or not x.ndim:
        x, axis = x.reshape(-1), 0
    d = one_axis(axis, x.ndim)
    return lift(_order(x, d, descending)[1] if x.numel() else cast(x, int64))


def sort_complex(a: Any) -> Any:
    """The elements as complex numbers, in order."""
    x = arr(a)
    kind = common((x, 1j)) if x.node.dtype.itemsize > 2 or x.node.dtype.category == 2 else common((1j, "c8"))
    return sort(cast(x, kind))


def lexsort(keys: Any, axis: int = -1) -> Any:
    """The positions that sort by the last key, equal ones by the one before, and so on."""
    import numpy

    given = [arr(k) for k in keys]
    if not given:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    places = None
    for key in given:
        if not key.ndim:
            return lift(fresh(numpy.zeros((), "int64")))
        d = one_axis(axis, key.ndim)
        if places is None:
            places = _order(key, d, False)[1]
        else:
            places = places.gather(d, _order(key.gather(d, places), d, False)[1])
    return lift(places)


def partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Any:
    """The elements so that the k-th ones stand where sorting puts them (they are sorted)."""
    _check_kth(a, kth, axis)
    return sort(a, axis)


def argpartition(
    a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """The positions that `partition` gives."""
    _check_kth(a, kth, axis)
    return argsort(a, axis)


def _check_kth(a: Any, kth: Any, axis: Any) -> None:
    x = arr(a)
    size = x.numel() if axis is None else x.node.shape[one_axis(axis, x.ndim)] if x.ndim else 1
    for k in kth if hasattr(kth, "__iter__") else (kth,):
        if not -size <= int_value(k) < size:
            raise ValueError(f"kth(={k}) out of bounds ({size})")


def searchsorted(a: Any, /, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """The first (side "left") or last ("right") position in a sorted vector where each value can be put."""
    if side not in ("left", "right"):
        raise ValueError(f"search side must be 'left' or 'right' (got {side!r})")
    sequence, values = arr(a), arr(v)
    if sequence.ndim != 1:
        raise ValueError("object too deep for desired array: `a` must be 1-d")
    if sorter is not None:
        order = arr(sorter)
        if order.node.dtype.category != 1:
            raise TypeError("sorter must only contain integers")
        if tuple(order.node.shape) != tuple(sequence.node.shape):
            raise ValueError("sorter.size must equal a.size")
        sequence = taken(sequence, order, 0)
    kind = common((sequence, values))
    return lift(record(ops.searchsorted, (cast(sequence, kind), cast(values, kind)), (side == "right",)))


def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The number of the interval between bins, which rise or fall, that each value lies in."""
    values, edges = arr(x), arr(bins)
    if values.node.dtype.category == 3:
        raise TypeError("x may not be complex")
    rising, falling = (
        bool(arr(test(edges[1:], edges[:-1])).all()) for test in (el.greater_equal, el.less_equal)
    )
    if not rising and not falling:
        raise ValueError("bins must be monotonically increasing or decreasing")
    if rising:
        return searchsorted(edges, values, "left" if right else "right")
    found = searchsorted(shaping.flip(edges), values, "left" if right else "right")
    return el.subtract(edges.node.shape[0], found)
