"""A function traced for one element of a batch, and what stands outside for what was recorded inside.

Inside a region Tensors are placeholders of one element and carry a tape of their own; `lifting.py` takes results out.
So detach, `no_grad`, custom Functions and in-place history mean inside what they mean elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import TraceError
from squall.frontend.core import wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.state import local
from squall.frontend.tape import GradRecord, Leaf
from squall.frontend.tracing import Trace
from squall.ir.node import Node, SharedType, TensorType, tensor_type, toposort
from squall.ir.op import ops
from squall.transforms.batch import batch_nodes


class Region:
    """What inside and outside of a trace per element share.

    Attributes:
        name: for messages. size: of the batch. randomness: "error", "different" or "same". values: by id of an inner
        Node its batched Node. kept: inner Nodes and records, so that ids stay theirs. draws: ids of offsets that differ
        by element. records: ids of the GradRecords made inside. leaves: by id of an inner Leaf, (leaf, the edge outside
        it stands for, whether that one is batched).
    """

    def __init__(self, name: str, size: Any, randomness: str):
        self.name, self.size, self.randomness = name, size, randomness
        self.values: dict[int, Any] = {}
        self.kept: list[Any] = []
        self.draws: set[int] = set()
        self.records: set[int] = set()
        self.leaves: dict[int, tuple[Leaf, Any, bool]] = {}

    def placeholder(self, outside: Node, edge: Any) -> Any:
        """An inner Tensor for a batched Node outside; with an edge outside, gradients flow to it."""
        type = outside.type
        inner = self.stand_in(tensor_type(tuple(type.shape[1:]), type.dtype, type.device), outside)
        if edge is None:
            return wrap(inner)
        leaf = Leaf(inner.type)
        self.leaves[id(leaf)] = (leaf, edge, True)
        return wrap(inner, leaf)

    def stand_in(self, type: TensorType, outside: Node) -> Node:
        """An inner Node that stands for a Node outside."""
        inner = Node(ops.input, (), (len(self.kept),), type)
        self.values[id(inner)] = outside
        self.kept.append(inner)
        return inner

    def depends(self, roots: Iterable[Node]) -> bool:
        """Whether one of some Nodes needs a value that differs by element."""
        inner = self.values
        return any(id(n) in inner for n in toposort(roots, lambda n: n.buffer is not None or id(n) in inner))

    def batch(self, roots: Sequence[Node]) -> bool:
        """Make `values` hold the roots that depend on a batched value; tells whether shared memory was read."""
        order = toposort(roots, lambda n: n.buffer is not None or id(n) in self.values)
        batch_nodes(order, self.values, self.size, self.draws)
        self.kept.extend(order)
        return any(n.type.__class__ is SharedType for n in order)


def record_of(edge: Any) -> Any:
    """The record an edge is an output of; a leaf itself."""
    return edge.edges[0] if edge.__class__ is GradRecord and edge.op is ops.pick else edge


class ElementTrace(Trace):
    """The thread's trace while a region's function or tape runs. What it hears it tells the trace around it too."""

    def __init__(self, region: Region):
        super().__init__()
        self.region = region
        self.existed: set[int] = set()  # ids of written cells that were there before

    @property
    def around(self) -> Any:
        """The trace this one is nested in, or None."""
        return self._before[0] if self._before is not None else None

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

    def reseed(self, generator: Any, seed: int) -> None:
        """A generator was set to the beginning of a seed's stream."""
        if self.around is not None:
            self.around.reseed(generator, seed)
        else:
            generator._seed, generator.offset = seed, 0

    def made(self, tensors: Any) -> None:
        """Results were recorded."""
        region = self.region
        for tensor in tensors if tensors.__class__ is tuple else (tensors,):
            edge = tensor._edge
            if edge.__class__ is GradRecord:
                record = record_of(edge)
                region.records.add(id(record))
                region.kept.append(record)
        if self.around is not None:
            self.around.made(tensors)

    def wrote(self, cell: Any, handle: Any = None) -> None:
        """A cell is about to be written."""
        if id(cell) not in self.cells and self._existed(cell):
            self.existed.add(id(cell))
        super().wrote(cell, handle)
        if self.around is not None:
            self.around.wrote(cell, handle)

    def _existed(self, cell: Any) -> bool:
        """Whether a cell was there before the trace: it is computed already, or was waiting outside."""
        node = cell._node
        if node.buffer is not None:
            return id(node) not in self.constants
        waiting = self._before[1] if self._before is not None else ()
        return any(held is cell or (held is not None and held._cell is cell) for held in (r() for r in waiting))

    def leaf(self, leaf: Any) -> None:
        """A leaf's gradient is about to be read or replaced."""
        if self.around is not None:
            self.around.leaf(leaf)

    def constant(self, node: Node) -> None:
        """A leaf was made from literal data inside the function."""
        super().constant(node)
        if self.around is not None:
            self.around.constant(node)

    def number(self, container: Any, key: Any) -> Any:
        """A tracked number, which only `compile` makes a run-time input."""
        return container[key] if self.around is None else self.around.number(container, key)

    def draw(self, generator: Any, words: Any) -> tuple[Node, Node]:
        """Random numbers: refused, one stream for all elements, or one that every element moves on for itself."""
        region = self.region
        if region.randomness == "error":
            raise TraceError("vmap: called random operation while in randomness error mode. Please either use the "
                             "'same' "
                             "or 'different' randomness flags on vmap or perform the randomness operation out of vmap")
        different = region.randomness == "different"
        seed, offset = self._outside(generator, words * region.size if different else words)
        if different:
            offset = region.stand_in(tensor_type((), int64, "cpu"), offset)
            region.draws.add(id(offset))
        return seed, offset

    def _outside(self, generator: Any, words: Any) -> tuple[Node, Node]:
        state = local.state
        state.trace = self.around
        try:
            return generator.take(words)
        finally:
            state.trace = self

    def knows(self, tensor: Any) -> bool:
        """Whether the value of a Tensor may be asked for: it is the same for every element."""
        return not self.region.depends([tensor.node]) and (self.around is None or self.around.knows(tensor))

    def evaluates(self, nodes: Sequence[Node]) -> bool:
        """Evaluate Nodes that are the same for every element; False when one is not."""
        if self.region.depends(nodes) or (self.around is not None and not self.around.evaluates(nodes)):
            return False
        state = local.state
        state.trace = self.around
        try:
            evaluate_tensors([wrap(n) for n in nodes])
        finally:
            state.trace = self
        return True

    def __enter__(self) -> ElementTrace:
        state = local.state
        self._before = (state.trace, state.pending)
        state.trace, state.pending = self, []
        state.update()
        return self

    def __exit__(self, *error: Any) -> None:
        state = local.state
        assert self._before is not None
        self.pending = state.pending
        state.trace, state.pending = self._before
        state.update()
        if error[0] is None:
            self._check_writes()
        else:
            self.restore()
        waiting = local.state.pending
        for reference in self.pending:
            held = reference()
            if held is not None and held._node is not None and held._node.buffer is None \
                    and not self.region.depends([held._node]):
                waiting.append(reference)

    def _check_writes(self) -> None:
        """TraceError when a value that differs by element went into a Tensor from outside."""
        for cell, before, _ in self.cells.values():
            if id(cell) in self.existed and not self.region.depends([before]) and self.region.depends([cell._node]):
                shape = list(before.shape)
                self.restore()
                raise TraceError(f"{self.region.name}: a value that differs by element of the batch was written in "
                                 f"place into a tensor of shape {shape} from outside, which is not batched. Return the "
                                 "value instead, or pass the tensor as a batched argument.")
