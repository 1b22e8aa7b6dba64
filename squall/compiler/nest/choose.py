"""Choosing how a contraction runs: orientation, what is packed, and the blocks that become units.

A cost model in machine cycles with a handful of measured constants. It decides speed only: any choice gives the same
bits. It is plain arithmetic on a few numbers and takes some tens of microseconds; plans are memoised by their caller.
"""

from __future__ import annotations

from typing import NamedTuple

from squall.compiler.nest import arguments as words
from squall.compiler.nest.isa import Isa
from squall.compiler.nest.spec import Contraction, Dimension, Oriented, orient
from squall.compiler.nest.stream import ROWS as STREAMED_ROWS
from squall.ir.linear import BYTES

DEPTH_BYTES = 2048  # the deepest block of k, in bytes of the accumulate dtype: part of what fixes a result's bits
PACKED_BYTES = 5 << 18  # packed blocks stay in the second-level cache
STAGE_BYTES = 1 << 19
NEAR_BYTES = 3 << 13  # an operand of at most this stays in the first-level cache while it is used
MOST_ROWS = 2048
UNIT_CYCLES = 30_000.0  # work shorter than this is not worth handing to another thread
SERIAL_CYCLES = 60_000.0  # nor is a whole contraction shorter than this
UNITS_PER_THREAD = 4

# cycles per element moved: packed by copies, in pieces, transposed, one by one; converted; read where it lies, along k
# or a line of rows at each k
COPY, PIECES, TRANSPOSE, ELEMENT, CONVERT, NEAR, LINES = 0.12, 0.3, 0.45, 2.0, 0.1, 0.02, 0.5


class Choice(NamedTuple):
    """How to run one contraction; `cycles` is the estimate for one thread."""

    oriented: Oriented
    a_mode: int
    b_mode: int
    c_mode: int
    block_depth: int
    block_rows: int
    block_columns: int
    units: int
    grain: int
    cycles: float


def _ceiling(value: int, by: int) -> int:
    return -(-value // by)


def block_depth(depth: int, accumulate: str) -> int:
    """The depth of k's blocks: a function of k's extent and the dtype alone, since it fixes the order of summation."""
    most = DEPTH_BYTES // BYTES[accumulate]
    blocks = max(1, _ceiling(depth, most))
    return max(1, min(depth, _ceiling(_ceiling(depth, blocks), 16) * 16))


def inner_run(dims: tuple[Dimension, ...], operand: str, either_way: bool = False) -> int:
    """How many consecutive indices of a group are consecutive elements of an operand, upwards or `either_way`."""
    run = 1
    for dim in reversed(dims):
        stride = getattr(dim, f"{operand}_stride")
        if dim.extent != 1 and (abs(stride) if either_way else stride) != run:
            break
        run *= dim.extent
    return max(1, run)


def stays_near(dims: tuple[Dimension, ...], operand: str, across: int, size: int) -> bool:
    """Whether the lines of an operand, `across` elements at each k, all fit in the first-level cache: there are not too
    many, and strides of large powers of two do not crowd them into a few of its sets."""
    lines = -(-across * size // 64)
    depth = 1
    for dim in dims:
        depth *= dim.extent
    stride = min((abs(getattr(dim, f"{operand}_stride")) * size for dim in dims if dim.extent != 1), default=0)
    crowded = stride >= 64 and depth > 8 * max(1, 4096 // (stride & -stride))
    return lines * depth * 64 <= NEAR_BYTES and not crowded


def tile_cycles(rows: int, vectors: int) -> float:
    """Cycles of one k step of a tile: multiply-adds, loads, and the latency of the chains."""
    return max(rows * vectors / 2, (rows + vectors + 2) / 2, 4.0)


def compute_cycles(isa: Isa, lanes: int, rows: int, columns: int, depth: int) -> float:
    """Cycles of the microkernels of one batch."""
    vectors = _ceiling(columns, lanes)
    panels, rest = divmod(vectors, isa.tile.vectors)
    tiles, few = divmod(rows, isa.tile.rows)
    total = 0.0
    for count, height in ((tiles, isa.tile.rows), (1, few)):
        if count and height:
            wide = tile_cycles(isa.rows_for(height, isa.tile.vectors), isa.tile.vectors)
            narrow = tile_cycles(isa.rows_for(height, rest), rest) if rest else 0.0
            total += count * ((panels * wide + narrow) * depth + (panels + bool(rest)) * 40)
    return total


def pack_cost(isa: Isa, lanes: int, scalar: str, accumulate: str, across: int, along: int) -> tuple[int, float]:
    """The cheaper way to pack an operand, of runs `across` the vector and `along` k: mode and cycles per element."""
    masked = isa.can_mask(scalar)
    if across >= lanes:
        copy = COPY if across % lanes == 0 or across > 16 * lanes else PIECES if masked else ELEMENT / 2
    else:
        copy = PIECES if masked and across >= lanes // 4 + 1 else ELEMENT
    transposed = TRANSPOSE * lanes / min(lanes, along) if masked or along >= lanes else ELEMENT
    convert = CONVERT if scalar != accumulate else 0.0
    if transposed < copy and along > 1:
        return words.BY_TRANSPOSING, transposed + convert
    return words.BY_VECTORS, copy + convert


def result_mode(contraction: Contraction, groups: dict, epilogue: bool) -> tuple[int, float]:
    """How tiles reach C, and cycles per element."""
    if epilogue:
        return words.EPILOGUE, 0.0
    columns = groups["n"]
    same = (contraction.result or contraction.dtype) == contraction.accumulate
    if same and len(columns) == 1 and (columns[0].c_stride == 1 or columns[0].extent == 1):
        return words.DIRECT, 0.0
    if columns[-1].c_stride == 1:
        return words.STAGED, 0.3
    if groups["m"][-1].c_stride == 1:
        return words.STAGED_TRANSPOSED, 0.6
    return words.STAGED, ELEMENT


def choose(contraction: Contraction, isa: Isa, threads: int = 1, epilogue: bool = False,
           prepacked: bool = False, swapped: bool | None = None) -> Choice:
    """The cheapest way to run a contraction.

    Arguments: the contraction; the instruction set; threads of the pool; whether an epilogue takes the tiles; whether
    B comes packed (then it stays B); `swapped` forces an orientation.
    Result: a `Choice`. Equal arguments give equal choices.
    """
    if prepacked:
        swapped = False
    candidates = [False, True] if swapped is None else [swapped]
    choices = [_choose(contraction, isa, threads, epilogue, prepacked, s) for s in candidates]
    return min(choices, key=lambda choice: choice.cycles)


def _choose(contraction: Contraction, isa: Isa, threads: int, epilogue: bool, prepacked: bool, swapped: bool) -> Choice:
    accumulate, scalar = contraction.accumulate, contraction.dtype
    lanes, width = isa.lanes(accumulate), isa.columns(accumulate)
    oriented = orient(contraction, swapped, lanes)
    groups = oriented.groups
    batch, rows, columns, depth = (oriented.extent(kind) for kind in ("batch", "m", "n", "k"))
    convert = scalar != accumulate
    run_k_a, run_m = inner_run(groups["k"], "a"), inner_run(groups["m"], "a")
    run_k_b, run_n = inner_run(groups["k"], "b"), inner_run(groups["n"], "b")
    a_mode, a_cost = pack_cost(isa, lanes, scalar, accumulate, run_m, run_k_a)
    b_mode, b_cost = pack_cost(isa, lanes, scalar, accumulate, run_n, run_k_b)
    c_mode, c_cost = result_mode(contraction, groups, epilogue)
    if not convert:
        near = inner_run(groups["k"], "a", True) >= 4
        small = run_m == rows and stays_near(groups["k"], "a", rows, BYTES[scalar])
        lying = NEAR if near or small else LINES if run_m >= isa.tile.rows else ELEMENT
        if near or small or (columns <= width and lying < a_cost):
            a_mode, a_cost = words.IN_PLACE, lying
    if prepacked:
        b_mode, b_cost = words.PREPACKED, 0.0
    elif not convert and len(groups["n"]) == 1 and run_n >= lanes and run_n == columns and (
            rows <= 2 * isa.tile.rows or stays_near(groups["k"], "b", columns, BYTES[scalar])):
        b_mode, b_cost = words.IN_PLACE, 0.05
    elif rows <= STREAMED_ROWS and run_k_b >= 2 * lanes and b_mode == words.BY_TRANSPOSING:
        b_mode, b_cost = words.STREAMED, TRANSPOSE
    deep = block_depth(depth, accumulate)
    size = BYTES[accumulate]
    most_columns = max(width, PACKED_BYTES // (deep * size) // width * width)
    most_rows = MOST_ROWS
    work = compute_cycles(isa, lanes, rows, columns, depth) * batch
    b_pack, a_pack = (cost * lanes / 16 * depth * batch for cost in (b_cost * columns, a_cost * rows))
    wanted = 1
    if threads > 1 and work > SERIAL_CYCLES:
        wanted = max(1, min(threads * UNITS_PER_THREAD, int(work / UNIT_CYCLES)))
    splits = _splits(isa, rows, columns, most_rows, most_columns, _ceiling(wanted, max(1, batch)), width)
    row_blocks, column_blocks = min(splits, key=lambda split: b_pack * split[0] + a_pack * split[1])
    block_columns = max(1, _ceiling(_ceiling(columns, column_blocks), width)) * width
    block_rows = max(1, _ceiling(_ceiling(rows, row_blocks), isa.tile.rows)) * isa.tile.rows
    if c_mode != words.DIRECT:
        limit = max(isa.tile.rows, STAGE_BYTES // (block_columns * size) // isa.tile.rows * isa.tile.rows)
        block_rows = min(block_rows, limit)
    row_blocks, column_blocks = _ceiling(rows, block_rows), _ceiling(columns, block_columns)
    units = batch * row_blocks * column_blocks
    cycles = work + b_pack * max(1, row_blocks) + a_pack * max(1, column_blocks) + c_cost * rows * columns * batch
    grain = max(1, units)
    if threads > 1 and work > SERIAL_CYCLES:
        grain = max(1, min(int(UNIT_CYCLES * units / work), _ceiling(units, threads * UNITS_PER_THREAD)))
    return Choice(oriented, a_mode, b_mode, c_mode, deep, block_rows, block_columns, units, grain, cycles)


def _splits(isa: Isa, rows: int, columns: int, most_rows: int, most_columns: int, wanted: int, width: int):
    """Candidate numbers of blocks of rows and columns that give at least `wanted` units where the extents allow."""
    least_rows, least_columns = max(1, _ceiling(rows, most_rows)), max(1, _ceiling(columns, most_columns))
    highest_rows, highest_columns = max(1, _ceiling(rows, isa.tile.rows)), max(1, _ceiling(columns, width))
    seen = least_columns
    while True:
        column_blocks = min(seen, highest_columns)
        row_blocks = min(max(least_rows, _ceiling(wanted, column_blocks)), highest_rows)
        yield row_blocks, column_blocks
        if seen >= highest_columns or seen >= wanted:
            return
        seen *= 2
