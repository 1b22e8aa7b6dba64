"""Operands as strided views of memory: what contractions, scans, scatters and library calls read without a copy."""

from __future__ import annotations

from math import prod

from squall.compiler import movement
from squall.compiler.affine import Affine, Atom, Run, Split, Unfit, flatten, of
from squall.compiler.pull import Home, reshaped
from squall.compiler.work import Work
from squall.ir.node import Node
from squall.ir.op import constant_value, ops


def _fixed_start(node: Node) -> Affine:
    if node.op is ops.constant:
        return Affine({}, constant_value(node))  # type: ignore[arg-type]
    if node.op.name == "extent":
        return Affine({}, node.attrs[0])
    raise Unfit


def view_of(work: Work, node: Node) -> Home | None:
    """Buffer, strides and offset through which a node's elements can be read, or None."""
    chain: list[Node] = []
    base = node
    while work.home(base) is None:
        if not movement.is_map(base):
            return None
        chain.append(base)
        base = base.inputs[0]
    home = work.homes[id(base)]
    if chain and chain[-1].op.name == "reshape" and (made := reshaped(home, base, chain[-1])) is not None:
        home = made
        chain.pop()
    atoms = [Atom(n) for n in node.shape]
    index = movement.canonical(tuple(of(a) for a in atoms), node.shape)
    try:
        for step in chain:
            shape = step.inputs[0].shape
            index = movement.canonical(movement.MAPS[step.op.name](step, index, _fixed_start), shape)
    except (Split, Unfit):
        return None
    address = flatten(index, home.strides, home.offset)
    if any(isinstance(v, Run) for v in address.terms):
        return None
    return Home(home.buffer, tuple(address.terms.get(a, 0) for a in atoms), address.constant)


def _source(work: Work, node: Node) -> Node:
    """The value a chain of index maps moves, unless that has more elements than the node."""
    base = node
    while work.home(base) is None and movement.is_map(base):
        base = base.inputs[0]
    size, own = prod(base.shape), prod(node.shape)
    smaller = isinstance(size, int) and isinstance(own, int) and size > own
    return node if smaller or work.home(base) is not None else base


def operand(work: Work, node: Node) -> tuple[Node, Home]:
    """A node to be read as memory: the kept node or leaf it lies in, and the view. It is kept itself if need be."""
    view = view_of(work, node)
    if view is None:
        base = _source(work, node)
        if base is not node:  # windows and expansions are read through, not written out
            work.keep(base)
            view = view_of(work, node)
    if view is None:
        view = work.keep(node)
    base = node
    while work.home(base) is None:
        base = base.inputs[0]
    return base, view
