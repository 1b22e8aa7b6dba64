"""Plans of loops: what a body computes, where its words point, and what is not copied."""

import numpy as np

from squall.base import dtypes
from squall.compiler.pipeline import compile_plan
from squall.ir.graph import placeholder, trace
from squall.ir.node import TensorType
from squall.ir.op import constant, ops
from squall.ir.plan import ChooseStep, ContractStep, LoopStep, Request

F32, I64 = dtypes.float32, dtypes.int64


def plan_of(roots, inputs):
    """The plan of a graph over placeholders."""
    every = (True,) * len(inputs)
    return compile_plan(Request(tuple(roots), tuple(inputs), (), (False,) * len(inputs), every))


def loop_of(plan):
    (step,) = [s for s in plan.steps if isinstance(s, LoopStep)]
    return step


def recurrence(length, reverse=False):
    h, w, xs = TensorType((3, 4), F32), TensorType((4, 4), F32), TensorType((length, 3, 4), F32)
    body = trace(
        lambda w, h, x: (lambda after: (after, after))(ops.tanh(ops.add(ops.matmul(h, w), x))), [w, h, h], "body"
    )
    inputs = [placeholder(i, t) for i, t in enumerate((w, h, xs))]
    made = ops.scan(*inputs, body=body, consts=1, carries=1, length=length, reverse=reverse)
    return inputs, made


def test_slices_are_read_and_written_where_they_lie():
    inputs, (_, ys) = recurrence(50)
    step = loop_of(plan_of([ys], inputs))
    moves = [(m.kind, m.move) for m in step.words]
    assert moves == [
        ("step", 0),
        ("chain", 3),
        ("step", 48),
        ("step", 48),
    ]  # weight, state (it is y), slice of x, of y
    assert step.count == 50 and not step.carried


def test_from_the_end_words_move_back():
    inputs, (_, ys) = recurrence(50, reverse=True)
    step = loop_of(plan_of([ys], inputs))
    assert [m.move for m in step.words[2:]] == [-48, -48]
    assert [m.word.offset for m in step.words[2:]] == [49 * 48, 49 * 48]


def test_the_steps_of_a_body_do_not_depend_on_the_length():
    counts = []
    for length in (2, 1000):
        inputs, made = recurrence(length)
        plan = plan_of(made, inputs)
        counts.append((len(plan.steps), len(loop_of(plan).plan.steps), len(loop_of(plan).plan.report)))
        assert any(isinstance(s, ContractStep) for s in loop_of(plan).plan.steps)
    assert counts[0] == counts[1] and counts[0][0] == 1


def test_the_last_step_writes_a_carry_where_its_result_is():
    h = TensorType((8,), F32)
    body = trace(lambda h, x: (ops.add(h, x),), [h, h], "body")
    inputs = [placeholder(0, h), placeholder(1, TensorType((6, 8), F32))]
    for length in (5, 6):
        inputs[1] = placeholder(1, TensorType((length, 8), F32))
        plan = plan_of(ops.scan(*inputs, body=body, consts=0, carries=1, length=length), inputs)
        step = loop_of(plan)
        turning = step.words[-1]
        last = (turning.word, turning.move)[(length - 1) % 2]
        assert turning.kind == "turns" and last == step.carried[0].final


def test_a_carry_that_is_only_updated_has_one_place():
    buffer, i = TensorType((100, 8), F32), TensorType((), I64)
    row = TensorType((1, 8), F32)
    body = trace(
        lambda b, i, x: (ops.update_slice(b, x, i, dims=(0,), steps=(1,)), ops.add(i, 1)), [buffer, i, row], "body"
    )
    inputs = [placeholder(0, buffer), placeholder(1, TensorType((100, 1, 8), F32))]
    made = ops.scan(inputs[0], constant(0, I64), inputs[1], body=body, consts=0, carries=2, length=100)
    step = loop_of(plan_of(made[:1], inputs))
    assert (step.words[0].kind, step.words[0].move) == ("step", 0) and step.carried[0].after == -1
    assert step.plan.outputs[0].donor == 0


def test_numbers_are_put_into_bodies():
    h = TensorType((8,), F32)
    body = trace(lambda k, h, x: (ops.mul(ops.add(h, x), k),), [TensorType((), F32), h, h], "body")
    inputs = [placeholder(0, h), placeholder(1, TensorType((6, 8), F32))]
    made = ops.scan(constant(0.5, F32), *inputs, body=body, consts=1, carries=1, length=6)
    assert len(loop_of(plan_of(made, inputs)).plan.inputs) == 2


def test_a_choice_is_two_plans_of_the_same_words():
    x = TensorType((8,), F32)
    true, false = trace(lambda x: ops.sin(x), [x], "sine"), trace(lambda x: ops.neg(x), [x], "negative")
    inputs = [placeholder(0, TensorType((), dtypes.bool_)), placeholder(1, x)]
    (step,) = plan_of(ops.cond(*inputs, true=true, false=false), inputs).steps
    assert isinstance(step, ChooseStep) and len(step.words) == 2
    assert [len(p.steps) for p in step.plans] == [1, 1]
    assert np.dtype("f4").itemsize * 8 == step.plans[0].slots[0].nbytes
