"""Batches of graphs: every node over one more dimension, by the `vmap` rules of ops.

A batched value carries its batch at dimension 0. Nodes that depend on nothing batched stay as they are, so a graph has
as many nodes for a batch of one as for a batch of a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from squall.ir import families
from squall.ir.graph import Graph, placeholder
from squall.ir.node import Node, locate, toposort
from squall.ir.op import ops
from squall.transforms.walk import expanded, is_pick, several

# what stands for a node: a Node, or a tuple of them for several outputs, with its batch at dimension 0
Values = dict[int, Any]


def batch_nodes(order: Iterable[Node], values: Values, size: Any, draws: frozenset | set = frozenset()) -> None:
    """Add to `values` the batched value of every node of an order that depends on a batched one.

    Args:
        order: Nodes, operands first. values: by id of a node, its batched value; nodes not in it are the same for all.
        size: of the batch. draws: ids of offsets of random streams that each element of the batch moves on for itself.
    """
    for node in order:
        if id(node) in values:
            continue
        batched = tuple(id(n) in values for n in node.inputs)
        if not any(batched):
            continue
        if is_pick(node):
            values[id(node)] = values[id(node.inputs[0])][node.attrs[0]]
            continue
        operands = tuple(values[id(n)] if b else n for n, b in zip(node.inputs, batched, strict=True))
        if node.op.family is families.random and any(id(n) in draws for n in node.inputs):
            values[id(node)] = _draw(node, operands, batched, size)
            continue
        values[id(node)] = _apply(node, operands, batched, size, values, draws)


def _apply(node: Node, operands: tuple, batched: tuple, size: Any, values: Values, draws: Any) -> Any:
    rule = node.op.vmap
    if rule is None and type(node.op.family).batch is not families.Family.batch:
        rule = node.op.family.batch
    if rule is not None:
        made, is_batched = rule(node.op, operands, batched, size, node.attrs)
        if node.op.checks is not None:
            locate(several(made), operands, getattr(node, "where", None))
        return made if is_batched else _spread(made, size)
    made = expanded(node, node.inputs, "vmap")
    inner = {id(n): v for n, v, b in zip(node.inputs, operands, batched, strict=True) if b}
    known = set(map(id, node.inputs))
    batch_nodes(toposort(several(made), lambda n: id(n) in known), inner, size, draws)
    found = tuple(inner[id(n)] if id(n) in inner else _spread(n, size) for n in several(made))
    return found if made.__class__ is tuple else found[0]


def _spread(made: Any, size: Any) -> Any:
    """A value that is the same for all, repeated."""
    if made.__class__ is tuple:
        return tuple(_spread(m, size) for m in made)
    return ops.expand(made, shape=(size, *made.shape))


def spread(node: Node, values: Values, size: Any) -> Node:
    """The batched value of a node, repeated when it is the same for all."""
    return values[id(node)] if id(node) in values else _spread(node, size)


def _draw(node: Node, operands: tuple, batched: tuple, size: Any) -> Node:
    """A draw of its own for each element: one draw over the batch, which took as many words as all of them."""
    named = node.op.named(node.attrs)
    if "shape" in named:
        return node.op(*operands, **{**named, "shape": (size, *named["shape"])})
    value = operands[0] if batched[0] else _spread(operands[0], size)  # the others are the stream
    return node.op(value, *operands[1:], **named)


def batch_graph(graph: Graph, batched: Sequence[bool], size: Any) -> Graph:
    """The graph over a batch of some of its arguments; every output carries the batch at dimension 0.

    Args:
        batched: which arguments carry a batch at dimension 0. size: of the batch.
    """
    inputs = [placeholder(i, n.type.with_shape((size, *n.shape))) if b else n
              for i, (n, b) in enumerate(zip(graph.inputs, batched, strict=True))]
    values: Values = {id(old): new for old, new, b in zip(graph.inputs, inputs, batched, strict=True) if b}
    batch_nodes(graph.order(), values, size)
    return Graph(inputs, [spread(n, values, size) for n in graph.outputs], f"batch of {graph.name}")
