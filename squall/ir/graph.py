"""Closed graphs as data: `Graph(inputs, outputs)`, calling one by inlining it, and expanding composites.

A graph is what a traced function leaves, what a `call` node carries, and what rewriting passes take and give. Its
inputs are `input` nodes; everything its outputs need is reachable from them, constants and other leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from squall.base.errors import CompileError
from squall.ir.node import Node, TensorType, toposort
from squall.ir.op import Decompose, ops


class Graph:
    """An immutable function of Nodes. Two graphs are the same only when they are the same object.

    Args:
        inputs: the `input` placeholders, in the order of their index. outputs: the results.
    """

    __slots__ = ("inputs", "outputs", "name", "__weakref__")

    def __init__(self, inputs: Iterable[Node], outputs: Iterable[Node], name: str = "graph"):
        self.inputs, self.outputs, self.name = tuple(inputs), tuple(outputs), name
        for position, node in enumerate(self.inputs):
            if node.op is not ops.input or node.attrs != (position,):
                raise CompileError(f"{name}: input {position} is {node!r}, not the placeholder of that index")

    @property
    def input_types(self) -> tuple[TensorType, ...]:
        """The type each argument must have."""
        return tuple(n.type for n in self.inputs)

    @property
    def output_types(self) -> tuple[TensorType, ...]:
        """The type of each result."""
        return tuple(n.type for n in self.outputs)

    def order(self) -> list[Node]:
        """All nodes, operands first."""
        return toposort(self.outputs)

    def __repr__(self) -> str:
        arguments = ", ".join(map(repr, self.input_types))
        return f"<Graph {self.name}({arguments}) -> ({', '.join(map(repr, self.output_types))})>"


def placeholder(index: int, type: TensorType) -> Node:
    """The `input` node that stands for an argument of a traced function."""
    return Node(ops.input, (), (index,), type)


def trace(function: Callable, types: Sequence[TensorType], name: str = "graph") -> Graph:
    """The graph of a function of Nodes that returns a Node or a sequence of Nodes.

    Example:
        >>> import squall.ops
        >>> from squall.base.dtypes import float32
        >>> trace(lambda a, b: ops.mul(a, b), [TensorType((3,), float32)] * 2, "product")
        <Graph product(f32[3], f32[3]) -> (f32[3])>
    """
    inputs = tuple(placeholder(i, t) for i, t in enumerate(types))
    outputs = function(*inputs)
    return Graph(inputs, (outputs,) if isinstance(outputs, Node) else tuple(outputs), name)


def rebuild(order: Iterable[Node], replaced: dict[int, Node]) -> dict[int, Node]:
    """Nodes of an order copied over replaced operands; a node none of whose operands changed is kept.

    Args:
        order: nodes, operands first. replaced: what stands for a node, by id; it is added to and returned.
    """
    for node in order:
        if id(node) in replaced:
            continue
        operands = tuple(replaced[id(n)] for n in node.inputs)
        if all(a is b for a, b in zip(operands, node.inputs, strict=True)):
            replaced[id(node)] = node
            continue
        made = replaced[id(node)] = Node(node.op, operands, node.attrs, node.type)
        if node.op.checks is not None:
            made.where = getattr(node, "where", None)
    return replaced


def inline(graph: Graph, arguments: Sequence[Any]) -> tuple:
    """The graph's outputs computed from arguments of the inputs' types: Nodes, or anything ops apply to.

    Over Nodes the body is copied without type inference; over Tensors and tracers each op is applied again.
    """
    if len(arguments) != len(graph.inputs):
        raise CompileError(f"{graph.name}: {len(arguments)} arguments for {len(graph.inputs)} inputs")
    replaced: dict[int, Any] = {id(p): a for p, a in zip(graph.inputs, arguments, strict=True)}
    order = graph.order()
    if all(a.__class__ is Node for a in arguments):
        rebuild(order, replaced)
    else:
        _apply_again(order, replaced)
    return tuple(replaced[id(n)] for n in graph.outputs)


def _apply_again(order: Iterable[Node], replaced: dict[int, Any]) -> None:
    for node in order:
        if id(node) in replaced:
            continue
        operands = tuple(replaced[id(n)] for n in node.inputs)
        if node.op is ops.pick:
            replaced[id(node)] = operands[0][node.attrs[0]]
        elif all(a is b for a, b in zip(operands, node.inputs, strict=True)):
            replaced[id(node)] = _whole(node)
        else:
            replaced[id(node)] = node.op(*operands, **node.op.named(node.attrs))


def _whole(node: Node) -> Any:
    """The node, or for several outputs the tuple of its picks, as applying an op gives it."""
    if node.type.__class__ is not tuple:
        return node
    return tuple(Node(ops.pick, (node,), (i,), t) for i, t in enumerate(node.type))


def expand_composites(
    roots: Iterable[Node],
    wanted: Callable[[Node], bool] | None = None,
    replaced: dict[int, Any] | None = None,
) -> list[Node]:
    """The roots with every composite replaced by its decomposition, and those inside it, to the end.

    Args:
        roots: where to begin. wanted: which composites to expand; None means all.
        replaced: nodes that already stand for others, by id, and are not walked through.
    """
    roots = list(roots)
    replaced = {} if replaced is None else replaced
    for node in toposort(roots, lambda n: id(n) in replaced):
        if id(node) in replaced:
            continue
        operands = tuple(replaced[id(n)] for n in node.inputs)
        if node.op is ops.pick and isinstance(operands[0], tuple):
            replaced[id(node)] = operands[0][node.attrs[0]]
        elif (
            isinstance(node.op.lowering, Decompose)
            and node.buffer is None
            and (wanted is None or wanted(node))
        ):
            made = node.op.lowering.expand(*operands, **node.op.named(node.attrs))
            # Operands are finished; what the rule made of them may hold composites again.
            known = {id(n): n for n in operands}
            several = made.__class__ is tuple
            inner = expand_composites(made if several else [made], wanted, known)
            replaced[id(node)] = tuple(inner) if several else inner[0]
        else:
            rebuild([node], replaced)
    return [replaced[id(n)] for n in roots]
