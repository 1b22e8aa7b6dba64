"""What the generated op tests share: cases from the declarations, backends, a small reverse-mode engine over Nodes.

The engine is the plainest possible use of the records: it hands a rule only what the op says it saves, so a rule that
reads more fails here. Graphs are made of `input` nodes and evaluated by a backend under bindings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import squall.ops
import squall.transforms  # noqa: F401 - rules of ops that carry graphs
from squall.base import config
from squall.base.dtypes import as_dtype, float64
from squall.engine.oracle import array_of, buffer_of
from squall.engine.realize import evaluate as realize
from squall.ir.graph import placeholder, rebuild
from squall.ir.interpret import evaluate
from squall.ir.node import Node, TensorType, toposort
from squall.ir.op import NON_DIFFERENTIABLE, Context, Decompose, Op, Sample, ops
from squall.ops.movement import sum_to


def _numpy(roots: list[Node], bindings: dict) -> list:
    return evaluate(roots, bindings)


def _decomposed(roots: list[Node], bindings: dict) -> list:
    return evaluate(roots, bindings, decompose=True)


def _planned(backend: str) -> Callable:
    """Evaluation through plans: the placeholders become buffers, and everything asked for is one flush."""

    def run(roots: list[Node], bindings: dict) -> list:
        replaced = {}
        for node, array in bindings.items():
            own = np.array(array, order="C", copy=True)
            replaced[id(node)] = Node(ops.buffer, (), (), node.type, buffer_of(own))
        rebuild(toposort(roots), replaced)
        made = [replaced[id(n)] for n in roots]
        with config.options(backend=backend):
            realize(made)
        return [array_of(n).copy() for n in made]

    return run


# name -> function(roots, bindings) giving arrays. Another machine's backend joins here and runs the same cases.
ORACLES: dict[str, Callable] = {"numpy": _numpy, "decomposed": _decomposed}
BACKENDS: dict[str, Callable] = {**ORACLES, "cpu": _planned("cpu")}

# The rules of `call` are registered by squall.transforms, where they are tested.
OPS = [op for op in ops if op.name != "call" and op.samples()]
DIFFERENTIABLE = [op for op in OPS if op.grad is not NON_DIFFERENTIABLE]


def names(chosen: Iterable[Op]) -> list[str]:
    """Test identifiers."""
    return [op.name for op in chosen]


def type_of(array: Any) -> TensorType:
    """The node type of an array."""
    return TensorType(array.shape, as_dtype(array.dtype))


def arrays_of(sample: Sample) -> list[np.ndarray]:
    """The sample's operands as arrays."""
    return [np.asarray(a) for a in sample.inputs]


def placeholders(arrays: list, first: int = 0) -> list[Node]:
    """An input node for each array."""
    return [placeholder(first + i, type_of(a)) for i, a in enumerate(arrays)]


def bound(nodes: list[Node], arrays: list) -> dict[Node, Any]:
    """Bindings of input nodes."""
    return dict(zip(nodes, arrays, strict=True))


def outputs_of(made: Any) -> list[Node]:
    """The result of an op as a list of nodes."""
    return list(made) if isinstance(made, tuple) else [made]


def is_smooth(op: Op, sample: Sample) -> bool:
    """Whether a sample may be checked by differences: finite float64 operands and results, no ties or kinks."""
    arrays = arrays_of(sample)
    if sample.name.startswith(("special", "ties", "large")) or not any(a.dtype == np.float64 for a in arrays):
        return False
    nodes = placeholders(arrays)
    made = [n for n in outputs_of(op(*nodes, **sample.attributes)) if n.dtype.category == 2]
    if not made and op.grad is not NON_DIFFERENTIABLE:
        return False
    results = evaluate(made, bound(nodes, arrays))
    return all(np.isfinite(a).all() for a in [*arrays, *results] if a.dtype.kind == "f") and all(
        r.dtype == np.float64 for r in results)


def floating(arrays: list) -> list[int]:
    """Positions of float64 operands."""
    return [i for i, a in enumerate(arrays) if a.dtype == np.float64]


def context_for(op: Op, attrs: tuple, inputs: list[Node], made: Any, needs: tuple, *,
                everything: bool = False) -> Context:
    """What a rule sees: saved operands only, or everything for tangents."""
    saved = (*range(len(inputs)), "out") if everything else op.saved(needs)
    types = tuple(n.type for n in inputs)
    out_type = tuple(n.type for n in made) if isinstance(made, tuple) else made.type
    kept = tuple(n if i in saved else None for i, n in enumerate(inputs))
    return Context(op, attrs, types, out_type, kept, made if "out" in saved else None, needs)


def op_gradients(op: Op, attrs: tuple, inputs: list[Node], made: Any, g: Any, needs: tuple) -> list:
    """One gradient an operand from the op's rule, summed back and checked for shape and dtype."""
    parts = op.backward(context_for(op, attrs, inputs, made, needs), g)
    parts = parts if isinstance(parts, tuple) else (parts,)
    assert len(parts) == len(inputs), f"{op.name}: {len(parts)} gradients for {len(inputs)} operands"
    out = []
    for part, operand, needed in zip(parts, inputs, needs, strict=True):
        if part is None or not needed:
            out.append(None)
            continue
        if op.family.unbroadcast:
            part = sum_to(part, operand.shape)
        assert tuple(part.shape) == tuple(operand.shape), f"{op.name}: gradient {part.type} of operand {operand.type}"
        assert part.dtype is operand.dtype, f"{op.name}: gradient {part.type} of operand {operand.type}"
        out.append(part)
    return out


def gradients(root: Node, wanted: list[Node]) -> list:
    """Reverse mode over Nodes: gradients of a zero-dim root by the wanted nodes, None where it does not depend."""
    order = toposort([root])
    leads = {id(n) for n in wanted}
    for node in order:
        if any(id(n) in leads for n in node.inputs):
            leads.add(id(node))
    made = {id(n.inputs[0]): n.inputs[0] for n in order if n.op is ops.pick}
    picks: dict[int, dict[int, Node]] = {}
    found: dict[int, Any] = {id(root): ops.full_like(root, value=1.0)}
    outer: dict[int, dict[int, Node]] = {}
    for node in reversed(order):
        if id(node) not in leads or not node.inputs:
            continue
        if node.op is ops.pick:
            if id(node) in found:
                outer.setdefault(id(node.inputs[0]), {})[node.attrs[0]] = found[id(node)]
                picks.setdefault(id(node.inputs[0]), {})[node.attrs[0]] = node
            continue
        if id(node) in made:
            g, result = _tuple_of(node, outer.get(id(node), {}))
        else:
            g, result = found.get(id(node)), node
        if g is None or node.op.grad is NON_DIFFERENTIABLE:
            continue
        needs = tuple(id(n) in leads and n.dtype.category >= 2 for n in node.inputs)
        for operand, part in zip(node.inputs, op_gradients(node.op, node.attrs, list(node.inputs), result, g, needs)):
            if part is not None:
                before = found.get(id(operand))
                found[id(operand)] = part if before is None else ops.add(before, part)
    return [found.get(id(n)) for n in wanted]


def _tuple_of(node: Node, arrived: dict[int, Node]) -> tuple:
    """The gradients that arrived at a node of several outputs, and fresh picks as its result."""
    if not arrived:
        return None, None
    result = tuple(Node(ops.pick, (node,), (i,), t) for i, t in enumerate(node.type))
    return tuple(arrived.get(i) for i in range(len(node.type))), result


def described(op: Op, sample: Sample) -> str:
    """What a failure calls a case."""
    return f"{op.name} {sample.name} {sample.attributes}"


def picked(samples: list[Sample]) -> list[Sample]:
    """A few samples of different attributes and operand counts: what the costlier checks take."""
    seen: dict = {}
    for sample in samples:
        if sum(np.size(a) for a in sample.inputs) <= 200:
            seen.setdefault((repr(sorted(sample.attributes.items(), key=str)), len(sample.inputs)), sample)
    return list(seen.values())[:8]


def inner(values: list, weights: list) -> Node | None:
    """The sum of products of nodes with nodes; None of nothing."""
    total = None
    for value, weight in zip(values, weights, strict=True):
        if value is None or weight is None:
            continue
        product = ops.mul(*(n if n.dtype is float64 else ops.cast(n, dtype=float64) for n in (value, weight)))
        flat = ops.sum(product, dims=tuple(range(len(value.shape))), keepdim=False)
        total = flat if total is None else ops.add(total, flat)
    return total


def slope(run: Callable[[list], float], arrays: list, directions: dict[int, np.ndarray], step: float = 1e-5) -> float:
    """The derivative of a function of arrays along directions, by fourth-order central differences."""
    def at(distance: float) -> float:
        return run([a + distance * directions[i] if i in directions else a for i, a in enumerate(arrays)])

    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)


def is_composite(op: Op) -> bool:
    """Whether an op is expanded when compiled."""
    return isinstance(op.lowering, Decompose)
