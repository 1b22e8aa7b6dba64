"""Lowers "rows" specs: elementwise kernels, and reductions over a row with elementwise work between and after.

A unit is one row (or a chunk of one, in elementwise kernels). Each phase walks the row once: lines one by one, the
inner loop in vectors whose tail is the same code under a mask. The order of float sums, a function of extents, dtype
and ISA: elements fall on lanes by their position in the line; after about `BLOCK` elements the lanes are added as a
tree; block k is added to one of 16 totals, number k % 16; those are added as a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from squall.compiler import scratch
from squall.compiler.describe import BLOCK, compute_scalar
from squall.compiler.heavy import is_heavy_value
from squall.compiler.lower_values import ELEMENT, KERNEL, LINE, ROW, Emitter
from squall.compiler.reducers import Reducer, identity
from squall.compiler.spec import Spec
from squall.ir.linear import Builder, Program, Reg, Type

TOTALS = 16
def is_long(spec: Spec) -> bool:
    """Whether the element code is long enough to be written once, always masked."""
    return len(spec.values) > 40 or any(v.op == "random" or is_heavy_value(v) for v in spec.values)


class Rows:
    """Writes one "rows" kernel."""

    def __init__(self, spec: Spec):
        self.spec = spec
        self.b = Builder.kernel("rows")
        self.e = Emitter(spec, self.b)
        self.outer = len(spec.outer)
        self.phases = 1 + max([s.phase for s in spec.stores] + [v.phase for v in spec.values])
        self.reducers = [Reducer(spec, n) for n, v in enumerate(spec.values) if v.op == "reduce"]
        self.once = is_long(spec)
        self.saved: dict[int, Reg] = {}
        self.first = scratch.first_walks(spec)

    def build(self) -> Program:
        """The whole program."""
        b, e, spec = self.b, self.e, self.spec
        e.load_words()
        e.enter_kernel()
        self.extent = e.word(spec.inner)
        self.line_count = self._product([e.word(w) for w in spec.lines])
        for position, number in enumerate(spec.scratch):
            self.saved[number] = b.gep(b.scratch, b.int(position * scratch.STEP), "i8")
        if spec.chunk and not spec.outer:
            with self.scope():
                e.emit_level(ROW, 0)
                low = b.mul(b.begin, b.int(spec.chunk))
                high = b.op("min", b.mul(b.end, b.int(spec.chunk)), self.extent)
                self.walk(0, lambda: self.segment(0, low, high, []))
        else:
            with b.loop(b.begin, b.end) as unit, self.scope():
                self._unit(unit)
        return Program((b.finish(),), "rows", len(spec.scratch) * scratch.STEP)

    def _product(self, factors: list[Reg]) -> Reg:
        total = self.b.int(1)
        for f in factors:
            total = self.b.mul(total, f)
        return total

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Values and places made inside are forgotten afterwards."""
        e = self.e
        kept = dict(e.regs), dict(e.spread), dict(e.places)
        yield
        e.regs, e.spread, e.places = kept

    def decompose(self, flat: Reg, words: tuple[int, ...]) -> list[Reg]:
        """A row-major position from its number."""
        b, out = self.b, []
        for w in reversed(words[1:]):
            size = self.e.word(w)
            out.append(b.op("rem", flat, size))
            flat = b.op("div", flat, size)
        return [flat, *reversed(out)] if words else []

    def _unit(self, unit: Reg) -> None:
        b, e, spec = self.b, self.e, self.spec
        row, low, high, self.block_number = unit, b.int(0), self.extent, None
        if spec.chunk:
            chunks = b.op("div", b.add(self.extent, b.int(spec.chunk - 1)), b.int(spec.chunk))
            low = b.mul(b.op("rem", unit, chunks), b.int(spec.chunk))
            row = b.op("div", unit, chunks)
            high = b.op("min", b.add(low, b.int(spec.chunk)), self.extent)
        elif spec.partial:
            self._block_sizes()
            blocks = b.mul(self.line_blocks, self.inner_blocks)
            self.block_number = b.op("rem", unit, blocks)
            row = b.op("div", unit, blocks)
        self.row_number = row
        if spec.tile:
            self._tile(row, low, high)
            return
        indices = dict(enumerate(self.decompose(row, spec.outer)))
        e.advance(indices, 0, self.outer)
        for phase in range(self.phases):
            e.emit_level(ROW, phase)
            reducers = [r for r in self.reducers if spec.values[r.number].phase == phase + 1]
            stores = any(s.phase == phase and s.level == ELEMENT for s in spec.stores)
            if reducers:
                self.reduce(phase, reducers)
            elif stores:
                self.walk(phase, lambda phase=phase: self.segment(phase, low, high, []))
        for position, s in enumerate(spec.stores):
            if s.level < LINE and not spec.partial:
                e.store(position, {}, None, None)

    def _tile(self, row: Reg, low: Reg, high: Reg) -> None:
        """Some positions of the last outer loop, one after the other over one stretch of the inner loop."""
        b, e, spec = self.b, self.e, self.spec
        extent = e.word(spec.outer[-1])
        count = b.op("div", b.add(extent, b.int(spec.tile - 1)), b.int(spec.tile))
        start = b.mul(b.op("rem", row, count), b.int(spec.tile))
        indices = dict(enumerate(self.decompose(b.op("div", row, count), spec.outer[:-1])))
        last = self.outer - 1
        e.advance(indices, 0, last)
        with b.loop(*self._bounds(start, spec.tile, extent)) as position, self.scope():
            e.advance({last: position}, last, self.outer)
            e.emit_level(ROW, 0)
            self.segment(0, low, high, [])

    # one walk over the row
    def walk(self, phase: int, body: Callable[[], None]) -> None:
        """Run the body for every line."""
        if not self.spec.lines:
            body()
            return
        with self.b.loop(self.b.int(0), self.line_count) as line, self.scope():
            self.enter_line(line, phase)
            body()

    def enter_line(self, line: Reg, phase: int) -> None:
        """Advance to a line and compute what is known there."""
        found = self.decompose(line, self.spec.lines)
        indices = {self.outer + i: r for i, r in enumerate(found)}
        self.e.advance(indices, self.outer, self.outer + len(found))
        for earlier in range(phase + 1):
            self.e.emit_level(LINE, earlier)

    def needed(self, phase: int) -> list[int]:
        """Element values that a walk computes or reads back from scratch, in order."""
        kept = {n for n in self.spec.scratch if self.first[n] < phase}
        return scratch.needed(self.spec, phase, kept)

    def segment(self, phase: int, low: Reg, high: Reg, reducers: list[Reducer]) -> None:
        """Elements low <= j < high of a line: whole vectors, then the tail under a mask."""
        b, lanes = self.b, self.spec.lanes
        order = self.needed(phase)
        step = b.int(lanes)
        if self.once:
            with b.loop(low, high, step) as j:
                self.body(phase, order, reducers, j, b.mask_below(b.sub(high, j), lanes))
            return
        whole = b.sub(high, b.op("rem", b.sub(high, low), step)) if lanes > 1 else high
        with b.loop(low, whole, step) as j:
            self.body(phase, order, reducers, j, None)
        if lanes > 1:
            with b.when(b.compare("lt", whole, high)):
                self.body(phase, order, reducers, whole, b.mask_below(b.sub(high, whole), lanes))

    def body(self, phase: int, order: list[int], reducers: list[Reducer], j: Reg, mask: Reg | None) -> None:
        """One vector of elements."""
        e, b, spec = self.e, self.b, self.spec
        local: dict[int, Reg] = {}
        for number in order:
            if number in self.saved:
                local[number] = self._through_scratch(phase, number, local, j, mask)
            else:
                local[number] = e.emit(number, spec.values[number], local, j, mask)
        for r in reducers:
            operands = [e.operand(n, local, spec.lanes) for n in r.value.operands]
            r.take(b, operands[0], operands[1] if r.is_arg else None, mask)
        for position, s in enumerate(spec.stores):
            if s.phase == phase and s.level == ELEMENT:
                e.store(position, local, j, mask)

    def _through_scratch(self, phase: int, number: int, local: dict[int, Reg], j: Reg, mask: Reg | None) -> Reg:
        """A value that several walks read: computed and left in scratch by the first, read back by the others."""
        b, v = self.b, self.spec.values[number]
        scalar = compute_scalar(v.scalar)
        place = b.gep(self.saved[number], j, scalar)
        if self.first[number] < phase:
            return b.load(Type(scalar, self.spec.lanes), place)
        made = self.e.emit(number, v, local, j, mask)
        b.store(made, place)
        return made

    # reductions
    def _block_sizes(self) -> None:
        """Lines and inner elements of a block, and how many blocks there are: functions of the extents."""
        b = self.b
        one, block = b.int(1), b.int(BLOCK)
        self.block_lines = b.op("max", one, b.op("div", block, b.op("max", one, self.extent)))
        self.line_blocks = b.op("div", b.sub(b.add(self.line_count, self.block_lines), one), self.block_lines)
        self.inner_blocks = b.op("div", b.add(self.extent, b.int(BLOCK - 1)), block)

    def reduce(self, phase: int, reducers: list[Reducer]) -> None:
        """All reductions of a phase, and its stores, in one walk."""
        if self.spec.partial:
            self._partial(phase, reducers)
        elif self.spec.blocked:
            self._blocked(phase, reducers)
        else:
            for r in reducers:
                r.start(self.b, self.spec.lanes)
            self.walk(phase, lambda: self.segment(phase, self.b.int(0), self.extent, reducers))
            for r in reducers:
                self.finish(r, r.tree(self.b))

    def finish(self, r: Reducer, result: Reg) -> None:
        """A reduction's result as a value of the row."""
        scalar = r.value.scalar
        if result.type.scalar != scalar:
            result = self.e.convert(result, scalar)
        self.e.set_value(r.number, self.e.rounded(result, scalar))

    def _one_block(self, phase: int, reducers: list[Reducer], lines: tuple[Reg, Reg] | None, low: Reg, high: Reg) -> None:
        b = self.b
        for r in reducers:
            r.start(b, self.spec.lanes)
        if lines is None:
            self.segment(phase, low, high, reducers)
            return
        with b.loop(*lines) as line, self.scope():
            self.enter_line(line, phase)
            self.segment(phase, low, high, reducers)

    def _bounds(self, start: Reg, step: Reg | int, limit: Reg) -> tuple[Reg, Reg]:
        b = self.b
        return start, b.op("min", b.add(start, b.int(step) if isinstance(step, int) else step), limit)

    def _blocked(self, phase: int, reducers: list[Reducer]) -> None:
        b = self.b
        totals = {}
        for r in reducers:
            memory = b.alloca(Type(r.scalar), TOTALS)
            b.store(b.const(identity(r.kind, r.scalar), Type(r.scalar, TOTALS)), memory)
            totals[r.number] = memory
        args = [r for r in reducers if r.is_arg]
        others = [r for r in reducers if not r.is_arg]
        count = b.var(b.int(0))
        bests = {r.number: (b.var(b.const(identity(r.kind, r.scalar), Type(r.scalar))), b.var(b.int(1 << 62))) for r in args}
        self._block_sizes()

        def block(lines: tuple[Reg, Reg] | None) -> None:
            with b.loop(b.int(0), self.extent, b.int(BLOCK)) as start:
                self._one_block(phase, reducers, lines, *self._bounds(start, BLOCK, self.extent))
                k = b.get(count)
                at = b.op("and", k, b.int(TOTALS - 1))
                for r in others:
                    place = b.gep(totals[r.number], at, r.scalar)
                    b.store(r.combine(b, b.load(Type(r.scalar), place), r.tree(b)), place)
                for r in args:
                    self._keep_best(r, bests[r.number])
                b.set(count, b.add(k, b.int(1)))

        if self.spec.lines:
            with b.loop(b.int(0), self.line_count, self.block_lines) as start:
                block(self._bounds(start, self.block_lines, self.line_count))
        else:
            block(None)
        for r in others:
            whole = b.load(Type(r.scalar, TOTALS), totals[r.number])
            r.state = b.var(whole)
            self.finish(r, r.tree(b))
        for r in args:
            self.finish(r, b.get(bests[r.number][1]))

    def _keep_best(self, r: Reducer, best: tuple[Any, Any]) -> None:
        """argmax and argmin go on from the lanes they have: only the best of each block is compared."""
        b = self.b
        value, at = r.best(b)
        held, place = b.get(best[0]), b.get(best[1])
        wins = b.op("or", r.better(b, value, held), b.compare("eq", place, b.int(1 << 62)))
        b.set(best[0], b.select(wins, value, held))
        b.set(best[1], b.select(wins, at, place))

    def _partial(self, phase: int, reducers: list[Reducer]) -> None:
        """One block of the row; its results are stored as they are, for a second kernel to add."""
        b, e = self.b, self.e
        number = self.block_number
        inner = b.op("rem", number, self.inner_blocks)  # type: ignore[arg-type]
        low, high = self._bounds(b.mul(inner, b.int(BLOCK)), BLOCK, self.extent)
        lines = None
        if self.spec.lines:
            outer = b.op("div", number, self.inner_blocks)  # type: ignore[arg-type]
            lines = self._bounds(b.mul(outer, self.block_lines), self.block_lines, self.line_count)
        self._one_block(phase, reducers, lines, low, high)
        blocks = b.mul(self.line_blocks, self.inner_blocks)
        flat = b.mul(self.row_number, blocks)
        for position, r in enumerate(reducers):
            place = e.words[self.spec.stores[position].access.word]
            b.store(r.tree(b), b.gep(place, b.add(flat, number), r.scalar))  # type: ignore[arg-type]


def lower(spec: Spec) -> Program:
    """The program of a "rows" spec, transcendental instructions included."""
    return Rows(spec).build()


__all__ = ["KERNEL", "TOTALS", "Rows", "lower"]
