"""Attention forward: one unit is a block of queries, which meets the keys block by block.

    queries, transposed -> scores, keys by queries (a product) -> masks -> running maximum, powers of two, their sums
    -> result, transposed, += values by weights (a product)

Every query is a lane from the scores to the result. Nothing is kept but the result and the logarithm of each row's sum.
"""

from __future__ import annotations

from collections.abc import Callable

from squall.compiler.attend import softmax, tiles
from squall.compiler.attend.block import Block, fill, helpers
from squall.compiler.attend.spec import AttentionSpec, Scratch, rounded
from squall.compiler.attend.tiles import KEYS, QUERIES
from squall.ir.linear import I64, PTR, Builder, Function, Program, Reg, Type

FEW = 16  # queries that meet keys and values faster than they come from memory


def program(spec: AttentionSpec) -> Program:
    """The forward kernel, before expansion."""
    isa, scalar = tiles.target_isa(spec.isa), spec.scalar
    functions = tiles.products(isa, scalar, ("product", "scaled", "highest"))
    functions += [*helpers(spec), softmax.advance(isa, scalar), finish_rows(isa, scalar)]
    functions += [tiles.fetch(spec.stored), entry(spec)]
    return Program(tuple(functions), "attention_forward")


def entry(spec: AttentionSpec) -> Function:
    """The kernel: units are blocks of queries, of one leading index after the other."""
    b = Builder.kernel("attention_forward")
    u = Block(b, spec)
    w, s, lanes = u.words, Scratch(b, u.scalar), u.lanes
    rows_q, turned_q = s.take(QUERIES, u.features), s.take(QUERIES, u.features)
    highest, held, sums, shift, factors = (s.take(QUERIES) for _ in range(5))
    scores, result, rows_out = s.take(KEYS, QUERIES), s.take(QUERIES, u.width), s.take(QUERIES, u.width)
    space, turned = (s.take(KEYS, QUERIES), s.take(KEYS, QUERIES)) if spec.mask else (None, None)
    room_k, room_v = (None, None) if u.in_place else (s.take(KEYS, u.features), s.take(KEYS, u.width))
    blocks = u.ceiling(u.queries)
    with b.loop(b.begin, b.end) as unit:
        lead = b.op("div", unit, blocks)
        number = b.sub(unit, b.mul(lead, blocks))
        if spec.causal:  # the longest first
            number = b.sub(b.sub(blocks, b.int(1)), number)
        at = w.leads(lead)
        u.enter(lead)
        first = b.mul(number, u.step)
        rows = b.op("min", b.sub(u.queries, first), u.step)
        columns = rounded(b, rows, u.lanes)
        u.load("q", at["q"], first, rows, w["features"], u.features, rows_q, u.factor)
        end = b.gep(rows_q, b.mul(rows, u.features), u.scalar)
        fill(b, u.scalar, lanes, end, b.mul(b.sub(columns, rows), u.features), 0.0)
        b.call("turn", (rows_q, u.features, turned_q, u.step, columns, u.features))
        for place, value in ((highest, softmax.NOTHING), (held, softmax.NOTHING), (sums, 0.0)):
            fill(b, u.scalar, lanes, place, columns, value)
        fill(b, u.scalar, lanes, result, b.mul(u.width, u.step), 0.0)
        most = b.op("min", u.keys, b.add(first, rows)) if spec.causal else u.keys
        with u.meetings(number, most) as (key, keys, whole):
            with b.when(b.compare("le", rows, b.int(FEW))):
                _fetch_next(u, b, at, key, most)
            k = u.lying("k", at["k"], key, keys, room_k)
            product = (*k, turned_q, u.step, w["features"], scores, u.step, keys, columns, highest)
            settle_scores(u, lambda kind, product=product: b.call(kind, product), at["mask"] if spec.mask else None,
                          product[-5:], (first, rows, key, whole), (space, turned))
            b.call("advance", (columns, highest, held, sums, shift, factors))
            b.call("weights", (scores, keys, columns, shift, sums))
            if spec.dropout:
                u.dropped(scores, scores, keys, columns, b.add(b.mul(lead, u.queries), first), key)
            start, row, step = u.lying("v", at["v"], key, keys, room_v)
            b.call("scaled", (start, step, row, scores, u.step, keys, result, u.step, w["width"], columns,
                                      factors))
        b.call("finish_rows", (result, w["width"], columns, held, sums, shift))
        store_result(u, w.row("out", at["out"], first), b.add(b.mul(lead, u.queries), first), rows, columns,
               (result, rows_out, shift))
    return b.finish()


def settle_scores(u: Block, make: Callable[[str], object], mask_at: Reg | None, where: tuple, place: tuple,
                  rooms: tuple) -> None:
    """The scores of a block after masks and the user's functions, and the maximum they raise.

    Args:
        make: writes the product; "highest" raises the maxima as well, "product" does not. where: the scores, width of
        their rows, keys, columns, maxima. place: the block's first query, how many, its first key, whether all of it is
        kept. rooms: for masks.
    """
    b, (scores, _, keys, columns, highest) = u.b, where
    first, rows, key, whole = place
    ahead = b.sub(key, first)
    if u.spec.flex:
        make("product")
        u.modified(scores, scores, highest, keys, columns, first, key, whole)
    elif mask_at is not None:
        make("product")
        b.call("adjust", (scores, keys, columns, highest, ahead, *u.score_mask(mask_at, first, rows, key, keys,
                                                                               *rooms)))
    elif u.spec.causal:
        with b.when_else(b.compare("gt", b.add(key, keys), first)) as otherwise:
            make("product")
            b.call("adjust", (scores, keys, columns, highest, ahead, *u.no_mask()))
            otherwise()
            make("highest")
    else:
        make("highest")


def _fetch_next(u: Block, b: Builder, at: dict, key: Reg, most: Reg) -> None:
    """Ask for the next block of keys and values: few queries take no longer with a block than memory does."""
    w, start = u.words, b.add(key, u.reach)
    rows = b.op("min", b.sub(most, start), u.reach)
    for tensor, size in (("k", "features"), ("v", "width")):
        b.call("fetch", (w.row(tensor, at[tensor], start), w[f"{tensor}_row"], rows, w[size]))


def store_result(u: Block, out: Reg, row: Reg, rows: Reg, columns: Reg, places: tuple) -> None:
    """Store a block's result, which lies features by queries, and the logarithms of its rows' sums."""
    b, w, (result, rows_out, logs) = u.b, u.words, places
    whole = b.op("and", b.compare("eq", w["out_step"], b.int(1)), b.compare("eq", w["width"], u.width))
    with b.when_else(b.op("and", whole, b.compare("eq", rows, columns))) as otherwise:
        b.call("turn", (result, u.step, out, w["out_row"], u.width, columns))
        otherwise()
        b.call("turn", (result, u.step, rows_out, u.width, u.width, columns))
        b.call("store_rows", (rows_out, u.width, rows, w["width"], out, w["out_row"], w["out_step"], u.one))
    target = b.gep(w["lse"], row, u.scalar)
    with b.loop(b.int(0), rows) as i:
        b.store(b.load(Type(u.scalar), b.gep(logs, i, u.scalar)), b.gep(target, i, u.scalar))


def finish_rows(isa: tiles.Isa, scalar: str) -> Function:
    """`finish_rows(result, width, columns, held, sums, logs)`: divide by the sums (0 where nothing was attended to),
    and leave the base-2 logarithms of the rows' sums."""
    b = Builder("finish_rows", (PTR, I64, I64, PTR, PTR, PTR))
    result, width, columns, held, sums, logs = b.parameters
    vector = isa.vector(scalar)
    zero, one = b.const(0.0, vector), b.const(1.0, vector)
    with b.loop(b.int(0), columns, b.int(vector.lanes)) as j:
        total, top = b.load(vector, b.gep(sums, j, scalar)), b.load(vector, b.gep(held, j, scalar))
        dead = b.compare("eq", total, zero)
        whole = b.add(top, b.op("log2", b.select(dead, one, total)))
        b.store(b.select(dead, b.const(softmax.NOTHING, vector), whole), b.gep(logs, j, scalar))
        share = b.select(dead, zero, b.op("div", one, b.select(dead, one, total)))
        with b.loop(b.int(0), width) as d:
            place = b.gep(result, b.add(b.mul(d, b.int(QUERIES)), j), scalar)
            b.store(b.add(b.mul(b.load(vector, place), share), zero), place)  # no zeros with a sign
    return b.finish()
