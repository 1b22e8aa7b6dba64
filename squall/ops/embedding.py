"""Embedding: rows of a weight by index, a composite over `take` whose gradient is `index_add`."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import opaque, zeros
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Indexed, Sample, declare, ops
from squall.ops.common import masked
from squall.ops.samples import floats


def _embedding_type(types: tuple, attrs: tuple) -> TensorType:
    weight, index = types
    if len(weight.shape) != 2:
        raise ShapeError(f"embedding: the weight must have 2 dimensions, got shape {tuple(weight.shape)}")
    if index.dtype is not int64:
        raise DtypeError(f"embedding: an index must be int64, got {index.dtype}; cast it first")
    return weight.with_shape((*index.shape, weight.shape[1]))


def _embedding_grad(context: Context, g: Any) -> tuple:
    (weight, index), (padding,) = context.types, context.attrs
    count = prod(index.shape)
    flat = ops.reshape(context.inputs[1], shape=(count,))
    rows = ops.reshape(g, shape=(count, weight.shape[1]))
    if padding is not None:
        rows = masked(ops.reshape(ops.ne(flat, padding), shape=(count, 1)), rows)
    return ops.index_add(zeros(weight), flat, rows, dim=0), None


def _embedding_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    if not batched[0]:
        return op(*operands, **op.named(attrs)), True
    return ops.take.vmap(ops.take, operands, batched, size, (0,))


def _embedding_samples() -> list[Sample]:
    import numpy

    weight = floats((5, 3))
    cases = [([0, 4, 1, 1], None), ([[1, 2], [0, 3]], None), (2, None), ([1, 0, 1], 1)]
    out = [Sample((weight, numpy.asarray(i, numpy.int64)), {"padding": p},
                  f"{i}" if p is None else "special: padding") for i, p in cases]
    return [*out, Sample((weight, numpy.zeros((0,), numpy.int64)), {}, "no indices")]


embedding = declare(
    "embedding", opaque, codes="composite", attributes=("padding",), defaults={"padding": None},
    infer=_embedding_type, saves=(1,), grad=_embedding_grad, vmap=_embedding_batch,
    jvp=lambda context, t, _: ops.take(t, context.inputs[1], dim=0),
    checks=lambda types, attrs: (Indexed(1, 0),), promotion="none",
    lowering=Decompose(lambda weight, index, padding: ops.take(weight, index, dim=0)),
    reference=lambda weight, index, padding: weight[index], samples=_embedding_samples,
    doc="Rows of a weight by an int64 index of any shape. Gradients of rows used more than once add up in index "
    "order; the "
    "row `padding`, if given (from 0), gets none.")
