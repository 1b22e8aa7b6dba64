"""More of reading and writing by index, under PyTorch's names: take, put, index_*, masked_scatter, scatter_reduce."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, int64
from squall.base.errors import ArgumentError, DtypeError, ShapeError
from squall.base.shapes import broadcast, normalize_dim
from squall.frontend import arithmetic, creation, indexing, scatter
from squall.frontend.autocast import promoted
from squall.frontend.by_values import by_values
from squall.frontend.core import Handle, cast, record
from squall.frontend.declaring import of_tensor, only_floating
from squall.frontend.out import apart, checked, into
from squall.ir.op import ops
from squall.ops.pooling import lowest


def _whole(index: Any, function: str) -> Any:
    if not isinstance(index, Handle) or index.node.dtype.category != 1:
        kind = index.node.dtype if isinstance(index, Handle) else type(index).__name__
        raise DtypeError(f"{function}: index must be an integer Tensor, got {kind}")
    return cast(index, int64)


def _same_dtype(x: Any, source: Any, function: str) -> None:
    if source.node.dtype is not x.node.dtype:
        raise DtypeError(f"{function}: self and source must have one dtype, got {x.node.dtype} and {source.node.dtype}")


# ---------------------------------------------------------------- by position in the flattened Tensor
def take(input: Any, index: Any, *, out: Any = None) -> Any:
    """Elements by their position in the flattened Tensor."""
    apart(out, "take", input, index)
    flat = checked(input, "take").reshape(-1)
    return into(out, record(ops.take, (flat, _whole(index, "take")), (0,)), "take")


@of_tensor
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """A copy with elements replaced, or added to, by their position in the flattened Tensor."""
    _same_dtype(input, source, "put")
    index = _whole(index, "put").reshape(-1)
    if index.node.shape[0] != source.numel():
        raise ShapeError(f"put: expected source and index to have the same number of elements, got "
                         f"{source.numel()} and {index.node.shape[0]}")
    out = record(ops.index_put, (input.reshape(-1), source.reshape(-1), index), ((0,), bool(accumulate)))
    return out.reshape(input.node.shape)


@of_tensor
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """Elements along a dimension by an index of the same rank; the other dimensions broadcast."""
    index = _whole(indices, "take_along_dim")
    if dim is None:
        return input.reshape(-1).gather(0, index.reshape(-1))
    if index.ndim != input.ndim:
        raise ShapeError(f"take_along_dim: input and indices should have the same number of dimensions, got shapes "
                         f"{list(input.node.shape)} and {list(index.node.shape)}")
    d = normalize_dim(dim, input.ndim, "take_along_dim")
    x, y = tuple(input.node.shape), tuple(index.node.shape)
    rest = broadcast(x[:d] + (1,) + x[d + 1:], y[:d] + (1,) + y[d + 1:], "take_along_dim")
    x, y = rest[:d] + x[d:d + 1] + rest[d + 1:], rest[:d] + y[d:d + 1] + rest[d + 1:]
    return input.broadcast_to(x).gather(d, index.broadcast_to(y))


# ---------------------------------------------------------------- slices along a dimension
def _slices(x: Any, dim: int, index: Any, source: Any, function: str) -> Any:
    """A copy with slices of a dimension replaced."""
    d = normalize_dim(dim, x.ndim, function)
    index = _whole(index, function)
    if index.ndim > 1:
        raise ShapeError(f"{function}: index must be 0-d or 1-d, got shape {list(index.node.shape)}")
    index = index.reshape(-1)
    row = x if x.ndim else x.reshape(1)
    shape = tuple(row.node.shape)
    expected = shape[:d] + tuple(index.node.shape) + shape[d + 1:]
    if isinstance(source, Handle) and source.ndim:
        if tuple(source.node.shape) != expected and source.numel() != 1:
            raise ShapeError(f"{function}: source must have shape {list(expected)}, got {list(source.node.shape)}")
        source = source.reshape(expected)
    else:
        source = indexing.fitted(source, expected, x.node.dtype, function)
    return record(ops.index_put, (row, source, index), ((d,), False)).reshape(x.node.shape)


@of_tensor
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy with slices along a dimension replaced by those of source."""
    input, source = promoted(input, source)
    _same_dtype(input, source, "index_copy")
    return _slices(input, dim, index, source, "index_copy")


@of_tensor
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A copy with slices along a dimension filled with a number."""
    if isinstance(value, Handle) and value.ndim:
        raise ShapeError(f"index_fill: value must have no dimensions, got shape {list(value.node.shape)}")
    return _slices(input, dim, index, value, "index_fill")


@of_tensor
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """A copy with `input[indices] = values`, or += when accumulating."""
    out = input.clone()
    indexing.put(out, tuple(indices), values, accumulate)
    return out


# ---------------------------------------------------------------- by a mask
@of_tensor
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """A copy whose elements where mask are those of source, in order."""
    _same_dtype(input, source, "masked_scatter")
    if mask.node.dtype is not bool_:
        raise DtypeError(f"masked_scatter: expected a bool mask, got {mask.node.dtype}")
    shape = broadcast(tuple(input.node.shape), tuple(mask.node.shape), "masked_scatter")
    x, chosen = input.broadcast_to(shape), mask.broadcast_to(shape).reshape(-1)
    place = arithmetic.where(chosen, cast(chosen, int64).cumsum(0) - 1, 0)
    if not source.numel():
        if bool(chosen.any()):
            raise ShapeError("masked_scatter: source has no elements, and mask asks for some")
        return x.clone()
    picked = record(ops.take, (source.reshape(-1), place), (0,)).reshape(shape)
    return arithmetic.where(chosen.reshape(shape), picked, x)


# ---------------------------------------------------------------- scatter with a reduction
_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def _neutral(dtype: Any, reduce: str) -> Any:
    """The number a reduction of a dtype starts from."""
    if reduce in ("sum", "mean", "prod"):
        return int(reduce == "prod")
    low = lowest(dtype)
    if reduce == "amax":
        return low
    if dtype.category == 2:
        return float("inf")
    return True if dtype.category == 0 else -low - 1 if dtype.signed else (1 << (8 * dtype.itemsize)) - 1


@of_tensor
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """A copy with what an index sends to each position reduced: "sum", "prod", "mean", "amax" or "amin".

    Args:
        include_self: whether the position's own element takes part.
    """
    if reduce not in _REDUCTIONS:
        raise ArgumentError(f"scatter_reduce: reduce must be one of {', '.join(_REDUCTIONS)}, got {reduce!r}")
    _same_dtype(input, src, "scatter_reduce")
    index, d = _whole(index, "scatter_reduce"), normalize_dim(dim, input.ndim, "scatter_reduce")
    if 0 in index.node.shape:
        return input.clone()
    x, index, src = (t if t.ndim else t.reshape(1) for t in (input, index, src))
    src = src[tuple(slice(0, n) for n in index.node.shape)]
    base = x if include_self else scatter.scatter(x, d, index, _neutral(x.node.dtype, reduce))
    if reduce == "sum":
        out = record(ops.scatter_add, (base, index, src), (d,))
    elif reduce == "mean":
        out = _mean(base, d, index, src, include_self)
    else:
        out = record(ops.scatter_reduce, (base, index, src), (d, reduce))
    return out.reshape(input.node.shape)


def _mean(base: Any, d: int, index: Any, src: Any, include_self: bool) -> Any:
    total = record(ops.scatter_add, (base, index, src), (d,))
    start = creation.full_like(base, int(include_self), dtype=int64)
    count = record(ops.scatter_add, (start, index, creation.ones_like(index)), (d,)).clamp(min=1)
    if base.node.dtype.category < 2:
        return cast(total.floor_divide(cast(count, base.node.dtype)), base.node.dtype)
    return total / cast(count, base.node.dtype)


@of_tensor
def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """A copy with slices of source reduced into those an index names: "prod", "mean", "amax" or "amin"."""
    if reduce not in _REDUCTIONS[1:]:
        raise ArgumentError(f"index_reduce: reduce must be one of {', '.join(_REDUCTIONS[1:])}, got {reduce!r}")
    d = normalize_dim(dim, input.ndim, "index_reduce")
    x, source = (t if t.ndim else t.reshape(1) for t in (input, source))
    index = _whole(index, "index_reduce").reshape(tuple(-1 if i == d else 1 for i in range(x.ndim)))
    wide = index.expand(*source.node.shape)
    return scatter_reduce(x, d, wide, source, reduce, include_self=include_self).reshape(input.node.shape)


# ---------------------------------------------------------------- consecutive parts
_SEGMENTS = {"max": "amax", "min": "amin", "sum": "sum", "mean": "sum", "prod": "prod"}


@by_values("segment_reduce")
@of_tensor
def segment_reduce(data: Any, reduce: str, *, lengths: Any = None, indices: Any = None, offsets: Any = None,
                   axis: int = 0, unsafe: bool = False, initial: float | None = None) -> Any:
    """Consecutive parts of a dimension reduced, each to one element: "sum", "mean", "max", "min" or "prod".

    Args:
        data: shape (*batch, n, ...). lengths: how many elements each part has, shape (*batch, parts), summing to n; or
            offsets: where each begins, and n, shape (*batch, parts + 1). indices: not supported, as in PyTorch. axis:
            the number of batch dimensions. unsafe: do not check (and read) the lengths. initial: takes part in each.

    Raises:
        ArgumentError: for another reduction, and lengths that do not sum to n.

    Example:
        >>> import squall as sq
        >>> sq.segment_reduce(sq.tensor([1.0, 2.0, 3.0]), "sum", lengths=sq.tensor([1, 2]))
        tensor([1., 5.])
    """
    if reduce not in _SEGMENTS:
        raise ArgumentError(f"segment_reduce: argument 'reduce' must be one of {', '.join(_SEGMENTS)}, got {reduce!r}")
    if (lengths is None) is (offsets is None) or indices is not None:
        raise ArgumentError("segment_reduce: give one of 'lengths' and 'offsets', and no 'indices'")
    x, d = only_floating(data, "segment_reduce", "data"), normalize_dim(axis, data.ndim, "segment_reduce")
    counts = lengths if offsets is None else offsets[..., 1:] - offsets[..., :-1]
    counts = _whole(counts, "segment_reduce")
    shape, parts, n = tuple(x.node.shape), counts.node.shape[-1], x.node.shape[d]
    if tuple(counts.node.shape[:-1]) != shape[:d]:
        raise ShapeError(f"segment_reduce: argument 'lengths' or 'offsets' must have the {d} batch dimensions of "
                         f"'data', whose shape is {list(shape)}, and one more")
    ends = counts.cumsum(-1)
    if not unsafe and not bool((counts.sum(-1) == n).all()):
        raise ArgumentError(f"segment_reduce: argument 'lengths' must sum to {n}, the size of dimension {d} of 'data'")
    owner = (ends.unsqueeze(-2) <= creation.arange(n).unsqueeze(-1)).sum(-1)
    owner = owner.reshape(shape[:d + 1] + (1,) * (x.ndim - d - 1)).expand(shape)
    how = _SEGMENTS[reduce]
    start = _neutral(x.node.dtype, how) if initial is None else initial
    room = parts + bool(unsafe)  # a last part for what no length covers
    base = creation.full(shape[:d] + (room,) + shape[d + 1:], float(start), dtype=x.node.dtype)
    out = scatter_reduce(base, d, owner, x, how).narrow(d, 0, parts)
    if reduce != "mean":
        return out
    sizes = cast(counts, x.node.dtype).reshape(shape[:d] + (parts,) + (1,) * (x.ndim - d - 1))
    return out / (sizes if initial is None else sizes.clamp(min=1))


# ---------------------------------------------------------------- positions
@of_tensor
def unravel_index(indices: Any, shape: Any) -> tuple:
    """Positions in the flattened form of a shape as coordinates: one Tensor for each of its dimensions.

    Example:
        >>> import squall as sq
        >>> [t.tolist() for t in sq.unravel_index(sq.tensor([5, 11]), (3, 4))]
        [[1, 2], [1, 3]]
    """
    if indices.node.dtype.category != 1:
        raise TypeError(f"unravel_index: argument 'indices' must have an integer dtype, got {indices.node.dtype}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(size < 0 for size in sizes):
        raise ArgumentError(f"unravel_index: argument 'shape' must not have negative sizes, got {sizes}")
    found, step = [], 1
    for size in reversed(sizes):
        found.append((indices // step) % max(size, 1))
        step *= size
    return tuple(reversed(found))
