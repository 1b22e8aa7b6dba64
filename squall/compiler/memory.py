"""Arena planning: buffers that live only inside a plan share memory when their lives do not overlap.

Lives are positions of steps. Offsets are chosen best-fit, largest buffers of a life first come where they fit with
the least waste. With symbolic sizes nothing is known about fit, so such buffers lie one after the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

ALIGN = 64


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
    offsets: dict[int, Any] = {}
    placed: list[tuple[int, int, Life]] = []
    top = 0
    for life in sorted(fixed, key=lambda life: (life.begin, -life.nbytes)):
        size = aligned(life.nbytes)
        busy = sorted((o, e) for o, e, other in placed if other.end >= life.begin)
        best, waste, at = None, None, 0
        for begin, end in busy:
            gap = begin - at
            if gap >= size and (waste is None or gap - size < waste):
                best, waste = at, gap - size
            at = max(at, end)
        where = at if best is None else best
        offsets[life.buffer] = where
        placed = [p for p in placed if p[2].end >= life.begin]
        placed.append((where, where + size, life))
        top = max(top, where + size)
    total: Any = top
    for life in lives:
        if not isinstance(life.nbytes, int):
            offsets[life.buffer] = total
            total = total + aligned(life.nbytes)
    return offsets, total
