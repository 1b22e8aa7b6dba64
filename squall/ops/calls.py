"""call: a node that carries a closed graph. Compiled functions under grad, checkpoints and control flow record it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.dtypes import float64
from squall.base.errors import CompileError, DtypeError, ShapeError
from squall.ir.families import control
from squall.ir.graph import Graph, inline, trace
from squall.ir.interpret import evaluate
from squall.ir.node import TensorType
from squall.ir.op import Decompose, Sample, declare, ops
from squall.ops.samples import floats

_rules: dict[str, Callable] = {}


def derive_calls(*, grad: Callable, jvp: Callable, vmap: Callable) -> None:
    """Give `call` its rules, with the signatures of an op's: they derive graphs, which is the transforms' work."""
    _rules.update(grad=grad, jvp=jvp, vmap=vmap)


def _rule(name: str) -> Callable:
    def apply(*arguments: Any) -> Any:
        if name not in _rules:
            raise CompileError(
                f"the {name} rule of call is registered by squall.transforms, which is not imported"
            )
        return _rules[name](*arguments)

    return apply


def _call_type(types: tuple, attrs: tuple) -> tuple:
    graph: Graph = attrs[0]
    if len(types) != len(graph.inputs):
        raise ShapeError(f"call: {graph.name} takes {len(graph.inputs)} arguments, got {len(types)}")
    for i, (given, wanted) in enumerate(zip(types, graph.input_types, strict=True)):
        if given != wanted:
            error = ShapeError if given.dtype is wanted.dtype else DtypeError
            raise error(f"call: argument {i} of {graph.name} is {given}, it takes {wanted}")
    return graph.output_types


def _call_reference(*arguments: Any, graph: Graph) -> tuple:
    return tuple(evaluate(graph.outputs, dict(zip(graph.inputs, arguments, strict=True))))


def _call_samples() -> list[Sample]:
    types = [TensorType((2, 3), float64), TensorType((3,), float64)]
    graph = trace(lambda a, b: (ops.mul(a, b), ops.add(ops.mul(a, a), b)), types, "sample")
    return [Sample((floats((2, 3)), floats((3,), 1)), {"graph": graph}, "two results")]


call = declare(
    "call",
    control,
    attributes=("graph",),
    infer=_call_type,
    promotion="none",
    reference=_call_reference,
    saves=lambda needs: tuple(range(len(needs))),
    grad=_rule("grad"),
    jvp=_rule("jvp"),
    vmap=_rule("vmap"),
    lowering=Decompose(lambda *arguments, graph: inline(graph, arguments)),
    samples=_call_samples,
    doc="The outputs of a closed graph for its arguments. Types must be the graph's exactly.",
)
