"""Reductions as users call them: dim arguments normalised, PyTorch's dtypes and pairs of values and indices."""

from __future__ import annotations

from typing import Any, NamedTuple

from squall.base.dtypes import as_dtype, bool_, default_dtype, int64, uint8
from squall.base.errors import DtypeError, IndexRangeError, ShapeError
from squall.base.shapes import normalize_dim, normalize_dims
from squall.frontend.core import cast, record
from squall.frontend.creation import zeros
from squall.frontend.movement import reshape
from squall.ir.families import result_dtype
from squall.ir.op import Op, ops, refuse_float8


class ValuesIndices(NamedTuple):
    """Values and the positions they were found at."""

    values: Any
    indices: Any


_dims: dict[tuple, tuple[int, ...]] = {}


def _dims_of(dim: Any, rank: int, function: str) -> tuple[int, ...]:
    """`normalize_dims`, remembered for None and single dims."""
    if dim is not None and dim.__class__ is not int:
        return normalize_dims(dim, rank, function)
    found = _dims.get((dim, rank))
    if found is None:
        found = _dims[dim, rank] = normalize_dims(dim, rank, function)
    return found


def reduce_op(op: Op, x: Any, dim: Any, keepdim: bool, dtype: Any = None, floating: str = "") -> Any:
    """A reduction over dims (None or (): all), in `dtype` if given; small integers become int64 for sums."""
    node = x._node if x._cell is None else x.node
    if dtype is None and node.type.dtype.category == 2 and node.type.shape:
        return record(op, (x,), (_dims_of(dim, len(node.type.shape), op.name), bool(keepdim)))
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
        if x.node.dtype is bool_ and op.promotion == "sum":
            return cast(reduce_op(op, cast(x, int64), dim, keepdim), bool_)
    elif op.promotion == "sum" and node.dtype.category < 2:
        x = cast(x, int64)
    if floating and x.node.dtype.category < 2:
        raise DtypeError(
            f"{floating}: could not infer output dtype. Input dtype must be a floating point dtype. Got {node.dtype}"
        )
    dims = normalize_dims(dim, len(node.shape), op.name)
    if not dims:
        if op.codes is None:
            refuse_float8(op.name, x.node.type)
        return cast(x, result_dtype(op, (x.node.type,), (dims, keepdim)))
    return record(op, (x,), (dims, bool(keepdim)))


def boolean(op: Op, x: Any, dim: Any, keepdim: bool) -> Any:
    """any and all, over elements as booleans; uint8 stays, as in PyTorch."""
    out = reduce_op(op, cast(x, bool_), dim, keepdim)
    return cast(out, uint8) if x.node.dtype is uint8 else out


def position(op: Op, x: Any, dim: int | None, keepdim: bool) -> Any:
    """argmax and argmin: over one dim, or the flattened tensor."""
    if x.node.dtype is bool_:
        raise DtypeError(f"{op.name}: not implemented for squall.bool; cast with .to()")
    if dim is None:
        flat = reshape(x, -1)
        _not_empty(op.name, flat.node.shape[0])
        out = record(op, (flat,), ((0,), False))
        return reshape(out, (1,) * len(x.node.shape)) if keepdim else out
    shape = x.node.shape
    if not shape:
        return position(op, x, None, False)
    d = normalize_dim(dim, len(shape), op.name)
    _not_empty(op.name, shape[d])
    return record(op, (x,), ((d,), bool(keepdim)))


def _not_empty(name: str, size: Any) -> None:
    if isinstance(size, int) and size == 0:
        raise IndexRangeError(
            f"{name}: expected reduction dim to have non-zero size; specify dim= or pass a tensor with elements"
        )


def extreme(x: Any, name: str, dim: Any, keepdim: bool) -> Any:
    """max and min: of everything, or (values, indices) along a dim."""
    value, index = (ops.amax, ops.argmax) if name == "max" else (ops.amin, ops.argmin)
    if dim is None:
        for size in x.node.shape:
            _not_empty(name, size)
        return reduce_op(value, x, None, False)
    shape = x.node.shape
    if not shape:
        refuse_float8(name, x.node.type)
        return ValuesIndices(x, zeros((), dtype=int64))
    d = normalize_dim(dim, len(shape), name)
    _not_empty(name, shape[d])
    indices = record(index, (x,), ((d,), True))
    values = record(ops.gather, (x, indices), (d,))
    if not keepdim:
        values, indices = values.squeeze(d), indices.squeeze(d)
    return ValuesIndices(values, indices)


def logsumexp(x: Any, dim: Any, keepdim: bool) -> Any:
    """log(sum(exp(x))) over dims without overflow; integers in the default floating dtype."""
    if x.node.dtype.category == 3:
        return _complex_logsumexp(x, dim, keepdim)
    return reduce_op(ops.logsumexp, x if x.node.dtype.category >= 2 else cast(x, default_dtype()), dim, keepdim)


def _complex_logsumexp(z: Any, dim: Any, keepdim: bool) -> Any:
    """The same of complex numbers: the largest real part is taken out."""
    size = record(ops.real, (z.detach(),), ())
    top = reduce_op(ops.amax, size, dim, True)
    top = record(ops.where, (top.abs() == float("inf"), zeros((), dtype=top.node.dtype), top), ())
    total = reduce_op(ops.sum, (z - top).exp(), dim, True).log() + top
    return total if keepdim else reduce_op(ops.sum, total, dim, False)


def correction_of(unbiased: Any, correction: Any) -> float:
    """PyTorch's two ways to say what is subtracted from the count."""
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def variance(x: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool) -> Any:
    """The variance over dims, dividing by count minus correction."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if x.node.dtype.category < 2:
        raise DtypeError(f"var: input must be floating point, got {x.node.dtype}")
    if x.node.dtype.category == 3:
        real, imag = (variance(record(op, (x,), ()), dim, unbiased, correction, keepdim) for op in (ops.real, ops.imag))
        return real + imag
    dims = normalize_dims(dim, len(x.node.shape), "var")
    return record(ops.var, (x,), (dims, bool(keepdim), correction_of(unbiased, correction)))


def median(x: Any, dim: Any, keepdim: bool) -> Any:
    """The lower median: of everything, or (values, indices) along a dim."""
    if not x.node.shape:
        refuse_float8("median", x.node.type)
        return x.clone() if dim is None else extreme(x, "max", dim, keepdim)
    if dim is None:
        flat = reshape(x, -1)
        middle = (flat.node.shape[0] - 1) // 2
        return record(ops.sort, (flat,), (0, False))[0].narrow(0, middle, 1).squeeze(0)
    d = normalize_dim(dim, len(x.node.shape), "median")
    values, indices = record(ops.sort, (x,), (d, False))
    middle = (x.node.shape[d] - 1) // 2
    pair = [t.narrow(d, middle, 1) for t in (values, indices)]
    return ValuesIndices(*(pair if keepdim else [t.squeeze(d) for t in pair]))


def topk(x: Any, k: int, dim: int, largest: bool) -> Any:
    """The k largest or smallest along a dim, in order, with their positions."""
    d = normalize_dim(dim, len(x.node.shape), "topk")
    if not x.node.shape:
        return topk(reshape(x, 1), k, 0, largest) if k == 0 else extreme(x, "max", dim, False)
    if not 0 <= k <= x.node.shape[d]:
        raise ShapeError(f"topk: k={k} is out of range for dimension {d} of size {x.node.shape[d]}")
    values, indices = record(ops.sort, (x,), (d, bool(largest)))
    return ValuesIndices(values.narrow(d, 0, k), indices.narrow(d, 0, k))


def row(op: Op, x: Any, dim: int, dtype: Any) -> Any:
    """softmax and log_softmax along a dim."""
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    if x.node.dtype.category < 2:
        raise DtypeError(f"{op.name}: not implemented for {x.node.dtype}; give dtype= or a floating tensor")
    return record(op, (x,), (normalize_dim(dim, len(x.node.shape), op.name),))


def running(op: Op, x: Any, dim: int, dtype: Any) -> Any:
    """cumsum and cumprod along a dim; small integers become int64."""
    x = cast(x, as_dtype(dtype)) if dtype is not None else cast(x, int64) if x.node.dtype.category < 2 else x
    if not x.node.shape:
        return x
    return record(op, (x,), (normalize_dim(dim, len(x.node.shape), op.name),))


def running_sum(x: Any, dim: int, dtype: Any) -> Any:
    """`cumsum`."""
    return running(ops.cumsum, x, dim, dtype)


def running_product(x: Any, dim: int, dtype: Any) -> Any:
    """`cumprod`."""
    return running(ops.cumprod, x, dim, dtype)


def norm(x: Any, p: Any, dim: Any, keepdim: bool) -> Any:
    """Vector norm of order p (2, 1, inf, -inf, 0, "fro" or any number) over dims."""
    x = x.abs() if x.node.dtype.category == 3 and p != "nuc" else x
    dims = normalize_dims(dim, len(x.node.shape), "norm")
    if p == "nuc":
        if len(dims) != 2:
            raise ShapeError(f'norm: the nuclear norm (p="nuc") is over two dims, got {dims} of {list(x.node.shape)}')
        total = record(ops.svd, (x.movedim(dims, (-2, -1)),), (False,))[1].sum(-1)
        return total.unsqueeze(dims[0]).unsqueeze(dims[1]) if keepdim else total
    order = 2.0 if p in ("fro", None) else float(p)
    if dims:
        return record(ops.norm, (x,), (dims, bool(keepdim), order))
    refuse_float8("norm", x.node.type)
    return x.abs() if order else cast(x != 0, x.node.dtype)


def largest(x: Any, dim: Any, keepdim: bool) -> Any:
    """max in its three forms."""
    return x.maximum(dim) if hasattr(dim, "node") else extreme(x, "max", dim, keepdim)


def smallest(x: Any, dim: Any, keepdim: bool) -> Any:
    """min in its three forms."""
    return x.minimum(dim) if hasattr(dim, "node") else extreme(x, "min", dim, keepdim)


def sort(x: Any, dim: int, descending: bool) -> ValuesIndices:
    """Values in order along a dim, stable, with their positions."""
    if not x.node.shape:
        return extreme(x, "max", 0, False)
    return ValuesIndices(*record(ops.sort, (x,), (normalize_dim(dim, len(x.node.shape), "sort"), bool(descending))))
