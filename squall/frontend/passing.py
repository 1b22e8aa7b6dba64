"""A trace that lets everything pass: it hears what recording tells, and tells the trace around it.

What runs a function and needs to know what it recorded (`vmap`, `jvp`, `checkpoint`) derives from it. Unlike in
`compile`, values may be asked for where they are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from squall.base.errors import TraceError
from squall.frontend.core import wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.state import local
from squall.frontend.tape import GradRecord
from squall.frontend.tracing import Trace
from squall.ir.node import Node
from squall.ir.op import ops


def record_of(edge: Any) -> Any:
    """The record an edge is an output of; a leaf itself."""
    return edge.edges[0] if edge.__class__ is GradRecord and edge.op is ops.pick else edge


class Passing(Trace):
    """Hears everything and passes it on.

    Attributes:
        around: the trace this one is nested in, or None. records: ids of the GradRecords made inside; `kept` keeps
        them, so that ids stay theirs. apart: whether what is recorded inside lives in a graph of its own.
    """

    apart = False

    def __init__(self, records: set[int] | None = None, kept: list | None = None):
        super().__init__()
        self.around: Any = None
        self.records: set[int] = set() if records is None else records
        self.kept: list[Any] = [] if kept is None else kept

    def __enter__(self) -> Any:
        state = local.state
        self.around, state.trace = state.trace, self
        state.update()
        return self

    def __exit__(self, *error: Any) -> None:
        local.state.trace = self.around
        local.state.update()

    # ------------------------------------------------------------ told by recording
    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read."""
        if self.around is not None:
            self.around.saw(operands, nodes)

    def wrapped(self, tensor: Any) -> None:
        """A handle was put around a Node that may be from outside."""
        if self.around is not None:
            self.around.wrapped(tensor)

    def rebinds(self, tensor: Any, what: str) -> None:
        """A handle is about to get another memory or history."""
        if self.around is not None:
            self.around.rebinds(tensor, what)

    def detached(self, tensor: Any) -> Any:
        """A handle without history is asked for: what to give instead of one on the same storage, or None."""
        return None if self.around is None else self.around.detached(tensor)

    def reseed(self, generator: Any, seed: int) -> None:
        """A generator was set to the beginning of a seed's stream."""
        if self.around is not None:
            self.around.reseed(generator, seed)
        else:
            generator._seed, generator.offset = seed, 0

    def made(self, tensors: Any) -> None:
        """Results were recorded."""
        for tensor in tensors if tensors.__class__ is tuple else (tensors,):
            edge = tensor._edge
            if edge.__class__ is GradRecord:
                record = record_of(edge)
                self.records.add(id(record))
                self.kept.append(record)
        if self.around is not None:
            self.around.made(tensors)

    def wrote(self, cell: Any, handle: Any = None) -> None:
        """A cell is about to be written."""
        if self.around is not None:
            self.around.wrote(cell, handle)
        elif cell.shared is not None:
            raise TraceError("a function that is transformed writes in place to memory shared with NumPy: do that "
                             "outside of it")

    def leaf(self, leaf: Any) -> None:
        """A leaf's gradient is about to be read or replaced."""
        if self.around is not None:
            self.around.leaf(leaf)

    def constant(self, node: Node) -> None:
        """A leaf was made from literal data inside the function."""
        if self.around is not None:
            self.around.constant(node)

    def number(self, container: Any, key: Any) -> Any:
        """A tracked number, which only `compile` makes a run-time input."""
        return container[key] if self.around is None else self.around.number(container, key)

    def draw(self, generator: Any, words: Any) -> tuple[Node, Node]:
        """Random numbers, as drawn outside."""
        return self.beyond(lambda: generator.take(words))

    def custom(self, function: Any, context: Any, nodes: tuple, outputs: tuple) -> tuple:
        """A Function was applied to values: its outputs."""
        return outputs if self.around is None else self.around.custom(function, context, nodes, outputs)

    def named(self, tensor: Any, name: str) -> None:
        """A Tensor got a name for the policies of `checkpoint`."""
        if isinstance(self.around, Passing):
            self.around.named(tensor, name)

    def batches(self) -> None:
        """A function is being traced per element inside."""
        if isinstance(self.around, Passing):
            self.around.batches()

    # ------------------------------------------------------------ values
    def beyond(self, function: Callable) -> Any:
        """Call a function as if this trace were not there."""
        state = local.state
        state.trace = self.around
        state.update()
        try:
            return function()
        finally:
            state.trace = self
            state.update()

    def knows(self, tensor: Any) -> bool:
        """Whether the value of a Tensor may be asked for."""
        return self.around is None or self.around.knows(tensor)

    def evaluates(self, nodes: Sequence[Node]) -> bool:
        """Evaluate what is asked for, if that may be."""
        if self.around is not None and not self.around.knows(wrap(nodes[0])):
            return False
        self.beyond(lambda: evaluate_tensors([wrap(n) for n in nodes]))
        return True
