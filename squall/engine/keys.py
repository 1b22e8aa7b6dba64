"""Plan keys: the structure of a graph without the numbers that vary, and the leaves in binding order.

Two graphs with equal keys run by one plan. Keys are compared in full. What enters: ops, attributes (floats by bits),
operand positions, types, leaf layouts, which inputs may be overwritten, and every knob that changes code.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from squall.base import config
from squall.ir.node import Node, SharedType, toposort
from squall.ir.op import ops


class Signature(NamedTuple):
    """A graph as key, with its nodes in order and its leaves in binding order."""

    key: tuple
    order: list[Node]
    inputs: list[Node]
    scalars: list[Node]
    donatable: tuple[bool, ...]


def _computed(node: Node) -> bool:
    return node.buffer is not None


def attrs_key(attrs: tuple) -> tuple:
    """Attribute values with floats replaced by their bits, so that 0.0 and -0.0, 1 and 1.0 and True stay apart."""
    return tuple([(a.__class__.__name__, a.hex() if a.__class__ is float else a)
                  if a.__class__ in (float, bool) else attrs_key(a) if a.__class__ is tuple else a for a in attrs])


def signature(roots: list[Node], donate: bool = True) -> Signature:
    """The key and leaves of the graph below `roots`."""
    order = toposort(roots, _computed)
    numbers: dict[int, int] = {}
    entries: list[Any] = []
    inputs: list[Node] = []
    scalars: list[Node] = []
    for position, node in enumerate(order):
        numbers[id(node)] = position
        type = node.type
        buffer = node.buffer
        if buffer is None:
            types = type if type.__class__ is tuple else (type.shape, type.dtype.short)
            operands = tuple([numbers[id(o)] for o in node.inputs])
            entries.append((node.op.name, attrs_key(node.attrs) if node.attrs else (), operands, types))
        elif node.op is ops.scalar:
            entries.append((0, type.dtype.short))
            scalars.append(node)
        else:
            entries.append((1, type.shape, type.dtype.short, buffer.strides is None))
            inputs.append(node)
    donatable = _donatable(order, roots, inputs) if donate and config.get("donate") else (False,) * len(inputs)
    key = (tuple(entries), tuple([numbers[id(r)] for r in roots]), donatable, config.code_key())
    return Signature(key, order, inputs, scalars, donatable)


def _donatable(order: list[Node], roots: list[Node], inputs: list[Node]) -> tuple[bool, ...]:
    """Which inputs nobody can read once this graph has run: only nodes of the graph refer to them, and to those nodes too.

    Counts references: an object that only the graph's tuples and this call's lists hold is private.
    """
    if not inputs:
        return ()
    uses: dict[int, int] = {}
    for node in order:
        for operand in node.inputs:
            uses[id(operand)] = uses.get(id(operand), 0) + 1
    is_root = {id(r) for r in roots}
    count = sys.getrefcount
    for node in order:  # an interior node somebody else holds would have to be computed again from its inputs
        # held by: the order list, the loop variable, getrefcount's argument
        if node.buffer is None and id(node) not in is_root and count(node) > uses.get(id(node), 0) + 3:
            return (False,) * len(inputs)
    out = []
    for i in range(len(inputs)):
        node = inputs[i]
        # held by: order, inputs, the variable `node`, the argument; buffer: the slot, the variable, the argument
        private = count(node) <= uses.get(id(node), 0) + 4 and node.type.__class__ is not SharedType
        buffer = node.buffer
        out.append(private and count(buffer) <= 3 and not buffer.shared and count(buffer.block) <= 2)
    return tuple(out)
