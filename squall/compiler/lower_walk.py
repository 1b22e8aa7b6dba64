"""Walking over the elements of a kernel: what the lowerings of rows and of columns share.

A walk goes through the lines of a row one by one and through the inner loop in vectors; the last, partial vector is
the same code under a mask. Short element code is written twice, for whole vectors and for the tail; long code once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from squall.compiler import scratch
from squall.compiler.describe import MANY_GUARDS, compute_scalar
from squall.compiler.heavy import is_long
from squall.compiler.lower_values import ELEMENT, LINE, ROW, Emitter
from squall.compiler.reducers import Reducer
from squall.compiler.spec import Spec, Value
from squall.ir.linear import Builder, Reg, Type


def guards(spec: Spec) -> tuple[list[int], frozenset[int]]:
    """The bounds that many guarded loads depend on, each known once a row (in "columns" once a line), and all that hold
    if these do; nothing where guards are few or belong to elements."""
    loads = [v for v in spec.values if v.op == "load" and v.attr[1]]
    level = LINE if spec.kind == "columns" else ROW
    plain = spec.kind == "columns" or not (spec.lines or any(v.op == "reduce" for v in spec.values))
    if len(loads) < MANY_GUARDS or not plain:
        return [], frozenset()
    wanted = {v.operands[-1] for v in loads}
    for number in reversed(range(len(spec.values))):
        if number in wanted and spec.values[number].op == "and":
            wanted |= set(spec.values[number].operands)
    if not all(spec.values[n].level == level and spec.values[n].op in ("inside", "and") for n in wanted):
        return [], frozenset()
    others = [v for n, v in enumerate(spec.values) if n not in wanted and wanted & set(v.operands)]
    alone = all(v.level == ELEMENT and _only_guards(v, wanted) for v in others)
    if not alone or any(s.value in wanted for s in spec.stores):
        return [], frozenset()
    return [n for n in sorted(wanted) if spec.values[n].op == "inside"], frozenset(wanted)


def _only_guards(v: Value, wanted: set[int]) -> bool:
    """Whether a value needs none of these where they hold: as a load's last operand, or what a selection asks."""
    read = {"load": v.operands[:-1], "select": v.operands[1:]}.get(v.op, v.operands)
    return not wanted & set(read)


class Walker:
    """Writes one kernel: its builder, values, reductions, and the walks over elements."""

    def __init__(self, spec: Spec):
        self.spec = spec
        self.b = Builder.kernel("rows")
        self.e = Emitter(spec, self.b)
        self.asked, self.sure = guards(spec)
        self.settled: tuple[list[int], Reg | None] = [], None  # bounds that a loop's steps leave as they are
        self.e.late = self.sure
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
            self._carry(counters, found, sizes)

    def _carry(self, counters: list[Reg], found: list[Reg], sizes: list[Reg]) -> None:
        """Move a position one on."""
        b = self.b
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

        def line() -> None:
            for earlier in range(phase + 1):
                self.e.emit_level(LINE, earlier)
            body()

        if self.sure and len(sizes) > 1:
            self._walk_runs(lines, sizes, line)
            return
        with self.positions(*lines, sizes, from_zero) as found:
            indices = {self.outer + i: r for i, r in enumerate(found)}
            self.e.advance(indices, self.outer, self.outer + len(found))
            line()

    def _walk_runs(self, lines: tuple[Reg, Reg], sizes: list[Reg], line: Callable[[], None]) -> None:
        """The same in runs of the last dimension, along which places move by one stride each."""
        b, e = self.b, self.e
        low, high = lines
        counters = [b.var(r) for r in self.decompose(low, sizes)]
        done = b.var(low)
        whole = b.add(b.sub(high, low), b.get(counters[-1]))
        runs = b.op("div", b.add(whole, b.sub(sizes[-1], b.int(1))), sizes[-1])
        with b.loop(b.int(0), runs), self.scope():
            found = [b.get(c) for c in counters]
            count = b.op("min", b.sub(sizes[-1], found[-1]), b.sub(high, b.get(done)))
            e.advance({self.outer + i: r for i, r in enumerate(found)}, self.outer, self.outer + len(found))
            with self.stepping(self.outer + len(found) - 1, b.int(0), count):
                line()
            b.set(done, b.add(b.get(done), count))
            b.set(counters[-1], b.int(0))
            self._carry(counters[:-1], found[:-1], sizes[:-1])

    @contextmanager
    def stepping(self, loop: int, low: Reg, high: Reg) -> Iterator[None]:
        """A loop whose places, which stand where it begins, move by their strides: an addition each."""
        b, e = self.b, self.e
        moving = [(key, scalar, stride) for key, (access, scalar) in e.accesses.items()
                  for number, stride in access.strides if number == loop]
        places = {key: b.var(e.places[key]) for key, _, _ in moving}
        self.settled = self._signs([n for n in self.asked if self._stays(n, places)], e.places)
        with b.loop(low, high), self.scope():
            e.places |= {key: b.get(place) for key, place in places.items()}
            yield
            for key, scalar, stride in moving:
                e.move(key, scalar, b.int(1), stride)
                b.set(places[key], e.places[key])
        self.settled = [], None

    def _stays(self, number: int, places: dict[Any, Reg]) -> bool:
        """Whether a bound is on a position that none of these moves."""
        (position,) = self.spec.values[number].operands
        v = self.spec.values[position]
        return v.op == "position" and not v.attr.indirect and position not in places

    def _signs(self, numbers: list[int], positions: dict[Any, Reg]) -> tuple[list[int], Reg | None]:
        """Bounds, and an integer that is negative where one of them does not hold."""
        b, found = self.b, None
        for number in numbers:
            v = self.spec.values[number]
            position = positions[v.operands[0]]
            beyond = b.sub(b.sub(self.e.words[v.attr], b.int(1)), position)
            sign = b.op("or", position, beyond)
            found = sign if found is None else b.op("or", found, sign)
        return numbers, found

    def where_sure(self, elements: Callable[[], None]) -> None:
        """Write elements of a row or line. Where their many guards all hold, as in the midst of a padded picture, none
        of them is asked again."""
        b, e = self.b, self.e
        if not self.sure:
            elements()
            return
        known, settled = self.settled
        _, signs = self._signs([n for n in self.asked if n not in known], e.regs)
        signs = settled if signs is None else signs if settled is None else b.op("or", signs, settled)
        every = b.compare("ge", signs, b.int(0))  # type: ignore[arg-type]
        with b.when_else(every) as otherwise:
            e.sure = self.sure
            elements()
            otherwise()
            e.sure = frozenset()
            with self.scope():
                e.emit_some(sorted(self.sure))
                elements()

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
