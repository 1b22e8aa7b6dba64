"""A linear layer with what follows it (bias, GELU or ReLU, a residual), and a small one forward and backward.

The layer's weight counts as a weight: `squall frozen` and ONNX Runtime pack it beforehand.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.cases.frameworks import framework, initial_weights
from benchmarks.harness import Case, Program, register

EPILOGUES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "gelu": lambda F, y, rest: F.gelu(y),
    "relu": lambda F, y, rest: F.relu(y),
    "residual": lambda F, y, rest: y + rest,
}
LAYERS = {"gelu": (512, 768, 3072), "relu": (512, 768, 3072), "residual": (512, 3072, 768)}
FEW = (1, 768, 3072)  # one row, GELU
SMALL = (8, 16, 16)  # rows, inputs, outputs of the layer whose gradients are taken


def arrays(rows: int, inputs: int, outputs: int) -> list[np.ndarray]:
    """Rows, the layer's weight and bias, and what is added to its result."""
    draw = np.random.RandomState(7)
    weight, bias = initial_weights([(outputs, inputs), (outputs,)])
    return [draw.standard_normal((rows, inputs)).astype(np.float32), weight, bias,
            draw.standard_normal((rows, outputs)).astype(np.float32)]  # fmt: skip


def layer(name: str, epilogue: str, size: tuple[int, int, int], compiled: bool, freeze: bool = False) -> Any:
    """The layer in a framework with PyTorch's names, without gradients."""

    def make() -> Program:
        own = framework(name)
        x, weight, bias, rest = (own.package.tensor(value) for value in arrays(*size))
        after = EPILOGUES[epilogue]

        def apply(x: Any, rest: Any) -> Any:
            return after(own.functional, own.functional.linear(x, weight, bias), rest)

        if compiled:
            apply = own.package.compile(apply, **({"freeze": True} if freeze else {}))
        finish = own.package.synchronize if name == "squall" else lambda: None

        def call() -> Any:
            with own.package.no_grad():
                made = apply(x, rest)
            finish()
            return made

        return Program(call, lambda: [call().numpy()])

    return make


def jax_layer(epilogue: str, size: tuple[int, int, int]) -> Callable[[], Program]:
    """The same in JAX, jitted, the weight an argument."""

    def make() -> Program:
        import jax

        x, weight, bias, rest = (jax.numpy.asarray(value) for value in arrays(*size))
        after = {"gelu": lambda y, r: jax.nn.gelu(y, approximate=False), "relu": lambda y, r: jax.nn.relu(y),
                 "residual": lambda y, r: y + r}[epilogue]  # fmt: skip
        jitted = jax.jit(lambda x, w, b, r: after(x @ w.T + b, r))
        return Program(lambda: jitted(x, weight, bias, rest).block_until_ready(),
                       lambda: [np.asarray(jitted(x, weight, bias, rest))])  # fmt: skip

    return make


def onnx_layer(epilogue: str, size: tuple[int, int, int]) -> Callable[[], Program]:
    """The same in ONNX Runtime, the weight in the graph, inputs and outputs bound."""

    def make() -> Program:
        import torch

        x, weight, bias, rest = (torch.tensor(value) for value in arrays(*size))
        after = EPILOGUES[epilogue]

        class Layer(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)

            def forward(self, x: Any, rest: Any = None) -> Any:
                functional = torch.nn.functional
                return after(functional, functional.linear(x, self.weight, self.bias), rest)

        call = peers.onnx_bound_call(Layer(), (x, rest) if epilogue == "residual" else (x,))
        return Program(call, call)

    return make


def both_ways(name: str, compiled: bool) -> Callable[[], Program]:
    """The sum of a small layer's results and the gradients of weight and bias, left where gradients are kept."""

    def make() -> Program:
        own = framework(name)
        values = arrays(*SMALL)[:3]
        x, weight, bias = (own.package.tensor(value) for value in values)
        leaves = [weight.requires_grad_(), bias.requires_grad_()]

        def step(x: Any) -> Any:
            for leaf in leaves:
                leaf.grad = None
            total = own.functional.linear(x, *leaves).sum()
            total.backward()
            return total.detach()

        run = own.package.compile(step) if compiled else step
        finish = own.package.synchronize if name == "squall" else lambda: None

        def call() -> Any:
            made = run(x)
            finish()
            return made

        return Program(call, lambda: [call().numpy(), *(leaf.grad.numpy() for leaf in leaves)])

    return make


def jax_both_ways() -> Program:
    """The same in JAX, jitted."""
    import jax

    x, weight, bias = (jax.numpy.asarray(value) for value in arrays(*SMALL)[:3])
    jitted = jax.jit(jax.value_and_grad(lambda w, b, x: (x @ w.T + b).sum(), argnums=(0, 1)))

    def outputs() -> list:
        total, gradients = jitted(weight, bias, x)
        return [np.asarray(value) for value in (total, *gradients)]

    return Program(lambda: jax.block_until_ready(jitted(weight, bias, x)), outputs)


def add(epilogue: str, size: tuple[int, int, int]) -> None:
    """Register a layer with an epilogue."""
    rows, inputs, outputs = size
    register(Case(
        f"linear-{epilogue}-{rows}x{inputs}x{outputs}", "linear",
        f"{rows} rows through a linear layer {inputs} to {outputs}, then {epilogue}",
        {
            "squall": layer("squall", epilogue, size, False),
            "squall compiled": layer("squall", epilogue, size, True),
            "squall frozen": layer("squall", epilogue, size, True, freeze=True),
            "torch eager": layer("torch", epilogue, size, False),
            "torch compile": layer("torch", epilogue, size, True),
            "jax": jax_layer(epilogue, size),
            "onnxruntime, bound": onnx_layer(epilogue, size),
        },
        tolerance=1e-5, flops=2.0 * rows * inputs * outputs,
    ))  # fmt: skip


for kind, measured in LAYERS.items():
    add(kind, measured)
add("gelu", FEW)
register(Case(
    "linear-forward-backward", "linear",
    "{} rows through a linear layer {} to {}, summed, and its gradients".format(*SMALL),
    {
        "squall compiled": both_ways("squall", True), "squall uncompiled": both_ways("squall", False),
        "torch eager": both_ways("torch", False), "jax": jax_both_ways,
    },
    tolerance=1e-5, threads=(1,),
))  # fmt: skip
