"""Transforms beside the code one would write by hand, and what checkpoints save of a deep GPT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Case, Program, register

BATCH, INSIDE, HIDDEN, OUTSIDE = 64, 64, 128, 32


def arrays() -> tuple:
    """A network of two layers, inputs and targets."""
    draw = np.random.RandomState(3)
    shapes = ((INSIDE, HIDDEN), (HIDDEN, OUTSIDE), (BATCH, INSIDE), (BATCH, OUTSIDE))
    return tuple((draw.standard_normal(s) * 0.3).astype(np.float32) for s in shapes)


def one(first: Any, second: Any, x: Any) -> Any:
    """The network of one vector."""
    return (x @ first).tanh() @ second


def compiled(make: Callable[[Any], Callable], uses: tuple[int, ...]) -> Callable[[], Program]:
    """A compiled function of some of the arrays.

    Args:
        make: gives it, from squall. uses: which arrays.
    """

    def program() -> Program:
        import squall as sq

        function = sq.compile(make(sq))
        given = [sq.tensor(a) for i, a in enumerate(arrays()) if i in uses]

        def run() -> list:
            made = function(*given)
            return [t.numpy() for t in (made if isinstance(made, tuple) else (made,))]

        return Program(run, run)

    return program


def batched(sq: Any) -> Callable:
    """The network over a batch, by vmap."""
    return sq.vmap(one, (None, None, 0))


def each_gradient(sq: Any) -> Callable:
    """Gradients of both matrices for each sample, by vmap of grad."""

    def loss(first: Any, second: Any, x: Any, y: Any) -> Any:
        return ((one(first, second, x) - y) ** 2).sum()

    return sq.vmap(sq.func.grad(loss, (0, 1)), (None, None, 0, 0))


def each_gradient_by_hand(sq: Any) -> Callable:
    """The same, written out for the batch."""

    def gradients(first: Any, second: Any, x: Any, y: Any) -> tuple:
        hidden = (x @ first).tanh()
        out = (hidden @ second - y) * 2
        below = (out @ second.T) * (1 - hidden * hidden)
        return x[:, :, None] * below[:, None, :], hidden[:, :, None] * out[:, None, :]

    return gradients


def jacobian(sq: Any) -> Callable:
    """The jacobian of the network at one vector, by jacrev."""
    return lambda first, second, x: sq.jacrev(lambda v: one(first, second, v))(x[0])


def jacobian_by_hand(sq: Any) -> Callable:
    """The same, written out."""

    def made(first: Any, second: Any, x: Any) -> Any:
        hidden = (x[0] @ first).tanh()
        return (second.T * (1 - hidden * hidden)) @ first.T

    return made


def against(name: str, about: str, ours: Callable, hand: Callable, uses: tuple[int, ...]) -> None:
    """A case of a transform beside the code by hand."""
    register(Case(
        name, "transforms", about, {"squall": compiled(ours, uses), "squall by hand": compiled(hand, uses)},
        reference=("squall by hand",), threads=(1,),
    ))  # fmt: skip


against("vmap-forward", "vmap of a network of one vector, 64 vectors", batched, lambda sq: one, (0, 1, 2))
against(
    "vmap-grad", "gradients for each of 64 samples by vmap of grad", each_gradient, each_gradient_by_hand, (0, 1, 2, 3)
)
against("jacrev", "jacobian [32, 64] of a network by jacrev", jacobian, jacobian_by_hand, (0, 1, 2))


# ---------------------------------------------------------------- checkpoints
def deep(checkpointed: bool) -> tuple[Callable[[], Any], Any]:
    """Loss and gradients of a GPT of 24 layers, and its parameters."""
    import squall as sq
    from squall.models import GPT, GPTConfig
    from squall.nn import functional as F

    sq.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=64, block_size=128, n_layer=24, n_head=2, n_embd=64))
    tokens = sq.tensor(np.random.RandomState(0).randint(0, 64, (8, 129)))
    parameters = list(model.parameters())
    parts = model.transformer

    @sq.compile
    def step() -> Any:
        for p in parameters:
            p.grad = None
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        x = parts["wte"](inputs) + parts["wpe"].weight[:128]
        for block in parts["h"]:
            x = sq.checkpoint(block, x) if checkpointed else block(x)
        loss = F.cross_entropy(model.lm_head(parts["ln_f"](x)).reshape(-1, 64), targets.reshape(-1))
        loss.backward()
        return loss

    return step, parameters


def timed(checkpointed: bool) -> Callable[[], Program]:
    """A step of the deep GPT."""

    def make() -> Program:
        step, parameters = deep(checkpointed)
        return Program(lambda: step().item(), lambda: [step().item(), *(p.grad.numpy().copy() for p in parameters)])

    return make


def peak(checkpointed: bool) -> Callable[[], Program]:
    """Bytes that a step of it holds at its peak, beyond parameters and data."""

    def make() -> Program:
        import squall as sq
        from squall.runtime.memory import host_pool

        step, parameters = deep(checkpointed)

        def reading() -> float:
            step().item()
            for p in parameters:
                p.grad = None
            sq.flush()
            host_pool().reset_peak()
            before = host_pool().statistics().in_use
            step().item()
            return float(host_pool().statistics().peak - before)

        return Program(reading, lambda: None, reading)

    return make


register(Case(
    "checkpoint-gpt-24", "transforms", "a step of a GPT of 24 layers, every block a checkpoint",
    {"squall": timed(True), "squall without": timed(False)}, reference=("squall without",), threads=(1,), rounds=9,
))  # fmt: skip
register(Case(
    "checkpoint-gpt-24-memory", "transforms", "peak memory of a step of a GPT of 24 layers, every block a checkpoint",
    {"squall": peak(True), "squall without": peak(False)}, reference=("squall without",), threads=(1,), unit="bytes",
    rounds=3,
))  # fmt: skip
