"""Products of attention on matrix tiles: operands in three parts, as `nest.pieces` tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from squall.compiler.attend.softmax import LEAST
from squall.compiler.attend.tiles import KEYS, QUERIES, higher
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

# What is woven in of lines after every four products of tiles, which take about as long: six such times are a step.
WOVEN = (2, 1, 1, 2, 1, 1)
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

    name: of its function. kinds: types of its operands after (low, high), which number its lines. line: writes one line
    from the builder, its number and those operands. grains: how many lines each time.
    """

    name: str
    kinds: tuple[Type, ...]
    line: Callable[[Builder, Reg, tuple], None]
    grains: tuple[int, ...] = WOVEN

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

    def after(self, b: Builder, low: Reg, high: Reg, steps: Reg) -> Reg:
        """The first line left after as many steps."""
        return b.op("min", b.add(low, b.mul(steps, b.int(sum(self.grains)))), high)


class Work:
    """What is woven into a product, while it is written: operands of each weave, and the first line of it that is left.
    """

    def __init__(self, b: Builder, weaves: tuple[Weave, ...], given: list[Reg]):
        self.b, self.weaves, self.given = b, weaves, []
        for weave in weaves:
            count = len(weave.parameters)
            self.given.append((b.var(given[0]), given[1:count]))
            given = given[count:]

    def some(self, number: int) -> None:
        """Lines of one of the six times of a step."""
        b = self.b
        for weave, (done, (end, *rest)) in zip(self.weaves, self.given, strict=True):
            if weave.grains[number]:
                low = b.get(done)
                high = b.op("min", b.add(low, b.int(weave.grains[number])), end)
                weave.lines(b, low, high, tuple(rest))
                b.set(done, high)

    def operands(self) -> tuple[Reg, ...]:
        """What a function that does some of it is called with."""
        return tuple(x for done, rest in self.given for x in (self.b.get(done), *rest))

    def passed(self, steps: Reg) -> None:
        """A function was called that did what comes with so many steps."""
        for weave, (done, rest) in zip(self.weaves, self.given, strict=True):
            self.b.set(done, weave.after(self.b, self.b.get(done), rest[0], steps))

    def finish(self) -> None:
        """What is left, alone."""
        for weave, (done, rest) in zip(self.weaves, self.given, strict=True):
            self.b.call(weave.name, (self.b.get(done), *rest))


def weights(dropped: bool) -> Weave:
    """`split_weights(low, high, scores, shift, totals, target)`: some lines of tiles of B, of the powers of two of
    `KEYS` rows of scores, which are added to `totals`; or of weights as they are, where dropout came between. There are
    32 lines for each 16 columns."""
    return Weave("split_weights", (PTR, PTR, PTR, PTR), partial(_line, dropped=dropped))


def rescale() -> Weave:
    """`rescale(low, high, result, fresh, factors)`: rows of `result` times factors plus `fresh`."""

    def line(b: Builder, number: Reg, given: tuple) -> None:
        result, fresh, factors = given
        at = b.mul(number, b.int(QUERIES))
        for j in range(0, QUERIES, SIDE):
            place, other = (b.gep(p, b.add(at, b.int(j)), "f32") for p in (result, fresh))
            by = b.load(VECTOR, b.gep(factors, b.int(j), "f32"))
            b.store(b.fma(b.load(VECTOR, place), by, b.load(VECTOR, other)), place)

    return Weave("rescale", (PTR, PTR, PTR), line)


def highest_of() -> Weave:
    """`highest_of(low, high, scores, highest)`: the maxima of columns at `highest` are raised (NaN is left out). There
    are 8 lines for each 16 columns of `KEYS` rows."""

    def line(b: Builder, number: Reg, given: tuple) -> None:
        scores, highest = given
        column = b.op("shl", b.op("shr", number, b.int(3)), b.int(4))
        row = b.op("shl", b.op("and", number, b.int(7)), b.int(3))
        place, start = b.gep(highest, column, "f32"), b.gep(scores, b.add(b.op("shl", row, b.int(6)), column), "f32")
        best = b.load(VECTOR, place)
        for r in range(KEYS // 8):
            best = higher(b, best, b.load(VECTOR, b.gep(start, b.int(r * QUERIES), "f32")))
        b.store(best, place)

    return Weave("highest_of", (PTR, PTR), line, (1, 0, 1, 1, 0, 1))


def tiles(name: str, rows: int, columns: int, weaves: tuple[Weave, ...] = (), adds: bool = False) -> Function:
    """`{name}_RxC(a, b, steps, c, bytes between c's rows)`: up to two by two tiles of a product; where it `adds`, added
    one after the other to what c holds. What is woven in has its operands behind."""
    b = Builder(f"{name}_{rows}x{columns}", (PTR, PTR, I64, PTR, I64, *(p for w in weaves for p in w.parameters)))
    a, other, steps, c, stride, *given = b.parameters
    line, results = b.int(4 * SIDE), [(i, j) for i in range(rows) for j in range(columns)]
    apart = b.mul(steps, b.int(PARTS * WORDS))
    work = Work(b, weaves, given)
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
            work.some(number)
    for (i, j), place in zip(results, places, strict=True):
        b.emit("tile", None, (place, stride), ("store", 2 * i + j))
    return b.finish()


def _product(name: str, weaves: tuple[Weave, ...] = ()) -> Function:
    """`{name}(a, b, steps, c, rows, columns)`: a product, by whole tiles; rows of C have `QUERIES` elements. What is
    woven in has its operands behind, and is done in the end."""
    b = Builder(name, (PTR, PTR, I64, PTR, I64, I64, *(p for w in weaves for p in w.parameters)))
    a, other, steps, c, rows, columns, *given = b.parameters
    apart, pair = b.mul(steps, b.int(PARTS * WORDS // SIDE)), b.int(2 * SIDE)
    work = Work(b, weaves, given)
    with b.loop(b.int(0), rows, pair) as i, b.loop(b.int(0), columns, pair) as j:
        operands = (b.gep(a, b.mul(i, apart), "u32"), b.gep(other, b.mul(j, apart), "u32"), steps,
                    b.gep(c, b.add(b.mul(i, b.int(QUERIES)), j), "f32"), b.int(4 * QUERIES))
        tall = b.compare("gt", b.sub(rows, i), b.int(SIDE))
        wide = b.compare("gt", b.sub(columns, j), b.int(SIDE))

        with b.when_else(tall) as low:
            for count in (2, 1):
                with b.when_else(wide) as narrow:
                    if weaves and count == 2:
                        b.call(f"{name}_2x2", (*operands, *work.operands()))
                        work.passed(steps)
                    else:
                        b.call(f"tiles_{count}x2", operands)
                    narrow()
                    b.call(f"tiles_{count}x1", operands)
                if count == 2:
                    low()
    work.finish()
    return b.finish()


def products(dropped: bool) -> list[Function]:
    """`tile_product`; `scores_product`, into which weights and rescaling are woven, `values_product` with weights and
    maxima; each of these alone; what they call."""
    weight, scale, top = weights(dropped), rescale(), highest_of()
    made = [w.function() for w in (weight, scale, top)]
    made += [tiles("tiles", rows, columns) for rows in (1, 2) for columns in (1, 2)]
    made.append(_product("tile_product"))
    for name, other in (("scores_product", scale), ("values_product", top)):
        made += [tiles(name, 2, 2, (weight, other)), _product(name, (weight, other))]
    return made


def add_totals() -> Function:
    """`add_totals(sums, totals, columns)`: totals are added to sums and forgotten."""
    b = Builder("add_totals", (PTR, PTR, I64))
    sums, totals, columns = b.parameters
    with b.loop(b.int(0), columns, b.int(SIDE)) as j:
        place, total = b.gep(sums, j, "f32"), b.gep(totals, j, "f32")
        b.store(b.add(b.load(VECTOR, place), b.load(VECTOR, total)), place)
        b.store(b.const(0.0, VECTOR), total)
    return b.finish()
