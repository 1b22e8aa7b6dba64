"""Arena planning: buffers that live only inside a plan share memory when their lives do not overlap.

Lives are positions of steps. Every buffer goes where it fits with the least waste; two orders of choosing are tried, as
they come to life and the largest first, and the smaller arena is taken. With symbolic sizes nothing is known about fit,
so such buffers lie one after the other.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import Any, NamedTuple

ALIGN = 64
MOST_BY_SIZE = 1000  # buffers; the time it takes grows with the square


class Life(NamedTuple):
    """A buffer, its bytes, and the first and last step that touch it."""

    buffer: int
    nbytes: Any
    begin: int
    end: int


def aligned(nbytes: Any) -> Any:
    """The size rounded up to the alignment."""
    return (nbytes + (ALIGN - 1)) // ALIGN * ALIGN


def plan(lives: list[Life]) -> tuple[dict[int, Any], Any]:
    """The offset of each buffer, and the bytes of the arena."""
    fixed = [life for life in lives if isinstance(life.nbytes, int)]
    offsets, total = _by_begin(fixed)
    if len(fixed) <= MOST_BY_SIZE:
        others, least = _by_size(fixed)
        if least < total:
            offsets, total = others, least
    for life in lives:
        if not isinstance(life.nbytes, int):
            offsets[life.buffer] = total
            total = total + aligned(life.nbytes)
    return offsets, total


def _fit(busy: Iterable[tuple[int, int]], size: int) -> int:
    """Where a buffer wastes least among occupied stretches, which come in order."""
    best, waste, at = None, None, 0
    for begin, end in busy:
        gap = begin - at
        if gap >= size and (waste is None or gap - size < waste):
            best, waste = at, gap - size
        at = max(at, end)
    return at if best is None else best


def _by_begin(fixed: list[Life]) -> tuple[dict[int, Any], Any]:
    """Buffers as they come to life, the largest of those that begin together first."""
    offsets: dict[int, Any] = {}
    placed: list[tuple[int, int, Life]] = []
    top = 0
    for life in sorted(fixed, key=lambda life: (life.begin, -life.nbytes)):
        size = aligned(life.nbytes)
        placed = [p for p in placed if p[2].end >= life.begin]
        where = offsets[life.buffer] = _fit(sorted(p[:2] for p in placed), size)
        placed.append((where, where + size, life))
        top = max(top, where + size)
    return offsets, top


def _by_size(fixed: list[Life]) -> tuple[dict[int, Any], Any]:
    """The largest buffers first, whenever they live: mostly nearer to what is alive at the worst moment."""
    offsets: dict[int, Any] = {}
    placed: list[tuple[int, int, int, Life]] = []
    top = 0
    for number, life in enumerate(sorted(fixed, key=lambda life: (-life.nbytes, life.begin))):
        size, begin, end = aligned(life.nbytes), life.begin, life.end
        where = _fit(((o, e) for o, e, _, p in placed if p.end >= begin and p.begin <= end), size)
        offsets[life.buffer] = where
        insort(placed, (where, where + size, number, life))
        top = max(top, where + size)
    return offsets, top
