"""What the transforms share: which nodes depend on what, outputs of nodes of several, and expanding composites."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from squall.base.errors import CompileError
from squall.ir.node import Node
from squall.ir.op import Decompose, make, ops


def depending(order: Iterable[Node], roots: Iterable[Node]) -> set[int]:
    """Ids of the nodes of an order that need one of the roots, the roots included."""
    out = {id(n) for n in roots}
    for node in order:
        if any(id(operand) in out for operand in node.inputs):
            out.add(id(node))
    return out


def picks(node: Node) -> Any:
    """The node, or for several outputs the tuple of its picks, as applying an op gives it."""
    if node.type.__class__ is not tuple:
        return node
    return tuple(make(ops.pick, (node,), (i,)) for i in range(len(node.type)))


def is_pick(node: Node) -> bool:
    """Whether a node takes one output of a node of several."""
    return node.op is ops.pick


def expanded(node: Node, operands: tuple, what: str) -> Any:
    """The node's decomposition over operands; CompileError says which rule is missing when it has none.

    Args:
        what: the rule that would have served instead.
    """
    lowering = node.op.lowering
    if not isinstance(lowering, Decompose):
        raise CompileError(f"{node.op.name} has no {what} rule and no decomposition to derive one from")
    return lowering.expand(*operands, **node.op.named(node.attrs))


def several(made: Any) -> tuple:
    """One or several results as a tuple."""
    return made if made.__class__ is tuple else (made,)
