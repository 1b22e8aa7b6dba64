"""scan: a graph run once for each slice of its operands, from state to state."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float64, int64, numpy_dtype
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import control
from squall.ir.graph import Graph, trace
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Sample, declare, ops
from squall.ops.bodies import check_arguments, rule, run
from squall.ops.samples import floats

ATTRIBUTES = ("body", "consts", "carries", "length", "reverse", "saved", "pullback", "sources", "needs")
DEFAULTS = {"reverse": False, "saved": 0, "pullback": None, "sources": (), "needs": ()}


def _scan_type(types: tuple, attrs: tuple) -> tuple:
    body, consts, carries, length = attrs[:4]
    given = list(types)
    for i in range(consts + carries, len(types)):
        shape = tuple(types[i].shape)
        if not shape or shape[0] != length:
            raise ShapeError(f"scan: operand {i} is {types[i]}; its dimension 0 must be the length {length}")
        given[i] = types[i].with_shape(shape[1:])
    check_arguments("scan", body, given)
    outputs = body.output_types
    for i in range(carries):
        before, after = given[consts + i], outputs[i]
        if before != after:
            error = ShapeError if before.dtype is after.dtype else DtypeError
            raise error(f"scan: carry {i} is {before} and becomes {after}")
    return (*outputs[:carries], *(t.with_shape((length, *t.shape)) for t in outputs[carries:]))


def _scan_reference(
    *operands: Any, body: Graph, consts: int, carries: int, length: int, reverse: bool, **_: Any
) -> tuple:
    import numpy

    fixed, carry, xs = operands[:consts], list(operands[consts : consts + carries]), operands[consts + carries :]
    types = body.output_types
    carry = [numpy.asarray(c).astype(numpy_dtype(t.dtype)) for c, t in zip(carry, types, strict=False)]
    ys = [numpy.zeros((length, *t.shape), numpy_dtype(t.dtype)) for t in types[carries:]]
    for i in reversed(range(length)) if reverse else range(length):
        made = run(body, (*fixed, *carry, *(x[i] for x in xs)))
        carry = made[:carries]
        for y, value in zip(ys, made[carries:], strict=True):
            y[i] = value
    return (*carry, *ys)


def _scan_samples() -> list[Sample]:
    vector, matrix = TensorType((3,), float64), TensorType((3, 3), float64)

    def recurrence(w: Any, h: Any, x: Any) -> tuple:
        product = ops.matmul(w, ops.reshape(h, shape=(3, 1)))
        made = ops.tanh(ops.add(ops.reshape(product, shape=(3,)), x))
        return made, ops.mul(made, x), made

    def decay(a: Any, b: Any, x: Any) -> tuple:
        after = ops.add(ops.mul(a, 0.5), x)
        return ops.mul(b, ops.sin(after)), after, ops.sum(b, dims=(0,), keepdim=False)

    one = trace(recurrence, [matrix, vector, vector], "recurrence")
    two = trace(decay, [vector, vector, vector], "decay")
    count = trace(lambda n: (ops.add(n, 2), n), [TensorType((), int64)], "count")
    named = [
        ({"body": one, "consts": 1, "carries": 1, "length": 4}, "recurrence"),
        ({"body": one, "consts": 1, "carries": 1, "length": 4, "reverse": True}, "from the end"),
        ({"body": one, "consts": 1, "carries": 1, "length": 0}, "no step"),
    ]
    out = [
        Sample((floats((3, 3), 1, -0.5, 0.5), floats((3,), 2), floats((a["length"], 3), 3)), a, n) for a, n in named
    ]
    out.append(
        Sample(
            (floats((3,), 4), floats((3,), 5), floats((5, 3), 6)),
            {"body": two, "consts": 0, "carries": 2, "length": 5},
            "two carries that change places",
        )
    )
    out.append(Sample((_number(3),), {"body": count, "consts": 0, "carries": 1, "length": 3}, "no slices"))
    return out


def _number(value: int) -> Any:
    import numpy

    return numpy.asarray(value, numpy.int64)


scan = declare(
    "scan",
    control, parts="graph", codes="composite",
    attributes=ATTRIBUTES,
    defaults=DEFAULTS,
    infer=_scan_type,
    promotion="none",
    reference=_scan_reference,
    saves=lambda needs: (*range(len(needs)), "out"),
    grad=rule("scan", "grad"),
    jvp=rule("scan", "jvp"),
    vmap=rule("scan", "vmap"),
    lowering=ByFamily("scan"),
    samples=_scan_samples,
    doc="`body` run `length` times. Operands: `consts` that every step reads, `carries` the first step starts from, "
    "and xs of which step i reads slice i of dimension 0. The body gives the next carries, then one slice of each y; "
    "results are the last carries and the ys. `reverse` begins with the last slice. Of the ys the last `saved` are "
    "there for the gradient: `pullback` takes what `sources` name (inputs of the body by number, then its outputs) and "
    "cotangents of the other floating outputs, and gives gradients of the inputs that `needs` marks.",
)
