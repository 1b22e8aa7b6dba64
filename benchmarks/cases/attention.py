"""Scaled dot-product attention, forward and backward, beside PyTorch's fused kernel."""

from collections.abc import Callable

import numpy as np

from benchmarks.cases.frameworks import framework
from benchmarks.harness import Case, Program, register

HEADS, FEATURES = 12, 64


def operands(length: int) -> list[np.ndarray]:
    """Query, key, value and the gradient of the result, the same in every framework."""
    draw = np.random.RandomState(3)
    return [draw.standard_normal((1, HEADS, length, FEATURES)).astype(np.float32) for _ in range(4)]


def forward(name: str, length: int, causal: bool) -> Callable[[], Program]:
    """The result, read as an array."""

    def make() -> Program:
        own = framework(name)
        q, k, v, _ = (own.package.tensor(value) for value in operands(length))

        def call() -> np.ndarray:
            return own.functional.scaled_dot_product_attention(q, k, v, is_causal=causal).numpy()

        return Program(call, lambda: [call()])

    return make


def backward(name: str, length: int, causal: bool) -> Callable[[], Program]:
    """The result and the gradients of query, key and value, read as arrays."""

    def make() -> Program:
        own = framework(name)
        *leaves, g = (own.package.tensor(value) for value in operands(length))
        for leaf in leaves:
            leaf.requires_grad_()

        def call() -> list[np.ndarray]:
            for leaf in leaves:
                leaf.grad = None
            own.functional.scaled_dot_product_attention(*leaves, is_causal=causal).backward(g)
            return [leaf.grad.numpy() for leaf in leaves]

        return Program(call, call)

    return make


for positions in (128, 512, 1024, 2048, 4096):
    for masked in (False, True):
        for kind, make in (("forward", forward), ("training", backward)):
            register(Case(
                f"attention-{kind}-{positions}{'-causal' if masked else ''}", "attention",
                f"{HEADS} heads of {FEATURES}, {positions} positions{', causal' if masked else ''}, {kind}",
                {
                    "squall": make("squall", positions, masked),
                    "torch eager": make("torch", positions, masked),
                },
                tolerance=1e-4,
            ))  # fmt: skip
