"""Awkward programs for `sq.compile`, as data: each runs with any `compile` and gives what it observed.

`program(captures=n)` marks one that must give the bits of the uncompiled run in at most n captures; `refused(words)` one that must
raise a TraceError with these words. A program takes `compile` and returns a list of Tensors, numbers and containers of them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
import threading
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np

import squall as sq
import squall.nn.functional as F
from squall import nn, optim

PROGRAMS: dict[str, tuple[Callable, int]] = {}
REFUSED: dict[str, tuple[Callable, str]] = {}
SCALE = 2.0
COUNTER = 0


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


# ---------------------------------------------------------------- training
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
    import copy

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


# ---------------------------------------------------------------- modes of modules
@program(captures=2)
def dropout_flips_between_train_and_eval(compile: Callable) -> list:
    model = network(nn.Dropout(0.5))
    apply = compile(lambda x: model(x).detach())
    sq.manual_seed(3)
    seen = []
    for i in range(6):
        model.train(i % 2 == 0)
        seen.append(apply(data(8, 4, seed=i)))
    return [*seen, sq.rand(3)]


@program(captures=3)
def batch_norm_statistics(compile: Callable) -> list:
    model = network(nn.BatchNorm1d(5))
    step = trainer(model, optim.SGD(model.parameters(), lr=0.1), compile)
    evaluate = compile(lambda x: model(x).detach())
    seen = train(step, 4)
    model.eval()
    seen.append(evaluate(data(6, 4)))
    model.train()
    return [*seen, *train(step, 2, 7), *weights(model)]


@program(captures=4)
def a_frozen_layer_thaws(compile: Callable) -> list:
    model = network()
    model[0].requires_grad_(False)
    step = trainer(model, optim.SGD(model.parameters(), lr=0.1), compile)
    seen = train(step, 3)
    model[0].requires_grad_(True)
    return [*seen, *train(step, 3, 3), *weights(model)]


@program(captures=2)
def a_parameter_is_replaced(compile: Callable) -> list:
    model = network()
    apply = compile(lambda x: model(x).detach())
    seen = [apply(data(3, 4))]
    model[0].weight = nn.Parameter(data(5, 4, seed=77))
    return [*seen, apply(data(3, 4)), apply(data(3, 4, seed=5))]


@program(captures=2)
def data_of_a_parameter_is_replaced(compile: Callable) -> list:
    model = network()

    @compile
    def decay() -> None:
        with sq.no_grad():
            for p in model.parameters():
                p.mul_(0.5)

    decay()
    model[0].weight.data = data(5, 4, seed=78)
    decay()
    decay()
    return weights(model)


@program(captures=1)
def a_model_and_its_copy(compile: Callable) -> list:
    model, target = network(), network()
    target.load_state_dict(model.state_dict())  # copies nobody has computed yet

    @compile
    def difference(x: Any) -> Any:
        return (model(x) - target(x)).detach()

    seen = [difference(data(3, 4))]
    with sq.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    return [*seen, difference(data(3, 4)), *weights(model), *weights(target)]


@program(captures=1)
def a_target_network_is_updated_inside(compile: Callable) -> list:
    model, target = network(), network()

    @compile
    def update(rate: Any) -> None:
        with sq.no_grad():
            for p, q in zip(target.parameters(), model.parameters(), strict=True):
                p.lerp_(q, rate)

    @compile
    def copy() -> None:
        with sq.no_grad():
            for p, q in zip(target.parameters(), model.parameters(), strict=True):
                p.copy_(q)

    seen = []
    for i in range(3):
        with sq.no_grad():
            for p in model.parameters():
                p.add_(0.25)
        update(sq.tensor(0.1))
        seen += weights(target)
    copy()
    with sq.no_grad():
        for p in model.parameters():
            p.add_(0.25)
    seen += weights(target)
    copy()
    return [*seen, *weights(target), *weights(model)]


class Tied(nn.Module):
    """An embedding whose weight is also the output's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4, bias=False)
        self.outer = nn.Linear(4, 4, bias=False)
        self.outer.weight = self.inner.weight
        with sq.no_grad():
            self.inner.weight.copy_(data(4, 4, seed=6))

    def forward(self, x: Any) -> Any:
        return self.outer(sq.tanh(self.inner(x)))[:, :2]


@program(captures=2)
def tied_weights(compile: Callable) -> list:
    model = Tied()
    step = trainer(model, optim.Adam(model.parameters(), lr=0.05), compile)
    return [*train(step), *weights(model)]


@program(captures=2)
def two_views_of_one_parameter(compile: Callable) -> list:
    whole = nn.Parameter(data(6, 4))
    optimizer = optim.SGD([whole], lr=0.1)

    @compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        first, second = whole[:3], whole[3:]
        loss = ((x @ first.t()) * (x @ second.t())).sum()
        loss.backward()
        optimizer.step()
        return loss

    return [*(step(data(2, 4, seed=i)).item() for i in range(4)), whole.detach(), whole.grad]


# ---------------------------------------------------------------- numbers from outside
@program(captures=4)
def a_closure_float_changes(compile: Callable) -> list:
    factor = 1.0

    @compile
    def scaled(x: Any) -> Any:
        return x * factor

    seen = []
    for factor in (1.0, 2.0, 1.0, 3.0, -0.0):
        seen.append(scaled(data(3)))
    return seen


@program(captures=2)
def a_global_changes(compile: Callable) -> list:
    global SCALE
    scaled = compile(lambda x: x * SCALE)
    seen = []
    for SCALE in (2.0, 3.0, 2.0):  # noqa: PLW0604
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
    return [apply(data(3)), apply(data(3, seed=1)), apply(data(3), shift=data(3, seed=2)), apply(x=data(3))][:3]


# ---------------------------------------------------------------- arguments and results
@program(captures=1)
def arguments_written_in_place(compile: Callable) -> list:
    @compile
    def update(x: Any, y: Any) -> None:
        x.add_(y)
        y.mul_(2)

    seen = []
    for i in range(3):
        x, y = data(3, seed=i), data(3, seed=5 + i)
        update(x, y)
        seen += [x, y]
    return seen


@program(captures=2)
def a_view_argument_written_in_place(compile: Callable) -> list:
    @compile
    def update(x: Any) -> Any:
        x.add_(1)
        return x * 2

    base = data(4, 3)
    seen = [update(base[1:3]), base.clone(), update(base[1:3])]
    other = data(4, 3, seed=3)
    return [*seen, base, update(other[1:3]), other]


@program(captures=2)
def one_tensor_twice(compile: Callable) -> list:
    @compile
    def update(x: Any, y: Any) -> Any:
        x.add_(1)
        return x * y

    a, b = data(3), data(3, seed=1)
    return [update(a, a), a.clone(), update(a, b), a.clone(), update(b, b), b]


@program(captures=3)
def a_tensor_and_its_view(compile: Callable) -> list:
    @compile
    def update(x: Any, y: Any) -> Any:
        x.mul_(3)
        return y + 1

    a, b = data(4), data(2)
    return [update(a, a[1:3]), a.clone(), update(a, b), update(a, a[1:3]), a, b]


@program(captures=2)
def an_argument_is_also_reached_from_outside(compile: Callable) -> list:
    total = data(3)

    @compile
    def add(x: Any) -> Any:
        total.add_(1)
        return x + total

    return [add(data(3, seed=1)), add(total), total.clone(), add(data(3, seed=2)), total]


@program(captures=1)
def slices_of_data(compile: Callable) -> list:
    apply = compile(lambda x, y: (x * y).sum(0))
    rows = data(40, 3)
    return [apply(rows[i:i + 4], rows[i + 4:i + 8]) for i in range(0, 30, 3)]


@program(captures=2)
def arguments_that_are_not_contiguous(compile: Callable) -> list:
    apply = compile(lambda x: x.sum(0) + x[0])
    return [apply(data(3, 4)), apply(data(4, 3).t()), apply(data(4, 3).t()), apply(data(3, 8)[:, ::2]), apply(data(3, 4))]


Pair = namedtuple("Pair", "left right")


@dataclasses.dataclass
class Batch:
    """A batch as people write it."""

    inputs: Any
    extra: dict
    weight: float = 1.0


@program(captures=3)
def containers_in_and_out(compile: Callable) -> list:
    @compile
    def apply(batch: Batch, pair: Pair, items: list, table: dict) -> Any:
        total = batch.inputs * batch.weight + pair.left - pair.right + sum(items)
        return Batch(total, {"k": table["k"] * 2, "none": None}), Pair(total, items), [None, (total, "text", 3)]

    seen = []
    for i in range(3):
        batch = Batch(data(2, seed=i), {"a": data(2)}, 1.0 + i)
        seen.append(apply(batch, Pair(data(2), data(2, seed=9)), [data(2), data(2, seed=i)], {"k": data(2)}))
    return seen


@program(captures=1)
def an_output_that_is_an_input(compile: Callable) -> list:
    apply = compile(lambda x, y: (x, y + 1, x))
    seen: list = []
    for i in range(3):
        x = data(3, seed=i)
        first, second, third = apply(x, data(3))
        seen += [first is x, third is x, second]
    return seen


@program(captures=1)
def outputs_that_share_memory(compile: Callable) -> list:
    weight = nn.Parameter(data(3, 2))

    @compile
    def views(x: Any) -> tuple:
        y = x * 2
        return weight, weight.detach(), weight.detach()[1:], x[1:], y, y[0]

    seen = []
    for i in range(2):
        x = data(3, 2, seed=i)
        whole, detached, part, tail, y, first = views(x)
        part.add_(1)
        tail.add_(1)
        first.mul_(5)
        seen += [whole is weight, detached, part, tail, x, y, first, weight.detach().clone()]
    return seen


@program(captures=1)
def a_clone_is_written_and_the_original_is_not(compile: Callable) -> list:
    weight = data(3)

    @compile
    def apply() -> tuple:
        copy = weight.clone()
        copy.mul_(3)
        return copy, weight.clone()

    seen = [apply() for _ in range(4)]
    return [*seen, weight]


@program(captures=4)
def batch_sizes_that_were_not_declared(compile: Callable) -> list:
    model = network()
    apply = compile(lambda x: F.softmax(model(x), -1).sum(0).detach())
    return [apply(data(n, 4, seed=n)) for n in (3, 5, 8, 1, 64, 7, 3, 1)]


@program(captures=2)
def none_and_structure_as_arguments(compile: Callable) -> list:
    apply = compile(lambda x, mask: x if mask is None else x * mask)
    return [apply(data(3), None) * 1, apply(data(3), data(3, seed=1)), apply(data(3, seed=4), None) * 1]


# ---------------------------------------------------------------- random numbers
@program(captures=1)
def random_numbers_go_on(compile: Callable) -> list:
    apply = compile(lambda x: (x + sq.rand(3), sq.randn(2, 3)))
    sq.manual_seed(5)
    seen = []
    for i in range(4):
        seen += [apply(data(3, seed=i)), sq.rand(2)]
    return seen


@program(captures=1)
def a_seed_is_set_inside(compile: Callable) -> list:
    def apply(x: Any) -> Any:
        before = sq.rand(3)
        sq.manual_seed(11)
        return before + x, sq.rand(3)

    apply = compile(apply)
    sq.manual_seed(5)
    return [v for i in range(3) for v in (apply(data(3)), sq.rand(2))]


@program(captures=1)
def a_generator_of_its_own(compile: Callable) -> list:
    generator = sq.Generator().manual_seed(2)
    apply = compile(lambda x: x * sq.rand(3, generator=generator))
    return [apply(data(3)), apply(data(3)), sq.rand(2, generator=generator), apply(data(3))]


# ---------------------------------------------------------------- functions
@program(captures=2)
def compiled_functions_call_each_other(compile: Callable) -> list:
    factor = 2.0
    inner = compile(lambda x: x * factor)
    outer = compile(lambda x: inner(x) + inner(x * 2))
    seen = [outer(data(3)), inner(data(3)), outer(data(3, seed=1))]
    return seen


@program(captures=2)
def a_function_behind_a_compiled_one_is_guarded(compile: Callable) -> list:
    factor = 2.0
    inner = functools.partial(lambda scale, x: x * factor * scale, 3.0)
    outer = compile(lambda x: inner(x) + 1)
    seen = [outer(data(3))]
    factor = 4.0
    return [*seen, outer(data(3))]


class Doubler:
    """Methods, compiled as a decorator would."""

    factor = 2.0

    def __init__(self, shift: float):
        self.shift = shift

    def forward(self, x: Any) -> Any:
        return self.helper(x) + self.shift

    def helper(self, x: Any) -> Any:
        return x * self.factor


@program(captures=3)
def methods(compile: Callable) -> list:
    cls = type("Method", (Doubler,), {"forward": compile(Doubler.forward)})
    a, b = cls(1.0), cls(2.0)
    seen = [a.forward(data(3)), b.forward(data(3)), a.forward(data(3, seed=1))]
    b.shift = 7.0
    return [*seen, b.forward(data(3))]


@program(captures=3)
def recursion(compile: Callable) -> list:
    def fold(x: Any, n: int) -> Any:
        return x if n == 0 else fold(x * 2 + n, n - 1)

    apply = compile(fold)
    return [apply(data(3), 3), apply(data(3, seed=1), 3), apply(data(3), 4)]


@program(captures=2)
def a_compiled_module(compile: Callable) -> list:
    model = network()
    apply = compile(model)
    seen = [apply(data(3, 4)).detach()]
    with sq.no_grad():
        model[0].weight.mul_(2)
        return [*seen, apply(data(3, 4)), apply(data(3, 4, seed=1))]


@program(captures=3)
def modes_around_a_call(compile: Callable) -> list:
    weight = nn.Parameter(data(3))
    apply = compile(lambda x: x * weight)
    seen: list = []
    for _ in range(2):
        y = apply(data(3))
        y.sum().backward()
        seen += [y.requires_grad, weight.grad.clone()]
        with sq.no_grad():
            seen.append(apply(data(3)).requires_grad)
        with sq.inference_mode():
            seen.append(apply(data(3)).requires_grad)
    return seen


@program(captures=3)
def an_exception_leaves_everything_as_it_was(compile: Callable) -> list:
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.1)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        if x.shape[0] == 3:
            raise KeyError("in the middle")
        return x

    if compile is not identity:
        step = compile(step)
        before = weights(model)
        for _ in range(2):
            try:
                step(data(3, 4))
            except KeyError:
                pass
        assert all((a == b).all() for a, b in zip(before, weights(model), strict=True))
        assert not optimizer.state and all(p.grad is None for p in model.parameters())
    step(data(2, 4))
    return weights(model)


@program(captures=2)
def threads(compile: Callable) -> list:
    model = network()
    apply = compile(lambda x: model(x).detach())
    out: dict = {}

    def work(number: int) -> None:
        out[number] = [apply(data(3, 4, seed=number * 10 + i)).tolist() for i in range(4)]

    workers = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [out[n] for n in range(3)]


# ---------------------------------------------------------------- arrays, hooks, functions of users
@program(captures=2)
def an_array_from_outside_changes(compile: Callable) -> list:
    table = np.ones(3, "float32")
    apply = compile(lambda x: x + table)
    seen = [apply(data(3)), apply(data(3, seed=1))]
    table[1] = 5
    return [*seen, apply(data(3))]


@program(captures=1)
def an_array_made_inside(compile: Callable) -> list:
    apply = compile(lambda x: x + sq.tensor(np.arange(3, dtype="float32")) + sq.tensor([1.0, 2.0, 3.0]))
    return [apply(data(3, seed=i)) for i in range(3)]


@program(captures=1)
def memory_shared_with_numpy_is_written(compile: Callable) -> list:
    array = np.zeros(3, "float32")
    shared = sq.from_numpy(array)

    @compile
    def add(x: Any) -> Any:
        shared.add_(x)
        return shared * 2

    seen = [add(data(3)), array.copy()]
    array[0] = 10
    return [*seen, add(data(3)), array.copy(), shared]


@program(captures=2)
def hooks_run(compile: Callable) -> list:
    weight = nn.Parameter(data(3))
    weight.register_hook(lambda g: g * 2)

    @compile
    def step(x: Any) -> Any:
        weight.grad = None
        y = x * weight
        y.register_hook(lambda g: g + 1)
        y.sum().backward()
        return y.detach()

    seen: list = []
    for i in range(3):
        seen += [step(data(3, seed=i)), weight.grad]
    return seen


class Cube(sq.autograd.Function):
    """A custom Function with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return gradient * x * x * 10


@program(captures=2)
def custom_functions(compile: Callable) -> list:
    weight = nn.Parameter(data(3))

    @compile
    def step(x: Any) -> Any:
        weight.grad = None
        Cube.apply(x * weight).sum().backward()
        return x + 1

    seen: list = []
    for i in range(3):
        seen += [step(data(3, seed=i)), weight.grad]
    return seen


@program(captures=5)
def hooks_come_and_go(compile: Callable) -> list:
    model = network()
    scale = 2.0

    @compile
    def step(x: Any) -> Any:
        model.zero_grad()
        y = model(x)
        y.sum().backward()
        return y.detach()

    def run() -> list:
        return [step(data(3, 4)), [p.grad.clone() for p in model.parameters()]]

    step(data(3, 4))
    seen = run()
    first = model[0].weight.register_hook(lambda g: g * scale)
    seen += run()
    second = model.register_forward_hook(lambda module, args, out: out + 1)
    seen += run()
    scale = 3.0
    seen += run()
    first.remove()
    second.remove()
    return [*seen, *run()]


@program(captures=1)
def printing_inside(compile: Callable) -> list:
    def apply(x: Any) -> Any:
        text = f"{x.shape} {x.dtype}"
        return x + len(text)

    apply = compile(apply)
    return [apply(data(3)), apply(data(3, seed=1))]


# ---------------------------------------------------------------- what cannot be captured
@refused(r"scheduler_stepped_inside|awkward.py:\d+.*StepLR.step")
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


@refused(r"awkward.py:\d+.*item.*sq.where")
def a_value_is_asked_for(compile: Callable) -> Any:
    return compile(lambda x: x * x.sum().item())(data(3))


@refused(r"awkward.py:\d+.*sq.where")
def a_python_if_on_a_value(compile: Callable) -> Any:
    def apply(x: Any) -> Any:
        return x * 2 if x.sum() > 0 else x

    return compile(apply)(data(3))


@refused(r"awkward.py:\d+.*numpy")
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


def identity(function: Callable) -> Callable:
    """No compilation."""
    return function
