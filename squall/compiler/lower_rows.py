"""Lowers "rows" specs: elementwise kernels, and reductions over a row with elementwise work between and after.

A unit is one row (or a chunk of one, in elementwise kernels). Each phase walks the row once: lines one by one, the
inner loop in vectors whose tail is the same code under a mask. The order of float sums, a function of extents, dtype
and ISA: elements fall on lanes by their position in the line; after about `BLOCK` elements the lanes are added as a
tree; block k is added to one of 16 totals, number k % 16; those are added as a tree.
"""

from __future__ import annotations

from typing import Any

from squall.compiler import scratch
from squall.compiler.describe import BLOCK
from squall.compiler.lower_values import ELEMENT, LINE, ROW
from squall.compiler.lower_walk import Walker
from squall.compiler.reducers import FAR, Reducer, identity
from squall.compiler.spec import Spec
from squall.ir.linear import BYTES, I64, Program, Reg, Type

TOTALS = 16


def scratch_bytes(spec: Spec) -> int:
    """What each thread needs for values that a kernel keeps from one walk over a row to the next."""
    return len(spec.scratch) * scratch.STEP


class Rows(Walker):
    """Writes one "rows" kernel."""

    def build(self) -> Program:
        """The whole program."""
        b, e, spec = self.b, self.e, self.spec
        e.load_words()
        e.enter_kernel()
        self.extent = e.word(spec.inner)
        self.line_count = self.product([e.word(w) for w in spec.lines])
        for position, number in enumerate(spec.scratch):
            self.saved[number] = b.gep(b.scratch, b.int(position * scratch.STEP), "i8")
        if spec.stream:
            self._streamed()
        else:
            self._all()
        return Program((b.finish(),), "rows", scratch_bytes(spec))

    def _streamed(self) -> None:
        """Everything, stored past the caches where results begin on cache lines, as memory of the user's may not."""
        b, e = self.b, self.e
        bits = b.int(0)
        for s in self.spec.stores:
            bits = b.op("or", bits, b.argument(s.access.word, I64))
        lies = b.compare("eq", b.op("and", bits, b.int(63)), b.int(0))
        with b.when_else(lies) as otherwise:
            e.streams = True
            self._all()
            b.emit("fence", None)  # what lies in write-combining buffers is seen before the kernel is done
            otherwise()
            e.streams = False
            self._all()

    def _all(self) -> None:
        """The units asked for."""
        b, e, spec = self.b, self.e, self.spec
        if not spec.chunk or spec.outer:
            self._units()
            return
        with self.scope():
            e.emit_level(ROW, 0)
            low = b.mul(b.begin, b.int(spec.chunk))
            high = b.op("min", b.mul(b.end, b.int(spec.chunk)), self.extent)
            self.walk(0, lambda: self.segment(0, low, high, []))

    def _units(self) -> None:
        """A loop over units: positions of the outer loops, the last one perhaps in tiles, then chunks or blocks."""
        b, e, spec = self.b, self.e, self.spec
        sizes = [e.word(w) for w in spec.outer]
        if spec.tile:
            sizes[-1] = b.op("div", b.add(sizes[-1], b.int(spec.tile - 1)), b.int(spec.tile))
        if spec.chunk:
            sizes.append(b.op("div", b.add(self.extent, b.int(spec.chunk - 1)), b.int(spec.chunk)))
        elif spec.partial:
            self._block_sizes()
            sizes.append(b.mul(self.line_blocks, self.inner_blocks))
        with self.positions(b.begin, b.end, sizes) as found:
            row, low, high = found[:self.outer], b.int(0), self.extent
            if spec.chunk:
                low, high = self.bounds(b.mul(found[-1], b.int(spec.chunk)), spec.chunk, self.extent)
            elif spec.partial:
                self.row, self.block_number = (row, sizes), found[-1]
            if spec.tile:
                self._tile(row, low, high)
            else:
                self._unit(row, low, high)

    def _unit(self, row: list[Reg], low: Reg, high: Reg) -> None:
        e, spec = self.e, self.spec
        e.advance(dict(enumerate(row)), 0, self.outer)
        for phase in range(self.phases):
            e.emit_level(ROW, phase)
            reducers = [r for r in self.reducers if spec.values[r.number].phase == phase + 1]
            stores = any(s.phase == phase and s.level == ELEMENT for s in spec.stores)
            if reducers:
                self.reduce(phase, reducers)
            elif stores:
                self.walk(phase, lambda phase=phase: self.where_sure(lambda: self.segment(phase, low, high, [])))
        for position, s in enumerate(spec.stores):
            if s.level < LINE and not spec.partial:
                e.store(position, {}, None, None)

    def _tile(self, row: list[Reg], low: Reg, high: Reg) -> None:
        """Some positions of the last outer loop, one after the other over one stretch of the inner loop: places move by
        their strides, which takes an addition each."""
        b, e, spec = self.b, self.e, self.spec
        last = self.outer - 1
        e.advance(dict(enumerate(row[:last])), 0, last)
        first, behind = self.bounds(b.mul(row[last], b.int(spec.tile)), spec.tile, e.word(spec.outer[-1]))
        e.advance({last: first}, last, self.outer)
        with self.stepping(last, first, behind):
            e.emit_level(ROW, 0)
            self.where_sure(lambda: self.segment(0, low, high, []))

    def body(self, phase: int, order: list[int], reducers: list[Reducer], j: Reg, mask: Reg | None) -> None:
        """One vector of elements. While a row is walked again, from the first cache, the lines of the next
        one are fetched."""
        b, e, spec = self.b, self.e, self.spec
        if phase == 1 and spec.outer and not spec.lines and not spec.blocked:
            for number, v in enumerate(spec.values):
                if v.op == "load" and v.level == ELEMENT and v.phase == 0 and v.attr[0].inner == "unit":
                    access = v.attr[0]
                    strides = [s for loop, s in access.strides if loop == self.outer - 1]
                    if strides and strides[0] is not None and not access.indirect:
                        ahead = b.gep(e.places[number], b.add(j, e.words[strides[0]]), v.scalar)
                        for line in range(0, spec.lanes * BYTES[v.scalar], 64):
                            at = ahead if not line else b.gep(ahead, b.int(line), "i8")
                            b.emit("prefetch", None, (at,), (False, 2))
        super().body(phase, order, reducers, j, mask)

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

    def _one_block(self, phase: int, reducers: list[Reducer], lines: tuple[Reg, Reg] | None, low: Reg,
                   high: Reg) -> None:
        b = self.b
        for r in reducers:
            r.start(b, self.spec.lanes)
        if lines is None:
            self.segment(phase, low, high, reducers)
            return
        self.walk_lines(lines, phase, lambda: self.segment(phase, low, high, reducers))

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
        bests = {r.number: (b.var(b.const(identity(r.kind, r.scalar), Type(r.scalar))), b.var(b.int(FAR)))
                 for r in args}
        self._block_sizes()

        def block(lines: tuple[Reg, Reg] | None) -> None:
            with b.loop(b.int(0), self.extent, b.int(BLOCK)) as start:
                self._one_block(phase, reducers, lines, *self.bounds(start, BLOCK, self.extent))
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
                block(self.bounds(start, self.block_lines, self.line_count))
        else:
            block(None)
        for r in others:
            whole = b.load(Type(r.scalar, TOTALS), totals[r.number])
            r.restart(b.var(whole))
            self.finish(r, r.tree(b))
        for r in args:
            self.finish(r, b.get(bests[r.number][1]))

    def _keep_best(self, r: Reducer, best: tuple[Any, Any]) -> None:
        """argmax and argmin go on from the lanes they have: only the best of each block is compared."""
        b = self.b
        value, at = r.best(b)
        held, place = b.get(best[0]), b.get(best[1])
        wins = b.op("or", r.better(b, value, held), b.compare("eq", place, b.int(FAR)))
        b.set(best[0], b.select(wins, value, held))
        b.set(best[1], b.select(wins, at, place))

    def _partial(self, phase: int, reducers: list[Reducer]) -> None:
        """One block of the row; its results are stored as they are, for a second kernel to add."""
        b, e = self.b, self.e
        number = self.block_number
        inner = b.op("rem", number, self.inner_blocks)  # type: ignore[arg-type]
        low, high = self.bounds(b.mul(inner, b.int(BLOCK)), BLOCK, self.extent)
        lines = None
        if self.spec.lines:
            outer = b.op("div", number, self.inner_blocks)  # type: ignore[arg-type]
            lines = self.bounds(b.mul(outer, self.block_lines), self.block_lines, self.line_count)
        self._one_block(phase, reducers, lines, low, high)
        row, sizes = self.row
        flat = b.int(0)
        for index, size in zip([*row, number], sizes, strict=True):
            flat = b.add(b.mul(flat, size), index)
        for position, r in enumerate(reducers):
            place = e.words[self.spec.stores[position].access.word]
            b.store(r.tree(b), b.gep(place, flat, r.scalar))  # type: ignore[arg-type]


def lower(spec: Spec) -> Program:
    """The program of a "rows" spec, transcendental instructions included."""
    return Rows(spec).build()

