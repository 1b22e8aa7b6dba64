"""Matrix products of many shapes: squares, transposed operands, rows against a transformer's weights, bfloat16.

A name says dtype, rows x columns x depth and how the operands are stored: "n" as written, "t" transposed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks import peers
from benchmarks.cases.frameworks import framework
from benchmarks.harness import Case, Program, register

TOLERANCES = {"f32": 1e-5, "bf16": 1e-2}
DTYPES = {"f32": "float32", "bf16": "bfloat16"}


class Product(NamedTuple):
    """One product: dtype, rows, columns, depth, layout of the operands."""

    dtype: str
    m: int
    n: int
    k: int
    layout: str

    def arrays(self) -> list[np.ndarray]:
        """The operands as they are stored, the same in every framework."""
        draw = np.random.RandomState(4)
        shapes = (self.m, self.k), (self.k, self.n)
        return [draw.standard_normal(shape[::-1] if how == "t" else shape).astype(np.float32)
                for shape, how in zip(shapes, self.layout, strict=True)]  # fmt: skip


def own_product(name: str, product: Product) -> Callable[[], Program]:
    """`a @ b` in a framework with PyTorch's names, without gradients."""

    def make() -> Program:
        package = framework(name).package
        stored = [package.tensor(value).to(getattr(package, DTYPES[product.dtype])) for value in product.arrays()]

        def multiply() -> Any:
            a, b = (x.T if how == "t" else x for x, how in zip(stored, product.layout, strict=True))
            with package.no_grad():
                return a @ b

        def call() -> Any:
            made = multiply()
            package.flush()
            return made

        def outputs() -> list:
            return [multiply().to(package.float32).numpy()]

        return Program(call if name == "squall" else multiply, outputs)

    return make


def frozen_product(product: Product) -> Callable[[], Program]:
    """The same in squall, compiled, the second operand as a weight that is packed once."""

    def make() -> Program:
        package = framework("squall").package
        stored = [package.tensor(value).to(getattr(package, DTYPES[product.dtype])) for value in product.arrays()]
        a, weight = stored

        def multiply(x: Any) -> Any:
            return (x.T if product.layout[0] == "t" else x) @ (weight.T if product.layout[1] == "t" else weight)

        frozen = package.compile(multiply, freeze=True)

        def call() -> Any:
            with package.no_grad():
                return frozen(a)

        return Program(call, lambda: [call().to(package.float32).numpy()])

    return make


def torch_prepacked(product: Product) -> Callable[[], Program]:
    """The same in PyTorch, the second operand packed beforehand by oneDNN."""

    def make() -> Program:
        import torch

        a, b = (torch.tensor(value).to(getattr(torch, DTYPES[product.dtype])) for value in product.arrays())
        weight = b if product.layout[1] == "t" else b.T.contiguous()
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, product.m)

        def call() -> Any:
            with torch.no_grad():
                return torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")

        return Program(call, lambda: [call().float().numpy()])

    return make


def jax_product(product: Product) -> Callable[[], Program]:
    """The same in JAX, jitted."""

    def make() -> Program:
        import jax
        import jax.numpy as jnp

        dtype = jnp.dtype(DTYPES[product.dtype])
        stored = [jnp.asarray(value).astype(dtype) for value in product.arrays()]

        def multiply(*operands: Any) -> Any:
            a, b = (x.T if how == "t" else x for x, how in zip(operands, product.layout, strict=True))
            return a @ b

        jitted = jax.jit(multiply)
        return Program(lambda: jitted(*stored).block_until_ready(),
                       lambda: [np.asarray(jitted(*stored).astype(jnp.float32))])  # fmt: skip

    return make


def onnx_product(product: Product) -> Callable[[], Program]:
    """The same in ONNX Runtime, the second operand as a weight of the graph, which it packs beforehand."""

    def make() -> Program:
        import torch

        class Layer(torch.nn.Module):
            def __init__(self, weight: Any):
                super().__init__()
                self.weight = torch.nn.Parameter(weight)

            def forward(self, x: Any) -> Any:
                a, b = (v.T if how == "t" else v for v, how in zip((x, self.weight), product.layout, strict=True))
                return a @ b

        a, b = (torch.tensor(value) for value in product.arrays())
        call = peers.onnx_call(Layer(b), (a,))
        return Program(call, call)

    return make


def add(product: Product) -> None:
    """Register a product."""
    contenders = {
        "squall": own_product("squall", product), "torch eager": own_product("torch", product),
        "jax": jax_product(product),
    }  # fmt: skip
    if product.layout[0] == "n":
        contenders |= {"squall frozen": frozen_product(product), "torch prepacked": torch_prepacked(product)}
    if product.dtype == "f32":
        contenders["onnxruntime"] = onnx_product(product)
    m, n, k = product[1:4]
    name = f"gemm-{product.dtype}-{m}x{n}x{k}-{product.layout}"
    about = f"{m} x {k} times {k} x {n}, {DTYPES[product.dtype]}, operands stored {product.layout}"
    register(Case(name, "gemm", about, contenders, tolerance=TOLERANCES[product.dtype], full=m * n * k > 1 << 32,
                  flops=2.0 * m * n * k if product.dtype == "f32" else 0.0))  # fmt: skip


for edge in (64, 128, 256, 512, 768, 1024, 2048):
    for stored in ("nn", "nt", "tn"):
        add(Product("f32", edge, edge, edge, stored))
for rows in (1, 8, 32, 128, 512):
    for columns, deep in ((768, 768), (3072, 768), (768, 3072)):
        for stored in ("nn", "nt"):
            add(Product("f32", rows, columns, deep, stored))
for shape in ((10000, 64, 64), (64, 64, 4096), (100, 100, 100), (1, 384, 384)):
    add(Product("f32", *shape, "nn"))
for edge in (64, 256, 512, 768, 1024):
    for stored in ("nn", "nt", "tn"):
        add(Product("bf16", edge, edge, edge, stored))
for rows in (1, 8, 32, 512):
    add(Product("bf16", rows, 3072, 768, "nt"))
