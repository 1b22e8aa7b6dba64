"""Products of attention's backward on matrix tiles: what is woven into them, and the sums they are added to.

Blocks are whole here: `QUERIES` by `KEYS`, whatever of them there is. A gradient of scores is multiplied twice, by
queries and by keys, so it becomes tiles of A and tiles of B at once.
"""

from __future__ import annotations

from squall.compiler.attend.pieces import Weave, Work, power, tiles
from squall.compiler.attend.softmax import NOTHING
from squall.compiler.attend.tiles import KEYS, QUERIES
from squall.compiler.nest.pieces import (
    BITS,
    HIGH,
    ORDER,
    PARTS,
    SIDE,
    SIZE,
    STEP,
    VECTOR,
    WORDS,
    split,
    store_parts,
)
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

STEPS = QUERIES // STEP  # of a block: its queries or its keys are summed
WEIGHTS, SLOPES = KEYS * STEPS, KEYS // 2 * STEPS  # lines of a block, see `Weave`
TILE = PARTS * WORDS
ONE = (1,) * len(ORDER)


def _weights_line(b: Builder, number: Reg, given: tuple, ready: bool) -> None:
    """Half a row of a block: powers of two of scores, which they replace, as tiles of A. `ready`: as they are."""
    scores, shift, target = given
    row, step = b.op("shr", number, b.int(1)), b.op("and", number, b.int(STEPS - 1))
    column = b.op("shl", step, b.int(5))
    places = [b.gep(scores, b.add(b.op("shl", row, b.int(6)), column), "f32")]
    places.append(b.gep(places[0], b.int(SIDE), "f32"))
    pair = [b.load(VECTOR, place) for place in places]
    if not ready:
        down = b.gep(shift, column, "f32")
        downs = b.load(VECTOR, down), b.load(VECTOR, b.gep(down, b.int(SIDE), "f32"))
        pair = [power(b, b.sub(x, d)) for x, d in zip(pair, downs, strict=True)]
        for x, place in zip(pair, places, strict=True):
            b.store(x, place)
    store_parts(b, split(b, *pair, False), _line_at(b, target, b.op("shr", row, b.int(4)), step, row))


def _line_at(b: Builder, target: Reg, group: Reg, step: Reg, row: Reg) -> Reg:
    """A line of the first part's tile of a group and step."""
    tile = b.mul(b.add(b.op("shl", group, b.int(1)), step), b.int(TILE))
    return b.gep(target, b.add(tile, b.op("shl", b.op("and", row, b.int(SIDE - 1)), b.int(4))), "u32")


def _heads(b: Builder, x: Reg) -> list[Reg]:
    """The bits of a vector's three parts, each cut off."""
    made: list[Reg] = []
    for part in range(PARTS):
        bits = b.bitcast(x, BITS)
        made.append(bits if part == PARTS - 1 else b.op("and", bits, b.const(HIGH, BITS)))
        if part < PARTS - 1:
            x = b.sub(x, b.bitcast(made[-1], VECTOR))
    return made


def _slopes_line(b: Builder, number: Reg, given: tuple, ready: bool) -> None:
    """Half of two rows of a block, 16 apart: weights times what gradients of weights are above `deltas`, as tiles of A
    and as tiles of B. `ready`: what takes the weights' place is that already."""
    held, gradients, deltas, lines, pairs = given
    step, within = b.op("shr", number, b.int(5)), b.op("and", number, b.int(SIDE - 1))
    right = b.op("and", b.op("shr", number, b.int(4)), b.int(1))
    row, column = b.add(b.op("shl", step, b.int(5)), within), b.op("shl", right, b.int(5))
    at = b.add(b.op("shl", row, b.int(6)), column)
    square = []
    for down in (0, SIDE):
        square.append([])
        for across in (0, SIDE):
            place = b.add(at, b.int(down * QUERIES + across))
            x = b.load(VECTOR, b.gep(held, place, "f32"))
            if not ready:
                delta = b.load(VECTOR, b.gep(deltas, b.add(column, b.int(across)), "f32"))
                x = b.mul(x, b.sub(b.load(VECTOR, b.gep(gradients, place, "f32")), delta))
            square[-1].append(_heads(b, x))
    (one, two), (three, four) = square
    group = b.op("shl", step, b.int(1))
    store_parts(b, _words(b, one, two), _line_at(b, lines, group, right, within))
    store_parts(b, _words(b, three, four), _line_at(b, lines, b.add(group, b.int(1)), right, within))
    group = b.op("shl", right, b.int(1))
    store_parts(b, _words(b, one, three), _line_at(b, pairs, group, step, within))
    store_parts(b, _words(b, two, four), _line_at(b, pairs, b.add(group, b.int(1)), step, within))


def _words(b: Builder, first: list[Reg], second: list[Reg]) -> list[Reg]:
    """The words of each part of two vectors in parts, the first in the lower halves."""
    high, sixteen = b.const(HIGH, BITS), b.const(16, BITS)
    return [b.op("or", b.op("shr", x, sixteen), b.op("and", y, high)) for x, y in zip(first, second, strict=True)]


def weaves(dropped: bool, changed: bool) -> tuple[Weave, Weave]:
    """What is woven in: `weights(low, high, scores, shift, target)`, where there is dropout of weights that are ready;
    `slopes(low, high, weights, gradients, deltas, lines, pairs)`, gradients that are `changed` are ready."""

    def weight(b: Builder, number: Reg, given: tuple) -> None:
        _weights_line(b, number, given, dropped)

    def slope(b: Builder, number: Reg, given: tuple) -> None:
        _slopes_line(b, number, given, changed)

    return (Weave("split_weights", (PTR,) * 3, weight, ONE), Weave("split_slopes", (PTR,) * 5, slope, ONE))


def _block_product(name: str, weave: Weave | None) -> Function:
    """`{name}(a, b, steps, c, width, rows, columns)`: a product, both sizes multiples of 32, rows of C of `width`. What
    is woven in has its operands behind and is done in the end."""
    weaves = (weave,) if weave else ()
    b = Builder(name, (PTR, PTR, I64, PTR, I64, I64, I64, *(p for w in weaves for p in w.parameters)))
    a, other, steps, c, width, rows, columns, *given = b.parameters
    apart, pair, stride = b.mul(steps, b.int(TILE // SIDE)), b.int(2 * SIDE), b.mul(width, b.int(4))
    work = Work(b, weaves, given)
    with b.loop(b.int(0), rows, pair) as i, b.loop(b.int(0), columns, pair) as j:
        operands = (b.gep(a, b.mul(i, apart), "u32"), b.gep(other, b.mul(j, apart), "u32"), steps,
                    b.gep(c, b.add(b.mul(i, width), j), "f32"), stride)
        b.call(f"{name}_2x2", (*operands, *work.operands()))
        work.passed(steps)
    work.finish()
    return b.finish()


def block_products(dropped: bool, changed: bool) -> list[Function]:
    """`block_product`, `block_added`, with weights woven in `weights_product` and `weights_added`, with gradients
    `slopes_added`, and what they call."""
    weights, slopes = weaves(dropped, changed)
    made = [weights.function(), slopes.function()]
    for name, weave, adds in (("block_product", None, False), ("block_added", None, True),
                              ("weights_product", weights, False), ("weights_added", weights, True),
                              ("slopes_added", slopes, True)):
        made += [tiles(name, 2, 2, (weave,) if weave else (), adds), _block_product(name, weave)]
    return made


def begin_rows() -> Function:
    """`begin_rows(gradient, gradient width, result, width, rows, sums, shift, deltas)`: what `softmax.begin_backward`
    leaves, of a block that lies in rows, with zeros beyond `rows`."""
    b = Builder("begin_rows", (PTR, I64, PTR, I64, I64, PTR, PTR, PTR))
    gradient, gradient_width, result, width, rows, sums, shift, deltas = b.parameters
    one, nothing = Type("f32"), b.const(NOTHING, Type("f32"))
    beyond = b.op("neg", nothing)
    with b.loop(b.int(0), rows) as i:
        value = b.load(one, b.gep(sums, i, "f32"))
        b.store(b.select(b.compare("eq", value, nothing), beyond, value), b.gep(shift, i, "f32"))
    with b.loop(rows, b.int(QUERIES)) as i:
        b.store(beyond, b.gep(shift, i, "f32"))
    with b.loop(b.int(0), b.int(QUERIES)) as i:
        total = b.var(b.const(0.0, VECTOR))
        lines = b.gep(gradient, b.mul(i, gradient_width), "f32"), b.gep(result, b.mul(i, width), "f32")
        with b.loop(b.int(0), width, b.int(SIDE)) as j:
            pair = [b.load(VECTOR, b.gep(line, j, "f32")) for line in lines]
            b.set(total, b.fma(*pair, b.get(total)))
        b.store(b.reduce(b.get(total), "add"), b.gep(deltas, i, "f32"))
    return b.finish()


def blank() -> Function:
    """`blank(scores, rows, columns)`: minus infinity beyond so many queries, and beyond so many keys."""
    b = Builder("blank", (PTR, I64, I64))
    scores, keys, queries = b.parameters
    nothing = b.const(NOTHING, VECTOR)
    with b.loop(b.int(0), b.int(KEYS)) as r:
        none, line = b.compare("ge", r, keys), b.gep(scores, b.mul(r, b.int(QUERIES)), "f32")
        left = b.select(none, b.int(0), queries)
        for j in range(0, QUERIES, SIDE):
            inside = b.mask_below(b.sub(left, b.int(j)), SIDE)
            place = b.gep(line, b.int(j), "f32")
            b.store(b.select(inside, b.load(VECTOR, place), nothing), place)
    return b.finish()


def largest(stored: str) -> Function:
    """`largest_{stored}(source, row stride, stride, rows, columns) -> i64`: the largest size, as bits of float32."""
    b = Builder(f"largest_{stored}", (PTR, I64, I64, I64, I64), I64)
    source, row_stride, stride, rows, columns = b.parameters
    held, sizes, top = Type(stored, SIDE), b.const(SIZE, BITS), b.var(b.const(0, BITS))
    dense = b.compare("eq", stride, b.int(1))
    steps = b.mul(b.iota(Type("i64", SIDE)), b.splat(stride, SIDE))

    def meet(loaded: Reg) -> None:
        bits = b.op("and", b.bitcast(b.cast(loaded, VECTOR), BITS), sizes)
        b.set(top, b.op("max", b.get(top), bits))

    with b.loop(b.int(0), rows) as i:
        line = b.gep(source, b.mul(i, row_stride), stored)
        with b.loop(b.int(0), columns, b.int(SIDE)) as j:
            mask = b.mask_below(b.sub(columns, j), SIDE)
            with b.when_else(dense) as otherwise:
                meet(b.load(held, b.gep(line, j, stored), mask))
                otherwise()
                meet(b.gather(held, b.gep(line, b.mul(j, stride), stored), steps, mask))
    found = b.cast(b.reduce(b.get(top), "max"), I64)
    b.emit("return", None, (found,))
    return b.finish()
