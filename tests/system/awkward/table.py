"""What awkward programs for `sq.compile` share: they are data; each runs with any `compile` and gives what it
observed.

`program(captures=n)` marks one that must give the bits of the uncompiled run in at most n captures;
`refused(words)` one that must raise a TraceError with these words. A program takes `compile` and returns a
list of Tensors, numbers and containers of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import squall as sq
import squall.nn.functional as F
from squall import nn

PROGRAMS: dict[str, tuple[Callable, int]] = {}
REFUSED: dict[str, tuple[Callable, str]] = {}


def program(captures: int = 1) -> Callable:
    """Mark a program that is right when compiled."""

    def mark(function: Callable) -> Callable:
        PROGRAMS[function.__name__] = (function, captures)
        return function

    return mark


def refused(words: str) -> Callable:
    """Mark a program that a TraceError with these words refuses."""

    def mark(function: Callable) -> Callable:
        REFUSED[function.__name__] = (function, words)
        return function

    return mark


def data(*shape: int, seed: int = 0) -> Any:
    """Normal numbers that do not touch the default generator."""
    return sq.tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def network(*extra: Any) -> nn.Module:
    """A small network with the same weights each time."""
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), *extra, nn.Linear(5, 2))
    with sq.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(data(*parameter.shape, seed=100 + number) * 0.5)
    return model


def weights(model: nn.Module) -> list:
    return [p.detach().clone() for p in (*model.parameters(), *model.buffers())]


def trainer(model: nn.Module, optimizer: Any, compile: Callable, none: bool = True) -> Callable:
    """A whole train step, compiled."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=none)
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return compile(step)


def train(step: Callable, steps: int = 5, first: int = 0) -> list:
    return [step(data(3, 4, seed=first + i), data(3, 2, seed=50 + first + i)).item() for i in range(steps)]


def identity(function: Callable) -> Callable:
    """No compilation."""
    return function
