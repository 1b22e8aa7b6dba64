"""What a piece of a test evaluates and keeps alive."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from squall.engine import realize
from squall.ir.node import Node, toposort


@contextmanager
def evaluated() -> Iterator[Counter]:
    """How often each op was evaluated inside the block, by name."""
    counts: Counter = Counter()
    original = realize.evaluate

    def evaluate(roots: list) -> None:
        pending = [r for r in roots if r.buffer is None]
        for node in toposort(pending, lambda n: n.buffer is not None):
            if node.buffer is None:
                counts[node.op.name] += 1
        original(roots)

    realize.evaluate = evaluate
    try:
        yield counts
    finally:
        realize.evaluate = original


def live_nodes() -> int:
    """How many Nodes exist."""
    gc.collect()
    return sum(type(thing) is Node for thing in gc.get_objects())


def no_leak(step: Callable[[], Any], held: list[Any], times: int, most: int, objects: int | None = None) -> bool:
    """Whether `times` steps leave references to things, and the number of `objects` when told, about as they were.

    What leaks does so every time; what earlier tests left behind (threads, cycles) goes once. So of three tries one
    has to be steady.
    """
    changes = []
    for _ in range(3):
        gc.collect()
        counts, before = [sys.getrefcount(thing) for thing in held], len(gc.get_objects())
        for _ in range(times):
            step()
        gc.collect()
        after = [sys.getrefcount(thing) for thing in held]
        changes.append([now - then for now, then in zip(after, counts, strict=True)])
        more = len(gc.get_objects()) - before
        if all(abs(change) < most for change in changes[-1]) and (objects is None or more < objects):
            return True
    print("references changed by", changes)
    return False
