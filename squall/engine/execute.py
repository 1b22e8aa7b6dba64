"""Executables: plans made ready to run, again and again, with little Python per call.

A plan's programs are built by the `backend` knob's backend: compiled ("cpu") and run natively in one call per segment,
or executed instruction by instruction ("python"). For each tuple of run-time sizes (and strides of inputs of general
layout) the plan is bound once to a `Binding`: sizes become constants, the arena gets its length, contractions are laid
out. A call then allocates results, writes pointers and scalars into one block of words, and runs.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

from squall.base import config, trace
from squall.base.dim import evaluate
from squall.base.errors import IndexRangeError
from squall.base.shapes import contiguous_strides
from squall.engine import tuning  # noqa: F401  says how contractions are timed, for `SQUALL_TUNE`
from squall.engine.bind import Binding
from squall.engine.host import dense_copy
from squall.engine.link import link
from squall.engine.resplit import watch
from squall.ir.plan import Plan
from squall.runtime import interrupts
from squall.runtime.buffer import Buffer
from squall.runtime.native_nested import INTERRUPTED, NO_MEMORY


class Executable:
    """A plan with its kernels built.

    Args:
        plan: from `squall.compiler.pipeline.compile_plan`.

    Example: see `tests/unit/engine/test_execute.py`.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.backend = config.get("backend")
        with trace.span("link"):
            self.kernels = link(plan, self.backend)
        self.strided = tuple(i for i, x in enumerate(plan.inputs) if not x.contiguous)
        self.bindings: dict[tuple, Binding] = {}
        self.plain: Binding | None = None
        self.runs = threading.local()  # each thread's status block

    def prepare(self, inputs: Sequence[Buffer], scalars: Sequence[Any],
                sizes: dict[str, int] | None = None) -> tuple[tuple, list[Buffer]]:
        """What to call, and the buffers results will be in.

        Args:
            inputs: buffers in the plan's order. scalars: numbers in the plan's order. sizes: the value of each symbol.

        Returns:
            tuples (C callable, arguments...) for one `collections.deque(itertools.starmap(operator.call, ...))`, which
            no signal can split; and one Buffer for each result. When the calls have run, ask `check_status`.
        """
        binding = self.plain
        if binding is None:
            inputs = self.fitting(inputs, sizes or {})
            binding = self.bound(inputs, sizes or {})
        try:
            status = self.runs.status
            status[0] = 0
        except AttributeError:
            status = self.runs.status = (ctypes.c_int64 * 2)()
        return binding.prepare(inputs, scalars, status)

    def fitting(self, inputs: Sequence[Buffer], sizes: dict[str, int]) -> Sequence[Buffer]:
        """The inputs, with a copy of each that does not lie dense where the kernels read it as dense."""
        out: Any = inputs
        for i in self.strided:
            x, strides = self.plan.inputs[i], inputs[i].strides
            shape = tuple(evaluate(n, sizes) for n in x.shape)
            if strides is None:
                strides = contiguous_strides(shape)
            if x.dense is not None and strides[x.dense] != 1:
                out = list(out)
                out[i] = dense_copy(inputs[i], shape, x.dtype, x.dense)
        return out

    def bound(self, inputs: Sequence[Buffer], sizes: dict[str, int]) -> Binding:
        """The plan bound to sizes and to the strides of inputs of general layout."""
        values = dict(sizes)
        for i in self.strided:
            strides = inputs[i].strides
            if strides is None:
                strides = contiguous_strides(tuple(evaluate(n, sizes) for n in self.plan.inputs[i].shape))
            values.update((f"@{i}.{d}", s) for d, s in enumerate(strides))
        key = tuple(sorted(values.items()))
        found = self.bindings.get(key)
        if found is None:
            if len(self.bindings) >= 64:
                self.bindings.clear()
            found = self.bindings.setdefault(key, Binding(self.plan, self.kernels, values, self.backend))
            watch(found)
        if not values and not self.strided:
            self.plain = found
        return found

    def run(self, inputs: Sequence[Buffer], scalars: Sequence[Any] = (),
            sizes: dict[str, int] | None = None) -> list[Buffer]:
        """Run at once and give the results' buffers; raises what `check_status` raises."""
        calls, outputs = self.prepare(inputs, scalars, sizes)
        try:
            for function, *arguments in calls:
                function(*arguments)
        except IndexError:
            self.check_status()
            raise
        self.check_status()
        return outputs

    def check_status(self) -> None:
        """Raise IndexRangeError if a kernel met an index outside of its dimension in this thread's last run."""
        status = self.runs.status
        code = status[0]
        if code:
            status[0] = 0
            self.raise_status(code, status[1])

    def raise_status(self, code: int, detail: int) -> None:
        """Raise the IndexRangeError of the words a kernel left; 0 means nothing. A loop also stops without memory, or
        for what a signal's handler raised."""
        if code == NO_MEMORY:
            raise MemoryError("no memory for the workspace of a loop")
        if code == INTERRUPTED:
            interrupts.raise_kept()
        if code:
            check = self.plan.checks[code - 1]
            wrong = f"{check.op}: index {detail} is out of range for a dimension of size {check.size}"
            raise IndexRangeError(wrong)


__all__ = ["Executable"]
