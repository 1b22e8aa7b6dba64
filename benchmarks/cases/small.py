"""Small calls: what it costs to write down `x + y`, and to read one number back."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases.frameworks import framework
from benchmarks.harness import Case, Program, register

CALLS = 1000


def operands(package: Any, size: int, requires_grad: bool = False) -> tuple:
    """Two vectors, the same in every framework."""
    draw = np.random.RandomState(1)
    values = [draw.uniform(0.5, 1.5, size).astype(np.float32) for _ in range(2)]
    return tuple(package.tensor(value, requires_grad=requires_grad) for value in values)


def adding(name: str, requires_grad: bool) -> Callable[[], Program]:
    """`x + y` a thousand times, nobody reading the result: squall only writes it down."""

    def make() -> Program:
        x, y = operands(framework(name).package, 8, requires_grad)

        def call() -> None:
            for _ in range(CALLS):
                x + y

        return Program(call, lambda: [(x + y).detach().numpy()])

    return make


def summing(name: str, size: int, compiled: bool = False) -> Callable[[], Program]:
    """`(x + y).sum().item()`."""

    def make() -> Program:
        package = framework(name).package
        x, y = operands(package, size)

        def total(x: Any, y: Any) -> Any:
            return (x + y).sum()

        function = package.compile(total) if compiled else total
        return Program(lambda: function(x, y).item(), lambda: [function(x, y).item()])

    return make


for suffix, with_history in (("", False), ("-history", True)):
    register(Case(
        f"add{suffix}", "small", "x + y of 8 elements, not read" + (", with history" if with_history else ""),
        {"squall": adding("squall", with_history), "torch eager": adding("torch", with_history)},
        per_call=CALLS, threads=(1,),
    ))  # fmt: skip

for count in (64, 100_000):
    register(Case(
        f"sum-item-{count}", "small", f"(x + y).sum().item() of {count} elements",
        {
            "squall": summing("squall", count),
            "squall compiled": summing("squall", count, compiled=True),
            "torch eager": summing("torch", count),
            "torch compile": summing("torch", count, compiled=True),
        },
    ))  # fmt: skip
