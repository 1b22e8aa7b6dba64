"""call: a node that carries a closed graph. Compiled functions under grad, checkpoints and control flow record it."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float64
from squall.ir.families import control
from squall.ir.graph import Graph, inline, trace
from squall.ir.node import TensorType
from squall.ir.op import Decompose, Sample, declare, ops
from squall.ops.bodies import check_arguments, rule, run
from squall.ops.samples import floats


def _call_type(types: tuple, attrs: tuple) -> tuple:
    graph: Graph = attrs[0]
    check_arguments("call", graph, types)
    return graph.output_types


def _call_reference(*arguments: Any, graph: Graph) -> tuple:
    return tuple(run(graph, arguments))


def _call_samples() -> list[Sample]:
    types = [TensorType((2, 3), float64), TensorType((3,), float64)]
    graph = trace(lambda a, b: (ops.mul(a, b), ops.add(ops.mul(a, a), b)), types, "sample")
    return [Sample((floats((2, 3)), floats((3,), 1)), {"graph": graph}, "two results")]


call = declare(
    "call",
    control, parts="composite", codes="composite",
    attributes=("graph",),
    infer=_call_type,
    promotion="none",
    reference=_call_reference,
    saves=lambda needs: tuple(range(len(needs))),
    grad=rule("call", "grad"),
    jvp=rule("call", "jvp"),
    vmap=rule("call", "vmap"),
    lowering=Decompose(lambda *arguments, graph: inline(graph, arguments)),
    samples=_call_samples,
    doc="The outputs of a closed graph for its arguments. Types must be the graph's exactly.",
)
