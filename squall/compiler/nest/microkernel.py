"""The microkernel: a tile of C, held in registers, is a chain of multiply-adds over one block of k.

There is one form for every use, and one for the most common. In the first A is read one element at a time, from
`a + row offset + k offset`, and B one row of vectors at a time, from `b + k offset`, both k offsets out of tables: so
an operand may be packed or read where it lies, along one contraction dimension or many, and the same machine code
serves. The other is for full tiles of a packed B and an A whose k offsets are multiples of one step: it spares the
tables.
"""

from __future__ import annotations

from squall.compiler.nest.isa import Isa
from squall.ir.linear import BYTES, I64, PTR, Builder, Function, Reg, Type

# a, row offsets, a's k offsets, b, b's k offsets, depth, c, c's row offsets, valid rows, lanes of the last vector,
# accumulate (0: write, 1: add to what C holds). All offsets are in elements.
PARAMETERS = (PTR, PTR, PTR, PTR, PTR, I64, PTR, PTR, I64, I64, I64)
# a, row offsets, a's k step, b, and the rest as above from depth on
EVEN_PARAMETERS = (PTR, PTR, I64, PTR, I64, PTR, PTR, I64, I64, I64)
# the same, then what of b will be read later, and how many elements of it to fetch at a step
FETCHING_PARAMETERS = (*EVEN_PARAMETERS, PTR, I64)
# where B is packed to, b where it lies and its k offsets, and the rest as above
PACKING_PARAMETERS = (PTR, PTR, PTR, *EVEN_PARAMETERS[:3], *EVEN_PARAMETERS[4:])

AHEAD = 8  # steps of k that B is prefetched ahead; its offset table goes on that far
AHEAD_VECTORS = 48  # not more than these where rows are long

AHEAD_A = 128  # elements that a packed A is prefetched ahead
LINE = 64  # bytes of a cache line
EVEN, FETCHING, PACKING = "tile_even", "tile_fetching", "tile_packing"


def name_of(rows: int, vectors: int, lying: bool = False) -> str:
    """The function name of the microkernel of a tile."""
    return f"{'lying' if lying else 'tile'}_{rows}x{vectors}"


def microkernel(isa: Isa, accumulate: str, rows: int, vectors: int, lying: bool = False) -> Function:
    """Build the microkernel of a tile.

    Arguments: the instruction set, the accumulate dtype ("f32", "f64", "i32", "i64"), rows and vectors of the tile;
    `lying`: B lies where it is, so that its table tells where the next rows are that are fetched ahead.
    Result: a function with `PARAMETERS`, named by `name_of`. It computes all `rows`; only the valid ones are stored,
    so the row tables must hold readable offsets beyond them.
    """
    b = Builder(name_of(rows, vectors, lying), PARAMETERS)
    a, row_table, a_table, bp, b_table, depth, c, c_table, valid, last, add = b.parameters
    vector = isa.vector(accumulate)
    sums, pointers = begin_tile(b, vector, rows, vectors, a, row_table, c, c_table)
    ahead = min(AHEAD, max(1, AHEAD_VECTORS // vectors))

    def step(k: Reg) -> None:
        a_offset = b.load(I64, b.gep(a_table, k, "i64"))
        line = b.gep(bp, b.load(I64, b.gep(b_table, k, "i64")), accumulate)
        if lying:
            later = b.gep(bp, b.load(I64, b.gep(b_table, b.add(k, b.int(ahead)), "i64")), accumulate)
        else:
            later = b.gep(line, b.int(AHEAD * isa.columns(accumulate)), accumulate)
        fetch(b, later, vectors * vector.lanes, accumulate)

        def element(i: int) -> Reg:
            return b.splat(b.load(Type(accumulate), b.gep(pointers[i], a_offset, accumulate)), vector.lanes)

        def column(j: int) -> Reg:
            return b.load(vector, b.gep(line, b.int(j * vector.lanes), accumulate))

        # what there is less of is held in registers, the other loaded as it is used
        if rows < vectors:
            elements = [element(i) for i in range(rows)]
            products = ((i, j, elements[i], x) for j in range(vectors) for x in [column(j)] for i in range(rows))
        else:
            columns = [column(j) for j in range(vectors)]
            products = ((i, j, x, columns[j]) for i in range(rows) for x in [element(i)] for j in range(vectors))
        for i, j, x, y in products:
            b.set(sums[i][j], multiply_add(b, x, y, b.get(sums[i][j])))

    with b.loop(b.int(0), depth) as k:
        step(k)
    finish_tile(b, isa, sums, c, c_table, valid, last, b.compare("ne", add, b.int(0)))
    return b.finish()


def even_microkernel(isa: Isa, accumulate: str, fetching: bool = False) -> Function:
    """Build the microkernel of full tiles over a packed B and an evenly strided A: `EVEN_PARAMETERS`.

    `fetching` (`FETCHING_PARAMETERS`): it also brings what is needed later into the second-level cache, a little at
    every step, so that tiles of a B from farther away do not wait for it.
    """
    rows, vectors = isa.tile
    b = Builder(FETCHING if fetching else EVEN, FETCHING_PARAMETERS if fetching else EVEN_PARAMETERS)
    a, row_table, a_step, bp, depth, c, c_table, valid, last, add, *later = b.parameters
    vector, width = isa.vector(accumulate), isa.columns(accumulate)
    sums, pointers = begin_tile(b, vector, rows, vectors, a, row_table, c, c_table)
    offset, fetched = b.var(b.int(0)), b.var(b.int(0))
    with b.loop(b.int(0), depth) as k:
        here = b.get(offset)
        line = b.gep(bp, b.mul(k, b.int(width)), accumulate)
        fetch(b, b.gep(line, b.int(AHEAD * width), accumulate), width, accumulate)
        fetch(b, b.gep(b.gep(pointers[0], here, accumulate), b.int(AHEAD_A), accumulate), 1, accumulate)
        if fetching:
            b.emit("prefetch", None, (b.gep(later[0], b.get(fetched), accumulate),), (False, 2))
            b.set(fetched, b.add(b.get(fetched), later[1]))
        columns = [b.load(vector, b.gep(line, b.int(j * vector.lanes), accumulate)) for j in range(vectors)]
        for row, pointer in zip(sums, pointers, strict=True):
            element = b.splat(b.load(Type(accumulate), b.gep(pointer, here, accumulate)), vector.lanes)
            for total, column in zip(row, columns, strict=True):
                b.set(total, multiply_add(b, element, column, b.get(total)))
        b.set(offset, b.add(here, a_step))
    finish_tile(b, isa, sums, c, c_table, valid, last, b.compare("ne", add, b.int(0)))
    return b.finish()


def packing_microkernel(isa: Isa, accumulate: str) -> Function:
    """Build the microkernel that packs the panel of B it reads where it lies: `PACKING_PARAMETERS`. Lines arrive from
    the farther caches slower than they are multiplied, so the first strip past a panel costs no more than a copy."""
    rows, vectors = isa.tile
    b = Builder(PACKING, PACKING_PARAMETERS)
    target, bp, b_table, a, row_table, a_step, depth, c, c_table, valid, last, add = b.parameters
    vector, width = isa.vector(accumulate), isa.columns(accumulate)
    sums, pointers = begin_tile(b, vector, rows, vectors, a, row_table, c, c_table)
    offset = b.var(b.int(0))
    with b.loop(b.int(0), depth) as k:
        here, packed = b.get(offset), b.gep(target, b.mul(k, b.int(width)), accumulate)
        line = b.gep(bp, b.load(I64, b.gep(b_table, k, "i64")), accumulate)
        later = b.gep(bp, b.load(I64, b.gep(b_table, b.add(k, b.int(AHEAD)), "i64")), accumulate)
        fetch(b, later, width, accumulate)
        fetch(b, b.gep(packed, b.int(AHEAD * width), accumulate), width, accumulate, True)
        columns = [b.load(vector, b.gep(line, b.int(j * vector.lanes), accumulate)) for j in range(vectors)]
        for j, column in enumerate(columns):
            b.store(column, b.gep(packed, b.int(j * vector.lanes), accumulate))
        for row, pointer in zip(sums, pointers, strict=True):
            element = b.splat(b.load(Type(accumulate), b.gep(pointer, here, accumulate)), vector.lanes)
            for total, column in zip(row, columns, strict=True):
                b.set(total, multiply_add(b, element, column, b.get(total)))
        b.set(offset, b.add(here, a_step))
    finish_tile(b, isa, sums, c, c_table, valid, last, b.compare("ne", add, b.int(0)))
    return b.finish()


def begin_tile(b: Builder, vector: Type, rows: int, vectors: int, a: Reg, row_table: Reg, c: Reg,
               c_table: Reg) -> tuple[list[list[Reg]], list[Reg]]:
    """The sums, at zero, and the rows of A; what will be stored to is fetched meanwhile."""
    zero = b.const(0, vector)
    sums = [[b.var(zero) for _ in range(vectors)] for _ in range(rows)]
    pointers = [b.gep(a, b.load(I64, b.gep(row_table, b.int(i), "i64")), vector.scalar) for i in range(rows)]
    for i in range(rows):
        start = b.gep(c, b.load(I64, b.gep(c_table, b.int(i), "i64")), vector.scalar)
        for j in range(0, vectors * vector.lanes, LINE // BYTES[vector.scalar]):
            b.emit("prefetch", None, (b.gep(start, b.int(j), vector.scalar),), (True, 3))
    return sums, pointers


def fetch(b: Builder, pointer: Reg, count: int, scalar: str, writing: bool = False) -> None:
    """Prefetch the lines of some elements."""
    for j in range(0, count, LINE // BYTES[scalar]):
        b.emit("prefetch", None, (b.gep(pointer, b.int(j), scalar),), (writing, 3))


def multiply_add(b: Builder, x: Reg, y: Reg, total: Reg) -> Reg:
    """One rounding for floats; wrapping integer arithmetic otherwise."""
    return b.fma(x, y, total) if x.type.is_float else b.add(b.mul(x, y), total)


def finish_tile(b: Builder, isa: Isa, sums: list[list[Reg]], c: Reg, c_table: Reg, valid: Reg, last: Reg,
                adding: Reg) -> None:
    """Add what C holds if asked, then store the valid rows; only `last` lanes of the last vector are touched."""
    vector, vectors = sums[0][0].type, len(sums[0])
    starts = [b.gep(c, b.load(I64, b.gep(c_table, b.int(i), "i64")), vector.scalar) for i in range(len(sums))]
    mask = b.mask_below(last, vector.lanes) if isa.can_mask(vector.scalar) else None
    steps = [b.int(j * vector.lanes) for j in range(vectors)]
    if vector.is_float:  # a product that underflows may leave -0.0: no sum of the nest is that, `simplify` relies on it
        for total in (t for row in sums for t in row):
            b.set(total, b.add(b.get(total), b.const(0.0, vector)))

    def whole(masked: Reg | None) -> None:
        masks = [None] * (vectors - 1) + [masked]
        with b.when(adding):
            for row, start in zip(sums, starts, strict=True):
                for total, step, m in zip(row, steps, masks, strict=True):
                    held = b.load(vector, b.gep(start, step, vector.scalar), m)
                    b.set(total, b.add(held, b.get(total)))
        for i, (row, start) in enumerate(zip(sums, starts, strict=True)):
            with b.when(b.compare("lt", b.int(i), valid)):
                for total, step, m in zip(row, steps, masks, strict=True):
                    b.store(b.get(total), b.gep(start, step, vector.scalar), m)

    if isa.can_mask(vector.scalar):
        whole(mask)
        return
    with b.when_else(b.compare("eq", last, b.int(vector.lanes))) as otherwise:
        whole(None)
        otherwise()
        finish_by_elements(b, sums, starts, valid, last, adding)


def finish_vectors(b: Builder, sums: list[Reg], starts: list[Reg], adding: Reg) -> None:
    """`finish_tile` for whole vectors that lie anywhere."""
    for total in sums:
        if total.type.is_float:
            b.set(total, b.add(b.get(total), b.const(0.0, total.type)))
    with b.when(adding):
        for total, start in zip(sums, starts, strict=True):
            b.set(total, b.add(b.load(total.type, start), b.get(total)))
    for total, start in zip(sums, starts, strict=True):
        b.store(b.get(total), start)


def finish_by_elements(b: Builder, sums: list[list[Reg]], starts: list[Reg], valid: Reg, last: Reg,
                       adding: Reg) -> None:
    """The same for machines without masked stores: the tile goes through memory, one element at a time."""
    vector, vectors, scalar = sums[0][0].type, len(sums[0]), Type(sums[0][0].type.scalar)
    spilled, pointers = b.alloca(vector, len(sums) * vectors), b.alloca(PTR, len(sums))
    for i, row in enumerate(sums):
        b.store(starts[i], b.gep(pointers, b.int(i), "ptr"))
        for j, total in enumerate(row):
            b.store(b.get(total), b.gep(spilled, b.int((i * vectors + j) * vector.lanes), vector.scalar))
    width = vectors * vector.lanes
    with b.loop(b.int(0), valid) as i:
        start = b.load(PTR, b.gep(pointers, i, "ptr"))
        source = b.gep(spilled, b.mul(i, b.int(width)), vector.scalar)
        with b.loop(b.int(0), b.add(b.int(width - vector.lanes), last)) as j:
            target = b.gep(start, j, vector.scalar)
            value = b.var(b.load(scalar, b.gep(source, j, vector.scalar)))
            with b.when(adding):
                b.set(value, b.add(b.load(scalar, target), b.get(value)))
            b.store(b.get(value), target)


def all_microkernels(isa: Isa, accumulate: str) -> list[Function]:
    """Every tile the driver may call: full width with all row counts, narrower ones with the coarser set."""
    made = []
    for vectors in range(isa.tile.vectors, 0, -1):
        for rows in isa.rows_wide if vectors == isa.tile.vectors else isa.rows_narrow:
            made.append(microkernel(isa, accumulate, rows, vectors))
    made += [even_microkernel(isa, accumulate), even_microkernel(isa, accumulate, True)]
    made.append(packing_microkernel(isa, accumulate))
    return made + [microkernel(isa, accumulate, *tile, True) for tile in (*isa.flat, isa.tile) if isa.flat]
