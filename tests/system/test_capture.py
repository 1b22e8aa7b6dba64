"""Awkward programs, compiled: right to the bit, or a named error; none stale (DESIGN S12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import squall as sq
from squall.base import config
from squall.base.errors import TraceError
from tests.system import awkward


def seen(value: Any) -> Any:
    """What can be compared of a value: for a Tensor its bits, type and whether it wants gradients."""
    if isinstance(value, sq.Tensor):
        array = value.detach().clone()
        return (
            "tensor",
            tuple(value.shape),
            str(value.dtype),
            value.requires_grad,
            np.asarray(array.tolist()).tobytes(),
        )
    if isinstance(value, np.ndarray):
        return "array", value.shape, value.tobytes()
    if isinstance(value, dict):
        return {k: seen(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [seen(v) for v in value]
    if hasattr(value, "__dataclass_fields__"):
        return type(value).__name__, seen(vars(value))
    return type(value).__name__, repr(value)


class Recorder:
    """`sq.compile` that remembers what it compiled."""

    def __init__(self) -> None:
        self.made: list = []

    def __call__(self, function: Callable) -> Any:
        self.made.append(sq.compile(function))
        return self.made[-1]


@pytest.mark.parametrize("name", awkward.PROGRAMS)
def test_compiled_is_uncompiled(name: str) -> None:
    run, captures = awkward.PROGRAMS[name]
    expected = [seen(v) for v in run(awkward.identity)]
    recorder = Recorder()
    got = [seen(v) for v in run(recorder)]
    for number, (a, b) in enumerate(zip(expected, got, strict=True)):
        assert a == b, f"value {number} differs"
    assert max(c.captures for c in recorder.made) <= captures, [c.captures for c in recorder.made]


@pytest.mark.parametrize("name", awkward.REFUSED)
def test_refused_by_name(name: str) -> None:
    run, words = awkward.REFUSED[name]
    with pytest.raises(TraceError, match=f"(?s){words}") as caught:
        run(sq.compile)
    assert "refusals.py:" in str(caught.value)
    assert (sq.ones(2) + 1).tolist() == [2.0, 2.0]  # recording goes on as before


def test_a_call_that_fails_changes_nothing() -> None:
    table = sq.nn.Embedding(10, 4)
    optimizer = sq.optim.Adam(table.parameters(), lr=0.1)

    @sq.compile
    def step(index: Any) -> Any:
        optimizer.zero_grad()
        loss = table(index).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(sq.tensor([1, 2, 3]))
    state = [seen(v) for v in (table.weight, *optimizer.state[table.weight].values())]
    with pytest.raises(IndexError, match="out of"):
        step(sq.tensor([1, 99, 3]))
    assert [seen(v) for v in (table.weight, *optimizer.state[table.weight].values())] == state
    assert table.weight.grad is None  # as `zero_grad` leaves it: what will be replaced gives its memory to what does
    for _ in range(2):
        step(sq.tensor([1, 2, 3]))
    assert step.captures == 3  # once more for missing gradients, now that the optimizer has its state


def test_memory_is_taken_over_only_when_nobody_else_can_see_it() -> None:
    weight = sq.nn.Parameter(sq.tensor([1.0, 2.0]))

    @sq.compile
    def halve() -> None:
        with sq.no_grad():
            weight.mul_(0.5)

    halve()
    address = weight.node.buffer.pointer
    halve()
    assert weight.node.buffer.pointer == address or config.get("backend") == "numpy"
    kept, view, array = weight.detach().clone(), weight.detach()[:1], weight.detach().numpy()
    halve()
    assert (kept.tolist(), view.tolist(), array.tolist()) == ([0.25, 0.5], [0.125], [0.125, 0.25])
    del view, array
    halve()
    assert (kept.tolist(), weight.tolist()) == ([0.25, 0.5], [0.0625, 0.125])


def test_explain_reads_like_a_report() -> None:
    scale = 2.0
    text = sq.explain(lambda x, factor: (x * scale * factor).tanh().sum(), sq.ones(3, 4), 2.0)
    for words in (
        "1 capture, 1 call",
        "arguments  0: f32[3, 4]; 1: exactly 2.0",
        "guards     grad mode on, scale",
        "1 output",
        "none passes through",
        "kernels",
    ):
        assert words in text, text
    assert "passes through" in sq.explain(sq.nn.Linear(4, 2), sq.ones(3, 4))


def test_explain_tells_tiles_layouts_and_memory() -> None:
    def f(x, y):
        product = (x @ y).softmax(-1)
        return product.T @ x, product.sum(0)

    text = sq.explain(f)(sq.rand(48, 80), sq.rand(80, 64))
    assert "tiles      contract" in text
    assert "48x64x80 f32: " in text or "64x48x80 f32: " in text
    assert "memory     arena of" in text
    running = sq.zeros(4)

    def update(x):
        running.mul_(0.5).add_(x)

    assert "over the memory of input" in sq.explain(update, sq.ones(4))


def test_explain_shows_code_when_asked() -> None:
    def f(x):
        return (x * 2).sum(), (x @ x).relu()

    x = sq.rand(8, 8)
    plain = sq.explain(f, x)
    assert "define" not in plain
    assert "define void" in sq.explain(f, x, llvm=True)
    assert "--- " in sq.explain(f, x, assembly=True) and ".text" in sq.explain(f, assembly=True)(x)
    assert "define void" not in sq.explain(f, x, llvm="no such kernel")


def test_explain_says_where_values_are_asked_for() -> None:
    def f(x):
        if x.sum() > 0:
            return x * 2
        return x.sort()[0]

    text = sq.explain(f)(sq.ones(3))
    assert "not one program" in text
    assert "evaluated" in text and "test_capture.py" in text
    assert "evaluates 2 times" in text


def test_explain_of_functions_without_arguments() -> None:
    x = sq.ones(3)
    assert "1 capture" in sq.explain(lambda: x * 2)


def test_outside_tensors_seen_through_views_have_not_escaped():
    tokens = sq.arange(16).reshape(2, 8)
    weight = sq.ones(16, 4)
    sq.flush()

    def step():
        return weight[tokens.view(-1)].sum() + tokens.reshape(16).sum()

    assert sq.compile(step)().item() == step().item()
