"""DLPack in: another library's tensor, from its capsule to a block that keeps it alive.

The capsule itself is the block's owner: it is never renamed, so when the block goes its own destructor runs the
producer's deleter, which is what a consumer would have done.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from squall.runtime.memory import Block

CPU = 1  # kDLCPU
CODES = ("int", "uint", "float", "handle", "bfloat", "complex", "bool", "float8_e3m4", "float8_e4m3",
         "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2")  # as DLPack numbers them


class _Device(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int32), ("number", ctypes.c_int32)]


class _Type(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device", _Device), ("dimensions", ctypes.c_int32), ("type", _Type),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


class _Versioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
                ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _Tensor)]


class ForeignTensor(NamedTuple):
    """What a capsule describes.

    `block` starts at the first element and keeps the producer's memory alive. `strides` are in elements, None for
    row-major. `kind` and `bits` are the element type ("float", 32). `device` is (DLPack's device kind, number).
    """

    block: Block
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    kind: str
    bits: int
    device: tuple[int, int]
    read_only: bool


def retype(capsule: Any, kind: str, bits: int) -> Any:
    """The same capsule, saying that its elements are of another type of the same width (one NumPy cannot name)."""
    tensor = _opened(capsule)[0]
    tensor.type.code, tensor.type.bits = CODES.index(kind), bits
    return capsule


def from_capsule(capsule: Any) -> ForeignTensor:
    """Read a capsule that an object's `__dlpack__()` returned.

    Raises:
        ValueError: for a capsule that was used already, of a newer major version, or of vector elements.

    Example:
        >>> import numpy
        >>> tensor = from_capsule(numpy.ones((2, 3), "f4").__dlpack__())
        >>> tensor.shape, tensor.kind, tensor.bits, tensor.device
        ((2, 3), 'float', 32, (1, 0))
    """
    return _described(*_opened(capsule))


def _opened(capsule: Any) -> tuple[_Tensor, Any, bool]:
    api = ctypes.pythonapi
    valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", api))
    address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    read_only = False
    if valid(capsule, b"dltensor_versioned"):
        whole = _Versioned.from_address(address(capsule, b"dltensor_versioned"))
        if whole.major > 1:
            raise ValueError(f"the DLPack capsule has version {whole.major}.{whole.minor}; 1 is understood")
        tensor, read_only = whole.tensor, bool(whole.flags & 1)
    elif valid(capsule, b"dltensor"):
        tensor = _Tensor.from_address(address(capsule, b"dltensor"))
    else:
        raise ValueError("not a DLPack capsule, or one that was used already")
    return tensor, capsule, read_only


def _described(tensor: _Tensor, capsule: Any, read_only: bool) -> ForeignTensor:
    if tensor.type.lanes != 1 or tensor.type.code >= len(CODES):
        raise ValueError(f"DLPack element type {tensor.type.code} of {tensor.type.lanes} lanes is not supported")
    shape = tuple(tensor.shape[i] for i in range(tensor.dimensions))
    strides = tuple(tensor.strides[i] for i in range(tensor.dimensions)) if tensor.strides else None
    steps, count = [], 1
    for extent in reversed(shape):
        steps.append(count)
        count *= extent
    reach = strides or tuple(reversed(steps))
    elements = 1 + sum((extent - 1) * max(stride, 0) for extent, stride in zip(shape, reach)) if count else 0
    block = Block((tensor.data or 0) + tensor.byte_offset, elements * ((tensor.type.bits + 7) // 8), capsule)
    return ForeignTensor(block, shape, strides, CODES[tensor.type.code], tensor.type.bits,
                         (tensor.device.kind, tensor.device.number), read_only)
