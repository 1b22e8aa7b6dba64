"""Attention forward on matrix tiles: one unit is some blocks of queries, which meet the keys together.

    queries, transposed, in parts -> for every block of keys: keys and values, in parts -> for every block of queries:
    scores (a product on tiles) -> masks -> running maximum, powers of two in parts -> result += values by weights

The order of work, and what a query's bits depend on, is that of `forward`; products are those of `pieces`. What comes
with infinities, NaN or numbers that bfloat16 does not reach is multiplied as `forward` does it, a block at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.compiler.attend import pieces, softmax, tiles
from squall.compiler.attend.block import Block, fill, helpers
from squall.compiler.attend.forward import finish_rows, settle_scores, store_result
from squall.compiler.attend.spec import AttentionSpec, Scratch, rounded
from squall.compiler.attend.tiles import KEYS, QUERIES
from squall.compiler.nest.pieces import HUGE, PARTS, SIDE, STEP
from squall.ir.linear import BOOL, I64, Builder, Function, Program, Reg

STATE = ("highest", "held", "sums", "shift", "factors")  # a line of numbers for each block of queries


def program(spec: AttentionSpec) -> Program:
    """The kernel, before expansion."""
    isa, scalar = tiles.target_isa(spec.isa), spec.scalar
    functions = [*tiles.products(isa, scalar, ("product", "scaled"), small=True), *pieces.products(spec.dropout)]
    functions += [pieces.split_lines(), pieces.split_pairs(), pieces.add_totals()]
    functions += [*helpers(spec), softmax.advance(isa, scalar), finish_rows(isa, scalar)]
    functions.append(tiles.turn(isa, scalar, scaled=True))
    return Program((*functions, _Entry(spec).build()), "attention_forward")


def words(features: Any, width: Any, group: int) -> Any:
    """Words of workspace: what `_Entry` takes, with rooms for masks; both sizes are multiples of `STEP`."""
    return group * (160 * features + 64 * width + 336) + 224 * features + 352 * width + 28816


class _Entry:
    """Writes the kernel's entry."""

    def __init__(self, spec: AttentionSpec):
        self.b = b = Builder.kernel("attention_forward")
        b.emit("tile", None, (), ("begin",))
        self.u = u = Block(b, spec)
        self.spec, self.words, self.group = spec, u.words, u.words["group"]
        s = Scratch(b, u.scalar)
        self.features = rounded(b, u.words["features"], STEP)
        self.steps = b.op("shr", self.features, b.int(5))
        self.width = rounded(b, u.words["width"], SIDE)
        f, w, g = self.features, self.width, self.group
        self.line = b.mul(b.int(PARTS), b.op("shr", f, b.int(1)))  # words of a row in parts
        self.turned_q, self.parts_q = s.take(g, f, QUERIES), s.take(g, self.line, QUERIES)
        self.result, self.state = s.take(g, w, QUERIES), s.take(g, len(STATE) * QUERIES)
        self.totals = s.take(QUERIES)
        self.rows, self.rows_k = s.take(QUERIES, b.op("max", f, w)), s.take(KEYS, f)
        self.rows_v, self.turned_v = s.take(KEYS, w), s.take(KEYS, w)
        self.parts_k, self.parts_v = s.take(self.line, KEYS), s.take(w, KEYS // STEP * PARTS * SIDE)
        self.parts_p = s.take(2 * KEYS // STEP * PARTS * SIDE, QUERIES)
        self.scores, self.fresh = s.take(2 * KEYS, QUERIES), s.take(w, QUERIES)
        self.rooms = (s.take(KEYS, QUERIES), s.take(KEYS, QUERIES)) if spec.mask else (None, None)

    def build(self) -> Function:
        """The kernel: units are `group` blocks of queries, of one leading index after the other."""
        b, u = self.b, self.u
        blocks = u.ceiling(u.queries)
        units = b.op("div", b.add(blocks, b.sub(self.group, b.int(1))), self.group)
        with b.loop(b.begin, b.end) as unit:
            self.lead = b.op("div", unit, units)
            number = b.sub(unit, b.mul(self.lead, units))
            if self.spec.causal:  # the longest first
                number = b.sub(b.sub(units, b.int(1)), number)
            self.at = self.words.leads(self.lead)
            u.enter(self.lead)
            block = b.mul(number, self.group)
            self.first = b.mul(block, u.step)
            last = b.op("min", u.queries, b.add(self.first, b.mul(self.group, u.step)))
            self.count = u.ceiling(b.sub(last, self.first))
            self.top_q = b.var(b.int(0))
            fill(b, u.scalar, u.lanes, self.totals, u.step, 0.0)
            self.left = b.var(b.int(0))
            with b.loop(b.int(0), self.count) as g:
                self._begin(*self._block(g))
            most = b.op("min", u.keys, last) if self.spec.causal else u.keys
            with u.meetings(block, most) as (key, keys, whole):
                self._meet(key, keys, whole)
            with b.loop(b.int(0), self.count) as g:
                self._finish(*self._block(g))
        b.emit("tile", None, (), ("end",))
        return b.finish()

    def _block(self, g: Reg) -> tuple[Reg, Reg, Reg, Reg]:
        """A block of queries: its number, first query, how many, and that as whole vectors."""
        b, u = self.b, self.u
        first = b.add(self.first, b.mul(g, u.step))
        rows = b.op("min", b.sub(u.queries, first), u.step)
        return g, first, rows, rounded(b, rows, u.lanes)

    def _of(self, place: Reg, g: Reg, *sizes: Reg | int) -> Reg:
        """What belongs to a block of queries among as much for each."""
        total = g
        for size in sizes:
            total = self.b.mul(total, self.b.int(size) if isinstance(size, int) else size)
        return self.b.gep(place, total, self.u.scalar)

    def _state(self, g: Reg) -> dict[str, Reg]:
        start = self._of(self.state, g, len(STATE) * QUERIES)
        return {name: self.b.gep(start, self.b.int(i * QUERIES), self.u.scalar) for i, name in enumerate(STATE)}

    def _zero_rows(self, place: Reg, low: Reg, high: Reg, width: Reg) -> None:
        b, u = self.b, self.u
        fill(b, u.scalar, u.lanes, b.gep(place, b.mul(low, width), u.scalar), b.mul(b.sub(high, low), width), 0.0)

    def _begin(self, g: Reg, first: Reg, rows: Reg, columns: Reg) -> None:
        """Queries of a block in parts, and nothing attended to."""
        b, u, w = self.b, self.u, self.words
        turned = self._of(self.turned_q, g, self.features, QUERIES)
        with b.when_else(self._lies_whole("q", w["features"], self.features, rows, columns)) as otherwise:
            b.call("turn_scaled", (w.row("q", self.at["q"], first), w["q_row"], turned, u.step, columns, self.features,
                                   u.factor))
            otherwise()
            u.load("q", self.at["q"], first, rows, w["features"], self.features, self.rows, u.factor)
            self._zero_rows(self.rows, rows, columns, self.features)
            b.call("turn", (self.rows, self.features, turned, u.step, columns, self.features))
        parts = self._of(self.parts_q, g, self.line, QUERIES)
        top = b.call("split_pairs", (turned, u.step, self.steps, columns, parts), I64)
        b.set(self.top_q, b.op("max", b.get(self.top_q), top))
        state = self._state(g)
        for name, value in (("highest", softmax.NOTHING), ("held", softmax.NOTHING), ("sums", 0.0)):
            fill(b, u.scalar, u.lanes, state[name], columns, value)
        fill(b, u.scalar, u.lanes, self._of(self.result, g, self.width, QUERIES), b.mul(self.width, u.step), 0.0)

    def _meet(self, key: Reg, keys: Reg, whole: Reg | None) -> None:
        """A block of keys and values in parts, and every block of queries that sees it."""
        b, u = self.b, self.u
        self.key, self.keys, self.whole = key, keys, whole
        largest = b.op("max", b.get(self.top_q), b.op("max", self._keys(), self._values()))
        low = b.int(0)
        if self.spec.causal:
            low = b.op("max", low, b.op("div", b.sub(key, self.first), u.step))
        with b.when_else(b.compare("gt", largest, b.int(HUGE))) as otherwise:
            self._load_keys()
            self._load_values()
            with b.loop(low, self.count) as g:
                self._by_vectors(self._block(g))
            otherwise()
            first, last = (self._block(g) for g in (low, b.sub(self.count, b.int(1))))
            b.call("tile_product", self._scores_of(first))
            self._settle(first)
            b.call("highest_of", self._maxima_of(first))
            self._advance(first)
            with b.loop(low, self.count) as g:
                self._by_tiles(self._block(g), low)
            b.call("rescale", self._result_of(b.sub(last[0], b.int(1)), low))
            b.call("tile_product", self._values_of(last))
            b.call("rescale", self._result_of(last[0], low))

    def _lies_whole(self, tensor: str, size: Reg, width: Reg, rows: Reg, wanted: Reg) -> Reg:
        """Whether rows can be read where they lie: elements side by side, as many and as long as is wanted."""
        b, w = self.b, self.words
        if w.stored(tensor) != self.u.scalar:
            return b.const(False, BOOL)
        long = b.op("and", b.compare("eq", w[f"{tensor}_step"], b.int(1)), b.compare("eq", size, width))
        return b.op("and", long, b.compare("eq", rows, wanted))

    def _keys(self) -> Reg:
        """Keys in parts; the largest size."""
        b, w = self.b, self.words
        place, width = b.var(self.rows_k), b.var(self.features)
        with b.when_else(self._lies_whole("k", w["features"], self.features, self.keys, self.keys)) as otherwise:
            b.set(place, w.row("k", self.at["k"], self.key))
            b.set(width, w["k_row"])
            otherwise()
            self._load_keys()
        return b.call("split_lines", (b.get(place), b.get(width), self.keys, self.steps, self.parts_k), I64)

    def _load_keys(self) -> None:
        self.u.load("k", self.at["k"], self.key, self.keys, self.words["features"], self.features, self.rows_k,
                    self.u.one)

    def _values(self) -> Reg:
        """Values in parts, features by keys; the largest size."""
        b, u, w = self.b, self.u, self.words
        place, width = b.var(self.rows_v), b.var(self.width)
        with b.when_else(self._lies_whole("v", w["width"], self.width, self.keys, u.reach)) as otherwise:
            b.set(place, w.row("v", self.at["v"], self.key))
            b.set(width, w["v_row"])
            otherwise()
            self._load_values()
        b.call("turn", (b.get(place), b.get(width), self.turned_v, u.reach, u.reach, self.width))
        return b.call("split_lines", (self.turned_v, u.reach, self.width, b.int(KEYS // STEP), self.parts_v), I64)

    def _load_values(self) -> None:
        u = self.u
        u.load("v", self.at["v"], self.key, self.keys, self.words["width"], self.width, self.rows_v, u.one)
        self._zero_rows(self.rows_v, self.keys, u.reach, self.width)

    def _scores_at(self, g: Reg) -> Reg:
        """Where the scores of a block are: those of the next are made while these are in use."""
        return self._of(self.scores, self._parity(g), KEYS, QUERIES)

    def _weights_at(self, g: Reg) -> Reg:
        """The same of its weights in parts."""
        return self._of(self.parts_p, self._parity(g), KEYS // STEP * PARTS * SIDE, QUERIES)

    def _parity(self, g: Reg) -> Reg:
        return self.b.op("and", g, self.b.int(1))

    def _scores_of(self, block: tuple) -> tuple[Reg, ...]:
        """What `tile_product` makes a block's scores of."""
        g, _, _, columns = block
        return (self.parts_k, self._of(self.parts_q, g, self.line, QUERIES), self.steps, self._scores_at(g),
                self.keys, columns)

    def _settle(self, block: tuple) -> None:
        """What comes between scores and their maxima: these are left to be raised unless masks raised them."""
        b, u, (g, _, _, columns) = self.b, self.u, block
        end = b.gep(self._scores_at(g), b.mul(self.keys, u.step), u.scalar)
        fill(b, u.scalar, u.lanes, end, b.mul(b.sub(u.reach, self.keys), u.step), softmax.NOTHING)
        b.set(self.left, b.int(0))

        def made(kind: str) -> None:
            if kind == "highest":
                b.set(self.left, b.op("shr", columns, b.int(1)))

        self._settle_scores(block, made)

    def _settle_scores(self, block: tuple, make: Callable[[str], object]) -> None:
        u, (g, first, rows, columns) = self.u, block
        settle_scores(u, make, self.at["mask"] if self.spec.mask else None,
                      (self._scores_at(g), u.step, self.keys, columns, self._state(g)["highest"]),
                      (first, rows, self.key, self.whole), self.rooms)

    def _advance(self, block: tuple) -> None:
        """What comes between maxima and powers of two."""
        b, u, (g, first, _, columns) = self.b, self.u, block
        state, scores = self._state(g), self._scores_at(g)
        b.call("advance", (columns, *(state[name] for name in STATE)))
        if self.spec.dropout:
            b.call("weights", (scores, self.keys, columns, state["shift"], state["sums"]))
            u.dropped(scores, scores, self.keys, columns, b.add(b.mul(self.lead, u.queries), first), self.key)
            end = b.gep(scores, b.mul(self.keys, u.step), u.scalar)
            fill(b, u.scalar, u.lanes, end, b.mul(b.sub(u.reach, self.keys), u.step), 0.0)

    def _by_tiles(self, block: tuple, low: Reg) -> None:
        """Weights of a block: one half while the scores of the next are multiplied, one while values are by the weights
        of the one before. What comes after a product is woven into the next one too: adding to the result after values,
        and maxima after scores."""
        b, (g, _, _, columns) = self.b, block
        whole, before = b.op("shl", columns, b.int(1)), b.sub(g, b.int(2))
        given = self._scores_at(g), self._state(g)["shift"], self.totals, self._weights_at(g)
        halves = (b.int(0), columns, *given), (columns, whole, *given)
        following, previous = (self._block(n) for n in (b.add(g, b.int(1)), b.sub(g, b.int(1))))
        more = b.compare("lt", following[0], self.count)
        with b.when_else(more) as otherwise:
            b.call("scores_product", (*self._scores_of(following), *halves[0], *self._result_of(before, low)))
            self._settle(following)
            otherwise()
            b.call("split_weights", halves[0])
            b.call("rescale", self._result_of(before, low))
            b.set(self.left, b.int(0))
        with b.when_else(b.compare("gt", g, low)) as otherwise:
            b.call("values_product", (*self._values_of(previous), *halves[1], *self._maxima_of(following)))
            otherwise()
            b.call("split_weights", halves[1])
            b.call("highest_of", self._maxima_of(following))
        b.call("add_totals", (self._state(g)["sums"], self.totals, columns))
        with b.when(more):
            self._advance(following)

    def _values_of(self, block: tuple) -> tuple[Reg, ...]:
        """What `tile_product` makes of values by a block's weights."""
        g, _, _, columns = block
        return (self.parts_v, self._weights_at(g), self.b.int(KEYS // STEP), self.fresh, self.width, columns)

    def _result_of(self, g: Reg, low: Reg) -> tuple[Reg, ...]:
        """What `rescale` adds to a block's result; to none if it is before the first."""
        b = self.b
        there = b.compare("ge", g, low)
        at = b.select(there, g, b.int(0))
        return (b.int(0), b.select(there, self.words["width"], b.int(0)),
                self._of(self.result, at, self.width, QUERIES), self.fresh, self._state(at)["factors"])

    def _maxima_of(self, block: tuple) -> tuple[Reg, ...]:
        """What `highest_of` raises the maxima of a block by."""
        b, g = self.b, block[0]
        return b.int(0), b.get(self.left), self._scores_at(g), self._state(g)["highest"]

    def _by_vectors(self, block: tuple) -> None:
        """The same of numbers that have no parts."""
        b, u, w, (g, _, _, columns) = self.b, self.u, self.words, block
        state, scores = self._state(g), self._scores_at(g)
        turned = self._of(self.turned_q, g, self.features, QUERIES)
        b.set(self.left, b.int(0))

        def make(kind: str) -> None:
            b.call("product", (self.rows_k, self.features, b.int(1), turned, u.step, w["features"], scores, u.step,
                               self.keys, columns, state["highest"]))
            if kind == "highest":
                b.set(self.left, b.op("shr", columns, b.int(1)))

        end = b.gep(scores, b.mul(self.keys, u.step), u.scalar)
        fill(b, u.scalar, u.lanes, end, b.mul(b.sub(u.reach, self.keys), u.step), softmax.NOTHING)
        self._settle_scores(block, make)
        b.call("highest_of", self._maxima_of(block))
        self._advance(block)
        if not self.spec.dropout:
            b.call("weights", (scores, self.keys, columns, state["shift"], state["sums"]))
        b.call("scaled", (self.rows_v, b.int(1), self.width, scores, u.step, self.keys,
                          self._of(self.result, g, self.width, QUERIES), u.step, w["width"], columns,
                          state["factors"]))

    def _finish(self, g: Reg, first: Reg, rows: Reg, columns: Reg) -> None:
        """Store a block's result."""
        b, u, w, state = self.b, self.u, self.words, self._state(g)
        result = self._of(self.result, g, self.width, QUERIES)
        b.call("finish_rows", (result, w["width"], columns, state["held"], state["sums"], state["shift"]))
        store_result(u, w.row("out", self.at["out"], first), b.add(b.mul(self.lead, u.queries), first), rows, columns,
                     (result, self.rows, state["shift"]))
