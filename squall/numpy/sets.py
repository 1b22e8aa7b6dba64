"""Sets under NumPy's and the Array API's names. What has as many elements as the values say evaluates its argument."""

from __future__ import annotations

from typing import Any, NamedTuple

from squall.base.dtypes import bool_
from squall.frontend import arithmetic
from squall.frontend.by_values import by_values
from squall.frontend.core import record
from squall.ir.op import ops
from squall.numpy import joining, searching, shaping, sorting
from squall.numpy.core import (
    arr,
    cast,
    fresh,
    lift,
    one_axis,
    taken,
)
from squall.numpy.kinds import common


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Any
    inverse_indices: Any


def _unique(x: Any, equal_nan: bool = True, axis: Any = None) -> tuple:
    """(values, first positions, inverse, counts), sorted on the host."""
    import numpy

    array = x.detach_array()
    found = numpy.unique(
        array, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=equal_nan
    )
    return tuple(lift(fresh(f)) for f in found)


@by_values("unique")
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The different elements, or slices of an axis, in order.

    Args:
        return_index, return_inverse, return_counts: also the first position of each, where each element's value stands,
            how often each occurs.
    """
    x = arr(ar)
    parts = _unique(x, equal_nan, None if axis is None else one_axis(axis, x.ndim))
    kept = tuple(
        p
        for p, wanted in zip(parts, (True, return_index, return_inverse, return_counts), strict=True)
        if wanted
    )
    return kept[0] if len(kept) == 1 else kept


@by_values("unique_all")
def unique_all(x: Any, /) -> UniqueAll:
    """(values, indices, inverse_indices, counts) of the different elements; every NaN is one of its own."""
    x = arr(x)
    values, first, inverse, counts = _unique(x, False)
    return UniqueAll(values, first, shaping.reshape(inverse, tuple(x.node.shape)), counts)


@by_values("unique_counts")
def unique_counts(x: Any, /) -> UniqueCounts:
    """(values, counts) of the different elements; every NaN is one of its own."""
    values, _, _, counts = _unique(arr(x), False)
    return UniqueCounts(values, counts)


@by_values("unique_inverse")
def unique_inverse(x: Any, /) -> UniqueInverse:
    """(values, inverse_indices) of the different elements; every NaN is one of its own."""
    x = arr(x)
    values, _, inverse, _ = _unique(x, False)
    return UniqueInverse(values, shaping.reshape(inverse, tuple(x.node.shape)))


@by_values("unique_values")
def unique_values(x: Any, /) -> Any:
    """The different elements; every NaN is one of its own."""
    return _unique(arr(x), False)[0]


def isin(
    element: Any,
    test_elements: Any,
    /,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: Any = None,
) -> Any:
    """Whether each element is among others, or with `invert` is not."""
    if kind not in (None, "sort", "table"):
        raise ValueError(f"Invalid kind: '{kind}'. Please use None, 'sort' or 'table'.")
    x, others = arr(element), arr(test_elements).reshape(-1)
    if kind == "table" and (x.node.dtype.category > 1 or others.node.dtype.category > 1):
        raise ValueError("The 'table' method is only supported for boolean or integer arrays.")
    kind_ = common((x, others))
    x, others = cast(x, kind_), cast(others, kind_)
    if not others.numel():
        found = arithmetic.where(cast(x, bool_), False, False)
    elif kind_.category == 3 or others.numel() <= 8:
        found = (x.unsqueeze(-1) == others).any(-1)
    else:
        ordered = arr(sorting.sort(others))
        there = record(ops.searchsorted, (ordered, x), (False,)).clamp(0, ordered.node.shape[0] - 1)
        found = taken(ordered, there, 0) == x
    return lift(found.logical_not() if invert else found)


def _two_sets(ar1: Any, ar2: Any, unique_already: bool) -> tuple:
    a, b = shaping.ravel(ar1), shaping.ravel(ar2)
    return (a, b) if unique_already else (unique(a), unique(b))


@by_values("intersect1d")
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The elements of both arrays, in order; with `return_indices` also where each first stands in them."""
    a, b = shaping.ravel(ar1), shaping.ravel(ar2)
    first, second = _two_sets(a, b, assume_unique)
    found = sorting.sort(searching.compress(isin(first, second), first))
    if not return_indices:
        return found
    return found, *(_first_places(x, found) for x in (a, b))


def _first_places(x: Any, values: Any) -> Any:
    different, first = unique(x, return_index=True)
    return searching.take(first, sorting.searchsorted(different, values))


@by_values("union1d")
def union1d(ar1: Any, ar2: Any) -> Any:
    """The elements of either array, in order."""
    return unique(joining.concat((ar1, ar2), None))


@by_values("setdiff1d")
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The elements of the first array that the second lacks, in order."""
    a, b = _two_sets(ar1, ar2, assume_unique)
    return searching.compress(isin(a, b, invert=True), a)


@by_values("setxor1d")
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The elements of exactly one of two arrays, in order."""
    a, b = _two_sets(ar1, ar2, assume_unique)
    return sorting.sort(
        joining.concat(
            [searching.compress(isin(a, b, invert=True), a), searching.compress(isin(b, a, invert=True), b)]
        )
    )


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array, with values put before and after."""
    import numpy

    x = arr(ary).reshape(-1)
    parts = [lift(x[1:] - x[:-1])]
    for given, front in ((to_begin, True), (to_end, False)):
        if given is not None:
            extra = arr(given)
            if not numpy.can_cast(extra.detach_array().dtype, x.detach_array().dtype, "same_kind"):
                name = "to_begin" if front else "to_end"
                raise TypeError(
                    f"dtype of `{name}` must be compatible with input `ary` under the `same_kind` rule."
                )
            part = lift(cast(shaping.ravel(extra), x.node.dtype))
            parts = [part, *parts] if front else [*parts, part]
    return joining.concat(parts)
