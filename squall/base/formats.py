"""Memory formats and layouts by PyTorch's names, for the arguments that take them.

Tensors are dense and their logical strides follow from the views taken of them; how a buffer lies in memory is the
compiler's choice. So of the formats only those that ask for nothing else are accepted.
"""

from __future__ import annotations

from typing import Any


class MemoryFormat:
    """One of `contiguous_format`, `preserve_format`, `channels_last`, `channels_last_3d`."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"squall.{self.name}"


class Layout:
    """How elements are stored: `strided` is the only one."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"squall.{self.name}"


contiguous_format = MemoryFormat("contiguous_format")
legacy_contiguous_format = contiguous_format  # the name it had once
preserve_format = MemoryFormat("preserve_format")
channels_last = MemoryFormat("channels_last")
channels_last_3d = MemoryFormat("channels_last_3d")
strided = Layout("strided")


def check_format(memory_format: Any, layout: Any, function: str) -> None:
    """Accept the formats and layouts that squall has.

    Raises:
        TypeError: for what is neither. ValueError: for a format that squall does not make.
    """
    if memory_format is not None and not isinstance(memory_format, MemoryFormat):
        raise TypeError(f"{function}(): memory_format must be a memory format, got {type(memory_format).__name__}")
    if layout is not None and not isinstance(layout, Layout):
        raise TypeError(f"{function}(): layout must be a layout, got {type(layout).__name__}")
    if memory_format in (channels_last, channels_last_3d):
        raise ValueError(
            f"{function}(): {memory_format} is not made: tensors are row-major, and the compiler chooses the "
            "layout of its own buffers; use squall.contiguous_format or squall.preserve_format"
        )
