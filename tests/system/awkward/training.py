"""Awkward train steps, and modes of modules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import squall as sq
import squall.nn.functional as F
from squall import nn, optim
from tests.system.awkward.table import data, network, program, train, trainer, weights


@program(captures=2)
def adam(compile: Callable) -> list:
    model = network()
    step = trainer(model, optim.Adam(model.parameters(), lr=0.01), compile)
    return [*train(step), *weights(model)]


@program(captures=2)
def momentum_begins_in_the_first_step(compile: Callable) -> list:
    model = network()
    step = trainer(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True), compile)
    return [*train(step), *weights(model)]


@program(captures=2)
def state_created_while_gradients_stay_none(compile: Callable) -> list:
    model = network()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)

    @compile
    def step(x: Any, y: Any) -> Any:
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return [*train(step, 6), *weights(model), [p.grad for p in model.parameters()]]


@program(captures=2)
def gradients_zeroed_in_place(compile: Callable) -> list:
    model = network()
    step = trainer(model, optim.SGD(model.parameters(), lr=0.1), compile, none=False)
    return [*train(step), *weights(model), [p.grad for p in model.parameters()]]


@program(captures=2)
def trainer_whose_constructor_names_what_its_loop_appends_to(compile: Callable) -> list:
    class Scaled(nn.Linear):
        def __init__(self, width: int, size: int) -> None:
            super().__init__(width, size)  # some constructor is called by code that the walk meets

        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    class Trainer:
        def __init__(self) -> None:
            self.model = network()
            self.make = Scaled
            self.optimizer = optim.SGD(self.model.parameters(), lr=0.1)
            self.losses: list = []
            self.step = compile(self._step)

        def _step(self, x: Any, y: Any) -> Any:
            loss = F.mse_loss(self.model(x), y) + self.make(1, 1)(sq.ones(1, 1)).sum() * 0
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

    held = Trainer()
    for i in range(6):
        held.losses += train(held.step, 1, i)
    return [*held.losses, *weights(held.model)]


@program(captures=2)
def scheduler_stepped_outside(compile: Callable) -> list:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    step = trainer(model, optimizer, compile)
    seen = []
    for i in range(6):
        seen += train(step, 1, i)
        schedule.step()
        seen.append(schedule.get_last_lr()[0])
    return [*seen, *weights(model)]


@program(captures=2)
def learning_rate_set_every_step(compile: Callable) -> list:
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    step = trainer(model, optimizer, compile)
    seen = []
    for i in range(6):
        optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
        seen += train(step, 1, i)
    return [*seen, *weights(model)]


@program(captures=4)
def momentum_turned_on(compile: Callable) -> list:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = trainer(model, optimizer, compile)
    seen = train(step, 3)
    optimizer.param_groups[0]["momentum"] = 0.9
    return [*seen, *train(step, 3, 3), *weights(model)]


@program(captures=4)
def optimizer_state_loaded_between_calls(compile: Callable) -> list:

    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    step = trainer(model, optimizer, compile)
    seen = train(step, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    seen += train(step, 2, 2)
    optimizer.load_state_dict(saved)
    model.load_state_dict(kept)
    return [*seen, *train(step, 3, 2), *weights(model)]


@program(captures=2)
def gradients_accumulate_over_calls(compile: Callable) -> list:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @compile
    def accumulate(x: Any, y: Any) -> Any:
        loss = F.mse_loss(model(x), y)
        loss.backward()
        return loss

    seen = []
    for i in range(6):
        seen += train(accumulate, 1, i)
        if i % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()
    return [*seen, *weights(model)]


@program(captures=2)
def gradients_clipped(compile: Callable) -> list:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    @compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        return loss + 0 * norm

    return [*train(step), *weights(model)]


@program(captures=2)
def steps_skipped_when_not_finite(compile: Callable) -> list:
    model = network()
    parameters = list(model.parameters())

    @compile
    def step(x: Any, y: Any) -> Any:
        for p in parameters:
            p.grad = None
        loss = F.mse_loss(model(x), y)
        loss.backward()
        with sq.no_grad():
            fine = sq.stack([p.grad.isfinite().all() for p in parameters]).all()
            for p in parameters:
                p.copy_(sq.where(fine, p - 0.1 * p.grad, p))
        return loss.detach()

    seen = []
    for i in range(5):
        x = data(3, 4, seed=i)
        seen.append(step(x / 0.0 if i in (1, 3) else x, data(3, 2, seed=9 + i)))
    return [*seen, *weights(model)]


@program(captures=2)
def loss_scaled_by_a_number_that_varies(compile: Callable) -> list:
    model = network()

    @compile
    def gradients(x: Any, scale: float) -> list:
        for p in model.parameters():
            p.grad = None
        (model(x).sum() * scale).backward()
        return [p.grad / scale for p in model.parameters()]

    return [gradients(data(3, 4), s) for s in (1.0, 2.0, 1.5, 8.0, 3.25)]
