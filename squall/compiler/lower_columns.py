"""Lowers "columns" specs: reductions over dimensions other than the last, for a vector of kept elements at a time.

A unit is one vector of columns (of one outer position). Lines are taken in one after the other, in blocks of `LINES`
whose sums are added in order: the order of float sums depends on the number of lines alone. A partial spec makes the
blocks units of their own and leaves their sums to a second kernel. What depends on the result is computed behind it.
"""

from __future__ import annotations

from squall.compiler.describe import LINES
from squall.compiler.lower_values import ELEMENT, ROW
from squall.compiler.lower_walk import Walker
from squall.compiler.reducers import identity
from squall.compiler.spec import Spec
from squall.ir.linear import Program, Reg, Type


class Columns(Walker):
    """Writes one "columns" kernel."""

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.once = True

    def build(self) -> Program:
        """The whole program."""
        b, e, spec = self.b, self.e, self.spec
        e.load_words()
        e.enter_kernel()
        self.extent = e.word(spec.inner)
        self.line_count = self.product([e.word(w) for w in spec.lines])
        self.chunks = b.op("div", b.add(self.extent, b.int(spec.lanes - 1)), b.int(spec.lanes))
        self.blocks = b.op("div", b.add(self.line_count, b.int(LINES - 1)), b.int(LINES))
        sizes = [e.word(w) for w in spec.outer] + [self.blocks] * spec.partial + [self.chunks]
        with self.positions(b.begin, b.end, sizes) as found:
            self._column_unit(found, sizes)
        return Program((b.finish(),), "rows")

    def _column_unit(self, found: list[Reg], sizes: list[Reg]) -> None:
        b, e, spec = self.b, self.e, self.spec
        j = b.mul(found[-1], b.int(spec.lanes))
        block = found[self.outer] if spec.partial else None
        e.advance(dict(enumerate(found[:self.outer])), 0, self.outer)
        e.emit_level(ROW, 0)
        mask = b.mask_below(b.sub(self.extent, j), spec.lanes)
        for r in self.reducers:
            r.start(b, spec.lanes)
        if block is not None:
            self._lines(self.bounds(b.mul(block, b.int(LINES)), LINES, self.line_count), j, mask)
            row = b.int(0)
            for index, size in zip(found[:self.outer + 1], sizes, strict=False):
                row = b.add(b.mul(row, size), index)
            self._store_partial(row, j, mask)
            return
        if spec.blocked:
            self._in_blocks(j, mask)
        else:
            self._lines((b.int(0), self.line_count), j, mask)
        self._after(j, mask)

    def _lines(self, bounds: tuple[Reg, Reg], j: Reg, mask: Reg) -> None:
        order = self.needed(0)
        elements = lambda: self.body(0, order, self.reducers, j, mask)
        self.walk_lines(bounds, 0, lambda: self.where_sure(elements))

    def _in_blocks(self, j: Reg, mask: Reg) -> None:
        b = self.b
        ordered = [r for r in self.reducers if not r.is_arg]
        nothing = {r.number: b.const(identity(r.kind, r.scalar), Type(r.scalar, self.spec.lanes)) for r in ordered}
        totals = {number: b.var(zero) for number, zero in nothing.items()}
        with b.loop(b.int(0), self.line_count, b.int(LINES)) as start:
            for r in ordered:
                b.set(r.state, nothing[r.number])
            self._lines(self.bounds(start, LINES, self.line_count), j, mask)
            for r in ordered:
                b.set(totals[r.number], r.combine(b, b.get(totals[r.number]), b.get(r.state)))
        for r in ordered:
            r.state = totals[r.number]

    def _store_partial(self, row: Reg, j: Reg, mask: Reg) -> None:
        """Partial results lie as [row and block, column], in the accumulator's type."""
        b = self.b
        for position, r in enumerate(self.reducers):
            at = b.add(b.mul(row, self.extent), j)
            place = self.e.words[self.spec.stores[position].access.word]
            b.store(b.get(r.state), b.gep(place, at, r.scalar), mask)

    def _after(self, j: Reg, mask: Reg) -> None:
        """Values behind the reductions, and the stores of kept elements."""
        b, e, spec = self.b, self.e, self.spec
        local: dict[int, Reg] = {}
        for r in self.reducers:
            result = b.get(r.index if r.is_arg else r.state)
            scalar = r.value.scalar
            local[r.number] = e.rounded(result if result.type.scalar == scalar else e.convert(result, scalar), scalar)
        for number, v in enumerate(spec.values):
            late = v.phase > 0 or self._is_kept(number)
            if v.level == ELEMENT and v.op not in ("reduce", "const") and late:
                local[number] = e.emit(number, v, local, j, mask)
        for position, s in enumerate(spec.stores):
            if s.phase > 0:
                e.store(position, local, j, mask)

    def _is_kept(self, number: int) -> bool:
        """Whether a value of phase 0 is read behind the reductions and does not change from line to line."""
        spec = self.spec
        readers = {n for v in spec.values if v.phase > 0 and v.op != "reduce" for n in v.operands}
        return number in self._closure(readers)

    def _closure(self, wanted: set[int]) -> set[int]:
        if not hasattr(self, "_kept"):
            found = set(wanted)
            for number in reversed(range(len(self.spec.values))):
                if number in found and self.spec.values[number].op != "reduce":
                    found |= set(self.spec.values[number].operands)
            self._kept = found
        return self._kept


def lower(spec: Spec) -> Program:
    """The program of a "columns" spec, transcendental instructions included."""
    return Columns(spec).build()

