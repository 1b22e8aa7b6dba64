"""Plan keys: the structure of a graph without the numbers that vary, and the leaves in binding order.

Two graphs with equal keys run by one plan. Keys are compared in full. What enters: ops, attributes (floats by bits),
operand positions, types, leaf layouts, which inputs may be overwritten, and every knob that changes code.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from squall.base import config
from squall.compiler.work import dense_dim
from squall.ir.node import Node, SharedType
from squall.ir.op import ops


def _lent() -> int:
    """1 where a call borrows its argument from the caller's variable (Python 3.14), 0 where it holds it too."""
    probe = object()
    return 2 - sys.getrefcount(probe)


LENT = _lent()


class Signature(NamedTuple):
    """A graph as key, with its nodes in order and its leaves in binding order."""

    key: tuple
    order: list[Node]
    inputs: list[Node]
    scalars: list[Node]
    donatable: tuple[bool, ...]


def attrs_key(attrs: tuple) -> tuple:
    """Attribute values with floats replaced by their bits, so that 0.0 and -0.0, 1 and 1.0 and True stay apart."""
    return tuple([_apart[a.__class__](a) if a.__class__ in _apart else a for a in attrs])


_apart: dict[type, Any] = {float: lambda a: ("float", a.hex()), bool: lambda a: ("bool", a), tuple: attrs_key}


def signature(roots: list[Node], donate: bool = True) -> Signature:
    """The key and leaves of the graph below `roots`.

    One flat tuple: a leaf gives its layout, type and shape; any other node its op, attributes and operand numbers. What
    follows from those (the types of inner nodes) is left out.
    """
    numbers: dict[int, int] = {}
    order: list[Node] = []
    entries: list[Any] = []
    inputs: list[Node] = []
    scalars: list[Node] = []
    stack = roots[::-1]
    pop, note, scalar = stack.pop, entries.append, ops.scalar
    while stack:
        node = pop()
        number = id(node)
        if number in numbers:
            continue
        buffer = node.buffer
        if buffer is None:
            operands = node.inputs
            try:
                known = [numbers[id(n)] for n in operands]
            except KeyError:  # operands first, then this node again
                stack.append(node)
                stack += operands[::-1]
                continue
            note(node.op)
            note(attrs_key(node.attrs) if node.attrs else ())
            entries += known
        elif node.op is scalar:
            note("scalar")
            note(node.type.dtype)
            scalars.append(node)
        else:
            type = node.type
            note("rows" if buffer.strides is None else dense_dim(node))
            note(type.dtype)
            note(type.shape)
            inputs.append(node)
        numbers[number] = len(order)
        order.append(node)
    donatable = _donatable(order, roots, inputs) if donate and config.get("donate") else (False,) * len(inputs)
    key = (tuple(entries), tuple([numbers[id(r)] for r in roots]), donatable, config.code_key())
    return Signature(key, order, inputs, scalars, donatable)


def _donatable(order: list[Node], roots: list[Node], inputs: list[Node]) -> tuple[bool, ...]:
    """Which inputs nobody can read once this graph has run: only nodes of the graph refer to them, and to those
    nodes too.

    Counts references: an object that only the graph's tuples and this call's lists hold is private.
    """
    count = sys.getrefcount
    uses: dict[int, int] = {}
    for node in order:
        for operand in node.inputs:
            uses[id(operand)] = uses.get(id(operand), 0) + 1
    node = operand = None  # let go of the last ones
    # held by order, inputs, the comprehension's variable and getrefcount's argument: cheap, and usually the answer
    if not any([count(n) <= uses.get(id(n), 0) + 4 - LENT for n in inputs]):  # noqa: C419  a generator holds other references
        return (False,) * len(inputs)
    is_root = {id(r) for r in roots}
    for node in order:  # an interior node somebody else holds would have to be computed again from its inputs
        # held by: the order list, the loop variable, getrefcount's argument
        if node.buffer is None and id(node) not in is_root and count(node) > uses.get(id(node), 0) + 3 - LENT:
            return (False,) * len(inputs)
    out = []
    for i in range(len(inputs)):
        node = inputs[i]
        # held by: order, inputs, the variable `node`, the argument; buffer: the slot, the variable, the argument
        private = count(node) <= uses.get(id(node), 0) + 4 - LENT and node.type.__class__ is not SharedType
        buffer = node.buffer
        out.append(private and count(buffer) <= 3 - LENT and not buffer.shared and count(buffer.block) <= 2)
    return tuple(out)
