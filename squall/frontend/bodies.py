"""Functions traced to become graphs that ops carry: the bodies of `scan`, `cond` and `while_loop`.

A function runs once on placeholders. What it reads from outside becomes an operand of the op: values that are the
same for every step are worked out before the loop, and what history they have gets gradients. Backward of a body
comes from the tape the function left, so detach, `no_grad` and custom Functions mean inside what they mean elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import TraceError
from squall.frontend.core import ensure_cell, wrap
from squall.frontend.evaluation import user_line
from squall.frontend.lifting import edge_type, frontier, opaque
from squall.frontend.passing import Passing
from squall.frontend.state import enable_grad, is_grad_enabled, local, no_grad
from squall.frontend.tape import Leaf, NodeRules, run_backward
from squall.frontend.views import alias
from squall.ir.families import movement, zeros
from squall.ir.graph import placeholder
from squall.ir.node import Node, SharedType, TensorType, tensor_type, toposort
from squall.ir.op import constant, ops


def is_view(node: Node) -> bool:
    """Whether a value only moves elements, which costs nothing where they are read."""
    moves = node.op.family is movement and node.op.name not in ("concat", "stack", "update_slice")
    return moves and node.buffer is None


class BodyTrace(Passing):
    """The thread's trace while a body is recorded.

    Attributes:
        name: for messages. drawing: see `Body`. streams: by id of a generator, [generator, offset before the loop,
        placeholder of the offset, counters used by a step, seed]. seen: by id of an edge from outside, (edge, Tensor
        it was met on). shared: whether memory that NumPy can write was
        read.
    """

    apart = True

    def __init__(self, name: str, drawing: str):
        super().__init__()
        self.name, self.drawing, self.shared = name, drawing, False
        self.inner: set[int] = set()
        self.streams: dict[int, list] = {}
        self.seen: dict[int, Any] = {}
        self.waiting: list = []
        self.existed: set[int] = set()
        self.cut: dict[int, Any] = {}  # by id of its cell, what was detached
        self._depends: dict[int, bool] = {}

    def stand_in(self, type: TensorType, history: bool) -> Any:
        """A placeholder Tensor; with history of its own if wanted."""
        node = Node(ops.input, (), (len(self.kept),), tensor_type(tuple(type.shape), type.dtype, type.device))
        self.kept.append(node)
        self.inner.add(id(node))
        return wrap(node, Leaf(node.type) if history and type.dtype.category >= 2 else None)

    def depends(self, roots: Iterable[Node]) -> bool:
        """Whether one of some Nodes needs a placeholder."""
        known, roots = self._depends, list(roots)
        for node in toposort(roots, lambda n: n.buffer is not None or id(n) in known):
            if id(node) not in known:
                inside = id(node) in self.inner
                known[id(node)] = inside or (node.buffer is None and any(known[id(n)] for n in node.inputs))
                self.kept.append(node)
        return any(known[id(n)] for n in roots)

    # ------------------------------------------------------------ told by recording
    def made(self, tensors: Any) -> None:
        """Results were recorded. What is the same at every step of a loop has its history outside of it, but for views,
        which are made where they are read; in a branch everything is part of it, so that nothing of one that is not
        taken has a gradient."""
        several = tensors if tensors.__class__ is tuple else (tensors,)
        nodes = [t.node for t in several]
        if self.drawing != "once" and nodes and not all(map(is_view, nodes)) and not self.depends(nodes):
            if self.around is not None:
                self.around.made(tensors)
            return
        super().made(tensors)

    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read."""
        for tensor, node in zip(operands, nodes, strict=True):
            self.shared = self.shared or node.type.__class__ is SharedType
            edge = tensor.edge
            if edge is not None and id(edge) not in self.seen and not self.depends([node]):
                self.seen[id(edge)] = (edge, tensor)
        super().saw(operands, nodes)

    def wrote(self, cell: Any, handle: Any = None) -> None:
        """A cell is about to be written."""
        if id(cell) in self.cut:
            raise TraceError(
                f"{user_line()}: inside {self.name} a detached tensor does not share memory with what it was detached "
                "from, so a write in place would not reach that; write to detach().clone(), or return the new value"
            )
        if id(cell) not in self.cells:
            self.cells[id(cell)] = (cell, cell._node, cell.version)
            if self._existed(cell):
                self.existed.add(id(cell))
        if handle is not None:
            self.edges.setdefault(id(handle), (handle, handle._edge))
        super().wrote(cell, handle)

    def _existed(self, cell: Any) -> bool:
        node = cell._node
        if node.buffer is not None:
            return id(node) not in self.constants
        return any(
            held is cell or (held is not None and held._cell is cell) for held in (r() for r in self.waiting)
        )

    def constant(self, node: Node) -> None:
        """A leaf was made from literal data inside the function."""
        self.constants[id(node)] = node
        super().constant(node)

    def leaf(self, leaf: Any) -> None:
        """A leaf's gradient is about to be read or replaced."""
        if id(leaf) in self.seen:
            raise TraceError(
                f"{user_line()}: backward() inside {self.name} reached a tensor from outside, whose .grad would belong "
                "to one step; use sq.func.grad inside and return the gradient"
            )
        super().leaf(leaf)

    def draw(self, generator: Any, words: Any) -> tuple[Node, Node]:
        """Random numbers: in a loop of known length each step draws its own, as a Python loop would."""
        if self.drawing == "once":
            return super().draw(generator, words)
        if self.drawing == "refused":
            raise TraceError(
                f"{user_line()}: random numbers inside while_loop: how many are drawn is not known beforehand. Use "
                "sq.scan, or draw them outside and pass them in"
            )
        stream = self.streams.get(id(generator))
        if stream is None:
            seed, start = self.beyond(lambda: generator.take(0))
            stream = self.streams[id(generator)] = [generator, start, self.stand_in(start.type, False), 0, seed]
        offset = ops.add(stream[2].node, constant(stream[3], int64))
        stream[3] += -(-words // 4)
        return stream[4], offset

    def detached(self, tensor: Any) -> Any:
        """A Tensor without history: no derivative of the body goes through it either. It has storage of its own."""
        outer = super().detached(tensor)
        cut = opaque(alias(tensor) if outer is None else outer)
        if cut is None:
            return outer
        self.cut[id(ensure_cell(cut))] = cut
        return cut

    # ------------------------------------------------------------ values
    def knows(self, tensor: Any) -> bool:
        """Whether the value of a Tensor may be asked for: it is the same for every step."""
        return not self.depends([tensor.node]) and super().knows(tensor)

    def evaluates(self, nodes: Sequence[Node]) -> bool:
        """Evaluate Nodes that are the same for every step; False when one is not."""
        return not self.depends(nodes) and super().evaluates(nodes)

    def beyond(self, function: Callable) -> Any:
        """Call a function as if this trace were not there."""
        state = local.state
        inner, state.pending = state.pending, self.waiting
        try:
            return super().beyond(function)
        finally:
            self.waiting, state.pending = state.pending, inner

    def __enter__(self) -> BodyTrace:
        super().__enter__()
        state = local.state
        self.waiting, state.pending = state.pending, []
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        state = local.state
        state.pending = self.waiting  # what was recorded inside lives in the body only
        written = [(cell, before) for cell, before, _ in self.cells.values() if id(cell) in self.existed]
        if error[0] is not None or written:
            self.restore()
        if error[0] is None and written:
            raise TraceError(
                f"{user_line()}: {self.name} writes in place into a tensor of shape {list(written[0][1].shape)} from "
                "outside, which would happen once and not at every step; make it part of the carry, or return the "
                "value"
            )


class Body:
    """A function recorded: what it gave, with the history it left.

    Args:
        name: for messages. function: called with the placeholders in `structure`. types: of the placeholders.
        drawing: of random numbers: "each step", "once", or "refused".
    """

    def __init__(self, name: str, function: Callable, types: Sequence[TensorType], drawing: str):
        self.name, self.trace = name, BodyTrace(name, drawing)
        self.history = is_grad_enabled()
        given = [self.trace.stand_in(t, self.history) for t in types]
        self.inputs = [t.node for t in given]
        self.leaves = [t._edge for t in given]
        with self.trace, enable_grad() if self.history else no_grad():
            made = function(given)
            self.outputs = [t.node for t in made]
            self.edges = [t.edge if t.node.dtype.category >= 2 else None for t in made]
        del made, given
        own = {id(leaf) for leaf in self.leaves if leaf is not None}
        self.reach: list[set[int]] = []
        self.captured: dict[int, Any] = {}
        for edge in self.edges:
            found, outer, _ = frontier([edge], self.trace.records, own) if edge is not None else ([], [], [])
            self.reach.append({id(e) for e in (*found, *outer)})
            self.captured.update((id(e), e) for e in outer)

    @property
    def impure(self) -> bool:
        """Whether history says something else than the values: detached parts, gradients of the user's own."""
        if any(getattr(record, "extra", None) is not None for record in self.trace.kept):
            return True
        for node, edge in zip(self.outputs, self.edges, strict=True):
            if edge is None and node.dtype.category >= 2 and self.history and _differentiates(node, self.trace):
                return True
        return False

    def gradients(self, wanted: Sequence[Any]) -> tuple[list[Node], list[Node]]:
        """Cotangents of the floating outputs, and the gradients of wanted edges (zeros where nothing arrives)."""
        floating = [(n, e) for n, e in zip(self.outputs, self.edges, strict=True) if n.dtype.category >= 2]
        cotangents = [placeholder(len(self.inputs) + i, n.type) for i, (n, _) in enumerate(floating)]
        self.trace.inner.update(map(id, cotangents))
        targets = {id(e): e for e in wanted}
        pairs = [(e, c) for (_, e), c in zip(floating, cotangents, strict=True) if e is not None]
        hooks = [(e, e.hooks) for e in wanted]
        for edge, _ in hooks:  # they run where the op's gradient leads to
            edge.hooks = None
        try:
            with self.trace, no_grad():
                found = run_backward(
                    [e for e, _ in pairs],
                    [c for _, c in pairs],
                    NodeRules,
                    _ignore,
                    True,
                    targets,
                    None,
                    set(targets),
                )
        finally:
            for edge, before in hooks:
                edge.hooks = before
        return cotangents, [found[id(e)] if id(e) in found else zeros(edge_type(e)) for e in wanted]


def _differentiates(node: Node, trace: BodyTrace) -> bool:
    """Whether a value depends on a floating placeholder in a way that has a gradient."""
    from_float: dict[int, bool] = {}
    for n in toposort([node], lambda n: n.buffer is not None):
        floating = n.type.__class__ is tuple or n.dtype.category >= 2
        from_float[id(n)] = floating and (id(n) in trace.inner or any(from_float[id(m)] for m in n.inputs))
    return from_float[id(node)]


def _ignore(leaf: Leaf, gradient: Any) -> None:
    """Gradients are returned, not gathered."""
