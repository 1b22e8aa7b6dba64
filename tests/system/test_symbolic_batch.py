"""A symbolic batch dimension through a whole train step: compiled once for its range, right at every size
(DESIGN S11)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import optim
from squall.base import trace
from squall.base.errors import ArgumentError, ShapeError
from squall.models.cnn import DigitsCNN

SIZES = (64, 7, 65, 1, 512, 64)


def batch(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(n)
    return sq.tensor(rng.standard_normal((n, 1, 8, 8)).astype("float32")), sq.tensor(rng.integers(0, 10, n))


def steps(compiled: bool) -> tuple[list, Any]:
    sq.manual_seed(0)
    model = DigitsCNN(width=4)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    if compiled:
        size = sq.Dim("batch", min=1, max=512)
        step = sq.compile(step, dynamic_shapes=({0: size}, {0: size}))
    seen = []
    for n in SIZES:
        seen.append(step(*batch(n)).item())
        seen.append(np.asarray(model.head.weight.detach().tolist()).tobytes())
    seen += [np.asarray(b.tolist()).tobytes() for b in model.buffers()]
    return seen, step


def test_the_train_step_of_a_network_with_a_symbolic_batch() -> None:
    expected, _ = steps(False)
    got, step = steps(True)
    assert got == expected
    assert step.captures == 2  # the first step finds no gradients and no state of the optimizer


def test_both_captures_of_the_step_share_one_plan() -> None:
    weight = sq.nn.Parameter(sq.tensor([1.0, 2.0, 3.0]))
    optimizer = optim.Adam([weight])
    x = sq.tensor([[1.0, 2.0, 3.0]])
    counters = dict(trace.counters)

    @sq.compile
    def step(x: Any) -> None:
        optimizer.zero_grad()
        (x * weight).sum().backward()
        optimizer.step()

    for _ in range(3):
        step(x)
    assert trace.counters["captures"] - counters.get("captures", 0) == 2
    assert trace.counters.get("plans compiled", 0) - counters.get("plans compiled", 0) <= 1


def test_sizes_outside_the_range_are_named() -> None:
    size = sq.Dim("batch", min=2, max=8)
    double = sq.compile(lambda x, y: x * 2 + y, dynamic_shapes=({0: size}, {0: size}))
    assert double(sq.ones(8, 2), sq.ones(8, 2)).shape == (8, 2)
    with pytest.raises(ShapeError, match=r"argument 0, dimension 0 \(batch\) has size 9.*2 to 8"):
        double(sq.ones(9, 2), sq.ones(9, 2))
    with pytest.raises(
        ShapeError, match="batch is 4 in argument 0, dimension 0, but 5 in argument 1, dimension 0"
    ):
        double(sq.ones(4, 2), sq.ones(5, 2))
    with pytest.raises(ShapeError, match="without the dimension 0"):
        double(sq.tensor(1.0), sq.ones(5, 2))
    assert double.captures == 1


def test_a_name_belongs_to_the_function_that_declares_it() -> None:
    """Types are shared in a process; the range of another function's dimension of that name once stayed in them."""
    weight = sq.ones(4, 3)
    for low, high, sizes in ((2, 8, (2, 8)), (1, 512, (3, 1, 65)), (1, 4, (1, 4))):
        batch = sq.Dim("rows of many", min=low, max=high)
        layer = sq.compile(lambda x: (x @ weight.T).relu(), dynamic_shapes=[{0: batch}])
        for size in sizes:
            assert layer(sq.ones(size, 3)).tolist() == [[3.0] * 4] * size
        with pytest.raises(ShapeError, match="outside its declared"):
            layer(sq.ones(high + 1, 3))


def test_a_name_has_one_range() -> None:
    shapes = ({0: sq.Dim("n", min=1)}, {1: sq.Dim("n", min=2)})
    with pytest.raises(ArgumentError, match="argument 1, dimension 1: 'n' is declared with the range"):
        sq.compile(lambda x, y: x, dynamic_shapes=shapes)


def test_a_size_asked_for_is_an_error_that_says_so() -> None:
    def loops(x: Any) -> Any:
        return sum(x[i] for i in range(x.shape[0]))

    with pytest.raises(RuntimeError, match="symbolic size"):
        sq.compile(loops, dynamic_shapes=({0: sq.Dim("n", min=1, max=9)},))(sq.ones(3, 2))
