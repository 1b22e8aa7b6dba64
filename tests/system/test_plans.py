"""DESIGN S9 to S11: numbers and sizes that vary do not make plans. Counts plans and compiled kernels of whole
programs.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import squall as sq
from squall import nn, optim
from squall.base import trace
from squall.models import GPT, GPTConfig


def plans() -> int:
    return trace.counters.get("plans compiled", 0)


def kernels() -> int:
    return trace.counters.get("kernels compiled", 0) + trace.counters.get("kernels lowered", 0)


def training(rng: random.Random) -> Any:
    sq.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    inputs, labels = sq.randn(1000, 16), sq.randint(0, 4, (1000,))
    sq.flush()
    steps = [0]

    def step(batch: int) -> float:
        steps[0] += 1
        start = rng.randrange(0, 1000 - batch)
        optimizer.param_groups[0]["lr"] = 1e-3 / steps[0]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs[start:start + batch]), labels[start:start + batch])
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def test_batch_sizes_and_learning_rates_share_plans() -> None:
    step = training(random.Random(0))
    for _ in range(3):
        step(64)
    before = plans()
    assert before
    for batch in (32, 1, 64, 32, 1):
        for _ in range(3):
            step(batch)
    assert plans() - before <= 3
    made = plans(), kernels()
    for batch in (64, 48, 17, 200, 2, 1, 33):
        step(batch)
    assert (plans(), kernels()) == made, "sizes never seen before need neither a plan nor a kernel"


def test_decoding_with_a_cache_of_fixed_size() -> None:
    model = GPT(GPTConfig(vocab_size=31, block_size=128, n_layer=2, n_head=2, n_embd=32))
    start = sq.zeros(1, 4, dtype=sq.int64)
    sq.flush()
    before = plans()
    assert model.generate(start, 100).shape == (1, 104)
    sq.flush()
    assert plans() - before <= 3


def test_attention_over_a_growing_cache() -> None:
    x, cache = sq.randn(1, 8), sq.zeros(300, 8)
    sq.flush()
    before = plans()
    for position in range(200):
        cache[position] = x[0]
        seen = cache[:position + 1]
        x = ((x @ seen.T).softmax(-1) @ seen + 0.1).tanh()
        x.tolist()
    assert plans() - before <= 3


def test_generalised_plans_give_the_bits_of_concrete_ones() -> None:
    def run(size: int) -> list:
        x = sq.arange(size * 6, dtype=sq.float32).reshape(size, 6) / 7
        return ((x.softmax(1) @ x.t()).sum(0) / x.mean()).tolist()

    sizes = (40, 30, 20, 11, 5, 3, 2)
    mixed = [run(size) for size in sizes]
    for size, found in zip(sizes, mixed, strict=True):
        with sq.options(fuse=True, tune=False):
            sq.set_eager(True)
            try:
                assert run(size) == found
            finally:
                sq.set_eager(False)


@pytest.mark.parametrize("how", [lambda f: f, sq.compile])
def test_a_kernel_does_not_wait_for_itself(how):
    """`maximum` reads `d` turned, in its memory; in one kernel with `d` it would read `turned`, which waits for it."""

    def several(a, b):
        d = a / b
        turned = d.T + 0.0
        return d, turned.mean() + turned, sq.maximum(turned, d), d.square()

    a = np.arange(1.0, 10.0).reshape(3, 3)
    b = a[::-1] + 1
    d = a / b
    wanted = d, d.T.mean() + d.T, np.maximum(d.T, d), d * d
    for got, want in zip(how(several)(sq.tensor(a), sq.tensor(b)), wanted, strict=True):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-14)
