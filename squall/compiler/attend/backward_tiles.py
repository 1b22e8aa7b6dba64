"""Attention backward on matrix tiles: one unit is all queries and keys of one leading index.

    some blocks of queries, in parts -> for every block of keys: keys and values, in parts -> for every such block of
    queries, as in `backward`: scores, gradients of weights -> weights, in parts -> gradients of scores, in parts
    -> gradients of values, keys and queries

Weights are woven into the products of scores before and after them, gradients of scores into those of gradients.
Sums go on inside tiles over `GROUP` blocks of queries (gradients of keys and values) or of keys (of queries), and are
then added up in ascending order; so a result is a matter of the sizes alone. A leading index with infinities, NaN, or
numbers that are so small or large that parts lose what they are made of, and one of few queries or keys, is computed
by vectors, as `backward` does it.
"""

from __future__ import annotations

from typing import Any

from squall.compiler.attend import backward, pieces, pieces_backward, tiles
from squall.compiler.attend.block import Block, fill
from squall.compiler.attend.pieces_backward import SLOPES, STEPS, WEIGHTS
from squall.compiler.attend.spec import AttentionSpec, Scratch, rounded
from squall.compiler.attend.tiles import KEYS, QUERIES
from squall.compiler.nest.pieces import PARTS, STEP
from squall.ir.linear import I64, Builder, Function, Program, Reg

GROUP = 8  # blocks of queries for which keys and values are put into parts once; blocks whose sums tiles hold
FEWEST = 33  # queries and keys of a block that is worth tiles
WORD = PARTS * STEPS  # words in parts of a block, for each 16 of the other dimension: lines of them
ONE, FAR = 127 << 23, 90 << 23  # exponents of 1.0 and of how far sizes, and products of them, may be from it


def program(spec: AttentionSpec) -> Program:
    """The kernel, before expansion."""
    made = [*backward.functions(spec, small=True), pieces.split_lines(), pieces.split_pairs()]
    made += pieces_backward.block_products(spec.dropout, backward.is_changed(spec))
    made += [pieces.add_totals(), pieces_backward.blank(), pieces_backward.begin_rows()]
    made.append(tiles.turn(tiles.target_isa(spec.isa), spec.scalar, scaled=True))
    made += [pieces_backward.largest(s) for s in dict.fromkeys((spec.stored, spec.scalar))]
    return Program((*made, _Entry(spec).build()), "attention_backward")


def words(features: Any, width: Any) -> Any:
    """Words of workspace beside that of `backward`: what `_Entry` takes, with all rooms; sizes are multiples of
    `STEP`."""
    group = GROUP * (320 * features + 192 * width + 128)
    return group + 512 * features + 384 * width + 15 * KEYS * QUERIES


class _Entry:
    """Writes the kernel's entry."""

    def __init__(self, spec: AttentionSpec):
        self.b = b = Builder.kernel("attention_backward")
        b.emit("tile", None, (), ("begin",))
        self.u = u = Block(b, spec)
        self.spec, self.words, self.changed = spec, u.words, backward.is_changed(spec)
        self.group = 1 if spec.flex and spec.flex.listed else GROUP  # each has a list of its own
        s = Scratch(b, u.scalar)
        self.space = space = backward.Space(u, s)
        self.over_k, self.over_v = space.over_k, space.over_v
        f = self.features = rounded(b, u.words["features"], STEP)
        w = self.width = rounded(b, u.words["width"], STEP)
        self.steps_f, self.steps_w = (b.op("shr", size, b.int(5)) for size in (f, w))
        self.line_f, self.line_w = (b.mul(size, b.int(PARTS * QUERIES // 2)) for size in (f, w))
        g = self.group
        self.turned_parts_q, self.parts_q = s.take(g, self.line_f), s.take(g, self.line_f)
        self.turned_parts_g, self.parts_g = s.take(g, self.line_w), s.take(g, self.line_w)
        self.fresh_q, self.over_q = s.take(g * QUERIES, f), s.take(g * QUERIES, f)
        self.shift, self.deltas = s.take(g * QUERIES), s.take(g * QUERIES)
        self.parts_k, self.turned_parts_k, self.parts_v = s.take(self.line_f), s.take(self.line_f), s.take(self.line_w)
        self.fresh_k, self.fresh_v = s.take(KEYS, f), s.take(KEYS, w)
        size = b.op("max", f, w)
        self.rows, self.turned, self.out = (s.take(QUERIES, size) for _ in range(3))
        self.scores, self.slopes = s.take(2 * KEYS * QUERIES), s.take(2 * KEYS * QUERIES)
        self.parts_p, self.pairs = s.take(KEYS * QUERIES * PARTS // 2), s.take(KEYS * QUERIES * PARTS // 2)
        self.lines = s.take(KEYS * QUERIES * PARTS)
        self.dropped = s.take(2 * KEYS * QUERIES) if spec.dropout else None
        self.raw = s.take(2 * KEYS * QUERIES) if self.changed else None

    def build(self) -> Function:
        """The kernel: units are leading indices."""
        b, u = self.b, self.u
        with b.loop(b.begin, b.end) as lead:
            self.lead, self.at = lead, self.words.leads(lead)
            u.enter(lead)
            with b.when_else(self._have_parts()) as otherwise:
                self._by_tiles()
                otherwise()
                backward.by_vectors(u, self.space, self.at, lead)
        b.emit("tile", None, (), ("end",))
        return b.finish()

    def _have_parts(self) -> Reg:
        """Whether all numbers and products of them are of a size of which parts lose nothing, and there are enough."""
        b, u, w = self.b, self.u, self.words
        sizes = []
        for tensor, rows, columns in (("q", u.queries, "features"), ("k", u.keys, "features"), ("v", u.keys, "width"),
                                      ("g", u.queries, "width")):
            found = b.call(f"largest_{w.stored(tensor)}", (self.at[tensor], w[f"{tensor}_row"], w[f"{tensor}_step"],
                                                           rows, w[columns]), I64)
            none = b.compare("eq", found, b.int(0))
            sizes.append(b.select(none, b.int(0), b.sub(found, b.int(ONE))))
        q, k, v, g = sizes
        slope = b.add(v, g)
        made = b.compare("ge", b.op("min", u.queries, u.keys), b.int(FEWEST))
        for size in (*sizes, slope, b.add(slope, q), b.add(slope, k)):
            made = b.op("and", made, b.compare("lt", b.op("abs", size), b.int(FAR)))
        return made

    def _of(self, place: Reg, g: Reg, *sizes: Reg | int) -> Reg:
        """What belongs to a block of queries among as much for each."""
        total = g
        for size in sizes:
            total = self.b.mul(total, self.b.int(size) if isinstance(size, int) else size)
        return self.b.gep(place, total, self.u.scalar)

    def _parity(self, place: Reg, g: Reg, size: int = KEYS * QUERIES) -> Reg:
        """The same where there is only room for a block and the next."""
        return self._of(place, self.b.op("and", g, self.b.int(1)), size)

    def _clear(self, place: Reg, count: Reg) -> None:
        fill(self.b, self.u.scalar, self.u.lanes, place, count, 0.0)

    def _by_tiles(self) -> None:
        """All queries and keys of a leading index."""
        b, u = self.b, self.u
        self._clear(self.over_k, b.mul(u.keys, self.features))
        self._clear(self.over_v, b.mul(u.keys, self.width))
        self._clear(self.fresh_k, b.mul(u.reach, self.features))
        self._clear(self.fresh_v, b.mul(u.reach, self.width))
        with b.loop(b.int(0), u.queries, b.int(QUERIES * self.group)) as first:
            last = b.op("min", u.queries, b.add(first, b.int(QUERIES * self.group)))
            self.first, self.count = first, u.ceiling(b.sub(last, first))
            size = b.mul(b.mul(self.count, u.step), self.features)
            self._clear(self.fresh_q, size)
            self._clear(self.over_q, size)
            with b.loop(b.int(0), self.count) as g:
                self._begin(g)
            most = b.op("min", u.keys, last) if self.spec.causal else u.keys
            met = b.var(b.int(0))
            with u.meetings(b.op("shr", first, b.int(6)), most) as (key, keys, whole):
                self.key, self.keys, self.whole = key, keys, whole
                self._meet()
                b.set(met, b.add(b.get(met), b.int(1)))
                with b.when(b.compare("eq", b.op("and", b.get(met), b.int(GROUP - 1)), b.int(0))):
                    self._gather_queries()
            self._gather_queries()
            with b.loop(b.int(0), self.count) as g:
                self._finish(g)
        backward.store_keys(u, self.at, self.over_k, self.features, self.over_v, self.width)

    def _rows_of(self, g: Reg) -> tuple[Reg, Reg]:
        """First query of a block, and how many there are."""
        b, u = self.b, self.u
        first = b.add(self.first, b.mul(g, u.step))
        return first, b.op("min", b.sub(u.queries, first), u.step)

    def _load(self, tensor: str, first: Reg, rows: Reg, target: Reg) -> Reg:
        """Rows of a block, with zeros for those that there are not; the size of a row."""
        b, u = self.b, self.u
        size, width = self._size(tensor)
        u.load(tensor, self.at[tensor], first, rows, size, width, target, u.one)
        self._clear(b.gep(target, b.mul(rows, width), u.scalar), b.mul(b.sub(u.step, rows), width))
        return width

    def _size(self, tensor: str) -> tuple[Reg, Reg]:
        """Elements of a tensor's row, and that in whole steps."""
        if tensor in "qk":
            return self.words["features"], self.features
        return self.words["width"], self.width

    def _lying(self, tensor: str, first: Reg, rows: Reg) -> tuple[Reg, Reg]:
        """The same rows as they are: address and size of a row. They are read where they lie if all of them are there
        and need no converting."""
        b, u, w, (size, whole) = self.b, self.u, self.words, self._size(tensor)
        if w.stored(tensor) != u.scalar:
            return self.rows, self._load(tensor, first, rows, self.rows)
        place, width = b.var(self.rows), b.var(whole)
        direct = b.op("and", b.compare("eq", w[f"{tensor}_step"], b.int(1)), b.compare("eq", size, whole))
        with b.when_else(b.op("and", direct, b.compare("eq", rows, u.step))) as otherwise:
            b.set(place, w.row(tensor, self.at[tensor], first))
            b.set(width, w[f"{tensor}_row"])
            otherwise()
            self._load(tensor, first, rows, self.rows)
        return b.get(place), b.get(width)

    def _turn(self, rows: Reg, width: Reg, size: Reg) -> None:
        self.b.call("turn", (rows, width, self.turned, self.u.step, self.u.step, size))

    def _begin(self, g: Reg) -> None:
        """Queries, and gradients of results, of a block in parts, by both of their dimensions."""
        b, u, w = self.b, self.u, self.words
        first, rows = self._rows_of(g)
        where, width = self._lying("q", first, rows)
        b.call("turn_scaled", (where, width, self.turned, u.step, u.step, self.features, u.factor))
        self._pairs(self.turned, u.step, self.steps_f, u.step, self._of(self.turned_parts_q, g, self.line_f))
        self._pairs(where, width, b.int(STEPS), self.features, self._of(self.parts_q, g, self.line_f))
        self._load("out", first, rows, self.out)
        where, width = self._lying("g", first, rows)
        self._turn(where, width, self.width)
        self._pairs(self.turned, u.step, self.steps_w, u.step, self._of(self.turned_parts_g, g, self.line_w))
        self._pairs(where, width, b.int(STEPS), self.width, self._of(self.parts_g, g, self.line_w))
        sums = b.gep(w["lse"], b.add(b.mul(self.lead, u.queries), first), u.scalar)
        b.call("begin_rows", (where, width, self.out, self.width, rows, sums, self._of(self.shift, g, QUERIES),
                              self._of(self.deltas, g, QUERIES)))

    def _pairs(self, *given: Reg) -> None:
        self.b.call("split_pairs", given, I64)

    def _meet(self) -> None:
        """A block of keys and values, and every block of queries that sees it."""
        b, u = self.b, self.u
        where, width = self._lying("k", self.key, self.keys)
        self._turn(where, width, self.features)
        b.call("split_lines", (where, width, u.reach, self.steps_f, self.parts_k), I64)
        b.call("split_lines", (self.turned, u.reach, self.features, b.int(STEPS), self.turned_parts_k), I64)
        where, width = self._lying("v", self.key, self.keys)
        b.call("split_lines", (where, width, u.reach, self.steps_w, self.parts_v), I64)
        low = b.int(0)
        if self.spec.causal:
            low = b.op("max", low, b.op("div", b.sub(self.key, self.first), u.step))
        b.call("block_product", self._scores_of(low))
        self._settle(low)
        b.call("block_product", self._slopes_of(low))
        self._settle_slopes(low)
        with b.loop(low, self.count) as g:
            self._next(g, low)
        last = b.sub(self.count, b.int(1))
        b.call("block_added", self._queries_of(last))
        b.call("block_added", self._keys_of(last))
        for over, fresh, width in ((self.over_k, self.fresh_k, self.features), (self.over_v, self.fresh_v, self.width)):
            b.call("add_totals", (b.gep(over, b.mul(self.key, width), u.scalar), fresh, b.mul(self.keys, width)))

    # the operands of the five products
    def _scores_of(self, g: Reg) -> tuple[Reg, ...]:
        u, target = self.u, self.scores if self.raw is None else self.raw
        return (self.parts_k, self._of(self.turned_parts_q, g, self.line_f), self.steps_f, self._parity(target, g),
                u.step, u.reach, u.step)

    def _slopes_of(self, g: Reg) -> tuple[Reg, ...]:
        u = self.u
        return (self.parts_v, self._of(self.turned_parts_g, g, self.line_w), self.steps_w,
                self._parity(self.slopes, g), u.step, u.reach, u.step)

    def _values_of(self, g: Reg) -> tuple[Reg, ...]:
        return (self.parts_p, self._of(self.parts_g, g, self.line_w), self.b.int(STEPS), self.fresh_v, self.width,
                self.u.reach, self.width)

    def _keys_of(self, g: Reg) -> tuple[Reg, ...]:
        return (self._lines_at(g), self._of(self.parts_q, g, self.line_f), self.b.int(STEPS), self.fresh_k,
                self.features, self.u.reach, self.features)

    def _queries_of(self, g: Reg) -> tuple[Reg, ...]:
        u = self.u
        return (self.turned_parts_k, self.pairs, self.b.int(STEPS), self._of(self.fresh_q, g, self.features, QUERIES),
                u.step, self.features, u.step)

    def _lines_at(self, g: Reg) -> Reg:
        """Gradients of scores as tiles of A: those of a block are in use while the next ones are made."""
        return self._parity(self.lines, g, KEYS * QUERIES * PARTS // 2)

    def _settle(self, g: Reg) -> None:
        """What comes between scores and weights."""
        b, u, spec = self.b, self.u, self.spec
        (first, rows), scores, ignored = self._rows_of(g), self._parity(self.scores, g), self.space.ignored
        ahead = b.sub(self.key, first)
        if spec.flex:
            raw = scores if self.raw is None else self._parity(self.raw, g)
            u.modified(raw, scores, ignored, self.keys, u.step, first, self.key, self.whole)
        elif spec.mask:
            mask = u.score_mask(self.at["mask"], first, rows, self.key, self.keys, self.space.mask,
                                self.space.turned_mask)
            b.call("adjust", (scores, self.keys, u.step, ignored, ahead, *mask))
        elif spec.causal:
            with b.when(b.compare("gt", b.add(self.key, self.keys), first)):
                b.call("adjust", (scores, self.keys, u.step, ignored, ahead, *u.no_mask()))
        with b.when(b.compare("lt", b.op("min", rows, self.keys), u.step)):
            b.call("blank", (scores, self.keys, rows))
        if spec.dropout:
            b.call("weights", (scores, u.reach, u.step, self._of(self.shift, g, QUERIES), ignored))
            u.dropped(scores, self._parity(self.dropped, g), u.reach, u.step, self._row_of(first), self.key)

    def _row_of(self, first: Reg) -> Reg:
        return self.b.add(self.b.mul(self.lead, self.u.queries), first)

    def _settle_slopes(self, g: Reg) -> None:
        """What comes between gradients of weights and those of scores."""
        u = self.u
        if self.spec.dropout:
            slopes = self._parity(self.slopes, g)
            u.dropped(slopes, slopes, u.reach, u.step, self._row_of(self._rows_of(g)[0]), self.key)

    def _next(self, g: Reg, low: Reg) -> None:
        """Weights and gradients of a block, while tiles multiply what is ready."""
        b = self.b
        following, previous = b.add(g, b.int(1)), b.sub(g, b.int(1))
        held = self._parity(self.scores if self.dropped is None else self.dropped, g)
        weights = (held, self._of(self.shift, g, QUERIES), self.parts_p)
        third = WEIGHTS // 3
        bounds = [b.int(n) for n in (0, third, 2 * third, WEIGHTS)]
        with b.when_else(b.compare("lt", following, self.count)) as otherwise:
            b.call("weights_product", (*self._scores_of(following), bounds[0], bounds[1], *weights))
            self._settle(following)
            b.call("weights_product", (*self._slopes_of(following), bounds[1], bounds[2], *weights))
            self._settle_slopes(following)
            otherwise()
            b.call("split_weights", (bounds[0], bounds[2], *weights))
        before = b.compare("gt", g, low)
        self._woven(before, "weights_added", "split_weights", self._queries_of(previous), (*bounds[2:], *weights))
        slopes = self._slopes(g)
        half, end = b.int(SLOPES // 2), b.int(SLOPES)
        b.call("slopes_added", (*self._values_of(g), b.int(0), half, *slopes))
        self._woven(before, "slopes_added", "split_slopes", self._keys_of(previous), (half, end, *slopes))

    def _woven(self, there: Reg, name: str, alone: str, given: tuple, work: tuple) -> None:
        """Some work, woven into a product if there is one."""
        b = self.b
        with b.when_else(there) as otherwise:
            b.call(name, (*given, *work))
            otherwise()
            b.call(alone, work)

    def _slopes(self, g: Reg) -> tuple[Reg, ...]:
        """What gradients of scores are made of; those that the user's function changes are made here."""
        b, u = self.b, self.u
        scores, slopes, deltas = self._parity(self.scores, g), self._parity(self.slopes, g), \
            self._of(self.deltas, g, QUERIES)
        if self.raw is not None:
            b.call("slopes", (scores, slopes, u.reach, u.step, deltas))
            given = (self._parity(self.raw, g), scores)
            b.call("change", (*given, *u.where(self.keys, u.step, self._rows_of(g)[0], self.key)))
        return scores, slopes, deltas, self._lines_at(g), self.pairs

    def _gather_queries(self) -> None:
        """Sums of queries' gradients are added up."""
        b = self.b
        b.call("add_totals", (self.over_q, self.fresh_q, b.mul(b.mul(self.count, b.int(QUERIES)), self.features)))

    def _finish(self, g: Reg) -> None:
        """Store the gradients of a block of queries, which lie features by queries."""
        b, u, w = self.b, self.u, self.words
        first, rows = self._rows_of(g)
        over, size = self._of(self.over_q, g, self.features, QUERIES), self.features
        b.call("turn", (over, u.step, self.rows, size, size, u.step))
        b.call("store_rows", (self.rows, self.features, rows, w["features"], w.row("gq", self.at["gq"], first),
                              w["gq_row"], w["gq_step"], w["scale"]))
