"""Timing the variants of a contraction on this machine, and what `compiler.tuned` keeps of it.

Kernels run over memory of their own, with an epilogue that does nothing, through the runner and pool that programs use.
All variants take turns, those that are clearly slower leave, and the best few take more turns: other work on the
machine then slows all of them down alike. A variant must win by a margin, else the cost model's choice stays.
"""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any, NamedTuple

from squall.compiler import nest, tuned
from squall.compiler.contract import asked_of
from squall.compiler.nest.variants import Asked, Variant, variants
from squall.compiler.tuned import Winner
from squall.engine import resplit
from squall.engine.link import build
from squall.ir.linear import BYTES, Builder, Program
from squall.ir.plan import Plan
from squall.runtime.memory import allocate
from squall.runtime.plan_image import PlanImage, Step

MARGIN = 0.97  # of the cost model's time that a winner may take
TURNS, MORE_TURNS, FINALISTS = 4, 16, 5
TOO_SLOW = 1.3
SAMPLE_SECONDS, MOST_RUNS = 200e-6, 200
BUDGET_SECONDS = 3.0  # for one contraction; large ones get fewer turns
_lock = threading.Lock()


class Timing(NamedTuple):
    """A contraction that was timed: seconds by the cost model's choice and by the winner."""

    key: str
    before: float
    after: float
    winner: Winner


def measure(asked: Asked) -> Timing:
    """Time a contraction and keep the winner."""
    with _lock:
        runs = _Runs(asked)
        times = _compete(runs)
    before = times[Variant()]
    best = min(times, key=times.__getitem__)
    if times[best] > MARGIN * before:
        best = Variant()
    winner = Winner(best, before / times[best])
    tuned.keep({asked.key: winner})
    return Timing(asked.key, before, times[best], winner)


def measure_plan(plan: Plan, sizes: dict[str, int], again: bool, packed: bool = False) -> list[Timing]:
    """Time the contractions of a plan that are not in the table yet, or all of them `again`; bound plans follow.

    Args:
        packed: the second operands may be packed beforehand; time those as well.
    """
    made: dict[str, Timing] = {}
    for step in resplit.contractions(plan):
        for prepacked in (False, True)[: 1 + packed]:
            try:
                asked = asked_of(step, sizes, prepacked)
            except KeyError:  # a size of a loop's own
                continue
            if asked is not None and asked.key not in made and (again or tuned.lookup(asked) is None):
                made[asked.key] = measure(asked)
    if made:
        resplit.renew_all()
    return list(made.values())


class _Runs:
    """The variants of a contraction as images that can be run."""

    def __init__(self, asked: Asked):
        self.asked = asked
        self.held: list[Any] = []
        c = asked.contraction
        result = c.result or c.dtype
        self.names: dict[str, int] = {"epilogue_args": 0}
        for name, dtype in (("a", c.dtype), ("b", c.dtype), ("c", result)):
            self.names[name] = self._memory(name, BYTES[dtype])
        if asked.epilogue:
            program = _nothing()
            self.names["epilogue"] = build({program: program}, "cpu")[program]
        self.images = {variant: self._image(choice) for variant, choice in variants(asked).items()}

    def _memory(self, operand: str, size: int) -> int:
        """The address of element 0 of an operand full of zeros."""
        reach = [(d.extent - 1) * getattr(d, f"{operand}_stride") for d in self.asked.contraction.dims if d.extent]
        low, high = sum(min(0, r) for r in reach), sum(max(0, r) for r in reach)
        return self._zeros((high - low + 1) * size) - low * size

    def _zeros(self, nbytes: int) -> int:
        block = allocate(nbytes + 64)
        ctypes.memset(block.pointer, 0, nbytes)
        self.held.append(block)
        return block.pointer

    def _image(self, choice: Any) -> PlanImage:
        asked = self.asked
        plan = nest.assemble(asked.contraction, nest.ISAS[choice.isa or asked.isa], choice)
        if plan.workspace_bytes and "packed" not in self.names:
            self.names["packed"] = self._zeros(plan.workspace_bytes)
        steps = []
        for s in plan.steps:
            program = nest.program(s.library)
            kernel = build({s.library: program}, "cpu")[s.library]
            args = tuple(self.names[w] if isinstance(w, str) else w for w in s.words)
            scratch = max(s.scratch_bytes, int(program.scratch_bytes or 0))
            steps.append(Step(kernel, args, s.units, s.grain, scratch))
        return PlanImage(steps, 0)


def _nothing() -> Program:
    """An epilogue that does nothing."""
    function = Builder("tuned_nothing", nest.EPILOGUE_PARAMETERS).finish()
    return Program((function,), function.name)


def _compete(runs: _Runs) -> dict[Variant, float]:
    """Seconds of a run of each variant that came to the end, the cost model's among them."""
    began = time.perf_counter()
    count: dict[Variant, int] = {}
    for variant, image in runs.images.items():
        image.run(())  # memory and code come near
        once = _sample(image, 1)
        count[variant] = max(1, min(MOST_RUNS, int(SAMPLE_SECONDS / max(once, 1e-9))))
    taken: dict[Variant, list[float]] = {variant: [] for variant in runs.images}

    def turn(over: list[Variant]) -> bool:
        for variant in over:
            taken[variant].append(_sample(runs.images[variant], count[variant]))
        return time.perf_counter() - began < BUDGET_SECONDS

    left = list(runs.images)
    for number in range(TURNS):
        more = turn(left)
        best = min(min(taken[v]) for v in left)
        left = [v for v in left if v == Variant() or min(taken[v]) <= TOO_SLOW * best]
        if not more and number:
            break
    left = sorted(left, key=lambda v: min(taken[v]))[:FINALISTS]
    left = left if Variant() in left else [*left, Variant()]
    for _ in range(MORE_TURNS):
        if not turn(left):
            break
    return {variant: sorted(taken[variant])[len(taken[variant]) // 4] for variant in left}  # others may have worked


def _sample(image: PlanImage, runs: int) -> float:
    """Seconds of a run, from so many."""
    began = time.perf_counter()
    for _ in range(runs):
        image.run(())
    return (time.perf_counter() - began) / runs


tuned.Hook.measure = measure
