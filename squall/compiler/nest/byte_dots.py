"""Products of tiles of bytes on processors without matrix tiles that add up products of four bytes in one instruction.

Operands are packed as for matrix tiles: a line of 16 columns' words of B is in a register, a word of A is met by all of
it. The instruction multiplies unsigned by signed bytes, so 128 is added to A's once they are packed, and what that
brings, 128 times the sums of B's columns, is taken away again: integers wrap, so the sums are exact.
"""

from __future__ import annotations

from squall.compiler.nest.tile_pack import LINE_BYTES, SIDE, TILE_BYTES
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

HEIGHT = 8  # rows at a time where there are two tiles of columns: sums, lines of B and a word fit the registers
SUMS, WORD = Type("i32", SIDE), Type("i32")
UNSIGNED, SIGNED = Type("u8", LINE_BYTES), Type("i8", LINE_BYTES)
FLIP = -0x7F7F7F80  # the top bit of each byte of a word: adds 128, where bytes wrap
NAME = "flip"


def flip() -> Function:
    """`flip(place, bytes)`: add 128 to each of some bytes, whole lines."""
    b = Builder(NAME, (PTR, I64))
    place, size = b.parameters
    with b.loop(b.int(0), size, b.int(LINE_BYTES)) as i:
        line = b.gep(place, i, "i8")
        b.store(b.op("xor", b.load(SUMS, line), b.const(FLIP, SUMS)), line)
    return b.finish()


class _Product:
    """The registers of a product."""

    def __init__(self, b: Builder, columns: int):
        self.b, self.columns = b, range(columns)
        self.a, self.line, self.step, self.apart_a, self.other, self.apart, self.count, self.c, self.stride, \
            self.adding = b.parameters

    def lines(self, tile: Reg, word: Reg) -> list[Reg]:
        """A line of B for each tile of columns."""
        b = self.b
        at = b.gep(self.other, b.add(b.mul(tile, b.int(TILE_BYTES)), b.mul(word, b.int(LINE_BYTES))), "i8")
        return [b.load(SIGNED, b.gep(at, b.mul(self.apart, b.int(j)), "i8")) for j in self.columns]

    def excess(self) -> list[Reg]:
        """What 128 in each byte of a row of A brings."""
        b = self.b
        sums = [b.var(b.const(0, SUMS)) for _ in self.columns]
        with b.loop(b.int(0), self.count) as tile, b.loop(b.int(0), b.int(SIDE)) as word:
            for total, line in zip(sums, self.lines(tile, word), strict=True):
                b.set(total, b.emit("dot", SUMS, (b.get(total), b.const(128, UNSIGNED), line)))
        return [b.get(total) for total in sums]

    def rows(self, group: int, first: int, height: int, excess: list[Reg]) -> None:
        """Some rows of a tile of A."""
        b = self.b
        sums = [[b.var(b.const(0, SUMS)) for _ in self.columns] for _ in range(height)]
        start = b.gep(b.gep(self.a, b.mul(self.apart_a, b.int(group)), "i8"), b.int(first * LINE_BYTES), "i8")
        with b.loop(b.int(0), self.count) as tile, b.loop(b.int(0), b.int(SIDE)) as word:
            lines = self.lines(tile, word)
            at = b.gep(start, b.add(b.mul(tile, b.int(TILE_BYTES)), b.mul(word, b.int(4))), "i8")
            for r, row in enumerate(sums):
                loaded = b.splat(b.load(WORD, b.gep(at, b.int(r * LINE_BYTES), "i8")), SIDE)
                element = b.bitcast(loaded, UNSIGNED)
                for total, line in zip(row, lines, strict=True):
                    b.set(total, b.emit("dot", SUMS, (b.get(total), element, line)))
        places = [[b.gep(b.gep(self.c, b.mul(self.stride, b.int(group * SIDE + first + r)), "i8"),
                         b.int(j * LINE_BYTES), "i8") for j in self.columns] for r in range(height)]
        for row in sums:
            for total, more in zip(row, excess, strict=True):
                b.set(total, b.sub(b.get(total), more))
        with b.when(b.compare("ne", self.adding, b.int(0))):
            for row, line in zip(sums, places, strict=True):
                for total, place in zip(row, line, strict=True):
                    b.set(total, b.add(b.get(total), b.load(SUMS, place)))
        for row, line in zip(sums, places, strict=True):
            for total, place in zip(row, line, strict=True):
                b.store(b.get(total), place)


def multiply_bytes(dtype: str, rows: int, columns: int) -> Function:
    """`tiles_RxC` as `tile_driver.multiply_tiles` makes it, of signed bytes."""
    if dtype != "i8":
        raise ValueError(f"sums of products of signed bytes, not of {dtype}")
    b = Builder(f"tiles_{rows}x{columns}", (PTR, I64, I64, I64, PTR, I64, I64, PTR, I64, I64))
    product = _Product(b, columns)
    excess, height = product.excess(), HEIGHT if columns > 1 else SIDE
    for group in range(rows):
        for first in range(0, SIDE, height):
            product.rows(group, first, height, excess)
    return b.finish()
