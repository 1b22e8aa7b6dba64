"""What control flow shares: values that bodies read from outside, closed graphs of bodies, what carries must keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squall.base import pytree
from squall.base.caches import Cache
from squall.base.dtypes import bool_, default_dtype, int64
from squall.base.errors import DtypeError, ShapeError
from squall.engine.keys import attrs_key
from squall.frontend.bodies import Body, BodyTrace, is_view
from squall.frontend.core import Handle, as_tensor_operand, operand, plain_number, wrap
from squall.frontend.evaluation import evaluate_tensors, user_line
from squall.frontend.forward import Forward
from squall.frontend.lifting import edge_type
from squall.frontend.state import local
from squall.ir.families import zeros
from squall.ir.graph import Graph, placeholder, rebuild
from squall.ir.node import Node, tensor_type, toposort
from squall.ir.op import constant, ops

_graphs = Cache("bodies", 2048)


def interned(graph: Graph) -> Graph:
    """The one graph of this content: a function traced anew at every call finds its plan again."""
    number: dict[int, int] = {id(n): i for i, n in enumerate(graph.inputs)}
    entries: list[Any] = [tuple(n.type for n in graph.inputs)]
    for node in graph.order():
        if id(node) not in number:
            number[id(node)] = len(number)
            leaf = node.type if not node.inputs else None
            entries.append((node.op, attrs_key(node.attrs), tuple(number[id(n)] for n in node.inputs), leaf))
    key = (tuple(entries), tuple(number[id(n)] for n in graph.outputs))
    return _graphs.get_or_make(key, lambda: graph)


class Outside:
    """What bodies read from outside, as operands: each Node once, with the history some of them have.

    Attributes:
        nodes: the values. tensors: them as Tensors, with history where a gradient flows back to it.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.tensors: list[Any] = []
        self.number: dict[int, int] = {}
        self.edges: dict[int, int] = {}

    def add(self, node: Node, tensor: Any = None) -> int:
        """The number of a value."""
        self.number.setdefault(id(node), len(self.nodes))
        self.nodes.append(node)
        self.tensors.append(wrap(node) if tensor is None else tensor)
        return len(self.nodes) - 1

    def capture(self, trace: BodyTrace, roots: Sequence[Node], edges: Sequence[Any] = ()) -> None:
        """Find what roots read from outside: the largest parts that do not depend on placeholders, behind views.

        Args:
            edges: whose values have history. What is computed from those is computed inside, as a derivative of
                the body would otherwise take it for a constant.
        """
        tracked = {id(trace.seen[id(e)][1].node) for e in edges if id(e) in trace.seen}
        above: set[int] = set()
        free: dict[int, bool] = {}  # of Nodes without placeholders: whether they read anything at all
        for node in toposort(roots, lambda n: n.buffer is not None):
            reads = node.buffer is not None or node.op in (ops.scalar, ops.input, ops.buffer)
            free[id(node)] = reads or any(free[id(n)] for n in node.inputs)
            if id(node) not in tracked and any(id(n) in tracked or id(n) in above for n in node.inputs):
                above.add(id(node))
        stack, met = list(reversed(roots)), set()
        while stack:
            node = stack.pop()
            if id(node) in met or not free[id(node)]:
                continue
            met.add(id(node))
            if trace.depends([node]):
                stack.extend(reversed(() if id(node) in trace.inner else node.inputs))
            elif id(node) in above or (id(node) not in tracked and is_view(node)):
                stack.extend(reversed(node.inputs))
            elif id(node) not in self.number:
                self.add(node)

    def track(self, trace: BodyTrace, edges: Sequence[Any]) -> None:
        """Give operands the history that bodies lead back to; what has none of the values gets an operand of its
        own."""
        for edge in edges:
            if id(edge) in self.edges:
                continue
            known = trace.seen.get(id(edge))
            tensor = wrap(zeros(edge_type(edge)), edge) if known is None else known[1]
            node = tensor.node
            at = self.number.get(id(node))
            if at is None or self.tensors[at].edge is not None:
                at = self.add(node, tensor)
            else:
                self.tensors[at] = tensor
            self.edges[id(edge)] = at


def closed(
    sequence: Sequence[Node], roots: Sequence[Node], cotangents: Sequence[Node] = ()
) -> tuple[list, list, list]:
    """Nodes over fresh placeholders.

    Args:
        sequence: what the placeholders stand for. cotangents: further ones.

    Returns:
        tuple: the placeholders for the sequence, those for the cotangents, and the roots over them.
    """
    fresh = [
        placeholder(i, tensor_type(tuple(n.shape), n.dtype, n.device))
        for i, n in enumerate((*sequence, *cotangents))
    ]
    replaced: dict[int, Node] = {}
    for old, new in zip((*sequence, *cotangents), fresh, strict=True):
        replaced.setdefault(id(old), new)
    rebuild(toposort(roots, lambda n: id(n) in replaced), replaced)
    count = len(sequence)
    return fresh[:count], fresh[count:], [replaced[id(n)] for n in roots]


def stop_tangents() -> None:
    """Tell whoever pushes tangents along values that the history says otherwise."""
    trace = local.state.trace
    while trace is not None:
        if isinstance(trace, Forward):
            trace.stopped = "a body was recorded whose history is not that of its values"
        trace = getattr(trace, "around", None)


def leaf_names(tree: Any) -> list[str]:
    """What each leaf of a pytree is called in messages: its way from the root."""
    out: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for k, v in value.items():
                walk(v, f"{path}[{k!r}]")
        elif isinstance(value, (tuple, list)):
            for i, v in enumerate(value):
                names = getattr(value, "_fields", None)
                walk(v, f"{path}.{names[i]}" if names else f"{path}[{i}]")
        elif value is not None:
            out.append(path)

    walk(tree, "")
    return out


def is_tensor(value: Any) -> bool:
    """Whether a leaf is a Tensor."""
    return isinstance(value, Handle)


def tensors_of(leaves: Sequence[Any], what: str, names: Sequence[str]) -> list[Any]:
    """Leaves as Tensors; Python numbers become zero-dimensional ones."""
    out = []
    for leaf, name in zip(leaves, names, strict=True):
        leaf = plain_number(leaf)
        if isinstance(leaf, (bool, int, float)):
            dtype = bool_ if isinstance(leaf, bool) else int64 if isinstance(leaf, int) else default_dtype()
            out.append(wrap(constant(leaf, dtype)) if isinstance(leaf, bool) else operand(leaf, dtype))
            continue
        try:
            out.append(as_tensor_operand(leaf))
        except TypeError:
            raise TypeError(
                f"{what}{name}: expected a Tensor, an array or a number, got {type(leaf).__name__}"
            ) from None
    return out


def describe(node: Any) -> str:
    """Dtype and shape of a value, for messages."""
    return f"{node.dtype} of shape {list(node.shape)}"


def check_like(function: str, before: Sequence[Any], after: Sequence[Any], names: Sequence[str]) -> None:
    """Every carry keeps its shape and dtype."""
    for a, b, name in zip(before, after, names, strict=True):
        if a.dtype is not b.dtype:
            raise DtypeError(
                f"{user_line()}: {function}: the carry{name} was {describe(a)} and became {describe(b)}; a carry "
                f"keeps its dtype: cast it with .to({a.dtype}), or start with one of {b.dtype}"
            )
        if tuple(a.shape) != tuple(b.shape):
            raise ShapeError(
                f"{user_line()}: {function}: the carry{name} was {describe(a)} and became {describe(b)}; a carry "
                "keeps its shape"
            )


def check_structure(function: str, what: str, before: Any, after: Any) -> None:
    """ShapeError unless two pytrees have one structure."""
    if before != after:
        shown = [repr(pytree.unflatten(s, ["*"] * pytree.leaf_count(s))).replace("'*'", "*") for s in (before, after)]
        raise ShapeError(
            f"{user_line()}: {function}: {what} was {shown[0]} and became {shown[1]}; it must stay the same"
        )


def evaluate_shared(body: Body, made: Sequence[Any]) -> None:
    """Reads of memory that NumPy can write happen before the call returns."""
    if body.trace.shared and local.state.trace is None:
        evaluate_tensors([t for t in made if t.node.buffer is None])
