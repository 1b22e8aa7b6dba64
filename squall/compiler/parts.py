"""Sums of values that were each placed into zeros, side by side: what gradients of the parts of a `split` add up to.

Such a sum is the concatenation of the parts, each + 0.0 (which changes -0.0 and nothing else).
"""

from __future__ import annotations

from squall.compiler import movement
from squall.ir.node import Node
from squall.ir.op import constant, constant_value, make, ops

MOST = 16  # parts


def joined(node: Node) -> Node | None:
    """The concat that an `add` of placements comes to, or None.

    Example: `update_slice(zeros, a, 0) + update_slice(zeros, b, 3)` of sizes 3 and 4 is `concat(a + 0, b + 0)` of 7.
    """
    leaves = _leaves(node)
    found = [_placement(leaf) for leaf in leaves]
    if not found or any(f is None for f in found) or len({f[0] for f in found if f}) != 1:
        return None
    dim = found[0][0]  # type: ignore[index]
    parts = sorted(((f[1], f[2]) for f in found), key=lambda part: part[0])  # type: ignore[index]
    end = 0
    for start, value in parts:
        if start != end:
            return None
        end += value.shape[dim]
    if end != node.shape[dim]:
        return None
    zero = constant(0, node.dtype, node.device)
    return make(ops.concat, tuple(make(ops.add, (value, zero), ()) for _, value in parts), (dim,))


def _leaves(node: Node) -> list[Node]:
    """What a tree of adds over one shape adds up; nothing if it is large or has other leaves than placements."""
    out: list[Node] = []
    stack = list(node.inputs)
    while stack:
        n = stack.pop()
        if n.shape != node.shape or len(out) + len(stack) > MOST or n.dtype is not node.dtype:
            return []
        if n.op is ops.add and n.buffer is None:
            stack += n.inputs
        elif n.op is ops.update_slice and n.buffer is None:
            out.append(n)
        else:
            return []
    return out


def _placement(node: Node) -> tuple[int, int, Node] | None:
    """The dimension along which a value was placed into zeros, where, and the value; None for anything else."""
    if not movement.is_placement(node):
        return None
    base, value, *starts = node.inputs
    held = movement.uniform_value(base)
    number = None if held is None else constant_value(held)
    if number != 0 or str(number).startswith("-"):
        return None
    shapes = list(zip(value.shape, node.shape, strict=True))
    if not all(isinstance(n, int) for pair in shapes for n in pair):
        return None
    partial = [d for d, (n, whole) in enumerate(shapes) if n != whole]
    known = dict(zip(node.attrs[0], starts, strict=True))
    if len(partial) != 1 or any(s.op is not ops.constant for s in known.values()):
        return None
    return partial[0], int(constant_value(known[partial[0]])), value
