"""What native code must know to make an ndarray over a Tensor's memory: types met before, and NumPy's own C functions.

`interop.to_numpy` is what is specified; it says of each type it meets what `native_arrays.py` needs of it.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from squall.base.dtypes import numpy_dtype
from squall.frontend.cell import Cell
from squall.ir.node import Node, SharedType, TensorType, tensor_type
from squall.ir.op import ops
from squall.runtime import leaving

MOST = 2048  # types known at once
NEW_FROM_DESCR, SET_BASE_OBJECT = 94, 282  # places in NumPy's table of C functions, the same in every version since 1.7
NEW_ARRAY, SET_BASE, CLASS, RANK, DIMS = range(5)  # words of a description

known: dict[int, tuple] = leaving.keep({})  # by the address of a type: the type, its shared type, dtype, description


@functools.cache
def _functions() -> tuple[int, int] | None:
    """The addresses of PyArray_NewFromDescr and PyArray_SetBaseObject; None for a NumPy that hides its table."""
    import numpy

    core = getattr(numpy, "_core", None) or getattr(numpy, "core", None)
    capsule = getattr(getattr(core, "_multiarray_umath", None), "_ARRAY_API", None)
    if capsule is None:
        return None
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_void_p]
    table = (ctypes.c_void_p * (SET_BASE_OBJECT + 1)).from_address(pointer(capsule, None))
    return int(table[NEW_FROM_DESCR] or 0), int(table[SET_BASE_OBJECT] or 0)


def learn(type: TensorType) -> None:
    """Let native code make arrays of a type from now on, if NumPy has its dtype and its sizes are numbers."""
    import numpy

    dtype = numpy_dtype(type.dtype)
    functions = _functions()
    plain = type.__class__ is TensorType and all(size.__class__ is int for size in type.shape)
    if id(type) in known or functions is None or not plain or dtype.kind not in "fiubc" or type.device != "cpu":
        return
    if len(known) >= MOST:
        known.clear()
    words = (ctypes.c_int64 * (DIMS + max(1, len(type.shape))))(*functions, id(numpy.ndarray), len(type.shape),
                                                                *type.shape)
    shared = SharedType(type.shape, type.dtype)
    known[id(type)] = known[id(shared)] = (type, shared, dtype, ctypes.addressof(words), words)


def take_back(cell: Cell, buffer: Any) -> None:
    """The last array over a storage is gone: reads of it may wait again, if it still lies in that memory."""
    cell.shared = None
    node = cell._node
    if node is not None and node.buffer is buffer:  # None when the interpreter has taken the cell down
        buffer.shared = False
        cell._node = Node(ops.buffer, (), (), tensor_type(node.shape, node.dtype, node.device), node.buffer)
