"""Random histories of a training program: whatever is done to the model, the optimizer, the globals and the
modes between calls of compiled functions, every call gives the bits of the uncompiled program (DESIGN S12:
nothing goes stale).

`SQUALL_CAPTURE_CASES` sets how many histories run; the default suits CI.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn, optim

CASES = int(os.environ.get("SQUALL_CAPTURE_CASES", "8"))
LENGTH = 14
FACTOR = 1.0


def data(*shape: int, seed: int = 0) -> Any:
    return sq.tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


class World:
    """A model, a copy of it, an optimizer, and functions over them, compiled or not."""

    def __init__(self, compile: Callable):
        self.model = nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.25), nn.ReLU(), nn.Linear(4, 2)
        )
        self.target = copy.deepcopy(self.model)
        with sq.no_grad():
            for number, p in enumerate((*self.model.parameters(), *self.target.parameters())):
                p.copy_(data(*p.shape, seed=number) * 0.5)
        self.optimizer = optim.SGD(self.model.parameters(), lr=0.05)
        self.shift, self.buffer, self.hooks = 0.5, data(4, seed=3), []
        self.saved: Any = None
        self.train_step, self.loss_only, self.predict = (
            compile(self.step),
            compile(self.loss),
            compile(self.output),
        )
        self.blend, self.accumulate = compile(self.follow), compile(self.gather)

    def step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = F.mse_loss(self.model(x), y) * FACTOR + self.shift
        loss.backward()
        self.optimizer.step()
        return loss

    def gather(self, x: Any, y: Any) -> Any:
        loss = F.mse_loss(self.model(x), y)
        loss.backward()
        return loss

    def loss(self, x: Any, y: Any) -> Any:
        return F.mse_loss(self.model(x), y) + (self.buffer * FACTOR).sum()

    def output(self, x: Any, scale: float) -> Any:
        with sq.no_grad():
            return self.model(x) * scale - self.target(x), self.model[0].weight[1:]

    def follow(self, rate: float) -> None:
        with sq.no_grad():
            for p, q in zip(self.target.parameters(), self.model.parameters(), strict=True):
                p.add_((q - p) * rate)
            self.buffer.mul_(0.5)


def act(world: World, rng: random.Random, seed: int) -> list:
    """One random thing done to a world."""
    model = world.model
    n = rng.choice((2, 3, 3, 3, 5))
    x, y = data(n, 3, seed=seed), data(n, 2, seed=seed + 1)
    weight = rng.choice(list(model.parameters()))
    kind = rng.choice(KINDS)
    value = rng.choice((0.0, 0.1, 0.5, 2.0))
    if kind == "train":
        return [world.train_step(x, y).detach()]
    if kind == "loss":
        loss = world.loss_only(x, y)
        loss.backward()
        return [loss.detach()]
    if kind == "accumulate":
        return [world.accumulate(x, y).detach()]
    if kind == "predict":
        out, view = world.predict(x, value)
        if rng.random() < 0.3:
            with sq.no_grad():
                view.add_(1.0)
        return [out]
    if kind == "draw":
        return [sq.rand(3)]
    change(world, rng, kind, weight, value, seed)
    interfere(world, rng, kind, weight, value, seed)
    return []


def change(world: World, rng: random.Random, kind: str, weight: Any, value: float, seed: int) -> None:
    """What is done to the model and the optimizer."""
    model, optimizer, group = world.model, world.optimizer, world.optimizer.param_groups[0]
    if kind == "follow":
        world.blend(value)
    elif kind == "lr":
        group["lr"] = value / 10
    elif kind == "momentum":
        group["momentum"] = value / 4
    elif kind == "mode":
        model.train(rng.random() < 0.5)
    elif kind == "freeze":
        weight.requires_grad_(not weight.requires_grad)
    elif kind == "replace":
        replaced = nn.Parameter(data(4, 3, seed=seed))
        model[0].weight = replaced
        world.optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=value / 4)
    elif kind == "data":
        weight.data = weight.detach() * 0.5
    elif kind == "copy":
        world.target.load_state_dict(model.state_dict())
    elif kind == "save":
        world.saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    elif kind == "load" and world.saved is not None and world.saved[0].keys() == model.state_dict().keys():
        model.load_state_dict(world.saved[0])
        optimizer.load_state_dict(world.saved[1])


def interfere(world: World, rng: random.Random, kind: str, weight: Any, value: float, seed: int) -> None:
    """What is done to everything else."""
    global FACTOR
    if kind == "globals":
        FACTOR, world.shift = value, -value
    elif kind == "grads":
        weight.grad = rng.choice((None, sq.ones_like(weight.detach())))
    elif kind == "zero":
        world.optimizer.zero_grad(set_to_none=rng.random() < 0.5)
    elif kind == "buffer":
        world.buffer = rng.choice((world.buffer * 2, world.buffer.clone(), data(4, seed=seed)))
    elif kind == "write":
        with sq.no_grad():
            weight.mul_(0.9)
    elif kind == "hook" and weight.requires_grad:
        world.hooks.append(weight.register_hook(lambda g: g * 0.5))
    elif kind == "unhook" and world.hooks:
        world.hooks.pop().remove()
    elif kind == "seed":
        sq.manual_seed(seed)


KINDS = (
    "train",
    "train",
    "train",
    "train",
    "loss",
    "loss",
    "accumulate",
    "predict",
    "predict",
    "follow",
    "lr",
    "momentum",
    "mode",
    "freeze",
    "replace",
    "data",
    "copy",
    "save",
    "load",
    "globals",
    "grads",
    "zero",
    "buffer",
    "write",
    "hook",
    "unhook",
    "seed",
    "draw",
)


def history(case: int, compile: Callable) -> list[bytes]:
    global FACTOR
    FACTOR = 1.0
    sq.manual_seed(case)
    world, rng, seen = World(compile), random.Random(case), []
    for number in range(LENGTH):
        try:
            values = act(world, rng, 100 * case + number)
        except sq.base.errors.AutogradError as error:  # all parameters frozen: the same error in both
            values = [sq.tensor(float(len(str(error))))]
        state = [
            v
            for entries in world.optimizer.state.values()
            for v in entries.values()
            if isinstance(v, sq.Tensor)
        ]
        grads = [p.grad for p in world.model.parameters() if p.grad is not None]
        every = (
            *values,
            *world.model.parameters(),
            *world.model.buffers(),
            *world.target.parameters(),
            *grads,
            *state,
            world.buffer,
        )
        seen.append(b"".join(np.asarray(v.detach().tolist()).tobytes() for v in every))
    return seen


@pytest.mark.parametrize("case", range(CASES))
def test_random_histories_never_go_stale(case: int) -> None:
    expected = history(case, lambda f: f)
    for number, (a, b) in enumerate(zip(expected, history(case, sq.compile), strict=True)):
        assert a == b, f"history {case} differs after action {number}"
