"""The contracting kernel of processors with matrix tiles (AMX), for dtypes they multiply: bf16, i8 and u8; and of those
that have none but add up products of bytes (`byte_dots`), for i8.

It shares units, tables, stores and epilogues with the other driver. What differs is what happens inside a block of k:
both operands are packed into tiles (`tile_pack`), and results of two by two tiles are summed at a time. Integers give
the bits of the other driver. For bf16 an element is a chain over tiles of 32 steps of k, in ascending order, of what
the `tile` instruction of `ir/linear` says: other bits than multiply-adds in float32 give, but the same for any blocks,
units, orientation and layout, since k is filled with zeros to whole tiles.
"""

from __future__ import annotations

from squall.compiler.nest import arguments as words
from squall.compiler.nest.byte_dots import NAME as FLIP
from squall.compiler.nest.byte_dots import flip, multiply_bytes
from squall.compiler.nest.common import Library, ceiling, fill
from squall.compiler.nest.driver import Driver
from squall.compiler.nest.isa import ISAS, Isa, Tile
from squall.compiler.nest.store import store_lines, store_rows, store_transposed
from squall.compiler.nest.tables import fill_offsets, find_runs
from squall.compiler.nest.tile_pack import LINE_BYTES, SIDE, TILE_BYTES, pack_name, pack_tile, tile_steps
from squall.ir.linear import BYTES, I64, PTR, Builder, Function, Instr, Program, Reg

TILES, DOTS = "tiles", "dots"  # the roles of libraries: by matrix tiles, or by sums of products of bytes
NEAR_TILES = 8  # along k: two rows of so many tiles of A stay in the first-level cache
PAIR = 2 * SIDE  # rows and columns of a step: two tiles of each operand, four of the result


def tiled(isa: Isa) -> Isa:
    """An instruction set with the rows and columns of tiles."""
    return isa._replace(tile=Tile(PAIR, PAIR // isa.lanes("f32")))


def build_tiles(library: Library) -> Program:
    """The program of a library whose role is `TILES` or `DOTS`."""
    isa, multiply = tiled(ISAS[library.isa]), multiply_bytes if library.role == DOTS else multiply_tiles
    functions = [fill_offsets(isa.register_bytes // 8), find_runs(),
                 *(pack_tile(library.dtype, by_words) for by_words in (False, True)),
                 *(multiply(library.dtype, rows, columns) for rows in (1, 2) for columns in (1, 2)),
                 *(make(isa, library.result, library.accumulate)
                   for make in (store_rows, store_lines, store_transposed))]
    functions += [flip()] if library.role == DOTS else []
    entry = _TileDriver(isa, library).build()
    return Program((*functions, entry), entry.name)


def multiply_tiles(dtype: str, rows: int, columns: int) -> Function:
    """`tiles_RxC(a, b, apart, count, c, bytes between c's rows, adding)`: up to two by two tiles of a result.

    Packed tiles follow one another along k, those of the next 16 rows or columns `apart` bytes later.
    """
    b = Builder(f"tiles_{rows}x{columns}", (PTR, PTR, I64, I64, PTR, I64, I64))
    a, other, apart, count, c, stride, adding = b.parameters
    line, results = b.int(LINE_BYTES), [(i, j) for i in range(rows) for j in range(columns)]

    def place(i: int, j: int) -> Reg:
        return b.gep(b.gep(c, b.mul(stride, b.int(i * SIDE)), "i8"), b.int(j * LINE_BYTES), "i8")

    with b.when_else(b.compare("ne", adding, b.int(0))) as otherwise:
        for i, j in results:
            b.emit("tile", None, (place(i, j), stride), ("load", 2 * i + j))
        otherwise()
        for i, j in results:
            b.emit("tile", None, (), ("zero", 2 * i + j))
    with b.loop(b.int(0), count) as t:
        offset = b.mul(t, b.int(TILE_BYTES))
        for start, first, n in ((a, 4, rows), (other, 6, columns)):
            for i in range(n):
                here = b.gep(b.gep(start, offset, "i8"), b.mul(apart, b.int(i)), "i8")
                b.emit("tile", None, (here, line), ("load", first + i))
        for i, j in results:
            b.emit("tile", None, (), ("dot", 2 * i + j, 4 + i, 6 + j, dtype))
    for i, j in results:
        b.emit("tile", None, (place(i, j), stride), ("store", 2 * i + j))
    return b.finish()


class _TileDriver(Driver):
    """Writes the kernel."""

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
        fill(b, args.group("k"), words.STRIDE_B, self.start, self.length, args.scratch("k_b"))
        self.tiles = ceiling(b, self.length, b.int(tile_steps(self.library.dtype)))
        self.apart = b.mul(self.tiles, b.int(TILE_BYTES))
        self._pack(True, self.source, self.columns_b, self.columns, args.scratch("packed_b"))
        whole = b.op("and", b.compare("le", args["depth"], args["block_depth"]),
                     b.compare("ne", args["c_mode"], b.int(words.STAGED_TRANSPOSED)))
        with b.loop(b.int(0), self.rows, b.int(PAIR)) as row:
            count = b.op("min", b.int(PAIR), b.sub(self.rows, row))
            self._pack(False, self.a, b.gep(args.scratch("rows_a"), row, "i64"), count, args.scratch("packed_a"))
            if self.library.role == DOTS:
                b.call(FLIP, (args.scratch("packed_a"), b.mul(ceiling(b, count, b.int(SIDE)), self.apart)))
            staged = b.mul(b.select(whole, b.int(0), row), self.stage_width)
            stage = b.gep(args.scratch("stage"), staged, self.library.accumulate)
            with (b.loop(b.int(0), b.op("max", b.int(1), self.tiles), b.int(NEAR_TILES)) as tile,
                  b.loop(b.int(0), self.columns, b.int(PAIR)) as column):
                self._multiply(count, column, stage, tile)
            with b.when(self.last_block):
                self._finish(row, count, stage)

    def _pack(self, is_b: bool, source: Reg, table: Reg, count: Reg, target: Reg) -> None:
        """Some rows of A or columns of B. What is contiguous across k is read in long lines, for that k is outside."""
        b, args, steps = self.b, self.args, tile_steps(self.library.dtype)
        along = self.b_transposing if is_b else self.a_transposing
        groups, k_table = ceiling(b, count, b.int(SIDE)), args.scratch("k_b" if is_b else "k_a")
        lengthwise = b.compare("ne", along, b.int(0))
        outer, inner = b.select(lengthwise, groups, self.tiles), b.select(lengthwise, self.tiles, groups)
        with b.loop(b.int(0), outer) as x, b.loop(b.int(0), inner) as y:
            group, tile = b.select(lengthwise, x, y), b.select(lengthwise, y, x)
            first, k = b.mul(group, b.int(SIDE)), b.mul(tile, b.int(steps))
            place = b.gep(target, b.add(b.mul(group, self.apart), b.mul(tile, b.int(TILE_BYTES))), "i8")
            b.call(pack_name(is_b), (source, b.gep(table, first, "i64"),
                                     b.op("min", b.int(SIDE), b.sub(count, first)), b.gep(k_table, k, "i64"),
                                     b.sub(self.length, k), along, place))

    def _multiply(self, count: Reg, column: Reg, stage: Reg, tile: Reg) -> None:
        """Some tiles of k, so few that those of A stay in the first-level cache, for two by two of the result."""
        b, args, size = self.b, self.args, BYTES[self.library.accumulate]
        before, adding = b.mul(tile, b.int(TILE_BYTES)), b.cast(b.compare("ne", tile, b.int(0)), I64)
        other = b.gep(args.scratch("packed_b"), b.mul(b.op("div", column, b.int(SIDE)), self.apart), "i8")
        tall = b.compare("gt", count, b.int(SIDE))
        wide = b.compare("gt", b.sub(self.columns, column), b.int(SIDE))
        given = (b.gep(args.scratch("packed_a"), before, "i8"), b.gep(other, before, "i8"), self.apart,
                 b.op("min", b.int(NEAR_TILES), b.sub(self.tiles, tile)),
                 b.gep(stage, column, self.library.accumulate), b.mul(self.stage_width, b.int(size)),
                 b.op("or", self.adding, adding))
        for rows in (1, 2):
            for columns in (1, 2):
                high, broad = (tall if rows == 2 else b.op("not", tall)), (wide if columns == 2 else b.op("not", wide))
                with b.when(b.op("and", high, broad)):
                    b.call(f"tiles_{rows}x{columns}", given)

    def _finish(self, row: Reg, count: Reg, stage: Reg) -> None:
        """Store a finished strip, or give it to the epilogue in pieces as the other driver's."""
        b, args = self.b, self.args
        with b.when(b.compare("eq", args["c_mode"], b.int(words.STAGED))):
            b.call("store_lines", (stage, self.stage_width, count, self.columns, self.c,
                                  b.gep(args.scratch("rows_c"), row, "i64"), self.columns_c))
        with b.when(b.compare("eq", args["c_mode"], b.int(words.EPILOGUE))):
            height = ISAS[self.library.isa].tile.rows
            with b.loop(b.int(0), count, b.int(height)) as at:
                source = b.gep(stage, b.mul(at, self.stage_width), self.library.accumulate)
                b.call(args["epilogue"], (self.epilogue_args, source, self.stage_width, self.batch,
                                          b.add(b.add(self.row0, row), at), self.column0,
                                          b.op("min", b.int(height), b.sub(count, at)), self.columns))
