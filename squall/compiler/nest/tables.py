"""Offset tables: what turns many strided dimensions into one index.

A group of dimensions (rows, columns or k) is walked in row-major order and its element offsets are written to a table;
everything after that sees one flat index. Also the list of contiguous runs of a table, which transposing packers use.
"""

from __future__ import annotations

from squall.compiler.nest.arguments import MAX_DIMS, RECORD
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type


def fill_offsets(lanes: int) -> Function:
    """`fill_offsets(records, count, which, start, length, out)`: offsets of flat indices start ... start + length.

    `which` is the word of the record that holds the stride. Up to `lanes` entries beyond the end are overwritten.
    """
    b = Builder("fill_offsets", (PTR, I64, I64, I64, I64, PTR))
    records, count, which, start, length, out = b.parameters
    positions = b.alloca(I64, MAX_DIMS)
    one, zero = b.int(1), b.int(0)

    def word(d: Reg, index: Reg) -> Reg:
        return b.load(I64, b.gep(records, b.add(b.mul(d, b.int(RECORD)), index), "i64"))

    innermost = b.sub(count, one)
    rest, offset = b.var(start), b.var(zero)
    with b.loop(zero, count) as t:
        d = b.sub(innermost, t)
        extent, left = word(d, b.int(0)), b.get(rest)
        quotient = b.op("div", left, extent)
        position = b.sub(left, b.mul(quotient, extent))
        b.store(position, b.gep(positions, d, "i64"))
        b.set(offset, b.add(b.get(offset), b.mul(position, word(d, which))))
        b.set(rest, quotient)
    extent, stride = word(innermost, zero), word(innermost, which)
    vector = Type("i64", lanes)
    ramp = b.mul(b.iota(vector), b.splat(stride, lanes))
    stride_by_lanes = b.splat(b.mul(stride, b.int(lanes)), lanes)
    at, done = b.var(b.load(I64, b.gep(positions, innermost, "i64"))), b.var(zero)
    runs = b.op("div", b.sub(b.add(b.add(b.get(at), length), extent), one), extent)
    with b.loop(zero, runs):
        take = b.op("min", b.sub(extent, b.get(at)), b.sub(length, b.get(done)))
        value = b.var(b.add(b.splat(b.get(offset), lanes), ramp))
        target = b.gep(out, b.get(done), "i64")
        with b.loop(zero, take, b.int(lanes)) as j:
            b.store(b.get(value), b.gep(target, j, "i64"))
            b.set(value, b.add(b.get(value), stride_by_lanes))
        b.set(done, b.add(b.get(done), take))
        b.set(offset, b.sub(b.get(offset), b.mul(b.get(at), stride)))
        b.set(at, zero)
        carry = b.var(one)
        with b.loop(one, count) as t, b.when(b.compare("ne", b.get(carry), b.int(0))):
            _advance(b, positions, b.sub(innermost, t), word, which, offset, carry)
    return b.finish()


def _advance(b: Builder, positions: Reg, d: Reg, word, which: Reg, offset: Reg, carry: Reg) -> None:
    """Add one to an outer position; wrap to zero and keep the carry when it reaches its extent."""
    slot = b.gep(positions, d, "i64")
    following, extent, stride = b.add(b.load(I64, slot), b.int(1)), word(d, b.int(0)), word(d, which)
    with b.when_else(b.compare("eq", following, extent)) as otherwise:
        b.store(b.int(0), slot)
        b.set(offset, b.sub(b.get(offset), b.mul(b.sub(extent, b.int(1)), stride)))
        otherwise()
        b.store(following, slot)
        b.set(offset, b.add(b.get(offset), stride))
        b.set(carry, b.int(0))


def find_runs() -> Function:
    """`find_runs(table, length, limit, out) -> count`: pairs (start, length <= limit) of consecutive offsets."""
    b = Builder("find_runs", (PTR, I64, I64, PTR), I64)
    table, length, limit, out = b.parameters
    start, count = b.var(b.int(0)), b.var(b.int(0))

    def emit(end: Reg) -> None:
        pair = b.gep(out, b.mul(b.get(count), b.int(2)), "i64")
        b.store(b.get(start), pair)
        b.store(b.sub(end, b.get(start)), b.gep(pair, b.int(1), "i64"))
        b.set(count, b.add(b.get(count), b.int(1)))
        b.set(start, end)

    previous = b.var(b.load(I64, table))
    with b.loop(b.int(1), length) as k:
        here = b.load(I64, b.gep(table, k, "i64"))
        broken = b.compare("ne", here, b.add(b.get(previous), b.int(1)))
        full = b.compare("eq", b.sub(k, b.get(start)), limit)
        with b.when(b.op("or", broken, full)):
            emit(k)
        b.set(previous, here)
    with b.when(b.compare("lt", b.int(0), length)):
        emit(length)
    b.emit("return", None, (b.get(count),))
    return b.finish()


def find_step(lanes: int) -> Function:
    """`find_step(table, length) -> step`: the step between neighbouring offsets if it is the same for all, else 0."""
    b = Builder("find_step", (PTR, I64), I64)
    table, length = b.parameters
    step = b.sub(b.load(I64, b.gep(table, b.int(1), "i64")), b.load(I64, table))
    vector = Type("i64", lanes)
    steps, uneven = b.splat(step, lanes), b.var(b.const(0, vector))
    pairs = b.sub(length, b.int(1))
    with b.loop(b.int(0), pairs, b.int(lanes)) as k:
        here, following = (b.load(vector, b.gep(table, b.add(k, b.int(i)), "i64")) for i in (0, 1))
        other = b.op("xor", b.sub(following, here), steps)
        other = b.select(b.mask_below(b.sub(pairs, k), lanes), other, b.const(0, vector))
        b.set(uneven, b.op("or", b.get(uneven), other))
    even = b.compare("eq", b.reduce(b.get(uneven), "or"), b.int(0))
    even = b.op("and", even, b.compare("gt", length, b.int(1)))
    b.emit("return", None, (b.select(even, step, b.int(0)),))
    return b.finish()


def fill_ramp(b: Builder, out: Reg, length: Reg, step: int | Reg, lanes: int) -> None:
    """Write 0, step, 2 step, ... inline; up to `lanes` entries beyond the end are overwritten."""
    stride = b.int(step) if isinstance(step, int) else step
    value = b.var(b.mul(b.iota(Type("i64", lanes)), b.splat(stride, lanes)))
    advance = b.splat(b.mul(stride, b.int(lanes)), lanes)
    with b.loop(b.int(0), length, b.int(lanes)) as j:
        b.store(b.get(value), b.gep(out, j, "i64"))
        b.set(value, b.add(b.get(value), advance))
