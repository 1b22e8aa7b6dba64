"""The contracting kernel of processors with matrix tiles (AMX), for dtypes they multiply: bf16, i8 and u8; and of those
that have none but add up products of two or four numbers (`dots`), for i8 and bf16.

It shares units, tables, stores and epilogues with the other driver. What differs is what happens inside a block of k:
both operands are packed into tiles (`tile_pack`), unless B comes packed (weights that are kept, `tile_prepack`) or A's
rows can be loaded as tiles where they lie, and results of two by two tiles are summed at a time. Integers give
the bits of the other driver. For bf16 an element is a chain over tiles of 32 steps of k, in ascending order, of what
the `tile` instruction of `ir/linear` says: other bits than multiply-adds in float32 give, but the same for any blocks,
units, orientation and layout, since k is filled with zeros to whole tiles. Where there are no tiles the bits are those
of the other driver's, by its blocks of k.
"""

from __future__ import annotations

from collections.abc import Callable

from squall.compiler.nest import arguments as words
from squall.compiler.nest.common import Library, ceiling, fill
from squall.compiler.nest.dots import PREPARE, multiply_dots, prepare
from squall.compiler.nest.driver import Driver
from squall.compiler.nest.isa import ISAS, Isa, Tile
from squall.compiler.nest.store import store_lines, store_rows, store_transposed
from squall.compiler.nest.tables import fill_offsets, find_runs
from squall.compiler.nest.tile_pack import LINE_BYTES, SIDE, TILE_BYTES, pack_name, pack_tile, tile_steps
from squall.ir.linear import BOOL, BYTES, I64, Builder, Function, Instr, Program, Reg

# the roles of libraries: by matrix tiles, by sums of a few products, by tiles of parts of float32 (`part_driver`)
TILES, DOTS, PARTS = "tiles", "dots", "parts"
BYTES_ONLY = "dots of bytes"  # what a processor has that adds up products of bytes alone
MOST_TILES = 1 << 20
PAIR = 2 * SIDE  # rows and columns of a step: two tiles of each operand, four of the result
GROUP = 2 * PAIR  # columns that are staged together, and stored while they are in the first-level cache


def tiled(isa: Isa) -> Isa:
    """An instruction set with the rows and columns of tiles."""
    return isa._replace(tile=Tile(PAIR, PAIR // isa.lanes("f32")))


def build_dots(library: Library) -> Program:
    """The program of a library whose role is `DOTS`."""
    isa = tiled(ISAS[library.isa])
    functions = [fill_offsets(isa.register_bytes // 8), find_runs(),
                 *(pack_tile(library.dtype, by_words) for by_words in (False, True)),
                 *(multiply_dots(library.dtype, rows, columns) for rows in (1, 2) for columns in (1, 2)),
                 *(make(isa, library.result, library.accumulate)
                   for make in (store_rows, store_lines, store_transposed)), prepare(library.dtype)]
    entry = TileDriver(isa, library).build()
    return Program((*functions, entry), entry.name)


def begin_sums(b: Builder, c: Reg, stride: Reg, adding: Reg, results: list[tuple[int, int]]) -> Callable[[], None]:
    """Tiles of sums, numbered 2 i + j: what C holds where `adding`, else zeros. Gives what stores them; C's rows are
    `stride` bytes apart."""
    def place(i: int, j: int) -> Reg:
        return b.gep(b.gep(c, b.mul(stride, b.int(i * SIDE)), "i8"), b.int(j * LINE_BYTES), "i8")

    with b.when_else(b.compare("ne", adding, b.int(0))) as otherwise:
        for i, j in results:
            b.emit("tile", None, (place(i, j), stride), ("load", 2 * i + j))
        otherwise()
        for i, j in results:
            b.emit("tile", None, (), ("zero", 2 * i + j))

    def store() -> None:
        for i, j in results:
            b.emit("tile", None, (place(i, j), stride), ("store", 2 * i + j))

    return store


class TileDriver(Driver):
    """Writes the kernel.

    `slot` bytes hold what is packed of 16 rows or columns and one step of k, `steps` elements; of `near` steps along k
    two rows of A stay in the first-level cache.
    """

    slot, near = TILE_BYTES, 8

    def __init__(self, isa: Isa, library: Library):
        super().__init__(isa, library)
        self.width = GROUP  # of the stage
        self.steps = self._steps()
        self.job: tuple[Reg, ...] = ()  # what products finish beside their own
        if library.role == DOTS and library.dtype == "bf16":
            self.near = MOST_TILES  # sums of bfloat16 by dots are one chain for each block of k

    def _steps(self) -> int:
        return tile_steps(self.library.dtype)

    def build(self) -> Function:
        if self.library.role == DOTS:
            return super().build()
        self.b.emit("tile", None, (), ("begin",))
        made = super().build()
        return made._replace(body=(*made.body, Instr("tile", None, (), ("end",))))

    def _fill_kernel_table(self) -> None:
        pass

    def _block(self, block: Reg) -> None:
        """One block of k: B packed, then strips of rows, each packed and multiplied."""
        b, args = self.b, self.args
        fill(b, args.group("k"), words.STRIDE_A, self.start, self.length, args.scratch("k_a"))
        self.tiles = ceiling(b, self.length, b.int(self.steps))
        self.apart = b.mul(self.tiles, b.int(self.slot))
        first = b.op("div", self.column0, b.int(SIDE))
        before = b.mul(b.mul(block, ceiling(b, args["block_depth"], b.int(self.steps))), b.int(self.slot))
        before = b.add(b.mul(before, ceiling(b, args["columns"], b.int(SIDE))), b.mul(first, self.apart))
        self.packed_b = b.select(self.b_prepacked, b.gep(self.packed, before, "i8"), args.scratch("packed_b"))
        with b.when(b.op("not", self.b_prepacked)):
            fill(b, args.group("k"), words.STRIDE_B, self.start, self.length, args.scratch("k_b"))
            self._pack(True, self.source, self.columns_b, self.columns, args.scratch("packed_b"), b.int(0))
        self.transposed = b.compare("eq", args["c_mode"], b.int(words.STAGED_TRANSPOSED))
        whole = b.op("and", b.compare("le", args["depth"], args["block_depth"]), b.op("not", self.transposed))
        with b.loop(b.int(0), self.rows, b.int(PAIR)) as row:
            count = b.op("min", b.int(PAIR), b.sub(self.rows, row))
            self._meet_rows(row, count)
            staged = b.mul(b.select(whole, b.int(0), row), self.stage_width)
            stage = b.gep(args.scratch("stage"), staged, self.library.accumulate)
            self._strip_of_rows(row, count, stage)

    def _strip_of_rows(self, row: Reg, count: Reg, stage: Reg) -> None:
        """All columns of a strip, in pieces of k whose tiles of A stay in the first-level cache."""
        b = self.b
        with (b.loop(b.int(0), b.op("max", b.int(1), self.tiles), b.int(self.near)) as tile,
              b.loop(b.int(0), self.columns, b.int(GROUP)) as column):
            self._group(row, count, column, stage, tile)

    def _meet_rows(self, row: Reg, count: Reg) -> None:
        """Where the tiles of a strip of A are: in place, where its rows fill tiles and lie in even steps, or packed."""
        b, args = self.b, self.args
        size = b.int(BYTES[self.library.dtype])
        rows = b.gep(args.scratch("rows_a"), row, "i64")
        packed = args.scratch("packed_a")
        offset = b.add(b.load(I64, rows), b.load(I64, args.scratch("k_a")))
        step = b.mul(args["a_step"], size)
        lying = b.op("and", self.a_in_place, b.compare("eq", b.op("rem", count, b.int(SIDE)), b.int(0)))
        self.rows_a = (b.select(lying, b.gep(self.a, offset, self.library.dtype), packed),
                       b.select(lying, step, b.int(LINE_BYTES)),
                       b.select(lying, b.int(LINE_BYTES), b.int(self.slot)),
                       b.select(lying, b.mul(step, b.int(SIDE)), self.apart))
        with b.when(b.op("not", lying)):
            self._pack(False, self.a, rows, count, packed, row)
            if self.library.role == DOTS:
                b.call(PREPARE, (packed, b.mul(ceiling(b, count, b.int(SIDE)), self.apart)))

    def _pack(self, is_b: bool, source: Reg, table: Reg, count: Reg, target: Reg, before: Reg) -> None:
        """Some rows of A or columns of B, with `before` of the unit before them. What is
        contiguous across k is read in long lines, for that k is outside."""
        b, args, steps = self.b, self.args, self.steps
        along = self.b_transposing if is_b else b.select(self.a_in_place, b.int(1), self.a_transposing)
        groups, k_table = ceiling(b, count, b.int(SIDE)), args.scratch("k_b" if is_b else "k_a")
        lengthwise = b.compare("ne", along, b.int(0))
        outer, inner = b.select(lengthwise, groups, self.tiles), b.select(lengthwise, self.tiles, groups)
        with b.loop(b.int(0), outer) as x, b.loop(b.int(0), inner) as y:
            group, tile = b.select(lengthwise, x, y), b.select(lengthwise, y, x)
            first, k = b.mul(group, b.int(SIDE)), b.mul(tile, b.int(steps))
            place = b.gep(target, b.add(b.mul(group, self.apart), b.mul(tile, b.int(self.slot))), "i8")
            self._pack_tile(is_b, b.add(before, first), (
                source, b.gep(table, first, "i64"), b.op("min", b.int(SIDE), b.sub(count, first)),
                b.gep(k_table, k, "i64"), b.sub(self.length, k), along, place))

    def _pack_tile(self, is_b: bool, first: Reg, given: tuple[Reg, ...]) -> None:
        """One tile; `first` is its first row or column in the unit."""
        self.b.call(pack_name(is_b), given)

    def _group(self, row: Reg, count: Reg, column: Reg, strip: Reg, tile: Reg) -> None:
        """Some tiles of k, so few that those of A stay in the first-level cache, for some columns of a strip, whose
        sums lie together unless they will be stored transposed; the last of k's have them stored."""
        b = self.b
        columns = b.op("min", b.int(GROUP), b.sub(self.columns, column))
        stage = b.gep(strip, b.select(self.transposed, column, b.mul(column, b.int(PAIR))), self.library.accumulate)
        width = b.select(self.transposed, self.stage_width, b.int(GROUP))
        with b.loop(b.int(0), columns, b.int(PAIR)) as j:
            self._multiply(count, b.add(column, j), b.gep(stage, j, self.library.accumulate), width, tile,
                           b.int(self.near))
        done = b.compare("ge", b.add(tile, b.int(self.near)), self.tiles)
        with b.when(b.op("and", self.last_block, done)):
            self._finish(row, count, column, columns, stage, width)

    def _multiply(self, count: Reg, column: Reg, stage: Reg, width: Reg, tile: Reg, near: Reg) -> None:
        """Two by two tiles of the result, over at most `near` tiles of k."""
        b, size = self.b, BYTES[self.library.accumulate]
        a, line, step, apart = self.rows_a
        adding = b.cast(b.compare("ne", tile, b.int(0)), I64)
        other = b.gep(self.packed_b, b.mul(b.op("div", column, b.int(SIDE)), self.apart), "i8")
        tall = b.compare("gt", count, b.int(SIDE))
        wide = b.compare("gt", b.sub(self.columns, column), b.int(SIDE))
        given = (b.gep(a, b.mul(tile, step), "i8"), line, step, apart,
                 b.gep(other, b.mul(tile, b.int(self.slot)), "i8"), self.apart,
                 b.op("min", near, b.sub(self.tiles, tile)), stage, b.mul(width, b.int(size)),
                 b.op("or", self.adding, adding), *self.job)
        for rows in (1, 2):
            for columns in (1, 2):
                high, broad = (tall if rows == 2 else b.op("not", tall)), (wide if columns == 2 else b.op("not", wide))
                for name, due in self._kernels():
                    with b.when(b.op("and", due, b.op("and", high, broad))):
                        b.call(f"{name}_{rows}x{columns}", given)

    def _kernels(self) -> list[tuple[str, Reg]]:
        """The functions that multiply, by what they begin with, and when each does."""
        return [("tiles", self.b.const(True, BOOL))]

    def _finish(self, row: Reg, count: Reg, column: Reg, columns: Reg, stage: Reg, width: Reg) -> None:
        """Store some columns of a finished strip, or give them to the epilogue."""
        b, args = self.b, self.args
        with b.when(b.compare("eq", args["c_mode"], b.int(words.STAGED))):
            b.call("store_lines", (stage, width, count, columns, self.c, b.gep(args.scratch("rows_c"), row, "i64"),
                                  b.gep(self.columns_c, column, "i64")))
        with b.when(b.compare("eq", args["c_mode"], b.int(words.EPILOGUE))):
            b.call(args["epilogue"], (self.epilogue_args, stage, width, self.batch, b.add(self.row0, row),
                                      b.add(self.column0, column), count, columns))
