"""Awkward functions: random numbers, nesting, methods, threads, arrays, hooks."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import squall as sq
from squall import nn, optim
from tests.system.awkward.table import data, identity, network, program, weights


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


@program(captures=2)
def a_seed_that_varies(compile: Callable) -> list:
    def draw(seed: int) -> Any:
        sq.manual_seed(seed)
        return sq.rand(3)

    draw = compile(draw)
    return [v for seed in (1, 2, 7, 2) for v in (draw(seed), sq.rand(2))]


@program(captures=1)
def a_generator_of_its_own(compile: Callable) -> list:
    generator = sq.Generator().manual_seed(2)
    apply = compile(lambda x: x * sq.rand(3, generator=generator))
    return [apply(data(3)), apply(data(3)), sq.rand(2, generator=generator), apply(data(3))]


@program(captures=2)
def compiled_functions_call_each_other(compile: Callable) -> list:
    factor = 2.0
    inner = compile(lambda x: x * factor)
    outer = compile(lambda x: inner(x) + inner(x * 2))
    return [outer(data(3)), inner(data(3)), outer(data(3, seed=1))]


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
