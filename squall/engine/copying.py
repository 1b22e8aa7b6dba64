"""Copies between buffers of computed Nodes, for storage that must not be overwritten or must stay where it is."""

from __future__ import annotations

from typing import Any

from squall.engine.oracle import array_of, buffer_of
from squall.ir.node import Node
from squall.runtime.buffer import Buffer
from squall.runtime.memory import allocate

POOLED = 1 << 16  # bytes from which on a copy lies in the pool


def copy_array(array: Any) -> Any:
    """A row-major copy of an array, a large one in memory of the pool: that of NumPy is cut from the heap, which keeps
    the pages of parameters that updates have replaced."""
    import numpy

    if array.nbytes < POOLED:
        return numpy.array(array, order="C")
    block = allocate(array.nbytes)
    copy = numpy.asarray(block.array("|u1", (array.nbytes,))).view(array.dtype).reshape(array.shape)
    numpy.copyto(copy, array)
    return copy


def copy_buffer(node: Node) -> Buffer:
    """A row-major copy of a Node's memory."""
    return buffer_of(copy_array(array_of(node)))


def overwrite(old: Node, new: Node) -> None:
    """Write a Node's values into another's memory."""
    array_of(old)[...] = array_of(new)
