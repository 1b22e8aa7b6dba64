"""Packing for matrix tiles: 16 rows of A, or columns of B, by 64 bytes of k each, become 16 lines of 64 bytes.

A tile of A has a line for each row, with k along it. A tile of B has a line for each word of 4 bytes of k (2 or 4
neighbours), with a word for each column. One is the other with its words transposed, so a block that is contiguous
along k is loaded by rows and one that is contiguous across it by words; the form that is wanted may take a
transposition.
"""

from __future__ import annotations

from squall.compiler.nest.pack import transpose
from squall.ir.linear import BYTES, I64, PTR, Builder, Function, Reg, Type

SIDE = 16  # rows of a tile, columns of a result's tile, words of a line
LINE_BYTES = 64
TILE_BYTES = SIDE * LINE_BYTES
_WORDS = Type("i32", SIDE)
_RAW = {1: "u8", 2: "u16"}


def tile_steps(dtype: str) -> int:
    """The steps of k of one tile."""
    return LINE_BYTES // BYTES[dtype]


class _TilePacker:
    """The registers of one function, shared by its branches."""

    def __init__(self, dtype: str, by_words: bool):
        self.b = b = Builder(pack_name(by_words), (PTR, PTR, I64, PTR, I64, I64, PTR))
        self.source, self.offsets, self.valid, self.k_table, self.depth, self.along, self.target = b.parameters
        self.scalar, self.by_words = _RAW[BYTES[dtype]], by_words
        self.steps, self.in_word = tile_steps(dtype), 4 // BYTES[dtype]

    def entry(self, table: Reg, index: Reg) -> Reg:
        return self.b.load(I64, self.b.gep(table, index, "i64"))

    def put(self, lines: list[Reg]) -> None:
        for i, line in enumerate(lines):
            self.b.store(line, self.b.gep(self.target, self.b.int(i * LINE_BYTES), "i8"))

    def along_k(self) -> None:
        """All of k's steps are neighbours: a line of each row or column at a time."""
        b, line = self.b, Type(self.scalar, self.steps)
        first, last = self.entry(self.k_table, b.int(0)), b.sub(self.valid, b.int(1))
        places = [b.gep(self.source, b.add(self.entry(self.offsets, b.op("min", b.int(i), last)), first), self.scalar)
                  for i in range(SIDE)]
        with b.when_else(b.compare("ge", self.depth, b.int(self.steps))) as otherwise:
            for masked in (False, True):
                mask = b.mask_below(self.depth, self.steps) if masked else None
                lines = [b.bitcast(b.load(line, place, mask), _WORDS) for place in places]
                self.put(transpose(b, lines) if self.by_words else lines)
                if not masked:
                    otherwise()

    def across(self) -> None:
        """Rows or columns are neighbours: words of k are put together from as many lines."""
        b, part = self.b, Type(self.scalar, SIDE)
        start = b.gep(self.source, self.entry(self.offsets, b.int(0)), self.scalar)

        def word(k: Reg, whole: bool) -> Reg:
            parts = []
            for e in range(self.in_word):
                step = b.add(k, b.int(e))
                if whole:
                    parts.append(b.load(part, b.gep(start, self.entry(self.k_table, step), self.scalar)))
                    continue
                inside = b.compare("lt", step, self.depth)
                offset = self.entry(self.k_table, b.select(inside, step, b.int(0)))
                mask = b.mask_below(b.select(inside, self.valid, b.int(0)), SIDE)
                parts.append(b.load(part, b.gep(start, offset, self.scalar), mask))
            return _interleaved(b, parts)

        full = b.op("and", b.compare("ge", self.depth, b.int(self.steps)), b.compare("ge", self.valid, b.int(SIDE)))
        with b.when_else(full) as otherwise:
            for whole in (True, False):
                if self.by_words:
                    with b.loop(b.int(0), b.int(SIDE)) as w:
                        value = word(b.mul(w, b.int(self.in_word)), whole)
                        b.store(value, b.gep(self.target, b.mul(w, b.int(LINE_BYTES)), "i8"))
                else:
                    self.put(transpose(b, [word(b.int(w * self.in_word), whole) for w in range(SIDE)]))
                if whole:
                    otherwise()

    def by_elements(self) -> None:
        """Anything else."""
        b, size = self.b, BYTES[self.scalar]
        self.put([b.const(0, _WORDS)] * SIDE)
        with b.loop(b.int(0), b.op("min", self.depth, b.int(self.steps))) as k:
            offset = self.entry(self.k_table, k)
            word, inside = b.op("div", k, b.int(self.in_word)), b.op("rem", k, b.int(self.in_word))
            with b.loop(b.int(0), self.valid) as i:
                value = b.load(Type(self.scalar), b.gep(self.source, b.add(self.entry(self.offsets, i), offset),
                                                        self.scalar))
                if self.by_words:
                    place = b.add(b.add(b.mul(word, b.int(LINE_BYTES)), b.mul(i, b.int(4))), b.mul(inside, b.int(size)))
                else:
                    place = b.add(b.mul(i, b.int(LINE_BYTES)), b.mul(k, b.int(size)))
                b.store(value, b.gep(self.target, place, "i8"))

    def side_by_side(self) -> Reg:
        b, kind = self.b, Type("i64", SIDE)
        wanted = b.add(b.iota(kind), b.splat(self.entry(self.offsets, b.int(0)), SIDE))
        same = b.compare("eq", b.load(kind, self.offsets), wanted)
        return b.reduce(b.op("or", same, b.op("not", b.mask_below(self.valid, SIDE))), "and")


def _interleaved(b: Builder, parts: list[Reg]) -> Reg:
    """Vectors of a word's elements to one vector of words."""
    while len(parts) > 1:
        lanes = parts[0].type.lanes
        order = tuple(n for i in range(lanes) for n in (i, lanes + i))
        made = [b.shuffle(x, y, order) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        wider = Type({"u8": "u16"}.get(made[0].type.scalar, "i32"), lanes)
        parts = [b.bitcast(v, wider) for v in made]
    return parts[0]


def pack_name(by_words: bool) -> str:
    """The function for tiles of B, or of A."""
    return "pack_words" if by_words else "pack_lines"


def pack_tile(dtype: str, by_words: bool) -> Function:
    """`pack_lines` and `pack_words`: `(source, offsets, valid, k_table, depth, along, target)`.

    Writes one tile: `valid` rows or columns at some offsets (the others hold anything), up to a tile's steps of the
    `depth` that is left of k, zeros beyond. `along`: the steps of k are neighbours.
    """
    p = _TilePacker(dtype, by_words)
    with p.b.when_else(p.b.compare("ne", p.along, p.b.int(0))) as otherwise:
        p.along_k()
        otherwise()
        with p.b.when_else(p.side_by_side()) as otherwise:
            p.across()
            otherwise()
            p.by_elements()
    return p.b.finish()
