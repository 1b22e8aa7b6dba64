"""cond: one of two graphs, chosen by a value."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, float64
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import control
from squall.ir.graph import Graph, trace
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Sample, declare, ops
from squall.ops.bodies import check_arguments, rule, run
from squall.ops.samples import floats


def _cond_type(types: tuple, attrs: tuple) -> tuple:
    predicate, rest = types[0], types[1:]
    if predicate.dtype is not bool_ or tuple(predicate.shape) != ():
        raise DtypeError(f"cond: the predicate must be one bool, got {predicate}")
    true, false = attrs[:2]
    check_arguments("cond", true, rest)
    check_arguments("cond", false, rest)
    if len(true.outputs) != len(false.outputs):
        raise ShapeError(
            f"cond: {true.name} gives {len(true.outputs)} results and {false.name} {len(false.outputs)}"
        )
    for i, (a, b) in enumerate(zip(true.output_types, false.output_types, strict=True)):
        if a != b:
            error = ShapeError if a.dtype is b.dtype else DtypeError
            raise error(f"cond: result {i} is {a} of {true.name}, and {b} of {false.name}")
    return true.output_types


def _cond_reference(predicate: Any, *operands: Any, true: Graph, false: Graph, **_: Any) -> tuple:
    return tuple(run(true if bool(predicate) else false, operands))


def _cond_samples() -> list[Sample]:
    import numpy

    types = [TensorType((2, 3), float64), TensorType((3,), float64)]
    true = trace(lambda a, b: (ops.mul(a, b), ops.sum(a, dims=(0, 1), keepdim=False)), types, "product")
    false = trace(lambda a, b: (ops.sin(a), ops.sum(b, dims=(0,), keepdim=False)), types, "sine")
    return [
        Sample((numpy.asarray(p), floats((2, 3), 1), floats((3,), 2)), {"true": true, "false": false}, str(p))
        for p in (True, False)
    ]


cond = declare(
    "cond",
    control, parts="graph", codes="composite",
    attributes=("true", "false", "true_back", "false_back", "needs"),
    defaults={"true_back": None, "false_back": None, "needs": ()},
    infer=_cond_type,
    promotion="none",
    reference=_cond_reference,
    saves=lambda needs: tuple(range(len(needs))),
    grad=rule("cond", "grad"),
    jvp=rule("cond", "jvp"),
    vmap=rule("cond", "vmap"),
    lowering=ByFamily("cond"),
    samples=_cond_samples,
    doc="The outputs of graph `true` or of graph `false` for the operands after the first, a bool that chooses; the "
    "other graph is not run. `true_back` and `false_back` take the operands and a cotangent for each floating output, "
    "and give gradients of the operands that `needs` marks.",
)
