"""Attention backward: one unit is all queries and keys of one leading index.

Block of queries after block of queries, each past the keys block by block:

    scores and weights again, by the sums that forward left -> values' gradients += weights by gradients of the result
    -> gradients of weights, of scores (a product) -> keys' gradients += those by queries, queries' += those by keys

The gradients of keys and values are added up in workspace over ascending queries, those of queries over ascending keys:
their order is a function of the sizes alone. Nothing grows but with the number of keys.
"""

from __future__ import annotations

from squall.compiler.attend import modify, softmax, tiles
from squall.compiler.attend.block import Block, fill, helpers
from squall.compiler.attend.spec import AttentionSpec, Scratch, rounded
from squall.compiler.attend.tiles import KEYS, QUERIES
from squall.compiler.nest.pieces import STEP
from squall.ir.linear import Builder, Function, Program, Reg
from squall.ops.scalar_program import is_input


def program(spec: AttentionSpec) -> Program:
    """The backward kernel, before expansion."""
    return Program((*functions(spec), entry(spec)), "attention_backward")


def functions(spec: AttentionSpec, small: bool = False) -> list[Function]:
    """What `by_vectors` calls; `small` where it is rarely called."""
    isa, scalar = tiles.target_isa(spec.isa), spec.scalar
    made = tiles.products(isa, scalar, ("product", "add") if spec.dropout else ("product", "add", "graded"), small)
    made += [*helpers(spec), softmax.begin_backward(isa, scalar)]
    made += [softmax.slopes(isa, scalar)] if spec.dropout or (spec.tiles and is_changed(spec)) else []
    return made + ([modify.change(isa, scalar, spec.flex)] if spec.flex and is_changed(spec) else [])


def is_changed(spec: AttentionSpec) -> bool:
    """Whether gradients of scores are not those of what they were made of."""
    return bool(spec.flex and spec.flex.score and not is_input(spec.flex.change, "gradient"))


class Space:
    """The workspace of a unit."""

    def __init__(self, u: Block, s: Scratch):
        spec, b = u.spec, u.b
        f, w = u.features, u.width
        self.rows_q, self.turned_q, self.rows_k = s.take(QUERIES, f), s.take(QUERIES, f), s.take(KEYS, f)
        self.rows_g, self.turned_g, self.turned_out = (s.take(QUERIES, w) for _ in range(3))
        self.rows_v = None if u.in_place else s.take(KEYS, w)
        self.space, self.over_q = s.take(QUERIES, b.op("max", f, w)), s.take(QUERIES, f)
        self.scores = s.take(KEYS, QUERIES)
        self.dropped, self.slopes = (s.take(KEYS, QUERIES), s.take(KEYS, QUERIES)) if spec.dropout else (None, None)
        self.mask, self.turned_mask = (s.take(KEYS, QUERIES), s.take(KEYS, QUERIES)) if spec.mask else (None, None)
        self.raw = s.take(KEYS, QUERIES) if is_changed(spec) else None
        self.ignored, self.shift, self.deltas = (s.take(QUERIES) for _ in range(3))
        whole = STEP if spec.tiles else 1  # tiles keep theirs here as well
        self.over_k, self.over_v = (s.take(u.keys, rounded(b, size, whole)) for size in (f, w))


def entry(spec: AttentionSpec) -> Function:
    """The kernel: units are leading indices."""
    b = Builder.kernel("attention_backward")
    u = Block(b, spec)
    s = Space(u, Scratch(b, u.scalar))
    with b.loop(b.begin, b.end) as lead:
        at = u.words.leads(lead)
        u.enter(lead)
        by_vectors(u, s, at, lead)
    return b.finish()


def by_vectors(u: Block, s: Space, at: dict, lead: Reg) -> None:
    """All queries and keys of a leading index."""
    b, w = u.b, u.words
    fill(b, u.scalar, u.lanes, s.over_k, b.mul(u.keys, u.features), 0.0)
    fill(b, u.scalar, u.lanes, s.over_v, b.mul(u.keys, u.width), 0.0)
    with b.loop(b.int(0), u.queries, u.step) as first:
        rows = b.op("min", b.sub(u.queries, first), u.step)
        columns = rounded(b, rows, u.lanes)
        _load_queries(u, b, s, at, b.mul(lead, u.queries), first, rows, columns, u.factor)
        fill(b, u.scalar, u.lanes, s.over_q, b.mul(rows, u.features), 0.0)
        most = b.op("min", u.keys, b.add(first, rows)) if u.spec.causal else u.keys
        with u.meetings(b.op("div", first, u.step), most) as (key, keys, whole):
            _weights(u, b, s, at, first, rows, columns, key, keys, whole)
            _gradients(u, b, s, at, lead, first, rows, columns, key, keys)
        b.call("store_rows", (s.over_q, u.features, rows, w["features"], w.row("gq", at["gq"], first),
                              w["gq_row"], w["gq_step"], w["scale"]))
    store_keys(u, at, s.over_k, u.features, s.over_v, u.width)


def store_keys(u: Block, at: dict, over_k: Reg, features: Reg, over_v: Reg, width: Reg) -> None:
    """Store the gradients of keys and values, which lie in rows of `features` and of `width`."""
    b, w = u.b, u.words
    b.call("store_rows", (over_k, features, u.keys, w["features"], at["gk"], w["gk_row"], w["gk_step"], w["scale"]))
    b.call("store_rows", (over_v, width, u.keys, w["width"], at["gv"], w["gv_row"], w["gv_step"], u.one))


def _load_queries(u: Block, b: Builder, s: Space, at: dict, base: Reg, first: Reg, rows: Reg, columns: Reg,
                  factor: Reg) -> None:
    """Queries, gradients and results of a block, as rows and as columns, and what `begin_backward` makes of them."""
    w, left = u.words, b.sub(columns, rows)

    def turned(tensor: str, size: Reg, width: Reg, rows_at: Reg, target: Reg, factor: Reg) -> None:
        u.load(tensor, at[tensor], first, rows, size, width, rows_at, factor)
        fill(b, u.scalar, u.lanes, b.gep(rows_at, b.mul(rows, width), u.scalar), b.mul(left, width), 0.0)
        b.call("turn", (rows_at, width, target, u.step, columns, width))

    turned("q", w["features"], u.features, s.space, s.turned_q, factor)
    u.load("q", at["q"], first, rows, w["features"], u.features, s.rows_q, u.one)
    turned("out", w["width"], u.width, s.space, s.turned_out, u.one)
    turned("g", w["width"], u.width, s.rows_g, s.turned_g, u.one)
    sums = b.gep(w["lse"], b.add(base, first), u.scalar)
    b.call("begin_backward", (s.turned_g, s.turned_out, w["width"], rows, columns, sums, s.shift, s.deltas))


def _weights(u: Block, b: Builder, s: Space, at: dict, first: Reg, rows: Reg, columns: Reg, key: Reg,
             keys: Reg, whole: Reg | None) -> None:
    """The weights of a block, keys by queries, before dropout."""
    w = u.words
    u.load("k", at["k"], key, keys, w["features"], u.features, s.rows_k, u.one)
    raw = s.scores if s.raw is None else s.raw
    b.call("product", (s.rows_k, u.features, b.int(1), s.turned_q, u.step, w["features"], raw, u.step, keys,
                       columns, s.ignored))
    ahead = b.sub(key, first)
    if u.spec.flex:
        u.modified(raw, s.scores, s.ignored, keys, columns, first, key, whole)
    elif u.spec.mask:
        mask = u.score_mask(at["mask"], first, rows, key, keys, s.mask, s.turned_mask)
        b.call("adjust", (s.scores, keys, columns, s.ignored, ahead, *mask))
    elif u.spec.causal:
        with b.when(b.compare("gt", b.add(key, keys), first)):
            b.call("adjust", (s.scores, keys, columns, s.ignored, ahead, *u.no_mask()))
    b.call("weights", (s.scores, keys, columns, s.shift, s.ignored))


def _gradients(u: Block, b: Builder, s: Space, at: dict, lead: Reg, first: Reg, rows: Reg, columns: Reg, key: Reg,
               keys: Reg) -> None:
    """Add what a block of weights gives the gradients of values, keys and queries."""
    w, one, weights = u.words, b.int(1), s.scores
    row = b.add(b.mul(lead, u.queries), first)
    if u.spec.dropout:
        u.dropped(s.scores, s.dropped, keys, columns, row, key)
        weights = s.dropped
    over_v = b.gep(s.over_v, b.mul(key, u.width), u.scalar)
    b.call("add", (weights, u.step, one, s.rows_g, u.width, rows, over_v, u.width, keys, u.width, s.ignored))
    values = u.lying("v", at["v"], key, keys, s.rows_v)
    ends = (keys, columns, s.deltas)
    if u.spec.dropout:
        b.call("product", (*values, s.turned_g, u.step, w["width"], s.slopes, u.step, *ends))
        u.dropped(s.slopes, s.slopes, keys, columns, row, key)
        b.call("slopes", (s.scores, s.slopes, *ends))
    else:
        b.call("graded", (*values, s.turned_g, u.step, w["width"], s.scores, u.step, *ends))
    if s.raw is not None:
        b.call("change", (s.raw, s.scores, *u.where(keys, columns, first, key)))
    over_k = b.gep(s.over_k, b.mul(key, u.features), u.scalar)
    b.call("add", (s.scores, u.step, one, s.rows_q, u.features, rows, over_k, u.features, keys, u.features, s.ignored))
    b.call("add", (s.scores, one, u.step, s.rows_k, u.features, keys, s.over_q, u.features, rows, u.features,
                   s.ignored))
