"""What the cases share: frameworks with PyTorch's names, equal weights in each, and a train step as users write it.

A program here is written once and handed either squall or PyTorch: that both run it is part of what is shown.
"""

import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.apart import kept_heap
from benchmarks.harness import Program

COMPARED_STEPS = 5


@dataclass(frozen=True)
class Framework:
    """A package with PyTorch's names, and its parts that programs use."""

    package: Any
    nn: Any
    optim: Any

    @property
    def functional(self) -> Any:
        """`nn.functional`."""
        return self.nn.functional


def framework(name: str) -> Framework:
    """squall or torch; ModuleNotFoundError when it is not installed."""
    package: ModuleType = importlib.import_module(name)
    return Framework(package, importlib.import_module(f"{name}.nn"), importlib.import_module(f"{name}.optim"))


def initial_weights(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Weights of a plausible scale for parameters of these shapes, the same on every call."""
    draw = np.random.RandomState(0)
    values = []
    for shape in shapes:
        scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.02
        values.append((draw.standard_normal(shape) * scale).astype(np.float32))
    return values


def set_weights(own: Framework, model: Any) -> None:
    """Give a model the initial weights, in the order of its parameters; norms start as they are."""
    parameters = [parameter for parameter in model.parameters() if len(parameter.shape) > 1]
    values = initial_weights([tuple(parameter.shape) for parameter in parameters])
    with own.package.no_grad():
        for parameter in model.parameters():
            if len(parameter.shape) == 1:
                parameter.copy_(own.package.ones(parameter.shape) * 0.5)
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(own.package.tensor(value))


def training(step: Callable[..., Any], batches: list[tuple]) -> Program:
    """A program that makes one train step a call, over the batches in turn, and reads the loss each time."""
    turn = itertools.cycle(batches)
    return Program(
        call=lambda: float(step(*next(turn))),
        outputs=lambda: [float(step(*batch)) for batch in itertools.islice(turn, COMPARED_STEPS)],
    )


LEARNING_RATE = 1e-4


def train_step(own: Framework, loss_of: Callable, model: Any, **optimizer_options: Any) -> Callable:
    """Forward, backward and AdamW, as in every PyTorch script."""
    optimizer = own.optim.AdamW(model.parameters(), lr=LEARNING_RATE, **optimizer_options)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def contenders(make_model: Callable, make_loss: Callable, make_batches: Callable) -> dict[str, Callable]:
    """The ways to run one train step: squall and torch, compiled and not, torch also with a heap that keeps memory.

    `make_model(framework)` gives the model, `make_loss(framework, model)` the function from a batch to the loss,
    and `make_batches()` the batches as NumPy arrays.
    """

    def prepare(name: str) -> tuple:
        own = framework(name)
        model = make_model(own)
        set_weights(own, model)
        batches = [tuple(own.package.tensor(part) for part in batch) for batch in make_batches()]
        return own, model, make_loss(own, model), batches

    def squall_compiled() -> Program:
        own, model, loss_of, batches = prepare("squall")
        return training(own.package.compile(train_step(own, loss_of, model)), batches)

    def squall_uncompiled() -> Program:
        own, model, loss_of, batches = prepare("squall")
        return training(train_step(own, loss_of, model), batches)

    def torch_eager() -> Program:
        own, model, loss_of, batches = prepare("torch")
        return training(train_step(own, loss_of, model, fused=True), batches)

    def torch_compile() -> Program:
        own, model, loss_of, batches = prepare("torch")
        return training(train_step(own, own.package.compile(loss_of), model, fused=True), batches)

    return {
        "squall compiled": squall_compiled,
        "squall uncompiled": squall_uncompiled,
        "torch eager": torch_eager,
        "torch compile": torch_compile,
        "torch eager, kept heap": kept_heap(torch_eager),
        "torch compile, kept heap": kept_heap(torch_compile),
    }


def jax_training(loss_of: Callable, weights: Any, batches: list[tuple]) -> Program:
    """The same train step in JAX: value_and_grad and AdamW in one jitted function with donated state."""
    import jax
    import jax.numpy as jnp

    def adamw(state: tuple, x: Any, y: Any) -> tuple:
        values, first, second, count = state
        loss, gradients = jax.value_and_grad(loss_of)(values, x, y)
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        rate, correction = LEARNING_RATE / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)

        def update(p: Any, m: Any, v: Any) -> Any:
            return p * (1 - LEARNING_RATE * 0.01) - rate * m / (jnp.sqrt(v) / correction + 1e-8)

        return (jax.tree.map(update, values, first, second), first, second, count), loss

    step = jax.jit(adamw, donate_argnums=0)
    values = jax.tree.map(jnp.asarray, weights)
    zeros = jax.tree.map(jnp.zeros_like, values)
    state = (values, zeros, jax.tree.map(jnp.zeros_like, values), jnp.float32(0))

    def run(x: Any, y: Any) -> Any:
        nonlocal state
        state, loss = step(state, x, y)
        return loss

    return training(run, [tuple(jnp.asarray(part) for part in batch) for batch in batches])
