"""Arena planning: buffers that live only inside a plan share memory when their lives do not overlap.

Lives are positions of steps. Every buffer goes where it fits with the least waste; two orders of choosing are tried, as
they come to life and the largest first, and the smaller arena is taken. With symbolic sizes nothing is known about fit,
so such buffers lie one after the other.

Results that are written late (gradients) may lend their memory until then: see `plan`.
"""

from __future__ import annotations

from bisect import insort
from typing import Any, NamedTuple

ALIGN = 64
MOST_BY_SIZE = 1000  # buffers; the time it takes grows with the square
LEAST_SHARED = 1 << 20  # bytes that sharing a block has to spare
NEVER = 1 << 60  # the last step of what outlives the plan


class Life(NamedTuple):
    """A buffer, its bytes, and the first and last step that touch it."""

    buffer: int
    nbytes: Any
    begin: int
    end: int


def aligned(nbytes: Any) -> Any:
    """The size rounded up to the alignment. Nothing takes as much as one byte: kernels may read the first element of
    a row before they ask whether there is one."""
    least = max(nbytes, 1) if isinstance(nbytes, int) else nbytes
    return (least + (ALIGN - 1)) // ALIGN * ALIGN


class Layout(NamedTuple):
    """Offsets of buffers and the bytes of the arena; `places` of hosts in the `shared` bytes of their block, and the
    buffers that lie `inside` of it instead of the arena."""

    offsets: dict[int, Any]
    total: Any
    places: dict[int, int] = {}
    shared: int = 0
    inside: frozenset[int] = frozenset()


def plan(lives: list[Life], hosts: list[Life] | None = None) -> Layout:
    """Where each buffer goes.

    Args:
        lives: what lives only inside the plan. hosts: results that may lie side by side in one block. Each begins to
            live with its first write, and until then its memory serves others: a gradient that is written last holds
            the activations of the layers behind. They share a block where that makes the arena enough smaller.
    """
    fixed = [life for life in lives if isinstance(life.nbytes, int)]
    made = _best(fixed, [])
    if hosts and isinstance(made.total, int) and made.total >= LEAST_SHARED:
        shared = _best(fixed, hosts)
        if made.total - shared.total >= max(LEAST_SHARED, made.total >> 5):
            made = shared
    offsets, total = made.offsets, made.total
    for life in lives:
        if not isinstance(life.nbytes, int):
            offsets[life.buffer] = total
            total = total + aligned(life.nbytes)
    if any(not isinstance(life.nbytes, int) for life in lives):
        total = total + ALIGN  # for sizes of 0
    return made._replace(total=total)


class _Space:
    """A stretch of memory, of limited size or growing, and who is where when. With a limit a buffer goes to the end of
    the last gap that takes it if `last`: those before are free for longer."""

    def __init__(self, limit: int | None = None, last: bool = False):
        self.limit, self.last, self.top = limit, last, 0
        self.placed: list[tuple[int, int, int, Life]] = []

    def put(self, life: Life) -> int | None:
        """Where a buffer wastes least among those alive with it; None where there is no room."""
        size = aligned(life.nbytes)
        best, waste, at = None, None, 0
        for begin, end, _, other in self.placed:
            if other.end < life.begin or other.begin > life.end:
                continue
            gap = begin - at
            if gap >= size and (waste is None or self.last or gap - size < waste):
                best, waste = begin - size if self.last else at, gap - size
            at = max(at, end)
        gap = 0 if self.limit is None else self.limit - at
        if gap >= size and self.limit is not None and (waste is None or self.last or gap - size < waste):
            best = self.limit - size if self.last else at
        where = at if best is None else best
        if self.limit is not None and where + size > self.limit:
            return None
        insort(self.placed, (where, where + size, life.buffer, life))
        self.top = max(self.top, where + size)
        return where

    def forget(self, step: int) -> None:
        """Let go of buffers that died before a step; nobody comes who lived with them."""
        self.placed = [p for p in self.placed if p[3].end >= step]


def _best(fixed: list[Life], hosts: list[Life]) -> Layout:
    """The smallest arena: of buffers placed as they come to life, the largest of those that begin together first; and
    the largest first whenever they live, mostly nearer to what is alive at the worst moment."""
    found = []
    for last in (False, True) if hosts else (False,):
        found.append(_placed(sorted(fixed, key=lambda life: (life.begin, -life.nbytes)), hosts, True, last))
        if len(fixed) <= MOST_BY_SIZE:
            found.append(_placed(sorted(fixed, key=lambda life: (-life.nbytes, life.begin)), hosts, False, last))
    return min(found, key=lambda made: made.total)


def _placed(lives: list[Life], hosts: list[Life], by_begin: bool, last: bool = False) -> Layout:
    """Each buffer in turn: in the block of hosts where there is room, else in the arena."""
    places, at = {}, 0
    for host in sorted(hosts, key=lambda host: -host.begin):  # those that are free longest lie side by side
        places[host.buffer] = at
        at += aligned(host.nbytes)
    block, arena = _Space(at, last), _Space()
    block.placed = [(places[h.buffer], places[h.buffer] + aligned(h.nbytes), h.buffer, h) for h in hosts]
    block.placed.sort()
    offsets: dict[int, Any] = {}
    inside = set()
    for life in lives:
        if by_begin:
            block.forget(life.begin)
            arena.forget(life.begin)
        where = block.put(life) if hosts else None
        if where is None:
            where = arena.put(life)
        else:
            inside.add(life.buffer)
        offsets[life.buffer] = where
    return Layout(offsets, arena.top, places, at, frozenset(inside))
