"""Storages as objects, addresses of memory, and a Tensor that is made to show another's memory."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from squall.base.errors import ArgumentError, AutogradError, DtypeError
from squall.base.shapes import numel
from squall.frontend import creation
from squall.frontend.arrays import array_view, computed
from squall.frontend.conversion import Device
from squall.frontend.core import Handle, ensure_cell, wrap
from squall.frontend.evaluation import evaluate
from squall.frontend.functions_layout import as_strided
from squall.frontend.methods_conversion import become
from squall.frontend.tracing import check_no_value
from squall.frontend.views import alias, layout_of
from squall.ir.node import Node
from squall.ir.op import ops

_own: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # the memory that a storage, whose address was asked, has alone


class UntypedStorage:
    """The memory that a Tensor and its views share, as bytes; from `Tensor.untyped_storage()`.

    Two are equal when they are the same memory.

    Example:
        >>> import squall as sq
        >>> x = sq.zeros(2, 3)
        >>> x[0].untyped_storage() == x.untyped_storage(), x.untyped_storage().nbytes()
        (True, 24)
    """

    __slots__ = ("_shared",)

    def __init__(self, cell: Any):
        if not hasattr(cell, "version") or isinstance(cell, Handle):
            raise TypeError("UntypedStorage is what Tensor.untyped_storage() gives; it is not made of values")
        self._shared = cell

    @property
    def device(self) -> Device:
        """Where it lies."""
        return Device(self._shared._node.type.device)

    def nbytes(self) -> int:
        """Its bytes."""
        type = self._shared._node.type
        return numel(type.shape) * type.dtype.itemsize  # type: ignore[operator]

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """The address of its first byte now; 0 when it has none."""
        return address(_whole(self._shared))

    def tolist(self) -> list[int]:
        """Its bytes as numbers."""
        return list(_whole(self._shared).numpy().tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other._shared is self._shared

    def __hash__(self) -> int:
        return id(self._shared)


def _whole(cell: Any) -> Any:
    out = wrap(None)  # type: ignore[arg-type]
    out._cell = cell
    return out


def is_storage(obj: Any) -> bool:
    """Whether an object is a storage.

    Example:
        >>> import squall as sq
        >>> sq.is_storage(sq.ones(2).untyped_storage()), sq.is_storage(sq.ones(2))
        (True, False)
    """
    return isinstance(obj, UntypedStorage)


def address(x: Any) -> int:
    """The address of a Tensor's first element now, 0 without elements; evaluates it. Other Tensors than its views lie
    elsewhere as long as it stays there, which is until it is written to again."""
    if not x.numel():
        return 0
    check_no_value("data_ptr()", x)
    cell = ensure_cell(x)
    node = cell._node
    if node.buffer is None:
        evaluate((node,))
    if not cell.shared and _own.get(cell) is not node.buffer:  # equal values may lie in one place: give it its own
        buffer = computed(array_view(node).copy(order="C")).buffer
        cell._node = Node(ops.buffer, (), (), node.type, buffer)
        _own[cell] = buffer
    return cell._node.buffer.pointer + layout_of(x)[1] * x.element_size()


class StorageMethods:
    """Mixed into Tensor: its storage."""

    __slots__ = ()

    def untyped_storage(self) -> UntypedStorage:
        """The memory that it and its views share."""
        return UntypedStorage(ensure_cell(self))

    def data_ptr(self) -> int:
        """The address of its first element until it is written to again (evaluates it); 0 without elements."""
        return address(self)

    const_data_ptr = data_ptr

    def is_set_to(self, tensor: Any) -> bool:
        """Whether another Tensor shows the same memory in the same way."""
        return ensure_cell(self) is ensure_cell(tensor) and layout_of(self)[:2] == layout_of(tensor)[:2] and (
            tuple(self.shape) == tuple(tensor.shape))  # type: ignore[attr-defined]

    def set_(self, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Any:
        """In place: show the memory of another Tensor or storage.

        Args:
            source: a Tensor, whose sizes and strides are taken unless given; a storage; or None for no elements.
            storage_offset, size, stride: which elements of the storage.

        Raises:
            DtypeError: for a Tensor of another dtype. AutogradError: when gradients are wanted of this one.
        """
        if self.requires_grad:  # type: ignore[attr-defined]
            raise AutogradError("set_: a Tensor that requires grad cannot show other memory; detach it first")
        dtype = self.dtype  # type: ignore[attr-defined]
        if source is None:
            return become(self, creation.empty(0, dtype=dtype), "set_()")
        if isinstance(source, UntypedStorage):
            source = _whole(source._shared)
            if source.dtype is dtype:
                source = source.reshape(-1)
        if source.dtype is not dtype:
            raise DtypeError(f"set_: expected a source of dtype {dtype}, got {source.dtype}")
        if size is None:
            if storage_offset or stride is not None:
                raise ArgumentError("set_: storage_offset and stride need a size")
            return become(self, alias(source), "set_()")
        size = (size,) if isinstance(size, int) else tuple(size)
        if stride is None:
            stride, step = [], 1
            for n in reversed(size):
                stride.insert(0, step)
                step *= max(n, 1)
        return become(self, alias(as_strided(source, size, tuple(stride), storage_offset)), "set_()")

    def as_strided_(self, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
        """In place: `as_strided` of itself."""
        return become(self, as_strided(self, size, stride, storage_offset), "as_strided_()")
