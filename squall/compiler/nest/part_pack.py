"""Packing float32 as tiles of parts (`pieces`): 16 rows of A, or columns of B, by 32 steps of k become three tiles.

Packing also finds the largest size in each row or column, by which `part_mend` knows what parts cannot tell.
"""

from __future__ import annotations

from squall.compiler.nest.pack import transpose
from squall.compiler.nest.pieces import (
    BITS,
    PARTS,
    SIDE,
    SIZE,
    STEP,
    VECTOR,
    WORDS,
    raise_size,
    split,
    store_parts,
)
from squall.compiler.nest.tile_pack import pack_name
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

SLOT_BYTES = 4 * PARTS * WORDS  # of the tiles of a step
_F32, _BITS = Type("f32"), Type("u32")


class _PartsPacker:
    """The registers of one function, shared by its branches."""

    def __init__(self, by_words: bool):
        self.b = b = Builder(pack_name(by_words), (PTR, PTR, I64, PTR, I64, I64, PTR, PTR, PTR))
        (self.source, self.offsets, self.valid, self.k_table, self.depth, self.along, self.target, self.sizes,
         self.tops) = b.parameters
        self.by_words = by_words
        self.held = b.alloca(VECTOR, 2 * SIDE)
        self.top = b.var(b.const(0, BITS))  # a lane for each row or column

    def entry(self, table: Reg, index: Reg) -> Reg:
        return self.b.load(I64, self.b.gep(table, index, "i64"))

    def put(self, line: Reg, first: Reg, second: Reg) -> None:
        """One line of each of the three tiles."""
        b = self.b
        if self.by_words:
            raise_size(b, self.top, (first, second))
        store_parts(b, split(b, first, second, True), b.gep(self.target, b.mul(line, b.int(SIDE)), "u32"))

    def place(self, half: Reg, line: Reg) -> Reg:
        """Where a line that is put together waits."""
        b = self.b
        return b.gep(self.held, b.mul(b.add(b.mul(half, b.int(SIDE)), line), b.int(SIDE)), "f32")

    def keep(self, half: Reg, square: list[Reg]) -> None:
        for i, line in enumerate(transpose(self.b, square)):
            self.b.store(line, self.place(half, self.b.int(i)))

    def put_held(self) -> None:
        b = self.b
        with b.loop(b.int(0), b.int(SIDE)) as i:
            self.put(i, *(b.load(VECTOR, self.place(b.int(half), i)) for half in (0, 1)))

    def along_k(self) -> None:
        """All of k's steps are neighbours: a line of each row or column at a time."""
        b = self.b
        first, last = self.entry(self.k_table, b.int(0)), b.sub(self.valid, b.int(1))
        start = b.gep(self.source, first, "f32")

        def line(i: Reg) -> Reg:
            return b.gep(start, self.entry(self.offsets, b.op("min", i, last)), "f32")

        if not self.by_words:
            masks = [b.mask_below(b.sub(self.depth, b.int(half * SIDE)), SIDE) for half in (0, 1)]
            with b.loop(b.int(0), b.int(SIDE)) as i:
                pair = tuple(b.load(VECTOR, b.gep(line(i), b.int(half * SIDE), "f32"), mask)
                             for half, mask in enumerate(masks))
                place = self._top_of(i)
                top = b.var(b.load(BITS, place))
                raise_size(b, top, pair)
                b.store(b.get(top), place)
                self.put(i, *pair)
            with b.when(b.compare("le", self.depth, b.int(STEP))):
                self._fold()
            return
        with b.loop(b.int(0), b.int(2)) as half:
            before = b.mul(half, b.int(SIDE))
            mask = b.mask_below(b.sub(self.depth, before), SIDE)
            self.keep(half, [b.load(VECTOR, b.gep(line(b.int(i)), before, "f32"), mask) for i in range(SIDE)])
        self.put_held()
        self.tell()

    def _top_of(self, line: Reg) -> Reg:
        return self.b.gep(self.tops, self.b.mul(line, self.b.int(SIDE)), "u32")

    def _fold(self) -> None:
        """The largest size of each row, from vectors over steps of k, which begin anew."""
        b = self.b
        with b.loop(b.int(0), b.int(SIDE)) as i:
            place, size = self._top_of(i), b.gep(self.sizes, i, "u32")
            top = b.reduce(b.load(BITS, place), "max")
            b.store(b.op("max", b.load(_BITS, size), top), size)
            b.store(b.const(0, BITS), place)

    def tell(self) -> None:
        """What was met of each row or column lies in a lane of its own."""
        self.b.store(self.b.op("max", self.b.load(BITS, self.sizes), self.b.get(self.top)), self.sizes)

    def across(self) -> None:
        """Rows or columns are neighbours."""
        b = self.b
        start = b.gep(self.source, self.entry(self.offsets, b.int(0)), "f32")
        valid = b.mask_below(self.valid, SIDE)

        def line(step: Reg, whole: bool) -> Reg:
            if whole:
                return b.load(VECTOR, b.gep(start, self.entry(self.k_table, step), "f32"), valid)
            inside = b.compare("lt", step, self.depth)
            offset = self.entry(self.k_table, b.select(inside, step, b.int(0)))
            mask = b.mask_below(b.select(inside, self.valid, b.int(0)), SIDE)
            return b.load(VECTOR, b.gep(start, offset, "f32"), mask)

        with b.when_else(b.compare("ge", self.depth, b.int(STEP))) as otherwise:
            for whole in (True, False):
                if self.by_words:
                    with b.loop(b.int(0), b.int(SIDE)) as w:
                        self.put(w, line(w, whole), line(b.add(w, b.int(SIDE)), whole))
                else:
                    with b.loop(b.int(0), b.int(2)) as half:
                        before = b.mul(half, b.int(SIDE))
                        square = [line(b.add(before, b.int(i)), whole) for i in range(SIDE)]
                        raise_size(b, self.top, tuple(square))
                        self.keep(half, square)
                    self.put_held()
                if whole:
                    otherwise()
        self.tell()

    def by_elements(self) -> None:
        """Anything else."""
        b = self.b
        with b.loop(b.int(0), b.int(2 * SIDE)) as i:
            b.store(b.const(0.0, VECTOR), self.place(b.int(0), i))
        with b.loop(b.int(0), b.op("min", self.depth, b.int(STEP))) as k:
            offset = self.entry(self.k_table, k)
            half, word = b.op("div", k, b.int(SIDE)), b.op("rem", k, b.int(SIDE))
            with b.loop(b.int(0), self.valid) as i:
                value = b.load(_F32, b.gep(self.source, b.add(self.entry(self.offsets, i), offset), "f32"))
                line, lane = (word, i) if self.by_words else (i, word)
                b.store(value, b.gep(self.place(half, line), lane, "f32"))
                size, met = b.gep(self.sizes, i, "u32"), b.op("and", b.bitcast(value, _BITS), b.const(SIZE, _BITS))
                b.store(b.op("max", b.load(_BITS, size), met), size)
        self.put_held()

    def side_by_side(self) -> Reg:
        b, kind = self.b, Type("i64", SIDE)
        wanted = b.add(b.iota(kind), b.splat(self.entry(self.offsets, b.int(0)), SIDE))
        same = b.compare("eq", b.load(kind, self.offsets), wanted)
        return b.reduce(b.op("or", same, b.op("not", b.mask_below(self.valid, SIDE))), "and")


def pack_parts(by_words: bool) -> Function:
    """`pack_lines` and `pack_words`, of `tile_pack`, for parts: they write the three tiles of a step.

    Two more operands: the largest size so far, as bits, of each of the 16 rows or columns; 16 vectors in which that of
    rows along k is gathered until the last step of a block. They are zero before it, and after.
    """
    p = _PartsPacker(by_words)
    b = p.b
    with b.when_else(b.compare("ne", p.along, b.int(0))) as otherwise:
        p.along_k()
        otherwise()
        with b.when_else(p.side_by_side()) as otherwise:
            p.across()
            otherwise()
            p.by_elements()
    return b.finish()
