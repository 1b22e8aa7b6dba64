"""Reverse-mode differentiation of graphs: gradients by the `grad` rules of ops, walked from the outputs back.

`gradient_graph` is a closed graph again, so it can be differentiated to any order; `differentiate` splits the work in a
forward graph that also gives what backward needs, and a backward graph that takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squall.base.errors import CompileError
from squall.ir.families import zeros
from squall.ir.graph import Graph, placeholder, rebuild
from squall.ir.node import Node, toposort
from squall.ir.op import NON_DIFFERENTIABLE, Context, ops
from squall.ops.movement import sum_to
from squall.transforms.walk import depending, is_pick, picks


def pull_back(outputs: Sequence[Node], cotangents: Sequence[Node | None], wanted: Sequence[Node]) -> list[Node | None]:
    """Gradients of the wanted nodes, given those of the outputs.

    Args:
        outputs: Nodes of floating dtype. cotangents: one an output, of its type; None counts as zeros.
        wanted: Nodes below the outputs; what they are made of is not walked.

    Returns:
        list: a Node of each wanted node's type, or None where nothing arrives.
    """
    targets = {id(n) for n in wanted}
    order = toposort(outputs, lambda n: id(n) in targets)
    useful = depending([n for n in order if id(n) not in targets], wanted)
    gathered: dict[int, Any] = {}
    for node, cotangent in zip(outputs, cotangents, strict=True):
        if cotangent is not None and id(node) in useful:
            _gather(gathered, node, cotangent)
    for node in reversed(order):
        if id(node) in targets or id(node) not in gathered or not node.inputs:
            continue
        gradient = gathered.pop(id(node))
        for operand, part in zip(node.inputs, _parts(node, gradient, useful), strict=True):
            if part is not None and id(operand) in useful:
                _gather(gathered, operand, part)
    return [gathered.get(id(n)) for n in wanted]


def _gather(gathered: dict[int, Any], node: Node, gradient: Any) -> None:
    if is_pick(node) and id(node) not in gathered:
        (source,), (index,) = node.inputs, node.attrs
        parts = gathered.setdefault(id(source), [None] * len(source.type))
        parts[index] = gradient if parts[index] is None else ops.add(parts[index], gradient)
        return
    before = gathered.get(id(node))
    gathered[id(node)] = gradient if before is None else ops.add(before, gradient)


def _parts(node: Node, gradient: Any, useful: set[int]) -> tuple:
    """What the rule of a node gives its operands, shaped and typed like them."""
    rule = node.op.grad
    needs = tuple(id(n) in useful and n.type.__class__ is not tuple and n.dtype.category >= 2 for n in node.inputs)
    if rule is NON_DIFFERENTIABLE or not any(needs):
        return (None,) * len(node.inputs)
    types = tuple(n.type for n in node.inputs)
    context = Context(node.op, node.attrs, types, node.type, node.inputs, picks(node), needs)
    parts = node.op.backward(context, tuple(gradient) if gradient.__class__ is list else gradient)
    if parts.__class__ is not tuple:
        parts = (parts,)
    if len(parts) != len(needs):
        raise CompileError(f"the gradient rule of {node.op.name} gave {len(parts)} gradients for {len(needs)} operands")
    return tuple(_fitted(part, type, node.op.family.unbroadcast) if part is not None and need else None
                 for part, type, need in zip(parts, types, needs, strict=True))


def _fitted(part: Node, type: Any, unbroadcast: bool) -> Node:
    if unbroadcast and part.shape != type.shape:
        part = sum_to(part, tuple(type.shape))
    return part if part.dtype is type.dtype else ops.cast(part, dtype=type.dtype)


def gradient_graph(graph: Graph, needs: tuple[bool, ...], arrived: tuple[bool, ...]) -> Graph:
    """The graph from arguments and the cotangents that arrived to the gradients of the arguments that need one.

    Args:
        needs: by argument. arrived: by output; floating outputs only.

    Returns:
        Graph: inputs are the arguments, then one cotangent for each output that has one; outputs are the gradients,
            zeros where nothing depends.
    """
    cotangents = [placeholder(len(graph.inputs) + i, graph.outputs[k].type)
                  for i, k in enumerate(k for k, a in enumerate(arrived) if a)]
    outputs = [node for node, a in zip(graph.outputs, arrived, strict=True) if a]
    wanted = [node for node, need in zip(graph.inputs, needs, strict=True) if need]
    gradients = pull_back(outputs, cotangents, wanted)
    made = [zeros(w.type) if g is None else g for g, w in zip(gradients, wanted, strict=True)]
    return Graph((*graph.inputs, *cotangents), made, f"gradient of {graph.name}")


def differentiate(graph: Graph, wanted: tuple[bool, ...],
                  arrived: tuple[bool, ...] | None = None) -> tuple[Graph, Graph]:
    """A graph split for reverse mode: (forward that also gives residuals, backward).

    Args:
        wanted: which arguments need a gradient. arrived: which outputs have a cotangent; None: every floating one.

    Returns:
        tuple: forward, of the graph's inputs, whose outputs are the graph's and then the residuals; and backward, of
            the residuals and then the cotangents, whose outputs are the gradients of the wanted arguments.

    Example:
        >>> import squall.ops
        >>> from squall.base.dtypes import float32
        >>> from squall.ir.graph import trace
        >>> from squall.ir.node import TensorType
        >>> forward, backward = differentiate(trace(lambda a: ops.tanh(a), [TensorType((3,), float32)]), (True,))
        >>> len(forward.outputs), len(backward.inputs), len(backward.outputs)
        (2, 2, 1)
    """
    if arrived is None:
        arrived = tuple(n.dtype.category >= 2 for n in graph.outputs)
    whole = gradient_graph(graph, wanted, arrived)
    forward = {id(n): n for n in graph.order()}
    order = toposort(whole.outputs, lambda n: id(n) in forward and bool(n.inputs))
    depends = depending(graph.order(), graph.inputs)
    residuals = [n for n in order if id(n) in forward and id(n) in depends]
    cotangents = whole.inputs[len(graph.inputs):]
    taken = [placeholder(i, n.type) for i, n in enumerate((*residuals, *cotangents))]
    replaced: dict[int, Node] = dict(zip(map(id, (*residuals, *cotangents)), taken, strict=True))
    rebuild(toposort(whole.outputs, lambda n: id(n) in replaced), replaced)
    backward = Graph(taken, [replaced[id(n)] for n in whole.outputs], f"backward of {graph.name}")
    return Graph(graph.inputs, (*graph.outputs, *residuals), f"forward of {graph.name}"), backward
