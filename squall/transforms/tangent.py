"""Forward-mode differentiation of graphs: tangents by the `jvp` rules of ops, walked from the inputs on.

A rule is the op's own, else derived by its family, else by its decomposition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from squall.ir.families import zeros
from squall.ir.graph import Graph, placeholder
from squall.ir.node import Node, TensorType, locate, toposort
from squall.ir.op import NON_DIFFERENTIABLE, Context, ops
from squall.transforms.walk import expanded, is_pick, picks, several


def push_forward(order: Iterable[Node], tangents: dict[int, Any], recorded: Mapping[int, Node] | None = None) -> None:
    """Add to `tangents` those of every node of an order that has one.

    Args:
        order: Nodes, operands first. tangents: by id; a Node of the node's type, None for none, a tuple for several
            outputs. recorded: by id, how Nodes that may be computed by now were recorded.
    """
    for value in order:
        node = value if recorded is None else recorded.get(id(value), value)
        if id(value) in tangents:
            continue
        given = tuple(tangents.get(id(n)) for n in node.inputs)
        if is_pick(node):
            tangents[id(value)] = None if given[0] is None else given[0][node.attrs[0]]
        elif any(t is not None for t in given):
            tangents[id(value)] = _tangent(node, value, given)


def _tangent(node: Node, value: Node, given: tuple) -> Any:
    op = node.op
    if op.grad is NON_DIFFERENTIABLE and op.jvp is None:
        return None
    context = Context(op, node.attrs, tuple(n.type for n in node.inputs), node.type, node.inputs, picks(value),
                      tuple(t is not None for t in given))
    made = op.jvp(context, *given) if op.jvp is not None else op.family.tangent(context, given)
    if made is NotImplemented:
        made = _through_decomposition(node, given)
    if op.checks is not None:
        known = [*node.inputs, *several(picks(value)), *(t for t in given if t is not None)]
        locate([m for m in several(made) if m is not None], known, getattr(node, "where", None))
    if node.type.__class__ is tuple:
        return tuple(_fitted(t, type) for t, type in zip(several(made), node.type, strict=True))
    return _fitted(made, node.type)


def _through_decomposition(node: Node, given: tuple) -> Any:
    made = expanded(node, node.inputs, "jvp")
    known = {id(n): t for n, t in zip(node.inputs, given, strict=True)}
    operands = set(map(id, node.inputs))
    push_forward(toposort(several(made), lambda n: id(n) in operands), known)
    found = tuple(known.get(id(n)) for n in several(made))
    return found if made.__class__ is tuple else found[0]


def _fitted(tangent: Any, type: TensorType) -> Any:
    """A tangent of the result's shape and dtype; None for results that are not floating."""
    if tangent is None or type.dtype.category < 2:
        return None
    if tuple(tangent.shape) != tuple(type.shape):
        tangent = ops.expand(tangent, shape=tuple(type.shape))
    return tangent if tangent.dtype is type.dtype else ops.cast(tangent, dtype=type.dtype)


def tangent_graph(graph: Graph, given: tuple[bool, ...]) -> Graph:
    """The graph from a graph's arguments and tangents of some of them to the tangents of its floating outputs.

    Args:
        given: which arguments have a tangent.

    Returns:
        Graph: inputs are the arguments, then the tangents; outputs one tangent a floating output, zeros where none is.
    """
    arguments = [n for n, g in zip(graph.inputs, given, strict=True) if g]
    seeds = [placeholder(len(graph.inputs) + i, n.type) for i, n in enumerate(arguments)]
    tangents: dict[int, Any] = dict(zip(map(id, arguments), seeds, strict=True))
    push_forward(graph.order(), tangents)
    made = [tangents.get(id(n)) for n in graph.outputs if n.dtype.category >= 2]
    types = [n.type for n in graph.outputs if n.dtype.category >= 2]
    outputs = [zeros(type) if t is None else t for t, type in zip(made, types, strict=True)]
    return Graph((*graph.inputs, *seeds), outputs, f"tangent of {graph.name}")
