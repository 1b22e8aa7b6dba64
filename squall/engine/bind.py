"""A plan bound to sizes: native images of its segments, host steps between them, and the values block's layout.

The words of the values block are, in order: input pointers, output pointers, the arena, the status block, scalars.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from squall.base.dim import evaluate
from squall.compiler.chains import chain_at, rows_at_once
from squall.compiler.contract import resolve
from squall.engine.host import host_call
from squall.engine.interpreted import Interpreted
from squall.engine.link import build
from squall.engine.nested import Nested
from squall.ir.plan import GRAIN_CYCLES, ChooseStep, ContractStep, HostStep, KernelStep, LoopStep, Plan, Word
from squall.runtime.buffer import Buffer
from squall.runtime.memory import allocate, wrap
from squall.runtime.native import native
from squall.runtime.native_region import HEAD, PART
from squall.runtime.plan_image import Bind, PlanImage, Step, bits_of


class Binding:
    """See the module."""

    def __init__(self, plan: Plan, kernels: dict[Any, Any], sizes: dict[str, int], backend: str):
        self.plan, self.kernels, self.sizes, self.backend = plan, kernels, sizes, backend
        self.input_count, self.output_count = len(plan.inputs), len(plan.outputs)
        self.arena_at = self.input_count + self.output_count
        self.status_at = self.arena_at + 1
        self.scalar_at = self.status_at + 1
        self.layout = "q" * self.scalar_at + "".join("d" if d.category == 2 else "q" for d in plan.scalars)
        self.arena_bytes = evaluate(plan.arena_bytes, sizes)
        self.output_bytes = [prod(evaluate(n, sizes) for n in o.shape) * o.dtype.itemsize for o in plan.outputs]
        self.donors = [o.donor for o in plan.outputs]
        self.places = [o.place for o in plan.outputs]
        self.nested: list[Nested] = []
        self.segments = self.make_segments()
        self.split: Any = None  # see `resplit.py`

    def make_segments(self) -> list[Any]:
        """Runs of native steps as images, host steps alone; contractions are split for the threads there are."""
        out: list[Any] = []
        pending: list[Step] = []
        regions = dict(self.plan.regions) if self.backend != "python" else {}
        done = 0
        for number, step in enumerate(self.plan.steps):
            if number < done:
                continue
            chained = self._chain(number) if self.backend != "python" else None
            if chained is not None:
                done = number + len(chained[1])
                pending.append(chained[0])
                continue
            if number in regions:
                done = regions[number]
                pending.extend(self._region(self.plan.steps[number:done]))
                continue
            if isinstance(step, (LoopStep, ChooseStep)):
                nested = self._nested(step)
                if nested.native is not None:
                    pending.append(nested.native)
                    continue
                step = nested
            if isinstance(step, (HostStep, Nested)):
                if pending:
                    out.append(self.image(pending))
                    pending = []
                out.append(step)
            else:
                pending.extend(self._steps(step))
        if pending:
            out.append(self.image(pending))
        return out

    def _nested(self, step: LoopStep | ChooseStep) -> Nested:
        """A step that runs plans, with those plans bound."""
        plans = step.plans if isinstance(step, ChooseStep) else (step.plan,)
        nested = Nested(self, step, [Binding(p, self.kernels, self.sizes, self.backend) for p in plans])
        self.nested.append(nested)  # keeps the images it runs
        return nested

    def image(self, steps: list[Any]) -> Any:
        """Native steps as one image."""
        if self.backend == "python":
            return Interpreted(steps, self.layout)
        return PlanImage(steps, len(self.layout), Bind(self.status_at), self.layout)

    def _steps(self, step: KernelStep | ContractStep) -> list[Step]:
        source = step if isinstance(step, ContractStep) else None
        return [self._step(made, source) for made in self._kernel_steps(step)]

    def _kernel_steps(self, step: KernelStep | ContractStep) -> list[KernelStep]:
        """A step as kernel calls, for this binding's sizes."""
        if not isinstance(step, ContractStep):
            return [step]
        return self._built(resolve(step, self.sizes, self._packed_at(step)))

    def _packed_at(self, step: ContractStep) -> int:
        """Where the second operand of a contraction lies packed; 0 where it does not."""
        return 0

    def _built(self, steps: list[KernelStep]) -> list[KernelStep]:
        """Steps whose programs are built."""
        for made in steps:
            if made.key not in self.kernels:
                self.kernels.update(build({made.key: made.program}, self.backend))
        return steps

    def _step(self, step: KernelStep, source: ContractStep | None = None) -> Step:
        args = tuple(self.word(w) for w in step.words)
        scratch = max(evaluate(step.scratch_bytes, self.sizes), step.program.scratch_bytes)
        units, grain = evaluate(step.units, self.sizes), evaluate(step.grain, self.sizes)
        if not grain:
            grain = GRAIN_CYCLES // max(1, evaluate(step.cycles, self.sizes))
        return Step(self.kernels[step.key], args, units, max(1, grain), scratch, step.checks, step.label,
                    (self.plan, source or step, self.sizes))

    def _region(self, steps: Sequence[Any]) -> list[Step]:
        """Steps that run as one, laid out for the native region kernel; one after the other where a contraction takes
        several calls."""
        parts = [self._kernel_steps(step) for step in steps]
        made = [self._step(part) for found in parts for part in found]
        if any(len(found) != 1 for found in parts):
            return made
        table: list[Any] = [len(made)]
        args: list[Any] = []
        total, first = 0, HEAD + PART * len(made)
        for step, (part,) in zip(made, parts, strict=True):
            cycles = max(1, evaluate(part.cycles, self.sizes) if part.cycles else GRAIN_CYCLES // step.grain)
            units = evaluate(part.units, self.sizes)
            table.extend((step.kernel, first + len(args), total, units, cycles))
            args.extend(step.args)
            total += units * cycles
        names = Counter(step.name for step in made)
        label = ", ".join(name if n == 1 else f"{name} x{n}" for name, n in names.items())
        scratch, stops = max(step.scratch for step in made), any(step.stop_on_status for step in made)
        return [Step(native().region, (*table, *args), total, GRAIN_CYCLES, scratch, stops, label,
                     (self.plan, list(steps), self.sizes))]

    def _chain(self, number: int) -> tuple[Step, list[ContractStep]] | None:
        """The steps from one on that run together for blocks of rows, as one, laid out for the native chain kernel."""
        links = chain_at(self.plan, number)
        rows = rows_at_once(self.plan, links, self.sizes, native().state()["threads"]) if links else 0
        if not rows:
            return None
        steps: list[Any] = [self.plan.steps[number + i] for i in range(len(links) + 1)]
        parts = [resolve(step, self.sizes, self._packed_at(step), rows) for step in steps]
        if any(len(found) != 1 for found in parts):
            return None
        calls = self._built([part for found in parts for part in found])
        made = [self._step(part, step) for part, step in zip(calls, steps, strict=True)]
        starts = [sum(len(s.args) for s in made[:i]) for i in range(len(made) + 1)]
        places, free = [], -(-8 * starts[-1] // 64) * 64
        for i, link in enumerate(links):
            nbytes = rows * evaluate(link.row_bytes, self.sizes)
            for part, word in ((i, link.written), (i + 1, link.read)):
                places += (starts[part] + calls[part].words.index(word), free, nbytes)
            free += -(-nbytes // 64) * 64
        head = [len(made), 2 * len(links), starts[-1], free]
        for step, start in zip(made, starts, strict=False):
            head += (step.kernel, start)
        args = [*head, *places, *(arg for step in made for arg in step.args)]
        label = ", ".join(step.name for step in made)
        return Step(native().chain, tuple(args), calls[0].units, 1, free + max(s.scratch for s in made),
                    any(s.stop_on_status for s in made), label, (self.plan, steps, self.sizes)), steps

    def word(self, word: Word) -> Bind | int:
        """A word of a step's args block."""
        kind, value, offset = word
        if kind == "slot":
            return self.address_of(value, evaluate(offset, self.sizes))
        if kind == "int":
            return evaluate(value, self.sizes)
        if kind == "float":
            return bits_of(value)
        if kind == "scalar":
            return Bind(self.scalar_at + value)
        if kind == "status":
            return Bind(self.status_at)
        if kind == "kernel":
            return self.kernels[value]
        raise ValueError(f"unknown word {word}")

    def address_of(self, slot: int, offset: int) -> Bind:
        """A slot's address as a bind."""
        s = self.plan.slots[slot]
        if s.kind == "input":
            return Bind(s.index, offset)
        if s.kind == "output":
            return Bind(self.input_count + s.index, offset)
        if s.kind == "lent":
            return Bind(self.input_count + s.index, offset + evaluate(s.offset, self.sizes))
        return Bind(self.arena_at, offset + evaluate(s.offset, self.sizes))

    def prepare(self, inputs: Sequence[Buffer], scalars: Sequence[Any], status: Any) -> tuple[tuple, list[Buffer]]:
        """The calls of one run and its results' buffers; see `Executable.prepare`."""
        outputs: list[Buffer] = []
        shared = allocate(self.plan.shared_bytes) if self.plan.shared_bytes else None
        for nbytes, donor, place in zip(self.output_bytes, self.donors, self.places, strict=True):
            if donor is not None:
                given = inputs[donor]
                outputs.append(Buffer(given.block, given.pointer))
                continue
            block = allocate(nbytes) if place is None else wrap(shared.pointer + place, nbytes, shared)  # type: ignore[union-attr]
            outputs.append(Buffer(block, block.pointer))
        arena = allocate(self.arena_bytes) if self.arena_bytes else None
        words = [b.pointer for b in inputs]
        words += [b.pointer for b in outputs]
        words.append(0 if arena is None else arena.pointer)
        words.append(ctypes.addressof(status))
        words += scalars
        calls = []
        for segment in self.segments:
            if isinstance(segment, (HostStep, Nested)):
                calls.append((self._host(segment), words))
                continue
            block = segment.take_block()
            block.fill(*words)
            calls.append(segment.call(block))
            calls.append((segment.give_block, block))
        calls.append((id, (self, arena)))  # keeps the images and the arena until the calls have run
        return tuple(calls), outputs

    def _host(self, step: HostStep | Nested) -> Callable[[list], None]:
        return step.run if isinstance(step, Nested) else host_call(self, step)

    def run_words(self, words: list) -> None:
        """Run once on given values; IndexError when a kernel reported a failure."""
        for segment in self.segments:
            if isinstance(segment, (HostStep, Nested)):
                self._host(segment)(words)
                continue
            block = segment.take_block()
            block.fill(*words)
            function, *arguments = segment.call(block)
            function(*arguments)
            segment.give_block(block)
