"""Movement as users call it: views where strides allow, copies where they do not. Arguments are normalised here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from squall.base.dim import Dim, bounds, parts
from squall.base.dtypes import DType, int64
from squall.base.errors import IndexRangeError, ShapeError, TraceError
from squall.base.shapes import infer_reshape, normalize_dim, numel
from squall.frontend.core import Handle, record, scalar_node
from squall.frontend.evaluation import user_place
from squall.frontend.number import derived, is_number
from squall.frontend.views import layout_of, make_view, see_through
from squall.ir.op import constant, ops

FEW_PARTS = 4  # of a split: more are taken for a loop over the parts, whose rounds shall share one plan


def shape_argument(sizes: tuple, function: str) -> tuple:
    """A shape given as numbers or as one sequence; sizes are ints or Dims."""
    if len(sizes) == 1 and not isinstance(sizes[0], (int, Dim, Handle)):
        sizes = tuple(sizes[0])
    out = []
    for size in sizes:
        if isinstance(size, (int, Dim)):
            out.append(size)
        elif hasattr(size, "__index__"):
            out.append(size.__index__())
        else:
            raise TypeError(f"{function}: sizes must be ints, got {type(size).__name__} in {sizes}")
    return tuple(out)


def view(x: Any, *sizes: Any) -> Any:
    """`x` under another shape, sharing its memory; ShapeError when strides do not allow it."""
    new = infer_reshape(x.node.shape, shape_argument(sizes, "view"), "view")
    out = make_view(x, ops.reshape, (new,))
    if out is None:
        raise ShapeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            f"contiguous subspaces). Use .reshape(...) instead. Asked for {list(new)}; the tensor has size "
            f"{list(x.node.shape)} and stride {list(x.stride())}.")
    return out


def reshape(x: Any, *sizes: Any) -> Any:
    """`x` under another shape: a view when strides allow it, else a copy."""
    new = infer_reshape(x.node.shape, shape_argument(sizes, "reshape"), "reshape")
    out = make_view(x, ops.reshape, (new,))
    return record(ops.reshape, (x,), (new,)) if out is None else out


def permute(x: Any, *dims: Any) -> Any:
    """Dimensions in another order, as a view."""
    dims = tuple(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else dims
    rank = len(x.node.shape)
    if len(dims) != rank:
        raise ShapeError(f"permute: {len(dims)} dims {tuple(dims)} given for a tensor of {rank} dimensions")
    order = tuple(normalize_dim(d, rank, "permute") for d in dims)
    if len(set(order)) != rank:
        raise ShapeError(f"permute: dims {tuple(dims)} repeat a dimension")
    return make_view(x, ops.permute, (order,))


def transpose(x: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged, as a view."""
    rank = len(x.node.shape)
    a, b = normalize_dim(dim0, rank, "transpose"), normalize_dim(dim1, rank, "transpose")
    order = list(range(rank))
    if rank:
        order[a], order[b] = order[b], order[a]
    return make_view(x, ops.permute, (tuple(order),))


def expand(x: Any, *sizes: Any) -> Any:
    """Sizes of 1 repeated without copying, as a view; -1 keeps a size."""
    sizes = shape_argument(sizes, "expand")
    shape = x.node.shape
    lead = len(sizes) - len(shape)
    if lead < 0:
        raise ShapeError(f"expand: {len(sizes)} sizes {list(sizes)} given for a tensor of {len(shape)} dimensions")
    new = tuple(shape[i - lead] if isinstance(s, int) and s == -1 and i >= lead else s for i, s in enumerate(sizes))
    return make_view(x, ops.expand, (new,))


def squeeze(x: Any, *several: Any, dim: Any = None) -> Any:
    """Dimensions of size 1 dropped: all, or those named, one after the other, as a tuple or as `dim`."""
    dim = dim if not several else several[0] if len(several) == 1 else several
    shape = x.node.shape
    dims = range(len(shape)) if dim is None else [
        normalize_dim(d, len(shape), "squeeze") for d in ((dim,) if isinstance(dim, int) else dim)]
    kept = [i for i, s in enumerate(shape) if not (i in dims and isinstance(s, int) and s == 1)]
    strides = layout_of(x)[0]
    return make_view(x, ops.reshape, (tuple(shape[i] for i in kept),), named=tuple(strides[i] for i in kept))


def unsqueeze(x: Any, dim: int) -> Any:
    """A dimension of size 1 put in at `dim`."""
    shape = tuple(x.node.shape)
    position = normalize_dim(dim, len(shape) + 1, "unsqueeze")
    strides = tuple(layout_of(x)[0])
    step = shape[position] * strides[position] if position < len(shape) else 1
    return make_view(x, ops.reshape, (shape[:position] + (1,) + shape[position:],),
                     named=(*strides[:position], step, *strides[position:]))


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dimensions start to end (inclusive) as one."""
    shape = tuple(x.node.shape)
    if not shape:
        return reshape(x, 1)
    a, b = normalize_dim(start_dim, len(shape), "flatten"), normalize_dim(end_dim, len(shape), "flatten")
    if a > b:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return x if a == b else reshape(x, shape[:a] + (numel(shape[a:b + 1]),) + shape[b + 1:])


def unflatten(x: Any, dim: int, sizes: Any) -> Any:
    """A dimension split into several, as a view."""
    shape = tuple(x.node.shape)
    d = normalize_dim(dim, len(shape), "unflatten")
    return view(x, shape[:d] + infer_reshape((shape[d],), tuple(sizes), "unflatten") + shape[d + 1:])


def slice_view(x: Any, dims: tuple[int, ...], starts: tuple, sizes: tuple, steps: tuple[int, ...]) -> Any:
    """Part of a tensor by start, size and step, as a view. Starts are run-time arguments."""
    return make_view(x, ops.slice, (dims, sizes, steps), starts, tuple(scalar_node(s, int64) for s in starts))


def narrow(x: Any, dim: int, start: int, length: int) -> Any:
    """`length` positions of a dimension from `start`, as a view."""
    shape = x.node.shape
    if not shape:
        raise ShapeError("narrow() cannot be applied to a 0-dim tensor.")
    d = normalize_dim(dim, len(shape), "narrow")
    if is_number(start) and isinstance(length, int) and not is_number(length):
        return slice_view(x, (d,), (varying_start(start, shape[d], d, length),), (length,), (1,))
    if start < 0:
        start += shape[d]
    if not 0 <= start <= shape[d] or start + length > shape[d] or length < 0:
        raise IndexRangeError(f"narrow: start {start} and length {length} exceed dimension {d} of size {shape[d]}")
    return slice_view(x, (d,), (start,), (length,), (1,))


def narrow_start(start: Any) -> int:
    """The start of `narrow` from a Tensor, which must be a single integer, or another integer object."""
    node = getattr(start, "node", None)
    if node is not None and (node.shape or node.dtype.category != 1):
        raise ShapeError(f"narrow: argument 'start' must be an int or a 0-dim integral Tensor, got shape "
                         f"{list(node.shape)} and dtype {node.dtype}")
    return start.__index__()


def varying_start(index: Any, size: Any, dim: int, length: int = 1) -> Any:
    """The start of `length` positions from an index that varies from call to call of a compiled function. Each call
    raises IndexRangeError, with the line that recorded it, for an index outside."""
    if not isinstance(size, int):
        raise TraceError("an index that varies, into a dimension whose size varies, is not known while tracing")
    place = user_place()

    def start(value: int) -> int:
        if not -size <= value <= size - length:
            raise IndexRangeError(
                f"index {value} is out of bounds for dimension {dim} with size {size}; it was recorded at {place}")
        return value + size if value < 0 else value

    return derived(start, index)


def select(x: Any, dim: int, index: int) -> Any:
    """One position of a dimension, which is dropped; a view."""
    shape = tuple(x.node.shape)
    if not shape:
        raise IndexRangeError("select: cannot select from a 0-dim tensor; use tensor.item()")
    d = normalize_dim(dim, len(shape), "select")
    if is_number(index):
        start: Any = varying_start(index, shape[d], d)
    else:
        if isinstance(shape[d], int) and not -shape[d] <= index < shape[d]:
            raise IndexRangeError(f"index {index} is out of bounds for dimension {d} with size {shape[d]}")
        start = index + shape[d] if index < 0 else index
    strides = layout_of(x)[0]
    cut = (ops.slice, ((d,), (1,), (1,)), (scalar_node(start, int64),))
    steps = (cut, (ops.reshape, (shape[:d] + shape[d + 1:],), ()))
    return see_through(x, steps, (start,), (*strides[:d], *strides[d + 1:]))


def several(views: Iterable[Any]) -> tuple:
    """Views that one call gives: PyTorch lets none of them be written in place when history is recorded."""
    out = tuple(views)
    for v in out:
        if v._view.origin == "":
            v._view.origin = "several"
    return out


def split(x: Any, size: int | list[int], dim: int = 0) -> tuple:
    """Views of consecutive parts: of `size` each (the last may be smaller), or of the listed sizes."""
    d = normalize_dim(dim, len(x.node.shape), "split")
    total = x.node.shape[d]
    if isinstance(size, int) and size <= 0:
        raise ShapeError(f"split: split_size must be positive, got {size}")
    if isinstance(size, (int, Dim)):
        count = parts(total, size)
        if count is None:
            raise _unknown_count("split", total, f"pieces of {size}", d)
        sizes = [size] * (count - 1) + [total - (count - 1) * size] if count else [0]
    else:
        sizes = list(size)
        if sum(sizes) != total:
            raise ShapeError(f"split: sizes {sizes} add up to {sum(sizes)}, not to {total}, the size of dimension {d}")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    if len(sizes) > FEW_PARTS or not all(isinstance(s, int) and s > 0 for s in sizes):
        return several(narrow(x, d, start, length) for start, length in zip(starts, sizes, strict=True))
    device = x.node.device  # of a few parts each is known by its place: what reads it can be compiled for that place
    return several(make_view(x, ops.slice, ((d,), (length,), (1,)), (start,), (constant(start, int64, device),))
                   for start, length in zip(starts, sizes, strict=True))


def chunk(x: Any, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` views of equal size (the last may be smaller)."""
    if chunks <= 0:
        raise ShapeError(f"chunk: chunks must be positive, got {chunks}")
    d = normalize_dim(dim, len(x.node.shape), "chunk")
    total = x.node.shape[d]
    if isinstance(total, int):
        return split(x, max(-(-total // chunks), 1), d)
    size, least = -(-total // chunks), bounds(total)[0]
    if isinstance(total % chunks, Dim) and (least is None or least <= (chunks - 1) ** 2):
        raise _unknown_count("chunk", total, f"{chunks} pieces of equal size", d, (chunks - 1) ** 2 + 1)
    return split(x, [size] * (chunks - 1) + [total - (chunks - 1) * size], d)


def _unknown_count(function: str, total: Any, pieces: str, dim: int, least: int | None = None) -> TraceError:
    """The error for a number of results that would vary."""
    range_of = f"declare Dim(name, min={least}) if it is never smaller, or " if least else ""
    return TraceError(
        f"{function}: how many {pieces} dimension {dim} of size {total} falls into varies with it, and so would the "
        f"number of results while tracing; {range_of}use tensor_split or a list of sizes")


def unbind(x: Any, dim: int = 0) -> tuple:
    """Each position of a dimension as a view."""
    if not x.node.shape:
        raise IndexRangeError(f"unbind: argument 'dim' {dim} is out of range: the tensor has no dimensions")
    d = normalize_dim(dim, len(x.node.shape), "unbind")
    return several(select(x, d, i) for i in range(x.node.shape[d]))


def diagonal(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two dimensions as the last one; a view."""
    rank = len(x.node.shape)
    a, b = normalize_dim(dim1, rank, "diagonal"), normalize_dim(dim2, rank, "diagonal")
    if a == b:
        raise ShapeError(f"diagonal: dim1 and dim2 are both {a}")
    return make_view(x, ops.diagonal, (offset, a, b))


def unfold(x: Any, dimension: int, size: int, step: int) -> Any:
    """Overlapping windows of a dimension as a new last one; a view."""
    d = normalize_dim(dimension, len(x.node.shape), "unfold")
    return make_view(x, ops.window, ((d,), (size,), (step,), (1,)))


def repeat(x: Any, *sizes: Any) -> Any:
    """The tensor repeated along each dimension (a copy)."""
    if not sizes:
        raise TypeError("repeat() missing 1 required positional arguments: \"repeats\"")
    counts = shape_argument(sizes, "repeat")
    shape = tuple(x.node.shape)
    if len(counts) < len(shape):
        raise ShapeError(f"repeat: {len(counts)} counts {list(counts)} given for a tensor of {len(shape)} dimensions")
    shape = (1,) * (len(counts) - len(shape)) + shape
    apart = tuple(s for size in shape for s in (1, size))
    big = tuple(s for pair in zip(counts, shape, strict=True) for s in pair)
    spread = record(ops.expand, (reshape(x, apart),), (big,))
    return record(ops.reshape, (spread,), (tuple(c * s for c, s in zip(counts, shape, strict=True)),))


def movedim(x: Any, source: Any, destination: Any) -> Any:
    """Dimensions moved to other places, the rest in order; a view."""
    rank = len(x.node.shape)
    origin = [normalize_dim(d, rank, "movedim") for d in ((source,) if isinstance(source, int) else source)]
    target = [
        normalize_dim(d, rank, "movedim")
        for d in ((destination,) if isinstance(destination, int) else destination)
    ]
    if len(origin) != len(target) or len(set(origin)) < len(origin) or len(set(target)) < len(target):
        raise ShapeError(f"movedim: source {source} and destination {destination} must name as many dimensions, each "
                         f"once, of shape {list(x.node.shape)}")
    order: list[Any] = [None] * rank
    for s, t in zip(origin, target, strict=True):
        order[t] = s
    rest = iter(d for d in range(rank) if d not in origin)
    return permute(x, tuple(next(rest) if d is None else d for d in order))


def matrix_transpose(x: Any) -> Any:
    """A matrix transposed (vectors and numbers as they are); a view."""
    rank = len(x.node.shape)
    if rank > 2:
        raise ShapeError(f"t() expects a tensor with <= 2 dimensions, but self is {rank}D")
    return permute(x, tuple(range(rank))[::-1])


def view_as_dtype(x: Any, shape: tuple) -> Any:
    """`view` by shape, or by a dtype of the same width."""
    if len(shape) == 1 and isinstance(shape[0], DType):
        if shape[0].itemsize != x.node.dtype.itemsize:
            raise ShapeError(f"view: dtype {shape[0]} has another width than {x.node.dtype}")
        return record(ops.bitcast, (x,), (shape[0],))
    return view(x, *shape)
