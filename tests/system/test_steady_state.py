"""Once a loop has settled, its results lie in memory that earlier ones gave back: the system is asked for none."""

from __future__ import annotations

import squall as sq
from squall import nn, optim
from squall.runtime.memory import host_pool


def test_a_train_step_asks_the_system_for_no_memory():
    sq.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, 10))
    optimizer = optim.AdamW(model.parameters())
    x, y = sq.randn(256, 64), sq.randint(0, 10, (256,))

    def step() -> sq.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for run in (step, sq.compile(step)):
        for _ in range(12):
            run().item()
        before = host_pool().statistics()
        for _ in range(20):
            run().item()
        after = host_pool().statistics()
        assert after.misses == before.misses and after.in_use <= before.in_use + (64 << 10)


def test_large_results_reuse_pages_until_they_are_given_back():
    x = sq.randn(512, 1024)
    sq.synchronize()
    places = set()
    for _ in range(6):
        made = nn.functional.gelu(x * 2.0 + 1.0)
        sq.synchronize()
        places.add(made.numpy().__array_interface__["data"][0])
        del made
    assert len(places) <= 2
    assert host_pool().statistics().cached >= 512 * 1024 * 4
    assert sq.empty_cache() >= 512 * 1024 * 4 and host_pool().statistics().cached == 0
