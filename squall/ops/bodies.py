"""What ops that carry graphs share: the check of arguments, running a graph in a reference, rules that come from
above.

Their gradients, tangents and batches are graphs derived from the graphs they carry, which is the transforms' work; so
`squall.transforms` registers those rules here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from squall.base.dtypes import numpy_dtype
from squall.base.errors import CompileError, DtypeError, ShapeError
from squall.ir.graph import Graph
from squall.ir.interpret import evaluate
from squall.ir.node import TensorType

_rules: dict[tuple[str, str], Callable] = {}


def derive(op: str, *, grad: Callable, jvp: Callable, vmap: Callable) -> None:
    """Give an op that carries graphs its rules, with the signatures of an op's."""
    _rules.update({(op, "grad"): grad, (op, "jvp"): jvp, (op, "vmap"): vmap})


def rule(op: str, name: str) -> Callable:
    """The rule of an op that the transforms register."""

    def apply(*arguments: Any) -> Any:
        found = _rules.get((op, name))
        if found is None:
            raise CompileError(f"the {name} rule of {op} is registered by squall.transforms, which is not imported")
        return found(*arguments)

    return apply


def check_arguments(op: str, graph: Graph, types: Sequence[TensorType]) -> None:
    """ShapeError or DtypeError unless a graph takes arguments of these types."""
    if len(types) != len(graph.inputs):
        raise ShapeError(f"{op}: {graph.name} takes {len(graph.inputs)} arguments, got {len(types)}")
    for i, (given, wanted) in enumerate(zip(types, graph.input_types, strict=True)):
        if given != wanted:
            error = ShapeError if given.dtype is wanted.dtype else DtypeError
            raise error(f"{op}: argument {i} of {graph.name} is {given}, it takes {wanted}")


def run(graph: Graph, arguments: Sequence[Any]) -> list:
    """The graph's outputs for arrays, which may be of a wider dtype than the graph takes."""
    fitted = [
        a if a.dtype == numpy_dtype(n.dtype) else a.astype(numpy_dtype(n.dtype))
        for a, n in zip(arguments, graph.inputs, strict=True)
    ]
    return evaluate(graph.outputs, dict(zip(graph.inputs, fitted, strict=True)))
