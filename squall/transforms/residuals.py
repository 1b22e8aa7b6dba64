"""Cutting a gradient's graph from the forward graph it reads: which forward values it takes, and what it works out
again.

Values that only move elements of others, and what is the same for every step of a loop, are worked out again; so a
matrix that is used transposed is not kept once for each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from squall.ir.families import movement
from squall.ir.graph import Graph, placeholder, rebuild
from squall.ir.node import Node, toposort
from squall.ir.op import ops
from squall.transforms.walk import depending


class Cut(NamedTuple):
    """A gradient's graph on its own.

    Attributes:
        pullback: from the values and then the cotangents to the gradients. saved: forward values that are no inputs
        of the forward graph, to be among its outputs. sources: what each value is: the number of an input, or the
        count of inputs plus the number of an output, where `saved` come after the outputs there were.
    """

    pullback: Graph
    saved: list[Node]
    sources: tuple[int, ...]


def cut(gradients: Sequence[Node], cotangents: Sequence[Node], forward: Graph, consts: int, carries: int) -> Cut:
    """Cut the gradients of a step of a loop from the step.

    Args:
        gradients: Nodes over the forward graph's and the cotangents. cotangents: placeholders. forward: the step.
            consts: how many of its inputs, the first, are the same for every step. carries: how many after those are
            what a step before gave, which cannot be read later and is saved like other values.
    """
    inputs = {id(n): i for i, n in enumerate(forward.inputs)}
    kept = {id(n) for n in forward.inputs[consts : consts + carries]}
    order = forward.order()
    known = {id(n) for n in order} | set(inputs)
    moving = depending(order, forward.inputs[consts:])
    outputs = {id(n): i for i, n in reversed(list(enumerate(forward.outputs))) if i >= carries}

    def is_value(node: Node) -> bool:
        if id(node) in inputs:
            return True
        inside = id(node) in known or (node.op is ops.pick and id(node.inputs[0]) in known)
        if not inside or node.type.__class__ is tuple or not node.inputs:
            return False
        source = node.inputs[0] if node.op is ops.pick else node
        return id(source) in moving and not _is_view(node)

    found = [n for n in toposort(gradients, is_value) if is_value(n)]
    values: list[Node] = []
    saved: list[Node] = []
    sources: list[int] = []
    number: dict[tuple, int] = {}
    replaced: dict[int, Node] = {}
    for node in found:
        key = _key(node)
        position = number.get(key)
        if position is None:
            position = number[key] = len(values)
            values.append(node)
            if id(node) in inputs and id(node) not in kept:
                sources.append(inputs[id(node)])
            elif id(node) in outputs:
                sources.append(len(forward.inputs) + outputs[id(node)])
            else:
                sources.append(len(forward.inputs) + len(forward.outputs) + len(saved))
                saved.append(node)
        replaced[id(node)] = values[position]
    taken = [placeholder(i, n.type) for i, n in enumerate((*values, *cotangents))]
    stands = dict(zip(map(id, (*values, *cotangents)), taken, strict=True))
    for node in found:
        stands[id(node)] = stands[id(replaced[id(node)])]
    rebuild(toposort(gradients, lambda n: id(n) in stands), stands)
    return Cut(
        Graph(taken, [stands[id(g)] for g in gradients], f"backward of {forward.name}"), saved, tuple(sources)
    )


def _key(node: Node) -> tuple:
    return ("pick", id(node.inputs[0]), node.attrs) if node.op is ops.pick else ("node", id(node))


def _is_view(node: Node) -> bool:
    """Whether a node moves elements of a value that is no larger."""
    if node.op.family is not movement or node.op.name in ("concat", "update_slice", "pad") or len(node.inputs) != 1:
        return False
    here, there = prod(node.shape), prod(node.inputs[0].shape)
    return isinstance(here, int) and isinstance(there, int) and there <= here
