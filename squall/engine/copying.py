"""Copies between buffers of computed Nodes, for storage that must not be overwritten or must stay where it is."""

from __future__ import annotations

from squall.engine.oracle import array_of, buffer_of
from squall.ir.node import Node
from squall.runtime.buffer import Buffer


def copy_buffer(node: Node) -> Buffer:
    """A row-major copy of a Node's memory."""
    return buffer_of(array_of(node).copy(order="C"))


def overwrite(old: Node, new: Node) -> None:
    """Write a Node's values into another's memory."""
    array_of(old)[...] = array_of(new)
