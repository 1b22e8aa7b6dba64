"""The first stage: composites (calls of graphs among them) become the ops they stand for, until only ops remain that
the compiler lowers itself, among them composites that have a kernel of their own."""

from __future__ import annotations

from squall.ir.graph import expand_composites
from squall.ir.node import Node


def decompose(roots: list[Node], leaves: list[Node]) -> list[Node]:
    """The roots over primitive ops. Leaves (nodes with a computed buffer, scalars) stay as they are."""
    return expand_composites(roots, _has_no_kernel, {id(n): n for n in leaves})


def _has_no_kernel(node: Node) -> bool:
    return not node.op.lowering.kernel
