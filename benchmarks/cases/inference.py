"""Small networks: one sample at a time from Python, and a network of a few thousand weights over large batches."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.apart import Apart
from benchmarks.cases.frameworks import Framework, framework, initial_weights, set_weights
from benchmarks.harness import Case, Program, register, repeated

CALLS = 1000
BATCH = 65536


def make_model(own: Framework, widths: tuple[int, ...]) -> Any:
    """Linear layers with ReLU between them."""
    layers = []
    for index in range(len(widths) - 1):
        layers += [own.nn.Linear(widths[index], widths[index + 1]), own.nn.ReLU()]
    model = own.nn.Sequential(*layers[:-1])
    set_weights(own, model)
    return model.eval().requires_grad_(False)


def samples(widths: tuple[int, ...], batch: int) -> np.ndarray:
    """Rows of noise."""
    return np.random.default_rng(21).standard_normal((batch, widths[0]), dtype=np.float32)


def running(
    name: str, widths: tuple[int, ...], batch: int, compiled: bool, array: bool = True, **options: Any
) -> Callable[[], Program]:
    """squall or torch: a Tensor in, an array or a Tensor (computed, not pending) out; options of `compile`."""

    def make() -> Program:
        own = framework(name)
        model, package = make_model(own, widths), own.package
        x = package.tensor(samples(widths, batch))
        function = package.compile(model, **options) if compiled else model
        call = (lambda: function(x).numpy()) if array else (lambda: function(x))
        times = CALLS if batch == 1 else 1
        return Program(repeated(call, times), lambda: [function(x).numpy()])

    return make


def bound_running(widths: tuple[int, ...]) -> Callable[[], Program]:
    """squall: one sample through a frozen function that is bound to its argument and to memory for the result."""

    def make() -> Program:
        own = framework("squall")
        model = make_model(own, widths)
        bound = own.package.compile(model, freeze=True).bind(samples(widths, 1))
        return Program(repeated(bound.run, CALLS), lambda: [bound.run()])

    return make


def jax_running(widths: tuple[int, ...], batch: int) -> Callable[[], Program]:
    """JAX: one jitted function, waited for."""

    def make() -> Program:
        import jax
        import jax.numpy as jnp

        shapes = list(zip(widths[1:], widths[:-1], strict=True))
        given = [(jnp.asarray(value), jnp.full(value.shape[0], 0.5)) for value in initial_weights(shapes)]

        def forward(values: list, x: Any) -> Any:
            for index, (weight, bias) in enumerate(values):
                x = x @ weight.T + bias
                x = jax.nn.relu(x) if index < len(values) - 1 else x
            return x

        function, x = jax.jit(forward), jnp.asarray(samples(widths, batch))
        return Program(
            repeated(lambda: np.asarray(function(given, x)), CALLS if batch == 1 else 1),
            lambda: [np.asarray(function(given, x))],
        )

    return make


def onnx_running(widths: tuple[int, ...], batch: int, bound: bool = False) -> Callable[[], Program]:
    """ONNX Runtime."""

    def make() -> Program:
        own = framework("torch")
        prepare = peers.onnx_bound_call if bound else peers.onnx_call
        call = prepare(make_model(own, widths), (own.package.tensor(samples(widths, batch)),))
        return Program(repeated(call, CALLS if batch == 1 else 1), lambda: [call()[0]])

    return make


def tinygrad_running(widths: tuple[int, ...], batch: int) -> Callable[[], Program]:
    """tinygrad under TinyJit."""

    def make() -> Program:
        package = peers.tinygrad()
        shapes = list(zip(widths[1:], widths[:-1], strict=True))
        halves = [np.full(after, 0.5, np.float32) for after, _ in shapes]
        given = [tuple(map(package.Tensor, pair)) for pair in zip(initial_weights(shapes), halves, strict=True)]

        @package.TinyJit
        def forward(x: Any) -> Any:
            for index, (weight, bias) in enumerate(given):
                x = x.linear(weight.T, bias)
                x = x.relu() if index < len(given) - 1 else x
            return x.realize()

        x = package.Tensor(samples(widths, batch)).realize()
        return Program(repeated(lambda: forward(x).numpy(), CALLS if batch == 1 else 1), lambda: [forward(x).numpy()])

    return make


def one_sample(widths: tuple[int, ...]) -> dict[str, Callable[[], Program]]:
    """squall's other ways to call a network with one sample."""
    return {
        "squall compiled, a Tensor": running("squall", widths, 1, True, array=False),
        "squall frozen, a Tensor": running("squall", widths, 1, True, array=False, freeze=True),
        "squall frozen, bound": bound_running(widths),
    }


def everybody(widths: tuple[int, ...], batch: int) -> dict[str, Callable[[], Program]]:
    """All contenders of a network."""
    one = batch == 1
    return {
        "squall compiled": running("squall", widths, batch, True),
        "squall frozen": running("squall", widths, batch, True, freeze=True),
        **(one_sample(widths) if one else {}),
        "squall uncompiled": running("squall", widths, batch, False),
        "torch eager": running("torch", widths, batch, False),
        "torch compile": running("torch", widths, batch, True),
        "jax": jax_running(widths, batch),
        "tinygrad": Apart(tinygrad_running(widths, batch)),
        "onnxruntime": onnx_running(widths, batch),
        **({"onnxruntime, bound": onnx_running(widths, batch, bound=True)} if one else {}),
    }


for label, widths in (("784", (784, 128, 64, 10)), ("2", (2, 8, 1))):
    register(Case(
        f"one-sample-{label}", "inference", f"one sample through {'-'.join(map(str, widths))}, from Python",
        everybody(widths, 1), per_call=CALLS, threads=(1,),
    ))  # fmt: skip

NIM = (64, 64, 23)
register(Case(
    "batched-64-64-23", "inference", f"{BATCH} samples through 64-64-23", everybody(NIM, BATCH), threads=(1, 2),
    flops=2.0 * BATCH * (64 * 64 + 64 * 23), traffic=4.0 * BATCH * (64 + 23),
))  # fmt: skip
