"""A function traced for one element of a batch, and what stands outside for what was recorded inside.

Inside a region Tensors are placeholders of one element and carry a tape of their own; `lifting.py` takes results out.
So detach, `no_grad`, custom Functions and in-place history mean inside what they mean elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import TraceError
from squall.frontend.core import wrap
from squall.frontend.passing import Passing
from squall.frontend.state import local
from squall.frontend.tape import Leaf
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


class ElementTrace(Passing):
    """The thread's trace while a region's function or tape runs. What it hears it tells the trace around it too."""

    apart = True

    def __init__(self, region: Region):
        super().__init__(region.records, region.kept)
        self.region = region
        self.existed: set[int] = set()  # ids of written cells that were there before
        self.waiting: list = []  # what is pending outside

    def wrote(self, cell: Any, handle: Any = None) -> None:
        """A cell is about to be written."""
        if id(cell) not in self.cells:
            self.cells[id(cell)] = (cell, cell._node, cell.version)
            if self._existed(cell):
                self.existed.add(id(cell))
        if handle is not None:
            self.edges.setdefault(id(handle), (handle, handle._edge))
        super().wrote(cell, handle)

    def _existed(self, cell: Any) -> bool:
        """Whether a cell was there before the trace: it is computed already, or was waiting outside."""
        node = cell._node
        if node.buffer is not None:
            return id(node) not in self.constants
        return any(held is cell or (held is not None and held._cell is cell) for held in (r() for r in self.waiting))

    def constant(self, node: Node) -> None:
        """A leaf was made from literal data inside the function."""
        self.constants[id(node)] = node
        super().constant(node)

    def draw(self, generator: Any, words: Any) -> tuple[Node, Node]:
        """Random numbers: refused, one stream for all elements, or one that every element moves on for itself."""
        region = self.region
        if region.randomness == "error":
            raise TraceError("vmap: called random operation while in randomness error mode. Please either use the "
                             "'same' or 'different' randomness flags on vmap or perform the randomness operation out "
                             "of vmap")
        different = region.randomness == "different"
        seed, offset = self.beyond(lambda: generator.take(words * region.size if different else words))
        if different:
            offset = region.stand_in(tensor_type((), int64, "cpu"), offset)
            region.draws.add(id(offset))
        return seed, offset

    def knows(self, tensor: Any) -> bool:
        """Whether the value of a Tensor may be asked for: it is the same for every element."""
        return not self.region.depends([tensor.node]) and super().knows(tensor)

    def evaluates(self, nodes: Sequence[Node]) -> bool:
        """Evaluate Nodes that are the same for every element; False when one is not."""
        return not self.region.depends(nodes) and super().evaluates(nodes)

    def beyond(self, function: Callable) -> Any:
        """Call a function as if this trace were not there."""
        state = local.state
        inner, state.pending = state.pending, self.waiting
        try:
            return super().beyond(function)
        finally:
            self.waiting, state.pending = state.pending, inner

    def __enter__(self) -> ElementTrace:
        super().__enter__()
        state = local.state
        self.waiting, state.pending = state.pending, []
        self.batches()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        state = local.state
        self.pending, state.pending = state.pending, self.waiting
        if error[0] is None:
            self._check_writes()
        else:
            self.restore()
        for reference in self.pending:
            held = reference()
            if held is not None and held._node is not None and held._node.buffer is None \
                    and not self.region.depends([held._node]):
                state.pending.append(reference)

    def _check_writes(self) -> None:
        """TraceError when a value that differs by element went into a Tensor from outside."""
        for cell, before, _ in self.cells.values():
            if id(cell) in self.existed and not self.region.depends([before]) and self.region.depends([cell._node]):
                shape = list(before.shape)
                self.restore()
                raise TraceError(f"{self.region.name}: a value that differs by element of the batch was written in "
                                 f"place into a tensor of shape {shape} from outside, which is not batched. Return the "
                                 "value instead, or pass the tensor as a batched argument.")
