"""Calls of compiled functions by native code: the bits, versions, storages and errors of Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import squall as sq
from squall.frontend.binding import Program
from tests.unit.frontend.native_code import in_python, load


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    load()


def trained(monkeypatch: pytest.MonkeyPatch) -> tuple:
    """Losses, parameters, gradients and versions of six compiled steps; and how many calls Python made."""
    count = [0]

    def counted(*args: Any) -> Any:
        count[0] += 1
        return attempt(*args)

    attempt = Program.attempt
    with monkeypatch.context() as patch:
        patch.setattr(Program, "attempt", counted)
        sq.manual_seed(0)
        model = sq.nn.Sequential(sq.nn.Linear(6, 8), sq.nn.ReLU(), sq.nn.Linear(8, 3))
        optimizer = sq.optim.AdamW(model.parameters(), lr=0.01)

        @sq.compile
        def step(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
            optimizer.zero_grad()
            loss = sq.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        draw = np.random.RandomState(1)
        losses = []
        for i in range(6):
            optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
            losses.append(step(sq.tensor(draw.rand(5, 6).astype("f4")), sq.tensor(draw.randint(0, 3, 5))).item())
        assert step.calls == 6
        parts = [p.detach().numpy().copy().tobytes() for p in model.parameters()]
        grads = [p.grad.numpy().tobytes() for p in model.parameters()]
        return (losses, parts, grads, [p.version for p in model.parameters()]), count[0]


def test_training_is_that_of_python(monkeypatch) -> None:
    with in_python():
        expected, python = trained(monkeypatch)
    found, some = trained(monkeypatch)
    assert found == expected
    assert python >= 6 and some <= python - 3


def test_memory_others_hold_is_not_overwritten() -> None:
    x = sq.zeros(4) + 1.0
    sq.flush()

    @sq.compile
    def grow() -> None:
        x.add_(1.0)

    for _ in range(3):
        grow()
    kept = x.clone()
    held = x._cell._node
    array = x.numpy()
    for _ in range(3):
        grow()
    assert kept.tolist() == [4.0] * 4 and held.buffer is not x._cell._node.buffer
    assert x.tolist() == [7.0] * 4 and array.tolist() == [7.0] * 4  # NumPy shares the storage


def test_an_index_outside_says_where() -> None:
    @sq.compile
    def pick(x: sq.Tensor, index: sq.Tensor) -> sq.Tensor:
        return x[index] * 2.0

    x = sq.ones(4)
    for _ in range(3):
        assert pick(x, sq.tensor([1, 3])).tolist() == [2.0, 2.0]
    for _ in range(2):
        with pytest.raises(IndexError, match=r"test_native_captured\.py"):
            pick(x, sq.tensor([1, 4]))
    assert pick(x, sq.tensor([0, 0])).tolist() == [2.0, 2.0]


def test_writes_of_numbers_in_place() -> None:
    x = sq.ones(2, 2)
    row = x[0]
    for value in (3, 2.5, 0):
        x.fill_(value)
        assert x.tolist() == [[float(value)] * 2] * 2 and row.tolist() == [float(value)] * 2
    assert x.version == 3
    leaf = sq.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        leaf.zero_()
    y = leaf * 2.0
    z = y.view(2)
    y.zero_()
    assert z.tolist() == [0.0, 0.0]
    (y + leaf).sum().backward()
    assert leaf.grad.tolist() == [1.0, 1.0]
