"""Memory that is being overwritten: other threads wait until the new value is there.

A run may overwrite inputs that nobody else can name, which is decided by counting references. While it runs beside
other threads, they can still come to that memory: through the run's results, which are pending and of which it is an
operand, or through a storage that holds the old Node until the run is done. So a run opens a `Gate` on those Nodes
before it counts, and another thread first holds what it wants to read, then looks for gates: either the count sees the
other thread, or the other thread sees the gate.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from squall.ir.node import Node
from squall.runtime.buffer import Buffer
from squall.runtime.fork import in_child

gates: dict[int, Gate] = {}
_opening = threading.Lock()
beside_others = threading.active_count


class Gate:
    """Closed while a run of this thread overwrites memory that some Nodes lead to.

    Args:
        nodes: whoever reads one of them must wait.

    Example:
        >>> gate = Gate([])
        >>> gate.open() is None
        True
        >>> gate.done()
    """

    __slots__ = ("event", "ids", "thread")

    def __init__(self, nodes: Iterable[Node]):
        self.ids = [id(n) for n in nodes]
        self.event, self.thread = threading.Event(), threading.get_ident()

    def open(self) -> Gate | None:
        """Register the Nodes, unless one of them leads to another thread's gate: then that gate."""
        with _opening:
            for number in self.ids:
                other = gates.get(number)
                if other is not None and other.thread != self.thread:
                    return other
            for number in self.ids:
                gates[number] = self
        return None

    def done(self) -> None:
        """The new values are there, or the old ones were left alone: let the others go on."""
        for number in self.ids:
            if gates.get(number) is self:
                gates.pop(number, None)
        self.event.set()

    def wait(self) -> None:
        """Wait until the run is over."""
        self.event.wait()


def met(nodes: Iterable[Node]) -> Gate | None:
    """The gate of another thread that one of some Nodes leads to, if any."""
    if not gates:
        return None
    own = threading.get_ident()
    for node in nodes:
        gate = gates.get(id(node))
        if gate is not None and gate.thread != own:
            return gate
    return None


def settled(node: Node) -> Buffer:
    """A computed Node's buffer, of which nobody overwrites the memory while the buffer is held."""
    while True:
        buffer: Any = node.buffer
        gate = met((node,))
        if gate is not None:
            gate.wait()
        elif node.buffer is buffer:
            return buffer


in_child(gates.clear)
