"""Evaluation by the NumPy oracle: `SQUALL_BACKEND=numpy`. Slow and plain; what everything else is compared with."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import numpy_dtype
from squall.ir.interpret import evaluate
from squall.ir.node import Node
from squall.ir.op import ops
from squall.runtime.buffer import Buffer


def array_of(node: Node) -> Any:
    """A NumPy view of a computed node's memory (zero copy; the block stays alive through the array's base)."""
    import numpy

    dtype = numpy_dtype(node.dtype)
    buffer = node.buffer
    shape = tuple(node.shape)
    strides = None if buffer.strides is None else tuple(s * dtype.itemsize for s in buffer.strides)
    return numpy.asarray(_Window(buffer, shape, strides, dtype.itemsize)).view(dtype)


class _Window:
    """Exposes memory through NumPy's array interface as raw bytes of the right width."""

    def __init__(self, buffer: Buffer, shape: tuple, strides: tuple | None, width: int):
        self.buffer = buffer
        kind = {1: "|u1", 2: "<u2", 4: "<u4", 8: "<u8"}[width]
        self.__array_interface__ = {"shape": shape, "typestr": kind, "data": (buffer.pointer, False),
                                    "strides": strides, "version": 3}


def buffer_of(array: Any, dtype: Any = None) -> Buffer:
    """A buffer over an array's memory (row-major copies are made by the caller)."""
    import numpy

    array = numpy.asarray(array)
    item = array.dtype.itemsize
    strides = None if array.flags.c_contiguous else tuple(s // item for s in array.strides)
    return Buffer(array, array.__array_interface__["data"][0], strides)


def run(roots: list[Node]) -> list[Buffer]:
    """The values of Nodes by `ir.interpret`, in fresh row-major buffers."""
    import numpy

    def read(node: Node) -> Any:
        if node.op is ops.scalar or node.buffer is None:
            return None
        return array_of(node)

    values = evaluate(roots, read)
    out = []
    for root, value in zip(roots, values, strict=True):
        fresh = numpy.array(value, dtype=numpy_dtype(root.dtype), order="C", copy=True)
        out.append(buffer_of(fresh))
    return out


