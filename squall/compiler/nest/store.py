"""Storing staged tiles: from the stage's rows in the accumulate dtype to C, however C is strided.

Two ways: along the rows of the stage, where columns are contiguous in C (or nothing is), and transposed by squares,
where rows are.
"""

from __future__ import annotations

from squall.compiler.nest.isa import Isa
from squall.compiler.nest.pack import transpose
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type


def unsigned_zero(b: Builder, sums: Reg) -> Reg:
    """A product that underflows may leave -0.0: no sum of the nest is that, `simplify` relies on it."""
    return b.add(sums, b.const(0.0, sums.type)) if sums.type.is_float else sums


def _consecutive(b: Builder, table: Reg, lanes: int) -> Reg:
    """Whether `lanes` entries of an offset table count up by one."""
    held = b.load(Type("i64", lanes), table)
    wanted = b.add(b.iota(Type("i64", lanes)), b.splat(b.load(I64, table), lanes))
    return b.reduce(b.compare("eq", held, wanted), "and")


def _element(b: Builder, stage: Reg, target: Reg, scalar: str, accumulate: str) -> None:
    b.store(b.cast(unsigned_zero(b, b.load(Type(accumulate), stage)), Type(scalar)), target)


def store_rows(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`store_rows(stage, width, rows, columns, c, row_offsets, column_offsets)`; `width` is the stage's row stride."""
    b = Builder("store_rows", (PTR, I64, I64, I64, PTR, PTR, PTR))
    stage, width, rows, columns, c, row_offsets, column_offsets = b.parameters
    lanes = isa.lanes(accumulate)
    with b.loop(b.int(0), columns, b.int(lanes)) as j:
        table, left = b.gep(column_offsets, j, "i64"), b.sub(columns, j)
        whole = b.var(b.compare("ge", left, b.int(lanes)))
        with b.when(b.get(whole)):
            b.set(whole, _consecutive(b, table, lanes))
        first = b.load(I64, table)
        with b.loop(b.int(0), rows) as i:
            source = b.gep(stage, b.add(b.mul(i, width), j), accumulate)
            row = b.gep(c, b.load(I64, b.gep(row_offsets, i, "i64")), scalar)
            with b.when_else(b.get(whole)) as otherwise:
                value = unsigned_zero(b, b.load(Type(accumulate, lanes), source))
                b.store(b.cast(value, Type(scalar, lanes)), b.gep(row, first, scalar))
                otherwise()
                with b.loop(b.int(0), b.op("min", left, b.int(lanes))) as t:
                    offset = b.load(I64, b.gep(table, t, "i64"))
                    _element(b, b.gep(source, t, accumulate), b.gep(row, offset, scalar), scalar, accumulate)
    return b.finish()


def store_lines(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`store_lines`, as `store_rows`: rows of whole vectors whose columns are neighbours, one from end to end after
    another; everything else is left to `store_rows`."""
    b = Builder("store_lines", (PTR, I64, I64, I64, PTR, PTR, PTR))
    stage, width, rows, columns, c, row_offsets, column_offsets = b.parameters
    lanes = isa.lanes(accumulate)
    first = b.load(I64, column_offsets)
    able = b.var(b.compare("eq", b.op("rem", columns, b.int(lanes)), b.int(0)))
    with b.loop(b.int(0), columns, b.int(lanes)) as j, b.when(b.get(able)):
        table = b.gep(column_offsets, j, "i64")
        b.set(able, b.op("and", _consecutive(b, table, lanes),
                         b.compare("eq", b.load(I64, table), b.add(first, j))))
    with b.when_else(b.get(able)) as otherwise:
        with b.loop(b.int(0), rows) as i:
            source = b.gep(stage, b.mul(i, width), accumulate)
            target = b.gep(c, b.add(b.load(I64, b.gep(row_offsets, i, "i64")), first), scalar)
            with b.loop(b.int(0), columns, b.int(lanes)) as j:
                value = unsigned_zero(b, b.load(Type(accumulate, lanes), b.gep(source, j, accumulate)))
                b.store(b.cast(value, Type(scalar, lanes)), b.gep(target, j, scalar))
        otherwise()
        b.call("store_rows", b.parameters)
    return b.finish()


def store_transposed(isa: Isa, scalar: str, accumulate: str) -> Function:
    """`store_transposed(stage, width, rows, columns, c, row_offsets, column_offsets)`: runs of rows in one store."""
    b = Builder("store_transposed", (PTR, I64, I64, I64, PTR, PTR, PTR))
    stage, width, rows, columns, c, row_offsets, column_offsets = b.parameters
    lanes = isa.lanes(accumulate)
    with b.loop(b.int(0), columns, b.int(lanes)) as j, b.loop(b.int(0), rows, b.int(lanes)) as i:
        table = b.gep(row_offsets, i, "i64")
        column_count = b.op("min", b.sub(columns, j), b.int(lanes))
        row_count = b.op("min", b.sub(rows, i), b.int(lanes))
        source = b.gep(stage, b.add(b.mul(i, width), j), accumulate)
        whole = b.var(b.compare("eq", row_count, b.int(lanes)))
        with b.when(b.get(whole)):
            b.set(whole, _consecutive(b, table, lanes))
        with b.when_else(b.get(whole)) as otherwise:
            _store_square(b, isa, scalar, accumulate, source, width, b.gep(c, b.load(I64, table), scalar),
                          b.gep(column_offsets, j, "i64"), column_count)
            otherwise()
            with b.loop(b.int(0), row_count) as r, b.loop(b.int(0), column_count) as t:
                offset = b.add(b.load(I64, b.gep(table, r, "i64")),
                               b.load(I64, b.gep(column_offsets, b.add(j, t), "i64")))
                element = b.gep(source, b.add(b.mul(r, width), t), accumulate)
                _element(b, element, b.gep(c, offset, scalar), scalar, accumulate)
    return b.finish()


def _store_square(b: Builder, isa: Isa, scalar: str, accumulate: str, source: Reg, width: Reg, start: Reg,
                  columns: Reg, count: Reg) -> None:
    """Read a square of the stage (its rows are padded to whole vectors), write its valid columns as rows of C."""
    lanes = isa.lanes(accumulate)
    square = [unsigned_zero(b, b.load(Type(accumulate, lanes), b.gep(source, b.mul(b.int(r), width), accumulate)))
              for r in range(lanes)]
    for t, value in enumerate(transpose(b, square)):
        with b.when(b.compare("lt", b.int(t), count)):
            offset = b.load(I64, b.gep(columns, b.int(t), "i64"))
            b.store(b.cast(value, Type(scalar, lanes)), b.gep(start, offset, scalar))
