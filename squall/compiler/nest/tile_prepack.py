"""The kernel that packs B into tiles beforehand, for weights that are kept: what `tile_driver` otherwise does in each
call, for all of B.
"""

from __future__ import annotations

from squall.compiler.nest import arguments as words
from squall.compiler.nest.arguments import Arguments
from squall.compiler.nest.common import Library, batch_offsets, ceiling, entry_name, fill
from squall.compiler.nest.isa import Isa
from squall.compiler.nest.part_pack import SLOT_BYTES, pack_parts
from squall.compiler.nest.pieces import BITS, STEP
from squall.compiler.nest.tables import fill_offsets
from squall.compiler.nest.tile_pack import LINE_BYTES, SIDE, TILE_BYTES, pack_name, pack_tile, tile_steps
from squall.ir.linear import I64, Builder, Program

PACK_TILES, PACK_PARTS = "pack_tiles", "pack_parts"  # the roles of its libraries


def build_prepacking(isa: Isa, library: Library) -> Program:
    """The program. Units are (batch of B, 16 columns); each packs its tiles of every block of k. Of a block of k, tiles
    along k follow one another, then come those of the next columns; blocks follow one another."""
    b = Builder.kernel(entry_name(library))
    args, parts = Arguments(b), library.role == PACK_PARTS
    steps, slot = (STEP, SLOT_BYTES) if parts else (tile_steps(library.dtype), TILE_BYTES)
    columns, depth = args["columns"], args["depth"]
    groups, blocks = ceiling(b, columns, b.int(SIDE)), ceiling(b, depth, args["block_depth"])
    along = b.cast(b.compare("eq", args["b_mode"], b.int(words.BY_TRANSPOSING)), I64)
    with b.loop(b.begin, b.end) as unit:
        group = b.op("rem", unit, groups)
        source, target = batch_offsets(b, args.group("batch"), b.op("div", unit, groups),
                                       (words.STRIDE_B, words.STRIDE_PACKED))
        first = b.mul(group, b.int(SIDE))
        valid = b.op("min", b.int(SIDE), b.sub(columns, first))
        fill(b, args.group("n"), words.STRIDE_B, first, valid, args.scratch("columns_b"))
        sizes = b.gep(b.gep(args["packed"], target, library.accumulate), b.mul(group, b.int(LINE_BYTES)), "i8")
        sizes = b.gep(sizes, b.mul(b.mul(groups, ceiling(b, depth, b.int(steps))), b.int(slot)), "i8")
        if parts:
            b.store(b.const(0, BITS), sizes)
        with b.loop(b.int(0), blocks) as block:
            start = b.mul(block, args["block_depth"])
            length = b.op("min", args["block_depth"], b.sub(depth, start))
            fill(b, args.group("k"), words.STRIDE_B, start, length, args.scratch("k_b"))
            tiles = ceiling(b, length, b.int(steps))
            before = b.mul(b.mul(block, ceiling(b, args["block_depth"], b.int(steps))), groups)
            before = b.add(before, b.mul(group, tiles))
            place = b.gep(b.gep(args["packed"], target, library.accumulate), b.mul(before, b.int(slot)), "i8")
            with b.loop(b.int(0), tiles) as tile:
                k = b.mul(tile, b.int(steps))
                given = (b.gep(args["b"], source, library.dtype), args.scratch("columns_b"), valid,
                         b.gep(args.scratch("k_b"), k, "i64"), b.sub(length, k), along,
                         b.gep(place, b.mul(tile, b.int(slot)), "i8"))
                b.call(pack_name(True), (*given, sizes, sizes) if parts else given)
    entry = b.finish()
    packer = pack_parts(True) if parts else pack_tile(library.dtype, True)
    return Program((fill_offsets(isa.register_bytes // 8), packer, entry), entry.name)
