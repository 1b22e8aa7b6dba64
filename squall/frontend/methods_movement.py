"""Tensor methods: shapes, views and indexing. One documented line each; the work is in the functions they call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.base.dim import Dim
from squall.base.errors import ShapeError
from squall.frontend import indexing, joining, movement, scatter
from squall.frontend.creation import tril, triu
from squall.frontend.entries import Native

if TYPE_CHECKING:
    from squall.frontend.tensor import Tensor


class MovementMethods:
    """Mixed into Tensor."""

    __slots__ = ()

    def view(self, *shape: Any, size: Any = None, dtype: Any = None) -> Tensor:
        """Another shape (or dtype of the same width) on the same memory."""
        return movement.view_as_dtype(self, shape if size is dtype is None else (size if dtype is None else dtype,))

    def reshape(self, *shape: Any) -> Tensor:
        """Another shape: a view when possible."""
        return movement.reshape(self, *shape)

    def view_as(self, other: Tensor) -> Tensor:
        """The shape of another tensor, on the same memory."""
        return movement.view(self, other.node.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """The shape of another tensor."""
        return movement.reshape(self, other.node.shape)

    def permute(self, *dims: Any) -> Tensor:
        """Dimensions in another order; a view."""
        return movement.permute(self, *dims)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged; a view."""
        return movement.transpose(self, dim0, dim1)

    def swapaxes(self, axis0: int, axis1: int) -> Tensor:
        """Two dimensions exchanged; a view."""
        return movement.transpose(self, axis0, axis1)

    def t(self) -> Tensor:
        """A matrix transposed; a view."""
        return movement.matrix_transpose(self)

    def movedim(self, source: Any, destination: Any) -> Tensor:
        """Dimensions moved to other places; a view."""
        return movement.movedim(self, source, destination)

    moveaxis = movedim
    def swapdims(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged; a view."""
        return movement.transpose(self, dim0, dim1)

    def expand(self, *sizes: Any, size: Any = None, implicit: bool = False) -> Tensor:
        """Sizes of 1 repeated without copying; a view. `implicit`, PyTorch's own note to itself, changes nothing."""
        return movement.expand(self, *(sizes if size is None else (size,)))

    def expand_as(self, other: Tensor) -> Tensor:
        """Expanded to the shape of another tensor; a view."""
        return movement.expand(self, other.node.shape)

    def repeat(self, *sizes: Any, repeats: Any = None) -> Tensor:
        """Repeated along each dimension; a copy."""
        return movement.repeat(self, *(sizes if repeats is None else (repeats,)))

    def squeeze(self, *dims: Any, dim: Any = None) -> Tensor:
        """Sizes of 1 dropped: all, or those named; a view."""
        return movement.squeeze(self, *dims, dim=dim)

    def unsqueeze(self, dim: int) -> Tensor:
        """A size of 1 put in; a view."""
        return movement.unsqueeze(self, dim)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Dimensions start to end as one."""
        return movement.flatten(self, start_dim, end_dim)

    def unflatten(self, dim: int, sizes: Any) -> Tensor:
        """A dimension split into several; a view."""
        return movement.unflatten(self, dim, sizes)

    def broadcast_to(self, *size: Any) -> Tensor:
        """Expanded to a shape, given as one sequence or as sizes, without copying; a view."""
        if len(size) == 1 and not isinstance(size[0], int):
            (size,) = size
        return movement.expand(self, *tuple(size)) if tuple(size) else self  # type: ignore[return-value]

    def tile(self, *dims: Any) -> Tensor:
        """Repeated along each dimension; missing counts are 1."""
        counts = movement.shape_argument(dims, "tile")
        return movement.repeat(self, (1,) * max(len(self.node.shape) - len(counts), 0) + counts)  # type: ignore[attr-defined]

    def ravel(self) -> Tensor:
        """One dimension."""
        return movement.reshape(self, -1)

    def narrow(self, dim: int, start: int, length: int) -> Tensor:
        """Part of a dimension; a view."""
        known = isinstance(start, (int, Dim))
        return movement.narrow(self, dim, start if known else movement.narrow_start(start), length)

    def select(self, dim: int, index: int) -> Tensor:
        """One position of a dimension; a view."""
        return movement.select(self, dim, index)

    def split(self, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """Views of consecutive parts."""
        return movement.split(self, split_size, dim)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most so many views of equal size."""
        return movement.chunk(self, chunks, dim)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """Each position of a dimension as a view."""
        return movement.unbind(self, dim)

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """A diagonal; a view."""
        return movement.diagonal(self, offset, dim1, dim2)

    def unfold(self, dimension: int, size: int, step: int) -> Tensor:
        """Overlapping windows as a new last dimension; a view."""
        if not self.node.shape and 0 <= size <= 1:  # type: ignore[attr-defined]
            return movement.narrow(movement.reshape(self, 1), 0, 0, size)
        return movement.unfold(self, dimension, size, step)

    def flip(self, *dims: Any) -> Tensor:
        """Dimensions reversed; a copy."""
        return joining.flip(self, dims[0] if len(dims) == 1 else dims)

    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        """Moved around cyclically; a copy."""
        return joining.roll(self, shifts, dims)

    def tril(self, diagonal: int = 0) -> Tensor:
        """Lower triangle."""
        return tril(self, diagonal)

    def triu(self, diagonal: int = 0) -> Tensor:
        """Upper triangle."""
        return triu(self, diagonal)

    def __getitem__(self, items: Any) -> Tensor:
        """Part of the tensor: a view for slices and ints, a copy for index tensors."""
        return indexing.getitem(self, items)

    def __setitem__(self, items: Any, value: Any) -> None:
        """Write part of the tensor in place."""
        indexing.setitem(self, items, value)

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """Positions of nonzero elements (evaluates the tensor)."""
        return scatter.nonzero(self, as_tuple)

    def masked_select(self, mask: Tensor) -> Tensor:
        """Elements where mask, in one dimension."""
        return scatter.masked_select(self, mask)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Positions of a dimension by a 1-d index."""
        return Native.call(scatter.index_select, self, dim, index)

    def gather(self, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
        """Elements along a dimension by an index of the same rank; gradients are never sparse, whatever is asked."""
        return Native.call(scatter.gather, self, dim, index)

    def scatter(self, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
                reduce: str | None = None) -> Tensor:
        """A copy with elements replaced by index, or added ("add") or multiplied ("multiply") by `reduce`."""
        return scatter.scatter_with(self, dim, index, src, value, reduce)

    def scatter_add(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """A copy with elements added by index, in index order."""
        return scatter.scatter_add(self, dim, index, src)

    def index_add(self, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
        """A copy with slices added by index."""
        return scatter.index_add(self, dim, index, source, alpha)

    def scatter_(self, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
                 reduce: str | None = None) -> Tensor:
        """In place: elements replaced by index, or added or multiplied by `reduce`."""
        return scatter.in_place(self, self.scatter(dim, index, src, value=value, reduce=reduce), "scatter_")

    def scatter_add_(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """In place: elements added by index."""
        return scatter.in_place(self, self.scatter_add(dim, index, src), "scatter_add_")

    def index_add_(self, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
        """In place: slices added by index."""
        return scatter.in_place(self, self.index_add(dim, index, source, alpha=alpha), "index_add_")

    @property
    def T(self) -> Tensor:  # noqa: N802
        """Dimensions reversed; a view."""
        return movement.permute(self, tuple(range(len(self.node.shape)))[::-1])  # type: ignore[attr-defined]

    @property
    def H(self) -> Tensor:  # noqa: N802
        """A matrix transposed and conjugated; a view where real."""
        if len(self.node.shape) not in (0, 2):  # type: ignore[attr-defined]
            raise ShapeError(f"H: only matrices have it, not shape {list(self.node.shape)}")  # type: ignore
        return self.T.conj()

    @property
    def mH(self) -> Tensor:  # noqa: N802
        """The last two dimensions exchanged, and conjugated; a view where real."""
        return movement.transpose(self, -2, -1).conj()

    @property
    def mT(self) -> Tensor:  # noqa: N802
        """The last two dimensions exchanged; a view."""
        return movement.transpose(self, -2, -1)
