"""while_loop: a graph run from state to state as long as a condition holds."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, float64, int64, numpy_dtype
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import control
from squall.ir.graph import Graph, inline, placeholder, trace
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, ByFamily, Decompose, Sample, declare, ops
from squall.ops.bodies import check_arguments, rule, run
from squall.ops.samples import floats


def _while_type(types: tuple, attrs: tuple) -> tuple:
    condition, body, consts, _ = attrs
    check_arguments("while_loop", condition, types)
    check_arguments("while_loop", body, types)
    (test,) = condition.output_types
    if test.dtype is not bool_ or tuple(test.shape) != ():
        raise DtypeError(f"while_loop: the condition must give one bool, got {test}")
    after = body.output_types
    for i, (a, b) in enumerate(zip(types[consts:], after, strict=True)):
        if a != b:
            error = ShapeError if a.dtype is b.dtype else DtypeError
            raise error(f"while_loop: carry {i} is {a} and becomes {b}")
    return after


def _while_reference(*operands: Any, condition: Graph, body: Graph, consts: int, limit: int | None) -> tuple:
    import numpy

    fixed, carry = operands[:consts], operands[consts:]
    carry = [numpy.asarray(c).astype(numpy_dtype(t.dtype)) for c, t in zip(carry, body.output_types, strict=True)]
    done = 0
    while (limit is None or done < limit) and bool(run(condition, (*fixed, *carry))[0]):
        carry, done = run(body, (*fixed, *carry)), done + 1
    return tuple(carry)


def _while_samples() -> list[Sample]:
    import numpy

    types = [TensorType((3,), float64), TensorType((), int64), TensorType((3,), float64)]
    test = trace(lambda a, i, x: ops.lt(i, 4), types, "below")
    step = trace(lambda a, i, x: (ops.add(i, 1), ops.add(ops.mul(a, ops.sin(x)), x)), types, "step")
    start = (floats((3,), 1), numpy.asarray(0), floats((3,), 2))
    named = {"condition": test, "body": step, "consts": 1}
    return [
        Sample(start, {**named, "limit": 9}, "four steps"),
        Sample(start, {**named, "limit": 2}, "stopped"),
        Sample((start[0], numpy.asarray(7), start[2]), {**named, "limit": 5}, "no step"),
    ]


def _expand(*operands: Any, condition: Graph, body: Graph, consts: int, limit: int | None) -> tuple:
    """The loop with the condition's value as a carry: it is tested before each step and worked out at the end of
    one."""
    types = body.input_types
    inputs = [
        placeholder(i, t) for i, t in enumerate((*types[:consts], condition.output_types[0], *types[consts:]))
    ]
    after = inline(body, (*inputs[:consts], *inputs[consts + 1 :]))
    going = inline(condition, (*inputs[:consts], *after))[0]
    step = Graph(inputs, (going, *after), body.name)
    start = inline(condition, operands)[0]
    made = ops.repeat_while(
        *operands[:consts], start, *operands[consts:], body=step, consts=consts, carries=len(after) + 1, limit=limit
    )
    return made[1:]


def _repeat_type(types: tuple, attrs: tuple) -> tuple:
    check_arguments("repeat_while", attrs[0], types)
    return attrs[0].output_types


def _repeat_reference(*operands: Any, body: Graph, consts: int, carries: int, limit: int | None, **_: Any) -> tuple:
    import numpy

    fixed, carry = operands[:consts], operands[consts:]
    carry = [numpy.asarray(c).astype(numpy_dtype(t.dtype)) for c, t in zip(carry, body.output_types, strict=True)]
    done = 0
    while (limit is None or done < limit) and bool(carry[0]):
        carry, done = run(body, (*fixed, *carry)), done + 1
    return tuple(carry)


repeat_while = declare(
    "repeat_while",
    control, parts="graph", codes="composite",
    attributes=("body", "consts", "carries", "limit", "reverse"),
    defaults={"limit": None, "reverse": False},
    infer=_repeat_type,
    promotion="none",
    reference=_repeat_reference,
    grad=NON_DIFFERENTIABLE,
    lowering=ByFamily("repeat_while"),
    samples=lambda: [],
    doc="What `while_loop` is when it is compiled: `body` run while its first carry, a bool, holds.",
)


while_loop = declare(
    "while_loop",
    control, parts="composite", codes="composite",
    attributes=("condition", "body", "consts", "limit"),
    defaults={"limit": None},
    infer=_while_type,
    promotion="none",
    reference=_while_reference,
    saves=lambda needs: tuple(range(len(needs))),
    grad=rule("while_loop", "grad"),
    jvp=rule("while_loop", "jvp"),
    vmap=rule("while_loop", "vmap"),
    lowering=Decompose(_expand),
    samples=_while_samples,
    doc="`body` run from carry to carry while `condition` gives True, at most `limit` times if that is not None. "
    "Operands: `consts` that both graphs read, then the first carry. Gradients need a limit.",
)
