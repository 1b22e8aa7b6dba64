"""Reading by index: take, gather, index.

Indices are int64; negative ones count from the end; one outside its dimension is reported by the kernel's status.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import DtypeError, IndexRangeError, ShapeError
from squall.base.shapes import broadcast
from squall.ir.families import indexing, zeros
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Context, Indexed, Sample, declare, ops
from squall.ops.samples import floats
from squall.ops.slicing import arange, is_int, with_batch


def check_index(name: str, *types: TensorType) -> None:
    """DtypeError unless all are int64."""
    for t in types:
        if t.dtype is not int64:
            raise DtypeError(f"{name}: an index must be int64, got {t.dtype}; cast it first")


def check_dim(name: str, shape: tuple, dim: int) -> None:
    """IndexRangeError unless dim is a dimension of the shape, from 0."""
    if not 0 <= dim < len(shape):
        raise IndexRangeError(f"{name}: dim {dim} is not a dimension of shape {tuple(shape)}")


def along_dim(types: tuple, attrs: tuple) -> tuple[Indexed, ...]:
    """The value check of ops that index dimension `dim` by operand 1."""
    return (Indexed(1, attrs[0]),)


def in_range(name: str, index: Any, size: int, dim: int) -> Any:
    """Indices from 0 for the references; IndexRangeError names the first that is outside."""
    outside = (index < -size) | (index >= size)
    if outside.any():
        raise IndexRangeError(
            f"{name}: index {index[outside].flat[0]} is out of range for size {size} of dim {dim}"
        )
    return index % size if size else index


def whole(values: list, shape: tuple[int, ...] | None = None) -> Any:
    """An int64 array for samples."""
    import numpy

    out = numpy.asarray(values, numpy.int64)
    return out if shape is None else out.reshape(shape)


def _take_type(types: tuple, attrs: tuple) -> TensorType:
    (x, index), (dim,) = types, attrs
    check_index("take", index)
    check_dim("take", x.shape, dim)
    return x.with_shape((*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]))


def _take_grad(context: Context, g: Any) -> tuple:
    (x, index), (dim,), shape = context.types, context.attrs, tuple(g.shape)
    count = 1
    for size in index.shape:
        count = count * size
    flat = ops.reshape(context.inputs[1], shape=(count,))
    g = ops.reshape(g, shape=shape[:dim] + (count,) + shape[dim + len(index.shape) :])
    return ops.index_add(zeros(x), flat, g, dim=dim), None


def _take_reference(x: Any, index: Any, dim: int) -> Any:
    import numpy

    return numpy.take(x, in_range("take", index, x.shape[dim], dim), axis=dim)


def _take_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    (x, index), (dim,) = operands, attrs
    if not batched[1]:
        return ops.take(x, index, dim=dim + 1), True
    rank = len(index.shape) - 1
    if not batched[0]:
        out = ops.take(x, index, dim=dim)
        order = (dim, *range(dim), *range(dim + 1, len(out.shape)))
    else:
        rows = ops.reshape(arange(size, x.device), shape=(size,) + (1,) * rank)
        out = ops.index(x, rows, index, dims=(0, dim + 1))
        order = (
            0,
            *range(1 + rank, 1 + rank + dim),
            *range(1, 1 + rank),
            *range(1 + rank + dim, len(out.shape)),
        )
    return ops.permute(out, dims=order), True


take = declare(
    "take",
    indexing, parts="each", codes="same",
    attributes=("dim",),
    infer=_take_type,
    lowering=ByFamily("take"),
    checks=along_dim,
    promotion="none",
    saves=(1,),
    grad=_take_grad,
    reference=_take_reference,
    vmap=_take_batch,
    samples=lambda: [
        Sample((floats(s, 1), whole(i)), {"dim": d}, f"{s} at {i}")
        for s, i, d in (
            ((5, 3), [0, 4, -1, 0], 0),
            ((2, 6), [[1, -6], [5, 5]], 1),
            ((4,), 2, 0),
            ((0, 3), [], 0),
            ((3, 0), [2], 0),
            ((2, 3, 4), [1, 1], 1),
        )
    ],
    doc="Elements along a dimension by an index of any shape, which takes the dimension's place (embedding lookup).",
)


def _gather_type(types: tuple, attrs: tuple) -> TensorType:
    (x, index), (dim,) = types, attrs
    check_index("gather", index)
    check_along("gather", x.shape, index.shape, dim)
    return x.with_shape(index.shape)


def check_along(name: str, shape: tuple, index: tuple, dim: int) -> None:
    """ShapeError unless an index fits a value in all dimensions but one."""
    check_dim(name, shape, dim)
    if len(shape) != len(index) or any(
        i != dim and is_int(n) and is_int(m) and m > n
        for i, (n, m) in enumerate(zip(shape, index, strict=True))
    ):
        raise ShapeError(
            f"{name}: an index of shape {tuple(index)} does not fit shape {tuple(shape)} outside of dim {dim}"
        )


def _gather_reference(x: Any, index: Any, dim: int) -> Any:
    import numpy

    box = tuple(slice(None) if i == dim else slice(n) for i, n in enumerate(index.shape))
    return numpy.take_along_axis(x[box], in_range("gather", index, x.shape[dim], dim), axis=dim)


def _along_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    return op(
        *(with_batch(o, b, size) for o, b in zip(operands, batched, strict=True)), dim=attrs[0] + 1
    ), True


def _gather_grad(context: Context, g: Any) -> tuple:
    return ops.scatter_add(zeros(context.types[0]), context.inputs[1], g, dim=context.attrs[0]), None


gather = declare(
    "gather",
    indexing, parts="each", codes="same",
    attributes=("dim",),
    infer=_gather_type,
    lowering=ByFamily("gather"),
    checks=along_dim,
    promotion="none",
    saves=(1,),
    grad=_gather_grad,
    reference=_gather_reference,
    vmap=_along_batch,
    samples=lambda: [
        Sample((floats(s, 2), whole(i)), {"dim": d}, f"{s} along {d}")
        for s, i, d in (
            ((3, 4), [[0], [-1], [2]], 1),
            ((3, 4), [[0, 2, 1], [1, 1, 1]], 0),
            ((5,), [4, 4, 0, -5], 0),
            ((2, 3), [[0, 1, 2, 2]], 1),
            ((2, 0), [[], []], 1),
        )
    ],
    doc="Element by element: the result at i takes from x at i, the coordinate of `dim` replaced by the index at i.",
)


def indexed_shape(name: str, x: TensorType, indices: tuple, dims: tuple) -> tuple:
    """The shape of `index`: the broadcast of the indices where the first of dims stood, the other dims around it."""
    check_index(name, *indices)
    if not dims or len(dims) != len(indices) or list(dims) != sorted(set(dims)) or dims[-1] >= len(x.shape):
        raise ShapeError(f"{name}: {len(indices)} indices for dims {dims} of shape {tuple(x.shape)}")
    common: tuple = ()
    for t in indices:
        common = broadcast(common, tuple(t.shape), name)
    rest = tuple(n for i, n in enumerate(x.shape) if i not in dims)
    return (*rest[: dims[0]], *common, *rest[dims[0] :])


def _index_type(types: tuple, attrs: tuple) -> TensorType:
    return types[0].with_shape(indexed_shape("index", types[0], types[1:], attrs[0]))


def index_order(dims: tuple, rank: int) -> tuple:
    """Dimensions with `dims` brought together at the place of the first: what NumPy's indexing needs for one layout."""
    rest = [i for i in range(rank) if i not in dims]
    return (*rest[: dims[0]], *dims, *rest[dims[0] :])


def numpy_index(name: str, x: Any, indices: tuple, dims: tuple) -> tuple:
    """The key that reads `index` from an array already permuted by `index_order`."""
    checked = tuple(in_range(name, i, x.shape[d], d) for i, d in zip(indices, dims, strict=True))
    return (slice(None),) * dims[0] + checked


def _index_reference(x: Any, *indices: Any, dims: tuple) -> Any:
    return x.transpose(index_order(dims, x.ndim))[numpy_index("index", x, indices, dims)]


def _index_grad(context: Context, g: Any) -> tuple:
    indices, (dims,) = context.inputs[1:], context.attrs
    return ops.index_put(zeros(context.types[0]), g, *indices, dims=dims, accumulate=True), *(
        None for _ in indices
    )


def batch_indices(operands: tuple, batched: tuple, size: Any) -> list:
    """Indices under a batch, with one for the batch itself in front: all of them [batch, ...] or broadcasting to it."""
    rank = max(len(o.shape) - b for o, b in zip(operands, batched, strict=True))
    out = [ops.reshape(arange(size, operands[0].device), shape=(size,) + (1,) * rank)]
    for operand, is_batched in zip(operands, batched, strict=True):
        shape = tuple(operand.shape)
        missing = rank - len(shape) + 1
        out.append(
            ops.reshape(operand, shape=shape[:1] + (1,) * missing + shape[1:])
            if is_batched and missing
            else operand
        )
    return out


def _index_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    (x, *indices), (dims,) = operands, attrs
    up = tuple(d + 1 for d in dims)
    if not any(batched[1:]):
        return ops.index(x, *indices, dims=up), True
    x = with_batch(x, batched[0], size)
    out = ops.index(x, *batch_indices(tuple(indices), batched[1:], size), dims=(0, *up))
    # The batch and the indexed dimensions came out in front; dimensions before the first of dims go between them.
    common = len(out.shape) - (len(x.shape) - 1 - len(dims))
    order = (0, *range(common, common + dims[0]), *range(1, common), *range(common + dims[0], len(out.shape)))
    return ops.permute(out, dims=order), True


def _index_samples() -> list[Sample]:
    cases = [
        ((4, 5), ([0, -1, 2], [1, 1, 4]), (0, 1)),
        ((4, 5), ([0, 0],), (1,)),
        ((2, 3, 4), ([[0], [1]], [0, 2, -1]), (0, 2)),
        ((3, 4), ([], []), (0, 1)),
        ((3,), (1,), (0,)),
        ((2, 3, 4), ([2, 0], [3, 3]), (1, 2)),
    ]
    return [
        Sample((floats(s, k), *map(whole, i)), {"dims": d}, f"{s} at {i}")
        for k, (s, i, d) in enumerate(cases)
    ]


index = declare(
    "index",
    indexing, parts="each", codes="same",
    attributes=("dims",),
    infer=_index_type,
    lowering=ByFamily("index"),
    checks=lambda types, attrs: tuple(Indexed(1 + i, d) for i, d in enumerate(attrs[0])),
    promotion="none",
    saves=lambda needs: tuple(range(1, len(needs))),
    grad=_index_grad,
    reference=_index_reference,
    vmap=_index_batch,
    samples=_index_samples,
    doc="Elements at the coordinates that broadcast indices give for `dims`. The indices' shape stands in the result "
    "where the first of dims stood; frontends permute to NumPy's placing.",
)
