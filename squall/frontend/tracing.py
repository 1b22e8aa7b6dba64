"""Abstract tracing: running a function on placeholders and noting what it touched.

A `Trace` is the thread's `state.trace` while a function is traced by `compile` or `vmap`. Recording tells it
which Tensors and cells were read and written, whose gradients changed, and which random numbers and tracked
numbers were drawn. When the function is done, `restore` puts every outside object back as it was: a trace
leaves no mark.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any
from weakref import ref

from squall.base import epoch
from squall.base.dtypes import float64, int64
from squall.base.errors import TraceError
from squall.frontend.core import Handle, scalar_node, watch_wrapping, wrap
from squall.frontend.evaluation import ValueUnavailableError, user_line, value_unavailable
from squall.frontend.state import local
from squall.frontend.tape import GradRecord
from squall.ir.node import Node
from squall.ir.op import ops


class Trace:
    """What a traced function read, wrote and drew.

    Attributes:
        tensors: by id of a computed Node, (Node, the Tensor, cell or gradient it was read from).
        outside: by id, Tensors that were there before. cells: by id, (cell, Node before it was first written,
        version before); `storages` those of them, by id, that were there before, with a Tensor in them.
        leaves: by id, (leaf, `.grad` before). scalars: by id of a scalar Node, (Node, function giving its
        value for a later call). numbers: (container, key) of tracked numbers that were read. constants:
        leaves made inside from literal data. generators: by id, [generator, seed or None when not set inside,
        words drawn since in counters of four]. edges: by id, (Tensor, its history before a write).
    """

    def __init__(self) -> None:
        # ids of stand-ins for arguments are in `given`; `crossing` lets backward pass where history is from outside
        self.tensors: dict[int, tuple[Node, Any]] = {}
        self.outside: dict[int, Any] = {}
        self.cells: dict[int, tuple[Any, Node, int]] = {}
        self.storages: dict[int, tuple[Any, Any]] = {}
        self.leaves: dict[int, tuple[Any, Any]] = {}
        self.scalars: dict[int, tuple[Node, Callable[[], Any]]] = {}
        self.numbers: dict[tuple, Any] = {}
        self.constants: dict[int, Node] = {}
        self.generators: dict[int, list] = {}
        self.edges: dict[int, tuple[Any, Any]] = {}
        self.pending: list = []
        self.barriers: list = []
        self.crossing = False
        self.given: frozenset[int] = frozenset()
        self._born: dict[int, ref] = {}
        self._before: tuple | None = None

    # ------------------------------------------------------------ told by recording
    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read."""
        for tensor, node in zip(operands, nodes, strict=True):
            if node.buffer is None or node.op is ops.scalar or id(node) in self.constants:
                continue  # made inside; holding it would keep it from dying
            known = self.tensors.get(id(node))
            inside = self.is_inside(tensor)
            if known is None:
                self.tensors[id(node)] = (node, tensor)
            elif not inside and not _same_storage(known[1], tensor):
                if self.is_inside(known[1]):
                    self.tensors[id(node)] = (node, tensor)
                else:
                    self._twins(node)
            if not inside:
                self._add_outside(tensor)

    def _add_outside(self, tensor: Any) -> None:
        if tensor._cell is not None:
            self.storages.setdefault(id(tensor._cell), (tensor._cell, tensor))
        if id(tensor) in self.outside:
            return
        self.outside[id(tensor)] = tensor
        edge = tensor.edge
        if edge.__class__ is GradRecord:
            if edge.hooks is None:
                edge.hooks = {}
            edge.hooks[self] = self._stop
            self.barriers.append(edge.hooks)

    def _stop(self, gradient: Any) -> None:
        if local.state.trace is self and not self.crossing:
            raise TraceError(
                f"{user_line()}: backward inside the compiled function reached history that was recorded "
                "outside of it; "
                "call backward outside, or compile the whole step"
            )

    @staticmethod
    def _twins(node: Node) -> None:
        raise TraceError(
            f"two tensors of shape {list(node.shape)} that the compiled function reaches hold one lazily "
            "copied value, "
            "so it cannot tell them apart; write to one of them, or pass them as arguments"
        )

    def made(self, tensors: Any) -> None:
        """Results were recorded."""
        for tensor in tensors if tensors.__class__ is tuple else (tensors,):
            self._born[id(tensor)] = ref(tensor)

    wrapped = made  # a handle was put around a Node that may be from outside

    def is_inside(self, tensor: Any) -> bool:
        """Whether a handle was made while tracing, or stands for an argument."""
        if id(tensor) in self.outside:
            return False
        born = self._born.get(id(tensor))
        if born is not None and born() is tensor:
            return True
        node = tensor._node if tensor._cell is None else tensor._cell._node
        return node.buffer is None or id(node) in self.constants

    def rebinds(self, tensor: Any, what: str) -> None:
        """A handle is about to get another memory or history: TraceError unless it was made while tracing."""
        if not self.is_inside(tensor) or id(tensor) in self.given:
            refuse(what, "do that outside of the function")

    def knows(self, tensor: Any) -> bool:
        """Whether the value of a Tensor may be asked for: a program would not see it change."""
        return False

    def evaluates(self, nodes: Any) -> bool:
        """Whether values can be computed now: they cannot."""
        return False

    def wrote(self, cell: Any, handle: Any = None) -> None:
        """A cell is about to be written, through a handle whose history may change."""
        if handle is not None:
            if not self.is_inside(handle):
                self._add_outside(handle)
            self.edges.setdefault(id(handle), (handle, handle._edge))
        if id(cell) in self.cells:
            return
        before = cell._node
        self.cells[id(cell)] = (cell, before, cell.version)
        if id(cell) in self.storages and id(before) not in self.constants and before.buffer is not None:
            known = self.tensors.get(id(before))
            if known is not None and not _same_storage(known[1], cell) and not self.is_inside(known[1]):
                self._twins(before)
            if known is None or known[1].__class__ is not GradSource:
                self.tensors[id(before)] = (before, cell)

    def leaf(self, leaf: Any) -> None:
        """A leaf's gradient is about to be read or replaced."""
        if id(leaf) not in self.leaves:
            grad = leaf.grad
            self.leaves[id(leaf)] = (leaf, grad)
            if grad is not None and not self.is_inside(grad):
                node = grad.node
                self.tensors[id(node)] = (node, GradSource(leaf))
                if grad._cell is not None:
                    self.storages.setdefault(id(grad._cell), (grad._cell, grad))

    def constant(self, node: Node) -> None:
        """A leaf was made from literal data inside the function."""
        self.constants[id(node)] = node

    def draw(self, generator: Any, words: Any) -> tuple[Node, Node]:
        """Seed and offset scalars of a draw; a later call reads them from where the generator then stands."""
        entry = self.generators.setdefault(id(generator), [generator, None, 0])
        seed, used = entry[1], entry[2]
        entry[2] = used + -(-words // 4)
        if seed is not None:
            return scalar_node(seed, int64), scalar_node(used, int64)
        return (
            self._scalar(lambda: generator._seed, int64),
            self._scalar(lambda: generator.offset + used, int64),
        )

    def detached(self, tensor: Any) -> Any:
        """A handle without history is asked for: what to give instead of one on the same storage, or None."""
        return None

    def shares(self, tensor: Any) -> bool:
        """Whether NumPy may see the memory of a Tensor."""
        return False

    def beyond(self, function: Callable) -> Any:
        """Call a function as if this trace were not there; only where values may be seen."""
        refuse("leaving the trace", "do that outside of the function")

    def custom(self, function: Any, context: Any, nodes: tuple, outputs: tuple) -> tuple:
        """A Function was applied to values (None for what is no Tensor): its outputs, which have no history yet."""
        return outputs

    def reseed(self, generator: Any, seed: int) -> None:
        """A generator was set to the beginning of a seed's stream."""
        self.generators[id(generator)] = [generator, seed, 0]

    def number(self, container: Any, key: Hashable) -> Any:
        """A tracked number, such as a learning rate, as a run-time input. Other values are given as they
        are."""
        value = container[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        name = (id(container), key)
        if name not in self.numbers:
            node = self._scalar(lambda: float(container[key]), float64)
            self.numbers[name] = (container, wrap(node))
        return self.numbers[name][1]

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
        watch_wrapping(1)
        state.update()
        return self

    def __exit__(self, *error: Any) -> None:
        state = local.state
        assert self._before is not None
        self.pending += state.pending
        state.trace, state.pending, epoch.capture.read = self._before
        watch_wrapping(-1)
        state.update()

    def restore(self) -> None:
        """Put cells, gradients and histories of the outside back as they were before the trace."""
        for cell, node, version in self.cells.values():
            cell._node, cell.version = node, version
        for leaf, grad in self.leaves.values():
            leaf.grad = grad
        for handle, edge in self.edges.values():
            handle._edge = edge
        for hooks in self.barriers:
            hooks.pop(self, None)

    def references(self) -> list[ref]:
        """Weak references to the handles and cells made inside that are still alive."""
        outside = {
            *self.outside,
            *self.storages,
            *(id(grad) for _, grad in self.leaves.values() if grad is not None),
        }
        found = [(r, r()) for r in (*self.pending, *self._born.values())]
        return [r for r, held in found if held is not None and id(held) not in outside]


def _same_storage(known: Any, tensor: Any) -> bool:
    if known is tensor or known.__class__ is GradSource:
        return True
    cell = known._cell if isinstance(known, Handle) else known
    return cell is not None and (tensor is cell or tensor._cell is cell)


class GradSource:
    """Reads the gradient a leaf has when the program runs."""

    __slots__ = ("leaf",)

    def __init__(self, leaf: Any):
        self.leaf = leaf

    @property
    def node(self) -> Node:
        """The gradient's present Node."""
        return self.leaf.grad.node


def check_no_value(what: str, tensor: Any = None) -> None:
    """TraceError when a value is asked for while a function is traced, unless the trace knows the
    tensor's."""
    trace = local.state.trace
    if trace is not None and (tensor is None or not trace.knows(tensor)):
        raise ValueUnavailableError(f"{user_line()}: {value_unavailable(what)}")


def refuse(what: str, instead: str) -> None:
    """TraceError when something that a program could not repeat is done while a function is traced."""
    if local.state.trace is not None:
        raise TraceError(
            f"{user_line()}: {what} inside a compiled function would happen only once, while it is "
            f"captured; {instead}"
        )
