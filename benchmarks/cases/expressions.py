"""An expression nobody has written before, until its first result; and one known operation, computed."""

import itertools
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases.frameworks import framework
from benchmarks.harness import Case, Program, register

CALLS = 1000
SIZE = 64
STEPS: tuple[Callable[[Any, Any, Any], Any], ...] = (
    lambda x, y, m: x + y, lambda x, y, m: x * y, lambda x, y, m: x - y, lambda x, y, m: m.tanh(x),
    lambda x, y, m: m.exp(-x * x), lambda x, y, m: m.abs(x) + y, lambda x, y, m: x / (y * y + 1.0),
    lambda x, y, m: m.cos(x), lambda x, y, m: m.maximum(x, y), lambda x, y, m: m.sin(x) * y,
)  # fmt: skip


def expressions() -> Any:
    """Endless different expressions of six steps, the same in every framework."""
    draw = np.random.default_rng(31)
    for _ in itertools.count():
        chosen = [STEPS[index] for index in draw.integers(0, len(STEPS), 6)]

        def expression(x: Any, y: Any, m: Any, chosen: Any = chosen) -> Any:
            for step in chosen:
                x, y = step(x, y, m), x
            return x.sum()

        yield expression


def values() -> list[np.ndarray]:
    """Two vectors."""
    draw = np.random.default_rng(32)
    return [draw.uniform(0.5, 1.5, SIZE).astype(np.float32) for _ in range(2)]


def first_time(name: str, compiled: bool = False) -> Callable[[], Program]:
    """squall or torch."""

    def make() -> Program:
        package = framework(name).package
        if name == "squall":
            folder = tempfile.mkdtemp(prefix="benchmark-")  # a cache that knows none of these
            package.set_option("cache_dir", folder)
        x, y = (package.tensor(value) for value in values())
        source = expressions()

        def call() -> float:
            expression = next(source)
            if compiled:
                package._dynamo.reset()  # each is new to the compiler, which gives up after some
            function = package.compile(expression) if compiled else expression
            return function(x, y, package).item()

        return Program(call, lambda: [call() for _ in range(3)])

    return make


def first_time_jax() -> Program:
    """JAX, jitted."""
    import jax
    import jax.numpy as jnp

    x, y = (jnp.asarray(value) for value in values())
    source = expressions()

    def call() -> float:
        expression = next(source)
        return float(jax.jit(lambda a, b: expression(a, b, jnp))(x, y))

    return Program(call, lambda: [call() for _ in range(3)])


def one_operation(name: str) -> Callable[[], Program]:
    """`x * y`, computed at once: squall evaluates, torch has done so."""

    def make() -> Program:
        package = framework(name).package
        x, y = (package.tensor(value) for value in values())
        finish = package.flush if name == "squall" else (lambda: None)

        def call() -> None:
            for _ in range(CALLS):
                kept = x * y  # noqa: F841  alive while it is computed
                finish()

        return Program(call, lambda: [(x * y).numpy()])

    return make


def one_operation_jax() -> Program:
    """JAX, waited for."""
    import jax.numpy as jnp

    x, y = (jnp.asarray(value) for value in values())

    def call() -> None:
        for _ in range(CALLS):
            (x * y).block_until_ready()

    return Program(call, lambda: [np.asarray(x * y)])


register(Case(
    "new-expression", "expressions", f"a new expression of six steps and a sum over {SIZE} numbers, first time",
    {
        "squall": first_time("squall"), "torch eager": first_time("torch"),
        "torch compile": first_time("torch", compiled=True), "jax": first_time_jax,
    },
    threads=(2,), rounds=15,
))  # fmt: skip

register(Case(
    "one-operation", "expressions", f"x * y of {SIZE} numbers, computed",
    {"squall": one_operation("squall"), "torch eager": one_operation("torch"), "jax": one_operation_jax},
    per_call=CALLS, threads=(1,),
))  # fmt: skip
