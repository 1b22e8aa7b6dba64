"""Sharing with NumPy and DLPack, both ways and without copying.

While NumPy can see a storage, reads of it are evaluated when recorded and writes go to that memory at once (DESIGN S3).
`.numpy()` shares for as long as the array lives; `from_numpy` for as long as the Tensor does.
"""

from __future__ import annotations

import sys
from typing import Any

from squall.base.dtypes import FOREIGN, as_dtype, numpy_dtype
from squall.base.errors import AutogradError, DeviceError, DtypeError, ShapeError
from squall.engine.keys import LENT
from squall.frontend.arrays import array_view, computed
from squall.frontend.cell import Cell
from squall.frontend.core import ensure_cell
from squall.frontend.evaluation import evaluate, evaluate_tensors, flush
from squall.frontend.exporting import learn, take_back
from squall.frontend.state import local
from squall.frontend.tracing import check_no_value
from squall.frontend.views import shared_tensor
from squall.ir.node import Node, SharedType
from squall.ir.op import ops
from squall.runtime.buffer import Buffer
from squall.runtime.dlpack import CPU, from_capsule, retype


class _Export:
    """Keeps memory alive for an array handed out, and tells the storage when the array is gone."""

    def __init__(self, cell: Cell, buffer: Buffer, interface: dict):
        self.cell, self.buffer, self.__array_interface__ = cell, buffer, interface
        cell.shared = (cell.shared or 0) + 1

    def __del__(self) -> None:
        cell = self.cell
        assert cell.shared is not None
        cell.shared -= 1
        if not cell.shared:
            take_back(cell, self.buffer)


def to_numpy(tensor: Any, force: bool = False) -> Any:
    """The values as an ndarray that shares memory with the Tensor.

    Raises:
        AutogradError: for a Tensor that requires grad, unless `force`.
    """
    import numpy

    if tensor.edge is not None and not force:
        raise AutogradError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    trace = local.state.trace
    if trace is not None:
        if not trace.shares(tensor):
            check_no_value("numpy()")
        return trace.beyond(lambda: to_numpy(tensor, force))
    if local.state.pending:
        flush()
    cell = ensure_cell(tensor)
    if cell._node.buffer is None:
        evaluate((cell._node,))
    if cell.shared is None:
        learn(cell._node.type)
        _expose(cell, tensor._view)
    node = tensor.node
    if node.buffer is None:
        raise ShapeError(
            "numpy(): the storage lies in an order that this view's strides cannot express; use .contiguous()"
        )
    node.buffer.shared = True
    dtype = numpy_dtype(node.dtype)
    buffer = node.buffer
    strides = None if buffer.strides is None else tuple(s * dtype.itemsize for s in buffer.strides)
    own = dtype.kind in "fiubc" and dtype.name not in FOREIGN  # else a type that NumPy does not know by itself
    interface = {
        "shape": tuple(node.shape),
        "typestr": dtype.str if own else f"<u{dtype.itemsize}",
        "data": (buffer.pointer, False),
        "strides": strides,
        "version": 3,
    }
    array = numpy.asarray(_Export(cell, cell._node.buffer, interface))  # type: ignore[arg-type]
    return array if own else array.view(dtype)


def _expose(cell: Cell, view: Any) -> None:
    """Give the storage a Node marked as shared, over memory that no other value lies in: values never change."""
    node = cell._node
    buffer = node.buffer
    if not _is_private(node, view) or node.op is ops.scalar or buffer.strides is not None:
        buffer = computed(array_view(node).copy(order="C")).buffer
    buffer.shared = True
    cell._node = Node(ops.buffer, (), (), SharedType(node.shape, node.dtype, node.device), buffer)


def _is_private(node: Node, view: Any) -> bool:
    """Whether only its cell (and the view asked for) refers to a Node and its memory, told by reference counts."""
    if node.op is ops.scalar:
        return False
    count = sys.getrefcount
    windows = 0 if view is None else 1
    buffer = node.buffer
    # held by: the cell, two callers' variables, the argument (and the view's source and cached Node); each a slot
    # and variables
    held = 4 - 2 * LENT
    return count(node) <= held + 2 * windows and count(buffer) <= held and count(buffer.block) <= 2 + windows


def from_numpy(array: Any) -> Any:
    """A Tensor over an ndarray's memory: writes to either are seen by both.

    Args:
        array: an ndarray, writable and aligned, of a dtype squall has. Negative strides are refused, as in PyTorch.

    Example:
        >>> import numpy, squall as sq
        >>> a = numpy.zeros(2, "float32"); t = sq.from_numpy(a)
        >>> a[0] = 5; t.tolist()
        [5.0, 0.0]
    """
    import numpy

    if not isinstance(array, numpy.ndarray):
        raise TypeError(f"from_numpy: expected an ndarray, got {type(array).__name__}")
    if any(s < 0 for s in array.strides):
        raise ValueError("from_numpy: at least one stride is negative; make a copy with array.copy() first")
    if not array.dtype.isnative or any(s % array.dtype.itemsize for s in array.strides):
        raise ValueError("from_numpy: the array is byte-swapped or its strides are not whole elements; copy it first")
    if not array.flags.writeable:
        raise ValueError("from_numpy: the array is read-only; use sq.tensor(array), which copies")
    return _share(array)


def _share(array: Any) -> Any:
    try:
        dtype = as_dtype(array.dtype)
    except TypeError:
        raise DtypeError(f"from_numpy: dtype {array.dtype} has no counterpart in squall") from None
    item = array.dtype.itemsize
    strides = None if array.flags.c_contiguous else tuple(s // item for s in array.strides)
    buffer = Buffer(array, array.__array_interface__["data"][0], strides, True)
    return shared_tensor(Node(ops.buffer, (), (), SharedType(array.shape, dtype), buffer), strides)


def to_dlpack(tensor: Any, *, stream: Any = None, **options: Any) -> Any:
    """A DLPack capsule of the Tensor's memory (through the array it shares)."""
    array = to_numpy(tensor)
    options = {k: v for k, v in options.items() if v is not None}
    foreign = {"bool": ("bool", 8, "u1"), "bfloat16": ("bfloat", 16, "u2"), "float8_e4m3fn": ("float8_e4m3fn", 8, "u1"),
               "float8_e5m2": ("float8_e5m2", 8, "u1")}.get(tensor.node.dtype.name)
    if foreign is None:
        return array.__dlpack__(**options)
    kind, bits, plain = foreign
    return retype(array.view(plain).__dlpack__(**options), kind, bits)


def from_dlpack(source: Any, *, device: Any = None, copy: bool | None = None) -> Any:
    """A Tensor over another library's CPU tensor, sharing its memory.

    Args:
        source: an object with `__dlpack__`, or the capsule that it gives. device: where the Tensor is to lie; only the
            CPU. copy: True for memory of its own; False and None share.

    Raises:
        DeviceError: for another device. DtypeError: for memory that is not the CPU's, or elements squall has not.

    Example:
        >>> import numpy, squall as sq
        >>> a = numpy.zeros(2, "float32")
        >>> shared, apart = sq.from_dlpack(a), sq.from_dlpack(a, copy=True)
        >>> a[0] = 5; shared.tolist(), apart.tolist()
        ([5.0, 0.0], [0.0, 0.0])
    """
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise DeviceError(f"from_dlpack: device {str(device)!r} is not available; this build has 'cpu'")
    if copy:
        made = from_dlpack(source).clone()
        evaluate_tensors((made,))  # later writes to the source do not reach it
        return made
    capsule = source.__dlpack__() if hasattr(source, "__dlpack__") else source
    foreign = from_capsule(capsule)
    if foreign.device[0] != CPU:
        raise DtypeError(f"from_dlpack: the tensor is on DLPack device {foreign.device}; only CPU memory can be shared")
    name = foreign.kind
    if name not in ("bfloat", "float", "int", "uint", "bool", "complex", *FOREIGN):
        raise DtypeError(f"from_dlpack: element kind {foreign.kind!r} has no counterpart in squall")
    dtype = as_dtype(name if name == "bool" or name in FOREIGN else f"{name}{foreign.bits}")
    buffer = Buffer(foreign.block, foreign.block.pointer, foreign.strides, True)
    return shared_tensor(Node(ops.buffer, (), (), SharedType(foreign.shape, dtype), buffer), foreign.strides)


__all__ = ["SharedType", "array_view", "computed", "from_dlpack", "from_numpy", "to_dlpack", "to_numpy"]
