"""Buffers: a typed-by-nobody window of memory with strides.

A Buffer points into a block that keeps the memory alive. Views share the block. Strides are in elements; None means
row-major for whatever shape reads it.
"""

from __future__ import annotations

from typing import Any


class Buffer:
    """Memory of one value: `pointer` is the address of element 0, `block` keeps it alive, `strides` None is row-major.

    `shared` marks memory that NumPy or DLPack can also see, which must not be donated.
    """

    __slots__ = ("block", "pointer", "strides", "shared")

    def __init__(self, block: Any, pointer: int, strides: tuple[int, ...] | None = None, shared: bool = False):
        self.block, self.pointer, self.strides, self.shared = block, pointer, strides, shared

    def view(self, byte_offset: int, strides: tuple[int, ...] | None) -> Buffer:
        """Another window of the same block."""
        return Buffer(self.block, self.pointer + byte_offset, strides, self.shared)

    def __repr__(self) -> str:
        return f"<Buffer {self.pointer:#x} strides={self.strides}>"
