"""Searching and sets, under PyTorch's names: searchsorted, bucketize, isin, unique, argwhere.

What has as many elements as the values say (`unique`, `argwhere`) evaluates the Tensor.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, int32
from squall.base.errors import ArgumentError, ShapeError
from squall.base.shapes import normalize_dim
from squall.frontend import creation
from squall.frontend.arrays import computed
from squall.frontend.by_values import by_values
from squall.frontend.core import Handle, cast, common_dtype, record, wrap
from squall.frontend.declaring import of_tensor, with_out
from squall.frontend.joining import pad
from squall.frontend.out import checked
from squall.ir.op import ops, refuse_float8


# ---------------------------------------------------------------- sorted sequences
def _right(right: bool, side: str | None) -> bool:
    if side not in (None, "left", "right"):
        raise ArgumentError(f"searchsorted: side can only be 'left' or 'right' but got {side!r}")
    if side == "left" and right:
        raise ArgumentError("searchsorted: side and right can't be set to opposites, got side of left while right is "
                            "True")
    return right or side == "right"


@with_out
def searchsorted(sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False,
                 side: str | None = None, sorter: Any = None) -> Any:
    """The first position in a sorted sequence where each value can be put; with `right`, or side "right", the last.

    Args:
        sorted_sequence: 1-d, or with a sequence for each row of input. sorter: the order that sorts the sequence,
            if it is not sorted itself.
    """
    sequence = checked(sorted_sequence, "searchsorted", "sorted_sequence")
    if sorter is not None:
        sequence = sequence.gather(-1, sorter)
    values = input if isinstance(input, Handle) else creation.full((), input, dtype=sequence.node.dtype)
    dtype = common_dtype((sequence, values))
    found = record(ops.searchsorted, (cast(sequence, dtype), cast(values, dtype)), (_right(right, side),))
    return cast(found, int32) if out_int32 else found


@with_out
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The number of the interval between boundaries that each value lies in."""
    edges = checked(boundaries, "bucketize", "boundaries")
    if edges.ndim != 1:
        raise ShapeError(f"bucketize: boundaries must be 1-d, got shape {list(edges.node.shape)}")
    return searchsorted(edges, input, out_int32=out_int32, right=right)


@with_out
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element is among the others.

    Args:
        assume_unique: accepted; nothing depends on it. invert: whether it is not.
    """
    if not isinstance(elements, Handle) and not isinstance(test_elements, Handle):
        raise TypeError("isin(): argument 'elements' or 'test_elements' must be Tensor, not two numbers")
    dtype = common_dtype((elements, test_elements))
    x, others = (cast(v, dtype) if isinstance(v, Handle) else creation.full((), v, dtype=dtype)
                 for v in (elements, test_elements))
    if not others.numel():
        found = creation.zeros_like(x, dtype=bool_)
    else:
        ordered = others.reshape(-1).sort(0).values
        place = record(ops.searchsorted, (ordered, x), (False,)).clamp(max=ordered.node.shape[0] - 1)
        found = record(ops.take, (ordered, place), (0,)) == x
    return found.logical_not() if invert else found


# ---------------------------------------------------------------- positions
@by_values("argwhere")
def argwhere(input: Any) -> Any:
    """Positions of nonzero elements, as rows (evaluates the Tensor)."""
    return checked(input, "argwhere").nonzero()


@by_values("nonzero_static")
@of_tensor
def nonzero_static(input: Any, *, size: int, fill_value: int = -1) -> Any:
    """`nonzero` cut or filled up to a number of rows."""
    rows = input.nonzero()
    count = rows.node.shape[0]
    return rows.narrow(0, 0, size) if count >= size else pad(rows, (0, 0), (size - count, 0), fill_value)


# ---------------------------------------------------------------- sets
def _tensor(array: Any, like: Any) -> Any:
    """An array computed on the host as a Tensor of the dtype of another."""
    return creation.tensor(array, dtype=like.node.dtype)


def _counted(array: Any) -> Any:
    return wrap(computed(array.astype("int64")))


def _chosen(parts: tuple, wanted: tuple) -> Any:
    kept = tuple(p for p, w in zip(parts, wanted, strict=True) if w)
    return kept[0] if len(kept) == 1 else kept


@by_values("unique")
def unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:
    """The different elements, or slices along dim, in order (evaluates the Tensor).

    Args:
        sorted: accepted; the result is always sorted. return_inverse: also where each element's value stands.
            return_counts: also how often each occurs.
    """
    x = checked(input, "unique")
    refuse_float8("unique", x.node.type)
    d = None if dim is None else normalize_dim(dim, x.ndim, "unique")
    import numpy

    array = x.detach_array()
    narrow = array.dtype.itemsize == 2 and array.dtype.kind not in "iu"
    array = array.astype(numpy.float32) if narrow else array
    values, inverse, counts = numpy.unique(array, return_inverse=True, return_counts=True, axis=d, equal_nan=False)
    shape = x.node.shape if d is None else (x.node.shape[d],)
    parts = (_tensor(values, x), _counted(inverse.reshape(shape)), _counted(counts))
    return _chosen(parts, (True, return_inverse, return_counts))


@by_values("unique_consecutive")
def unique_consecutive(input: Any, return_inverse: bool = False, return_counts: bool = False,
                       dim: int | None = None) -> Any:
    """The first of each run of equal elements, or slices along dim (evaluates the Tensor)."""
    x = checked(input, "unique_consecutive")
    refuse_float8("unique_consecutive", x.node.type)
    import numpy

    array = x.detach_array()
    d = 0 if dim is None else normalize_dim(dim, x.ndim, "unique_consecutive")
    rows = array.reshape(-1) if dim is None else numpy.moveaxis(array, d, 0)
    count = rows.shape[0]
    flat = rows.reshape(count, -1) if count else rows.reshape(0, 1)
    new = numpy.ones(count, bool)
    new[1:] = (flat[1:] != flat[:-1]).any(1)
    starts = numpy.nonzero(new)[0]
    values = rows[starts] if dim is None else numpy.moveaxis(rows[starts], 0, d)
    inverse = numpy.cumsum(new) - 1
    counts = numpy.diff(numpy.append(starts, count))
    shape = x.node.shape if dim is None else (count,)
    parts = (_tensor(numpy.ascontiguousarray(values), x), _counted(inverse.reshape(shape)), _counted(counts))
    return _chosen(parts, (True, return_inverse, return_counts))
