"""What numbers in parts cannot tell, computed as chains of float32 multiply-adds from the operands themselves.

Parts of numbers that are very small are lost, as are products of parts; numbers that are very large have no parts, and
sums of their products overflow early; infinities and NaN have none. Packing finds the largest size in each row of A and
column of B. Where one of the two, or their product, lies outside of 2**-90 .. 2**90, the element they meet in is such a
chain. So it depends on its own row and column alone, and what lies side by side does not matter.
"""

from __future__ import annotations

from functools import reduce

from squall.compiler.nest.pieces import BITS, SIDE, VECTOR
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

ONE, FAR = 127, 90  # the exponent of 1.0 as it is stored; how far from it sizes, and products of them, may be
NEAR = FAR // 2  # no two sizes that are no farther need a closer look
_STRANGE = 1 << 16  # the level of a size that may meet none
_F32, _BITS, _EXPONENT = Type("f32"), Type("u32"), 23


def _beyond(b: Builder, values: Reg, middle: int, most: int) -> Reg:
    """Whether numbers differ from `middle` by more than `most`."""
    return b.compare("gt", b.sub(values, b.const(middle - most, BITS)), b.const(2 * most, BITS))


def _levels(b: Builder, sizes: Reg, most: int) -> Reg:
    """The exponents of 16 sizes, of 1.0 where there are only zeros, out of reach if they are farther than `most`."""
    exponents = b.op("shr", sizes, b.const(_EXPONENT, BITS))
    exponents = b.select(b.compare("eq", sizes, b.const(0, BITS)), b.const(ONE, BITS), exponents)
    return b.select(_beyond(b, exponents, ONE, most), b.const(_STRANGE, BITS), exponents)


def any_far(b: Builder, sizes: list[Reg]) -> Reg:
    """Whether any of some vectors of sizes wants a closer look."""
    top = reduce(lambda x, y: b.op("max", x, y), (_levels(b, s, NEAR) for s in sizes))
    return b.compare("eq", b.reduce(top, "max"), b.const(_STRANGE, _BITS))


def find_strange() -> Function:
    """`find_strange(sizes of 16 rows, sizes of 16 columns, levels) -> count`: how many of the rows hold elements
    that parts cannot tell; the levels of rows and columns are left for `mend`."""
    b = Builder("find_strange", (PTR, PTR, PTR), I64)
    rows, columns, levels = b.parameters
    across = _levels(b, b.load(BITS, columns), FAR)
    b.store(_levels(b, b.load(BITS, rows), FAR), levels)
    b.store(across, b.gep(levels, b.int(SIDE), "u32"))
    found = b.var(b.int(0))
    with b.loop(b.int(0), b.int(SIDE)) as i:
        some = b.reduce(_strange(b, levels, i, across), "or")
        b.set(found, b.add(b.get(found), b.cast(some, I64)))
    b.emit("return", None, (b.get(found),))
    return b.finish()


def _strange(b: Builder, levels: Reg, row: Reg, across: Reg) -> Reg:
    """Which elements of a row parts cannot tell."""
    level = b.splat(b.load(_BITS, b.gep(levels, row, "u32")), SIDE)
    return _beyond(b, b.add(level, across), 2 * ONE, FAR)


def chain_tile() -> Function:
    """`chain_tile(a, rows, b, columns, valid, k_a, k_b, depth, sums)`: 16 by `valid` chains of multiply-adds go on."""
    b = Builder("chain_tile", (PTR, PTR, PTR, PTR, I64, PTR, PTR, I64, PTR))
    a, rows, other, columns, valid, k_a, k_b, depth, sums = b.parameters
    mask, wide = b.mask_below(valid, SIDE), Type("i64", SIDE)
    across, first = b.load(wide, columns, mask), b.load(I64, columns)
    starts = [b.gep(a, b.load(I64, b.gep(rows, b.int(i), "i64")), "f32") for i in range(SIDE)]
    same = b.compare("eq", across, b.add(b.iota(wide), b.splat(first, SIDE)))
    neighbours = b.reduce(b.op("or", same, b.op("not", mask)), "and")
    with b.when_else(neighbours) as otherwise:
        for together in (True, False):
            chains = [b.var(b.load(VECTOR, b.gep(sums, b.int(i * SIDE), "f32"))) for i in range(SIDE)]
            with b.loop(b.int(0), depth) as k:
                offset = b.load(I64, b.gep(k_a, k, "i64"))
                start = b.gep(other, b.load(I64, b.gep(k_b, k, "i64")), "f32")
                line = (b.load(VECTOR, b.gep(start, first, "f32"), mask) if together
                        else b.gather(VECTOR, start, across, mask))
                for chain, row in zip(chains, starts, strict=True):
                    value = b.splat(b.load(_F32, b.gep(row, offset, "f32")), SIDE)
                    b.set(chain, b.fma(value, line, b.get(chain)))
            for i, chain in enumerate(chains):
                b.store(b.get(chain), b.gep(sums, b.int(i * SIDE), "f32"))
            if together:
                otherwise()
    return b.finish()


def mend() -> Function:
    """`mend(sums, rows, levels, stage, width)`: chains take the place of what parts cannot tell."""
    b = Builder("mend", (PTR, I64, PTR, PTR, I64))
    sums, rows, levels, stage, width = b.parameters
    across = b.load(BITS, b.gep(levels, b.int(SIDE), "u32"))
    with b.loop(b.int(0), rows) as i:
        place = b.gep(stage, b.mul(i, width), "f32")
        chain = b.add(b.load(VECTOR, b.gep(sums, b.mul(i, b.int(SIDE)), "f32")), b.const(0.0, VECTOR))
        b.store(b.select(_strange(b, levels, i, across), chain, b.load(VECTOR, place)), place)
    return b.finish()
