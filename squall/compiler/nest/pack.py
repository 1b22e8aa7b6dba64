"""Packing: a block of an operand, however it is strided, becomes rows of vectors in k order.

`pack_vector` does one vector's width of columns (or rows of A) by whichever way its offsets allow: straight copies,
a few masked pieces (windows of a picture that wrap at its edge), transposed squares where k is the contiguous
dimension, or one element at a time. The way changes the speed, never the values. Dtypes are converted on the way.
"""

from __future__ import annotations

from collections.abc import Callable

from squall.compiler.nest.common import VECTORS
from squall.compiler.nest.isa import Isa
from squall.ir.linear import BYTES, I64, PTR, Builder, Function, Reg, Type

AHEAD = 8  # k steps ahead that copies prefetch, what they read and write; tables have as many entries to spare
BATCH = 4  # k steps whose loads precede their stores
BLOCK_BYTES = 32  # of a row of a square that is transposed, put together with others as they are loaded
PIECES = 4  # a vector made of more pieces than this is moved by elements


def transpose(b: Builder, rows: list[Reg]) -> list[Reg]:
    """The transpose of a square of vectors, by exchanging ever larger squares; of longer vectors each square's."""
    count, lanes, current, size = len(rows), rows[0].type.lanes, list(rows), 1
    while size < count:
        made = list(current)
        low = tuple(j if not j & size else lanes + j - size for j in range(lanes))
        high = tuple(j + size if not j & size else lanes + j for j in range(lanes))
        for i in range(count):
            if not i & size:
                made[i] = b.shuffle(current[i], current[i + size], low)
                made[i + size] = b.shuffle(current[i], current[i + size], high)
        current, size = made, size * 2
    return current


def load_transposed(b: Builder, pointers: list[Reg], vector: Type, wide: Type) -> list[Reg]:
    """The transpose of the square of vectors at some pointers, converted. The halves of wide registers are put
    together as they are loaded, which takes fewer of the shuffles that bound it."""
    lanes, block = vector.lanes, BLOCK_BYTES // BYTES[vector.scalar]
    if vector != wide or block < 2 or lanes < 2 * block:
        return transpose(b, [b.cast(b.load(vector, pointer), wide) for pointer in pointers])
    part, made = Type(vector.scalar, block), []
    for start in range(0, lanes, block):
        square = []
        for r in range(block):
            pieces = [b.load(part, b.gep(pointers[row], b.int(start), vector.scalar)) for row in range(r, lanes, block)]
            while len(pieces) > 1:
                whole = tuple(range(2 * pieces[0].type.lanes))
                pieces = [b.shuffle(x, y, whole) for x, y in zip(pieces[::2], pieces[1::2], strict=True)]
            square.append(pieces[0])
        made += transpose(b, square)
    return made


def _fetch_target(b: Builder, place: Reg, steps: Reg, vector: Type) -> None:
    """Prefetch a line that will be written: what was packed there before has left the nearer caches meanwhile."""
    b.emit("prefetch", None, (b.gep(place, steps, vector.scalar),), (True, 3))


class _Packer:
    """The registers of one `pack_vector`, shared by its branches."""

    def __init__(self, isa: Isa, scalar: str, accumulate: str, strip: int = 0):
        name = "pack_strips" if strip else "pack_vector"
        self.b = b = Builder(name, (PTR, PTR, I64, PTR, I64, PTR, I64, I64, PTR, I64))
        (self.source, self.offsets, self.valid, self.k_table, self.depth, self.runs, self.run_count,
         self.transposing, self.target, self.stride) = b.parameters
        self.lanes = isa.lanes(accumulate)
        self.strip = strip or self.lanes
        self.apart = strip > 0
        self.count = b.op("min", self.valid, b.int(self.lanes))
        self.scalar, self.accumulate = Type(scalar), Type(accumulate)
        self.vector, self.wide = Type(scalar, self.lanes), Type(accumulate, self.lanes)
        self.masked = isa.can_mask(scalar)

    def offset(self, index: Reg) -> Reg:
        return self.b.load(I64, self.b.gep(self.offsets, index, "i64"))

    def at(self, pointer: Reg, index: Reg) -> Reg:
        return self.b.gep(pointer, index, self.scalar.scalar)

    def k_offset(self, k: Reg) -> Reg:
        return self.b.load(I64, self.b.gep(self.k_table, k, "i64"))

    def places(self, k: Reg) -> list[Reg]:
        """Where a vector of the target goes: one place, or one in each strip."""
        b, scalar = self.b, self.accumulate.scalar
        if not self.apart:
            return [b.gep(self.target, b.mul(k, self.stride), scalar)]
        first = b.gep(self.target, b.mul(k, b.int(self.strip)), scalar)
        return [b.gep(first, b.mul(self.stride, b.int(i)), scalar) for i in range(self.lanes // self.strip)]

    def put(self, value: Reg, k: Reg) -> None:
        b, wide = self.b, self.b.cast(value, self.wide)
        for i, place in enumerate(self.places(k)):
            part = tuple(range(i * self.strip, (i + 1) * self.strip))
            b.store(wide if self.strip == self.lanes else b.shuffle(wide, wide, part), place)
            step = b.int(self.strip) if self.apart else self.stride
            _fetch_target(b, place, b.mul(b.int(self.lanes), step), wide.type)

    def by_elements(self, k: Reg) -> None:
        """One row of the target, element by element, zero beyond the valid columns."""
        b, places, offset = self.b, self.places(k), self.k_offset(k)
        for place in places:
            b.store(b.const(0, Type(self.accumulate.scalar, self.strip)), place)
        with b.loop(b.int(0), self.count) as c:
            value = b.load(self.scalar, self.at(self.source, b.add(self.offset(c), offset)))
            inside = c
            if len(places) > 1:
                inside = b.add(b.op("rem", c, b.int(self.strip)),
                               b.mul(b.op("div", c, b.int(self.strip)), self.stride))
            b.store(b.cast(value, self.accumulate), b.gep(places[0], inside, self.accumulate.scalar))


def pack_vector(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`pack_vector(source, offsets, valid, k_table, depth, runs, run_count, transposing, target, stride)`.

    Writes `target[k * stride + c] = source[offsets[c] + k_table[k]]` for c below the vector's lanes; columns from
    `valid` on become zero or copies of a valid one. `runs` are `find_runs` of the k table, used when transposing.
    """
    return _whole(_Packer(isa, scalar, accumulate))


def pack_strips(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`pack_strips(source, offsets, valid, k_table, depth, runs, run_count, transposing, target, apart)`.

    The same for rows of A whose tiles are whole fractions of a vector: each tile's strip is written on its own,
    `apart` elements from the one before, so that only its own lines stream past the tile.
    """
    return _whole(_Packer(isa, scalar, accumulate, isa.tile.rows))


def _whole(p: _Packer) -> Function:
    with p.b.when_else(p.b.compare("ne", p.transposing, p.b.int(0))) as otherwise:
        _by_transposing(p)
        otherwise()
        _by_vectors(p)
    return p.b.finish()


def _by_transposing(p: _Packer) -> None:
    b = p.b
    last = b.sub(p.count, b.int(1))
    pointers = [p.at(p.source, p.offset(b.op("min", b.int(i), last))) for i in range(p.lanes)]
    with b.loop(b.int(0), p.run_count) as r:
        pair = b.gep(p.runs, b.mul(r, b.int(2)), "i64")
        start, length = b.load(I64, pair), b.load(I64, b.gep(pair, b.int(1), "i64"))
        offset = p.k_offset(start)
        with b.when_else(b.compare("eq", length, b.int(p.lanes))) as otherwise:
            lines = load_transposed(b, [p.at(pointer, offset) for pointer in pointers], p.vector, p.wide)
            for u, value in enumerate(lines):
                p.put(value, b.add(start, b.int(u)))
            otherwise()
            if p.masked:
                _partial_square(p, pointers, start, length, offset)
            else:
                with b.loop(b.int(0), length) as u:
                    p.by_elements(b.add(start, u))


def _partial_square(p: _Packer, pointers: list[Reg], start: Reg, length: Reg, offset: Reg) -> None:
    b = p.b
    mask = b.mask_below(length, p.lanes)
    square = [b.cast(b.load(p.vector, p.at(pointer, offset), mask), p.wide) for pointer in pointers]
    for u, value in enumerate(transpose(b, square)[:-1]):
        with b.when(b.compare("lt", b.int(u), length)):
            p.put(value, b.add(start, b.int(u)))


def _by_vectors(p: _Packer) -> None:
    b = p.b
    starts = b.alloca(I64, p.lanes + PIECES + 1)
    for s in range(PIECES + 1):
        b.store(p.count, b.gep(starts, b.int(s), "i64"))
    b.store(b.int(0), starts)
    pieces, previous = b.var(b.int(1)), b.var(p.offset(b.int(0)))
    with b.loop(b.int(1), p.count) as c:
        here = p.offset(c)
        with b.when(b.compare("ne", here, b.add(b.get(previous), b.int(1)))):
            b.store(c, b.gep(starts, b.get(pieces), "i64"))
            b.set(pieces, b.add(b.get(pieces), b.int(1)))
        b.set(previous, here)
    if not p.masked:
        whole = b.op("and", b.compare("eq", b.get(pieces), b.int(1)), b.compare("eq", p.count, b.int(p.lanes)))
        with b.when_else(whole) as otherwise:
            first = p.at(p.source, p.offset(b.int(0)))
            with b.loop(b.int(0), p.depth) as k:
                p.put(b.load(p.vector, p.at(first, p.k_offset(k))), k)
            otherwise()
            with b.loop(b.int(0), p.depth) as k:
                p.by_elements(k)
        return
    with b.when_else(b.compare("le", b.get(pieces), b.int(1))) as otherwise:
        _in_pieces(p, starts, 1)
        otherwise()
        with b.when_else(b.compare("le", b.get(pieces), b.int(2))) as otherwise:
            _in_pieces(p, starts, 2)
            otherwise()
            with b.when_else(b.compare("le", b.get(pieces), b.int(PIECES))) as otherwise:
                _in_pieces(p, starts, PIECES)
                otherwise()
                with b.loop(b.int(0), p.depth) as k:
                    p.by_elements(k)


def _in_pieces(p: _Packer, starts: Reg, pieces: int) -> None:
    """Masked loads of up to `pieces` contiguous parts, merged; empty parts load nothing."""
    b = p.b
    lanes = b.iota(Type("i64", p.lanes))
    pointers, masks = [], []
    for s in range(pieces):
        start, end = (b.load(I64, b.gep(starts, b.int(s + e), "i64")) for e in (0, 1))
        offset = b.sub(p.offset(b.op("min", start, b.sub(p.count, b.int(1)))), start)
        pointers.append(p.at(p.source, offset))
        from_start = b.compare("ge", lanes, b.splat(start, p.lanes))
        masks.append(b.op("and", from_start, b.compare("lt", lanes, b.splat(end, p.lanes))))
    def value(k: Reg) -> Reg:
        offset = p.k_offset(k)
        later = p.at(pointers[0], p.k_offset(b.add(k, b.int(AHEAD))))
        b.emit("prefetch", None, (later,), (False, 3))
        made = b.load(p.vector, p.at(pointers[0], offset), masks[0])
        for pointer, mask in zip(pointers[1:], masks[1:], strict=True):
            made = b.select(mask, b.load(p.vector, p.at(pointer, offset), mask), made)
        return made

    _by_batches(b, p.depth, BATCH if pieces == 1 else 1, value, p.put)


def _by_batches(b: Builder, depth: Reg, batch: int, load: Callable[[Reg], Reg],
                store: Callable[[Reg, Reg], None]) -> None:
    """Copy k = 0 ... depth: a batch of loads, then their stores. A store still in flight delays every load from an
    address that differs by a multiple of a page, and strided sources have many."""
    whole = b.sub(depth, b.op("rem", depth, b.int(batch)))
    for low, high, size in ((b.int(0), whole, batch), (whole, depth, 1)):
        with b.loop(low, high, b.int(size)) as k:
            steps = [b.add(k, b.int(u)) for u in range(size)]
            for value, step in zip([load(step) for step in steps], steps, strict=True):
                store(value, step)


def copy_panel(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`copy_panel(source, k_table, depth, target)`: a full panel whose columns are contiguous."""
    b = Builder("copy_panel", (PTR, PTR, I64, PTR))
    source, k_table, depth, target = b.parameters
    lanes, width = isa.lanes(accumulate), isa.columns(accumulate)
    with b.loop(b.int(0), depth) as k:
        line = b.gep(source, b.load(I64, b.gep(k_table, k, "i64")), scalar)
        row = b.gep(target, b.mul(k, b.int(width)), accumulate)
        later = b.gep(source, b.load(I64, b.gep(k_table, b.add(k, b.int(AHEAD)), "i64")), scalar)
        for j in range(0, width, 64 // BYTES[scalar]):
            b.emit("prefetch", None, (b.gep(later, b.int(j), scalar),), (False, 3))
        values = [b.load(Type(scalar, lanes), b.gep(line, b.int(j), scalar)) for j in range(0, width, lanes)]
        for j in range(0, width, 64 // BYTES[accumulate]):
            _fetch_target(b, row, b.int(AHEAD * width + j), Type(accumulate))
        for j, value in enumerate(values):
            b.store(b.cast(value, Type(accumulate, lanes)), b.gep(row, b.int(j * lanes), accumulate))
    return b.finish()


def lie_side_by_side(b: Builder, offsets: Reg, lanes: int, vectors: int) -> Reg:
    """Whether the entries of an offset table for some vectors count up by one."""
    index = b.add(b.iota(Type("i64", lanes)), b.splat(b.load(I64, offsets), lanes))
    same = None
    for j in range(0, vectors * lanes, lanes):
        held = b.load(Type("i64", lanes), b.gep(offsets, b.int(j), "i64"))
        part = b.compare("eq", held, b.add(index, b.splat(b.int(j), lanes)))
        same = part if same is None else b.op("and", same, part)
    return b.reduce(same, "and")


def copy_strips(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`copy_strips(source, k_table, depth, target, apart)`: as many strips as are packed together, contiguous rows."""
    b = Builder("copy_strips", (PTR, PTR, I64, PTR, I64))
    source, k_table, depth, first, apart = b.parameters
    lanes, strip = isa.lanes(accumulate), isa.tile.rows
    with b.loop(b.int(0), depth) as k:
        line = b.gep(source, b.load(I64, b.gep(k_table, k, "i64")), scalar)
        place = b.gep(first, b.mul(k, b.int(strip)), accumulate)
        later = b.gep(source, b.load(I64, b.gep(k_table, b.add(k, b.int(AHEAD)), "i64")), scalar)
        values = []
        for j in range(0, VECTORS * lanes, lanes):
            b.emit("prefetch", None, (b.gep(later, b.int(j), scalar),), (False, 3))
            values.append(b.cast(b.load(Type(scalar, lanes), b.gep(line, b.int(j), scalar)), Type(accumulate, lanes)))
        for i in range(VECTORS * lanes // strip):
            value, start = values[i * strip // lanes], i * strip % lanes
            part = value if strip == lanes else b.shuffle(value, value, tuple(range(start, start + strip)))
            target = b.gep(place, b.mul(apart, b.int(i)), accumulate)
            b.store(part, target)
            _fetch_target(b, target, b.int(4 * AHEAD * strip), Type(accumulate))
    return b.finish()


def pack_group(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`pack_group(source, offsets, valid, k_table, depth, runs, run_count, transposing, target, apart)`.

    The strips of A that are packed together. They are read side by side, so that the processor sees long lines where
    rows are contiguous, and written each on its own, `apart` elements from the one before.
    """
    b = Builder("pack_group", (PTR, PTR, I64, PTR, I64, PTR, I64, I64, PTR, I64))
    source, offsets, valid, k_table, depth, runs, run_count, transposing, target, apart = b.parameters
    lanes = isa.lanes(accumulate)
    copying = b.op("and", b.compare("eq", transposing, b.int(0)), b.compare("ge", valid, b.int(VECTORS * lanes)))
    contiguous = b.var(copying)
    with b.when(copying):
        b.set(contiguous, lie_side_by_side(b, offsets, lanes, VECTORS))
    with b.when_else(b.get(contiguous)) as otherwise:
        b.call("copy_strips", (b.gep(source, b.load(I64, offsets), scalar), k_table, depth, target, apart))
        otherwise()
        for j in range(0, VECTORS * lanes, lanes):
            with b.when(b.compare("lt", b.int(j), valid)):
                place = b.gep(target, b.mul(apart, b.int(j // isa.tile.rows)), accumulate)
                b.call("pack_strips", (source, b.gep(offsets, b.int(j), "i64"), b.sub(valid, b.int(j)), k_table, depth,
                                       runs, run_count, transposing, place, apart))
    return b.finish()


def pack_panel(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`pack_panel(source, offsets, valid, k_table, depth, runs, run_count, transposing, target)`: one panel of B."""
    b = Builder("pack_panel", (PTR, PTR, I64, PTR, I64, PTR, I64, I64, PTR))
    source, offsets, valid, k_table, depth, runs, run_count, transposing, target = b.parameters
    lanes, width = isa.lanes(accumulate), isa.columns(accumulate)
    first = b.load(I64, offsets)
    copying = b.op("and", b.compare("eq", transposing, b.int(0)), b.compare("ge", valid, b.int(width)))
    contiguous = b.var(copying)
    with b.when(copying):
        b.set(contiguous, lie_side_by_side(b, offsets, lanes, isa.tile.vectors))
    with b.when_else(b.get(contiguous)) as otherwise:
        b.call("copy_panel", (b.gep(source, first, scalar), k_table, depth, target))
        otherwise()
        for j in range(0, width, lanes):
            with b.when(b.compare("lt", b.int(j), valid)):
                b.call("pack_vector", (source, b.gep(offsets, b.int(j), "i64"), b.sub(valid, b.int(j)), k_table, depth,
                                       runs, run_count, transposing, b.gep(target, b.int(j), accumulate), b.int(width)))
    return b.finish()
