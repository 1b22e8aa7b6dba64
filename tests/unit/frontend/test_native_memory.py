"""Memory of results in native code: lists of pieces by size, and how middle-sized ones go back to the pool."""

from __future__ import annotations

import gc
from itertools import pairwise

import numpy as np
import pytest

import squall as sq
from squall.engine import ready
from squall.frontend import native
from squall.runtime.memory import host_pool
from tests.unit.frontend.native_code import load

SIZES = (1, 15, 16, 17, 1023, 1024, 1025, 1535, 1536, 1537, 2048, 9000, 32767, 32768, 32769, 50000)  # of 4 bytes


def results(size: int, count: int, rounds: int = 6) -> list[sq.Tensor]:
    """Results of a plan met before."""
    load()
    x = sq.arange(size).float()
    for _ in range(rounds):
        kept = [x + float(i) for i in range(count)]
        sq.flush()
    return kept


@pytest.mark.parametrize("size", SIZES)
def test_pieces_of_every_size_are_apart(size: int) -> None:
    kept = results(size, 40)
    begins = sorted(t._node.buffer.pointer for t in kept)
    assert all(begin % 64 == 0 for begin in begins)
    assert all(following - begin >= 4 * size for begin, following in pairwise(begins))
    assert all((t.numpy() == np.arange(size, dtype=np.float32) + i).all() for i, t in enumerate(kept))


def test_what_is_free_goes_back_before_the_pool_counts() -> None:
    gc.collect()
    before = host_pool().statistics().in_use
    kept = results(8192, 50)
    assert host_pool().statistics().in_use - before >= 50 * 32768
    del kept
    gc.collect()
    assert host_pool().statistics().in_use - before < 4 * 32768
    assert sq.empty_cache() >= 50 * 32768


def test_many_free_pieces_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "KEPT_BYTES", 1 << 20)
    monkeypatch.setattr(native._small, "_limit", 1 << 20)
    host_pool().statistics()
    held = native._small._held
    for size in range(2048, 32768, 1024):
        results(size, 10)
    assert native._small._held - held < 6 << 20
    assert native._small._held == sum(piece.size for piece in native._small._pieces.values())


def test_results_outlive_their_lists() -> None:
    kept = results(5000, 8)
    sq.empty_cache()
    others = results(5000, 8)
    assert {t._node.buffer.pointer for t in kept}.isdisjoint(t._node.buffer.pointer for t in others)
    assert all((t.numpy() == np.arange(5000, dtype=np.float32) + i).all() for i, t in enumerate(kept))
