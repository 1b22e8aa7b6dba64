"""Choosing how a contraction runs: orientation, what is packed, and the blocks that become units.

A cost model in machine cycles with a handful of measured constants. It decides speed only: any choice gives the same
bits. It is plain arithmetic on a few numbers: a tenth of a millisecond, a few tenths where units are shared out to
threads; plans are memoised by their caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from squall.compiler.nest import arguments as words
from squall.compiler.nest.isa import ISAS, MOST_ROWS, Isa
from squall.compiler.nest.spec import Contraction, Dimension, Oriented, orient
from squall.compiler.nest.sweep import SUMS_BYTES, sweep_rows
from squall.ir.linear import BYTES

DEPTH_BYTES = 3072  # the deepest block of k, in bytes of the accumulate dtype: part of what fixes a result's bits
PACKED_BYTES = 5 << 18  # packed blocks stay in the second-level cache
PART_BYTES = 5 << 17  # packed at once of B, where that does not mean to pack A again: less is evicted meanwhile
FLAT_ROWS = 24  # up to so many rows read a B in place that lies along its columns
SWEPT_ROWS, SWEPT_COLUMNS = 32, 256  # up to so many rows sweep over a B of at least so many columns
STAGE_BYTES = 1 << 19
KEPT_BYTES = 1 << 23  # of a packed A that is kept for all columns of a unit
KEPT_ROWS = 768  # not fewer rows than this at once for its sake
MOST_COLUMNS = 1 << 14  # then
FETCHED_ROWS = 128  # up to so many a packed B is read panel by panel
NEAR_BYTES = 3 << 13  # an operand of at most this stays in the first-level cache while it is used
UNIT_CYCLES = 30_000.0  # work shorter than this is not worth handing to another thread
SERIAL_CYCLES = 60_000.0  # nor is a whole contraction shorter than this
OTHER_CYCLES, OTHER_GAIN = 4e6, 0.97  # from where another shape of tiles is worth compiling, and what it must save
OTHER_PACKED = 2e5  # the same where B comes packed: such programs are compiled to be run often
OTHER_COLUMNS = 512  # up to so many it need not, where A is read in place: its tiles read fewer rows at once
READ_BYTES = 8.0  # a cycle, from farther caches or memory
UNIT_OVERHEAD = 1500.0
UNITS_PER_THREAD = 4
MOST_UNITS = 8  # per thread, where the extents do not ask for more
HELD_UP = 0.1
# cycles per element to pack what was written elsewhere, to read what was packed beforehand, and to read A past a panel
COLD, STREAM, PASSED = 0.5, 0.25, 0.1

# cycles per element moved: packed by copies, in pieces, transposed, one by one; converted; read where it lies, along k
# or a line of rows at each k
COPY, PIECES, TRANSPOSE, ELEMENT, CONVERT, NEAR, LINES = 0.12, 0.3, 0.45, 2.0, 0.1, 0.02, 0.5


class Choice(NamedTuple):
    """How to run one contraction; `cycles` is the estimate for one thread, `isa` names other tiles.
    `sweep_rows` at once and `sweep_columns` are those of a sweep over B (0: there is none)."""

    oriented: Oriented
    a_mode: int
    b_mode: int
    c_mode: int
    block_depth: int
    block_rows: int
    block_columns: int
    part_columns: int
    units: int
    grain: int
    cycles: float
    sweep_rows: int = 0
    sweep_columns: int = 0
    isa: str = ""


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


def least_stride(dims: tuple[Dimension, ...], operand: str) -> int:
    """The smallest step of a group in an operand, in elements."""
    return min((abs(getattr(dim, f"{operand}_stride")) for dim in dims if dim.extent != 1), default=0)


def stays_near(dims: tuple[Dimension, ...], operand: str, across: int, size: int) -> bool:
    """Whether the lines of an operand, `across` elements at each k, all fit in the first-level cache: there are not too
    many, and strides of large powers of two do not crowd them into a few of its sets."""
    lines = -(-across * size // 64)
    depth = 1
    for dim in dims:
        depth *= dim.extent
    stride = least_stride(dims, operand) * size
    return lines * depth * 64 <= NEAR_BYTES and not (stride >= 64 and depth > 8 * max(1, 4096 // (stride & -stride)))


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


def _flat_rows(isa: Isa, a_mode: int, stride: int) -> int:
    """Up to how many rows B is read in place, its rows `stride` bytes apart: many pass the same columns of it, unless
    pages apart lines crowd into a few sets of the second-level cache."""
    if a_mode != words.IN_PLACE:
        return 2 * isa.tile.rows
    return isa.tile.rows if stride >= 4096 and stride & -stride >= 4096 else FLAT_ROWS


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


def is_kept(choice: Choice) -> bool:
    """Whether a unit keeps all of A that it packs, for its parts of columns to share."""
    return choice.a_mode != words.IN_PLACE and choice.part_columns < min(choice.block_columns,
                                                                         choice.oriented.extent("n"))


def is_strip_staged(choice: Choice) -> bool:
    """Whether the stage holds one strip: an epilogue takes it at once, since there is one block of k."""
    return choice.c_mode == words.EPILOGUE and choice.oriented.extent("k") <= choice.block_depth


def choose(contraction: Contraction, isa: Isa, threads: int = 1, epilogue: bool = False,
           prepacked: bool = False, swapped: bool | None = None) -> Choice:
    """The cheapest way to run a contraction.

    Arguments: the contraction; the instruction set; threads of the pool; whether an epilogue takes the tiles; whether
    B comes packed (then it stays B); `swapped` forces an orientation.
    Result: a `Choice`. Equal arguments give equal choices.
    """
    if prepacked or contraction.triangle:  # a triangle is told by its rows
        swapped = False
    candidates = [False, True] if swapped is None else [swapped]
    choices = [_choose(contraction, isa, threads, epilogue, prepacked, s) for s in candidates]
    best = min(choices, key=lambda choice: choice.cycles)
    enough = OTHER_PACKED if prepacked and best.oriented.extent("m") > isa.tile.rows else OTHER_CYCLES
    if not isa.other or contraction.triangle or best.sweep_rows or best.cycles < enough:
        return best
    other = _choose(contraction, ISAS[isa.other], threads, epilogue, prepacked, best.oriented.swapped)
    even = best.a_mode == words.IN_PLACE and best.oriented.extent("n") <= OTHER_COLUMNS
    better = other.cycles < (1.01 if even else OTHER_GAIN) * best.cycles and not other.sweep_rows
    return other._replace(isa=isa.other) if better else best


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
    few = isa.tile.rows if epilogue else 2 * isa.tile.rows
    if not epilogue and not contraction.triangle:
        few = _flat_rows(isa, a_mode, least_stride(groups["k"], "b") * BYTES[scalar])
        if a_mode == words.IN_PLACE and columns >= SWEPT_COLUMNS:
            few = SWEPT_ROWS
    if prepacked:
        b_mode, b_cost = words.PREPACKED, 0.0
    elif not convert and len(groups["n"]) == 1 and run_n >= lanes and run_n == columns and (
            rows <= few or stays_near(groups["k"], "b", columns, BYTES[scalar])):
        b_mode, b_cost = words.IN_PLACE, 0.05
    elif rows <= isa.tile.rows and not contraction.triangle and run_k_b >= 2 * lanes and b_mode == words.BY_TRANSPOSING:
        b_mode, b_cost = words.STREAMED, TRANSPOSE
    deep, size = block_depth(depth, accumulate), BYTES[accumulate]
    packed, part = (max(width, most // (deep * size) // width * width) for most in (PACKED_BYTES, PART_BYTES))
    sweeps = (a_mode == b_mode == words.IN_PLACE and not contraction.triangle and rows <= min(few, SWEPT_ROWS)
              and columns >= SWEPT_COLUMNS)
    most = _most(isa, (rows, columns, depth * size), packed, a_mode, sweeps)
    work = compute_cycles(isa, lanes, rows, columns, depth) * batch
    b_pack, a_pack = (cost * lanes / 16 * depth * batch for cost in (b_cost * columns, a_cost * rows))
    busy = max(work, (rows + columns) * depth * batch * BYTES[scalar] / READ_BYTES)
    parallel = threads if busy > SERIAL_CYCLES else 1
    cold = {words.IN_PLACE: 0.0, words.PREPACKED: STREAM}
    packs = [max(cost, cold.get(mode, COLD) * count * depth * batch)
             for cost, mode, count in ((b_pack, b_mode, columns), (a_pack, a_mode, rows))]
    packs[1] = max(packs[1], PASSED * rows * depth * batch)
    (block_rows, block_columns), longest = split(isa, (rows, columns), width, most, batch, parallel, work, packs)
    part = _part(isa, (a_mode, b_mode), (block_rows, block_columns), (packed, part), width)
    if c_mode != words.DIRECT and not (c_mode == words.EPILOGUE and depth <= deep):
        limit = max(isa.tile.rows, STAGE_BYTES // (part * size) // isa.tile.rows * isa.tile.rows)
        block_rows = min(block_rows, limit)
    row_blocks, column_blocks = _ceiling(rows, block_rows), _ceiling(columns, block_columns)
    sweep = _sweep(isa, min(rows, block_rows), width, size) if sweeps else (0, 0)
    units = batch * row_blocks * column_blocks
    cycles = work + b_pack * max(1, row_blocks) + a_pack * max(1, column_blocks) if parallel == 1 else longest
    cycles += c_cost * rows * columns * batch / parallel
    grain = max(1, units)
    if parallel > 1:
        grain = max(1, min(int(UNIT_CYCLES * units / busy), _ceiling(units, threads * UNITS_PER_THREAD)))
    return Choice(oriented, a_mode, b_mode, c_mode, deep, block_rows, block_columns, part, units, grain, cycles,
                  *sweep)


def _part(isa: Isa, modes: tuple[int, int], block: tuple[int, int], most: tuple[int, int], width: int) -> int:
    """Columns of a unit that are done at once. `most` of B: what stays in the cache, and what is packed at once."""
    (a_mode, b_mode), (rows, columns), (packed, part) = modes, block, most
    fits = a_mode != words.IN_PLACE and columns <= packed
    if fits or b_mode not in (words.BY_VECTORS, words.BY_TRANSPOSING):
        part = columns
    if a_mode == words.IN_PLACE and b_mode == words.PREPACKED and isa.tile.rows < rows <= FETCHED_ROWS:
        part = width  # a panel after the other, each brought near while the one before is multiplied
    return _ceiling(_ceiling(columns, _ceiling(columns, part)), width) * width


def _most(isa: Isa, extents: tuple[int, int, int], packed: int, a_mode: int, sweeps: bool) -> tuple[int, int]:
    """Rows and columns of a unit at most; of extents the last is k's in bytes, `packed` columns fit the cache."""
    rows, columns, line = extents
    kept_rows = KEPT_BYTES // max(1, line) // isa.tile.rows * isa.tile.rows
    if a_mode != words.IN_PLACE and columns > packed and kept_rows >= min(rows, KEPT_ROWS):
        return min(MOST_ROWS, kept_rows), MOST_COLUMNS
    return MOST_ROWS, MOST_COLUMNS if sweeps else packed


def _sweep(isa: Isa, rows: int, width: int, size: int) -> tuple[int, int]:
    """Rows of a sweep at once, the most of those that waste least, and the columns whose sums stay in cache."""
    at_once = min((count for count in sweep_rows(isa) if count >= min(rows, sweep_rows(isa)[-1])),
                  key=lambda count: (_ceiling(rows, count) * count, -count))
    return at_once, max(1, SUMS_BYTES // (at_once * size * width)) * width


def split(isa: Isa, extents: tuple[int, int], width: int, most: tuple[int, int], batch: int, threads: int,
            work: float, packs: Sequence[float]) -> tuple[tuple[int, int], float]:
    """Rows and columns of a unit, and the cycles until all is done. With one thread it is as much as fits the caches;
    with more the split that is done first, units being taken in order by whoever is free.

    `packs` are the cycles it takes to pack B for one block of rows and A for one block of columns.
    """
    rows, columns, batch = max(1, extents[0]), max(1, extents[1]), max(1, batch)
    least = max(1, _ceiling(rows, most[0])), max(1, _ceiling(columns, most[1]))
    found, best = (0, 0), 0.0
    for r in _counts(least[0], _ceiling(rows, isa.tile.rows), threads):
        for c in _counts(least[1], _ceiling(columns, width), threads):
            if found[0] and batch * r * c > threads * MOST_UNITS:
                break
            block = tuple(_ceiling(_ceiling(n, k), step) * step
                          for n, k, step in ((rows, r, isa.tile.rows), (columns, c, width)))
            costs = [(work * m * n / rows / columns + packs[0] * n / columns + packs[1] * m / rows) / batch
                     + UNIT_OVERHEAD for n in _sizes(columns, block[1]) for m in _sizes(rows, block[0])]
            time = _longest(costs, batch, threads)
            if not found[0] or time < best:
                found, best = block, time
    return found, best


def _counts(least: int, highest: int, threads: int) -> list[int]:
    """Numbers of blocks worth trying."""
    more = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256) if threads > 1 else ()
    return [least] + [n for n in more if least < n <= highest]


def _sizes(extent: int, block: int) -> list[int]:
    """The extents of blocks."""
    return [min(block, extent - start) for start in range(0, extent, block)]


def _longest(costs: list[float], batch: int, threads: int) -> float:
    """When the last thread is done, and a little for threads that other programs hold up: long units wait long."""
    total, largest = sum(costs) * batch, max(costs)
    if len(costs) * batch > 4 * threads:
        return total / threads + largest * (0.5 + HELD_UP)
    free = [0.0] * threads
    for cost in costs * batch:
        first = min(free)
        free[free.index(first)] = first + cost
    return max(free) + largest * HELD_UP
