"""Few rows against a B whose contiguous dimension is k (the weights of a linear layer): B is read once, never packed.

A square of B is loaded along k, transposed in registers and used at once, in the same order of summation as any other
tile. The transposing bounds the speed of the fewest rows, at about what the caches deliver.
"""

from __future__ import annotations

from squall.compiler.nest.isa import Isa
from squall.compiler.nest.microkernel import finish_tile, multiply_add
from squall.compiler.nest.pack import load_transposed, transpose
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

AHEAD_BYTES = 128


def streamed(isa: Isa) -> tuple[int, ...]:
    """The rows of A that have a function of their own: at most a tile's, for which A's offsets are there."""
    return (2, 4, isa.tile.rows)


def stream_name(rows: int) -> str:
    """The name of the function of some rows."""
    return f"stream_{rows}"


class _Stream:
    """The registers of the function, shared by its branches."""

    def __init__(self, isa: Isa, scalar: str, accumulate: str, rows: int):
        self.b = b = Builder(stream_name(rows), (PTR, PTR, PTR, PTR, PTR, PTR, PTR, I64, PTR, PTR, I64, I64, I64))
        (self.a, self.row_table, self.k_a, self.source, self.columns, self.k_b, self.runs, self.run_count, self.c,
         self.c_table, self.valid, self.last, self.add) = b.parameters
        self.isa, self.lanes, self.scalar = isa, isa.lanes(accumulate), Type(scalar)
        self.vector, self.wide = Type(scalar, self.lanes), isa.vector(accumulate)
        self.masked = isa.can_mask(scalar)
        zero = b.const(0, self.wide)
        self.sums = [[b.var(zero)] for _ in range(rows)]
        self.rows = [b.gep(self.a, self._entry(self.row_table, b.int(i)), accumulate) for i in range(rows)]
        limit = b.sub(self.last, b.int(1))
        self.pointers = [b.gep(self.source, self._entry(self.columns, b.op("min", b.int(c), limit)), scalar)
                         for c in range(self.lanes)]

    def _entry(self, table: Reg, index: Reg) -> Reg:
        return self.b.load(I64, self.b.gep(table, index, "i64"))

    def use(self, line: Reg, k: Reg) -> None:
        """One step of k: a row of the transposed square against the rows of A."""
        b, scalar = self.b, self.wide.scalar
        offset = self._entry(self.k_a, k)
        for row, (total,) in zip(self.rows, self.sums, strict=True):
            element = b.splat(b.load(Type(scalar), b.gep(row, offset, scalar)), self.lanes)
            b.set(total, multiply_add(b, element, line, b.get(total)))

    def run(self, start: Reg, length: Reg) -> None:
        """One run of consecutive k, whole or partial."""
        b = self.b
        offset = self._entry(self.k_b, start)
        places = [b.gep(pointer, offset, self.scalar.scalar) for pointer in self.pointers]
        with b.when_else(b.compare("eq", length, b.int(self.lanes))) as otherwise:
            for place in places:
                b.emit("prefetch", None, (b.gep(place, b.int(AHEAD_BYTES), "i8"),), (False, 3))
            for u, line in enumerate(load_transposed(b, places, self.vector, self.wide)):
                self.use(line, b.add(start, b.int(u)))
            otherwise()
            if self.masked:
                mask = b.mask_below(length, self.lanes)
                lines = transpose(b, [b.cast(b.load(self.vector, place, mask), self.wide) for place in places])
                for u, line in enumerate(lines[:-1]):
                    with b.when(b.compare("lt", b.int(u), length)):
                        self.use(line, b.add(start, b.int(u)))
            else:
                with b.loop(b.int(0), length) as u:
                    parts = [b.load(self.scalar, b.gep(place, u, self.scalar.scalar)) for place in places]
                    line = b.const(0, self.wide)
                    for lane, part in enumerate(parts):
                        line = b.insert(line, b.cast(part, Type(self.wide.scalar)), lane)
                    self.use(line, b.add(start, u))


def stream_tile(isa: Isa, scalar: str, accumulate: str, rows: int) -> Function:
    """`stream_ROWS(a, rows, k_a, source, columns, k_b, runs, run_count, c, c_rows, valid, last, add)`.

    As a microkernel, with B where it lies: `columns` are the offsets of its columns, `runs` the `find_runs` of `k_b`.
    """
    s = _Stream(isa, scalar, accumulate, rows)
    b = s.b
    with b.loop(b.int(0), s.run_count) as r:
        pair = b.gep(s.runs, b.mul(r, b.int(2)), "i64")
        s.run(b.load(I64, pair), b.load(I64, b.gep(pair, b.int(1), "i64")))
    finish_tile(b, isa, s.sums, s.c, s.c_table, s.valid, s.last, b.compare("ne", s.add, b.int(0)))
    return b.finish()
