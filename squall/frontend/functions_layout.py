"""More of shapes, under PyTorch's names: diagonals, splits, stacks, parts written into copies, copies of views."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from squall.base.dim import Dim, smaller
from squall.base.dtypes import as_dtype, int64
from squall.base.errors import ShapeError
from squall.base.shapes import broadcast, normalize_dim
from squall.frontend import complex_views, creation, joining, movement
from squall.frontend.by_values import by_values
from squall.frontend.core import Handle, cast, record, scalar_node, wrap
from squall.frontend.declaring import of_tensor, with_out
from squall.frontend.factories import factory
from squall.frontend.out import checked, into
from squall.frontend.size import Size
from squall.frontend.views import write_back
from squall.ir.op import ops


# ---------------------------------------------------------------- diagonals
@of_tensor
def diag(input: Any, diagonal: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix that has a vector as its diagonal."""
    if input.ndim not in (1, 2):
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {list(input.node.shape)}")
    return diag_embed(input, diagonal) if input.ndim == 1 else input.diagonal(diagonal).clone()


@of_tensor
def diagflat(input: Any, offset: int = 0) -> Any:
    """The matrix that has all elements as its diagonal."""
    return diag_embed(input.reshape(-1), offset)


@of_tensor
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices, in dim1 and dim2, that have the last dimension as their diagonals."""
    rank = input.ndim + 1
    a, b = normalize_dim(dim1, rank, "diag_embed"), normalize_dim(dim2, rank, "diag_embed")
    if a == b:
        raise ShapeError(f"diag_embed: diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input.node.shape[-1] + abs(offset)
    rows, columns = creation.arange(size).unsqueeze(1), creation.arange(size).unsqueeze(0)
    low = max(-offset, 0)
    spread = joining.pad(input, (0,) * (rank - 2) + (low,), (0,) * (rank - 2) + (size - low - input.node.shape[-1],), 0)
    zero = creation.zeros((), dtype=input.node.dtype)
    matrix = record(ops.where, (columns - rows == offset, spread.unsqueeze(-1), zero), ())
    return matrix.movedim((-2, -1), (a, b))


def _written(x: Any, step: Any, source: Any, function: str) -> Any:
    """A copy of x with the part that a view step shows replaced."""
    op, attrs, extra = step
    part = tuple(record(op, (x, *(wrap(n) for n in extra)), attrs).node.shape)
    if tuple(source.node.shape) != part:
        raise ShapeError(f"{function}: expected src to have a size equal to the slice of self. src size = "
                         f"{list(source.node.shape)}, slice size = {list(part)}")
    return write_back(x, (step,), cast(source, x.node.dtype))


@of_tensor
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A copy with a diagonal replaced."""
    a, b = (normalize_dim(d, input.ndim, "diagonal_scatter") for d in (dim1, dim2))
    return _written(input, (ops.diagonal, (offset, a, b), ()), src, "diagonal_scatter")


@of_tensor
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """A copy with one position of a dimension replaced."""
    shown = movement.select(input, dim, index)
    if tuple(src.node.shape) != tuple(shown.node.shape):
        raise ShapeError(f"select_scatter: expected src to have a size equal to the slice of self. src size = "
                         f"{list(src.node.shape)}, slice size = {list(shown.node.shape)}")
    d = normalize_dim(dim, input.ndim, "select_scatter")
    return slice_scatter(input, src.unsqueeze(d), d, index, index + 1 if index != -1 else None)


@of_tensor
def slice_scatter(input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None,
                  step: int = 1) -> Any:
    """A copy with a slice of a dimension replaced."""
    d = normalize_dim(dim, input.ndim, "slice_scatter")
    first, last, step = slice(start, end, step).indices(input.node.shape[d])
    count = max(0, -(-(last - first) // step))
    return _written(input, (ops.slice, ((d,), (count,), (step,)), (scalar_node(first, int64),)), src, "slice_scatter")


@of_tensor
def slice_copy(input: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    """A slice of a dimension, with memory of its own.

    Args:
        start, end, step: as in `x[start:end:step]`; step above 0.

    Raises:
        ShapeError: for a step that is not positive.
    """
    if step < 1:
        raise ShapeError(f"slice_copy: slice step must be positive, got {step}")
    d = normalize_dim(dim, input.ndim, "slice_copy")
    return input[(slice(None),) * d + (slice(start, end, step),)].clone()


# ---------------------------------------------------------------- turned
@of_tensor
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """Two dimensions turned by k quarters, from the first to the second; a copy."""
    if len(dims) != 2 or input.ndim < 2:
        raise ShapeError(f"rot90: expected 2 rotation dims and at least 2 dimensions, got {dims} and {input.ndim}")
    a, b = (normalize_dim(d, input.ndim, "rot90") for d in dims)
    if a == b:
        raise ShapeError(f"rot90: expected rotation dims to be different, got {dims}")
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return input.flip((a, b))
    return input.flip(b).transpose(a, b) if k == 1 else input.transpose(a, b).flip(b)


@of_tensor
def fliplr(input: Any) -> Any:
    """The second dimension reversed; a copy."""
    if input.ndim < 2:
        raise ShapeError(f"fliplr: input must be >= 2-d, got shape {list(input.node.shape)}")
    return input.flip(1)


@of_tensor
def flipud(input: Any) -> Any:
    """The first dimension reversed; a copy."""
    if input.ndim < 1:
        raise ShapeError("flipud: input must be >= 1-d, got a tensor without dimensions")
    return input.flip(0)


@of_tensor
def adjoint(input: Any) -> Any:
    """The last two dimensions exchanged, and conjugated; a view where real."""
    return input.mH


# ---------------------------------------------------------------- split
def _where(function: str, *given: Any, more: tuple = ()) -> Any:
    """The one of an argument's names that was used; with `more`, positions that were given one by one."""
    if more:
        return (given[0], *more)
    found = [value for value in given if value is not None]
    if len(found) != 1:
        raise TypeError(f"{function}(): expected one of indices_or_sections, indices and sections, got {len(found)}")
    return found[0]


@by_values("tensor_split")
@of_tensor
def tensor_split(input: Any, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None,
                 sections: Any = None, tensor_indices_or_sections: Any = None) -> tuple:
    """Views of so many parts, nearly equal, or of the parts between positions; by any of the names PyTorch has."""
    d = normalize_dim(dim, input.ndim, "tensor_split")
    given = indices_or_sections if tensor_indices_or_sections is None else tensor_indices_or_sections
    size, where = input.node.shape[d], _where("tensor_split", given, indices, sections)
    if isinstance(where, Handle):
        where = where.tolist()
    if isinstance(where, int):
        if where < 1:
            raise ShapeError(f"tensor_split: the number of sections must be positive, got {where}")
        small, more = size // where, size % where
        edges = [i * small + smaller(i, more) for i in range(where + 1)]
        return movement.several(movement.slice_view(input, (d,), (a,), (b - a,), (1,)) for a, b in pairwise(edges))
    parts, before = [], 0
    for end in (*where, size):
        if isinstance(size, Dim) or isinstance(end, Dim):
            parts.append(input[(slice(None),) * d + (slice(before, end),)])
        else:
            first, last, _ = slice(before, end).indices(size)
            parts.append(movement.narrow(input, d, min(first, size), max(last - first, 0)))
        before = end
    return movement.several(parts)


def _split_along(input: Any, given: Any, dim: int, least: int, function: str) -> tuple:
    if input.ndim < least:
        raise ShapeError(f"{function}: expected at least {least} dimensions, got shape {list(input.node.shape)}")
    if not isinstance(given, (int, list, tuple)):
        raise TypeError(f"{function}: argument 'indices_or_sections' must be an int or a sequence of ints, not "
                        f"{type(given).__name__}")
    if isinstance(given, int) and (given < 1 or input.node.shape[dim] % given):
        raise ShapeError(f"{function}: dimension {dim} of size {input.node.shape[dim]} is not divisible into {given}")
    return tensor_split(input, given, dim)


@of_tensor
def hsplit(input: Any, indices_or_sections: Any = None, *more: int, indices: Any = None, sections: Any = None) -> tuple:
    """Views of parts of the second dimension (the first of vectors)."""
    where = _where("hsplit", indices_or_sections, indices, sections, more=more)
    return _split_along(input, where, 0 if input.ndim == 1 else 1, 1, "hsplit")


@of_tensor
def vsplit(input: Any, indices_or_sections: Any = None, *more: int, indices: Any = None, sections: Any = None) -> tuple:
    """Views of parts of the first dimension."""
    return _split_along(input, _where("vsplit", indices_or_sections, indices, sections, more=more), 0, 2, "vsplit")


@of_tensor
def dsplit(input: Any, indices_or_sections: Any = None, *more: int, indices: Any = None, sections: Any = None) -> tuple:
    """Views of parts of the third dimension."""
    return _split_along(input, _where("dsplit", indices_or_sections, indices, sections, more=more), 2, 3, "dsplit")


@of_tensor
def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple:
    """Views of consecutive parts of the listed sizes."""
    return movement.split(input, list(split_sizes), dim)


@of_tensor
def unsafe_split(input: Any, split_size: Any, dim: int = 0) -> tuple:
    """Consecutive parts, each by itself."""
    return tuple(v.clone() for v in movement.split(input, split_size, dim))


@of_tensor
def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most so many parts of equal size, each by itself."""
    return tuple(v.clone() for v in movement.chunk(input, chunks, dim))


# ---------------------------------------------------------------- at least so many dimensions, and stacks
def _atleast(tensors: tuple, function: str, grow: Any) -> Any:
    if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)):
        return grow(checked(tensors[0], function))
    given = tensors[0] if len(tensors) == 1 else tensors
    return tuple(grow(checked(t, function, "tensors")) for t in given)


def _at_least_3(x: Any) -> Any:
    if x.ndim == 2:
        return x.unsqueeze(-1)
    return x.reshape(1, -1, 1) if x.ndim < 2 else x


def atleast_1d(*tensors: Any) -> Any:
    """Tensors without dimensions as vectors of one element, others as they are."""
    return _atleast(tensors, "atleast_1d", lambda x: x if x.ndim else x.reshape(1))


def atleast_2d(*tensors: Any) -> Any:
    """Vectors as rows, others as they are."""
    return _atleast(tensors, "atleast_2d", lambda x: x if x.ndim > 1 else x.reshape(1, -1))


def atleast_3d(*tensors: Any) -> Any:
    """Vectors as 1 by n by 1, matrices with a last dimension of 1, others as they are."""
    return _atleast(tensors, "atleast_3d", _at_least_3)


@with_out
def dstack(tensors: Any) -> Any:
    """Joined along the third dimension."""
    return joining.concat([atleast_3d(t) for t in tensors], 2, "dstack")


@with_out
def column_stack(tensors: Any) -> Any:
    """Vectors as columns, and matrices, next to each other."""
    parts = [checked(t, "column_stack", "tensors") for t in tensors]
    return joining.concat([t if t.ndim > 1 else t.reshape(-1, 1) for t in parts], 1, "column_stack")


# ---------------------------------------------------------------- shapes
def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that all broadcast to."""
    found: tuple = ()
    for shape in shapes:
        found = broadcast(found, (shape,) if isinstance(shape, int) else tuple(shape), "broadcast_shapes")
    return Size(found)


@of_tensor
def sum_to_size(input: Any, *size: Any) -> Any:
    """Summed over the dimensions that a shape would be broadcast along."""
    target = movement.shape_argument(size, "sum_to_size")
    shape = tuple(input.node.shape)
    lead = len(shape) - len(target)
    if lead < 0 or any(t not in (1, s) for t, s in zip(target, shape[lead:], strict=True)):
        raise ShapeError(f"sum_to_size: size {list(target)} is not expandable to size {list(shape)}")
    dims = tuple(i for i, s in enumerate(shape) if i < lead or (target[i - lead] == 1 and s != 1))
    if not target:  # a total, also of a single element: of bools it is a count
        return input.sum()
    return (input.sum(dims, True) if dims else input).reshape(target)


@factory
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
                 layout: Any = None, requires_grad: bool = False) -> Any:
    """Rows and columns of a matrix' lower triangle, as a 2 by n matrix."""
    made = _triangle("tril_indices", row, col, offset, dtype, device, lambda i, j: j - i <= offset)
    return creation.require_grad(made, requires_grad, "tril_indices")


@factory
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
                 layout: Any = None, requires_grad: bool = False) -> Any:
    """Rows and columns of a matrix' upper triangle, as a 2 by n matrix."""
    made = _triangle("triu_indices", row, col, offset, dtype, device, lambda i, j: j - i >= offset)
    return creation.require_grad(made, requires_grad, "triu_indices")


def _triangle(function: str, row: int, col: int, offset: int, dtype: Any, device: Any, inside: Any) -> Any:
    creation.check_device(device, function)
    places = [(i, j) for i in range(row) for j in range(col) if inside(i, j)]
    kind = int64 if dtype is None else as_dtype(dtype)
    return creation.tensor(places or [], dtype=kind).reshape(len(places), 2).t().clone()


@of_tensor
def fill(input: Any, value: Any) -> Any:
    """One value in the shape and dtype of input."""
    if isinstance(value, Handle) and value.ndim:
        raise ShapeError(f"fill: value must have no dimensions, got shape {list(value.node.shape)}")
    return input.clone().fill_(value)


@of_tensor
def constant_pad_nd(input: Any, pad: Any, value: float = 0) -> Any:
    """The last dimensions padded, or with negative numbers cropped: (low, high) of the last one first."""
    count, pads = input.ndim, tuple(pad)
    if len(pads) % 2 or len(pads) // 2 > count:
        raise ShapeError(f"constant_pad_nd: pad {pads} does not fit a tensor of {count} dimensions")
    pairs = [(0, 0)] * (count - len(pads) // 2) + [pads[i:i + 2] for i in range(len(pads) - 2, -1, -2)]
    low, high = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    return joining.pad(input, low, high, value) if pads else input.clone()


# ---------------------------------------------------------------- copies of views
def _copying(name: str, doc: str) -> Any:
    def copied(input: Any, *args: Any, out: Any = None, **keywords: Any) -> Any:
        shown = getattr(checked(input, name + "_copy"), name)(*args, **keywords)
        made = tuple(v.clone() for v in shown) if isinstance(shown, tuple) else shown.clone()
        return into(tuple(out) if isinstance(out, list) else out, made, name + "_copy")

    copied.__name__ = copied.__qualname__ = name + "_copy"
    copied.__doc__ = doc
    return copied


as_strided_copy = _copying("as_strided", "`as_strided` as a copy.")
diagonal_copy = _copying("diagonal", "`diagonal` as a copy.")
expand_copy = _copying("expand", "`expand` as a copy.")
narrow_copy = _copying("narrow", "`narrow` as a copy.")
permute_copy = _copying("permute", "`permute` as a copy.")
select_copy = _copying("select", "`select` as a copy.")
split_copy = _copying("split", "`split` as copies.")
split_with_sizes_copy = _copying("split_with_sizes", "`split_with_sizes` as copies.")
squeeze_copy = _copying("squeeze", "`squeeze` as a copy.")
t_copy = _copying("t", "`t` as a copy.")
transpose_copy = _copying("transpose", "`transpose` as a copy.")
unbind_copy = _copying("unbind", "`unbind` as copies.")
unfold_copy = _copying("unfold", "`unfold` as a copy.")
unsqueeze_copy = _copying("unsqueeze", "`unsqueeze` as a copy.")
view_copy = _copying("view", "`view` as a copy.")
detach_copy = _copying("detach", "`detach` as a copy.")


@of_tensor
def alias_copy(input: Any) -> Any:
    """A copy."""
    return input.clone()


# ---------------------------------------------------------------- strides
@of_tensor
def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """Elements of the storage by size and stride; a copy, which must therefore not be written in place of the storage.

    Raises:
        ShapeError: for positions outside of the storage, and of Tensors that are views of it out of order.
    """
    shape, strides = movement.shape_argument((size,), "as_strided"), movement.shape_argument((stride,), "as_strided")
    if len(shape) != len(strides):
        raise ShapeError(f"as_strided: mismatch in length of strides and shape: {list(strides)} and {list(shape)}")
    start = input.storage_offset() if storage_offset is None else storage_offset
    flat, first = _storage_of(input)
    return flat.take(_places(shape, strides, start - first, flat.numel()))


def _storage_of(x: Any) -> tuple[Any, int]:
    """All elements that the Tensor's storage has, in one dimension, and the place of the first."""
    if x.is_contiguous() and (x._view is None or x._view.base is None):
        return x.reshape(-1), x.storage_offset()
    base = x._view.root() if x._view is not None else None
    if base is not None and base.node.dtype is not x.node.dtype:
        base = complex_views.view_as_real(base) if base.is_complex() else None
    if base is None or not base.is_contiguous():
        raise ShapeError("as_strided: the tensor is a view whose storage is not in row-major order; use .contiguous()")
    return base.reshape(-1), base.storage_offset()


def _places(shape: tuple, strides: tuple, start: int, count: int) -> Any:
    places = creation.tensor(start)
    for n, s in zip(shape, strides, strict=True):
        places = places.unsqueeze(-1) + creation.arange(n) * s
    if 0 not in shape:
        last = start + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if start < 0 or last >= count:
            raise ShapeError(f"as_strided: size {list(shape)}, stride {list(strides)} and offset {start} need elements "
                             f"up to {last} of a storage of {count}")
    return places


@of_tensor
def as_strided_scatter(input: Any, src: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A copy with the elements that `as_strided` shows replaced."""
    shape, strides = movement.shape_argument((size,), "as_strided"), movement.shape_argument((stride,), "as_strided")
    flat = input.reshape(-1)
    start = input.storage_offset() if storage_offset is None else storage_offset
    return flat.put(_places(shape, strides, start, flat.numel()), src).reshape(input.node.shape)
