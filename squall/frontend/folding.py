"""Frozen programs without work on weights: what `transforms.folding` takes out is computed when it is asked for first,
and again when one of the weights has another value.

A folded program is what every call runs, the first one too, so that all calls of a frozen function round alike.
"""

from __future__ import annotations

import copy
from typing import Any

from squall.engine import realize
from squall.frontend.binding import CELL, CONSTANT, OBJECT, Input, Program
from squall.ir.graph import placeholder, rebuild
from squall.ir.node import Node, SharedType, toposort
from squall.ir.op import ops
from squall.transforms import folding


def standing(code: int, where: Any) -> list[tuple[Any, str, Any]] | None:
    """What must hold for an input to stay its present value, as (owner, attribute, what it is), the Node last; None for
    a value that may change unseen, or belongs to a call."""
    found: list[tuple[Any, str, Any]] = []
    if code == OBJECT and where._view is None:
        found, where = [(where, "_cell", where._cell)], where if where._cell is None else where._cell
    elif code != CELL:
        return None
    node = where._node
    return None if node is None or node.type.__class__ is SharedType else [*found, (where, "_node", node)]


class Folded:
    """What a folded program reads in the place of its weights.

    Attributes:
        notes: what was folded. guards: what must hold for the values to be those of the weights; None where some weight
            may change unseen, so that every call computes them. changes: how often the values were computed again.
    """

    __slots__ = ("_made", "_leaves", "_numbers", "_sources", "changes", "guards", "notes")

    def __init__(self, found: folding.Folding, leaves: list[tuple[Node, Input]], numbers: list[tuple[Node, Any]]):
        self._made, self.notes, self._leaves, self._numbers = found.made, found.notes, leaves, numbers
        self.guards: tuple | None = None
        self.changes = -1

    def holds(self) -> bool:
        """Whether the values are those of the weights."""
        return self.guards is not None and all(getattr(owner, name) is value for owner, name, value in self.guards)

    def renew(self, program: Program) -> None:
        """Let the program read the values of its weights as they now are."""
        values = self._values()
        first = len(program.inputs) - len(values)
        program.inputs = [*program.inputs[:first], *(Input(CONSTANT, v, None, True, False) for v in values)]
        program.native = program.call = None

    def _values(self) -> list[Node]:
        guards: list[tuple] | None = []
        replaced: dict[int, Node] = {id(n): Node(ops.scalar, (), (), n.type, value) for n, value in self._numbers}
        for leaf, entry in self._leaves:
            found = standing(entry.code, entry.where)
            guards = None if found is None or guards is None else [*guards, *found]
            replaced[id(leaf)] = found[-1][2] if found else entry.where.node
        rebuild(toposort(self._made), replaced)
        made = [replaced[id(n)] for n in self._made]
        realize.evaluate(made)
        self.guards = None if guards is None else tuple(guards)
        self.changes += 1
        return made


def folded(program: Program) -> Program:
    """The program without work on its weights, or as it is."""
    if program.tracked is not None or program.passed or program.created or program.adopted:
        return program
    written = [w.where for w in program.writes]
    known: dict[int, Input] = {}
    for node, entry in zip(program.input_nodes, program.inputs, strict=True):
        found = None if entry.donated else standing(entry.code, entry.where)
        if found is not None and not any(owner is w for owner, *_ in found for w in written):
            known[id(node)] = entry
    numbers = {id(n): v for n, (kind, v) in zip(program.scalar_nodes, program.scalars, strict=True) if kind == "fixed"}
    leaves = [n for n in (*program.input_nodes, *program.scalar_nodes) if id(n) in known or id(n) in numbers]
    found = folding.fold(program.roots, leaves) if known else None
    return program if found is None else _without(program, found, known, numbers)


def _without(program: Program, found: folding.Folding, known: dict[int, Input], numbers: dict[int, Any]) -> Program:
    """A program of what is left, with the values that were taken out as further inputs."""
    inner = toposort(found.made)
    made = {id(n) for n in found.made}
    order = toposort(found.roots, lambda n: id(n) in made)
    kept = {id(n) for n in order}
    inputs = [(n, e) for n, e in zip(program.input_nodes, program.inputs, strict=True) if id(n) in kept]
    scalars = [(n, s) for n, s in zip(program.scalar_nodes, program.scalars, strict=True) if id(n) in kept]
    constants = [(n, Input(CONSTANT, None, None, True, False)) for n in found.made]
    replaced = {id(n): placeholder(i, n.type) for i, (n, _) in enumerate((*inputs, *constants))}
    replaced |= {id(n): Node(ops.scalar, (), (), n.type, 0) for n, _ in scalars}
    rebuild(order, replaced)
    out = copy.copy(program)
    out.roots = [replaced[id(r)] for r in found.roots]
    out.input_nodes = tuple([replaced[id(n)] for n, _ in (*inputs, *constants)])
    out.inputs = [e for _, e in (*inputs, *constants)]
    out.scalar_nodes, out.scalars = tuple([replaced[id(n)] for n, _ in scalars]), [s for _, s in scalars]
    out.folded = Folded(found, [(n, known[id(n)]) for n in inner if id(n) in known],
                        [(n, numbers[id(n)]) for n in inner if id(n) in numbers])
    return out
