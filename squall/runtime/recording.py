"""What the plan runner notes while a profile is taken, read into Python: which step of which plan ran when, and where.

One recording at a time in a process. The block that native code writes to is made once and used again: a run of another
thread that began before `stop` may still write to it.
"""

from __future__ import annotations

import ctypes
import threading
import time
from bisect import bisect_right
from typing import Any, NamedTuple

from squall.base.errors import SquallError
from squall.runtime import fork, plan_image
from squall.runtime.native import native
from squall.runtime.native_recorder import EVENT_WORDS, RECORDER_HEADER

CAPACITY = 1 << 20  # events; memory is only used by those that come
FLUSH, FLUSHED, CALL, CALLED = 1, 2, 3, 4  # what native code notes with `squall_note`
_block: Any = None
_running: Recording | None = None
_lock = threading.Lock()


class Event(NamedTuple):
    """A step of an image (-1: the whole run of it), or with no image a kind of `squall_note`; seconds by
    `time.perf_counter`, and the thread's identifier."""

    image: plan_image.PlanImage | None
    step: int
    begin: float
    end: float
    thread: int


class Recording:
    """From now on, until `stop`, runs of plans are noted.

    Attributes:
        events: once stopped, in order of their beginning. lost: how many there was no room for.

    Raises:
        SquallError: when one is running already.

    Example:
        >>> recording = Recording()
        >>> recording.stop()
        >>> recording.events, recording.lost
        ([], 0)
    """

    def __init__(self) -> None:
        global _running, _block
        self.events: list[Event] = []
        self.lost = 0
        with _lock:
            if _running is not None:
                raise SquallError("a profile is being taken already; there can be one at a time")
            _running = self
        if _block is None:
            _block = (ctypes.c_int64 * (RECORDER_HEADER + EVENT_WORDS * CAPACITY))()
        _block[0], _block[1] = 0, CAPACITY
        self._made: list[plan_image.PlanImage] = []
        plan_image.keepers.append(self._made)
        self._made.extend(plan_image.images.values())
        runner = native()
        self._clock = time.perf_counter() - runner.tick() * runner.seconds_per_tick
        runner.set_recorder(ctypes.addressof(_block))

    def stop(self) -> None:
        """End the recording and read it."""
        global _running
        if _running is not self:
            return
        runner = native()
        runner.set_recorder(None)
        plan_image.keepers.remove(self._made)
        noted = _block[0]
        self.lost = max(0, noted - CAPACITY)
        self.events = self._read(min(noted, CAPACITY), runner.seconds_per_tick)
        self._made = []
        with _lock:
            _running = None

    def _read(self, count: int, scale: float) -> list[Event]:
        starts = sorted((image.address, image) for image in {id(i): i for i in self._made}.values())
        addresses = [address for address, _ in starts]
        words = _block[RECORDER_HEADER:RECORDER_HEADER + EVENT_WORDS * count]
        known: dict[int, tuple[Any, int]] = {kind: (None, kind) for kind in (FLUSH, FLUSHED, CALL, CALLED)}
        out = []
        for at in range(0, EVENT_WORDS * count, EVENT_WORDS):
            what, begin, end, thread = words[at:at + EVENT_WORDS]
            found = known.get(what)
            if found is None:
                found = known[what] = _found(what, addresses, starts)
            if found[1] >= -1:
                out.append(Event(*found, begin * scale + self._clock, end * scale + self._clock, thread))
        out.sort(key=lambda event: (event.begin, -event.end))
        return out


def _found(what: int, addresses: list[int], starts: list[tuple[int, Any]]) -> tuple[Any, int]:
    """The image and step of an address; (None, -2) when nobody knows it."""
    place = bisect_right(addresses, what) - 1
    if place < 0:
        return None, -2
    image = starts[place][1]
    step = image.step_at(what)
    return (image, step) if step < len(image.steps) else (None, -2)


@fork.in_child
def _forget() -> None:
    """A forked child takes no profile: its parent's goes on without it."""
    global _running, _lock
    _lock = threading.Lock()
    if _running is not None:
        native().set_recorder(None)
        if _running._made in plan_image.keepers:
            plan_image.keepers.remove(_running._made)
        _running = None
