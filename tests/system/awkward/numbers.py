"""Awkward numbers: from closures, globals, attributes and arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import squall as sq
from squall import nn, optim
from tests.system.awkward.table import data, network, program, weights

SCALE = 2.0


@program(captures=4)
def a_closure_float_changes(compile: Callable) -> list:
    factor = 1.0

    @compile
    def scaled(x: Any) -> Any:
        return x * factor

    seen = []
    for value in (1.0, 2.0, 1.0, 3.0, -0.0):
        factor = value
        seen.append(scaled(data(3)))
    return seen


@program(captures=2)
def a_global_changes(compile: Callable) -> list:
    global SCALE
    scaled = compile(lambda x: x * SCALE)
    seen = []
    for value in (2.0, 3.0, 2.0):
        SCALE = value
        seen.append(scaled(data(3)))
    SCALE = 2.0
    return seen


@program(captures=2)
def a_counter_named_like_a_method(compile: Callable) -> list:
    class Trainer:
        def __init__(self) -> None:
            self.step = 0
            self.model = network()
            self.optimizer = optim.SGD(self.model.parameters(), lr=0.1)
            self.apply = compile(self.train)

        def train(self, x: Any) -> Any:
            self.optimizer.zero_grad()
            loss = self.model(x).square().mean()
            loss.backward()
            self.optimizer.step()
            return loss

    trainer, seen = Trainer(), []
    for trainer.step in range(5):
        seen.append(trainer.apply(data(3, 4, seed=trainer.step)).item())
    return [*seen, *weights(trainer.model)]


@program(captures=3)
def an_attribute_counts(compile: Callable) -> list:
    class Counter:
        def __init__(self) -> None:
            self.step = 0
            self.apply = compile(self.forward)

        def forward(self, x: Any) -> Any:
            return x / (self.step + 1)

    counter = Counter()
    seen = []
    for counter.step in (0, 1, 2, 1, 0):
        seen.append(counter.apply(data(3)))
    return seen


class Scaled(nn.Module):
    """A module with a plain attribute and a global in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = 1.5
        self.table = {"shift": 1.0}

    def forward(self, x: Any) -> Any:
        return x * self.factor * SCALE + self.table["shift"]


@program(captures=4)
def attributes_of_a_module_change(compile: Callable) -> list:
    global SCALE
    module = Scaled()
    apply = compile(module)
    seen = [apply(data(3))]
    module.factor = 2.5
    seen.append(apply(data(3)))
    module.table["shift"] = -1.0
    seen.append(apply(data(3)))
    SCALE = 5.0
    seen.append(apply(data(3)))
    SCALE = 2.0
    return [*seen, apply(data(3))]


@program(captures=2)
def float_arguments_vary(compile: Callable) -> list:
    apply = compile(lambda x, lr, decay=0.5: x - lr * (x * decay + 1))
    return [apply(data(4), lr) for lr in (0.1, 0.2, 0.3, 0.7, 1e-3)]


@program(captures=2)
def int_arguments_vary(compile: Callable) -> list:
    apply = compile(lambda x, step: x * step + (step * 2 - 1) / 4)
    return [apply(data(4), i) for i in range(1, 7)]


@program(captures=2)
def numbers_promote_as_numbers(compile: Callable) -> list:
    apply = compile(lambda x, y, z, k: (x * k, y * k, z.sum() * k, (x + k).dtype == x.dtype))
    return [apply(data(3).to(sq.bfloat16), sq.tensor([1, 2, 3]), data(3), k) for k in (0.1, 0.3, 0.7, 1.1)]


@program(captures=4)
def a_float_decides_a_branch(compile: Callable) -> list:
    def branch(x: Any, threshold: float) -> Any:
        return x + threshold if threshold > 0.5 else x - math.sqrt(threshold)

    apply = compile(branch)
    return [apply(data(3), t) for t in (0.25, 0.75, 0.5, 0.25, 0.75)]


@program(captures=3)
def an_int_counts_iterations(compile: Callable) -> list:
    def power(x: Any, n: int) -> Any:
        out = x
        for _ in range(n):
            out = out * x
        return out

    apply = compile(power)
    return [apply(data(3), n) for n in (1, 2, 1, 2)]


@program(captures=3)
def keyword_and_default_arguments(compile: Callable) -> list:
    def apply(x: Any, *, scale: float = 2.0, shift: Any = None) -> Any:
        return x * scale if shift is None else x * scale + shift

    apply = compile(apply)
    return [apply(data(3)), apply(data(3, seed=1)), apply(data(3), shift=data(3, seed=2)), apply(x=data(3))][
        :3
    ]
