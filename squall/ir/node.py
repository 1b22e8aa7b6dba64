"""The value graph: `TensorType` and `Node`, and walks over it. Data only; what an op means is in `op.py`.

A Node describes a value that never changes. Its `buffer` slot is written once, when the value has been computed;
then it drops its operands, so that memory is bounded by what can still be read. Identity is the object's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from squall.base.dtypes import DType
from squall.base.shapes import Shape


class TensorType:
    """Shape, dtype and device of a value. Equal by content; often the same object, which makes checks quick."""

    __slots__ = ("shape", "dtype", "device")

    def __init__(self, shape: Shape, dtype: DType, device: str = "cpu"):
        self.shape, self.dtype, self.device = shape, dtype, device

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TensorType) and self.shape == other.shape and self.dtype is other.dtype
            and self.device == other.device)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype.name, self.device))

    def with_shape(self, shape: Shape) -> TensorType:
        """The type with another shape."""
        return TensorType(shape, self.dtype, self.device)

    def with_dtype(self, dtype: DType) -> TensorType:
        """The type with another dtype."""
        return TensorType(self.shape, dtype, self.device)

    def __repr__(self) -> str:
        return f"{self.dtype.short}[{', '.join(map(str, self.shape))}]" + (
            "" if self.device == "cpu" else f"@{self.device}"
        )


class SharedType(TensorType):
    """The type of memory NumPy or DLPack can also see: reads of it are evaluated before a call returns."""

    __slots__ = ()


class StoredType(TensorType):
    """The type of float8 values. The short ways of recording know the class above only, so what computes meets the
    check that refuses it."""

    __slots__ = ()


_types: dict[tuple, TensorType] = {}


def tensor_type(shape: Shape, dtype: DType, device: str = "cpu") -> TensorType:
    """The one TensorType object of this content (until the table is full): identity makes checks quick."""
    key = (shape, dtype, device)
    found = _types.get(key)
    if found is None:
        if len(_types) > 20000:
            _types.clear()
        found = _types[key] = (StoredType if dtype.is_float8 else TensorType)(shape, dtype, device)
    return found


class Node:
    """One value: the op that makes it, operand Nodes, attribute values in the op's order, type, and computed buffer.

    `type` is a tuple of types for an op of several outputs; `pick` nodes take them apart. The buffer slot of a
    `scalar` leaf holds a Python number, of a `buffer` leaf the runtime buffer. `where` is the line that recorded the
    node; it is set only for ops whose values are checked when they are evaluated (`Op.checks`).
    """

    __slots__ = ("op", "inputs", "attrs", "type", "buffer", "where", "__weakref__")
    where: Any

    def __init__(self, op: Any, inputs: tuple[Node, ...], attrs: tuple, type: Any, buffer: Any = None):
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.type = type
        self.buffer = buffer

    @property
    def shape(self) -> Shape:
        """The sizes of the value."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """The element type of the value."""
        return self.type.dtype

    @property
    def device(self) -> str:
        """The device the value lives on."""
        return self.type.device

    def attribute(self, name: str) -> Any:
        """The value of a named attribute."""
        return self.attrs[self.op.attributes.index(name)]

    def __repr__(self) -> str:
        state = "" if self.buffer is None else " computed"
        return f"<Node {self.op.name} {self.type}{state}>"


def toposort(roots: Iterable[Node], stop: Callable[[Node], bool] | None = None) -> list[Node]:
    """All nodes the roots need, operands first, each once, in a deterministic order, without recursion.

    Args:
        roots: where to begin. stop: nodes for which it is true are listed, but not walked through.
    """
    order: list[Node] = []
    done: set[int] = set()
    stack: list[tuple[Node, bool]] = [(r, False) for r in reversed(list(roots))]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
            continue
        if id(node) in done:
            continue
        done.add(id(node))
        if not node.inputs or (stop is not None and stop(node)):
            order.append(node)
            continue
        stack.append((node, True))
        for operand in reversed(node.inputs):
            if id(operand) not in done:
                stack.append((operand, False))
    return order


def locate(made: Iterable[Node], below: Iterable[Any], where: Any) -> None:
    """Say for the value checks among what a rule made that they belong to the op recorded at a line.

    Args:
        made: the rule's results. below: what it was given, where the walk stops.
    """
    stop = {id(n) for n in below}
    for node in toposort(made, lambda n: id(n) in stop or n.buffer is not None):
        if node.op.checks is not None and id(node) not in stop and getattr(node, "where", None) is None:
            node.where = where


def users(order: Iterable[Node]) -> dict[int, list[Node]]:
    """Which nodes of an order read each node, by id; a node reading another twice is listed twice."""
    out: dict[int, list[Node]] = {}
    for node in order:
        for operand in node.inputs:
            out.setdefault(id(operand), []).append(node)
    return out
