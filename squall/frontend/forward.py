"""Forward mode by the rules of ops: what a function records is noted, and tangents are pushed along it.

Tangents go along Nodes, which know nothing of history. So what history stops (detach, `no_grad`, gradients without a
graph), custom Functions and batches recorded inside are noticed while the function runs; then tangents are found by
transposing the tape instead (`levels.py`), which means the same and costs more to record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squall.frontend.passing import Passing, record_of
from squall.frontend.state import is_grad_enabled
from squall.frontend.tape import GradRecord, Leaf
from squall.ir.node import Node, SharedType, tensor_type, toposort
from squall.ir.op import NON_DIFFERENTIABLE, ops
from squall.transforms.tangent import push_forward


def fresh_node(node: Node) -> Node:
    """Another Node of the same value, so that what is recorded on it can be told from what is recorded on the first."""
    type = node.type
    return Node(ops.reshape, (node,), (tuple(type.shape),), tensor_type(tuple(type.shape), type.dtype, type.device))


class Forward(Passing):
    """The thread's trace while a function runs whose tangents are wanted.

    Attributes:
        stopped: why tangents cannot go along Nodes, or "". shared: whether memory that NumPy can write was read.
    """

    def __init__(self, arguments: Sequence[Any]):
        super().__init__()
        self.roots = [t.node for t in arguments]
        self.own = {id(t.edge) for t in arguments}
        self.stopped, self.shared = "", False
        self._carries: dict[int, bool] = {id(n): True for n in self.roots}
        self._kept: list[Node] = []
        self._recorded: dict[int, tuple[Node, Node]] = {}  # what carries, and how it was recorded; operands first

    def carries(self, node: Node) -> bool:
        """Whether a value depends on an argument in a way that has a tangent."""
        known = self._carries
        if id(node) in known:
            return known[id(node)]
        for n in toposort([node], lambda n: id(n) in known):
            if id(n) not in known:
                known[id(n)] = _differentiable(n) and any(known[id(o)] for o in n.inputs)
                self._kept.append(n)
                if known[id(n)]:  # a Node forgets how it was made once it is computed
                    self._recorded[id(n)] = n, Node(n.op, n.inputs, n.attrs, n.type)
        return known[id(node)]

    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read: their histories must say what their Nodes say."""
        for tensor, node in zip(operands, nodes, strict=True):
            self.shared = self.shared or node.type.__class__ is SharedType
            if not self.stopped and self.carries(node) and not (is_grad_enabled() and self.continues(tensor.edge)):
                self.stopped = "a value was used without its history"
        super().saw(operands, nodes)

    def continues(self, edge: Any) -> bool:
        """Whether a history can lead to the arguments: it neither ends here nor begins anew."""
        return edge is not None and (edge.__class__ is not Leaf or id(edge) in self.own)

    def made(self, tensors: Any) -> None:
        """Results were recorded."""
        for tensor in tensors if tensors.__class__ is tuple else (tensors,):
            self.carries(tensor.node)
            edge = tensor._edge
            if edge.__class__ is GradRecord and record_of(edge).extra is not None:
                self.stopped = "a rule of its own was recorded"
        super().made(tensors)

    def batches(self) -> None:
        """A function is being traced per element inside."""
        self.stopped = "a batch was recorded"
        super().batches()

    def evaluates(self, nodes: Sequence[Node]) -> bool:
        """Evaluate what is asked for, if that may be."""
        for node in nodes:
            self.carries(node)
        return super().evaluates(nodes)

    def push(self, outputs: Sequence[Node], tangents: Sequence[Node | None]) -> list[Node | None]:
        """Tangents of outputs, given those of the arguments; None for zeros."""
        return self.push_from({id(n): t for n, t in zip(self.roots, tangents, strict=True)}, outputs)

    def push_from(self, found: dict[int, Any], outputs: Sequence[Node]) -> list[Node | None]:
        """Tangents of outputs, given those of some values by their ids."""
        needed = {id(n) for n in outputs}
        for node, recorded in reversed(self._recorded.values()):
            if id(node) in needed:
                needed.update(map(id, recorded.inputs))
        order = [pair for pair in self._recorded.values() if id(pair[0]) in needed]
        push_forward([n for n, _ in order], found, {id(n): recorded for n, recorded in order})
        return [found.get(id(n)) for n in outputs]


def _differentiable(node: Node) -> bool:
    if node.type.__class__ is tuple:
        return node.op.grad is not NON_DIFFERENTIABLE
    return node.dtype.category >= 2 and node.op.grad is not NON_DIFFERENTIABLE
