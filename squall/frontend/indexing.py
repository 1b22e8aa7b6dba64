"""`x[...]` and `x[...] = value`: basic indexing gives views, integer and boolean tensors read and write by position."""

from __future__ import annotations

import functools
from typing import Any

from squall.base.dim import larger, smaller
from squall.base.dtypes import bool_, int64, uint8
from squall.base.errors import IndexRangeError, ShapeError, TraceError
from squall.base.shapes import broadcast, numel
from squall.frontend.arrays import array_view, computed
from squall.frontend.by_values import by_values
from squall.frontend.core import Handle, cast, operand, record, require_no_grad_leaf, scalar_node, wrap
from squall.frontend.creation import tensor
from squall.frontend.movement import permute, reshape, select, varying_start
from squall.frontend.number import OtherNumberError, derived, is_number
from squall.frontend.state import local
from squall.frontend.views import layout_of, make_view, overwrite, see_through, untracked, write
from squall.ir.node import Node
from squall.ir.op import ops


def _is_array(item: Any) -> bool:
    if is_number(item):
        return False
    return isinstance(item, (Handle, list)) or (hasattr(item, "__array__") and getattr(item, "shape", ()) != ())


def _as_index(item: Any) -> Any:
    """An index Tensor of integers or booleans; one without dimensions as the int or bool it is, unless that is not
    known.
    """
    if not isinstance(item, Handle):
        item = tensor(item)
    type = item.node.type
    if type.dtype.category > 1:
        if type.shape == (0,):
            return cast(item, int64)
        raise IndexRangeError(f"tensors used as indices must be integers or booleans, not {type.dtype}")
    return item if type.shape or local.state.trace is not None else item.item()  # type: ignore[attr-defined]


def _is_mask(item: Any) -> bool:
    return item.node.dtype in (bool_, uint8)


def _expand_items(x: Any, items: Any) -> list:
    """One entry for each dimension and each new one: the ellipsis written out as full slices."""
    items = list(items) if isinstance(items, tuple) else [items]
    items = [_as_index(i) if _is_array(i) else i for i in items]
    used = sum(len(i.node.shape) if isinstance(i, Handle) and _is_mask(i) else 1
               for i in items if i is not None and i is not Ellipsis and i is not True and i is not False)
    rank = len(x.node.shape)
    if used > rank:
        raise IndexRangeError(f"too many indices for tensor of dimension {rank}")
    where = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(where) > 1:
        raise IndexRangeError("an index can only have a single ellipsis ('...')")
    position = where[0] if where else len(items)
    full = [slice(None)] * (rank - used)
    return items[:position] + full + items[position + (1 if where else 0):]


def _check_known(index: Node, dim: int, size: Any) -> None:
    """IndexRangeError at the user's line for a few positions that are known already; others are checked when read."""
    if index.buffer is None or index.op is ops.scalar or local.state.trace is not None or not isinstance(size, int):
        return
    count = numel(index.type.shape)
    if isinstance(count, int) and 0 < count <= 64:
        values = array_view(index)
        low, high = int(values.min()), int(values.max())
        if low < -size or high >= size:
            wrong = low if low < -size else high
            raise IndexRangeError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")


def varying_slice(item: slice, size: Any) -> tuple[int, Any]:
    """The size of a slice whose ends vary from call to call of a compiled function, which is part of the program, and
    its start, which is not."""
    if not isinstance(size, int):
        raise TraceError("a slice whose ends vary, of a dimension whose size varies, is not known while tracing")
    known: list[int] = []
    step = item.step or 1  # `start` lives on, and must not hold the slice's Numbers

    def start(first: Any, last: Any) -> int:
        low, high, _ = slice(first, last, step).indices(size)
        count = max(0, -(-(high - low) // step))
        if known and count != known[0]:
            raise OtherNumberError
        known[:] = [count]
        return low

    made = derived(start, item.start, item.stop)
    return known[0], made


class _Basic:
    """The slices, ints and None of an index taken together: one slice step and one reshape.

    Attributes:
        cuts: (dim, start, size, step) of what is cut out. shape, strides: of the view. left: index tensors by its
            dimensions.
    """

    def __init__(self, x: Any, items: list):
        self.x, self.source, self.new = x, 0, False
        self.old_shape, self.old_strides = tuple(x.node.shape), tuple(layout_of(x)[0])
        self.cuts: list[tuple] = []
        self.shape: list = []
        self.strides: list = []
        self.left: dict[int, Any] = {}
        for item in items:
            if item is None:
                self._new()
            elif item is True or item is False:
                self.left[len(self.shape)] = item
                self._new()
            elif isinstance(item, slice):
                self._slice(item)
            elif isinstance(item, Handle):
                self.left[len(self.shape)] = item
                if not _is_mask(item):
                    _check_known(item.node, self.source, self.old_shape[self.source])
                for _ in range(len(item.node.shape) if _is_mask(item) else 1):
                    self._keep(self.old_shape[self.source], 1)
            elif is_number(item):
                self._cut(varying_start(item, self.old_shape[self.source], self.source), 1, 1)
                self.source += 1
            else:
                self._pick(_as_int(item))

    def _keep(self, size: Any, step: int) -> None:
        self.shape.append(size)
        self.strides.append(self.old_strides[self.source] * step)
        self.source += 1

    def _new(self) -> None:
        self.new = True
        inside = self.source < len(self.old_shape)
        self.shape.append(1)
        self.strides.append(self.old_shape[self.source] * self.old_strides[self.source] if inside else 1)

    def _slice(self, item: slice) -> None:
        size = self.old_shape[self.source]
        if item.start is None and item.stop is None and item.step is None:
            self._keep(size, 1)
            return
        if isinstance(item.step, int) and item.step <= 0:
            raise ValueError("slice step must be positive")
        if is_number(item.start) or is_number(item.stop):
            count, start = varying_slice(item, size)
            self._cut(start, count, item.step or 1)
            self._keep(count, item.step or 1)
            return
        start, span, step = _slice_bounds(item, size)
        count = -(-span // step) if isinstance(span, int) else (span + step - 1) // step
        if not (start == 0 and step == 1 and count == size):
            self._cut(start, count, step)
        self._keep(count, step)

    def _cut(self, start: Any, count: Any, step: int) -> None:
        self.cuts.append((self.source, start, count, step))

    def _pick(self, index: int) -> None:
        size = self.old_shape[self.source]
        if isinstance(size, int) and not -size <= index < size:
            raise IndexRangeError(f"index {index} is out of bounds for dimension {self.source} with size {size}")
        self._cut(index + size if index < 0 else index, 1, 1)
        self.source += 1

    def view(self) -> Any:
        """The view, on which index tensors are still to be applied."""
        steps: list = []
        starts: tuple = ()
        shape, strides = tuple(self.shape), tuple(self.strides)
        if self.cuts:
            dims, starts, sizes, strides_cut = zip(*self.cuts, strict=True)
            steps.append((ops.slice, (dims, sizes, strides_cut), tuple([scalar_node(s, int64) for s in starts])))
        if self.new or len(shape) != len(self.old_shape):
            steps.append((ops.reshape, (shape,), ()))
        return see_through(self.x, tuple(steps), starts, strides) if steps else self.x


def _basic(x: Any, items: Any) -> tuple[Any, dict[int, Any]]:
    """The view of slices, ints and None, and the index tensors left by its dimensions."""
    basic = _Basic(x, _expand_items(x, items))
    return basic.view(), basic.left


def _slice_bounds(item: slice, size: Any) -> tuple:
    """Where a slice begins, how far it reaches, and its step."""
    first, last, step = [
        None if v is None else _as_int(v) if not hasattr(v, "terms") else v
        for v in (item.start, item.stop, item.step)
    ]
    step = step or 1
    if isinstance(size, int) and isinstance(first, (int, type(None))) and isinstance(last, (int, type(None))):
        start, stop, _ = slice(first, last, step).indices(size)
        return start, max(0, stop - start), step
    first = first or 0
    stop = size if last is None else last
    if isinstance(last, int):  # cut to the size as Python cuts it; symbolic ends are taken to lie inside
        stop = size + last if last < 0 else smaller(last, size)
    if not isinstance(first, int):
        return first, stop - first, step
    if first >= 0:
        return smaller(first, size), larger(stop - first, 0), step
    start = larger(size + first, 0)
    return start, smaller(-first, size) if last is None else larger(stop - start, 0), step


def _within(place: Any, size: Any) -> Any:
    """An end of a slice, cut to a symbolic size as Python cuts it; symbolic ends are taken to lie inside."""
    if not isinstance(place, int):
        return place
    return larger(place + size, 0) if place < 0 else smaller(place, size)


def _as_int(item: Any) -> int:
    if hasattr(item, "__index__"):
        return item.__index__()
    if isinstance(item, str):
        raise TypeError("indices must not be strings")
    raise IndexRangeError(
        f"only integers, slices (`:`), ellipsis (`...`), None and integer or boolean tensors are valid "
        f"indices (got {type(item).__name__})"
    )


def _positions(view: Any, left: dict[int, Any]) -> tuple[tuple, tuple[int, ...]]:
    """Index tensors as int64, boolean masks by their nonzero positions; and the dimensions they index."""
    indices: list = []
    dims: list[int] = []
    for dim, item in sorted(left.items()):
        if item is True or item is False:
            indices.append(tensor([0] if item else [], dtype=int64))
            dims.append(dim)
        elif item.node.dtype in (bool_, uint8):
            shape = view.node.shape[dim:dim + len(item.node.shape)]
            if tuple(item.node.shape) != tuple(shape):
                raise IndexRangeError(
                    f"The shape of the mask {list(item.node.shape)} at index {dim} does not match the shape "
                    f"of the indexed tensor {list(view.node.shape)} at index {dim}"
                )
            for k, positions in enumerate(nonzero(item)):
                indices.append(positions)
                dims.append(dim + k)
        else:
            indices.append(cast(item, int64))
            dims.append(dim)
    try:
        functools.reduce(lambda a, b: broadcast(a, tuple(b.node.shape), "index"), indices, ())
    except ShapeError as error:
        raise IndexRangeError(f"shape mismatch: indexing tensors could not be broadcast together ({error})") from None
    return tuple(indices), tuple(dims)


@by_values("a mask as index")
def nonzero(x: Any) -> tuple:
    """The positions of nonzero elements, one int64 Tensor a dimension. The value is evaluated."""
    import numpy

    array = x.detach_array()
    if array.ndim == 0:
        array = array.reshape(1)
    return tuple(wrap(computed(p.astype("int64"))) for p in numpy.nonzero(array))


def getitem(x: Any, items: Any) -> Any:
    """What `x[items]` gives: a view for slices, ints and None, a copy for index tensors."""
    if items.__class__ is int and x.node.type.shape:
        return select(x, 0, items)
    view, left = _basic(x, items)
    if not left:
        return view if view is not x else make_view(x, ops.reshape, (tuple(x.node.shape),))
    indices, dims = _positions(view, left)
    if len(indices) == 1:
        return record(ops.take, (view, indices[0]), (dims[0],))
    view, dims = _together(view, dims)
    return record(ops.index, (view, *indices), (dims,))


def _together(view: Any, dims: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """NumPy's placing: index dimensions that are apart come out in front."""
    if dims[-1] - dims[0] == len(dims) - 1:
        return view, dims
    rest = tuple(d for d in range(len(view.node.shape)) if d not in dims)
    return permute(view, dims + rest), tuple(range(len(dims)))


def setitem(x: Any, items: Any, value: Any) -> None:
    """`x[items] = value` in place: the value is cast and broadcast to what is written."""
    require_no_grad_leaf(x)
    mask = items
    if isinstance(mask, Handle) and mask.node.dtype is bool_ and tuple(mask.node.shape) == tuple(x.node.shape) \
            and _single(value):
        node = x.node
        write(x, record(ops.where, (mask, operand(value, node.dtype, node.device), x), ()), not untracked(x))
        return
    view, left = _basic(x, items)
    node = view.node
    if not left:
        overwrite(view, fitted(value, tuple(node.shape), node.dtype, "__setitem__"), not untracked(x))
        return
    _write_at(x, view, left, value, False, "__setitem__")


def _write_at(x: Any, view: Any, left: dict[int, Any], value: Any, accumulate: bool, function: str) -> None:
    indices, dims = _positions(view, left)
    view, dims = _together(view, dims)
    shape = record(ops.index, (view, *indices), (dims,)).node.shape
    update = fitted(value, tuple(shape), view.node.dtype, function)
    write(view, record(ops.index_put, (view, update, *indices), (dims, bool(accumulate))), not untracked(x))


def put(x: Any, items: tuple, value: Any, accumulate: bool = False) -> None:
    """`x[items] = value` in place, or += for every index with `accumulate`."""
    if not accumulate:
        setitem(x, items, value)
        return
    require_no_grad_leaf(x)
    view, left = _basic(x, items)
    if left:
        _write_at(x, view, left, value, True, "index_put_")
    else:
        write(view, view + fitted(value, tuple(view.node.shape), view.node.dtype, "index_put_"), not untracked(x))


def _single(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, Handle) and value.node.shape == ())


def fitted(value: Any, shape: tuple, dtype: Any, function: str) -> Any:
    """A value cast to a dtype and broadcast to a shape; leading sizes of 1 are dropped, as PyTorch does."""
    value = operand(value, dtype)
    given = tuple(value.node.shape)
    while len(given) > len(shape) and given[0] == 1:
        given = given[1:]
        value = reshape(value, given)
    if given == shape:
        return value
    if broadcast(given, shape, function) != shape:
        raise ShapeError(
            f"{function}: shape mismatch: value of shape {list(given)} cannot be broadcast to {list(shape)}"
        )
    return record(ops.expand, (value,), (shape,))
