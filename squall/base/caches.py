"""The only kind of cache: a locked dictionary with a bound, counted and listed by name.

Keys compare in full. `statistics()` lists every cache of the process for `squall doctor` and the tests.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Any

_caches: list[Cache] = []


class Cache:
    """A bounded map from full keys to values; the oldest used entry leaves first.

    Args:
        name: what statistics call it. limit: entries kept.
    """

    def __init__(self, name: str, limit: int = 4096):
        self.name, self.limit = name, limit
        self.entries: dict[Hashable, Any] = {}
        self.lock = threading.RLock()
        self.hits = self.misses = 0
        _caches.append(self)

    def get(self, key: Hashable) -> Any:
        """The value, or None; a hit makes the entry the newest."""
        with self.lock:
            value = self.entries.pop(key, None)
            if value is None:
                self.misses += 1
                return None
            self.entries[key] = value
            self.hits += 1
            return value

    def put(self, key: Hashable, value: Any) -> Any:
        """Keep a value; returns the one already there if another thread was first."""
        with self.lock:
            value = self.entries.setdefault(key, value)
            while len(self.entries) > self.limit:
                del self.entries[next(iter(self.entries))]
            return value

    def get_or_make(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value, made and kept when missing. `make` runs outside the lock."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value

    def clear(self) -> None:
        """Forget all entries; counters stay."""
        with self.lock:
            self.entries.clear()


def statistics() -> dict[str, dict[str, int]]:
    """Entries, hits and misses of each cache."""
    return {c.name: {"entries": len(c.entries), "hits": c.hits, "misses": c.misses} for c in _caches}


def _reset_locks() -> None:
    for cache in _caches:
        cache.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_locks)
