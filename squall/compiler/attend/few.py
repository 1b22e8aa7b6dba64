"""Attention forward of few queries: one unit is a stretch of keys, as decoding with a cache of keys needs it.

    queries -> scores, a row for each query (dot products) -> masks -> their maximum, powers of two, their sum
    -> += weights by values (a product) -> what it all counts once all stretches are known

Stretches have one size whatever the machine, and `combine` adds them up in ascending order: so neither threads nor who
is free reach the bits. Dot products have `SPREAD` bytes of lanes on every machine, halved until one is left. Blocks of
keys that a mask leaves out are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from squall.compiler.attend import tiles
from squall.compiler.attend.block import Block, fill
from squall.compiler.attend.dots import dots, halved, lanes_of
from squall.compiler.attend.softmax import LOG2_E, NOTHING, power
from squall.compiler.attend.spec import AttentionSpec, Scratch, Words, rounded
from squall.compiler.attend.tiles import KEYS
from squall.compiler.nest.isa import Isa
from squall.ir.linear import I64, PTR, Builder, Function, Program, Reg, Type

FEW = 16  # queries at most
STRETCH = 256  # keys of a unit
ROW = STRETCH + KEYS  # of scores: tiles of dot products end beyond the last
BESIDE = 2  # numbers that a query's partial result holds beside its sums: maximum, and sum of powers


def program(spec: AttentionSpec) -> Program:
    """The kernel over stretches of keys, before expansion."""
    isa, scalar = tiles.target_isa(spec.isa), spec.scalar
    loaded = dict.fromkeys((spec.stored, *((spec.mask,) if spec.mask else ())))
    functions = [tiles.load_rows(isa, s, scalar, f"load_{s}") for s in loaded]
    functions += [*tiles.products(isa, scalar, ("following",)), *dots(isa, scalar), tiles.fetch(spec.stored)]
    functions += [_soften(isa, scalar), *([_seen(isa, scalar), _add(isa, scalar)] if spec.mask else [])]
    return Program((*functions, *_ends(spec), entry(spec)), "attention_few")


def combine_program(spec: AttentionSpec) -> Program:
    """The kernel that adds up the stretches of each leading index, before expansion."""
    b = Builder.kernel("attention_combine")
    w = Words(b, spec)
    queries, width = w["queries"], rounded(b, w["width"], lanes_of(spec.scalar))
    space = Scratch(b, spec.scalar)
    rows_out, logs = space.take(b.int(FEW), width), space.take(FEW)
    stretches, record = _stretches(b, w["keys"]), _record(b, queries, width)
    with b.loop(b.begin, b.end) as lead:
        partial = b.gep(w["partial"], b.mul(lead, b.mul(stretches, record)), spec.scalar)
        b.call("settle", (partial, stretches, record, queries, width, rows_out, logs))
        _store(b, w, lead, rows_out, logs, width)
    return Program((*_ends(spec), b.finish()), "attention_combine")


def _ends(spec: AttentionSpec) -> tuple[Function, Function]:
    isa, scalar = tiles.target_isa(spec.isa), spec.scalar
    return _settle(isa, scalar), tiles.store_rows(isa, scalar, scalar)


def _stretches(b: Builder, keys: Reg) -> Reg:
    """How many stretches keys make: without keys one."""
    return b.op("max", b.op("div", b.add(keys, b.int(STRETCH - 1)), b.int(STRETCH)), b.int(1))


def _record(b: Builder, queries: Reg, width: Reg) -> Reg:
    """Elements of a stretch's partial results."""
    return b.mul(queries, b.add(width, b.int(BESIDE)))


class _Unit:
    """The registers of the entry: sizes, and places in workspace."""

    def __init__(self, b: Builder, spec: AttentionSpec):
        self.b, self.u = b, Block(b, spec)
        self.spread = lanes_of(spec.scalar)
        w = self.u.words
        self.features = rounded(b, w["features"], self.spread)
        self.width = rounded(b, w["width"], self.spread)
        s = Scratch(b, spec.scalar)
        self.q, self.scores = s.take(b.int(FEW), self.features), s.take(FEW, ROW)
        self.masks = s.take(FEW, STRETCH) if spec.mask else None
        self.rows_out, self.logs = s.take(b.int(FEW), self.width), s.take(4 * FEW)
        self.own = s.take(b.int(FEW), b.add(self.width, b.int(self.spread)))
        self.room = s.take(b.int(KEYS), b.op("max", self.features, self.width))

    def lying(self, tensor: str, start: Reg, first: Reg, rows: Reg, most: Reg) -> tuple[Reg, Reg]:
        """Rows of keys or values, their elements side by side and whole vectors: where they lie, or in workspace.
        Those that come next are asked for."""
        u, b = self.u, self.b
        w, (size, width) = u.words, ("features", self.features) if tensor == "k" else ("width", self.width)
        place, stride = b.var(w.row(tensor, start, first)), b.var(w[f"{tensor}_row"])
        dense = b.op("and", b.compare("eq", w[f"{tensor}_step"], b.int(1)), b.compare("eq", w[size], width))
        if not u.in_place:
            dense = b.const(False, dense.type)
        with b.when(b.op("not", dense)):
            following = b.add(first, rows)
            b.call("fetch", (w.row(tensor, start, following), w[f"{tensor}_row"],
                             b.op("min", b.sub(most, following), b.int(KEYS)), w[size]))
            u.load(tensor, start, first, rows, w[size], width, self.room, u.one)
            b.set(place, self.room)
            b.set(stride, width)
        return b.get(place), b.get(stride)


def entry(spec: AttentionSpec) -> Function:
    """The kernel: units are stretches of keys, of one leading index after the other."""
    b = Builder.kernel("attention_few")
    x = _Unit(b, spec)
    u, w, scalar = x.u, x.u.words, spec.scalar
    queries, stretches = u.queries, _stretches(b, u.keys)
    record = _record(b, queries, x.width)
    alone = b.compare("eq", stretches, b.int(1))
    with b.loop(b.begin, b.end) as unit:
        lead = b.op("div", unit, stretches)
        first = b.mul(b.sub(unit, b.mul(lead, stretches)), b.int(STRETCH))
        most = b.op("min", u.keys, b.add(first, b.int(STRETCH)))
        if spec.causal:  # the last query sees as many keys as there are queries
            most = b.op("max", b.op("min", most, queries), first)
        at, count = w.leads(lead), b.sub(most, first)
        u.load("q", at["q"], b.int(0), queries, w["features"], x.features, x.q, u.factor)
        partial = b.select(alone, x.own, b.gep(w["partial"], b.mul(unit, record), scalar))
        fill(b, scalar, u.lanes, partial, b.mul(queries, x.width), 0.0)
        tops = b.gep(partial, b.mul(queries, x.width), scalar)
        mask_row = _masks(x, b, at, first, count) if spec.mask else b.int(0)
        _scores(x, b, at, first, most, mask_row)
        with b.loop(b.int(0), queries) as i:
            line, seen = b.gep(x.scores, b.mul(i, b.int(ROW)), scalar), count
            if spec.mask:
                b.call("add_mask", (line, b.gep(x.masks, b.mul(i, mask_row), scalar), count))
            if spec.causal:
                seen = b.op("max", b.op("min", count, b.sub(b.add(i, b.int(1)), first)), b.int(0))
            b.call("soften", (line, seen, count, b.gep(tops, i, scalar), b.gep(tops, b.add(queries, i), scalar)))
        with _blocks(x, b, first, most, mask_row) as (key, rows, line):
            v, v_row = x.lying("v", at["v"], key, rows, most)
            b.call("following", (line, b.int(ROW), b.int(1), v, v_row, rows, partial, x.width, queries,
                                 x.width, x.own))
        with b.when(alone):
            b.call("settle", (partial, b.int(1), record, queries, x.width, x.rows_out, x.logs))
            _store(b, w, lead, x.rows_out, x.logs, x.width)
    return b.finish()


def _masks(x: _Unit, b: Builder, at: dict, first: Reg, count: Reg) -> Reg:
    """Load the masks of a stretch, a row for each query or one for all; elements from row to row."""
    w, spec = x.u.words, x.u.spec
    alike = b.compare("eq", w["mask_row"], b.int(0))
    rows = b.select(alike, b.int(1), x.u.queries)
    where = b.gep(at["mask"], b.mul(first, w["mask_step"]), spec.mask)
    b.call(f"load_{spec.mask}", (where, w["mask_row"], w["mask_step"], rows, count, x.masks, b.int(STRETCH),
                                 b.const(LOG2_E, Type(spec.scalar))))
    return b.select(alike, b.int(0), b.int(STRETCH))


@contextmanager
def _blocks(x: _Unit, b: Builder, first: Reg, most: Reg, mask_row: Reg) -> Iterator[tuple[Reg, Reg, Reg]]:
    """Past the blocks of keys of a stretch, without those a mask leaves out: first key, how many, their scores."""
    spec = x.u.spec
    with b.loop(first, most, b.int(KEYS)) as key:
        rows, at = b.op("min", b.sub(most, key), b.int(KEYS)), b.sub(key, first)
        line = b.gep(x.scores, at, spec.scalar)
        if not spec.mask:
            yield key, rows, line
            return
        masks = b.select(b.compare("eq", mask_row, b.int(0)), b.int(1), x.u.queries)
        seen = b.call("seen", (b.gep(x.masks, at, spec.scalar), masks, rows), I64)
        with b.when(b.compare("ne", seen, b.int(0))):
            yield key, rows, line


def _scores(x: _Unit, b: Builder, at: dict, first: Reg, most: Reg, mask_row: Reg) -> None:
    """The scores of a stretch before masks; minus infinity where a mask leaves out whole blocks."""
    if x.u.spec.mask:
        fill(b, x.u.scalar, x.u.lanes, x.scores, b.mul(x.u.queries, b.int(ROW)), NOTHING)
    with _blocks(x, b, first, most, mask_row) as (key, rows, line):
        k, k_row = x.lying("k", at["k"], key, rows, most)
        b.call("dots", (x.q, x.features, k, k_row, line, b.int(ROW), x.u.queries, rows))


def _store(b: Builder, w: Words, lead: Reg, rows_out: Reg, logs: Reg, width: Reg) -> None:
    """Store the result of a leading index, and the logarithms of its rows' sums."""
    spec, queries = w.spec, w["queries"]
    b.call("store_rows", (rows_out, width, queries, w["width"], w.leads(lead)["out"], w["out_row"], w["out_step"],
                          b.const(1.0, Type(spec.scalar))))
    target = b.gep(w["lse"], b.mul(lead, queries), spec.scalar)
    with b.loop(b.int(0), queries) as i:
        b.store(b.load(Type(spec.scalar), b.gep(logs, i, spec.scalar)), b.gep(target, i, spec.scalar))


def _add(isa: Isa, scalar: str) -> Function:
    """`add_mask(line, mask, count)`: masks are added to scores."""
    b = Builder("add_mask", (PTR, PTR, I64))
    line, mask, count = b.parameters
    vector = isa.vector(scalar)
    with b.loop(b.int(0), count, b.int(vector.lanes)) as j:
        place = b.gep(line, j, scalar)
        b.store(b.add(b.load(vector, place), b.load(vector, b.gep(mask, j, scalar))), place)
    return b.finish()


def _seen(isa: Isa, scalar: str) -> Function:
    """`seen(masks, rows, count) -> i64`: how many of the rows of masks leave a key."""
    b = Builder("seen", (PTR, I64, I64), I64)
    masks, rows, count = b.parameters
    vector = isa.vector(scalar)
    found = b.var(b.int(0))
    with b.loop(b.int(0), rows) as i:
        line, most = b.gep(masks, b.mul(i, b.int(STRETCH)), scalar), b.var(b.const(0.0, vector))
        with b.loop(b.int(0), count, b.int(vector.lanes)) as j:
            left = b.compare("ne", b.load(vector, b.gep(line, j, scalar)), b.const(NOTHING, vector))
            left = b.op("and", left, b.mask_below(b.sub(count, j), vector.lanes))
            b.set(most, b.select(left, b.const(1.0, vector), b.get(most)))
        one = b.reduce(b.get(most), "max")
        b.set(found, b.add(b.get(found), b.cast(one, I64)))
    b.emit("return", None, (b.get(found),))
    return b.finish()


def _soften(isa: Isa, scalar: str) -> Function:
    """`soften(line, seen, count, top, total)`: the first `seen` scores of a row become powers of two below their
    maximum, the rest up to `count`, and to whole vectors, 0; the maximum and the powers' sum are left."""
    b = Builder("soften", (PTR, I64, I64, PTR, PTR))
    line, seen, count, top, total = b.parameters
    vector, one = isa.vector(scalar), Type(scalar)
    spread, lanes = lanes_of(scalar), vector.lanes
    nothing, end = b.const(NOTHING, vector), rounded(b, count, spread)
    with b.loop(seen, end) as j:
        b.store(b.const(NOTHING, one), b.gep(line, j, scalar))
    parts = range(0, spread, lanes)
    tops, sums = [b.var(nothing) for _ in parts], [b.var(b.const(0.0, vector)) for _ in parts]
    with b.loop(b.int(0), end, b.int(spread)) as j:
        for part, best in zip(parts, tops, strict=True):
            b.set(best, tiles.higher(b, b.get(best), b.load(vector, b.gep(line, b.add(j, b.int(part)), scalar))))
    most = b.get(tops[0])
    for best in tops[1:]:
        most = tiles.higher(b, most, b.get(best))
    most = b.reduce(most, "max")
    safe = b.splat(b.select(b.compare("eq", most, b.const(NOTHING, one)), b.const(0.0, one), most), lanes)
    with b.loop(b.int(0), end, b.int(spread)) as j:
        for part, whole in zip(parts, sums, strict=True):
            place = b.gep(line, b.add(j, b.int(part)), scalar)
            value = power(b, b.sub(b.load(vector, place), safe))
            b.store(value, place)
            b.set(whole, b.add(b.get(whole), value))
    b.store(most, top)
    b.store(b.reduce(halved(b, [b.get(whole) for whole in sums]), "add"), total)
    return b.finish()


def _settle(isa: Isa, scalar: str) -> Function:
    """`settle(partial, stretches, record, queries, width, rows, logs)`: a leading index's result, rows of `width`, and
    the base-2 logarithms of its rows' sums, from the partial results of its stretches; 0 where nothing was seen."""
    b = Builder("settle", (PTR, I64, I64, I64, I64, PTR, PTR))
    partial, stretches, record, queries, width, rows, logs = b.parameters
    vector, one = isa.vector(scalar), Type(scalar)
    nothing, zero, unit = b.const(NOTHING, one), b.const(0.0, one), b.const(1.0, one)
    tops = b.gep(partial, b.mul(queries, width), scalar)
    with b.loop(b.int(0), queries) as i:
        most, total = b.var(nothing), b.var(zero)
        with b.loop(b.int(0), stretches) as s:
            top = b.load(one, b.gep(tops, b.add(b.mul(s, record), i), scalar))
            b.set(most, tiles.higher(b, b.get(most), top))
        top = b.get(most)
        safe = b.select(b.compare("eq", top, nothing), zero, top)
        with b.loop(b.int(0), stretches) as s:  # what a stretch counts takes the place of its maximum
            place = b.gep(tops, b.add(b.mul(s, record), i), scalar)
            factor = power(b, b.sub(b.load(one, place), safe))
            b.store(factor, place)
            b.set(total, b.fma(factor, b.load(one, b.gep(place, queries, scalar)), b.get(total)))
        dead = b.compare("eq", b.get(total), zero)
        sure = b.select(dead, unit, b.get(total))
        b.store(b.select(dead, nothing, b.add(top, b.op("log2", sure))), b.gep(logs, i, scalar))
        share = b.splat(b.select(dead, zero, b.op("div", unit, sure)), vector.lanes)
        line = b.mul(i, width)
        with b.loop(b.int(0), width, b.int(vector.lanes)) as j:
            whole = b.var(b.const(0.0, vector))
            with b.loop(b.int(0), stretches) as s:
                start = b.mul(s, record)
                factor = b.splat(b.load(one, b.gep(tops, b.add(start, i), scalar)), vector.lanes)
                part = b.load(vector, b.gep(partial, b.add(start, b.add(line, j)), scalar))
                b.set(whole, b.fma(factor, part, b.get(whole)))
            b.store(b.mul(b.get(whole), share), b.gep(rows, b.add(line, j), scalar))
    return b.finish()
