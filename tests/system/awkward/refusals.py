"""Programs that cannot be captured: each a TraceError with its words."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

import squall as sq
from squall import nn, optim
from tests.system.awkward.table import data, network, refused

COUNTER = 0


@refused(r"awkward.refusals.py:\d+.*StepLR.step")
def scheduler_stepped_inside(compile: Callable) -> Any:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.StepLR(optimizer, 2)

    def step(x: Any) -> Any:
        model(x).sum().backward()
        optimizer.step()
        schedule.step()
        return x

    return compile(step)(data(3, 4))


@refused(r"awkward.refusals.py:\d+.*item.*sq.where")
def a_value_is_asked_for(compile: Callable) -> Any:
    return compile(lambda x: x * x.sum().item())(data(3))


@refused(r"awkward.refusals.py:\d+.*sq.where")
def a_python_if_on_a_value(compile: Callable) -> Any:
    def apply(x: Any) -> Any:
        return x * 2 if x.sum() > 0 else x

    return compile(apply)(data(3))


@refused(r"awkward.refusals.py:\d+.*numpy")
def numpy_is_asked_for(compile: Callable) -> Any:
    return compile(lambda x: x + np.asarray(x).sum())(data(3))


@refused("changed .*'seen'|escaped")
def a_tensor_escapes_to_a_list(compile: Callable) -> Any:
    seen: list = []

    def apply(x: Any) -> Any:
        y = x * 2
        seen.append(y)
        return y

    return compile(apply)(data(3))


@refused("escaped|changed")
def a_tensor_escapes_to_an_attribute(compile: Callable) -> Any:
    class Holder:
        last: Any = None

        def apply(self, x: Any) -> Any:
            self.last = x * 2
            return x + 1

    return compile(Holder().apply)(data(3))


@refused("escaped")
def a_tensor_escapes_to_a_module(compile: Callable) -> Any:
    class Remembers(nn.Module):
        def forward(self, x: Any) -> Any:
            self.last = x * 2
            return x + 1

    return compile(Remembers())(data(3))


@refused("escaped")
def an_argument_escapes(compile: Callable) -> Any:
    kept: dict = {}

    def apply(x: Any) -> Any:
        kept["x"] = x
        return x + 1

    return compile(apply)(data(3))


@refused("changed 'count' from 0 to 1")
def a_closure_counter(compile: Callable) -> Any:
    count = 0

    def apply(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * count

    return compile(apply)(data(3))


@refused("changed 'COUNTER'")
def a_global_counter(compile: Callable) -> Any:
    def apply(x: Any) -> Any:
        global COUNTER
        COUNTER += 1
        return x * COUNTER

    return compile(apply)(data(3))


@refused("changed 'self.count'")
def an_attribute_counter(compile: Callable) -> Any:
    class Counting:
        def __init__(self) -> None:
            self.count = 0

        def apply(self, x: Any) -> Any:
            self.count += 1
            return x * self.count

    return compile(Counting().apply)(data(3))


@refused("changed")
def a_module_counter(compile: Callable) -> Any:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def forward(self, x: Any) -> Any:
            self.count += 1
            return x * self.count

    return compile(Counting())(data(3))


@refused("changed 'a default of")
def a_mutable_default(compile: Callable) -> Any:
    def apply(x: Any, calls: list = [0]) -> Any:  # noqa: B006
        calls[0] += 1
        return x * calls[0]

    return compile(apply)(data(3))


@refused("list or dict it is given")
def a_list_argument_grows(compile: Callable) -> Any:
    def apply(x: Any, out: list) -> None:
        out.append(x * 2)

    return compile(apply)(data(3), [])


@refused("option")
def an_option_is_set_inside(compile: Callable) -> Any:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x: Any) -> Any:
        optimizer.param_groups[0]["lr"] = 0.5
        model(x).sum().backward()
        optimizer.step()

    return compile(step)(data(3, 4))


@refused("iterator")
def an_iterator_moves_on(compile: Callable) -> Any:
    numbers = iter(range(10))
    return compile(lambda x: x + next(numbers))(data(3))


@refused("random numbers")
def python_random_numbers(compile: Callable) -> Any:
    return compile(lambda x: x * random.random())(data(3))


@refused("captured 64 times")
def something_changes_with_every_call(compile: Callable) -> Any:
    apply = compile(lambda x, text: x + len(text))
    for i in range(70):
        apply(data(1), "a" * i)


@refused("history")
def backward_reaches_history_outside(compile: Callable) -> Any:
    weight = nn.Parameter(data(3))
    hidden = weight * 2

    def apply(x: Any) -> Any:
        (hidden * x).sum().backward()
        return x + 1

    return compile(apply)(data(3))


@refused("history is outside")
def backward_reaches_history_of_an_argument(compile: Callable) -> Any:
    weight = nn.Parameter(data(3))

    def apply(x: Any) -> Any:
        (x * x).sum().backward()
        return x + 1

    return compile(apply)(weight * 2)


@refused("requires_grad_")
def requires_grad_is_flipped_inside(compile: Callable) -> Any:
    weight = data(3)

    def apply(x: Any) -> Any:
        weight.requires_grad_()
        return x * weight

    return compile(apply)(data(3))


@refused("requires_grad_")
def requires_grad_of_an_argument_is_set_inside(compile: Callable) -> Any:
    def apply(x: Any) -> Any:
        x.requires_grad_()
        return x * 2

    return compile(apply)(data(3))


@refused("detach_")
def history_is_forgotten_inside(compile: Callable) -> Any:
    weight = nn.Parameter(data(3))

    def apply(x: Any) -> Any:
        weight.detach_()
        return x * weight

    return compile(apply)(data(3))


@refused("switches a mode")
def a_mode_is_switched_for_good(compile: Callable) -> Any:
    def apply(x: Any) -> Any:
        sq.set_grad_enabled(False)
        return x * 2

    return compile(apply)(data(3))
