"""The contracting kernel for float32 on matrix tiles of bfloat16 (AMX): each operand in three parts, see `pieces`.

It is `tile_driver` with other packing and other products; a step of k is 32 elements and has three tiles. An element is
a chain over steps of k in ascending order, for each step the six products of tiles in `ORDER`; k is cut into blocks by
its extent alone, and blocks' sums are added in ascending order. Where the nest exchanges A and B the order of parts is
exchanged as well, so no bit depends on orientation, units, layout, or who packed.

Elements that parts cannot tell, since their row of A or column of B holds an infinity, NaN, or only numbers that are
very small or very large, are chains of float32 multiply-adds instead: see `part_mend`.
"""

from __future__ import annotations

from squall.compiler.nest import arguments as words
from squall.compiler.nest.common import Library, ceiling, fill
from squall.compiler.nest.dots import PARAMETERS
from squall.compiler.nest.isa import ISAS, Isa
from squall.compiler.nest.part_ahead import FOLD, REST, WORDS, Ahead, begin, fold_sizes, pack_rest
from squall.compiler.nest.part_mend import any_far, chain_tile, find_strange, mend
from squall.compiler.nest.part_pack import SLOT_BYTES, pack_parts
from squall.compiler.nest.pieces import BITS, ORDER, SIDE, STEP, VECTOR
from squall.compiler.nest.store import store_lines, store_rows, store_transposed
from squall.compiler.nest.tables import fill_offsets, find_runs
from squall.compiler.nest.tile_driver import GROUP, PAIR, TileDriver, begin_sums, tiled
from squall.compiler.nest.tile_pack import LINE_BYTES, TILE_BYTES, pack_name
from squall.ir.linear import I64, PTR, Builder, Function, Program, Reg

PART_PARAMETERS = (*PARAMETERS, PTR, PTR, I64)  # and a job, its tops, and how many lines to pack at a time
ADD = "add_block"


def multiply_parts(rows: int, columns: int, mirrored: bool) -> Function:
    """`tiles_RxC`, or `mirrored_RxC`, with the operands of `multiply_tiles`: steps of three tiles."""
    b = Builder(f"{'mirrored' if mirrored else 'tiles'}_{rows}x{columns}", PART_PARAMETERS)
    a, line_a, step_a, apart_a, other, apart_b, count, c, stride, adding, job, tops, share = b.parameters
    line, results = b.int(LINE_BYTES), [(i, j) for i in range(rows) for j in range(columns)]
    order = tuple((y, x) for x, y in ORDER) if mirrored else ORDER
    last = b.sub(count, b.int(1))

    def load(step: Reg, wanted: tuple[int, int], held: tuple[int, int]) -> None:
        sides = ((a, step_a, apart_a, line_a, 4, rows), (other, b.int(SLOT_BYTES), apart_b, line, 6, columns))
        for (start, by, apart, lines, first, n), part, old in zip(sides, wanted, held, strict=True):
            for i in range(n if part != old else 0):
                offset = b.add(b.add(b.mul(step, by), b.mul(apart, b.int(i))), b.int(part * TILE_BYTES))
                b.emit("tile", None, (b.gep(start, offset, "i8"), lines), ("load", first + i))

    store = begin_sums(b, c, stride, adding, results)
    ahead = Ahead(b, job, tops, SLOT_BYTES) if rows == columns == 2 else None
    with b.when(b.compare("gt", count, b.int(0))):
        load(b.int(0), order[0], (-1, -1))
    with b.loop(b.int(0), count) as t:
        for number, parts in enumerate(order):
            for i, j in results:
                b.emit("tile", None, (), ("dot", 2 * i + j, 4 + i, 6 + j, "bf16"))
            if number + 1 < len(order):
                load(t, order[number + 1], parts)
            else:
                load(b.op("min", b.add(t, b.int(1)), last), order[0], (-1, -1))
            if ahead:
                ahead.pack(share)
    if ahead:
        ahead.keep()
    store()
    return b.finish()


def add_block() -> Function:
    """`add_block(stage, fresh, width, rows, columns)`: the sums of one more block of k."""
    b = Builder(ADD, (PTR, PTR, I64, I64, I64))
    stage, fresh, width, rows, columns = b.parameters
    with b.loop(b.int(0), rows) as i, b.loop(b.int(0), columns, b.int(SIDE)) as j:
        at = b.add(b.mul(i, width), j)
        place = b.gep(stage, at, "f32")
        b.store(b.add(b.load(VECTOR, place), b.load(VECTOR, b.gep(fresh, at, "f32"))), place)
    return b.finish()


def build_parts(library: Library) -> Program:
    """The program of a library whose role is `PARTS`."""
    isa, sizes = tiled(ISAS[library.isa]), [(rows, columns) for rows in (1, 2) for columns in (1, 2)]
    functions = [fill_offsets(isa.register_bytes // 8), find_runs(),
                 *(pack_parts(by_words) for by_words in (False, True)), pack_rest(SLOT_BYTES), fold_sizes(PAIR),
                 *(multiply_parts(*size, mirrored) for mirrored in (False, True) for size in sizes),
                 add_block(), find_strange(), chain_tile(), mend(),
                 *(make(isa, library.result, library.accumulate)
                   for make in (store_rows, store_lines, store_transposed))]
    entry = PartDriver(isa, library).build()
    return Program((*functions, entry), entry.name)


class PartDriver(TileDriver):
    """Writes the kernel."""

    slot, near = SLOT_BYTES, 4  # the parts of two rows of so many steps of A take 24 KB

    def __init__(self, isa: Isa, library: Library):
        super().__init__(isa, library)
        self.sums, self.tops = self.b.alloca(VECTOR, SIDE), self.b.alloca(BITS, SIDE)
        self.levels = self.b.alloca(BITS, 2)
        self.next, self.next_tops = self.b.alloca(I64, len(WORDS)), self.b.alloca(BITS, PAIR + 1)
        self.nowhere = self.b.alloca(I64, 1)
        self.b.store(self.b.int(0), self.nowhere)
        begin(self.b, self.next, {"offsets": self.nowhere})

    def _steps(self) -> int:
        return STEP

    def _part(self) -> None:
        """Some columns of a unit: no sizes are known yet, unless B comes packed with them."""
        b, args = self.b, self.args
        self.sizes_a, self.sizes_b = args.scratch("sizes_a"), args.scratch("sizes_b")
        with b.when(self.first_part):
            self._clear(self.tops, b.int(SIDE * SIDE), SIDE)
            self._clear(self.sizes_a, self.rows, PAIR)
        self._clear(self.sizes_b, self.columns, GROUP)
        groups = ceiling(b, args["columns"], b.int(SIDE))
        behind = b.mul(b.mul(groups, ceiling(b, args["depth"], b.int(STEP))), b.int(SLOT_BYTES))
        kept = b.gep(b.gep(self.packed, behind, "i8"), self.column0, "u32")
        with b.when(self.b_prepacked), b.loop(b.int(0), self.columns, b.int(SIDE)) as j:
            b.store(b.load(BITS, b.gep(kept, j, "u32")), b.gep(self.sizes_b, j, "u32"))
        super()._part()

    def _clear(self, place: Reg, count: Reg, by: int) -> None:
        """Zeros, at least `count`, a multiple of `by`."""
        b = self.b
        with b.loop(b.int(0), count, b.int(by)) as i:
            for lane in range(0, by, SIDE):
                b.store(b.const(0, BITS), b.gep(place, b.add(i, b.int(lane)), "u32"))

    def _block(self, block: Reg) -> None:
        self.later, self.adding = self.adding, self.b.int(0)
        super()._block(block)

    def _meet_rows(self, row: Reg, count: Reg) -> None:
        """A strip of A in tiles: what of it was not packed ahead is now, and the next is begun."""
        b, args = self.b, self.args
        kept = b.compare("ne", args["a_kept"], b.int(0))
        along = b.op("or", b.cast(self.a_in_place, I64), self.a_transposing)
        packed = self._strip_place(row, kept)
        self.rows_a = packed, b.int(LINE_BYTES), b.int(SLOT_BYTES), self.apart
        share = ceiling(b, b.int(PAIR), b.mul(b.int(len(ORDER)), ceiling(b, self.columns, b.int(PAIR))))
        self.job = self.next, self.next_tops, share
        with (b.when(b.op("or", self.first_part, b.op("not", kept))),
              b.when_else(b.compare("ne", along, b.int(0))) as otherwise):
            with b.when(b.compare("eq", row, b.int(0))):
                self._begin(row, packed)
            b.call(REST, (self.next, self.next_tops))
            with b.when(b.compare("ge", self.length, b.int(STEP))):
                b.call(FOLD, (self.next_tops, b.gep(self.sizes_a, row, "u32")))
            self._pack_short_step(row, count, packed)
            after = b.add(row, b.int(PAIR))
            with b.when(b.compare("lt", after, self.rows)):
                self._begin(after, self._strip_place(after, kept))
            otherwise()
            self._pack(False, self.a, b.gep(args.scratch("rows_a"), row, "i64"), count, packed, row)

    def _pack_short_step(self, row: Reg, count: Reg, packed: Reg) -> None:
        """The last step of a strip, where it is not a whole one: those are packed ahead."""
        b, args = self.b, self.args
        tile = b.op("div", self.length, b.int(STEP))
        k = b.mul(tile, b.int(STEP))
        with b.when(b.compare("lt", k, self.length)), b.loop(b.int(0), count, b.int(SIDE)) as first:
            group, at = b.op("div", first, b.int(SIDE)), b.add(row, first)
            place = b.add(b.mul(group, self.apart), b.mul(tile, b.int(SLOT_BYTES)))
            self._pack_tile(False, at, (
                self.a, b.gep(args.scratch("rows_a"), at, "i64"), b.op("min", b.int(SIDE), b.sub(count, first)),
                b.gep(args.scratch("k_a"), k, "i64"), b.sub(self.length, k), b.int(1), b.gep(packed, place, "i8")))

    def _strip_place(self, row: Reg, kept: Reg) -> Reg:
        """Where a strip of A is packed: one of two places, or one of its own where all parts of columns of a unit
        share it."""
        b = self.b
        groups = b.mul(ceiling(b, self.rows, b.int(PAIR)), b.int(PAIR // SIDE))
        before = b.mul(b.mul(b.op("div", self.start, b.int(STEP)), b.int(SLOT_BYTES)), groups)
        before = b.add(before, b.mul(b.op("div", row, b.int(SIDE)), self.apart))
        other = b.mul(b.op("rem", b.op("div", row, b.int(SIDE)), b.int(2 * PAIR // SIDE)), self.apart)
        return b.gep(self.args.scratch("packed_a"), b.select(kept, before, other), "i8")

    def _begin(self, row: Reg, packed: Reg) -> None:
        """Begin with a strip."""
        b = self.b
        steps = b.op("div", self.length, b.int(STEP))
        b.store(b.const(0, BITS), self.next_tops)
        begin(b, self.next, {"left": b.mul(steps, b.int(PAIR)), "steps": steps, "apart": self.apart,
                            "source": self.a, "k_table": self.args.scratch("k_a"), "target": packed,
                            "offsets": b.gep(self.args.scratch("rows_a"), row, "i64")})

    def _pack_tile(self, is_b: bool, first: Reg, given: tuple[Reg, ...]) -> None:
        sizes = self.b.gep(self.sizes_b if is_b else self.sizes_a, first, "u32")
        self.b.call(pack_name(is_b), (*given, sizes, self.tops))

    def _group(self, row: Reg, count: Reg, column: Reg, strip: Reg, tile: Reg) -> None:
        """As in `tile_driver`; the sums of a later block of k are made apart, and then added."""
        b = self.b
        columns = b.op("min", b.int(GROUP), b.sub(self.columns, column))
        at = b.select(self.transposed, column, b.mul(column, b.int(PAIR)))
        width = b.select(self.transposed, self.stage_width, b.int(GROUP))
        later = b.compare("ne", self.later, b.int(0))
        stage, fresh = b.gep(strip, at, "f32"), b.gep(self.args.scratch("sums"), at, "f32")
        target = b.select(later, fresh, stage)
        with b.loop(b.int(0), columns, b.int(PAIR)) as j:
            self._multiply(count, b.add(column, j), b.gep(target, j, "f32"), width, tile, b.int(self.near))
        done = b.compare("ge", b.add(tile, b.int(self.near)), self.tiles)
        with b.when(b.op("and", done, later)):
            b.call(ADD, (stage, fresh, width, count, columns))
        with b.when(b.op("and", self.last_block, done)):
            sizes = [b.load(BITS, b.gep(self.sizes_a, b.add(row, b.int(i)), "u32")) for i in range(0, PAIR, SIDE)]
            sizes += [b.load(BITS, b.gep(self.sizes_b, b.add(column, b.int(j)), "u32")) for j in range(0, GROUP, SIDE)]
            with b.when(any_far(b, sizes)):
                self._mend(row, count, column, columns, stage, width)
            self._finish(row, count, column, columns, stage, width)

    def _mend(self, row: Reg, count: Reg, column: Reg, columns: Reg, stage: Reg, width: Reg) -> None:
        """Compute anew, from the operands, what parts cannot tell of a group."""
        b, args = self.b, self.args
        k_a, k_b, k = args.scratch("k_packed_a"), args.scratch("k_packed_b"), args.group("k")
        with b.loop(b.int(0), count, b.int(SIDE)) as i, b.loop(b.int(0), columns, b.int(SIDE)) as j:
            first, left = b.add(row, i), b.add(column, j)
            found = b.call("find_strange", (b.gep(self.sizes_a, first, "u32"), b.gep(self.sizes_b, left, "u32"),
                                            self.levels), I64)
            with b.when(b.compare("ne", found, b.int(0))):
                for r in range(SIDE):
                    b.store(b.const(0.0, VECTOR), b.gep(self.sums, b.int(r * SIDE), "f32"))
                with b.loop(b.int(0), args["depth"], args["block_depth"]) as start:
                    length = b.op("min", args["block_depth"], b.sub(args["depth"], start))
                    fill(b, k, words.STRIDE_A, start, length, k_a)
                    fill(b, k, words.STRIDE_B, start, length, k_b)
                    valid = b.op("min", b.int(SIDE), b.sub(columns, j))
                    b.call("chain_tile", (self.a, b.gep(args.scratch("rows_a"), first, "i64"), self.source,
                                          b.gep(self.columns_b, left, "i64"), valid, k_a, k_b, length, self.sums))
                b.call("mend", (self.sums, b.op("min", b.int(SIDE), b.sub(count, i)), self.levels,
                                b.gep(stage, b.add(b.mul(i, width), j), "f32"), width))

    def _kernels(self) -> list[tuple[str, Reg]]:
        turned = self.b.compare("ne", self.args["mirrored"], self.b.int(0))
        return [("tiles", self.b.op("not", turned)), ("mirrored", turned)]
