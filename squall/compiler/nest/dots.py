"""Products of tiles on processors without matrix tiles that add up products of four bytes (AVX512-VNNI) or of two
bfloat16 numbers (AVX512-BF16) in one instruction.

Operands are packed as for matrix tiles: a line of 16 columns' words of B is in a register, a word of A is met by all of
it. The instruction for bytes multiplies unsigned by signed ones, so 128 is added to A's once they are packed, and what
that brings, 128 times the sums of B's columns, is taken away again: integers wrap, so the sums are exact. That for
bfloat16 adds the second product of a word first, so words are turned around, A's once they are packed: a sum is a chain
of multiply-adds in ascending k, as of the vector kernels, with their bits as long as no number is subnormal.
"""

from __future__ import annotations

from squall.compiler.nest.tile_pack import LINE_BYTES, SIDE, TILE_BYTES
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

DTYPES = {"i8": "i32", "bf16": "f32"}  # what is multiplied, and what it is added in
HEIGHT = 8  # rows at a time where there are two tiles of columns: sums, lines of B and a word fit the registers
WORDS, WORD = Type("u32", SIDE), Type("u32")
UNSIGNED, SIGNED, BRAIN = Type("u8", LINE_BYTES), Type("i8", LINE_BYTES), Type("bf16", LINE_BYTES // 2)
FLIP = 0x80808080  # the top bit of each byte of a word: adds 128, where bytes wrap
PREPARE = "prepare"
# of `tiles_RxC`
PARAMETERS = (PTR, I64, I64, I64, PTR, I64, I64, PTR, I64, I64)


def _turned(b: Builder, words: Reg) -> Reg:
    """Words with their halves exchanged."""
    half = b.const(16, words.type)
    return b.op("or", b.op("shl", words, half), b.op("shr", words, half))


def prepare(dtype: str) -> Function:
    """`prepare(place, bytes)`: make packed tiles of A, whole lines, what the products take."""
    b = Builder(PREPARE, (PTR, I64))
    place, size = b.parameters
    with b.loop(b.int(0), size, b.int(LINE_BYTES)) as i:
        line = b.gep(place, i, "i8")
        held = b.load(WORDS, line)
        b.store(b.op("xor", held, b.const(FLIP, WORDS)) if dtype == "i8" else _turned(b, held), line)
    return b.finish()


class _Product:
    """The registers of a product."""

    def __init__(self, b: Builder, dtype: str, columns: int):
        self.b, self.dtype, self.columns = b, dtype, range(columns)
        self.sums = Type(DTYPES[dtype], SIDE)
        (self.a, _, _, self.apart_a, self.other, self.apart, self.count, self.c, self.stride,
         self.adding) = b.parameters

    def lines(self, tile: Reg, word: Reg) -> list[Reg]:
        """A line of B for each tile of columns."""
        b = self.b
        at = b.gep(self.other, b.add(b.mul(tile, b.int(TILE_BYTES)), b.mul(word, b.int(LINE_BYTES))), "i8")
        places = [b.gep(at, b.mul(self.apart, b.int(j)), "i8") for j in self.columns]
        if self.dtype == "i8":
            return [b.load(SIGNED, place) for place in places]
        return [b.bitcast(_turned(b, b.load(WORDS, place)), BRAIN) for place in places]

    def excess(self) -> list[Reg]:
        """What 128 in each byte of a row of A brings."""
        b = self.b
        sums = [b.var(b.const(0, self.sums)) for _ in self.columns]
        with b.loop(b.int(0), self.count) as tile, b.loop(b.int(0), b.int(SIDE)) as word:
            for total, line in zip(sums, self.lines(tile, word), strict=True):
                b.set(total, b.emit("dot", self.sums, (b.get(total), b.const(128, UNSIGNED), line)))
        return [b.get(total) for total in sums]

    def rows(self, group: int, first: int, height: int, excess: list[Reg]) -> None:
        """Some rows of a tile of A."""
        b, kind = self.b, UNSIGNED if self.dtype == "i8" else BRAIN
        sums = [[b.var(b.const(0, self.sums)) for _ in self.columns] for _ in range(height)]
        start = b.gep(b.gep(self.a, b.mul(self.apart_a, b.int(group)), "i8"), b.int(first * LINE_BYTES), "i8")
        with b.loop(b.int(0), self.count) as tile, b.loop(b.int(0), b.int(SIDE)) as word:
            lines = self.lines(tile, word)
            at = b.gep(start, b.add(b.mul(tile, b.int(TILE_BYTES)), b.mul(word, b.int(4))), "i8")
            for r, row in enumerate(sums):
                loaded = b.splat(b.load(WORD, b.gep(at, b.int(r * LINE_BYTES), "i8")), SIDE)
                element = b.bitcast(loaded, kind)
                for total, line in zip(row, lines, strict=True):
                    b.set(total, b.emit("dot", self.sums, (b.get(total), element, line)))
        places = [[b.gep(b.gep(self.c, b.mul(self.stride, b.int(group * SIDE + first + r)), "i8"),
                         b.int(j * LINE_BYTES), "i8") for j in self.columns] for r in range(height)]
        for row in sums:
            for total, more in zip(row, excess, strict=False):
                b.set(total, b.sub(b.get(total), more))
        with b.when(b.compare("ne", self.adding, b.int(0))):
            for row, line in zip(sums, places, strict=True):
                for total, place in zip(row, line, strict=True):
                    b.set(total, b.add(b.load(self.sums, place), b.get(total)))
        for row, line in zip(sums, places, strict=True):
            for total, place in zip(row, line, strict=True):
                b.store(b.get(total), place)


def multiply_dots(dtype: str, rows: int, columns: int) -> Function:
    """`tiles_RxC` as `tile_driver.multiply_tiles` makes it, of signed bytes or bfloat16; A's tiles are packed. Sums
    over the tiles given are one chain, to which what is in `c` is added."""
    if dtype not in DTYPES:
        raise ValueError(f"sums of products of {' or '.join(DTYPES)}, not of {dtype}")
    b = Builder(f"tiles_{rows}x{columns}", PARAMETERS)
    product = _Product(b, dtype, columns)
    excess, height = product.excess() if dtype == "i8" else [], HEIGHT if columns > 1 else SIDE
    for group in range(rows):
        for first in range(0, SIDE, height):
            product.rows(group, first, height, excess)
    return b.finish()
