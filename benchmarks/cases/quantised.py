"""Quantised linear layers: bytes times prepacked bytes, summed in int32, scaled, shifted, rounded and stored as bytes.

Rows and weights are signed bytes with one scale for each output channel; results are compared within one quantum.
PyTorch runs oneDNN through its quantised linear layer (unsigned rows, zero point 128) and through the operation that
its compiler emits (signed rows). `gemm-int8-MxNxK`.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases.frameworks import framework
from benchmarks.harness import Case, Program, register

ONE_QUANTUM = 1.01 / 127  # of results that fill the range
ROWS, WEIGHTS, RESULT = 0.05, 0.01, 0.03  # scales: of rows, of weights (times 1 to 2 by channel), of what is stored


class Layer(NamedTuple):
    """Rows, weights, the weights' scales, and the bias."""

    rows: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    bias: np.ndarray


def layer(m: int, n: int, k: int) -> Layer:
    """The same numbers in every framework; results have a spread of about a third of the range."""
    draw = np.random.RandomState(8)
    size = RESULT * 40 / (ROWS * WEIGHTS * 1.5 * 73 * 73 * k**0.5)
    return Layer(draw.randint(-127, 128, (m, k)).astype(np.int8), draw.randint(-127, 128, (n, k)).astype(np.int8),
                 (WEIGHTS * size * (1 + draw.rand(n))).astype(np.float32), draw.standard_normal(n).astype(np.float32))


def own(sizes: tuple[int, int, int], freeze: bool) -> Callable[[], Program]:
    """The layer as it is written in squall, compiled; frozen, its weight is packed once."""

    def make() -> Program:
        package = framework("squall").package
        given = layer(*sizes)
        rows, weights = package.tensor(given.rows), package.tensor(given.weights)
        scale, bias = package.tensor(given.scales * np.float32(ROWS / RESULT)), package.tensor(given.bias / RESULT)

        def apply(x: Any) -> Any:
            sums = (x.to(package.int32) @ weights.to(package.int32).T).to(package.float32)
            return (sums * scale + bias).round().clamp(-128, 127).to(package.int8)

        compiled = package.compile(apply, freeze=freeze)

        def call() -> Any:
            with package.no_grad():
                made = compiled(rows)
            package.synchronize()
            return made

        return Program(call, lambda: [call().numpy()])

    return make


def torch_layer(sizes: tuple[int, int, int]) -> Callable[[], Program]:
    """PyTorch's quantised linear layer, whose rows and results are unsigned."""

    def make() -> Program:
        import torch

        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions")
        torch.backends.quantized.engine = "onednn"
        given = layer(*sizes)
        rows = torch._make_per_tensor_quantized_tensor(
            torch.tensor(given.rows.astype(np.int16) + 128).to(torch.uint8), ROWS, 128
        )
        weights = torch._make_per_channel_quantized_tensor(
            torch.tensor(given.weights), torch.tensor(given.scales).double(), torch.zeros(sizes[1], dtype=torch.long), 0
        )
        packed = torch.ops.quantized.linear_prepack(weights, torch.tensor(given.bias))

        def call() -> Any:
            return torch.ops.quantized.linear(rows, packed, RESULT, 128)

        return Program(call, lambda: [call().int_repr().numpy().astype(np.int16) - 128])

    return make


def torch_operation(sizes: tuple[int, int, int]) -> Callable[[], Program]:
    """The operation that PyTorch's compiler makes of such a layer, with signed rows and results."""

    def make() -> Program:
        import torch

        given = layer(*sizes)
        rows, scales, bias = (torch.tensor(value) for value in (given.rows, given.scales, given.bias))
        packed = torch.ops.onednn.qlinear_prepack(torch.tensor(given.weights), list(given.rows.shape))
        points = torch.zeros(sizes[1], dtype=torch.int64)

        def call() -> Any:
            return torch.ops.onednn.qlinear_pointwise(
                rows, ROWS, 0, packed, scales, points, bias, RESULT, 0, torch.int8, "none", [], ""
            )

        return Program(call, lambda: [call().numpy()])

    return make


def add(m: int, n: int, k: int) -> None:
    """Register a layer of k inputs and n outputs, for m rows."""
    sizes = m, n, k
    register(Case(
        f"gemm-int8-{m}x{n}x{k}", "gemm",
        f"{m} rows of bytes through a quantised linear layer {k} to {n}, bytes out",
        {
            "squall frozen": own(sizes, True), "squall compiled": own(sizes, False),
            "torch prepacked": torch_layer(sizes), "torch prepacked, signed": torch_operation(sizes),
        },
        reference=("torch prepacked",), tolerance=ONE_QUANTUM,
    ))  # fmt: skip


for edge in (256, 512, 768, 1024):
    add(edge, edge, edge)
for few in (1, 32, 512):
    add(few, 3072, 768)
