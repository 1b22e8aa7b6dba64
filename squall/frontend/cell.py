"""Cell: the storage that a Tensor and its views share, below everything else that knows Tensors."""

from __future__ import annotations

from typing import Any

from squall.ir.node import Node


class Cell:
    """Storage: the current Node of the base, how often it was written, and how many arrays share the memory (None:
    none).
    """

    __slots__ = ("__weakref__", "_node", "shared", "version")

    def __init__(self, node: Node):
        self._node, self.version = node, 0
        self.shared: int | None = None

    _cell: Any = None

    def describe(self) -> str:
        """What version errors call it."""
        return f"tensor of shape {list(self._node.shape)} and dtype {self._node.dtype}"
