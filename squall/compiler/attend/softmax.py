"""The softmax inside a block of scores: every query is a lane, so that nothing is ever reduced across lanes.

Scores are in units of ln 2: queries are multiplied by `scale * log2(e)` as they are loaded.
"""

from __future__ import annotations

from squall.compiler.attend.tiles import QUERIES, higher
from squall.compiler.lower_random import philox_block
from squall.compiler.math_exp import EXP2
from squall.compiler.math_lanes import BIAS, Lanes
from squall.compiler.nest.isa import Isa
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

LEAST = {"f32": -126.0, "f64": -1022.0}  # below it a power of two counts as 0: nothing underflows
NOTHING = float("-inf")
LOG2_E = 1.4426950408889634


def power(b: Builder, x: Reg) -> Reg:
    """2**x of x that is not above 1; 0 for minus infinity, NaN for NaN."""
    lanes = Lanes(b, x.type)
    number, held = lanes.rounded(x, 1.0, BIAS[lanes.scalar])
    curve = lanes.polynomial(lanes.sub(x, number), EXP2[lanes.scalar], (1.0,))
    return lanes.select(lanes.below(x, LEAST[lanes.scalar]), lanes.at(0.0), lanes.mul(curve, lanes.power_of_two(held)))


def advance(isa: Isa, scalar: str) -> Function:
    """`advance(columns, highest, held, sums, shift, factors)`: the running maximum `held` meets a block's, which is
    forgotten; `shift` is what to subtract from the block's scores, `factors` what earlier sums count from now on."""
    b = Builder("advance", (I64, PTR, PTR, PTR, PTR, PTR))
    columns, *places = b.parameters
    vector = isa.vector(scalar)
    with b.loop(b.int(0), columns, b.int(vector.lanes)) as j:
        highest, held, sums, shift, factors = (b.gep(p, j, scalar) for p in places)
        nothing = b.const(NOTHING, vector)
        old = b.load(vector, held)
        new = higher(b, old, b.load(vector, highest))
        safe = b.select(b.compare("eq", new, nothing), b.const(0.0, vector), new)
        factor = power(b, b.sub(old, safe))
        b.store(nothing, highest)
        b.store(new, held)
        b.store(safe, shift)
        b.store(factor, factors)
        b.store(b.mul(b.load(vector, sums), factor), sums)
    return b.finish()


def weights(isa: Isa, scalar: str) -> Function:
    """`weights(scores, keys, columns, shift, sums)`: scores become powers of two, whose sums are added to `sums`."""
    b = Builder("weights", (PTR, I64, I64, PTR, PTR))
    scores, keys, columns, shift, sums = b.parameters
    vector, vectors = isa.vector(scalar), 2
    wide = b.sub(columns, b.op("rem", columns, b.int(vectors * vector.lanes)))
    for low, high, count in ((b.int(0), wide, vectors), (wide, columns, 1)):
        with b.loop(low, high, b.int(count * vector.lanes)) as j:
            at = [b.add(j, b.int(i * vector.lanes)) for i in range(count)]
            shifts = [b.load(vector, b.gep(shift, t, scalar)) for t in at]
            totals = [b.var(b.const(0.0, vector)) for _ in at]
            with b.loop(b.int(0), keys) as r:
                row = b.gep(scores, b.mul(r, b.int(QUERIES)), scalar)
                for t, down, total in zip(at, shifts, totals, strict=True):
                    place = b.gep(row, t, scalar)
                    value = power(b, b.sub(b.load(vector, place), down))
                    b.store(value, place)
                    b.set(total, b.add(b.get(total), value))
            for t, total in zip(at, totals, strict=True):
                place = b.gep(sums, t, scalar)
                b.store(b.add(b.load(vector, place), b.get(total)), place)
    return b.finish()


def slopes(isa: Isa, scalar: str) -> Function:
    """`slopes(weights, gradients, keys, columns, deltas)`: gradients of scores take the weights' place, where those of
    weights do not come from a product as they are."""
    b = Builder("slopes", (PTR, PTR, I64, I64, PTR))
    held, gradients, keys, columns, deltas = b.parameters
    vector = isa.vector(scalar)
    with b.loop(b.int(0), columns, b.int(vector.lanes)) as j:
        delta = b.load(vector, b.gep(deltas, j, scalar))
        with b.loop(b.int(0), keys) as r:
            at = b.add(b.mul(r, b.int(QUERIES)), j)
            slope = b.sub(b.load(vector, b.gep(gradients, at, scalar)), delta)
            place = b.gep(held, at, scalar)
            b.store(b.mul(b.load(vector, place), slope), place)
    return b.finish()


def begin_backward(isa: Isa, scalar: str) -> Function:
    """`begin_backward(gradient, result, width, rows, columns, sums, shift, deltas)`: what backward needs of each
    query. From the logarithm of its sum: the `shift` of its scores, such that all weights are 0 where there was nothing
    to attend to, and beyond the rows. From gradient and result, features by queries: their product, `deltas`."""
    b = Builder("begin_backward", (PTR, PTR, I64, I64, I64, PTR, PTR, PTR))
    gradient, result, width, rows, columns, sums, shift, deltas = b.parameters
    vector, one = isa.vector(scalar), Type(scalar)
    with b.loop(b.int(0), rows) as i:
        value = b.load(one, b.gep(sums, i, scalar))
        dead = b.compare("eq", value, b.const(NOTHING, one))
        b.store(b.select(dead, b.const(-NOTHING, one), value), b.gep(shift, i, scalar))
    with b.loop(rows, columns) as i:
        b.store(b.const(-NOTHING, one), b.gep(shift, i, scalar))
    with b.loop(b.int(0), columns, b.int(vector.lanes)) as j:
        total = b.var(b.const(0.0, vector))
        with b.loop(b.int(0), width) as d:
            at = b.add(b.mul(d, b.int(QUERIES)), j)
            pair = [b.load(vector, b.gep(p, at, scalar)) for p in (gradient, result)]
            b.set(total, b.fma(*pair, b.get(total)))
        b.store(b.get(total), b.gep(deltas, j, scalar))
    return b.finish()


def adjust(isa: Isa, scalar: str, causal: bool, mask: bool) -> Function:
    """`adjust(scores, keys, columns, highest, ahead, mask, mask_row, mask_step)`: masks are added to scores, those of
    later keys become minus infinity (key r comes after query c when `r + ahead > c`), and `highest` is raised."""
    b = Builder("adjust", (PTR, I64, I64, PTR, I64, PTR, I64, I64))
    scores, keys, columns, highest, ahead, given, mask_row, mask_step = b.parameters
    vector = isa.vector(scalar)
    small = Type("i32", vector.lanes)
    with b.loop(b.int(0), columns, b.int(vector.lanes)) as j:
        top = b.var(b.load(vector, b.gep(highest, j, scalar)))
        number = b.add(b.iota(small), b.splat(b.cast(j, Type("i32")), vector.lanes))
        with b.loop(b.int(0), keys) as r:
            place = b.gep(scores, b.add(b.mul(r, b.int(QUERIES)), j), scalar)
            value = b.load(vector, place)
            if mask:
                line = b.gep(given, b.mul(r, mask_row), scalar)
                whole = b.var(b.const(0.0, vector))
                with b.when_else(b.compare("eq", mask_step, b.int(0))) as otherwise:
                    b.set(whole, b.splat(b.load(Type(scalar), line), vector.lanes))
                    otherwise()
                    b.set(whole, b.load(vector, b.gep(line, j, scalar)))
                value = b.add(value, b.get(whole))
            if causal:
                position = b.splat(b.cast(b.add(r, ahead), Type("i32")), vector.lanes)
                value = b.select(b.compare("ge", number, position), value, b.const(NOTHING, vector))
            b.store(value, place)
            b.set(top, higher(b, b.get(top), value))
        b.store(b.get(top), b.gep(highest, j, scalar))
    return b.finish()


def drop(isa: Isa, scalar: str) -> Function:
    """`drop(source, target, keys, columns, seed, offset, row, row_blocks, block, threshold, factor)`: what random bits
    of a score are below the threshold becomes 0, the rest is multiplied. The bits of query c and key r are word `r % 4`
    of counter `offset + (row + c) * row_blocks + block + r // 4`."""
    b = Builder("drop", (PTR, PTR, I64, I64, I64, I64, I64, I64, I64, I64, Type(scalar)))
    source, target, keys, columns, seed, offset, row, row_blocks, block, threshold, factor = b.parameters
    vector = isa.vector(scalar)
    wide, word = Type("i64", vector.lanes), Type("u32", vector.lanes)
    limit = b.splat(b.cast(threshold, Type("u32")), vector.lanes)
    with b.loop(b.int(0), columns, b.int(vector.lanes)) as j:
        queries = b.add(b.splat(b.add(row, j), vector.lanes), b.iota(wide))
        counters = b.add(b.splat(b.add(offset, block), vector.lanes), b.mul(queries, b.splat(row_blocks, vector.lanes)))
        with b.loop(b.int(0), keys, b.int(4)) as r:
            step = b.splat(b.op("shr", r, b.int(2)), vector.lanes)
            drawn = philox_block(b, b.splat(seed, vector.lanes), b.add(counters, step))
            for k, bits in enumerate(drawn):
                key = b.add(r, b.int(k))
                with b.when(b.compare("lt", key, keys)):
                    at = b.add(b.mul(key, b.int(QUERIES)), j)
                    kept = b.compare("ge", b.bitcast(bits, word), limit)
                    value = b.mul(b.load(vector, b.gep(source, at, scalar)), b.splat(factor, vector.lanes))
                    b.store(b.select(kept, value, b.const(0.0, vector)), b.gep(target, at, scalar))
    return b.finish()
