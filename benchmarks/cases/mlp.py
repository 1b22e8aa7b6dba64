"""One train step of a 784-256-128-10 perceptron with AdamW."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.apart import Apart
from benchmarks.cases.frameworks import (
    LEARNING_RATE,
    Framework,
    contenders,
    initial_weights,
    jax_training,
    training,
)
from benchmarks.harness import Case, Program, register

WIDTHS = (784, 256, 128, 10)
BATCHES = 16


def make_model(own: Framework) -> Any:
    """The network."""
    nn = own.nn
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(),
        nn.Linear(256, 128), nn.ReLU(),
        nn.Linear(128, 10),
    )  # fmt: skip


def make_loss(own: Framework, model: Any) -> Callable:
    """Cross entropy of a batch."""
    return lambda x, y: own.functional.cross_entropy(model(x), y)


def make_batches(size: int) -> Callable[[], list]:
    """Batches of noise with random classes: they cannot be learned by heart in the time of a benchmark."""

    def make() -> list:
        draw = np.random.RandomState(3)
        return [
            (draw.standard_normal((size, WIDTHS[0])).astype(np.float32), draw.randint(0, WIDTHS[-1], size))
            for _ in range(BATCHES)
        ]

    return make


def jax_program(size: int) -> Callable[[], Program]:
    """The same in JAX."""

    def make() -> Program:
        import jax
        import jax.numpy as jnp

        shapes = [(after, before) for before, after in itertools.pairwise(WIDTHS)]
        weights = [(value, np.full(value.shape[0], 0.5, np.float32)) for value in initial_weights(shapes)]

        def loss(values: list, x: Any, y: Any) -> Any:
            for index, (weight, bias) in enumerate(values):
                x = x @ weight.T + bias
                if index < len(values) - 1:
                    x = jax.nn.relu(x)
            return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1).mean()

        return jax_training(loss, weights, make_batches(size)())

    return make


def tinygrad_program(size: int) -> Callable[[], Program]:
    """The same in tinygrad."""

    def make() -> Program:
        package = peers.tinygrad()
        from tinygrad.nn.optim import AdamW

        shapes = [(after, before) for before, after in itertools.pairwise(WIDTHS)]
        weights = [package.Tensor(value) for value in initial_weights(shapes)]
        biases = [package.Tensor(np.full(shape[0], 0.5, np.float32)) for shape in shapes]
        parameters = [part for pair in zip(weights, biases, strict=True) for part in pair]
        optimizer = AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01)

        @package.TinyJit
        def step(x: Any, y: Any) -> Any:
            with package.Context(TRAINING=1):
                optimizer.zero_grad()
                for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                    x = x.linear(weight.T, bias)
                    x = x.relu() if index < len(weights) - 1 else x
                loss = x.sparse_categorical_crossentropy(y)
                loss.backward()
                optimizer.step()
                return loss.realize()

        batches = [tuple(package.Tensor(part).realize() for part in batch) for batch in make_batches(size)()]
        return training(lambda x, y: step(x, y).item(), batches)

    return make


for batch in (64, 512):
    register(Case(
        f"mlp-train-{batch}", "mlp", f"MLP 784-256-128-10, AdamW step, batch {batch}",
        contenders(make_model, make_loss, make_batches(batch))
        | {"jax": jax_program(batch), "tinygrad": Apart(tinygrad_program(batch))},
    ))  # fmt: skip
