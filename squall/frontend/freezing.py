"""Frozen weights: calls of a captured program that read packed forms of what it reads from outside.

A frozen call is another `Call` of a program (see `calling.py`): the plan bound with packed forms (`engine/keeping.py`),
and a guard for each storage whose value was packed: that it still holds the Node it held. Where one does not, Python
makes the call as any other, with the value that is there now, and the program is frozen anew.
"""

from __future__ import annotations

from typing import Any

from squall.engine import keeping
from squall.frontend.binding import CONSTANT, Program
from squall.frontend.calling import READ_SLOT, Call, slot_of
from squall.frontend.folding import standing
from squall.ir.node import Node

MOST_CHANGES = 8  # a program whose weights change more often than this is not frozen again


class Frozen:
    """The frozen calls of one program.

    Attributes:
        call: the present one, or None: nothing is worth packing, or weights change too often. guards: (owner,
            attribute, what it must be) of what was packed. changes: how often a weight had changed.
    """

    __slots__ = ("call", "changes", "guards", "plain", "program")

    def __init__(self, program: Program, plain: Call):
        self.program, self.plain, self.changes = program, plain, 0
        self.call, self.guards = None, ()
        self.freeze()

    def freeze(self) -> None:
        """Pack what can be."""
        nodes: dict[int, Node] = {}
        guards: dict[int, list[tuple]] = {}
        written = [w.where for w in self.program.writes]
        for number, entry in enumerate(self.program.inputs):
            found = None if entry.donated else _kept(entry.code, entry.where)
            if found is not None and not any(owner is w for owner, *_ in found[1] for w in written):
                nodes[number], guards[number] = found
        made = keeping.keep(self.program.executable, nodes)
        if made is None:
            self.call, self.guards = None, ()
            return
        used = {id(p.node) for p in made.binding.held}
        self.guards = tuple([g for n, found in guards.items() if id(nodes[n]) in used for g in found])
        readers = tuple([(READ_SLOT, owner, slot_of(owner, name), value) for owner, name, value in self.guards])
        fields = {name: getattr(self.plain, name) for name in Call.__slots__}
        fields |= {"readers": self.plain.readers + readers, "spec": (made, *self.plain.spec[1:])}
        self.call = Call(**fields)

    def look_again(self) -> bool:
        """After Python made a call: freeze anew if a weight has changed; whether the call is another one now."""
        if self.call is None or all(getattr(owner, name) is value for owner, name, value in self.guards):
            return False
        self.changes += 1
        self.call, self.guards = None, ()  # lets go of the old values
        if self.changes <= MOST_CHANGES:
            self.freeze()
        return True


def _kept(code: int, where: Any) -> tuple[Node, list[tuple]] | None:
    """An input's value and what must hold for it to stay that; None where it cannot be packed."""
    found = [] if code == CONSTANT else standing(code, where)
    if found is None:
        return None
    node = found[-1][2] if found else where
    return (node, found) if node.buffer is not None and node.buffer.strides is None else None
