"""Memory of middling size from shared huge pages.

A block of some 100 KB to 2 MB is too small for huge pages of its own, and does not do well without: the processor asks
for lines ahead only within a page, and finds small pages anywhere, so some sets of the second-level cache are crowded
and others empty (a product of bfloat16 matrices of 1 MB each took a third longer). Such blocks lie side by side on
shelves: mappings of several huge pages, given back when the last block of one has gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from squall.runtime import fork

UNIT = 16 << 10  # what a shelf's space is counted in
SHELF = 8 << 20
_UNITS = SHELF // UNIT
_FULL = (1 << _UNITS) - 1


class Shelves:
    """Space for blocks on shelves.

    Args:
        acquire, release: where shelves of `SHELF` bytes come from, and go.

    Example:
        >>> shelves = Shelves(lambda nbytes: 1 << 30, lambda pointer, nbytes: None)
        >>> first, second = shelves.acquire(100_000), shelves.acquire(100_000)
        >>> second - first
        114688
        >>> shelves.release(first, 100_000)
        >>> shelves.acquire(50_000) == first
        True
    """

    def __init__(self, acquire: Callable[[int], int], release: Callable[[int, int], None]):
        self._acquire, self._release = acquire, release
        self._taken: dict[int, int] = {}  # where shelves begin; their units that are taken, as bits
        self._reset_lock()
        fork.in_child(self._reset_lock)

    def _reset_lock(self) -> None:
        self._lock = threading.RLock()

    def acquire(self, nbytes: int) -> int:
        """Space for `nbytes`, at most a shelf, at a multiple of `UNIT`; 0 where the system has none."""
        units = (1 << -(-nbytes // UNIT)) - 1
        with self._lock:
            while True:
                for start, taken in list(self._taken.items()):
                    at = _first_gap(taken, units.bit_length())
                    wanted = units << max(at, 0)
                    if at >= 0 and self._taken.get(start) == taken:  # no finalizer or handler was here as well
                        self._taken[start] = taken | wanted
                        return start + at * UNIT
                start = self._acquire(SHELF)
                if not start:
                    return 0
                self._taken[start] = 0

    def release(self, pointer: int, nbytes: int) -> None:
        """Give back what `acquire(nbytes)` returned."""
        units = (1 << -(-nbytes // UNIT)) - 1
        with self._lock:
            start = next(s for s in list(self._taken) if s <= pointer < s + SHELF)
            units <<= (pointer - start) // UNIT
            self._taken[start] &= ~units
            if self._taken[start]:
                return
            del self._taken[start]
        self._release(start, SHELF)


def _first_gap(taken: int, count: int) -> int:
    """The first of `count` units in a row that are free, or -1."""
    starts, have = ~taken & _FULL, 1
    while have < count and starts:  # from `have` units in a row to twice as many
        step = min(have, count - have)
        starts &= starts >> step
        have += step
    return (starts & -starts).bit_length() - 1 if starts else -1
