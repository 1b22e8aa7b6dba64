"""Shapes that change for a long time: memory stays flat and results right. 10 s, or 10 minutes with `-m soak`."""

from __future__ import annotations

import gc
import os
import random

import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn
from squall.base import caches

MEGABYTE = 1 << 20


def resident():
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


class Work:
    """Uncompiled and compiled steps over sizes that change, against NumPy where that is cheap."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.model = nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 5))
        self.optimizer = sq.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.compiled = sq.compile(lambda x: (x.softmax(-1) * 2).sum(0))

    def turn(self):
        chance = self.chance
        batch, width = chance.randint(1, 90), chance.choice((3, 17, 40, 64))
        loss = F.cross_entropy(self.model(sq.rand(batch, 32)), sq.arange(batch) % 5)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        x = sq.rand(batch, width)
        total = self.compiled(x).sum().item()
        assert abs(total - 2 * batch) < 1e-3 * batch + 1e-3
        grown = sq.cat([x, x[: batch // 2]]).sort(0)[0]
        assert grown.shape == (batch + batch // 2, width)
        start = chance.randrange(batch)
        assert x[start:, : width // 2].sum().item() == pytest.approx(float(x.numpy()[start:, : width // 2].sum()), 1e-4)
        assert loss.item() == loss.item()


def soak(turns):
    """Resident bytes after a warm-up of a third of so many turns (not of a time: a slow machine warms up later), and
    at the end."""
    work, seen = Work(0), []
    for part in (turns // 3, turns - turns // 3):
        for _ in range(part):
            work.turn()
        gc.collect()
        seen.append(resident())
    return seen


def check(turns, allowed):
    warm, last = soak(turns)
    sizes = {name: found["entries"] for name, found in caches.statistics().items()}
    assert last - warm < allowed, f"{(last - warm) / MEGABYTE:.1f} MB more after {turns} turns; caches {sizes}"


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_memory_is_flat_for_a_thousand_turns():
    check(1000, 24 * MEGABYTE)


@pytest.mark.soak
def test_memory_is_flat_for_ten_minutes():
    check(60_000, 24 * MEGABYTE)
