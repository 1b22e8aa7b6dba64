"""Writing by index: scatter, scatter_add, index_add, index_put.

Writes happen in index order, so that the last one to a position stays and additions always round alike.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import DtypeError, ShapeError
from squall.base.shapes import numel
from squall.ir.families import indexing, zeros
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Context, Indexed, Sample, declare, ops
from squall.ops.common import number
from squall.ops.indexing import (
    _along_batch,
    along_dim,
    batch_indices,
    check_along,
    check_dim,
    check_index,
    in_range,
    index_order,
    indexed_shape,
    numpy_index,
    whole,
)
from squall.ops.samples import floats
from squall.ops.slicing import arange, with_batch


def _check_same_dtype(name: str, x: TensorType, value: TensorType) -> None:
    if x.dtype is not value.dtype:
        raise DtypeError(f"{name}: the source is {value.dtype}, the base {x.dtype}; cast one of them")


def _scatter_type(name: str) -> Any:
    def infer(types: tuple, attrs: tuple) -> TensorType:
        (x, index, source), (dim,) = types, attrs
        check_index(name, index)
        check_along(name, x.shape, index.shape, dim)
        if tuple(source.shape) != tuple(index.shape):
            raise ShapeError(f"{name}: source {source} and index {index} must have one shape")
        _check_same_dtype(name, x, source)
        return x

    return infer


def _coordinates(name: str, x: Any, index: Any, dim: int) -> tuple:
    import numpy

    out = list(numpy.indices(index.shape))
    out[dim] = in_range(name, index, x.shape[dim], dim)
    return tuple(out)


def _scatter_reference(x: Any, index: Any, source: Any, dim: int) -> Any:
    import numpy

    out, at = x.copy(), _coordinates("scatter", x, index, dim)
    for place in numpy.ndindex(*index.shape):
        out[tuple(int(c[place]) for c in at)] = source[place]
    return out


def _scatter_add_reference(x: Any, index: Any, source: Any, dim: int) -> Any:
    import numpy

    out = x.copy()
    numpy.add.at(out, _coordinates("scatter_add", x, index, dim), source)
    return out


def _order_of(shape: tuple, device: str) -> Any:
    """The row-major number of each position, from 1."""
    numbers = ops.add(arange(numel(shape), device), 1)
    return ops.reshape(numbers, shape=tuple(shape))


def _scatter_grad(context: Context, g: Any) -> tuple:
    (x, _, source), index, (dim,) = context.types, context.inputs[1], context.attrs
    base = ops.scatter(g, index, zeros(source), dim=dim) if context.needs[0] else None
    if not context.needs[2]:
        return base, None, None
    # Of several writes to one position only the last one is in the result.
    order = _order_of(source.shape, source.device)
    last = ops.scatter(zeros(TensorType(x.shape, int64, x.device)), index, order, dim=dim)
    stays = ops.eq(ops.gather(last, index, dim=dim), order)
    return base, None, ops.where(stays, ops.gather(g, index, dim=dim), number(0, g))


def _scatter_samples() -> list[Sample]:
    cases = [
        ((3, 4), [[0], [-1], [2]], 1),
        ((3, 4), [[0, 2, 1], [1, 1, 1]], 0),
        ((5,), [4, 4, 0, -5], 0),
        ((2, 3), [[0, 1, 2, 2]], 1),
        ((2, 3), [[], []], 1),
    ]
    return [
        Sample((floats(s, 3), whole(i), floats(whole(i).shape, 4)), {"dim": d}, f"{s} at {i}")
        for s, i, d in cases
    ]


scatter = declare(
    "scatter",
    indexing, parts="each", codes="same",
    attributes=("dim",),
    infer=_scatter_type("scatter"),
    lowering=ByFamily("scatter"),
    checks=along_dim,
    promotion="none",
    saves=(1,),
    grad=_scatter_grad,
    reference=_scatter_reference,
    vmap=_along_batch,
    samples=_scatter_samples,
    doc="The base with elements replaced: source at i goes to i with the coordinate of `dim` replaced by the index at "
    "i. Of several for one position the last stays.",
)


scatter_add = declare(
    "scatter_add",
    indexing, parts="each",
    attributes=("dim",),
    infer=_scatter_type("scatter_add"),
    lowering=ByFamily("scatter_add"),
    checks=along_dim,
    promotion="none",
    saves=(1,),
    reference=_scatter_add_reference,
    vmap=_along_batch,
    samples=_scatter_samples,
    grad=lambda context, g: (
        g,
        None,
        ops.gather(g, context.inputs[1], dim=context.attrs[0]) if context.needs[2] else None,
    ),
    doc="The base plus the source's elements at the positions `scatter` would write, added in index order.",
)


def _index_add_type(types: tuple, attrs: tuple) -> TensorType:
    (x, index, source), (dim,) = types, attrs
    check_index("index_add", index)
    check_dim("index_add", x.shape, dim)
    if len(index.shape) != 1 or tuple(source.shape) != (*x.shape[:dim], index.shape[0], *x.shape[dim + 1 :]):
        raise ShapeError(f"index_add: source {source} at index {index} along dim {dim} does not fit base {x}")
    _check_same_dtype("index_add", x, source)
    return x


def _index_add_reference(x: Any, index: Any, source: Any, dim: int) -> Any:
    import numpy

    out = x.copy()
    numpy.add.at(out, (slice(None),) * dim + (in_range("index_add", index, x.shape[dim], dim),), source)
    return out


def _index_add_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    (x, index, source), (dim,) = operands, attrs
    x, source = with_batch(x, batched[0], size), with_batch(source, batched[2], size)
    if not batched[1]:
        return ops.index_add(x, index, source, dim=dim + 1), True
    shape = tuple(source.shape)
    index = ops.reshape(index, shape=tuple(n if i in (0, dim + 1) else 1 for i, n in enumerate(shape)))
    return ops.scatter_add(x, ops.expand(index, shape=shape), source, dim=dim + 1), True


index_add = declare(
    "index_add",
    indexing, parts="each",
    attributes=("dim",),
    infer=_index_add_type,
    lowering=ByFamily("index_add"),
    checks=along_dim,
    promotion="none",
    saves=(1,),
    reference=_index_add_reference,
    vmap=_index_add_batch,
    grad=lambda context, g: (
        g,
        None,
        ops.take(g, context.inputs[1], dim=context.attrs[0]) if context.needs[2] else None,
    ),
    samples=lambda: [
        Sample((floats(s, 5), whole(i), floats((*s[:d], len(i), *s[d + 1 :]), 6)), {"dim": d}, f"{s} at {i}")
        for s, i, d in (
            ((5, 3), [0, 4, -1, 0], 0),
            ((2, 6), [1, 1], 1),
            ((4,), [2], 0),
            ((3, 2), [], 0),
            ((3, 0), [1, 1], 0),
        )
    ],
    doc="The base plus slices of the source, each at its place along a dimension, added in index order.",
)


def _index_put_type(types: tuple, attrs: tuple) -> TensorType:
    x, value, *indices = types
    if attrs[1] and x.dtype.is_float8:
        raise DtypeError(f"index_put with accumulate: not implemented for {x.dtype}; cast with "
                         ".to(squall.float32) first")
    shape = indexed_shape("index_put", x, tuple(indices), attrs[0])
    if tuple(value.shape) != shape:
        raise ShapeError(
            f"index_put: the indices address shape {shape} of {x}, the value has shape {tuple(value.shape)}"
        )
    _check_same_dtype("index_put", x, value)
    return x


def _index_put_reference(x: Any, value: Any, *indices: Any, dims: tuple, accumulate: bool) -> Any:
    import numpy

    out = x.copy()
    view, key = out.transpose(index_order(dims, x.ndim)), numpy_index("index_put", x, indices, dims)
    if accumulate:
        numpy.add.at(view, key, value)
        return out
    numbers = numpy.indices(view.shape)
    target = [n[key] for n in numbers]
    for place in numpy.ndindex(*value.shape):
        view[tuple(int(t[place]) for t in target)] = value[place]
    return out


def _index_put_grad(context: Context, g: Any) -> tuple:
    (x, value, *_), indices, (dims, accumulate) = context.types, context.inputs[2:], context.attrs
    base, inner = g, None
    if context.needs[0] and not accumulate:
        base = ops.index_put(g, zeros(value), *indices, dims=dims, accumulate=False)
    if context.needs[1]:
        inner = ops.index(g, *indices, dims=dims)
        if not accumulate:  # of several writes to one position only the last one is in the result
            order = _order_of(value.shape, value.device)
            blank = zeros(TensorType(x.shape, int64, x.device))
            last = ops.index_put(blank, order, *indices, dims=dims, accumulate=False)
            inner = ops.where(ops.eq(ops.index(last, *indices, dims=dims), order), inner, number(0, g))
    return base if context.needs[0] else None, inner, *(None for _ in indices)


def _index_put_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    (x, value, *indices), (dims, accumulate) = operands, attrs
    x, value, up = (
        with_batch(x, batched[0], size),
        with_batch(value, batched[1], size),
        tuple(d + 1 for d in dims),
    )
    if not any(batched[2:]):
        return ops.index_put(x, value, *indices, dims=up, accumulate=accumulate), True
    common = len(value.shape) - 1 - (len(x.shape) - 1 - len(dims))
    order = (
        0,
        *range(1 + dims[0], 1 + dims[0] + common),
        *range(1, 1 + dims[0]),
        *range(1 + dims[0] + common, len(value.shape)),
    )
    value = ops.permute(value, dims=order)
    full = batch_indices(tuple(indices), batched[2:], size)
    return ops.index_put(x, value, *full, dims=(0, *up), accumulate=accumulate), True


def _index_put_samples() -> list[Sample]:
    import numpy

    cases = [
        ((4, 5), ([0, -1, 0], [1, 1, 1]), (0, 1)),
        ((4, 5), ([0, 0],), (1,)),
        ((3, 4), ([], []), (0, 1)),
        ((2, 3, 4), ([[0], [1]], [0, 2, -1]), (0, 2)),
        ((3,), (1,), (0,)),
    ]
    out = []
    for seed, (shape, indices, dims) in enumerate(cases):
        arrays = tuple(map(whole, indices))
        common = numpy.broadcast_shapes(*(a.shape for a in arrays))
        rest = [n for i, n in enumerate(shape) if i not in dims]
        value = floats((*rest[: dims[0]], *common, *rest[dims[0] :]), seed + 20)
        out += [
            Sample(
                (floats(shape, seed), value, *arrays),
                {"dims": dims, "accumulate": a},
                f"{shape} at {indices}",
            )
            for a in (False, True)
        ]
    return out


index_put = declare(
    "index_put",
    indexing, parts="each", codes="same",
    attributes=("dims", "accumulate"),
    defaults={"accumulate": False},
    infer=_index_put_type,
    lowering=ByFamily("index_put"),
    checks=lambda types, attrs: tuple(Indexed(2 + i, d) for i, d in enumerate(attrs[0])),
    promotion="none",
    saves=lambda needs: tuple(range(2, len(needs))),
    grad=_index_put_grad,
    reference=_index_put_reference,
    vmap=_index_put_batch,
    samples=_index_put_samples,
    doc="The base with the elements `index` would read replaced by the value, or added to. Of several for one position "
    "the last stays, and additions go in order.",
)
