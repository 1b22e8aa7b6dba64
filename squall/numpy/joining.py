"""Arrays joined and split under NumPy's and the Array API's names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from squall.frontend import functions_movement as moving
from squall.frontend.core import record
from squall.ir.op import ops
from squall.numpy import shaping
from squall.numpy.core import (
    arr,
    cast,
    int_value,
    is_array,
    lift,
    one_axis,
    write_out,
)
from squall.numpy.kinds import can_cast, common, dtype_of


# ---------------------------------------------------------------- joining
def _joined(arrays: Any, dtype: Any, casting: str) -> list:
    if is_array(arrays):
        arrays = arr(arrays).unbind(0)
    parts = [arr(a) for a in arrays]
    if not parts:
        raise ValueError("need at least one array to concatenate")
    kind = common(parts) if dtype is None else dtype_of(dtype)
    if not can_cast(common(parts), kind, casting):
        raise TypeError(
            f"Cannot cast array data from {common(parts)} to {kind} according to the rule '{casting}'"
        )
    return [cast(p, kind) for p in parts]


def concat(
    arrays: Any, /, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """Arrays joined along an axis; flattened first when it is None."""
    if out is not None and dtype is not None:
        raise TypeError("concatenate() only takes `out` or `dtype` as an argument, but both were provided.")
    parts = _joined(arrays, dtype, "unsafe" if out is not None else casting)
    if axis is None:
        parts, axis = [moving.reshape(p, (-1,)) for p in parts], 0
    rank = parts[0].ndim
    if not rank:
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    d = one_axis(axis, rank)
    for i, p in enumerate(parts):
        same = p.ndim == rank and all(
            a == b for k, (a, b) in enumerate(zip(p.node.shape, parts[0].node.shape)) if k != d
        )
        if not same:
            raise ValueError(
                f"all the input array dimensions except for the concatenation axis must match exactly, but "
                f"the array at index 0 has shape {tuple(parts[0].node.shape)} and the array at index {i} "
                f"has shape {tuple(p.node.shape)}"
            )
    made = record(ops.concat, tuple(parts), (d,)) if len(parts) > 1 else parts[0].clone()
    return write_out(out, lift(made), casting, "concatenate")


concatenate = concat


def stack(
    arrays: Any, /, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """Arrays of one shape joined along a new axis."""
    if is_array(arrays):
        arrays = arr(arrays).unbind(0)
    parts = [arr(a) for a in arrays]
    if not parts:
        raise ValueError("need at least one array to stack")
    if len({tuple(p.node.shape) for p in parts}) != 1:
        raise ValueError("all input arrays must have the same shape")
    d = one_axis(axis, parts[0].ndim + 1)
    return concat([shaping.expand_dims(p, d) for p in parts], d, out, dtype=dtype, casting=casting)


def atleast_1d(*arys: Any) -> Any:
    """Arrays with at least one dimension."""
    return _atleast(arys, lambda x: moving.reshape(x, (1,)) if not x.ndim else x)


def atleast_2d(*arys: Any) -> Any:
    """Arrays with at least two dimensions; vectors become rows."""
    return _atleast(arys, lambda x: moving.reshape(x, (1, -1)) if x.ndim < 2 else x)


def atleast_3d(*arys: Any) -> Any:
    """Arrays with at least three dimensions; vectors become shape (1, n, 1)."""

    def grow(x: Any) -> Any:
        return moving.reshape(x, (1, -1, 1)) if x.ndim < 2 else x.unsqueeze(-1) if x.ndim == 2 else x

    return _atleast(arys, grow)


def _atleast(arys: tuple, grow: Any) -> Any:
    made = tuple(lift(grow(arr(a))) for a in arys)
    return made[0] if len(made) == 1 else made


def _parts_of(tup: Any, grow: Any) -> list:
    if not hasattr(tup, "__len__"):
        raise TypeError("arrays to stack must be passed as a sequence type such as list or tuple")
    made = grow(*tup)
    return list(made) if isinstance(made, tuple) else [made]


def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays joined along the first axis; vectors are rows."""
    return concat(_parts_of(tup, atleast_2d), 0, dtype=dtype, casting=casting)


row_stack = vstack


def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays joined along the second axis; vectors along the first."""
    parts = _parts_of(tup, atleast_1d)
    return concat(parts, 0 if parts and parts[0].ndim == 1 else 1, dtype=dtype, casting=casting)


def dstack(tup: Any) -> Any:
    """Arrays joined along the third axis."""
    return concat(_parts_of(tup, atleast_3d), 2)


def column_stack(tup: Any) -> Any:
    """Vectors as the columns of a matrix; matrices as they are."""
    if not hasattr(tup, "__len__"):
        raise TypeError("arrays to stack must be passed as a sequence type such as list or tuple")
    parts = [arr(t) for t in tup]
    return concat([moving.reshape(p, (-1, 1)) if p.ndim < 2 else p for p in parts], 1)


def append(array: Any, values: Any, axis: int | None = None) -> Any:
    """Values joined to the end; both flattened unless an axis is given."""
    return (
        concat([shaping.ravel(array), shaping.ravel(values)], 0)
        if axis is None
        else concat([array, values], axis)
    )


def block(arrays: Any) -> Any:
    """Nested lists of arrays joined: the innermost along the last axis, the next along the one before."""

    def depth_of(a: Any) -> int:
        if isinstance(a, tuple):
            raise TypeError("block: arrays must be given in lists, not tuples")
        if isinstance(a, list) and not a:
            raise ValueError("List at arrays cannot be empty")
        depths = {depth_of(x) for x in a} if isinstance(a, list) else {-1}
        if len(depths) != 1:
            raise ValueError("List depths are mismatched")
        return depths.pop() + 1

    def most(a: Any) -> int:
        return max(most(x) for x in a) if isinstance(a, list) else arr(a).ndim

    depth = depth_of(arrays)
    rank = max(depth, most(arrays))

    def join(a: Any, level: int) -> Any:
        if not isinstance(a, list):
            x = arr(a)
            return moving.reshape(x, (1,) * (rank - x.ndim) + tuple(x.node.shape))
        return concat([join(x, level + 1) for x in a], rank - depth + level)

    return lift(arr(join(arrays, 0)).clone())


# ---------------------------------------------------------------- splitting
def unstack(x: Any, /, *, axis: int = 0) -> tuple:
    """The parts along an axis, without it."""
    x = arr(x)
    if not x.ndim:
        raise ValueError("Input array must be at least 1-d.")
    return lift(moving.unbind(x, one_axis(axis, x.ndim)))


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    """Parts along an axis: a number of nearly equal ones, or cut at indices."""
    x = arr(ary)
    d = one_axis(axis, x.ndim)
    size = x.node.shape[d]
    if hasattr(indices_or_sections, "__len__") and getattr(indices_or_sections, "ndim", 1):
        cuts = [0, *[int_value(i) for i in indices_or_sections], size]
    else:
        count = int_value(indices_or_sections)
        if count <= 0:
            raise ValueError("number sections must be larger than 0.")
        each, extra = divmod(size, count)
        cuts = [0]
        for i in range(count):
            cuts.append(cuts[-1] + each + (i < extra))
    out = []
    for start, stop in pairwise(cuts):
        low, high, _ = slice(start, stop).indices(size)
        out.append(lift(moving.narrow(x, d, low, max(high - low, 0))))
    return out


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    """Equal parts along an axis, or parts cut at indices.

    Raises:
        ValueError: when the size is not a multiple of the number.
    """
    x = arr(ary)
    if not hasattr(indices_or_sections, "__len__"):
        size = x.node.shape[one_axis(axis, x.ndim)]
        if size % int_value(indices_or_sections):
            raise ValueError("array split does not result in an equal division")
    return array_split(x, indices_or_sections, axis)


def hsplit(ary: Any, indices_or_sections: Any) -> list:
    """`split` along the second axis, of vectors along the first."""
    x = arr(ary)
    if not x.ndim:
        raise ValueError("hsplit only works on arrays of 1 or more dimensions")
    return split(x, indices_or_sections, 1 if x.ndim > 1 else 0)


def vsplit(ary: Any, indices_or_sections: Any) -> list:
    """`split` along the first axis."""
    x = arr(ary)
    if x.ndim < 2:
        raise ValueError("vsplit only works on arrays of 2 or more dimensions")
    return split(x, indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> list:
    """`split` along the third axis."""
    x = arr(ary)
    if x.ndim < 3:
        raise ValueError("dsplit only works on arrays of 3 or more dimensions")
    return split(x, indices_or_sections, 2)
