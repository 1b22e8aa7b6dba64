"""Threads that evaluate graphs sharing nodes: each gets the value, none a half-finished graph."""

from __future__ import annotations

import threading

import squall as sq


def test_threads_evaluate_shared_pending_values() -> None:
    for round in range(20):
        base = sq.arange(1000, dtype=sq.float32) / 7 + round
        shared = (base * base + 1.0).sqrt()
        results: list = [None] * 4
        barrier = threading.Barrier(4)

        def work(number: int, shared=shared, results=results, barrier=barrier) -> None:
            barrier.wait()
            value = shared
            for _ in range(10):
                value = value * 1.5 - shared
            results[number] = value.tolist()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expected = shared
        for _ in range(10):
            expected = expected * 1.5 - shared
        assert results == [expected.tolist()] * 4
