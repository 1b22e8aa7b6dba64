"""Writing pickles of plain data and Tensors, as torch.load reads them: protocol 2, storages by persistent id."""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

import squall as sq
from squall.base.dtypes import DType
from squall.base.shapes import contiguous_strides
from squall.frontend.arrays import array_view
from squall.frontend.conversion import Device
from squall.frontend.size import Size
from squall.io.storages import KINDS
from squall.ir.node import SharedType

DEPTH_LIMIT = 300
_STORAGE_NAMES = {kind.name: name for name, kind in KINDS.items()}


class PickleWriter:
    """Writes one pickle and collects the memory of its Tensors."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self._memo: dict[int, int] = {}
        self._alive: list[Any] = []  # what the memo knows by its id
        self._arrays: list[Any] = []
        self._cells: dict[int, tuple[int, int]] = {}
        self._held: list[Any] = []  # whose ids `_cells` knows

    def write(self, value: Any) -> bytes:
        """The pickle of a value.

        Raises:
            TypeError: naming the place and type of what cannot be stored.
        """
        self.out.append(b"\x80\x02")
        self._value(value, "the object", 0)
        return b"".join(self.out) + b"."

    def storages(self) -> Iterator[Any]:
        """The arrays of the storages, in the order of their names "0", "1" and so on."""
        import numpy

        for array in self._arrays:
            contiguous = numpy.ascontiguousarray(array).reshape(-1)
            yield contiguous.view(numpy.uint8) if contiguous.size else b""

    # ------------------------------------------------------------ values
    def _value(self, value: Any, where: str, depth: int) -> None:
        if depth > DEPTH_LIMIT:
            raise TypeError(f"save: {where[:200]} lies more than {DEPTH_LIMIT} containers deep")
        kept = self._memo.get(id(value))
        if kept is not None:
            self.out.append(b"j" + struct.pack("<I", kept))
            return
        writer = _WRITERS.get(type(value))
        if writer is not None:
            writer(self, value, where, depth)
        elif isinstance(value, sq.Tensor):
            self._tensor(value)
        elif hasattr(value, "__array__") and hasattr(value, "dtype"):
            self._array(value, where)
        else:
            raise TypeError(
                f"save: {where} is a {type(value).__name__}; files hold Tensors, arrays, numbers, strings, bytes, "
                "None, dtypes, and lists, tuples, sets and dictionaries of these"
            )

    def _keep(self, value: Any) -> None:
        index = len(self._alive)
        self._memo[id(value)] = index
        self._alive.append(value)
        self.out.append(b"r" + struct.pack("<I", index))

    def _name(self, module: str, name: str) -> None:
        self.out.append(f"c{module}\n{name}\n".encode())

    def _call(self, module: str, name: str, *arguments: Any, where: str = "") -> None:
        self._name(module, name)
        self.out.append(b"(")
        for argument in arguments:
            self._value(argument, where, 0)
        self.out.append(b"tR")

    def _integer(self, value: int, where: str, depth: int) -> None:
        if -(1 << 31) <= value < 1 << 31:
            self.out.append(b"J" + struct.pack("<i", value))
            return
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        if len(raw) > 255:
            raise TypeError(f"save: {where} is an integer of {len(raw)} bytes")
        self.out.append(b"\x8a" + bytes([len(raw)]) + raw)

    def _text(self, value: str, where: str, depth: int) -> None:
        raw = value.encode("utf-8", "surrogatepass")
        self.out.append(b"X" + struct.pack("<I", len(raw)) + raw)
        self._keep(value)

    def _bytes(self, value: bytes, where: str, depth: int) -> None:
        self._call("_codecs", "encode", value.decode("latin-1"), "latin1")
        self._keep(value)

    def _bytearray(self, value: bytearray, where: str, depth: int) -> None:
        self._call("builtins", "bytearray", bytes(value))
        self._keep(value)

    def _list(self, value: list, where: str, depth: int) -> None:
        self.out.append(b"]")
        self._keep(value)
        self.out.append(b"(")
        for i, item in enumerate(value):
            self._value(item, f"{where}[{i}]", depth + 1)
        self.out.append(b"e")

    def _tuple(self, value: tuple, where: str, depth: int) -> None:
        self.out.append(b"(")
        for i, item in enumerate(value):
            self._value(item, f"{where}[{i}]", depth + 1)
        self.out.append(b"t")
        if value:
            self._keep(value)

    def _dict(self, value: dict, where: str, depth: int) -> None:
        self.out.append(b"}")
        self._keep(value)
        self._entries(value, where, depth)

    def _entries(self, value: dict, where: str, depth: int) -> None:
        self.out.append(b"(")
        for key, item in value.items():
            self._value(key, f"a key of {where}", depth + 1)
            self._value(item, f"{where}[{key!r}]", depth + 1)
        self.out.append(b"u")

    def _ordered(self, value: OrderedDict, where: str, depth: int) -> None:
        self._call("collections", "OrderedDict")
        self._keep(value)
        self._entries(value, where, depth)
        metadata = getattr(value, "_metadata", None)
        if isinstance(metadata, dict):
            self._value({"_metadata": metadata}, where, depth + 1)
            self.out.append(b"b")

    def _counter(self, value: Counter, where: str, depth: int) -> None:
        self._name("collections", "Counter")
        self._value((dict(value),), where, depth + 1)
        self.out.append(b"R")
        self._keep(value)

    def _set(self, value: Any, where: str, depth: int) -> None:
        self._name("builtins", type(value).__name__)
        self._value((list(value),), where, depth + 1)
        self.out.append(b"R")
        self._keep(value)

    # ------------------------------------------------------------ arrays and Tensors
    def _array(self, value: Any, where: str) -> None:
        """A NumPy array or scalar, its contents in the pickle itself."""
        import numpy

        array = numpy.asarray(value)
        if array.dtype.kind not in "biufcSU":
            raise TypeError(f"save: {where} is an array of dtype {array.dtype}, which files do not hold")
        kind = array.dtype.newbyteorder("<") if array.dtype.byteorder != "|" else array.dtype
        raw = array.astype(kind, copy=False).tobytes()
        scalar = isinstance(value, numpy.generic)
        self._name("numpy.core.multiarray", "scalar" if scalar else "_reconstruct")
        self.out.append(b"(")
        if scalar:
            self._dtype_of(kind)
            self._bytes(raw, where, 0)
            self.out.append(b"tR")
            return
        self._name("numpy", "ndarray")
        self._value((0,), where, 0)
        self._bytes(b"b", where, 0)
        self.out.append(b"tR(")
        self._value(1, where, 0)
        self._value(tuple(int(n) for n in array.shape), where, 0)
        self._dtype_of(kind)
        self._value(False, where, 0)
        self._bytes(raw, where, 0)
        self.out.append(b"tb")

    def _dtype_of(self, dtype: Any) -> None:
        self._call("numpy", "dtype", dtype.str[1:], False, True)
        wide = dtype.itemsize if dtype.kind in "SU" else -1
        align = 4 if dtype.kind == "U" else 1 if dtype.kind == "S" else -1
        self._value((3, dtype.str[0], None, None, None, wide, align, 0), "a dtype", 0)
        self.out.append(b"b")

    def _tensor(self, tensor: Any) -> None:
        given, leaf = tensor, tensor.requires_grad
        if leaf and not tensor.is_leaf:
            tensor, leaf = tensor.detach(), False
        parameter = type(tensor).__name__ == "Parameter"
        if parameter:
            self._name("torch._utils", "_rebuild_parameter")
            self.out.append(b"(")
        number, count, strides, offset = self._storage(tensor)
        name = _STORAGE_NAMES.get(tensor.dtype.name)
        self._name("torch._utils", "_rebuild_tensor_v2" if name else "_rebuild_tensor_v3")
        self.out.append(b"((")
        self._value("storage", "", 0)
        if name:
            self._name("torch", name)
        else:
            self._name("torch.storage", "UntypedStorage")
            count *= tensor.dtype.itemsize
        for part in (str(number), "cpu", count):
            self._value(part, "", 0)
        self.out.append(b"tQ")
        for part in (offset, tuple(int(n) for n in tensor.shape), strides, leaf and not parameter, OrderedDict()):
            self._value(part, "", 0)
        if not name:
            self._dtype(tensor.dtype, "", 0)
        self.out.append(b"tR")
        if parameter:
            self._value(leaf, "", 0)
            self._value(OrderedDict(), "", 0)
            self.out.append(b"tR")
        self._keep(given)

    def _storage(self, tensor: Any) -> tuple[int, int, Any, int]:
        """Number and element count of the storage a Tensor lies in, and its strides and offset there."""
        values = tensor.detach_array()
        cell: Any = tensor._cell
        view: Any = tensor._view
        key = id(cell) if cell is not None else 0
        whole = view is None or not view.steps
        if not whole and cell is not None:
            node: Any = cell._node
            outside = node.type.__class__ is SharedType and node.buffer.strides is not None
            if not outside and node.dtype is tensor.node.dtype and all(isinstance(s, int) for s in view.strides):
                number, count = self._memory(key, cell, lambda: _base(cell, tensor))
                return number, count, tuple(view.strides), int(view.offset)
            key = 0
        number, count = self._memory(key, cell, lambda: values)
        return number, count, contiguous_strides(values.shape), 0

    def _memory(self, key: int, cell: Any, array: Any) -> tuple[int, int]:
        if key and key in self._cells:
            return self._cells[key]
        values = array()
        found = (len(self._arrays), int(values.size))
        self._arrays.append(values)
        if key:
            self._cells[key] = found
            self._held.append(cell)
        return found

    def _dtype(self, value: DType, where: str, depth: int) -> None:
        self._name("torch", value.name)

    def _size(self, value: Any, where: str, depth: int) -> None:
        self._call("torch", "Size", tuple(int(n) for n in value))

    def _device(self, value: Any, where: str, depth: int) -> None:
        self._call("torch", "device", str(value))


def _base(cell: Any, tensor: Any) -> Any:
    """The values of a whole storage; `tensor`, which lies in it, is computed."""
    if cell._node.buffer is None:
        sq.flush()
    return array_view(cell._node)


def _constant(code: bytes) -> Any:
    return lambda writer, value, where, depth: writer.out.append(code)


_WRITERS: dict[type, Any] = {
    type(None): _constant(b"N"),
    bool: lambda w, value, where, depth: w.out.append(b"\x88" if value else b"\x89"),
    int: PickleWriter._integer,
    float: lambda w, value, where, depth: w.out.append(b"G" + struct.pack(">d", value)),
    complex: lambda w, value, where, depth: w._call("builtins", "complex", value.real, value.imag),
    str: PickleWriter._text,
    bytes: PickleWriter._bytes,
    bytearray: PickleWriter._bytearray,
    list: PickleWriter._list,
    tuple: PickleWriter._tuple,
    dict: PickleWriter._dict,
    OrderedDict: PickleWriter._ordered,
    Counter: PickleWriter._counter,
    set: PickleWriter._set,
    frozenset: PickleWriter._set,
    DType: PickleWriter._dtype,
    Device: PickleWriter._device,
    Size: PickleWriter._size,
}
