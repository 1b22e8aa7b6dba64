"""Shapes, joining, splitting and indexing as functions, under PyTorch's names; views where methods give views."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import ShapeError
from squall.base.shapes import broadcast, normalize_dim
from squall.frontend import creation, joining, movement
from squall.frontend.by_values import by_values
from squall.frontend.conversion import own_memory
from squall.frontend.core import Handle
from squall.frontend.entries import Native
from squall.frontend.out import apart, checked, into


def cat(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Tensors joined along a dimension, dtypes promoted.

    Example:
        >>> import squall as sq
        >>> sq.cat((sq.ones(2), sq.zeros(1))).tolist()
        [1.0, 1.0, 0.0]
    """
    made = Native.call(_cat, tensors, dim)
    return made if out is None else into(out, made, "cat")


def _cat(tensors: Any, dim: int) -> Any:
    if isinstance(tensors, Handle):
        raise TypeError(f"cat(): argument 'tensors' must be tuple of Tensors, not Tensor of shape "
                        f"{list(tensors.node.shape)}; its rows are joined by .flatten(0, 1)")
    return joining.concat([checked(t, "cat", "tensors") for t in tensors], dim)


concat = concatenate = cat


def hstack(tensors: Any, *, out: Any = None) -> Any:
    """Joined along the second dimension (the first of 1-d tensors; numbers become 1-d)."""
    parts = [t if checked(t, "hstack", "tensors").ndim else t.reshape(1) for t in tensors]
    return into(out, joining.concat(parts, 0 if parts and parts[0].ndim == 1 else 1, "hstack"), "hstack")


def vstack(tensors: Any, *, out: Any = None) -> Any:
    """Rows put below each other; 1-d tensors are rows."""
    parts = [t if checked(t, "vstack", "tensors").ndim > 1 else t.reshape(1, -1) for t in tensors]
    return into(out, joining.concat(parts, 0, "vstack"), "vstack")


row_stack = vstack


def reshape(input: Any, shape: Any) -> Any:
    """Another shape: a view when possible."""
    return checked(input, "reshape").reshape(shape)


def permute(input: Any, dims: Any) -> Any:
    """Dimensions in another order; a view."""
    return checked(input, "permute").permute(dims)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged; a view."""
    return checked(input, "transpose").transpose(dim0, dim1)




def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """Two dimensions exchanged; a view."""
    return transpose(input, axis0, axis1)


def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged; a view."""
    return transpose(input, dim0, dim1)


def t(input: Any) -> Any:
    """A matrix transposed; a view."""
    return checked(input, "t").t()


def squeeze(input: Any, dim: Any = None) -> Any:
    """Sizes of 1 dropped; a view."""
    return checked(input, "squeeze").squeeze(dim)


def unsqueeze(input: Any, dim: int) -> Any:
    """A size of 1 put in; a view."""
    return checked(input, "unsqueeze").unsqueeze(dim)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dimensions start to end as one."""
    return checked(input, "flatten").flatten(start_dim, end_dim)


def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """A dimension split into several; a view."""
    return checked(input, "unflatten").unflatten(dim, sizes)


def ravel(input: Any) -> Any:
    """One dimension."""
    return checked(input, "ravel").ravel()


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Dimensions moved to other places; a view."""
    return checked(input, "movedim").movedim(source, destination)


moveaxis = movedim


def flip(input: Any, dims: Any) -> Any:
    """Dimensions reversed; a copy."""
    return joining.flip(checked(input, "flip"), dims)


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Moved around cyclically; a copy."""
    return checked(input, "roll").roll(shifts, dims)


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple:
    """Views of consecutive parts: of one size each, or of the listed sizes."""
    return checked(tensor, "split", "tensor").split(split_size_or_sections, dim)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most so many views of equal size."""
    return checked(input, "chunk").chunk(chunks, dim)


def unbind(input: Any, dim: int = 0) -> tuple:
    """Each position of a dimension as a view."""
    return checked(input, "unbind").unbind(dim)


def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    """Part of a dimension; a view."""
    return checked(input, "narrow").narrow(dim, start, length)


def select(input: Any, dim: int, index: int) -> Any:
    """One position of a dimension; a view."""
    return checked(input, "select").select(dim, index)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A diagonal; a view."""
    return checked(input, "diagonal").diagonal(offset, dim1, dim2)


def broadcast_to(input: Any, shape: Any) -> Any:
    """Expanded to a shape without copying; a view."""
    x = checked(input, "broadcast_to")
    return movement.expand(x, *tuple(shape)) if tuple(shape) else x


def broadcast_tensors(*tensors: Any) -> tuple:
    """All expanded to their common shape; views."""
    shape: tuple = ()
    for tensor in tensors:
        shape = broadcast(shape, tuple(checked(tensor, "broadcast_tensors", "tensors").node.shape), "broadcast_tensors")
    return tuple(broadcast_to(tensor, shape) for tensor in tensors)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple:
    """Grids of coordinates from vectors: the i-th grid varies along dimension i ("ij"), or as plots do ("xy").

    Args:
        tensors: 1-d or 0-d, or one sequence of them. indexing: "ij" (matrix) or "xy" (the first two exchanged).
    """
    parts = tuple(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Handle) else tensors
    if indexing not in ("ij", "xy"):
        raise ValueError(f'meshgrid: indexing must be "ij" or "xy", got {indexing!r}')
    for part in parts:
        if checked(part, "meshgrid", "tensors").ndim > 1:
            raise ShapeError(f"meshgrid: expected 0-d or 1-d tensors, got shape {list(part.node.shape)}")
    parts = tuple(p.reshape(-1) for p in parts)
    order = list(range(len(parts)))
    if indexing == "xy" and len(parts) > 1:
        order[:2] = 1, 0
    shape = tuple(parts[i].node.shape[0] for i in order)
    return tuple(p.reshape(*(-1 if order[d] == i else 1 for d in range(len(parts)))).expand(*shape)
                 for i, p in enumerate(parts))


def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False, out: Any = None) -> Any:
    """Elements along a dimension by an index of the same rank; gradients are never sparse, whatever is asked."""
    apart(out, "gather", input, index)
    return into(out, checked(input, "gather").gather(dim, index), "gather", exact=True)


def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None,
            out: Any = None) -> Any:
    """A copy with elements replaced by index, or added ("add") or multiplied ("multiply") by `reduce`."""
    return into(out, checked(input, "scatter").scatter(dim, index, src, value=value, reduce=reduce), "scatter")


def scatter_add(input: Any, dim: int, index: Any, src: Any, *, out: Any = None) -> Any:
    """A copy with elements added by index, in index order."""
    return into(out, checked(input, "scatter_add").scatter_add(dim, index, src), "scatter_add")


def index_select(input: Any, dim: int, index: Any, *, out: Any = None) -> Any:
    """Positions of a dimension by a 1-d index."""
    apart(out, "index_select", input, index)
    return into(out, checked(input, "index_select").index_select(dim, index), "index_select")


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1, out: Any = None) -> Any:
    """A copy with slices added by index."""
    return into(out, checked(input, "index_add").index_add(dim, index, source, alpha=alpha), "index_add")


def masked_select(input: Any, mask: Any, *, out: Any = None) -> Any:
    """Elements where mask, in one dimension (evaluates the mask)."""
    apart(out, "masked_select", input, mask)
    made = checked(input, "masked_select").masked_select(checked(mask, "masked_select", "mask"))
    return into(out, made, "masked_select")


def nonzero(input: Any, *, as_tuple: bool = False, out: Any = None) -> Any:
    """Positions of nonzero elements (evaluates the Tensor)."""
    return into(out, checked(input, "nonzero").nonzero(as_tuple=as_tuple), "nonzero", exact=True)


def tile(input: Any, dims: Any) -> Any:
    """Repeated along each dimension; missing counts are 1."""
    counts = (dims,) if isinstance(dims, int) else tuple(dims)
    x = checked(input, "tile")
    return x.repeat((1,) * max(x.ndim - len(counts), 0) + counts)


@by_values("repeat_interleave")
def repeat_interleave(input: Any, repeats: Any = None, dim: int | None = None, *,
                      output_size: int | None = None) -> Any:
    """Each position repeated next to itself; of counts alone, each position's number as often as its count says.

    Args:
        input: any Tensor, or the counts.
        repeats: a number, or a 1-d integer Tensor with a count for each position (whose value is read).
        dim: along which; the flattened input when None. output_size: the sum of repeats, accepted for speed in PyTorch.
    """
    x = checked(input, "repeat_interleave")
    if repeats is None:
        if x.ndim != 1 or x.node.dtype.category != 1:
            raise ShapeError(f"repeat_interleave: counts alone must be a 1-d integer Tensor, got {x.node.type}")
        return repeat_interleave(creation.arange(x.node.shape[0]), x)
    if dim is None:
        x, dim = x.reshape(-1), 0
    d = normalize_dim(dim, x.ndim, "repeat_interleave")
    size = x.node.shape[d]
    if isinstance(repeats, Handle) and (repeats.ndim == 0 or repeats.numel() == 1):
        repeats = int(repeats)
    if isinstance(repeats, int):
        if repeats < 0:
            raise ShapeError(f"repeat_interleave: repeats must not be negative, got {repeats}")
        shape = tuple(x.node.shape)
        spread = x.unsqueeze(d + 1).expand(*shape[:d + 1], repeats, *shape[d + 1:])
        return own_memory(spread.reshape(*shape[:d], size * repeats, *shape[d + 1:]), x)
    counts = repeats.tolist() if isinstance(repeats, Handle) else list(repeats)
    if len(counts) != size:
        raise ShapeError(f"repeat_interleave: repeats must have the same size as input along dim, but got "
                         f"repeats.size(0) = {len(counts)} and input.size({d}) = {size}")
    positions = [i for i, count in enumerate(counts) for _ in range(count)]
    return x.index_select(d, creation.tensor(positions, dtype=int64))


def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy with its own memory; gradients flow through."""
    return checked(input, "clone").clone(memory_format=memory_format)


def detach(input: Any) -> Any:
    """The same memory without history."""
    return checked(input, "detach").detach()
