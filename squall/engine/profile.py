"""A profile as data: what a recording and the trace channel told, put together by kernel and by phase.

Kernels are steps of plans; `Row`s sum them up by label, or by label and sizes. A loop's own time is what its body's
steps do not account for. Phases share out the wall-clock time of the thread that profiles: whatever no span covers is
the program's own Python, recording included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from squall.backends.cpu.build import statistics as build_statistics
from squall.base import caches, trace
from squall.base.dim import evaluate
from squall.engine import roofline
from squall.engine.roofline import Limits, Work
from squall.runtime.memory import host_pool
from squall.runtime.recording import CALL, CALLED, FLUSH, FLUSHED, Event, Recording

# What spans are called in the table of phases; the first word decides.
PHASES = {
    "capture": "recording a function to compile",
    "flush": "finding what to evaluate",
    "call": "calling what is compiled",
    "walk": "walking graphs",
    "compile": "planning and lowering",
    "link": "LLVM, and loading kernels",
    "kernels": "running kernels",
    "library": "library calls",
}
REST = "Python: recording, and your own code"


class Span(NamedTuple):
    """A stretch of time: its kind ("kernel", or a key of `PHASES`), name, seconds by `time.perf_counter`, the thread,
    the work done, and how much of it no span inside of it accounts for."""

    kind: str
    name: str
    begin: float
    end: float
    thread: int
    work: Work | None = None
    own: float = 0.0


class Row:
    """Sums over calls: `key`, `sizes`, `calls`, seconds in `total` and in `own`, `operations`, `nbytes`, and `least`,
    the seconds the machine's limits allow."""

    __slots__ = ("key", "sizes", "calls", "total", "own", "operations", "nbytes", "least")

    def __init__(self, key: str, sizes: str = ""):
        self.key, self.sizes = key, sizes
        self.calls = self.operations = self.nbytes = 0
        self.total = self.own = self.least = 0.0

    def add(self, span: Span, limits: Limits | None) -> None:
        """Count one call."""
        self.calls += 1
        self.total += span.end - span.begin
        self.own += span.own
        if span.work is not None:
            self.operations += span.work.operations
            self.nbytes += span.work.nbytes
            if limits is not None:
                self.least += limits.seconds(span.work)


class Profile:
    """Taken from construction to `stop`.

    Attributes:
        spans: kernels and phases, in order of their beginning, once stopped. seconds: wall-clock time. lost: events
            there was no room for. limits: of the machine, None where they were not asked for. memory, caches, kernels:
            what changed in the allocator, the caches and the kernel store. arenas: bytes of each plan's arena.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.seconds, self.lost = 0.0, 0
        self.limits: Limits | None = None
        self.memory: dict[str, int] = {}
        self.caches: dict[str, dict[str, int]] = {}
        self.kernels: dict[str, float] = {}
        self.arenas: list[int] = []
        self._heard: list[dict[str, Any]] = []
        self._thread = threading.get_ident()
        self._memory, self._caches, self._kernels = host_pool().statistics(), caches.statistics(), _numbers()
        host_pool().reset_peak()
        self._recording = Recording()
        self._deafen: Callable[[], None] = trace.listen(self._hear)
        self.began = time.perf_counter()

    def _hear(self, name: str, fields: dict[str, Any]) -> None:
        if name == "span":
            self._heard.append(fields)

    def stop(self, measure: bool = True) -> None:
        """End it; `measure` asks for the machine's limits too."""
        self.seconds = time.perf_counter() - self.began
        self._deafen()
        self._recording.stop()
        self.lost = self._recording.lost
        self.spans = self._made(self._recording.events)
        after, before = host_pool().statistics(), self._memory
        self.memory = {"in use": after.in_use, "peak": after.peak, "kept for reuse": after.cached,
                       "allocations from the pool": after.hits - before.hits,
                       "allocations from the system": after.misses - before.misses}
        for name, now in caches.statistics().items():
            then = self._caches.get(name, {"hits": 0, "misses": 0})
            changed = {what: now[what] - then[what] for what in ("hits", "misses")}
            if any(changed.values()):
                self.caches[name] = {"entries": now["entries"], **changed}
        self.kernels = {name: amount - self._kernels.get(name, 0) for name, amount in _numbers().items()}
        if measure:
            self.limits = roofline.limits()

    # ------------------------------------------------------------ from events to spans
    def _made(self, events: list[Event]) -> list[Span]:
        spans = [Span(s["span"].partition(" ")[0], s["span"], s["begin"], s["end"], s["thread"]) for s in self._heard]
        works: dict[tuple[int, int], Work | None] = {}
        arenas: dict[int, int] = {}
        open_marks: dict[tuple[int, int], float] = {}
        for event in events:
            image, number = event.image, event.step
            if image is None:
                if number in (FLUSH, CALL):
                    open_marks[event.thread, number] = event.begin
                else:
                    opened = open_marks.pop((event.thread, number - 1), None)
                    kind = {FLUSHED: "flush", CALLED: "call"}[number]
                    if opened is not None:
                        spans.append(Span(kind, kind, opened, event.end, event.thread))
            elif number < 0:
                spans.append(Span("kernels", "plan", event.begin, event.end, event.thread))
                plan = next((step.work for step in image.steps if step.work is not None), None)
                if plan is not None:
                    arenas[id(image)] = int(evaluate(plan[0].arena_bytes, plan[2]))
            else:
                step = image.steps[number]
                key = (id(image), number)
                if key not in works:
                    works[key] = None if step.work is None else roofline.work_of(*step.work)
                spans.append(Span("kernel", step.name or "kernel", event.begin, event.end, event.thread, works[key]))
        self.arenas = sorted(arenas.values(), reverse=True)
        return _with_own(spans)

    # ------------------------------------------------------------ what is asked of it
    def rows(self, by_sizes: bool = False) -> list[Row]:
        """Kernels and library calls summed up by name, the most own time first."""
        rows: dict[tuple[str, str], Row] = {}
        for span in self.spans:
            if span.kind in ("kernel", "library"):
                sizes = span.work.sizes if by_sizes and span.work is not None else ""
                key = (span.name, sizes)
                if key not in rows:
                    rows[key] = Row(*key)
                rows[key].add(span, self.limits)
        return sorted(rows.values(), key=lambda row: row.own, reverse=True)

    def phases(self) -> dict[str, tuple[float, int]]:
        """Seconds of the profiled thread and how often, by phase; they add up to `seconds`."""
        out = dict.fromkeys(PHASES.values(), (0.0, 0))
        for span in self.spans:
            if span.thread == self._thread:
                kind = "kernels" if span.kind == "kernel" else span.kind
                seconds, times = out[PHASES[kind]]
                out[PHASES[kind]] = seconds + span.own, times + (span.kind != "kernel")
        rest = max(self.seconds - sum(seconds for seconds, _ in out.values()), 0.0)
        return {name: found for name, found in out.items() if found[1]} | {REST: (rest, 1)}


def _numbers() -> dict[str, float]:
    """The counters of the kernel store."""
    whole = {name: amount for name, amount in build_statistics().items() if isinstance(amount, (int, float))}
    return {**whole, "plans compiled": trace.counters.get("plans compiled", 0)}


def _with_own(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, each with its time less that of the spans inside of it, thread by thread."""
    ordered = sorted(spans, key=lambda span: (span.begin, -span.end))
    own = [span.end - span.begin for span in ordered]
    outer: dict[int, list[int]] = {}
    for i, span in enumerate(ordered):
        stack = outer.setdefault(span.thread, [])
        while stack and ordered[stack[-1]].end <= span.begin:
            stack.pop()
        if stack:
            own[stack[-1]] -= min(span.end, ordered[stack[-1]].end) - span.begin
        stack.append(i)
    return [span._replace(own=max(seconds, 0.0)) for span, seconds in zip(ordered, own, strict=True)]
