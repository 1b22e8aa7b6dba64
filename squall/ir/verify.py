"""The specification of the graph level, as a program: what every node must satisfy between any two stages.

Messages name the node by its line in the graph's text. Run with `SQUALL_VERIFY=1`, by tests and by the fuzzer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from squall.base.dim import Dim
from squall.base.dtypes import DType, bool_
from squall.base.errors import CompileError
from squall.ir.families import elementwise
from squall.ir.graph import Graph
from squall.ir.graph_text import names, node_text
from squall.ir.node import Node, TensorType
from squall.ir.op import Scalar, constant, constant_value, ops

# Elementwise ops of which an operand has a dtype of its own, besides `where`.
_MIXED = frozenset({"shift_left", "shift_right"})
_ATTRIBUTES = (bool, int, float, str, DType, Dim, Graph, type(None))


def verify(what: Graph | Iterable[Node]) -> None:
    """Check a graph, or what some roots need, against the specification.

    Raises:
        CompileError: names the node, its operands, and the rule it breaks.
    """
    roots = what.outputs if isinstance(what, Graph) else tuple(what)
    order, number = names(roots)
    seen: set[int] = set()
    for node in order:
        problem = _problem(node, seen)
        if problem is not None:
            raise CompileError(f"graph verification: {_line(node, number)}: {problem}")
        seen.add(id(node))
    if isinstance(what, Graph):
        own = {id(n) for n in what.inputs}
        for node in order:
            if node.op is ops.input and id(node) not in own:
                raise CompileError(f"graph verification: {_line(node, number)} is no input of {what.name}")


def _line(node: Node, number: dict[int, int]) -> str:
    graphs = {id(v): v.name for v in node.attrs if isinstance(v, Graph)}
    try:
        return node_text(node, number, graphs)
    except Exception:  # a node too broken to be printed
        return repr(node)


def _problem(node: Node, seen: set[int]) -> str | None:
    if ops.get(node.op.name) is not node.op:
        return f"op {node.op.name!r} is not in the table of ops"
    if not (
        _is_type(node.type) or (node.type.__class__ is tuple and node.type and all(map(_is_type, node.type)))
    ):
        return f"its type is {node.type!r}"
    if node.op in (ops.scalar, ops.constant, ops.buffer, ops.input):
        return _leaf_problem(node)
    if node.buffer is not None:
        return None
    for i, operand in enumerate(node.inputs):
        if id(operand) not in seen:
            return f"operand {i} is not computed before it: the graph has a cycle"
        if operand.type.__class__ is tuple and node.op is not ops.pick:
            return f"operand {i} has several values: it must be picked from"
    return _attribute_problem(node) or _type_problem(node)


def _is_type(type: Any) -> bool:
    return (
        isinstance(type, TensorType)
        and isinstance(type.dtype, DType)
        and type.shape.__class__ is tuple
        and all(isinstance(n, Dim) or (n.__class__ is int and n >= 0) for n in type.shape)
    )


def _leaf_problem(node: Node) -> str | None:
    if node.inputs:
        return "a leaf has no operands"
    if node.op is ops.scalar:
        if node.type.shape != () or not (node.buffer is None or isinstance(node.buffer, (bool, int, float))):
            return f"a scalar is a zero-dimensional number, its slot holds {node.buffer!r}"
    if node.op is ops.constant:
        if node.type.shape != () or node.attrs[1] is not node.type.dtype:
            return "a constant is zero-dimensional and of its own dtype"
        if constant(constant_value(node), node.type.dtype).attrs != node.attrs:
            return f"the constant's text {node.attrs[0]!r} is not normalised"
    if node.op is ops.input and not (len(node.attrs) == 1 and node.attrs[0].__class__ is int):
        return f"an input has one index, not {node.attrs}"
    return None


def _attribute_problem(node: Node) -> str | None:
    if node.attrs.__class__ is not tuple or len(node.attrs) != len(node.op.attributes):
        return f"attributes {node.attrs!r} do not match {node.op.attributes}"
    for name, value in node.op.named(node.attrs).items():
        if not _is_normal(value):
            return (
                f"attribute {name} is {value!r}: expected numbers, strings, dtypes, sizes, and tuples of them"
            )
        if name == "dims" and node.op is not ops.permute and list(value) != sorted(set(value)):
            return f"dims {value} are not sorted and distinct"
        if name in ("dims", "dim") and any(d < 0 for d in (value if name == "dims" else (value,))):
            return f"{name} {value} must be counted from 0"
    return None


def _is_normal(value: Any) -> bool:
    if value.__class__ is tuple:
        return all(map(_is_normal, value))
    return value.__class__ in _ATTRIBUTES or isinstance(value, (DType, Dim, Graph))


def _type_problem(node: Node) -> str | None:
    types = tuple(n.type for n in node.inputs)
    if node.op is ops.pick:
        if types[0].__class__ is not tuple or not 0 <= node.attrs[0] < len(types[0]):
            return f"pick {node.attrs[0]} of a value of type {types[0]!r}"
    elif (
        node.op.family is elementwise and isinstance(node.op.lowering, Scalar) and node.op.name not in _MIXED
    ):
        rest = types
        if node.op.name == "where":
            if types[0].dtype is not bool_:
                return f"the condition is {types[0].dtype}, not bool"
            rest = types[1:]
        if any(t.dtype is not rest[0].dtype for t in rest):
            return f"operand dtypes {[t.dtype.short for t in rest]} differ: a cast is missing"
    try:
        inferred = node.op.result_type(types, node.attrs)
    except Exception as error:
        return f"inference fails: {error}"
    return None if inferred == node.type else f"inference gives {inferred!r}"
