"""The kernel that packs B beforehand, for units that share it and for weights that are kept."""

from __future__ import annotations

from squall.compiler.nest import arguments as words
from squall.compiler.nest.arguments import Arguments
from squall.compiler.nest.common import Library, batch_offsets, ceiling, entry_name, fill
from squall.compiler.nest.isa import Isa
from squall.ir.linear import I64, Builder, Function


def prepack_driver(isa: Isa, library: Library) -> Function:
    """Units are (batch of B, panel); `c` is not read. Each unit packs one panel of every block of k."""
    b = Builder.kernel(entry_name(library))
    args = Arguments(b)
    width, columns, depth = b.int(isa.columns(library.accumulate)), args["columns"], args["depth"]
    panels = ceiling(b, columns, width)
    padded, lanes = b.mul(panels, width), b.int(isa.lanes(library.accumulate))
    blocks = ceiling(b, depth, args["block_depth"])
    transposing = b.cast(b.compare("eq", args["b_mode"], b.int(words.BY_TRANSPOSING)), I64)
    with b.loop(b.begin, b.end) as unit:
        panel = b.op("rem", unit, panels)
        source, target = batch_offsets(b, args.group("batch"), b.op("div", unit, panels),
                                        (words.STRIDE_B, words.STRIDE_PACKED))
        first = b.mul(panel, width)
        valid = b.op("min", width, b.sub(columns, first))
        fill(b, args.group("n"), words.STRIDE_B, first, valid, args.scratch("columns_b"))
        with b.loop(b.int(0), blocks) as block:
            start = b.mul(block, args["block_depth"])
            length = b.op("min", args["block_depth"], b.sub(depth, start))
            fill(b, args.group("k"), words.STRIDE_B, start, length, args.scratch("k_b"))
            runs = b.call("find_runs", (args.scratch("k_b"), length, lanes, args.scratch("runs_b")), I64)
            place = b.add(target, b.add(b.mul(start, padded), b.mul(first, length)))
            b.call("pack_panel", (b.gep(args["b"], source, library.dtype), args.scratch("columns_b"), valid,
                                  args.scratch("k_b"), length, args.scratch("runs_b"), runs, transposing,
                                  b.gep(args["packed"], place, library.accumulate)))
    return b.finish()
