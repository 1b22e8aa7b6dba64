"""Packing float32 as tiles of parts (`pieces`): 16 rows of A, or columns of B, by 32 steps of k become three tiles.

Packing also finds the largest size in each row or column, by which `part_mend` knows what parts cannot tell.
"""

from __future__ import annotations

from squall.compiler.nest.pack import transpose
from squall.compiler.nest.pieces import (
    BITS,
    PARTS,
    SIDE,
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
_BITS = Type("u32")


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

    def along_k(self, throughout: bool) -> None:
        """Steps of k are neighbours, here or `throughout`: a line of each row or column at a time."""
        b = self.b
        start = b.gep(self.source, self.entry(self.k_table, b.int(0)), "f32")
        masks = [b.mask_below(b.sub(self.depth, b.int(half * SIDE)), SIDE) for half in (0, 1)]
        if not self.by_words:
            with b.loop(b.int(0), b.int(SIDE)) as i:
                line = b.gep(start, self._offset(i), "f32")
                pair = tuple(b.load(VECTOR, b.gep(line, b.int(half * SIDE), "f32"), mask)
                             for half, mask in enumerate(masks))
                self._measure(i, pair, throughout)
                self.put(i, *pair)
            if throughout:
                with b.when(b.compare("le", self.depth, b.int(STEP))):
                    self._fold()
            return
        with b.loop(b.int(0), b.int(2)) as half:
            before = b.mul(half, b.int(SIDE))
            mask = b.mask_below(b.sub(self.depth, before), SIDE)
            lines = [b.gep(start, self._offset(b.int(i)), "f32") for i in range(SIDE)]
            self.keep(half, [b.load(VECTOR, b.gep(line, before, "f32"), mask) for line in lines])
        self.put_held()
        self.tell()

    def _offset(self, line: Reg) -> Reg:
        """Of a row or column; the last stands in for those that are not."""
        b = self.b
        return self.entry(self.offsets, b.op("min", line, b.sub(self.valid, b.int(1))))

    def _measure(self, line: Reg, pair: tuple[Reg, ...], throughout: bool) -> None:
        """The largest size in a row's line: lane by lane until the last step, or now."""
        b = self.b
        place = self._top_of(line)
        top = b.var(b.load(BITS, place) if throughout else b.const(0, BITS))
        raise_size(b, top, pair)
        if throughout:
            b.store(b.get(top), place)
            return
        size = b.gep(self.sizes, line, "u32")
        b.store(b.op("max", b.load(_BITS, size), b.reduce(b.get(top), "max")), size)

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

    def by_offsets(self) -> None:
        """Anything else is gathered."""
        b, wide = self.b, Type("i64", SIDE)
        if self.by_words:
            across = b.load(wide, self.offsets)

            def line(step: Reg) -> Reg:
                inside = b.compare("lt", step, self.depth)
                start = b.gep(self.source, self.entry(self.k_table, b.select(inside, step, b.int(0))), "f32")
                return b.gather(VECTOR, start, across, b.mask_below(b.select(inside, self.valid, b.int(0)), SIDE))

            with b.loop(b.int(0), b.int(SIDE)) as w:
                self.put(w, line(w), line(b.add(w, b.int(SIDE))))
            self.tell()
            return
        steps = [(b.load(wide, b.gep(self.k_table, before, "i64"), mask), mask) for before, mask in self._halves()]
        with b.loop(b.int(0), b.int(SIDE)) as i:
            start = b.gep(self.source, self._offset(i), "f32")
            pair = tuple(b.gather(VECTOR, start, step, mask) for step, mask in steps)
            self._measure(i, pair, False)
            self.put(i, *pair)

    def _halves(self) -> list[tuple[Reg, Reg]]:
        """The first steps of the two vectors of a line, and which of their lanes there are."""
        b = self.b
        return [(b.int(first), b.mask_below(b.sub(self.depth, b.int(first)), SIDE)) for first in (0, SIDE)]

    def side_by_side(self) -> Reg:
        """Whether the rows or columns are neighbours."""
        return self._even(self.offsets, self.b.int(0), self.b.mask_below(self.valid, SIDE))

    def one_after_another(self) -> Reg:
        """Whether the steps of k are neighbours here."""
        found = [self._even(self.k_table, first, mask) for first, mask in self._halves()]
        return self.b.op("and", *found)

    def _even(self, table: Reg, first: Reg, mask: Reg) -> Reg:
        """Whether entries of a table from one on are as far ahead of its first entry as of its begin."""
        b, kind = self.b, Type("i64", SIDE)
        wanted = b.add(b.iota(kind), b.splat(b.add(self.entry(table, b.int(0)), first), SIDE))
        same = b.compare("eq", b.load(kind, b.gep(table, first, "i64"), mask), wanted)
        return b.reduce(b.op("or", same, b.op("not", mask)), "and")


def pack_parts(by_words: bool) -> Function:
    """`pack_lines` and `pack_words`, of `tile_pack`, for parts: they write the three tiles of a step.

    Two more operands: the largest size so far, as bits, of each of the 16 rows or columns; 16 vectors in which that of
    rows along k is gathered until the last step of a block. They are zero before it, and after.
    """
    p = _PartsPacker(by_words)
    b = p.b
    with b.when_else(b.compare("ne", p.along, b.int(0))) as otherwise:
        p.along_k(True)
        otherwise()
        with b.when_else(p.side_by_side()) as otherwise:
            p.across()
            otherwise()
            with b.when_else(p.one_after_another()) as otherwise:
                p.along_k(False)
                otherwise()
                p.by_offsets()
    return b.finish()
