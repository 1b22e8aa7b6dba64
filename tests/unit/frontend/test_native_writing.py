"""Writes in place by native code against those of Python: storages, versions, histories, gradients and errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import squall as sq
from squall.frontend.state import local
from tests.unit.frontend.counting import no_leak
from tests.unit.frontend.native_code import history, in_python, load


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    load()


def _iadd(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
    x += y
    return x


def _idiv(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
    x /= 3
    x -= y
    x *= 0.5
    return x


WRITES: list[Callable] = [
    lambda x, y: x.add_(y), lambda x, y: x.add_(2), lambda x, y: x.add_(y, alpha=0.5),
    lambda x, y: x.add_(y, alpha=1), lambda x, y: x.add_(y, alpha=1.0), lambda x, y: x.add_(other=y),
    lambda x, y: x.sub_(y), lambda x, y: x.sub_(0.25), lambda x, y: x.sub_(y, alpha=3),
    lambda x, y: x.mul_(y), lambda x, y: x.mul_(-0.0), lambda x, y: x.mul_(x), lambda x, y: x.div_(y),
    lambda x, y: x.div_(4), lambda x, y: x.div_(y, rounding_mode="floor"), _iadd, _idiv,
    lambda x, y: x.add_(y[0]), lambda x, y: x.add_(y.T), lambda x, y: x.add_(True),
    lambda x, y: x.mul_(sq.tensor(2.0)), lambda x, y: x.add_(np.ones(4, "float32")), lambda x, y: x.zero_(),
    lambda x, y: x.fill_(3), lambda x, y: x.fill_(2.5), lambda x, y: x.fill_(sq.tensor(1.5)),
    lambda x, y: x.fill_(True), lambda x, y: x.copy_(y), lambda x, y: x.copy_(y[0]),
    lambda x, y: x.copy_(y.T), lambda x, y: x.copy_(x), lambda x, y: x.copy_(y.to(sq.float64)),
    lambda x, y: x.copy_(2), lambda x, y: x.copy_(y, True), lambda x, y: x.relu_(), lambda x, y: x.exp_(),
    lambda x, y: x.clamp_(0.0, 1.0), lambda x, y: x.sigmoid_().mul_(x), lambda x, y: x[1].add_(y[0]),
    lambda x, y: x.T.mul_(y), lambda x, y: x.detach().add_(y), lambda x, y: x.data.add_(y),
    lambda x, y: sq.nn.functional.relu(x, inplace=True), lambda x, y: x.add_(1.0).mul_(y).sub_(x),
]  # fmt: skip


SEEN: list = []  # arrays that keep memory shared with NumPy


def operands(kind: str) -> tuple:
    """x to be written, and y: neither, one or both with history; of numbers whole or not."""
    draw = np.random.RandomState(0)
    x, y = (sq.tensor(draw.uniform(0.5, 1.5, (4, 4)).astype("float32")) for _ in range(2))
    if kind == "whole":
        return x.to(sq.int64), y.to(sq.int64)
    if kind in ("both", "first"):
        x = x.requires_grad_() * 1.0
    if kind in ("both", "second"):
        y = y.requires_grad_() * 1.0
    if kind == "saved":  # the written value is what an op saved
        x = x.requires_grad_().exp()
    if kind == "leaf":
        x.requires_grad_()
    if kind == "aliased":
        x = x + 1.0
        x[0]
    if kind == "numpy":
        x = x + 1.0
        SEEN.append(x.numpy())
    return x, y


def facts(write: Callable, kind: str, grad: bool) -> tuple:
    """All there is to know after a write but identities, or its error."""
    x, y = operands(kind)
    del SEEN[:-2]
    sq.flush()
    z = x * 2.0
    with sq.set_grad_enabled(grad):
        try:
            out = write(x, y)
        except (RuntimeError, TypeError) as error:
            return type(error).__name__, str(error)
    cell = out._cell
    listed = [type(held()).__name__ for held in local.state.pending if held() is not None]
    node = out.node
    told = (out is x, node.op.name, node.attrs, node.type, [n.op.name for n in node.inputs], x.version, out.version,
            None if cell is None else cell._node.type, history(x.edge), history(y.edge), history(out.edge), listed)
    if kind not in ("plain", "both", "saved", "aliased"):  # computing costs a plan each
        return told
    try:
        if grad and (x.edge is not None or y.edge is not None):
            (x.sum() + z.sum()).backward()
        failed = ""
    except RuntimeError as error:
        failed = str(error)
    return told, failed, x.detach().numpy().tobytes(), y.detach().numpy().tobytes(), z.detach().numpy().tobytes()


@pytest.mark.parametrize("kind", ["plain", "first", "second", "both", "saved", "leaf", "aliased", "numpy", "whole"])
@pytest.mark.parametrize("number", range(len(WRITES)))
def test_a_write_is_that_of_python(number: int, kind: str) -> None:
    for grad in (True, False):
        with in_python():
            expected = [facts(WRITES[number], kind, grad) for _ in range(2)]
        assert [facts(WRITES[number], kind, grad) for _ in range(2)] == expected


def test_a_saved_value_written_over_is_found_out() -> None:
    x = sq.ones(3, requires_grad=True)
    y = x.exp()
    y.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = (x * 2.0).relu_()  # what relu saves is its result, so that writing that is right
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    z = x * 1.0
    w = z * z
    z.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        w.sum().backward()


@pytest.mark.parametrize("native", [True, False])
def test_a_copy_made_without_history_may_be_written(native: bool) -> None:
    def run() -> list:
        x = sq.ones(3, requires_grad=True)
        y, copy = x.exp(), sq.zeros(3)
        with sq.no_grad():
            copy.copy_(y)
            copy.add_(1.0)
        y.sum().backward()
        return [x.grad.tolist(), copy.tolist()]

    if native:
        made = run()
    else:
        with in_python():
            made = run()
    assert made[0] == pytest.approx([float(np.exp(1))] * 3) and made[1] == pytest.approx([float(np.exp(1)) + 1] * 3)


def test_a_wrong_shape_is_refused_and_changes_nothing() -> None:
    x = sq.ones(3)
    before = x.version
    for wrong in (lambda: x.add_(sq.ones(2, 3)), lambda: x.copy_(sq.ones(4)), lambda: x.add_("a"), lambda: x.mul_()):
        with pytest.raises((RuntimeError, TypeError)):
            wrong()
    assert x.version == before and x.tolist() == [1.0, 1.0, 1.0]


def test_writing_leaks_nothing() -> None:
    x, y = sq.ones(4, 4), sq.ones(4, 4)
    w = sq.ones(4, 4, requires_grad=True)

    def step() -> None:
        for _ in range(10):
            x.add_(y)
            x.mul_(0.5)
            x.add_(y, alpha=0.5)
            x.copy_(y)
            x.zero_()
            z = w * 1.0
            z.add_(y).mul_(w).relu_().zero_()
        sq.flush()

    for _ in range(3):
        step()
    held = [None, True, False, (), 0, 1, x, y, w, y._node, x._cell, w._edge, x.node.type, sq.float32]
    assert no_leak(step, held, 50, 60)
