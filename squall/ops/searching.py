"""searchsorted: where values belong in sorted sequences, as a host step."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import indexing
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, Library, Sample, declare, ops
from squall.ops.samples import floats
from squall.ops.slicing import with_batch


def _type(types: tuple, attrs: tuple) -> TensorType:
    sequence, values = types
    if sequence.dtype is not values.dtype:
        raise DtypeError(f"searchsorted: the sequence is {sequence.dtype}, the values are {values.dtype}")
    if not sequence.shape or (len(sequence.shape) > 1 and tuple(sequence.shape[:-1]) != tuple(values.shape[:-1])):
        raise ShapeError("searchsorted: the sequence must be 1-d or have the first dimensions of the values, got "
                         f"shapes {tuple(sequence.shape)} and {tuple(values.shape)}")
    return TensorType(values.shape, int64, values.device)


def _searchsorted(sequence: Any, values: Any, right: bool) -> Any:
    import numpy

    side = "right" if right else "left"
    if sequence.dtype.itemsize == 2 and sequence.dtype.kind not in "iu":
        sequence, values = sequence.astype(numpy.float32), values.astype(numpy.float32)
    if sequence.ndim == 1:
        return numpy.asarray(numpy.searchsorted(sequence, values, side), numpy.int64)
    out = numpy.empty(values.shape, numpy.int64)
    for place in numpy.ndindex(*values.shape[:-1]):
        out[place] = numpy.searchsorted(sequence[place], values[place], side)
    return out


def _batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    (sequence, values), (right,) = operands, attrs
    if not batched[0] and len(sequence.shape) == 1:
        return op(sequence, values, right=right), True
    sequence, values = with_batch(sequence, batched[0], size), with_batch(values, batched[1], size)
    shape = tuple(values.shape)
    if len(sequence.shape) == 2:  # one sequence each, for values of any shape
        count = 1
        for n in shape[1:]:
            count = count * n
        flat = ops.reshape(values, shape=(size, count))
        return ops.reshape(op(sequence, flat, right=right), shape=shape), True
    return op(sequence, values, right=right), True


def _samples() -> list[Sample]:
    import numpy

    rows = numpy.sort(floats((2, 5)), axis=-1)
    ties = numpy.array([0.0, 1.0, 1.0, 2.0, numpy.inf])
    cases = [(numpy.sort(floats((6,))), floats((3, 2), 1)), (rows, floats((2, 3), 2)), (ties, ties), (ties, ties[1])]
    return [Sample(c, {"right": r}) for c in cases for r in (False, True)]


searchsorted = declare(
    "searchsorted", indexing, attributes=("right",), infer=_type, grad=NON_DIFFERENTIABLE, promotion="none",
    lowering=Library(_searchsorted), reference=_searchsorted, samples=_samples, vmap=_batch,
    doc="The first position in a sorted sequence where a value can be put so that it stays sorted; with `right` the "
    "last. One sequence for all values, or one for each row of them.")
