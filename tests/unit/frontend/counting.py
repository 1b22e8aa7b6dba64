"""What a piece of a test evaluates and keeps alive."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

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
