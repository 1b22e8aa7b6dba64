"""The driver: the kernel that runs a contraction's units, and the programs of the nest.

A unit is a block of C: (batch, block of columns, block of rows), rows innermost. Inside, k runs in blocks whose depth
depends on k's extent and dtype alone; each block packs what is to be packed, then runs the microkernel over the block's
tiles, so that every element of C is the sum, in ascending order, of its blocks' multiply-add chains. Nothing about the
blocks of rows and columns, packing or the tile reaches the values.
"""

from __future__ import annotations

from squall.compiler.nest import arguments as words
from squall.compiler.nest.arguments import Arguments
from squall.compiler.nest.common import (
    Library,
    batch_offsets,
    ceiling,
    entry_name,
    fill,
    strip_shape,
    strips_together,
)
from squall.compiler.nest.isa import ISAS, MOST_ROWS, Isa
from squall.compiler.nest.microkernel import AHEAD, EVEN, FETCHING, PACKING, all_microkernels, name_of
from squall.compiler.nest.pack import (
    copy_panel,
    copy_strips,
    lie_side_by_side,
    pack_group,
    pack_panel,
    pack_strips,
    pack_vector,
)
from squall.compiler.nest.prepack import prepack_driver
from squall.compiler.nest.quick import Quick, line
from squall.compiler.nest.spec import BLOCK, TRIANGLES
from squall.compiler.nest.store import store_rows, store_transposed
from squall.compiler.nest.stream import stream_name, stream_tile, streamed
from squall.compiler.nest.sweep import DEPTH as SWEEP_DEPTH
from squall.compiler.nest.sweep import FOLLOW, follow, store_sums, sweep, sweep_name, sweep_rows
from squall.compiler.nest.tables import fill_offsets, fill_ramp, find_runs, find_step
from squall.ir.linear import BYTES, I64, PTR, Builder, Function, Program, Reg


def build(library: Library) -> Program:
    """The program of a library key, with its functions and entry."""
    isa, dtype, accumulate = ISAS[library.isa], library.dtype, library.accumulate
    functions = [fill_offsets(isa.register_bytes // 8), find_runs(), pack_vector(isa, dtype, accumulate),
                 copy_panel(isa, dtype, accumulate), pack_panel(isa, dtype, accumulate)]
    if library.role == "pack":
        entry = prepack_driver(isa, library)
    else:
        if strips_together(isa, accumulate) > 1:
            functions += [make(isa, dtype, accumulate) for make in (pack_strips, copy_strips, pack_group)]
        functions += [find_step(isa.register_bytes // 8), *all_microkernels(isa, accumulate)]
        functions += [stream_tile(isa, dtype, accumulate, rows) for rows in streamed(isa)]
        if isa.flat:
            functions += [sweep(isa, accumulate, rows) for rows in sweep_rows(isa)]
        functions += [follow(isa, accumulate), store_sums(isa, accumulate), line(isa, accumulate)]
        functions += [store_rows(isa, library.result, accumulate), store_transposed(isa, library.result, accumulate)]
        entry = Driver(isa, library).build()
    return Program((*functions, entry), entry.name)


class Driver:
    """Writes the contracting kernel; the fields are the registers its parts share."""

    def __init__(self, isa: Isa, library: Library):
        self.isa, self.library = isa, library
        self.b = b = Builder.kernel(entry_name(library))
        self.args = Arguments(b)
        self.lanes, self.width = isa.lanes(library.accumulate), isa.columns(library.accumulate)
        self.together = strips_together(isa, library.accumulate)
        self.stride_a, self.slack_a = strip_shape(isa, library.accumulate)
        self.ramp_lanes = isa.register_bytes // 8
        self.table = b.alloca(PTR, (isa.tile.rows + 1) * isa.tile.vectors)

    def build(self) -> Function:
        """The kernel: one of the short paths, or tables and tiles."""
        b, args = self.b, self.args
        self.epilogue_args = b.select(b.compare("ne", args["epilogue_at"], b.int(0)),
                                      b.gep(b.args, args["epilogue_at"], "i64"), args["epilogue_args"])
        path = args["path"]
        with b.when_else(b.compare("eq", path, b.int(words.GENERAL))) as otherwise:
            self._general()
            otherwise()
            if self.library.dtype == self.library.accumulate and self.library.role == "contract":
                quick = Quick(b, self.isa, self.library, args, self.epilogue_args)
                with b.when(b.compare("eq", path, b.int(words.ONE_ROW))):
                    quick.one_row()
                with b.when(b.compare("eq", path, b.int(words.TINY))):
                    quick.tiny()
        return b.finish()

    def _general(self) -> None:
        """All units by tiles, and tables of offsets that tell where their elements lie."""
        b, args = self.b, self.args
        self._fill_kernel_table()
        transposing = b.int(words.BY_TRANSPOSING)
        self.a_transposing = b.cast(b.compare("eq", args["a_mode"], transposing), I64)
        self.b_transposing = b.cast(b.compare("eq", args["b_mode"], transposing), I64)
        self.a_in_place = b.compare("eq", args["a_mode"], b.int(words.IN_PLACE))
        self.b_in_place = b.compare("eq", args["b_mode"], b.int(words.IN_PLACE))
        self.b_streamed = b.compare("eq", args["b_mode"], b.int(words.STREAMED))
        self.b_prepacked = b.compare("eq", args["b_mode"], b.int(words.PREPACKED))
        self.flat = b.op("and", b.op("and", self.a_in_place, self.b_in_place),
                         b.compare("eq", args["triangle"], b.int(0)))
        self.direct = b.compare("eq", args["c_mode"], b.int(words.DIRECT))
        self.strip_staged = b.op("and", b.compare("eq", args["c_mode"], b.int(words.EPILOGUE)),
                                 b.compare("le", args["depth"], args["block_depth"]))
        self.k_a = b.select(self.a_in_place, args.scratch("k_a"), args.scratch("k_packed_a"))
        row_blocks = ceiling(b, args["rows"], args["block_rows"])
        column_blocks = ceiling(b, args["columns"], args["block_columns"])
        longest = b.op("min", args["depth"], args["block_depth"])
        fill_ramp(b, args.scratch("k_packed_a"), longest, self.stride_a, self.ramp_lanes)
        fill_ramp(b, args.scratch("rows_packed"), b.int(self.isa.tile.rows), 1, self.ramp_lanes)
        fill_ramp(b, args.scratch("k_packed_b"), b.add(longest, b.int(AHEAD)), self.width, self.ramp_lanes)
        with b.loop(b.begin, b.end) as unit:
            others = b.op("div", unit, row_blocks)
            self.row0 = b.mul(b.op("rem", unit, row_blocks), args["block_rows"])
            self.column0 = b.mul(b.op("rem", others, column_blocks), args["block_columns"])
            self._unit(b.op("div", others, column_blocks))

    def _fill_kernel_table(self) -> None:
        b, rows = self.b, self.isa.tile.rows
        b.store(b.function(FOLLOW), self.table)
        for vectors in range(1, self.isa.tile.vectors + 1):
            for count in range(1, rows + 1):
                pointer = b.function(name_of(self.isa.rows_for(count, vectors), vectors))
                b.store(pointer, b.gep(self.table, b.int((vectors - 1) * (rows + 1) + count), "ptr"))

    def _unit(self, batch: Reg) -> None:
        b, args, library = self.b, self.args, self.library
        a, other, c, packed = batch_offsets(b, args.group("batch"), batch, (
            words.STRIDE_A, words.STRIDE_B, words.STRIDE_C, words.STRIDE_PACKED))
        self.batch = batch
        self.a, self.source = b.gep(args["a"], a, library.dtype), b.gep(args["b"], other, library.dtype)
        self.c, self.packed = b.gep(args["c"], c, library.result), b.gep(args["packed"], packed, library.accumulate)
        self.rows = b.op("min", args["block_rows"], b.sub(args["rows"], self.row0))
        columns = b.op("min", args["block_columns"], b.sub(args["columns"], self.column0))
        m, n = args.group("m"), args.group("n")
        fill(b, m, words.STRIDE_A, self.row0, self.rows, args.scratch("rows_a"))
        fill(b, m, words.STRIDE_C, self.row0, self.rows, args.scratch("rows_c"))
        fill(b, n, words.STRIDE_B, self.column0, columns, args.scratch("columns_b"))
        fill(b, n, words.STRIDE_C, self.column0, columns, args.scratch("columns_c"))
        self._repeat_last("rows_a")
        self._repeat_last("rows_c")
        first = self.column0
        with b.loop(b.int(0), columns, args["part_columns"]) as part:
            self.column0, self.first_part = b.add(first, part), b.compare("eq", part, b.int(0))
            self.columns = b.op("min", args["part_columns"], b.sub(columns, part))
            self.is_last_part = b.compare("ge", b.add(part, args["part_columns"]), columns)
            self.columns_b, self.columns_c = (b.gep(args.scratch(name), part, "i64")
                                              for name in ("columns_b", "columns_c"))
            self._part()

    def _part(self) -> None:
        """Some columns of a unit."""
        b, args, library = self.b, self.args, self.library
        self.panels = ceiling(b, self.columns, b.int(self.width))
        self.stage_width = b.mul(self.panels, b.int(self.width))
        fill_ramp(b, args.scratch("rows_out"), self.rows, self.stage_width, self.ramp_lanes)
        self._repeat_last("rows_out")
        self.out_rows = b.select(self.direct, args.scratch("rows_c"), args.scratch("rows_out"))
        first = b.load(I64, self.columns_c)
        self.out = b.select(self.direct, b.gep(self.c, first, library.result), args.scratch("stage"))
        blocks = b.op("max", b.int(1), ceiling(b, args["depth"], args["block_depth"]))
        with b.loop(b.int(0), blocks) as block:
            self.start = b.mul(block, args["block_depth"])
            self.length = b.op("min", args["block_depth"], b.sub(args["depth"], self.start))
            self.adding = b.cast(b.compare("ne", block, b.int(0)), I64)
            self.last_block = b.compare("eq", block, b.sub(blocks, b.int(1)))
            self._block(block)
        with b.when(b.compare("eq", args["c_mode"], b.int(words.STAGED_TRANSPOSED))):
            b.call("store_transposed", (args.scratch("stage"), self.stage_width, self.rows, self.columns, self.c,
                                        args.scratch("rows_c"), self.columns_c))

    def _repeat_last(self, name: str) -> None:
        """Microkernels may compute a few rows beyond the last: let them read its offsets again."""
        b = self.b
        end = b.gep(self.args.scratch(name), self.rows, "i64")
        value = b.load(I64, b.gep(end, b.int(-1), "i64"))
        for i in range(0, 2 * self.isa.tile.rows, self.ramp_lanes):
            b.store(b.splat(value, self.ramp_lanes), b.gep(end, b.int(i), "i64"))

    def _block(self, block: Reg) -> None:
        """One block of k: its tables, what is to be packed, its tiles."""
        b, args, k = self.b, self.args, self.args.group("k")
        fill(b, k, words.STRIDE_A, self.start, self.length, args.scratch("k_a"))
        self.a_step = b.var(args["a_step"])
        with b.when(b.op("and", self.a_in_place, b.compare("eq", args["a_step"], b.int(0)))):
            b.set(self.a_step, b.call("find_step", (args.scratch("k_a"), self.length), I64))
        self.runs_a = b.var(b.int(0))
        with b.when(b.compare("ne", self.a_transposing, b.int(0))):
            b.set(self.runs_a, b.call("find_runs", (args.scratch("k_a"), self.length, b.int(self.lanes),
                                                    args.scratch("runs_a")), I64))
        self.runs_b = b.var(b.int(0))
        with b.when(b.op("not", self.b_prepacked)):
            self._prepare_b()
        self.start_a = b.load(I64, self.k_a)
        self.flat_panels = b.var(b.int(0))
        if self.isa.flat:
            swept = b.compare("ne", args["sweep_rows"], b.int(0))
            with b.when(b.op("and", self.flat, b.op("not", swept))):
                self._flat_rows()
            with b.when(b.op("and", self.flat, swept)):
                self._swept_rows()
        height = self.isa.tile.rows
        most = height * self.together
        self.strip_size = b.add(b.mul(self.length, b.int(self.stride_a)), b.int(self.slack_a))
        strips = b.mul(ceiling(b, self.rows, b.int(most)), b.int(self.together))
        before = b.add(b.mul(self.start, b.int(self.stride_a)), b.mul(block, b.int(self.slack_a)))
        self.kept = b.compare("ne", args["a_kept"], b.int(0))
        self.packed_a = b.gep(args.scratch("packed_a"), b.select(self.kept, b.mul(strips, before), b.int(0)),
                              self.library.accumulate)
        packing = b.op("and", b.op("not", self.a_in_place), b.op("or", self.first_part, b.op("not", self.kept)))
        self._plan_fetching()
        with b.loop(b.int(0), self.rows, b.int(height)) as row:
            due = b.compare("eq", b.op("rem", row, b.int(most)), b.int(0))
            with b.when(b.op("and", packing, due)):
                self._pack_a(row, b.op("min", b.int(most), b.sub(self.rows, row)))
            self._strip(row, b.op("min", b.int(height), b.sub(self.rows, row)))

    def _plan_fetching(self) -> None:
        """What full tiles of a B packed beforehand fetch ahead: the same panels of the unit's next block, each strip
        its share. `later` is where these begin, `share` how many elements of them a step brings."""
        b, args = self.b, self.args
        whole = b.mul(ceiling(b, args["columns"], b.int(self.width)), b.int(self.width))
        following = b.add(self.start, self.length)
        start = b.select(self.last_block, b.int(0), following)
        column = b.select(self.last_block, b.add(self.column0, args["part_columns"]), self.column0)
        self.later_depth = b.op("min", args["block_depth"], b.sub(args["depth"], start))
        self.later = b.add(b.mul(start, whole), b.mul(column, self.later_depth))
        strips = b.op("div", self.rows, b.int(self.isa.tile.rows))
        steps = b.op("max", b.int(1), b.mul(strips, self.length))
        self.share = b.op("min", b.int(64 // BYTES[self.library.accumulate]),
                          ceiling(b, b.mul(self.later_depth, b.int(self.width)), steps))
        more = b.op("not", b.op("and", self.last_block, self.is_last_part))
        self.fetching = b.op("and", b.op("and", self.b_prepacked, more), b.compare("gt", strips, b.int(1)))

    def _pack_a(self, row: Reg, count: Reg) -> None:
        """The rows of some strips, k-major. A vector wider than a single strip runs over into the next k."""
        b, args, accumulate = self.b, self.args, self.library.accumulate
        rows, packed = b.gep(args.scratch("rows_a"), row, "i64"), self._strip_place(row)
        given = (args.scratch("k_a"), self.length, args.scratch("runs_a"), b.get(self.runs_a), self.a_transposing)
        if self.together > 1:
            b.call("pack_group", (self.a, rows, count, *given, packed, self.strip_size))
            return
        for first in range(0, self.isa.tile.rows, self.lanes):
            with b.when(b.compare("lt", b.int(first), count)):
                b.call("pack_vector", (self.a, b.gep(rows, b.int(first), "i64"), b.sub(count, b.int(first)), *given,
                                       b.gep(packed, b.int(first), accumulate), b.int(self.stride_a)))

    def _a_base(self, row: Reg) -> Reg:
        """Where the tiles of a strip read A: where it lies, or where it is packed."""
        return self.b.select(self.a_in_place, self.a, self._strip_place(row))

    def _strip_place(self, row: Reg) -> Reg:
        """Where a strip is packed: among those packed together, or among all of the unit if it keeps them."""
        b = self.b
        strip = b.op("div", row, b.int(self.isa.tile.rows))
        strip = b.select(self.kept, strip, b.op("rem", strip, b.int(self.together)))
        return b.gep(self.packed_a, b.mul(strip, self.strip_size), self.library.accumulate)

    def _prepare_b(self) -> None:
        """What packing B needs: offsets of k and their runs."""
        b, args = self.b, self.args
        fill(b, args.group("k"), words.STRIDE_B, self.start, b.add(self.length, b.int(AHEAD)), args.scratch("k_b"))
        transposing = b.compare("ne", self.b_transposing, b.int(0))
        with b.when(b.op("or", self.b_streamed, transposing)):
            b.set(self.runs_b, b.call("find_runs", (args.scratch("k_b"), self.length, b.int(self.lanes),
                                                    args.scratch("runs_b")), I64))

    def _pack_panel(self, column: Reg, target: Reg) -> None:
        b, args = self.b, self.args
        b.call("pack_panel", (self.source, b.gep(self.columns_b, column, "i64"), b.sub(self.columns, column),
                              args.scratch("k_b"), self.length, args.scratch("runs_b"), b.get(self.runs_b),
                              self.b_transposing, target))

    def _strip(self, row: Reg, count: Reg) -> None:
        """One tile's rows across all columns of the unit; then store or epilogue if it is finished."""
        b, args = self.b, self.args
        table = b.select(self.a_in_place, b.gep(args.scratch("rows_a"), row, "i64"), args.scratch("rows_packed"))
        self.strip_a = self._a_base(row)
        staged_row = b.select(self.strip_staged, b.int(0), row)
        out_rows = b.gep(self.out_rows, staged_row, "i64")
        self._limit(b.add(self.row0, row))
        first = b.var(b.get(self.flat_panels))
        with b.when(self.b_streamed):
            self._streamed_tiles(table, out_rows, count)
            b.set(first, self.panels)
        with b.loop(b.get(first), self.panels) as panel:
            self._tile(panel, row, table, out_rows, count)
        source = b.gep(args.scratch("stage"), b.mul(staged_row, self.stage_width), self.library.accumulate)
        storing = b.compare("eq", args["c_mode"], b.int(words.STAGED))
        with b.when(b.op("and", self.last_block, storing)):
            b.call("store_rows", (source, self.stage_width, count, self.columns, self.c,
                                  b.gep(args.scratch("rows_c"), row, "i64"), self.columns_c))
        finishing = b.compare("eq", args["c_mode"], b.int(words.EPILOGUE))
        with b.when(b.op("and", self.last_block, finishing)):
            b.call(args["epilogue"], (self.epilogue_args, source, self.stage_width, self.batch,
                                      b.add(self.row0, row), self.column0, count, self.columns))

    def _limit(self, row: Reg) -> None:
        """What a triangle leaves to a strip: the bounds of k in this block of it, and of its columns."""
        b, triangle = self.b, self.args["triangle"]
        size = b.int(BLOCK)
        block = b.mul(b.op("div", row, size), size)
        behind = b.add(block, size)

        def clamped(limit: Reg) -> Reg:
            return b.op("max", b.int(0), b.op("min", self.length, b.sub(limit, self.start)))

        def when(name: str, value: Reg, otherwise: Reg) -> Reg:
            return b.select(b.compare("eq", triangle, b.int(TRIANGLES.index(name))), value, otherwise)

        self.k_begin = when("k>=m", clamped(block), b.int(0))
        self.k_count = b.sub(when("k<=m", clamped(behind), self.length), self.k_begin)
        self.last_column = when("n<=m", behind, b.add(self.column0, self.columns))

    def _streamed_tiles(self, table: Reg, out_rows: Reg, count: Reg) -> None:
        """The strip in tiles of one vector and the fewest rows that hold it, B read along k."""
        b, args, least = self.b, self.args, 0
        for rows in streamed(self.isa):
            fits = b.op("and", b.compare("gt", count, b.int(least)), b.compare("le", count, b.int(rows)))
            with b.when(fits), b.loop(b.int(0), self.columns, b.int(self.lanes)) as column:
                last = b.op("min", b.int(self.lanes), b.sub(self.columns, column))
                b.call(stream_name(rows), (
                    self.strip_a, table, self.k_a, self.source, b.gep(self.columns_b, column, "i64"),
                    args.scratch("k_b"), args.scratch("runs_b"), b.get(self.runs_b),
                    b.gep(self.out, column, self.library.accumulate), out_rows, count, last, self.adding))
            least = rows

    def _flat_rows(self) -> None:
        """Tiles of a B that is read in place, all rows past some columns before the next ones, so that it is read once.
        Sets the first panel they leave; their widths are whole panels."""
        b, args, dtype, accumulate, least = self.b, self.args, self.library.dtype, self.library.accumulate, 0
        flat, full = self.isa.flat, self.isa.tile
        choices = [(tile, tile.rows) for tile in (*flat, full)]
        choices.append((flat[-1] if 2 * flat[-1].rows >= full.rows else full, MOST_ROWS))
        for tile, most in choices:
            fits = b.op("and", b.compare("gt", self.rows, b.int(least)), b.compare("le", self.rows, b.int(most)))
            if most > full.rows:  # an epilogue takes strip after strip
                fits = b.op("and", fits, b.compare("ne", args["c_mode"], b.int(words.EPILOGUE)))
            with b.when(fits):
                whole = b.op("div", self.columns, b.int(tile.vectors * self.lanes))
                with b.loop(b.int(0), whole) as t, b.loop(b.int(0), self.rows, b.int(tile.rows)) as row:
                    column = b.mul(t, b.int(tile.vectors * self.lanes))
                    offset = b.load(I64, b.gep(self.columns_b, column, "i64"))
                    b.call(name_of(*tile, True), (
                        self.a, b.gep(args.scratch("rows_a"), row, "i64"), self.k_a, b.gep(self.source, offset, dtype),
                        args.scratch("k_b"), self.length, b.gep(self.out, column, accumulate),
                        b.gep(self.out_rows, row, "i64"), b.op("min", b.int(tile.rows), b.sub(self.rows, row)),
                        b.int(self.lanes), self.adding))
                b.set(self.flat_panels, b.mul(whole, b.int(tile.vectors // self.isa.tile.vectors)))
            least = most

    def _swept_rows(self) -> None:
        """All whole panels of a B that is read in place by a sweep; sets the first panel that it leaves."""
        b, args, library = self.b, self.args, self.library
        panels = b.op("div", self.columns, b.int(self.width))
        apart, whole, sums = args["sweep_rows"], b.mul(panels, b.int(self.width)), args.scratch("sums")
        groups = ceiling(b, self.rows, apart)
        with b.loop(b.int(0), whole, args["sweep_columns"]) as column:
            columns = b.op("min", args["sweep_columns"], b.sub(whole, column))
            offset = b.load(I64, b.gep(self.columns_b, column, "i64"))
            source = b.gep(self.source, offset, library.dtype)
            with b.loop(b.int(0), b.mul(b.mul(groups, apart), columns), b.int(self.lanes)) as i:
                b.store(b.const(0, self.isa.vector(library.accumulate)), b.gep(sums, i, library.accumulate))
            with b.loop(b.int(0), self.length, b.int(SWEEP_DEPTH)) as k:
                given = (self.a, args.scratch("rows_a"), b.gep(self.k_a, k, "i64"), source,
                         b.gep(args.scratch("k_b"), k, "i64"), b.op("min", b.int(SWEEP_DEPTH), b.sub(self.length, k)),
                         sums, columns)
                for rows in sweep_rows(self.isa):
                    with b.when(b.compare("eq", apart, b.int(rows))):
                        b.call(sweep_name(rows), given)
                self._follow(groups, given)
            b.call("store_sums", (sums, self.rows, apart, columns, b.gep(self.out, column, library.accumulate),
                                  self.out_rows, self.adding))
        b.set(self.flat_panels, panels)

    def _follow(self, groups: Reg, given: tuple[Reg, ...]) -> None:
        """The other groups of rows over what was swept, panel by panel."""
        b, accumulate, apart = self.b, self.library.accumulate, self.b.int(sweep_rows(self.isa)[-1])
        a, rows, k_a, source, k_b, depth, sums, columns = given
        kernel = b.load(PTR, self.table)
        with b.loop(b.int(0), columns, b.int(self.width)) as column, b.loop(b.int(1), groups) as group:
            place = b.mul(b.add(b.mul(group, columns), column), apart)
            b.call(kernel, (a, b.gep(rows, b.mul(group, apart), "i64"), k_a, b.gep(source, column, accumulate), k_b,
                            depth, b.gep(sums, place, accumulate)))

    def _tile(self, panel: Reg, row: Reg, rows: Reg, out_rows: Reg, count: Reg) -> None:
        b, args, accumulate = self.b, self.args, self.library.accumulate
        column = b.mul(panel, b.int(self.width))
        columns = b.op("min", b.int(self.width), b.sub(self.columns, column))
        vectors = ceiling(b, columns, b.int(self.lanes))
        last = b.sub(columns, b.mul(b.sub(vectors, b.int(1)), b.int(self.lanes)))
        ragged = b.compare("ne", last, b.int(self.lanes))
        lying = b.op("and", self.b_in_place, b.op("not", ragged))
        pointer, k_b = b.var(args.scratch("packed_b")), b.var(args.scratch("k_packed_b"))
        with b.when_else(lying) as otherwise:
            offset = b.load(I64, b.gep(self.columns_b, column, "i64"))
            b.set(pointer, b.gep(self.source, offset, self.library.dtype))
            b.set(k_b, args.scratch("k_b"))
            otherwise()
            whole = b.mul(ceiling(b, args["columns"], b.int(self.width)), b.int(self.width))
            before = b.add(b.mul(self.start, whole), b.mul(b.add(self.column0, column), self.length))
            with b.when(b.op("not", self.b_in_place)):
                place = b.mul(column, self.length)
                b.set(pointer, b.select(self.b_prepacked, b.gep(self.packed, before, accumulate),
                                        b.gep(args.scratch("packed_b"), place, accumulate)))
        out = b.gep(self.out, column, accumulate)
        height, step = self.isa.tile.rows, b.get(self.a_step)
        full = b.op("and", b.compare("eq", count, b.int(height)),
                    b.compare("eq", vectors, b.int(self.isa.tile.vectors)))
        full = b.op("and", full, b.op("and", b.compare("ne", step, b.int(0)), b.op("not", lying)))
        due = b.op("and", b.op("not", b.op("or", self.b_prepacked, lying)), b.compare("eq", row, b.int(0)))
        done = b.var(b.const(False, due.type))
        with b.when(due):
            b.set(done, self._packed_with_tile(column, b.get(pointer), b.op("and", full, b.op("not", ragged)), (
                b.gep(self.strip_a, self.start_a, accumulate), rows, step, self.length, out, out_rows, count, last,
                self.adding)))
            with b.when(b.op("not", b.get(done))):
                self._pack_panel(column, b.get(pointer))
        full = b.op("and", full, b.op("not", b.get(done)))
        with b.when_else(full) as otherwise:
            depth = self._depth(column)
            line = b.gep(b.get(pointer), b.mul(self.k_begin, b.int(self.width)), accumulate)
            start = b.gep(self.strip_a, b.add(self.start_a, b.mul(self.k_begin, step)), accumulate)
            given = (start, rows, step, line, depth, out, out_rows, count, last, self.adding)
            with b.when_else(self.fetching) as plain:
                share = b.mul(b.mul(b.op("div", row, b.int(height)), self.length), self.share)
                place = b.add(b.add(self.later, b.mul(column, self.later_depth)), share)
                b.call(FETCHING, (*given, b.gep(self.packed, place, accumulate), self.share))
                plain()
                b.call(EVEN, given)
            otherwise()
            with b.when(b.op("not", b.get(done))):
                index = b.add(b.mul(b.sub(vectors, b.int(1)), b.int(height + 1)), count)
                kernel = b.load(PTR, b.gep(self.table, index, "ptr"))
                b.call(kernel, (self.strip_a, rows, b.gep(self.k_a, self.k_begin, "i64"), b.get(pointer),
                                b.gep(b.get(k_b), self.k_begin, "i64"), self._depth(column), out, out_rows, count,
                                last, self.adding))

    def _packed_with_tile(self, column: Reg, target: Reg, full: Reg, tile: tuple[Reg, ...]) -> Reg:
        """Pack a panel and compute its first tile at once, if the tile is full and B's columns are neighbours there;
        whether it was done."""
        b, args, library = self.b, self.args, self.library
        if library.dtype != library.accumulate:
            return b.const(False, full.type)
        able = b.var(b.op("and", full, b.op("and", b.compare("eq", args["b_mode"], b.int(words.BY_VECTORS)),
                                            b.compare("eq", args["triangle"], b.int(0)))))
        offsets = b.gep(self.columns_b, column, "i64")
        with b.when(b.get(able)):
            b.set(able, lie_side_by_side(b, offsets, self.lanes, self.isa.tile.vectors))
        with b.when(b.get(able)):
            b.call(PACKING, (target, b.gep(self.source, b.load(I64, offsets), library.dtype), args.scratch("k_b"),
                             *tile))
        return b.get(able)

    def _depth(self, column: Reg) -> Reg:
        """Steps of k of a tile."""
        b = self.b
        return b.select(b.compare("lt", b.add(self.column0, column), self.last_column), self.k_count, b.int(0))
