"""Few rows against a B that lies along its columns: B is read once, row after row, as fast as memory gives it.

A tile of few rows reads short pieces of many rows of B, which the processor cannot foresee. Here the sums of up to
eight rows are kept in the first-level cache instead of registers, and a few rows of B at a time are read from end to
end: each vector of sums is loaded, gets a chain of multiply-adds in ascending k, and is stored. More rows follow in
tiles that go on from sums in memory, while what was swept is in the second-level cache. A sum in memory is exactly the
sum in a register, so the bits are those of any other tile.
"""

from __future__ import annotations

from squall.compiler.nest.isa import Isa
from squall.compiler.nest.microkernel import fetch, multiply_add
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

SUMS_BYTES = 7 << 12  # of the sums of a sweep's rows, which stay in the first-level cache beside a few rows of B
MOST_STEPS = 8  # of k at once: as many streams as the processor follows
FETCHED_STEPS = 5  # up to so many the rows that come next are fetched too: their addresses are in registers
DEPTH = 48
FOLLOW = "follow"
# a, row offsets, a's k offsets, b, b's k offsets, depth, sums, columns
PARAMETERS = (PTR, PTR, PTR, PTR, PTR, I64, PTR, I64)


def sweep_name(rows: int) -> str:
    """The name of the function of some rows."""
    return f"sweep_{rows}"


def sweep_rows(isa: Isa) -> tuple[int, ...]:
    """The numbers of rows at once that have a function of their own."""
    return tuple(rows for rows in (1, 2, 4, 8) if rows <= isa.tile.rows)


def steps_at_once(isa: Isa, rows: int) -> int:
    """Steps of k at once: their elements of A, their vectors of B and a sum are registers."""
    registers = (isa.tile.rows + 1) * isa.tile.vectors + 1
    return max(1, min(MOST_STEPS, (registers - 1) // (rows + 1)))


class _Sweep:
    """The registers of the function, shared by its loops."""

    def __init__(self, isa: Isa, accumulate: str, rows: int):
        self.b = b = Builder(sweep_name(rows), PARAMETERS)
        self.a, row_table, self.k_a, self.source, self.k_b, self.depth, self.sums, self.columns = b.parameters
        self.vector = isa.vector(accumulate)
        self.rows = [b.gep(self.a, self._offset(row_table, b.int(i)), accumulate) for i in range(rows)]

    def _offset(self, table: Reg, index: Reg) -> Reg:
        return self.b.load(I64, self.b.gep(table, index, "i64"))

    def steps(self, k: Reg, count: int) -> None:
        """Some steps of k for all columns."""
        b, scalar = self.b, self.vector.scalar
        lines = [b.gep(self.source, self._offset(self.k_b, b.add(k, b.int(s))), scalar) for s in range(count)]
        fetched = count if 1 < count <= FETCHED_STEPS else 0
        later = [b.gep(self.source, self._offset(self.k_b, b.add(k, b.int(count + s))), scalar)
                 for s in range(fetched)]
        offsets = [self._offset(self.k_a, b.add(k, b.int(s))) for s in range(count)]
        elements = [[b.splat(b.load(Type(scalar), b.gep(row, offset, scalar)), self.vector.lanes)
                     for offset in offsets] for row in self.rows]
        with b.loop(b.int(0), self.columns, b.int(self.vector.lanes)) as column:
            for line in later:
                b.emit("prefetch", None, (b.gep(line, column, scalar),), (False, 3))
            values = [b.load(self.vector, b.gep(line, column, scalar)) for line in lines]
            here = b.gep(self.sums, b.mul(column, b.int(len(self.rows))), scalar)
            for i, row in enumerate(elements):
                place = b.gep(here, b.int(i * self.vector.lanes), scalar)
                total = b.load(self.vector, place)
                for element, value in zip(row, values, strict=True):
                    total = multiply_add(b, element, value, total)
                b.store(total, place)


def sweep(isa: Isa, accumulate: str, rows: int) -> Function:
    """`sweep_ROWS(a, row offsets, a's k offsets, b, b's k offsets, depth, sums, columns)`.

    Goes on with `sums`, for each vector of columns a vector for each row, over some steps of k. B's columns are
    neighbours and whole vectors; b's k offsets go on `MOST_STEPS` entries beyond the depth.
    """
    s = _Sweep(isa, accumulate, rows)
    b, count = s.b, steps_at_once(isa, rows)
    whole = b.sub(s.depth, b.op("rem", s.depth, b.int(count)))
    with b.loop(b.int(0), whole, b.int(count)) as k:
        s.steps(k, count)
    if count > 1:
        with b.loop(whole, s.depth) as k:
            s.steps(k, 1)
    return b.finish()


def follow(isa: Isa, accumulate: str) -> Function:
    """`follow(a, row offsets, a's k offsets, b, b's k offsets, depth, sums)`.

    What `sweep` of the most rows does for the first group of rows, for one panel of another, in a tile: the sweep has
    brought the rows of B near.
    """
    b = Builder(FOLLOW, PARAMETERS[:-1])
    a, row_table, k_a, panel, k_b, depth, sums = b.parameters
    rows, vectors, vector = sweep_rows(isa)[-1], isa.tile.vectors, isa.vector(accumulate)
    lanes = vector.lanes

    def offset(table: Reg, index: Reg) -> Reg:
        return b.load(I64, b.gep(table, index, "i64"))

    pointers = [b.gep(a, offset(row_table, b.int(i)), accumulate) for i in range(rows)]
    places = [[b.gep(sums, b.int((j * rows + i) * lanes), accumulate) for j in range(vectors)] for i in range(rows)]
    totals = [[b.var(b.load(vector, place)) for place in row] for row in places]
    with b.loop(b.int(0), depth) as k:
        line, along = b.gep(panel, offset(k_b, k), accumulate), offset(k_a, k)
        fetch(b, b.gep(line, b.int(vectors * lanes), accumulate), vectors * lanes, accumulate)
        values = [b.load(vector, b.gep(line, b.int(j * lanes), accumulate)) for j in range(vectors)]
        for pointer, row in zip(pointers, totals, strict=True):
            element = b.splat(b.load(Type(accumulate), b.gep(pointer, along, accumulate)), lanes)
            for total, value in zip(row, values, strict=True):
                b.set(total, multiply_add(b, element, value, b.get(total)))
    for row, there in zip(totals, places, strict=True):
        for total, place in zip(row, there, strict=True):
            b.store(b.get(total), place)
    return b.finish()


def store_sums(isa: Isa, accumulate: str) -> Function:
    """`store_sums(sums, rows, apart, columns, c, c_rows, add)`: what `sweep` left to C or, if asked, added to it.

    `apart` are the rows of a group.
    """
    b = Builder("store_sums", (PTR, I64, I64, I64, PTR, PTR, I64))
    sums, rows, apart, columns, c, c_table, add = b.parameters
    vector = isa.vector(accumulate)
    adding = b.compare("ne", add, b.int(0))
    with b.loop(b.int(0), rows) as row:
        group, inside = b.op("div", row, apart), b.op("rem", row, apart)
        first = b.add(b.mul(b.mul(group, apart), columns), b.mul(inside, b.int(vector.lanes)))
        target = b.gep(c, b.load(I64, b.gep(c_table, row, "i64")), accumulate)
        with b.loop(b.int(0), columns, b.int(vector.lanes)) as column:
            place = b.gep(target, column, accumulate)
            value = b.load(vector, b.gep(sums, b.add(first, b.mul(column, apart)), accumulate))
            value = b.var(b.add(value, b.const(0.0, vector)) if vector.is_float else value)  # see `finish_tile`
            with b.when(adding):
                b.set(value, b.add(b.load(vector, place), b.get(value)))
            b.store(b.get(value), place)
    return b.finish()
