"""The contracting kernel of processors with matrix tiles (AMX): `tile_driver` with products that finish others.

A tile's product keeps the tiles' multiplier busy for 16 cycles and the rest of the processor hardly at all, so results
of two by two tiles are not stored, or given to the epilogue, when they are summed up: they are noted down (the job) and
finished a few rows at a time between the steps of the next product. The processor's window is short, so that is a
handful of instructions where results are stored to neighbouring columns. What reads that fast must come from near: of
a strip of A as much as the first-level cache holds is used at a time, and tiles of B, which pass by, are loaded so
that they do not displace it.
"""

from __future__ import annotations

from squall.compiler.nest import arguments as words
from squall.compiler.nest.common import Library, ceiling
from squall.compiler.nest.dots import PARAMETERS
from squall.compiler.nest.isa import ISAS, Isa
from squall.compiler.nest.pack import lie_side_by_side
from squall.compiler.nest.store import store_lines, store_rows, store_transposed, unsigned_zero
from squall.compiler.nest.tables import fill_offsets, find_runs
from squall.compiler.nest.tile_driver import PAIR, TileDriver, begin_sums, tiled
from squall.compiler.nest.tile_pack import LINE_BYTES, SIDE, TILE_BYTES, pack_tile
from squall.ir.linear import I64, PTR, Builder, Function, Program, Reg, Type

NEAR = 16  # tiles along k of two rows of A that the first-level cache holds beside a B that passes by: 32 KB
FINISH = "finish_rows"
# The job: what is to be finished, in two arrays of words.
POINTERS = ("stage", "c", "rows_c", "columns_c", "epilogue", "epilogue_args")
NUMBERS = ("left", "width", "batch", "row", "column", "columns", "c_mode", "plain")
JOB = (PTR, PTR)


def build_matrix(library: Library) -> Program:
    """The program of a library whose role is `TILES`."""
    isa = tiled(ISAS[library.isa])
    functions = [fill_offsets(isa.register_bytes // 8), find_runs(),
                 *(pack_tile(library.dtype, by_words) for by_words in (False, True)),
                 *(make(isa, library.result, library.accumulate)
                   for make in (store_rows, store_lines, store_transposed)),
                 finish_rows(library.accumulate),
                 *(multiply_tiles(library, rows, columns) for rows in (1, 2) for columns in (1, 2))]
    entry = MatrixDriver(isa, library).build()
    return Program((*functions, entry), entry.name)


def _pointer(b: Builder, pointers: Reg, name: str) -> Reg:
    return b.gep(pointers, b.int(POINTERS.index(name)), "ptr")


def _number(b: Builder, numbers: Reg, name: str) -> Reg:
    return b.gep(numbers, b.int(NUMBERS.index(name)), "i64")


def finish_rows(accumulate: str) -> Function:
    """`finish_rows(pointers, numbers, first, count)`: store some rows of the job, if any, or give them to the
    epilogue."""
    b = Builder(FINISH, (*JOB, I64, I64))
    pointers, numbers, first, count = b.parameters
    stage, c, rows_c, columns_c, epilogue, epilogue_args = (b.load(PTR, _pointer(b, pointers, n)) for n in POINTERS)
    _, width, batch, row, column, columns, c_mode = (b.load(I64, _number(b, numbers, n)) for n in NUMBERS[:-1])
    lines = b.gep(stage, b.mul(first, width), accumulate)
    with b.when(b.compare("gt", count, b.int(0))), b.when_else(
            b.compare("eq", c_mode, b.int(words.EPILOGUE))) as otherwise:
        b.call(epilogue, (epilogue_args, lines, width, batch, b.add(row, first), column, count, columns))
        otherwise()
        b.call("store_lines", (lines, width, count, columns, c, b.gep(rows_c, first, "i64"), columns_c))
    return b.finish()


class _Job:
    """The job as a product sees it: what it needs of it in each step is read beforehand."""

    def __init__(self, b: Builder, library: Library, job: list[Reg], steps: Reg):
        self.b, self.library, self.job = b, library, job
        pointers, numbers = job
        self.left, self.width, plain = (b.load(I64, _number(b, numbers, n)) for n in ("left", "width", "plain"))
        self.plain = b.compare("ne", plain, b.int(0))
        self.stage, c, self.rows_c, columns = (b.load(PTR, _pointer(b, pointers, n)) for n in POINTERS[:4])
        self.c = b.gep(c, b.load(I64, columns), library.result)
        self.share = ceiling(b, self.left, b.op("max", b.int(1), steps))

    def finish(self, step: Reg) -> None:
        """The rows due at a step."""
        b = self.b
        first = b.mul(step, self.share)
        end = b.op("min", self.left, b.add(first, self.share))
        with b.when(b.compare("lt", first, self.left)), b.when_else(self.plain) as otherwise:
            with b.loop(first, end, b.int(2)) as row:
                for at in (row, b.op("min", b.add(row, b.int(1)), b.sub(end, b.int(1)))):
                    self.store(at)
            otherwise()
            b.call(FINISH, (*self.job, first, b.sub(end, first)))

    def finish_all(self) -> None:
        """All rows."""
        self.b.call(FINISH, (*self.job, self.b.int(0), self.left))

    def store(self, row: Reg) -> None:
        """One row of two tiles to as many neighbours."""
        b, result, accumulate = self.b, self.library.result, self.library.accumulate
        source = b.gep(self.stage, b.mul(row, self.width), accumulate)
        target = b.gep(self.c, b.load(I64, b.gep(self.rows_c, row, "i64")), result)
        for j in range(0, PAIR, SIDE):
            value = b.load(Type(accumulate, SIDE), b.gep(source, b.int(j), accumulate))
            b.store(b.cast(unsigned_zero(b, value), Type(result, SIDE)), b.gep(target, b.int(j), result))


def multiply_tiles(library: Library, rows: int, columns: int) -> Function:
    """`tiles_RxC(a, line, step, apart, b, apart, count, c, bytes between c's rows, adding, pointers, numbers)`: up to
    two by two tiles of a result, and the job.

    Tiles of A have their lines `line` bytes apart and follow one another along k after `step` bytes, those of B are
    packed; those of the next 16 rows or columns are `apart` bytes later.
    """
    b = Builder(f"tiles_{rows}x{columns}", (*PARAMETERS, *JOB))
    a, line_a, step_a, apart_a, other, apart_b, count, c, stride, adding, *left = b.parameters
    line, results = b.int(LINE_BYTES), [(i, j) for i in range(rows) for j in range(columns)]

    store = begin_sums(b, c, stride, adding, results)
    job = _Job(b, library, left, count)
    with b.loop(b.int(0), count) as t:
        here = b.gep(a, b.mul(t, step_a), "i8")
        passing = b.gep(other, b.mul(t, b.int(TILE_BYTES)), "i8")
        for i, j in results:
            if j == 0:
                b.emit("tile", None, (b.gep(here, b.mul(apart_a, b.int(i)), "i8"), line_a), ("load", 4 + i))
            if i == 0:
                b.emit("tile", None, (b.gep(passing, b.mul(apart_b, b.int(j)), "i8"), line), ("stream", 6 + j))
            b.emit("tile", None, (), ("dot", 2 * i + j, 4 + i, 6 + j, library.dtype))
        job.finish(t)
    with b.when(b.compare("eq", count, b.int(0))):
        job.finish_all()
    store()
    return b.finish()


class MatrixDriver(TileDriver):
    """Writes the kernel."""

    def __init__(self, isa: Isa, library: Library):
        super().__init__(isa, library)
        self.width = PAIR
        self.job = self.b.alloca(PTR, len(POINTERS)), self.b.alloca(I64, len(NUMBERS))

    def _fill_kernel_table(self) -> None:
        """Nothing is left to finish; what products read of the job beforehand is there."""
        b = self.b
        for name in POINTERS:
            b.store(self.args.scratch("stage"), _pointer(b, self.job[0], name))
        for name in NUMBERS:
            b.store(b.int(0), _number(b, self.job[1], name))

    def _part(self) -> None:
        """Some columns of a unit; what was left to the next product is finished, since there is none."""
        super()._part()
        b, left = self.b, _number(self.b, self.job[1], "left")
        b.call(FINISH, (*self.job, b.int(0), b.load(I64, left)))
        b.store(b.int(0), left)

    def _strip_of_rows(self, row: Reg, count: Reg, stage: Reg) -> None:
        """Equal pieces of k, of each all columns. If there is one piece, all sums of a strip are made in one place."""
        b, args, accumulate = self.b, self.args, self.library.accumulate
        pieces = b.op("max", b.int(1), ceiling(b, self.tiles, b.int(NEAR)))
        near = b.op("max", b.int(1), ceiling(b, self.tiles, pieces))
        single = b.op("and", b.compare("eq", pieces, b.int(1)), b.compare("le", args["depth"], args["block_depth"]))
        single = b.op("and", single, b.op("not", self.transposed))
        width = b.select(self.transposed, self.stage_width, b.int(PAIR))
        with (b.loop(b.int(0), b.op("max", b.int(1), self.tiles), near) as tile,
              b.loop(b.int(0), self.columns, b.int(PAIR)) as column):
            at = b.select(self.transposed, column, b.mul(column, b.int(PAIR)))
            sums = b.gep(stage, b.select(single, b.int(0), at), accumulate)
            self._multiply(count, column, sums, width, tile, near)
            done = b.op("and", self.last_block, b.compare("ge", b.add(tile, near), self.tiles))
            done = b.op("and", done, b.op("not", self.transposed))
            self._note(b.select(done, count, b.int(0)), row, column, sums, width)

    def _note(self, left: Reg, row: Reg, column: Reg, stage: Reg, width: Reg) -> None:
        """The job of `left` rows of two tiles; it is plain if they are stored to neighbours."""
        b, args = self.b, self.args
        columns = b.op("min", b.int(PAIR), b.sub(self.columns, column))
        places = b.gep(self.columns_c, column, "i64")
        plain = b.op("and", b.compare("eq", columns, b.int(PAIR)), b.compare("eq", args["c_mode"], b.int(words.STAGED)))
        plain = b.op("and", plain, lie_side_by_side(b, places, SIDE, PAIR // SIDE))
        for name, pointer in zip(POINTERS, (
                stage, self.c, b.gep(args.scratch("rows_c"), row, "i64"), places,
                args["epilogue"], self.epilogue_args), strict=True):
            b.store(pointer, _pointer(b, self.job[0], name))
        for name, number in zip(NUMBERS, (
                left, width, self.batch, b.add(self.row0, row), b.add(self.column0, column), columns,
                args["c_mode"], b.cast(plain, I64)), strict=True):
            b.store(number, _number(b, self.job[1], name))
