"""Contractions whose tables would cost more than their multiply-adds: one row against a packed B, and a few elements.

The driver fills tables of offsets, which pays where they are used more than once. What is written here needs none:
strides are read from the args. Every sum is the same chain in ascending k as in a tile, so the bits are the same.

One row: a tile of one row and one panel has as many chains of multiply-adds as a panel has vectors, too few to hide how
long each takes. Here the vectors of neighbouring panels go along together, as fast as the second-level cache delivers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.compiler.nest import arguments as words
from squall.compiler.nest.arguments import Arguments
from squall.compiler.nest.common import Library, batch_offsets, ceiling
from squall.compiler.nest.isa import Isa
from squall.compiler.nest.microkernel import finish_tile, finish_vectors, multiply_add
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type

if TYPE_CHECKING:
    from squall.compiler.nest.choose import Choice
    from squall.compiler.nest.spec import Contraction

LINE = "line"
CHAINS, STEPS = 8, 4  # vectors that go along together, and steps of k in a turn of the loop
MOST_PRODUCTS = 160  # multiply-adds of what is tiny


def path_of(contraction: Contraction, isa: Isa, choice: Choice, a_step: int) -> int:
    """The path of a choice: a word of its args."""
    oriented = choice.oriented
    batch, rows, columns, depth = (oriented.extent(kind) for kind in ("batch", "m", "n", "k"))
    plain = not contraction.triangle and contraction.dtype == contraction.accumulate and not choice.sweep_rows
    if not plain or choice.c_mode not in (words.DIRECT, words.EPILOGUE) or not batch * rows * columns * depth:
        return words.GENERAL
    one_unit = rows <= min(choice.block_rows, isa.tile.rows) and columns <= choice.part_columns <= choice.block_columns
    one_each = all(len(oriented.groups[kind]) == 1 for kind in "mnk")
    if rows * columns * depth <= MOST_PRODUCTS and one_unit and one_each and depth <= choice.block_depth:
        return words.TINY
    if rows == 1 and choice.b_mode == words.PREPACKED and choice.a_mode == words.IN_PLACE and (a_step or depth == 1):
        return words.ONE_ROW
    return words.GENERAL


def line(isa: Isa, accumulate: str) -> Function:
    """`line(a, a's k step, packed, depth, c, columns, add)`: a row of A against `depth` steps of packed panels.

    `columns` need not fill the last panel; `add`: to what C holds.
    """
    b = Builder(LINE, (PTR, I64, PTR, I64, PTR, I64, I64))
    a, a_step, packed, depth, c, columns, add = b.parameters
    vector, width, vectors = isa.vector(accumulate), isa.columns(accumulate), b.int(isa.tile.vectors)
    lanes, apart = b.int(vector.lanes), b.mul(b.int(width), depth)
    total = ceiling(b, columns, lanes)
    kept, adding, no_rows = b.alloca(vector, CHAINS), b.compare("ne", add, b.int(0)), b.alloca(I64, 1)
    b.store(b.int(0), no_rows)

    def walk(begin: Reg, end: Reg, steps: int, apart: Reg) -> None:
        with b.loop(begin, end, b.int(steps)) as k:
            for i in range(steps):
                at = b.add(k, b.int(i))
                element = b.splat(b.load(Type(accumulate), b.gep(a, b.mul(at, apart), accumulate)), vector.lanes)
                step = b.mul(at, b.int(width))
                for place, held in zip(places, sums, strict=True):
                    here = b.gep(place, step, accumulate)
                    b.set(held, multiply_add(b, element, b.load(vector, here), b.get(held)))

    with b.loop(b.int(0), total, b.int(CHAINS)) as first:
        places = []
        for j in range(CHAINS):  # beyond the last vector the last again, which lies in the nearest cache
            at = b.op("min", b.add(first, b.int(j)), b.sub(total, b.int(1)))
            panel = b.op("div", at, vectors)
            within = b.mul(b.sub(at, b.mul(panel, vectors)), lanes)
            places.append(b.gep(packed, b.add(b.mul(panel, apart), within), accumulate))
        sums = [b.var(b.const(0, vector)) for _ in range(CHAINS)]
        with b.when_else(b.compare("eq", a_step, b.int(1))) as otherwise:
            many = b.sub(depth, b.op("rem", depth, b.int(STEPS)))
            walk(b.int(0), many, STEPS, b.int(1))
            walk(many, depth, 1, b.int(1))
            otherwise()
            walk(b.int(0), depth, 1, a_step)
        left = b.sub(columns, b.mul(first, lanes))
        with b.when_else(b.compare("ge", left, b.int(CHAINS * vector.lanes))) as otherwise:
            starts = [b.gep(c, b.mul(b.add(first, b.int(j)), lanes), accumulate) for j in range(CHAINS)]
            finish_vectors(b, sums, starts, adding)
            otherwise()
            for j, held in enumerate(sums):
                b.store(b.get(held), b.gep(kept, b.int(j * vector.lanes), accumulate))
            with b.loop(b.int(0), b.sub(total, first)) as j:
                column = b.mul(b.add(first, j), lanes)
                held = b.var(b.load(vector, b.gep(kept, b.mul(j, lanes), accumulate)))
                finish_tile(b, isa, [[held]], b.gep(c, column, accumulate), no_rows, b.int(1),
                            b.op("min", lanes, b.sub(columns, column)), adding)
    return b.finish()


class Quick:
    """Writes the two short paths of the contracting kernel."""

    def __init__(self, b: Builder, isa: Isa, library: Library, args: Arguments, epilogue_args: Reg):
        self.b, self.isa, self.library, self.args, self.epilogue_args = b, isa, library, args, epilogue_args
        self.direct = b.compare("eq", args["c_mode"], b.int(words.DIRECT))
        self.width = b.int(isa.columns(library.accumulate))

    def _operands(self, batch: Reg) -> tuple[Reg, Reg, Reg, Reg]:
        """A, B, C and packed B of a batch."""
        b, library = self.b, self.library
        a, other, c, packed = batch_offsets(b, self.args.group("batch"), batch, (
            words.STRIDE_A, words.STRIDE_B, words.STRIDE_C, words.STRIDE_PACKED))
        return (b.gep(self.args["a"], a, library.dtype), b.gep(self.args["b"], other, library.dtype),
                b.gep(self.args["c"], c, library.result), b.gep(self.args["packed"], packed, library.accumulate))

    def _finish(self, batch: Reg, column0: Reg, rows: Reg, columns: Reg, stage_width: Reg) -> None:
        """Call the epilogue, if there is one."""
        b, args = self.b, self.args
        with b.when(b.op("not", self.direct)):
            b.call(args["epilogue"], (self.epilogue_args, args.scratch("stage"), stage_width, batch, b.int(0), column0,
                                      rows, columns))

    def one_row(self) -> None:
        """All units of a row against a packed B."""
        b, args, accumulate = self.b, self.args, self.library.accumulate
        column_blocks = ceiling(b, args["columns"], args["block_columns"])
        whole = b.mul(ceiling(b, args["columns"], self.width), self.width)
        with b.loop(b.begin, b.end) as unit:
            batch = b.op("div", unit, column_blocks)
            column0 = b.mul(b.op("rem", unit, column_blocks), args["block_columns"])
            columns = b.op("min", args["block_columns"], b.sub(args["columns"], column0))
            a, _, c, packed = self._operands(batch)
            out = b.select(self.direct, b.gep(c, column0, accumulate), args.scratch("stage"))
            with b.loop(b.int(0), args["depth"], args["block_depth"]) as start:
                length = b.op("min", args["block_depth"], b.sub(args["depth"], start))
                before = b.add(b.mul(start, whole), b.mul(column0, length))
                b.call(LINE, (b.gep(a, b.mul(start, args["a_step"]), accumulate), args["a_step"],
                              b.gep(packed, before, accumulate), length, out, columns,
                              b.cast(b.compare("ne", start, b.int(0)), I64)))
            self._finish(batch, column0, b.int(1), columns, b.mul(ceiling(b, columns, self.width), self.width))

    def tiny(self) -> None:
        """All units of a contraction of a few elements: one a batch."""
        b, args, library = self.b, self.args, self.library
        scalar = Type(library.accumulate)
        stage_width = b.mul(ceiling(b, args["columns"], self.width), self.width)

        def stride(kind: str, word: int) -> Reg:
            return b.load(I64, b.gep(args.group(kind).records, b.int(word), "i64"))

        a_m, a_k = stride("m", words.STRIDE_A), stride("k", words.STRIDE_A)
        b_n, b_k = stride("n", words.STRIDE_B), stride("k", words.STRIDE_B)
        c_m = b.select(self.direct, stride("m", words.STRIDE_C), stage_width)
        with b.loop(b.begin, b.end) as unit:
            a, other, c, _ = self._operands(unit)
            out = b.select(self.direct, c, args.scratch("stage"))
            with b.loop(b.int(0), args["rows"]) as row, b.loop(b.int(0), args["columns"]) as column:
                left = b.gep(a, b.mul(row, a_m), library.dtype)
                right = b.gep(other, b.mul(column, b_n), library.dtype)
                total = b.var(b.const(0, scalar))
                with b.loop(b.int(0), args["depth"]) as k:
                    x = b.load(scalar, b.gep(left, b.mul(k, a_k), library.dtype))
                    y = b.load(scalar, b.gep(right, b.mul(k, b_k), library.dtype))
                    b.set(total, multiply_add(b, x, y, b.get(total)))
                value = b.get(total)
                value = b.add(value, b.const(0.0, scalar)) if scalar.is_float else value  # as `finish_tile`
                b.store(value, b.gep(out, b.add(b.mul(row, c_m), column), library.accumulate))
            self._finish(unit, b.int(0), args["rows"], args["columns"], stage_width)
