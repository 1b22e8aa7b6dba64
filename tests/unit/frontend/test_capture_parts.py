"""The parts of `sq.compile`: numbers that vary, what a function reaches, guards, declared sizes."""

from __future__ import annotations

import argparse
import collections
import math
import types
from collections.abc import Callable
from typing import Any

import pytest

import squall as sq
from squall import nn
from squall.base.errors import TraceError
from squall.frontend.arguments import Arguments, Assumed, StandIns, fits, sharing
from squall.frontend.dynamic import Dynamic, automatic
from squall.frontend.number import Number, is_number
from squall.frontend.surroundings import Surroundings


def reader(position: int) -> Callable:
    return lambda leaves: leaves[position]


def test_a_number_counts_as_the_class_it_stands_for() -> None:
    number = Number(2.5, reader(0))
    assert isinstance(number, float)
    assert not isinstance(number, int)
    assert is_number(number)
    assert not is_number(2.5)


def test_arithmetic_of_numbers_is_repeated_for_each_call() -> None:
    a, b = Number(2.0, reader(0)), Number(3, reader(1))
    made = (1 - a) / (b * 2) + abs(-a) // 1 - b % 2
    assert made.value == (1 - 2.0) / (3 * 2) + 2.0 // 1 - 3 % 2
    assert made.read([5.0, 7]) == (1 - 5.0) / (7 * 2) + 5.0 // 1 - 7 % 2


@pytest.mark.parametrize(
    "use",
    [
        bool,
        float,
        int,
        str,
        hash,
        range,
        math.sqrt,
        round,
        lambda n: n > 1,
        lambda n: n == 1,
        lambda n: f"{n}",
        lambda n: [1, 2, 3][n],
        lambda n: n**2,
        lambda n: 2**n,
        lambda n: n.real,
    ],
)
def test_the_value_of_a_number_is_refused(use: Callable) -> None:
    with pytest.raises(TraceError, match="varies between calls"):
        use(Number(2, reader(0)))


def test_tensors_take_numbers_as_run_time_scalars() -> None:
    number = Number(2.0, reader(0))
    x = sq.ones(3, dtype=sq.bfloat16)
    for out in (
        x * number,
        number - x,
        (x + 1).mul_(number),
        sq.where(x > 0, x, number),
        x.clamp(number, 3.0),
    ):
        assert out.dtype == sq.bfloat16
    assert (sq.tensor([1, 2]) * number).dtype == sq.float32


class Config:
    """An object of users."""

    def __init__(self) -> None:
        self.scale, self.unused, self.table = 2.0, 1.0, {"a": 1}


CONFIG = Config()


def helper(x: Any) -> Any:
    return x * CONFIG.scale + CONFIG.table["a"]


def reached(function: Callable, *arguments: Any) -> Surroundings:
    return Surroundings(function, list(arguments))


def test_what_a_function_reaches_is_watched_through_helpers() -> None:
    around = reached(lambda x: helper(x))
    names = {name for *_, name in around.watch.readers}
    assert {"helper", "CONFIG", "CONFIG.scale", "CONFIG.table"} <= names
    assert not any("unused" in name for name in names)
    assert around.watch.holds()
    CONFIG.scale = 3.0
    assert around.watch.changed() == "'CONFIG.scale' from 2.0 to 3.0"
    CONFIG.scale = 2.0
    assert around.watch.holds()
    CONFIG.table["a"] = 5
    assert not around.watch.holds()
    CONFIG.table["a"] = 1


def test_modules_optimizers_and_tensors_are_found() -> None:
    model, weight = nn.Linear(2, 2), sq.ones(2)
    optimizer = sq.optim.SGD(model.parameters(), lr=0.1)
    queue = collections.deque([weight])

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        return model(x) * queue[0]

    around = reached(step)
    assert (around.modules, around.optimizers) == ([model], [optimizer])
    assert any(t is weight for t in around.tensors)
    assert len(around.reached()) == 3
    queue.append(weight)
    assert not around.watch.holds()


def test_bits_of_floats_and_classes_of_numbers_count() -> None:
    value: Any = 0.0
    around = reached(lambda x: x * value)
    for value in (-0.0, 0, False, float("nan")):  # noqa: B007
        assert not around.watch.holds()
    value = 0.0
    assert around.watch.holds()


def test_structure_is_compared_only_when_the_epoch_moved() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    watch = reached(lambda x: model(x)).watch
    assert watch.holds()
    model.eval()
    assert not watch.holds()
    model.train()
    assert watch.holds()
    model[0].bias.requires_grad_(False)
    nn.Linear(1, 1)  # something else moves the epoch
    assert not watch.holds()


def test_arguments_fit_by_type_layout_history_and_value() -> None:
    x = sq.ones(2, 3)
    leaves = [x, 2.0, "mode", True]
    arguments = Arguments(leaves, Assumed(), StandIns(leaves, Assumed()))
    assert arguments.fit([sq.zeros(2, 3), 2.0, "mode", True]) == {}
    for other in (
        [sq.zeros(2, 4), 2.0, "mode", True],
        [sq.zeros(2, 3, dtype=sq.float64), 2.0, "mode", True],
        [x, 2, "mode", True],
        [x, 2.5, "mode", True],
        [x, 2.0, "other", True],
        [x, 2.0, "mode", 1],
        [nn.Parameter(x), 2.0, "mode", True],
        [sq.ones(2, 3).requires_grad_(), 2.0, "mode", True],
        [1.0, 2.0, "mode", True],
    ):
        assert arguments.fit(other) is False


def test_numbers_that_vary_fit_by_class() -> None:
    leaves = [sq.ones(2), 0.1]
    assumed = Assumed(varying=frozenset((1,)))
    arguments = Arguments(leaves, assumed, StandIns(leaves, assumed))
    assert arguments.fit([sq.ones(2), 0.7]) == {}
    assert arguments.fit([sq.ones(2), 1]) is False


def test_values_without_equality_fit_by_identity() -> None:
    config = Config()
    assert fits(config, config)
    assert not fits(Config(), config)
    assert fits({1, 2}, {1, 2})
    assert fits(slice(0, 3), slice(0, 3))
    assert not fits(1.0, 1)


def test_sharing_of_arguments() -> None:
    a, b = sq.ones(4), sq.ones(4)
    assert sharing([a, b, 1], False) is None
    assert sharing([a, a], False) == ((0, 0), (0, 0))
    assert sharing([a, a.detach()[1:]], False) is None
    assert sharing([a, a.detach()[1:]], True) == ((0, 0), (1, 0))


def test_symbols_are_solved_from_arguments() -> None:
    n = sq.Dim("n", min=2, max=8)
    leaves = [sq.ones(4, 3), sq.ones(4)]
    dims = Dynamic(({0: n}, {0: n})).dims_of(leaves)
    assumed = Assumed(dims=dims)
    arguments = Arguments(leaves, assumed, StandIns(leaves, assumed))
    assert arguments.fit([sq.ones(7, 3), sq.ones(7)]) == {"n": 7}
    assert arguments.fit([sq.ones(7, 3), sq.ones(6)]) is False
    assert arguments.fit([sq.ones(9, 3), sq.ones(9)]) is False


def test_sizes_seen_to_change_become_symbols() -> None:
    before = [sq.ones(4, 3), sq.ones(4)]
    earlier = [Arguments(before, Assumed(), StandIns(before, Assumed()))]
    (first, a), (second, b) = automatic([sq.ones(7, 3), sq.ones(7)], earlier, 2, set())
    assert (first, second) == ((0, 0), (1, 0))
    assert a is b
    assert automatic([sq.ones(1, 3), sq.ones(1)], earlier, 2, set()) == ()
    assert automatic([sq.ones(7, 3), sq.ones(7)], earlier, 2, {(2, 0, 0)}) == ()


def test_declared_sizes_must_be_dims() -> None:
    with pytest.raises(TypeError, match=r"argument 0, dimension 1 must be a sq\.Dim, got 5"):
        sq.compile(lambda x: x, dynamic_shapes=({1: 5},))


@pytest.mark.parametrize("kind", [types.SimpleNamespace, argparse.Namespace])
def test_what_lies_in_a_namespace_is_found(kind: type) -> None:
    """An optimizer's step count would go stale if it were not."""

    def run(compiled: bool) -> list[float]:
        sq.manual_seed(0)
        model = nn.Linear(3, 2)
        made = kind(model=model, optimizer=sq.optim.AdamW(model.parameters(), 0.1))

        def step(x: Any) -> Any:
            loss = made.model(x).square().mean()
            loss.backward()
            made.optimizer.step()
            made.optimizer.zero_grad()
            return loss

        step = sq.compile(step) if compiled else step
        return [step(sq.ones(4, 3)).item() for _ in range(5)]

    assert run(True) == run(False)
