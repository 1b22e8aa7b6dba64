"""Makes a simplified graph ready for grouping: every result gets a node of its own, strided leaves a copy where a
reader needs row-major memory."""

from __future__ import annotations

from squall.ir.node import Node, toposort
from squall.ir.op import ops
from squall.ir.plan import Request


def copy_of(node: Node) -> Node:
    """A node whose value is another's, to be written to memory of its own."""
    return Node(ops.reshape, (node,), (tuple(node.shape),), node.type)


def prepare(roots: list[Node], inputs: list[Node], request: Request) -> tuple[list[Node], list[Node], list[Node]]:
    """The roots, each a distinct node that is no leaf; all nodes in order; and the copies, which must be kept."""
    leaves = {id(n) for n in inputs}
    seen: set[int] = set()
    out = []
    for root in roots:
        if id(root) in leaves or id(root) in seen or not root.inputs:
            root = copy_of(root)
        seen.add(id(root))
        out.append(root)
    strided = {id(n): n for n, c in zip(inputs, request.contiguous, strict=True) if not c}
    order = toposort(out, lambda n: id(n) in leaves)
    copies: dict[int, Node] = {}
    if strided:
        out = _with_copies(out, order, strided, leaves, copies)
        order = toposort(out, lambda n: id(n) in leaves)
    return out, order, list(copies.values())


def _with_copies(roots: list[Node], order: list[Node], strided: dict[int, Node], leaves: set[int],
                 copies: dict[int, Node]) -> list[Node]:
    """Reshapes and reductions of a strided leaf read a row-major copy of it."""
    replaced: dict[int, Node] = {}
    for node in order:
        if id(node) in leaves:
            replaced[id(node)] = node
            continue
        operands = []
        for n in node.inputs:
            made = replaced[id(n)]
            if id(n) in strided and _needs_rows(node):
                made = copies.setdefault(id(n), copy_of(n))
            operands.append(made)
        same = all(a is b for a, b in zip(operands, node.inputs, strict=True))
        replaced[id(node)] = node if same else Node(node.op, tuple(operands), node.attrs, node.type)
    return [replaced[id(r)] for r in roots]


def _needs_rows(node: Node) -> bool:
    is_copy = node.op.name == "reshape" and tuple(node.shape) == tuple(node.inputs[0].shape)
    reads_rows = node.op.family.name in ("reduce", "control")
    return (node.op.name == "reshape" and not is_copy) or reads_rows
