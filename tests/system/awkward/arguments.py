"""Awkward arguments and results: aliases, views, containers, sizes."""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import squall.nn.functional as F
from squall import nn
from tests.system.awkward.table import data, network, program


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
    return [apply(rows[i : i + 4], rows[i + 4 : i + 8]) for i in range(0, 30, 3)]


@program(captures=2)
def arguments_that_are_not_contiguous(compile: Callable) -> list:
    apply = compile(lambda x: x.sum(0) + x[0])
    return [
        apply(data(3, 4)),
        apply(data(4, 3).t()),
        apply(data(4, 3).t()),
        apply(data(3, 8)[:, ::2]),
        apply(data(3, 4)),
    ]


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
        return (
            Batch(total, {"k": table["k"] * 2, "none": None}),
            Pair(total, items),
            [None, (total, "text", 3)],
        )

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


@program(captures=3)
def gradients_of_an_argument(compile: Callable) -> list:
    @compile
    def attack(x: Any) -> Any:
        (x * x.sin()).sum().backward()
        return x.grad.sign()

    seen = []
    for i in range(4):
        x = data(3, seed=i).requires_grad_()
        seen += [attack(x), x.grad]
    return [*seen, attack(x), x.grad]


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
