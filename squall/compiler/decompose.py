"""The first stage: composites become the ops they stand for, calls are inlined, until only ops remain that the
compiler lowers itself."""

from __future__ import annotations

from squall.ir.graph import expand_composites, inline
from squall.ir.node import Node, toposort
from squall.ir.op import ops


def decompose(roots: list[Node], inputs: list[Node]) -> list[Node]:
    """The roots over primitive ops. Leaves (nodes with a computed buffer) stay as they are."""
    known = {id(n): n for n in inputs}
    roots = expand_composites(roots, None, known)
    while any(n.op is ops.get("call") for n in toposort(roots, lambda n: id(n) in known and n.buffer is not None)):
        roots = expand_composites(_inlined(roots), None, {id(n): n for n in inputs})
    return roots


def _inlined(roots: list[Node]) -> list[Node]:
    """The roots with every call replaced by its graph over its arguments."""
    replaced: dict[int, object] = {}
    for node in toposort(roots, lambda n: n.buffer is not None):
        if node.buffer is not None:
            replaced[id(node)] = node
            continue
        operands = tuple(replaced[id(n)] for n in node.inputs)
        if node.op is ops.get("call"):
            replaced[id(node)] = inline(node.attrs[0], operands)
        elif node.op is ops.pick and operands[0].__class__ is tuple:
            replaced[id(node)] = operands[0][node.attrs[0]]  # type: ignore[index]
        elif all(a is b for a, b in zip(operands, node.inputs, strict=True)):
            replaced[id(node)] = node
        else:
            replaced[id(node)] = Node(node.op, operands, node.attrs, node.type)  # type: ignore[arg-type]
    return [replaced[id(n)] for n in roots]  # type: ignore[misc]
