"""What making a plan costs grows with the program, not with its square: calls are counted, on any machine the same."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import pytest

import squall as sq
from squall import nn, optim


def separate_results(count: int) -> None:
    kept = [sq.full((2,), float(i)) * 2 for i in range(count)]
    sq.flush()
    del kept


def one_after_the_other(count: int) -> None:
    x = sq.ones(3)
    for _ in range(count):
        x = (x * 1.0).cumsum(0)
    x.tolist()


def many_into_one(count: int) -> None:
    sq.cat([sq.full((2,), float(i)) for i in range(count)]).sum().item()


def many_written_into_one(count: int) -> None:
    x = sq.zeros(count)
    for i in range(count):
        x[i] = float(i)
    x.sum().item()


def one_read_by_many(count: int) -> None:
    x = sq.arange(count).float() + 1
    parts = [x[i:i + 1] * 2 for i in range(count)]
    sq.flush()
    del parts


def gradients_of_many(count: int) -> None:
    leaves = [sq.full((2,), float(i), requires_grad=True) for i in range(count)]
    total = leaves[0]
    for leaf in leaves[1:]:
        total = total + leaf * leaf
    total.sum().backward()
    sq.flush()


def gradients_of_a_long_history(count: int) -> None:
    w = sq.ones(3, requires_grad=True)
    x = w
    for _ in range(count):
        x = (x * 0.5).cumsum(0)
    x.sum().backward()
    sq.flush()


def layers_of_a_network(count: int) -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(count)))
    optimizer = optim.AdamW(model.parameters())

    @sq.compile
    def step(x: sq.Tensor) -> sq.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(2):
        step(sq.ones(2, 4)).item()


PROGRAMS = {
    separate_results: 150, one_after_the_other: 150, many_into_one: 150, many_written_into_one: 150,
    one_read_by_many: 100, gradients_of_many: 80, gradients_of_a_long_history: 80, layers_of_a_network: 12,
}  # fmt: skip


def calls(program: Callable[[int], None], count: int) -> int:
    """How many functions a program calls, Python's and C's."""
    seen = [0]

    def note(frame, event, argument):
        seen[0] += event in ("call", "c_call")

    sq.flush()
    gc.collect()
    gc.disable()
    sys.setprofile(note)
    try:
        program(count)
    finally:
        sys.setprofile(None)
        gc.enable()
    return seen[0]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_four_times_the_program_costs_four_times_as_much(program: Callable[[int], None]) -> None:
    count = PROGRAMS[program]
    calls(program, 3)  # what is met for the first time
    once, often = calls(program, count), calls(program, 4 * count)
    assert often < 4.3 * once, f"{often / once:.2f} times as much"
