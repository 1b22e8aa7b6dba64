"""Reading and writing by index tensors along a dimension, as users call it."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import ArgumentError, DtypeError, ShapeError
from squall.base.shapes import broadcast, normalize_dim
from squall.frontend import indexing
from squall.frontend.arithmetic import in_place, scaled
from squall.frontend.by_values import by_values
from squall.frontend.core import Handle, cast, record
from squall.frontend.creation import zeros
from squall.frontend.joining import stack
from squall.frontend.movement import expand, reshape
from squall.ir.op import ops

__all__ = ["gather", "in_place", "index_add", "index_select", "masked_select", "nonzero", "scatter", "scatter_add",
           "scatter_with"]


def _index(index: Any, function: str) -> Any:
    if not isinstance(index, Handle) or index.node.dtype.category != 1:
        kind = index.node.dtype if isinstance(index, Handle) else type(index).__name__
        raise DtypeError(f"{function}: index must be an integer Tensor, got {kind}")
    return cast(index, int64)


def _dim(x: Any, dim: int, function: str) -> int:
    return normalize_dim(dim, len(x.node.shape), function)


def _row(x: Any) -> Any:
    """A Tensor without dimensions as one of a single element, as PyTorch reads it along "dimension 0"."""
    return x if x.node.shape else reshape(x, 1)


def gather(x: Any, dim: int, index: Any) -> Any:
    """Elements along a dimension by an index of the same rank; an empty index gives an empty result of its shape."""
    index, d = _index(index, "gather"), _dim(x, dim, "gather")
    shape = index.node.shape
    if 0 in shape and len(shape) != len(x.node.shape):
        return zeros(shape, dtype=x.node.dtype)
    out = record(ops.gather, (_row(x), _row(index)), (d,))
    return out if shape else reshape(out, ())


def scatter(x: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy with elements replaced by index; the source is a Tensor or a number."""
    index = _index(index, "scatter")
    if not isinstance(source, Handle):
        source = indexing.fitted(source, tuple(index.node.shape), x.node.dtype, "scatter")
    elif source.node.dtype is not x.node.dtype:
        raise DtypeError(
            f"scatter: expected self.dtype to be equal to src.dtype, got {x.node.dtype} and {source.node.dtype}"
        )
    return _along(ops.scatter, x, dim, index, source)


def scatter_with(x: Any, dim: int, index: Any, source: Any, value: Any, reduce: str | None) -> Any:
    """`scatter` of a source or a number, with the reduction its older form had."""
    if (source is None) == (value is None):
        raise ArgumentError("scatter: give one of src and value")
    source = value if source is None else source
    if reduce is None:
        return scatter(x, dim, index, source)
    if reduce not in ("add", "multiply"):
        raise ArgumentError(f"scatter: reduce argument must be either add or multiply, got {reduce!r}")
    index = _index(index, "scatter")
    if not isinstance(source, Handle):
        source = indexing.fitted(source, tuple(index.node.shape), x.node.dtype, "scatter")
    source = source[tuple(slice(0, n) for n in index.node.shape)]  # type: ignore[index]
    if reduce == "add":
        return scatter_add(x, dim, index, source)
    d = _dim(x, dim, "scatter")
    if 0 in index.node.shape:
        return x.clone()
    out = record(ops.scatter_reduce, (_row(x), _row(index), _row(source)), (d, "prod"))
    return out if x.node.shape else reshape(out, ())


def _along(op: Any, x: Any, dim: int, index: Any, source: Any) -> Any:
    """Scatter as an op does it, of as much of the source as the index is large; nothing for an empty index; Tensors
    without dimensions count as one element."""
    d = _dim(x, dim, op.name)
    if 0 in index.node.shape:
        return x.clone()
    if source.node.shape != index.node.shape and len(source.node.shape) == len(index.node.shape):
        source = source[tuple(slice(0, n) for n in index.node.shape)]
    out = record(op, (_row(x), _row(index), _row(source)), (d,))
    return out if x.node.shape else reshape(out, ())


def scatter_add(x: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy with elements added by index, in index order."""
    if source.node.dtype is not x.node.dtype:
        raise DtypeError(
            f"scatter_add: expected self.dtype to be equal to src.dtype, got {x.node.dtype} and {source.node.dtype}"
        )
    return _along(ops.scatter_add, x, dim, _index(index, "scatter_add"), source)


def index_add(x: Any, dim: int, index: Any, source: Any, alpha: float = 1) -> Any:
    """A copy with slices of source added by a 1-d index."""
    source = source if alpha == 1 else scaled(source, alpha)
    index = reshape(_index(index, "index_add"), -1)
    out = record(ops.index_add, (_row(x), index, _row(source)), (_dim(x, dim, "index_add"),))
    return out if x.node.shape else reshape(out, ())


def index_select(x: Any, dim: int, index: Any) -> Any:
    """Positions of a dimension by a 1-d index."""
    if len(index.node.shape) > 1:
        raise ShapeError(f"index_select: index must be 0-d or 1-d, got shape {list(index.node.shape)}")
    index, d = reshape(_index(index, "index_select"), -1), _dim(x, dim, "index_select")
    out = record(ops.take, (_row(x), index), (d,))
    return out if x.node.shape else reshape(out, ())


@by_values("masked_select")
def masked_select(x: Any, mask: Any) -> Any:
    """Elements where the broadcast mask is true, in one dimension (evaluates the mask)."""
    shape = broadcast(tuple(x.node.shape), tuple(mask.node.shape), "masked_select")
    return indexing.getitem(_row(expand(x, shape)), _row(expand(mask, shape)))


@by_values("nonzero")
def nonzero(x: Any, as_tuple: bool) -> Any:
    """Positions of nonzero elements: a matrix with a row each, or one Tensor a dimension."""
    positions = indexing.nonzero(x)
    if as_tuple:
        return positions
    return stack(positions, 1) if x.node.shape else zeros((positions[0].node.shape[0], 0), dtype=int64)
