"""Float32 as a sum of three bfloat16 numbers, for processors whose matrix tiles multiply those (AMX).

A float32 has 24 bits, three bfloat16 hold 8 each: `x = h + m + l` without a rest. Products of parts are exact in
float32. Of the nine of two numbers six count, from `l h` and `h l` to `h h`; the others are below 2**-24 of the whole,
what one rounding of float32 leaves out anyway. Parts below 2**-126 count as zero.

Both operands lie as tiles: 16 lines of 16 words, and a word holds two numbers of the dimension that is summed, `i` and
`i + 16` of the 32 of a step. Which two does not matter as long as both operands agree; these come from two vectors by a
shift and a mask. A group of 16 rows (or columns) has for each step the tiles of h, m and l.
"""

from __future__ import annotations

from squall.ir.linear import Builder, Reg, Type

SIDE = 16  # lines of a tile, and words of a line
STEP = 32  # of the summed dimension
PARTS = 3
WORDS = SIDE * SIDE
HUGE = 0x7F7F7FFF  # bits of the largest number that rounds to a finite bfloat16; those above have no parts
VECTOR, BITS, HALVES = Type("f32", SIDE), Type("u32", SIDE), Type("u16", 2 * SIDE)
HIGH, HALF, SIZE = 0xFFFF0000, 0x8000, 0x7FFFFFFF
# Parts of A and of B in the order they are multiplied, smallest products first: one of both stays from one to the next.
ORDER = ((2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0))


def _upper(b: Builder, low: Reg, high: Reg) -> Reg:
    """Words of the upper halves of two vectors' words."""
    low, high = (b.bitcast(x, HALVES) for x in (low, high))
    index = tuple(2 * (i // 2) + 1 + (2 * SIDE if i & 1 else 0) for i in range(2 * SIDE))
    return b.bitcast(b.shuffle(low, high, index), BITS)


def split(b: Builder, first: Reg, second: Reg, nearest: bool) -> list[Reg]:
    """The words of each part of two vectors, the first in the lower halves.

    Rounding to the nearest leaves products out that are smaller and of either sign; of weights, which are many and meet
    values that were rounded, cutting is as good.
    """
    words, pair = [], (first, second)
    for part in range(PARTS):
        last = part == PARTS - 1  # what is left fits, whatever is done to the bits behind
        bits = tuple(b.bitcast(x, BITS) for x in pair)
        if nearest and not last:
            bits = tuple(b.add(x, b.const(HALF, BITS)) for x in bits)
        words.append(_upper(b, *bits))
        if not last:
            heads = (b.op("and", x, b.const(HIGH, BITS)) for x in bits)
            pair = tuple(b.sub(x, b.bitcast(h, VECTOR)) for x, h in zip(pair, heads, strict=True))
    return words


def store_parts(b: Builder, words: list[Reg], place: Reg) -> None:
    """One line of each part's tile; the tiles follow one another."""
    for part, value in enumerate(words):
        b.store(value, b.gep(place, b.int(part * WORDS), "u32"))


def raise_size(b: Builder, top: Reg, vectors: tuple[Reg, Reg]) -> None:
    """Keep the largest bits of sizes."""
    for x in vectors:
        size = b.op("and", b.bitcast(x, BITS), b.const(SIZE, BITS))
        b.set(top, b.op("max", b.get(top), size))
