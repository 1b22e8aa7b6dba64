"""Makes a graph over floats of 8 bits one over their codes: the stage after complex numbers were split.

A float8 value becomes the uint8 value of its codes, by the `codes` rule of the op that made it; memory stays as it is.
So conversions are compiled code over integers, and nothing after this stage knows of float8.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from squall.base.errors import CompileError
from squall.ir.graph import Graph, expand_composites, rebuild
from squall.ir.node import Node, TensorType, locate, toposort
from squall.ir.op import ops
from squall.ops.codes import code_type


def has_codes(node: Node) -> bool:
    """Whether a value, or one of several, is float8."""
    types = node.type if node.type.__class__ is tuple else (node.type,)
    return any(t.dtype.is_float8 for t in types)


def as_codes(roots: list[Node], inputs: list[Node]) -> tuple[list[Node], list[Node]]:
    """The roots and leaves over codes; as they are where nothing is float8."""
    leaves = {id(n) for n in inputs}
    order = toposort(roots, lambda n: id(n) in leaves)
    if not any(map(has_codes, order)):
        return roots, inputs
    held = [Node(n.op, (), n.attrs, _types(n.type)) if has_codes(n) else n for n in inputs]
    values: dict[int, Any] = {id(n): h for n, h in zip(inputs, held, strict=True)}
    for node in order:
        if id(node) not in values:
            values[id(node)] = _over_codes(node, tuple(values[id(n)] for n in node.inputs))
    return expand_composites([values[id(r)] for r in roots], None, {id(n): n for n in held}), held


def _types(type: Any) -> Any:
    if type.__class__ is tuple:
        return tuple(map(_types, type))
    return TensorType(type.shape, code_type(type.dtype), type.device)


def _over_codes(node: Node, operands: tuple) -> Any:
    if not has_codes(node) and not any(map(has_codes, node.inputs)):
        replaced = {id(n): v for n, v in zip(node.inputs, operands, strict=True)}
        return rebuild([node], replaced)[id(node)]
    rule = node.op.codes
    if any(isinstance(v, Graph) for v in node.attrs) or node.op is ops.pick:
        attrs = tuple(_graph_over_codes(v) if isinstance(v, Graph) else v for v in node.attrs)
        return Node(node.op, operands, attrs, _types(node.type))
    if rule is None:
        raise CompileError(f"{node.op.name} of {', '.join(repr(n.type) for n in node.inputs)} has no rule for codes")
    made: Any = rule(node, operands) if callable(rule) else node.op(*operands, **node.op.named(node.attrs))
    if node.op.checks is not None:
        locate([made], list(operands), getattr(node, "where", None))
    return made


@lru_cache(256)
def _graph_over_codes(graph: Graph) -> Graph:
    roots, inputs = as_codes(expand_composites(list(graph.outputs), None, {id(n): n for n in graph.inputs}),
                             list(graph.inputs))
    return Graph(inputs, roots, graph.name)


__all__ = ["as_codes", "has_codes"]
