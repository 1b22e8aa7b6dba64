"""Abstract tracing: running a function on placeholders and noting what it touched.

A `Trace` is the thread's `state.trace` while a function is traced by `compile` or `vmap`. Recording tells it which Tensors
and cells were read and written, whose gradients changed, and which random numbers and tracked numbers were drawn. When
the function is done, `restore` puts every outside object back as it was: a trace leaves no mark.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from squall.base import epoch
from squall.base.dtypes import float64, int64
from squall.base.errors import TraceError
from squall.frontend.core import Handle, scalar_node, wrap
from squall.frontend.evaluation import user_line, value_unavailable
from squall.frontend.state import local
from squall.ir.node import Node
from squall.ir.op import ops


class Trace:
    """What a traced function read, wrote and drew.

    Attributes:
        tensors: by id of a computed Node, (Node, the Tensor or Cell it was read from). cells: by id, (cell, Node before it
        was first written, version before). leaves: by id, (leaf, `.grad` before). scalars: by id of a scalar Node, (Node,
        function giving its value for a later call). constants: ids of leaves made inside from literal data. generators:
        by id, (generator, words drawn, in counters of four). depth: how many traces this one is nested in.
    """

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[Node, Any]] = {}
        self.cells: dict[int, tuple[Any, Node, int]] = {}
        self.leaves: dict[int, tuple[Any, Any]] = {}
        self.scalars: dict[int, tuple[Node, Callable[[], Any]]] = {}
        self.constants: dict[int, Node] = {}
        self.generators: dict[int, list] = {}
        self.edges: dict[int, tuple[Any, Any]] = {}
        self._numbers: dict[tuple, Any] = {}
        self._before: tuple | None = None

    # ------------------------------------------------------------ told by recording
    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read."""
        for tensor, node in zip(operands, nodes, strict=True):
            if node.buffer is not None and id(node) not in self.tensors:  # holding others would keep them from dying
                self.tensors[id(node)] = (node, tensor)

    def made(self, tensors: Any) -> None:
        """A result (or a tuple of them) was recorded, with its history."""

    def evaluates(self, nodes: Sequence[Node]) -> bool:
        """Evaluate Nodes whose value is asked for inside, if that may be; else False, and asking is an error."""
        return False

    def wrote(self, cell: Any, handle: Any = None) -> None:
        """A cell is about to be written, through a handle whose history may change."""
        if id(cell) not in self.cells:
            self.cells[id(cell)] = (cell, cell._node, cell.version)
            self.tensors.setdefault(id(cell._node), (cell._node, cell))
        if handle is not None and id(handle) not in self.edges:
            self.edges[id(handle)] = (handle, handle._edge)

    def leaf(self, leaf: Any) -> None:
        """A leaf's gradient is about to be read or replaced."""
        if id(leaf) not in self.leaves:
            self.leaves[id(leaf)] = (leaf, leaf.grad)
            if leaf.grad is not None:
                node = leaf.grad.node
                self.tensors.setdefault(id(node), (node, _GradSource(leaf)))

    def constant(self, node: Node) -> None:
        """A leaf was made from literal data inside the function."""
        self.constants[id(node)] = node

    def draw(self, generator: Any, words: Any) -> tuple[Node, Node]:
        """Seed and offset scalars of a draw; a later call reads them from where the generator then stands."""
        entry = self.generators.setdefault(id(generator), [generator, 0])
        used = entry[1]
        entry[1] = used + -(-words // 4)
        seed = self._scalar(lambda: generator._seed, int64)
        return seed, self._scalar(lambda: generator.offset + used, int64)

    def number(self, container: Any, key: Hashable) -> Any:
        """A tracked number, such as a learning rate, as a run-time input. Other values are given as they are."""
        value = container[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        name = (id(container), key)
        if name not in self._numbers:
            node = self._scalar(lambda: float(container[key]), float64)
            self._numbers[name] = (container, wrap(node))
        return self._numbers[name][1]

    def _scalar(self, read: Callable[[], Any], dtype: Any) -> Node:
        node = scalar_node(read(), dtype)
        self.scalars[id(node)] = (node, read)
        return node

    # ------------------------------------------------------------ life
    def __enter__(self) -> Trace:
        state = local.state
        self._before = (state.trace, state.pending, epoch.capture.read)
        state.trace, state.pending = self, []
        epoch.capture.read = self.number
        state.update()
        return self

    def __exit__(self, *error: Any) -> None:
        state = local.state
        assert self._before is not None
        self.pending = state.pending
        state.trace, state.pending, epoch.capture.read = self._before
        state.update()

    def restore(self) -> None:
        """Put cells, gradients and histories of the outside back as they were before the trace."""
        for cell, node, version in self.cells.values():
            cell._node, cell.version = node, version
        for leaf, grad in self.leaves.values():
            leaf.grad = grad
        for handle, edge in self.edges.values():
            handle._edge = edge

    def survivors(self) -> list[Any]:
        """Handles and cells recorded inside that are still alive."""
        return [held for held in (reference() for reference in self.pending) if held is not None]


class _GradSource:
    """Reads the gradient a leaf has when the program runs."""

    __slots__ = ("leaf",)

    def __init__(self, leaf: Any):
        self.leaf = leaf

    @property
    def node(self) -> Node:
        return self.leaf.grad.node


def current_node(source: Any) -> Node:
    """The present Node of what a trace read: a Tensor, a cell, or a leaf's gradient."""
    return source.node if isinstance(source, (Handle, _GradSource)) else source._node


def check_no_value(what: str, tensor: Any = None) -> None:
    """TraceError when a value is asked for while a function is traced."""
    if local.state.trace is not None:
        raise TraceError(f"{user_line()}: {value_unavailable(what)}")


def is_scalar_leaf(node: Node) -> bool:
    """Whether a Node is a run-time number."""
    return node.op is ops.scalar
