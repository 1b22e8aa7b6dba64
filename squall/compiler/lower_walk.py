"""Walking over the elements of a kernel: what the lowerings of rows and of columns share.

A walk goes through the lines of a row one by one and through the inner loop in vectors; the last, partial vector is
the same code under a mask. Short element code is written twice, for whole vectors and for the tail; long code once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from squall.compiler import scratch
from squall.compiler.describe import compute_scalar
from squall.compiler.heavy import is_long
from squall.compiler.lower_values import ELEMENT, LINE, Emitter
from squall.compiler.reducers import Reducer
from squall.compiler.spec import Spec
from squall.ir.linear import Builder, Reg, Type


class Walker:
    """Writes one kernel: its builder, values, reductions, and the walks over elements."""

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

    def product(self, factors: list[Reg]) -> Reg:
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

    def decompose(self, flat: Reg, sizes: list[Reg]) -> list[Reg]:
        """A row-major position from its number."""
        b, out = self.b, []
        for size in reversed(sizes[1:]):
            out.append(b.op("rem", flat, size))
            flat = b.op("div", flat, size)
        return [flat, *reversed(out)] if sizes else []

    @contextmanager
    def positions(self, low: Reg, high: Reg, sizes: list[Reg], from_zero: bool = False) -> Iterator[list[Reg]]:
        """A loop over position numbers low <= n < high that yields each as a row-major position. One is found by
        division, every next one by carrying."""
        b = self.b
        if len(sizes) < 2:
            with b.loop(low, high) as number, self.scope():
                yield [number] if sizes else []
            return
        first = [b.int(0)] * len(sizes) if from_zero else self.decompose(low, sizes)
        counters = [b.var(r) for r in first]
        with b.loop(low, high), self.scope():
            found = [b.get(c) for c in counters]
            yield found
            one = carry = b.int(1)
            for counter, index, size in zip(counters[:0:-1], found[:0:-1], sizes[:0:-1], strict=True):
                up = b.add(index, carry)
                wraps = b.compare("ge", up, size)
                b.set(counter, b.select(wraps, b.int(0), up))
                carry = b.select(wraps, one, b.int(0))
            b.set(counters[0], b.add(found[0], carry))

    def bounds(self, start: Reg, step: Reg | int, limit: Reg) -> tuple[Reg, Reg]:
        b = self.b
        return start, b.op("min", b.add(start, b.int(step) if isinstance(step, int) else step), limit)

    def walk(self, phase: int, body: Callable[[], None]) -> None:
        """Run the body for every line."""
        if not self.spec.lines:
            body()
            return
        self.walk_lines((self.b.int(0), self.line_count), phase, body, True)

    def walk_lines(self, lines: tuple[Reg, Reg], phase: int, body: Callable[[], None], from_zero: bool = False) -> None:
        """Run the body for some lines, with what is known at each."""
        sizes = [self.e.word(w) for w in self.spec.lines]
        with self.positions(*lines, sizes, from_zero) as found:
            indices = {self.outer + i: r for i, r in enumerate(found)}
            self.e.advance(indices, self.outer, self.outer + len(found))
            for earlier in range(phase + 1):
                self.e.emit_level(LINE, earlier)
            body()

    def needed(self, phase: int) -> list[int]:
        """Element values that a walk computes or reads back from scratch, in order."""
        kept = {n for n in self.spec.scratch if self.first[n] < phase}
        return scratch.needed(self.spec, phase, kept)

    def segment(self, phase: int, low: Reg, high: Reg, reducers: list[Reducer]) -> None:
        """Elements low <= j < high of a line: whole vectors, then the tail under a mask."""
        b, lanes = self.b, self.spec.lanes
        order = self.needed(phase)
        step = b.int(lanes)
        if self.once or self.spec.exact:
            with b.loop(low, high, step) as j:
                mask = None if self.spec.exact or lanes == 1 else b.mask_below(b.sub(high, j), lanes)
                self.body(phase, order, reducers, j, mask)
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

    def finish(self, r: Reducer, result: Reg) -> None:
        """A reduction's result as a value of the row."""
        scalar = r.value.scalar
        if result.type.scalar != scalar:
            result = self.e.convert(result, scalar)
        self.e.set_value(r.number, self.e.rounded(result, scalar))
