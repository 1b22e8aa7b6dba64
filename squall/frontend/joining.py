"""Tensors put together and turned around: cat, stack, roll, flip, pad. These copy."""

from __future__ import annotations

from typing import Any

from squall.base.dim import Dim, bounds
from squall.base.errors import ArgumentError, IndexRangeError, ShapeError
from squall.base.shapes import normalize_dim, normalize_dims
from squall.frontend.conversion import own_memory
from squall.frontend.core import cast, common_dtype, record
from squall.frontend.entries import Native, note_as_given
from squall.frontend.movement import narrow, reshape
from squall.frontend.out import into
from squall.ir.op import ops


def concat(tensors: Any, dim: int = 0, function: str = "cat") -> Any:
    """Tensors joined along a dimension, dtypes promoted; empty 1-d tensors are skipped as in PyTorch."""
    tensors = tuple(tensors)
    if not tensors:
        raise ArgumentError(f"{function}: expected a non-empty list of Tensors")
    if Native.apply is not None and (out := Native.apply(ops.concat, tensors, (dim,))) is not None:
        return out
    dtype = common_dtype(tensors)
    kept = [t for t in tensors if tuple(t.node.shape) != (0,)] or [tensors[0]]
    first = kept[0].node.shape
    if not first:
        raise ShapeError(f"{function}: zero-dimensional tensor (at position 0) cannot be concatenated")
    d = normalize_dim(dim, len(first), function)
    for position, t in enumerate(kept):
        shape = t.node.shape
        if len(shape) != len(first) or any(a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != d):
            raise ShapeError(f"{function}: tensor {position} has shape {list(shape)}, which does not fit {list(first)} "
                             f"except in dimension {d}")
    operands = tuple([cast(t, dtype) for t in kept])
    note_as_given(ops.concat, tensors, operands)
    return record(ops.concat, operands, (d,))


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Tensors of one shape joined along a new dimension."""
    return into(out, Native.call(_stack, tensors, dim), "stack")


def _stack(tensors: Any, dim: int) -> Any:
    tensors = tuple(tensors)
    if not tensors:
        raise ShapeError("stack: expected a non-empty list of Tensors")
    first = tensors[0].node.shape
    for position, t in enumerate(tensors):
        if t.node.shape != first:
            raise ShapeError(f"stack: expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                             f"{list(t.node.shape)} at entry {position}")
    d = normalize_dim(dim, len(first) + 1, "stack")
    dtype = common_dtype(tensors)
    return record(ops.stack, tuple([cast(t, dtype) for t in tensors]), (d,))


def roll(x: Any, shifts: Any, dims: Any = None) -> Any:
    """Positions moved around cyclically along dimensions (all flattened when none is named)."""
    if dims is None:
        return reshape(roll(reshape(x, -1), shifts, 0), x.node.shape)
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if not shifts or len(shifts) != len(dims):
        raise ShapeError(f"roll: arguments 'shifts' {shifts} and 'dims' {dims} must have one entry for each dimension "
                         "moved")
    if not x.node.shape:
        raise IndexRangeError(f"roll: argument 'dims' {dims} is out of range: the tensor has no dimensions")
    given = x
    for shift, dim in zip(shifts, dims, strict=True):
        d = normalize_dim(dim, len(x.node.shape), "roll")
        size = x.node.shape[d]
        known = not isinstance(size, Dim)
        if known and not (size and shift % size):
            continue
        if known or shift:
            least = 0 if known else bounds(size)[0] or 0
            cut = -shift if -least < shift < 0 else size - shift % size
            x = concat((narrow(x, d, cut, size - cut), narrow(x, d, 0, cut)), d, "roll")
    return own_memory(x, given)


def flip(x: Any, dims: Any) -> Any:
    """Dimensions reversed; none for ()."""
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    return record(ops.flip, (x,), (normalize_dims(dims, len(x.node.shape), "flip"),)) if dims else x.clone()


def pad(x: Any, low: tuple, high: tuple, value: float = 0.0, interior: tuple | None = None) -> Any:
    """Elements put around (and between) a tensor's, per dimension."""
    return record(ops.pad, (x,), (tuple(low), tuple(high), tuple(interior or (0,) * len(low)), value))
