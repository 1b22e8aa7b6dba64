"""Square matrix products in float32, read as an array."""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.cases.frameworks import framework
from benchmarks.harness import Case, Program, register


def matrices(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices of a size, the same in every framework."""
    draw = np.random.RandomState(2)
    return tuple(draw.standard_normal((size, size)).astype(np.float32) for _ in range(2))


def product(name: str, size: int) -> Callable[[], Program]:
    """`a @ b` in a framework with PyTorch's names."""

    def make() -> Program:
        package = framework(name).package
        a, b = (package.tensor(value) for value in matrices(size))

        def call() -> np.ndarray:
            return (a @ b).numpy()

        return Program(call, lambda: [call()])

    return make


def numpy_product(size: int) -> Callable[[], Program]:
    """`a @ b` in NumPy."""

    def make() -> Program:
        a, b = matrices(size)
        return Program(partial(np.matmul, a, b), lambda: [a @ b])

    return make


def jax_product(size: int) -> Callable[[], Program]:
    """`a @ b` in JAX, jitted."""

    def make() -> Program:
        import jax
        import jax.numpy as jnp

        a, b = (jnp.asarray(value) for value in matrices(size))
        multiply = jax.jit(jnp.matmul)
        return Program(lambda: multiply(a, b).block_until_ready(), lambda: [multiply(a, b)])

    return make


for edge in (256, 512, 768, 1024):
    register(Case(
        f"matmul-{edge}", "matmul", f"{edge} x {edge} times {edge} x {edge}",
        {
            "squall": product("squall", edge),
            "torch eager": product("torch", edge),
            "numpy": numpy_product(edge),
            "jax": jax_product(edge),
        },
        tolerance=1e-5,
    ))  # fmt: skip
