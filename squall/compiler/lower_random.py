"""Philox 4x32-10 as linear IR: the random bits of an element are a function of seed, offset and position alone.

Element i of a draw takes word i % 4 of the block with counter `offset + i // 4` and key `seed`, each split in two
32-bit halves, low half first; the upper half of the counter's 128 bits is 0.
"""

from __future__ import annotations

from squall.ir.linear import Builder, Reg

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)


def _halves(b: Builder, value: Reg) -> tuple[Reg, Reg]:
    wide = b.cast(value, value.type.with_scalar("u64"))
    narrow = value.type.with_scalar("u32")
    return b.cast(wide, narrow), b.cast(b.op("shr", wide, b.const(32, wide.type)), narrow)


def philox(b: Builder, seed: Reg, offset: Reg, element: Reg) -> Reg:
    """Random u32 of each lane.

    Args:
        seed, offset, element: i64 of as many lanes; `element` counts the draw's elements.
    """
    word = element.type.with_scalar("u32")
    c = philox_block(b, seed, b.add(offset, b.op("shr", element, b.const(2, element.type))))
    zero = b.const(0, word)
    which = b.cast(b.op("and", element, b.const(3, element.type)), word)
    first = b.select(b.compare("eq", which, zero), c[0], c[1])
    last = b.select(b.compare("eq", which, b.const(2, word)), c[2], c[3])
    return b.select(b.compare("lt", which, b.const(2, word)), first, last)


def philox_block(b: Builder, seed: Reg, counter: Reg) -> list[Reg]:
    """The four u32 words of each lane's block: `seed` and `counter` are i64 of as many lanes."""
    word = counter.type.with_scalar("u32")
    low, high = _halves(b, counter)
    zero = b.const(0, word)
    c = [low, high, zero, zero]
    key = list(_halves(b, seed))
    multipliers = [b.const(m, word) for m in MULTIPLIERS]
    steps = [b.const(w, word) for w in WEYL]
    for round in range(ROUNDS):
        if round:
            key = [b.add(k, s) for k, s in zip(key, steps, strict=True)]
        products = [(b.op("mulhi", m, c[2 * i]), b.mul(m, c[2 * i])) for i, m in enumerate(multipliers)]
        (high0, low0), (high1, low1) = products
        c = [b.op("xor", b.op("xor", high1, c[1]), key[0]), low1, b.op("xor", b.op("xor", high0, c[3]), key[1]), low0]
    return c
