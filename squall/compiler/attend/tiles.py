"""Register tiles of attention and the moves around them: rows that are loaded, transposed, stored.

A tile is `sum over k of A[row, k] * B[k, column]`: A is read element by element at any two strides, so keys, values
and weights are read where they lie; B and C are dense rows of whole vectors. An element is a chain of multiply-adds in
ascending k, so neither the instruction set nor the tile's shape reaches the bits. What C held is added to the whole
sum: with a block's sum added at a time, the error of many blocks grows with their number and not with their length.
"""

from __future__ import annotations

from squall.compiler.nest.isa import ISAS, Isa
from squall.compiler.nest.microkernel import multiply_add
from squall.compiler.nest.pack import transpose
from squall.ir.linear import BYTES, I64, PTR, Builder, Function, Reg, Type

QUERIES = 64  # queries of a unit: what a row of scores holds, keys by queries
KEYS = 64  # keys that are met at a time: the running maximum changes once for these
COMPUTE = {"f16": "f32", "bf16": "f32", "f32": "f32", "f64": "f64"}
# Rows of a tile, and vectors of columns: accumulators, one row of vectors and one element fit the registers.
SHAPES = {"avx512": (6, 4), "avx2": (6, 2), "sse4": (6, 2), "neon": (6, 4)}
TALL = 12  # rows of a tile of one vector, where columns are so few that there is no other: chains enough for two units
FOLLOWING = 32  # rows of B, or keys, that are asked for ahead where they are met once
LINE = 64  # bytes of a cache line


def counts(rows: int) -> list[int]:
    """Row counts that have a tile of their own, most first; any number of rows is a sum of them."""
    return [rows, *(n for n in (4, 2, 1) if n < rows)]


def tile(isa: Isa, scalar: str, kind: str, rows: int, vectors: int) -> Function:
    """`{kind}_{rows}x{vectors}(a, a_row, a_step, b, b_width, depth, c, c_width, extra)`: one tile of C. Its kind says
    what becomes of the sums:

    "product": C. "add": added to C. "following": the same, of a B that comes from memory. "scaled": added to C times
    the vectors at `extra`. "highest": C, and the maxima of columns at `extra` are raised to what the tile holds (NaN is
    left out). "graded": C times their difference from the vectors at `extra`.
    """
    b = Builder(f"{kind}_{rows}x{vectors}", (PTR, I64, I64, PTR, I64, I64, PTR, I64, PTR))
    a, a_row, a_step, bp, b_width, depth, c, c_width, extra = b.parameters
    vector = isa.vector(scalar)
    at = [b.int(j * vector.lanes) for j in range(vectors)]
    pointers = [b.gep(a, b.mul(a_row, b.int(i)), scalar) for i in range(rows)]
    lines = [b.gep(c, b.mul(c_width, b.int(i)), scalar) for i in range(rows)]
    places = [[b.gep(line, t, scalar) for t in at] for line in lines]
    sums = [[b.var(b.const(0, vector)) for _ in at] for _ in places]
    offset, where = b.var(b.int(0)), b.var(bp)
    with b.loop(b.int(0), depth):
        here, line = b.get(offset), b.get(where)
        columns = [b.load(vector, b.gep(line, t, scalar)) for t in at]
        if kind == "following":
            later = b.gep(line, b.mul(b_width, b.int(FOLLOWING)), scalar)
            for t in at[:: max(1, LINE // (BYTES[scalar] * vector.lanes))]:
                b.emit("prefetch", None, (b.gep(later, t, scalar),), (False, 3))
        for pointer, row in zip(pointers, sums, strict=True):
            element = b.splat(b.load(Type(scalar), b.gep(pointer, here, scalar)), vector.lanes)
            for column, total in zip(columns, row, strict=True):
                b.set(total, multiply_add(b, element, column, b.get(total)))
        b.set(offset, b.add(here, a_step))
        b.set(where, b.gep(line, b_width, scalar))
    _finish_tile(b, kind, vector, sums, places, [b.gep(extra, t, scalar) for t in at])
    return b.finish()


def _finish_tile(b: Builder, kind: str, vector: Type, sums: list, places: list, extra: list) -> None:
    if kind == "graded":
        lows = [b.load(vector, p) for p in extra]
        for row, line in zip(places, sums, strict=True):
            for place, low, total in zip(row, lows, line, strict=True):
                b.store(b.mul(b.load(vector, place), b.sub(b.get(total), low)), place)
        return
    factors = [b.load(vector, p) for p in extra] if kind == "scaled" else [None] * len(extra)
    for row, line in zip(places, sums, strict=True):
        for place, total, factor in zip(row, line, factors, strict=True):
            value = b.get(total)
            if factor is not None:
                value = multiply_add(b, b.load(vector, place), factor, value)
            b.store(b.add(b.load(vector, place), value) if kind in ("add", "following") else value, place)
    for j, place in enumerate(extra if kind == "highest" else []):
        best = b.load(vector, place)
        for line in sums:
            best = higher(b, best, b.get(line[j]))
        b.store(best, place)


def higher(b: Builder, best: Reg, value: Reg) -> Reg:
    """The larger of two, `best` where the value is NaN."""
    return b.select(b.compare("gt", value, best), value, best)


def product(isa: Isa, scalar: str, kind: str, shape: tuple[int, int]) -> Function:
    """`{kind}(a, a_row, a_step, b, b_width, depth, c, c_width, rows, columns, extra)`: all tiles of C; columns are
    whole vectors. The largest tile has a shape."""
    b = Builder(kind, (PTR, I64, I64, PTR, I64, I64, PTR, I64, I64, I64, PTR))
    a, a_row, a_step, bp, b_width, depth, c, c_width, rows, columns, extra = b.parameters
    lanes, (most, vectors) = isa.lanes(scalar), shape
    wide = b.sub(columns, b.op("rem", columns, b.int(vectors * lanes)))
    tall = b.select(b.compare("eq", wide, b.int(0)), b.sub(rows, b.op("rem", rows, b.int(TALL))), b.int(0))
    parts = [(b.int(0), wide, vectors), (wide, columns, 1)]
    if vectors == 1:
        tall, parts = b.int(0), [(b.int(0), columns, 1)]
    first = b.var(tall)
    with b.loop(b.int(0), tall, b.int(TALL)) as i, b.loop(b.int(0), columns, b.int(lanes)) as j:
        name = f"{kind}_{TALL if vectors > 1 else 1}x1"
        b.call(name, (b.gep(a, b.mul(i, a_row), scalar), a_row, a_step, b.gep(bp, j, scalar), b_width, depth,
                      b.gep(c, b.add(b.mul(i, c_width), j), scalar), c_width, b.gep(extra, j, scalar)))
    for count in counts(most):
        end = b.sub(rows, b.op("rem", b.sub(rows, b.get(first)), b.int(count)))
        with b.loop(b.get(first), end, b.int(count)) as i:
            source, target = b.gep(a, b.mul(i, a_row), scalar), b.gep(c, b.mul(i, c_width), scalar)
            for low, high, width in parts:
                with b.loop(low, high, b.int(width * lanes)) as j:
                    b.call(f"{kind}_{count}x{width}", (source, a_row, a_step, b.gep(bp, j, scalar), b_width, depth,
                                                       b.gep(target, j, scalar), c_width, b.gep(extra, j, scalar)))
        b.set(first, end)
    return b.finish()


def products(isa: Isa, scalar: str, kinds: tuple[str, ...], small: bool = False) -> list[Function]:
    """The functions of `product` and the tiles they call; `small` ones where they are rarely called."""
    most, vectors = shape = (4, 1) if small else SHAPES[isa.name]
    made = []
    for kind in kinds:
        made += [tile(isa, scalar, kind, n, width) for n in counts(most) for width in dict.fromkeys((vectors, 1))]
        made += [] if small else [tile(isa, scalar, kind, TALL, 1)]
        made.append(product(isa, scalar, kind, shape))
    return made


def _value(b: Builder, loaded: Reg, kind: Type, factor: Reg) -> Reg:
    """What a loaded element counts: times a factor; of a mask, 0 or minus infinity."""
    if loaded.type.scalar == "bool":
        return b.select(loaded, b.const(0, kind), b.const(float("-inf"), kind))
    return b.mul(b.cast(loaded, kind), b.splat(factor, kind.lanes))


def load_rows(isa: Isa, stored: str, scalar: str, name: str) -> Function:
    """`{name}(source, row_stride, stride, rows, columns, target, width, factor)`: dense rows of `width` elements from
    rows of any strides, converted and times a factor of the target's type; beyond the columns they are 0. A bool
    becomes 0 (true) or minus infinity."""
    b = Builder(name, (PTR, I64, I64, I64, I64, PTR, I64, Type(scalar)))
    source, row_stride, stride, rows, columns, target, width, factor = b.parameters
    lanes = isa.lanes(scalar)
    wide, held, one = isa.vector(scalar), Type(stored, lanes), Type(scalar)
    dense = b.compare("eq", stride, b.int(1))
    with b.loop(b.int(0), rows) as i:
        line, row = b.gep(source, b.mul(i, row_stride), stored), b.gep(target, b.mul(i, width), scalar)
        done = b.var(b.int(0))
        with b.when(dense):
            b.set(done, b.sub(columns, b.op("rem", columns, b.int(lanes))))
        with b.loop(b.int(0), b.get(done), b.int(lanes)) as j:
            b.store(_value(b, b.load(held, b.gep(line, j, stored)), wide, factor), b.gep(row, j, scalar))
        with b.loop(b.get(done), columns) as j:
            loaded = b.load(Type(stored), b.gep(line, b.mul(j, stride), stored))
            b.store(_value(b, loaded, one, factor), b.gep(row, j, scalar))
        with b.loop(columns, width) as j:
            b.store(b.const(0, one), b.gep(row, j, scalar))
    return b.finish()


def store_rows(isa: Isa, stored: str, scalar: str) -> Function:
    """`store_rows(source, width, rows, columns, target, row_stride, stride, factor)`: the way back. A
    product that is -0.0 becomes 0.0."""
    b = Builder("store_rows", (PTR, I64, I64, I64, PTR, I64, I64, Type(scalar)))
    source, width, rows, columns, target, row_stride, stride, factor = b.parameters
    lanes = isa.lanes(scalar)
    wide, held, one = isa.vector(scalar), Type(stored, lanes), Type(scalar)
    dense = b.compare("eq", stride, b.int(1))
    with b.loop(b.int(0), rows) as i:
        line, row = b.gep(source, b.mul(i, width), scalar), b.gep(target, b.mul(i, row_stride), stored)
        done = b.var(b.int(0))
        with b.when(dense):
            b.set(done, b.sub(columns, b.op("rem", columns, b.int(lanes))))
        with b.loop(b.int(0), b.get(done), b.int(lanes)) as j:
            value = b.fma(b.load(wide, b.gep(line, j, scalar)), b.splat(factor, lanes), b.const(0.0, wide))
            b.store(b.cast(value, held), b.gep(row, j, stored))
        with b.loop(b.get(done), columns) as j:
            value = b.fma(b.load(one, b.gep(line, j, scalar)), factor, b.const(0.0, one))
            b.store(b.cast(value, Type(stored)), b.gep(row, b.mul(j, stride), stored))
    return b.finish()


def fetch(stored: str) -> Function:
    """`fetch(source, row_stride, rows, columns)`: ask for rows that are read soon, whose elements lie side by side."""
    b = Builder("fetch", (PTR, I64, I64, I64))
    source, row_stride, rows, columns = b.parameters
    with b.loop(b.int(0), rows) as i:
        line = b.gep(source, b.mul(i, row_stride), stored)
        with b.loop(b.int(0), columns, b.int(LINE // BYTES[stored])) as j:
            b.emit("prefetch", None, (b.gep(line, j, stored),), (False, 3))
    return b.finish()


def turn(isa: Isa, scalar: str, scaled: bool = False) -> Function:
    """`turn(source, width, target, height, rows, columns)`: target[c, r] = source[r, c] in squares; rows of `width`
    and `height` elements, counts rounded up to whole vectors. `turn_scaled` has a factor behind."""
    kinds = (PTR, I64, PTR, I64, I64, I64)
    b = Builder("turn_scaled", (*kinds, Type(scalar))) if scaled else Builder("turn", kinds)
    source, width, target, height, rows, columns, *factor = b.parameters
    vector, lanes = isa.vector(scalar), b.int(isa.lanes(scalar))
    by = [b.splat(f, vector.lanes) for f in factor]
    with b.loop(b.int(0), rows, lanes) as i, b.loop(b.int(0), columns, lanes) as j:
        start = b.gep(source, b.add(b.mul(i, width), j), scalar)
        square = [b.load(vector, b.gep(start, b.mul(width, b.int(r)), scalar)) for r in range(vector.lanes)]
        place = b.gep(target, b.add(b.mul(j, height), i), scalar)
        for c, line in enumerate(transpose(b, square)):
            b.store(b.mul(line, by[0]) if by else line, b.gep(place, b.mul(height, b.int(c)), scalar))
    return b.finish()


def target_isa(name: str) -> Isa:
    """The instruction set of a name."""
    return ISAS[name]
