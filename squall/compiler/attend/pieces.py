"""Products of attention on matrix tiles: operands in three parts, as `nest.pieces` tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from squall.compiler.attend.softmax import LEAST
from squall.compiler.attend.tiles import QUERIES, higher
from squall.compiler.math_lanes import Lanes
from squall.compiler.nest.pieces import (
    BITS,
    ORDER,
    PARTS,
    SIDE,
    STEP,
    VECTOR,
    WORDS,
    raise_size,
    split,
    store_parts,
)
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

WOVEN = 2  # lines of weights for four tile instructions, which take about as long
# 2**r = 1 + r P(r), 0 <= r <= 1; 2**-28.8 (see `math_exp`).
POWER = (0.69314706, 0.24022909, 0.055486184, 0.009673775, 0.0012482288, 0.00021565985)


def split_lines() -> Function:
    """`split_lines(source, width, rows, steps, target) -> i64`: tiles of A, whose summed dimension lies along rows of
    `width` elements. The result is the largest size met, as bits."""
    b = Builder("split_lines", (PTR, I64, I64, I64, PTR), I64)
    source, width, rows, steps, target = b.parameters
    top = b.var(b.const(0, BITS))
    with b.loop(b.int(0), rows) as r, b.loop(b.int(0), steps) as s:
        line = b.gep(source, b.add(b.mul(r, width), b.mul(s, b.int(STEP))), "f32")
        pair = b.load(VECTOR, line), b.load(VECTOR, b.gep(line, b.int(SIDE), "f32"))
        raise_size(b, top, pair)
        group, within = b.op("shr", r, b.int(4)), b.op("and", r, b.int(SIDE - 1))
        tile = b.mul(b.add(b.mul(group, steps), s), b.int(PARTS * WORDS))
        store_parts(b, split(b, *pair, True), b.gep(target, b.add(tile, b.mul(within, b.int(SIDE))), "u32"))
    return _with_top(b, top)


def split_pairs() -> Function:
    """`split_pairs(source, width, steps, columns, target) -> i64`: tiles of B, of rows of `width` elements of which
    each belongs to one index of the summed dimension. The result is the largest size met, as bits."""
    b = Builder("split_pairs", (PTR, I64, I64, I64, PTR), I64)
    source, width, steps, columns, target = b.parameters
    below = b.mul(width, b.int(SIDE))
    top = b.var(b.const(0, BITS))
    with b.loop(b.int(0), columns, b.int(SIDE)) as j, b.loop(b.int(0), steps) as s:
        tile = _tile_of(b, target, j, steps, s)
        with b.loop(b.int(0), b.int(SIDE)) as w:
            row = b.add(b.mul(s, b.int(STEP)), w)
            first = b.gep(source, b.add(b.mul(row, width), j), "f32")
            pair = b.load(VECTOR, first), b.load(VECTOR, b.gep(first, below, "f32"))
            raise_size(b, top, pair)
            store_parts(b, split(b, *pair, True), b.gep(tile, b.mul(w, b.int(SIDE)), "u32"))
    return _with_top(b, top)


def _with_top(b: Builder, top: Reg) -> Function:
    largest = b.cast(b.reduce(b.get(top), "max"), I64)
    b.emit("return", None, (largest,))
    return b.finish()


def _tile_of(b: Builder, target: Reg, column: Reg, steps: Reg, step: Reg) -> Reg:
    """The first tile of a step, of the columns that begin at a multiple of 16."""
    group = b.op("shr", column, b.int(4))
    return b.gep(target, b.mul(b.add(b.mul(group, steps), step), b.int(PARTS * WORDS)), "u32")


def _line(b: Builder, number: Reg, given: tuple, dropped: bool) -> None:
    """One line of words of a block's weights: lines of a tile first, then steps, then columns."""
    scores, shift, totals, target = given
    column = b.op("shl", b.op("shr", number, b.int(5)), b.int(4))
    within = b.op("and", number, b.int(SIDE - 1))
    row = b.add(b.op("shl", b.op("and", number, b.int(SIDE)), b.int(1)), within)
    first = b.gep(scores, b.add(b.op("shl", row, b.int(6)), column), "f32")
    pair = [b.load(VECTOR, first), b.load(VECTOR, b.gep(first, b.int(SIDE * QUERIES), "f32"))]
    if not dropped:
        down, place = b.load(VECTOR, b.gep(shift, column, "f32")), b.gep(totals, column, "f32")
        pair = [power(b, b.sub(x, down)) for x in pair]
        b.store(b.add(b.load(VECTOR, place), b.add(*pair)), place)
    tile = b.mul(b.op("shr", number, b.int(4)), b.int(PARTS * WORDS))
    store_parts(b, split(b, *pair, False), b.gep(target, b.add(tile, b.op("shl", within, b.int(4))), "u32"))


def power(b: Builder, x: Reg) -> Reg:
    """2**x, by the instructions of processors that have tiles; 0 below `LEAST`, NaN for NaN."""
    lanes = Lanes(b, x.type)
    curve = lanes.polynomial(b.emit("fraction", x.type, (x,)), POWER, (1.0,))
    made = b.emit("scale", x.type, (curve, x))  # what underflows would take 200 cycles, were it not masked
    return lanes.select(lanes.below(x, LEAST["f32"]), lanes.at(0.0), made)


class Weave(NamedTuple):
    """Work on vectors that is done while tiles are multiplied, a bit after every four products of tiles.

    name: of its function and of the products it is woven into. kinds: types of its operands after (low, high), which
    number its lines. line: writes one line from the builder, its number and those operands. grain: lines at a time.
    """

    name: str
    kinds: tuple[Type, ...]
    line: Callable[[Builder, Reg, tuple], None]
    grain: int

    @property
    def parameters(self) -> tuple[Type, ...]:
        """The operands of its function: the first line, the last, and what lines are made of."""
        return (I64, I64, *self.kinds)

    def lines(self, b: Builder, low: Reg, high: Reg, given: tuple) -> None:
        """Some of the lines."""
        with b.loop(low, high) as number:
            self.line(b, number, given)

    def function(self) -> Function:
        """The work alone: lines from `low` to `high`."""
        b = Builder(self.name, self.parameters)
        low, high, *given = b.parameters
        self.lines(b, low, high, tuple(given))
        return b.finish()


def weights(dropped: bool) -> Weave:
    """`split_weights(low, high, scores, shift, totals, target)`: some lines of tiles of B, of the powers of two of
    `KEYS` rows of scores, which are added to `totals`; or of weights as they are, where dropout came between. There are
    32 lines for each 16 columns."""
    return Weave("split_weights", (PTR, PTR, PTR, PTR), partial(_line, dropped=dropped), WOVEN)


def tiles(name: str, rows: int, columns: int, weave: Weave | None = None, adds: bool = False) -> Function:
    """`{name}_RxC(a, b, steps, c, bytes between c's rows)`: up to two by two tiles of a product; where it `adds`, added
    one after the other to what c holds.

    What is woven in has its operands behind; the result is its first line that is left.
    """
    kinds = (PTR, PTR, I64, PTR, I64)
    b = Builder(f"{name}_{rows}x{columns}", (*kinds, *weave.parameters) if weave else kinds, I64 if weave else None)
    a, other, steps, c, stride, *work = b.parameters
    line, results = b.int(4 * SIDE), [(i, j) for i in range(rows) for j in range(columns)]
    apart = b.mul(steps, b.int(PARTS * WORDS))
    done = b.var(work[0]) if weave else None
    places = [b.gep(b.gep(c, b.mul(stride, b.int(i * SIDE)), "i8"), b.int(4 * j * SIDE), "i8") for i, j in results]

    def load(step: Reg, wanted: tuple[int, int], held: tuple[int, int]) -> None:
        for (start, first, n), part, old in zip(((a, 4, rows), (other, 6, columns)), wanted, held, strict=True):
            for i in range(n if part != old else 0):
                words = b.add(b.mul(apart, b.int(i)), b.add(b.mul(step, b.int(PARTS * WORDS)), b.int(part * WORDS)))
                b.emit("tile", None, (b.gep(start, words, "u32"), line), ("load", first + i))

    for (i, j), place in zip(results, places, strict=True):
        if adds:
            b.emit("tile", None, (place, stride), ("load", 2 * i + j))
        else:
            b.emit("tile", None, (), ("zero", 2 * i + j))
    load(b.int(0), ORDER[0], (-1, -1))
    with b.loop(b.int(0), steps) as s:
        for number, parts in enumerate(ORDER):
            for i, j in results:
                b.emit("tile", None, (), ("dot", 2 * i + j, 4 + i, 6 + j, "bf16"))
            if parts != ORDER[-1]:
                load(s, ORDER[number + 1], parts)
            else:
                load(b.op("min", b.add(s, b.int(1)), b.sub(steps, b.int(1))), ORDER[0], (-1, -1))
            if weave and done is not None:
                low = b.get(done)
                high = b.op("min", b.add(low, b.int(weave.grain)), work[1])
                weave.lines(b, low, high, tuple(work[2:]))
                b.set(done, b.op("max", low, high))
    for (i, j), place in zip(results, places, strict=True):
        b.emit("tile", None, (place, stride), ("store", 2 * i + j))
    if done is not None:
        b.emit("return", None, (b.get(done),))
    return b.finish()


def _product(weave: Weave | None) -> Function:
    """`tile_product(a, b, steps, c, rows, columns)`: a product, by whole tiles; rows of C have `QUERIES` elements.
    `woven_product` has the operands of what is woven in behind and does that meanwhile."""
    kinds = (PTR, PTR, I64, PTR, I64, I64)
    b = Builder("woven_product", (*kinds, *weave.parameters)) if weave else Builder("tile_product", kinds)
    a, other, steps, c, rows, columns, *work = b.parameters
    apart, pair = b.mul(steps, b.int(PARTS * WORDS // SIDE)), b.int(2 * SIDE)
    done = b.var(work[0]) if weave else None
    with b.loop(b.int(0), rows, pair) as i, b.loop(b.int(0), columns, pair) as j:
        given = (b.gep(a, b.mul(i, apart), "u32"), b.gep(other, b.mul(j, apart), "u32"), steps,
                 b.gep(c, b.add(b.mul(i, b.int(QUERIES)), j), "f32"), b.int(4 * QUERIES))
        tall = b.compare("gt", b.sub(rows, i), b.int(SIDE))
        wide = b.compare("gt", b.sub(columns, j), b.int(SIDE))

        with b.when_else(tall) as low:
            for count in (2, 1):
                with b.when_else(wide) as narrow:
                    if done is not None and count == 2:
                        b.set(done, b.call("woven_2x2", (*given, b.get(done), *work[1:]), I64))
                    else:
                        b.call(f"tiles_{count}x2", given)
                    narrow()
                    b.call(f"tiles_{count}x1", given)
                if count == 2:
                    low()
    if weave and done is not None:
        b.call(weave.name, (b.get(done), *work[1:]))
    return b.finish()


def products(dropped: bool) -> list[Function]:
    """`tile_product`, `woven_product`, `split_weights`, and what they call."""
    plain, weave = [tiles("tiles", rows, columns) for rows in (1, 2) for columns in (1, 2)], weights(dropped)
    return [weave.function(), *plain, _product(None), tiles("woven", 2, 2, weave), _product(weave)]


def rescale() -> Function:
    """`rescale(result, fresh, width, columns, factors, sums, totals)`: `result` times factors plus `fresh`; `totals`
    are added to `sums` and forgotten."""
    b = Builder("rescale", (PTR, PTR, I64, I64, PTR, PTR, PTR))
    result, fresh, width, columns, factors, sums, totals = b.parameters
    with b.loop(b.int(0), columns, b.int(SIDE)) as j:
        factor, place, total = (b.gep(p, j, "f32") for p in (factors, sums, totals))
        b.store(b.add(b.load(VECTOR, place), b.load(VECTOR, total)), place)
        b.store(b.const(0.0, VECTOR), total)
        by = b.load(VECTOR, factor)
        with b.loop(b.int(0), width) as d:
            at = b.add(b.mul(d, b.int(QUERIES)), j)
            place = b.gep(result, at, "f32")
            b.store(b.fma(b.load(VECTOR, place), by, b.load(VECTOR, b.gep(fresh, at, "f32"))), place)
    return b.finish()


def highest_of() -> Function:
    """`highest_of(scores, rows, columns, highest)`: the maxima of columns at `highest` are raised (NaN is left out)."""
    b = Builder("highest_of", (PTR, I64, I64, PTR))
    scores, rows, columns, highest = b.parameters
    with b.loop(b.int(0), columns, b.int(SIDE)) as j:
        place = b.gep(highest, j, "f32")
        best = b.var(b.load(VECTOR, place))
        with b.loop(b.int(0), rows) as r:
            at = b.gep(scores, b.add(b.mul(r, b.int(QUERIES)), j), "f32")
            b.set(best, higher(b, b.get(best), b.load(VECTOR, at)))
        b.store(b.get(best), place)
    return b.finish()
