"""Choosing how a contraction runs on matrix tiles: orientation, how operands are packed, blocks and units.

As `choose`: a small model in machine cycles that decides speed only.
"""

from __future__ import annotations

from squall.compiler.nest import arguments as words
from squall.compiler.nest.choose import (
    SERIAL_CYCLES,
    UNIT_CYCLES,
    UNITS_PER_THREAD,
    Choice,
    block_depth,
    inner_run,
    least_stride,
    result_mode,
    split,
)
from squall.compiler.nest.dots import DTYPES
from squall.compiler.nest.isa import MOST_ROWS, Isa
from squall.compiler.nest.spec import Contraction, Dimension, orient
from squall.compiler.nest.tile_driver import BYTES_ONLY, GROUP, PAIR, TILES, tiled
from squall.compiler.nest.tile_pack import LINE_BYTES, SIDE, TILE_BYTES, tile_steps
from squall.ir.linear import BYTES, TILE_DOTS

DEPTH = 1 << 12  # the deepest block of k
PACKED_BYTES = 5 << 18  # of packed B: it stays in the second-level cache
STAGE_BYTES = 1 << 19
EVEN_BYTES = 1 << 10  # rows of A are at most multiples of this apart where tiles of it are loaded in place
TILE_CYCLES = 24.0  # of one tile's multiplication, with its share of loads and stores
DOTS_CYCLES = 200.0  # of the same by sums of a few products
# cycles per element packed: by the lines of a tile, by its words, one by one; of one that is loaded where it lies
LINES, TURNED, ELEMENTS, NEAR = 0.06, 0.14, 2.5, 0.02
STORE, STORE_TRANSPOSED = 0.1, 0.3


def fits_tiles(contraction: Contraction, tiles: str = TILES) -> bool:
    """Whether a contraction is one that matrix tiles compute, or dots: see `plan`."""
    if not tiles or (tiles != TILES and contraction.dtype not in (("i8",) if tiles == BYTES_ONLY else DTYPES)):
        return False
    return TILE_DOTS.get(contraction.dtype) == contraction.accumulate and not contraction.triangle


def choose_tiles(contraction: Contraction, isa: Isa, threads: int = 1, epilogue: bool = False,
                 swapped: bool | None = None, tiles: str = TILES, prepacked: bool = False) -> Choice:
    """The cheapest way to run a contraction that `fits_tiles`; arguments and result as `choose`."""
    candidates = [swapped] if swapped is not None else [False] if prepacked else [False, True]
    return min((_choose(contraction, isa, threads, epilogue, s, tiles, prepacked) for s in candidates),
               key=lambda c: c.cycles)


def pack_mode(across: tuple[Dimension, ...], along: tuple[Dimension, ...], operand: str, steps: int,
               by_words: bool) -> tuple[int, float]:
    """How an operand is packed, and cycles per element."""
    run, depth = inner_run(along, operand), 1
    for dim in along:
        depth *= dim.extent
    if run == depth or run % steps == 0:
        return words.BY_TRANSPOSING, TURNED if by_words else LINES
    if least_stride(across, operand) == 1 and inner_run(across, operand) >= SIDE:
        return words.BY_VECTORS, LINES if by_words else TURNED
    return words.BY_VECTORS, ELEMENTS


def _lies_in_tiles(across: tuple[Dimension, ...], along: tuple[Dimension, ...], size: int) -> bool:
    """Whether tiles of A can be loaded where A lies: its rows are whole lines of tiles, evenly apart, and not such
    powers of two that lines crowd into a few sets of the first-level cache."""
    depth = inner_run(along, "a")
    if len(along) != 1 or depth != along[0].extent or depth * size % LINE_BYTES or len(across) != 1:
        return False
    step = across[0].a_stride * size
    return step > 0 and (step & -step) <= EVEN_BYTES


def _choose(contraction: Contraction, isa: Isa, threads: int, epilogue: bool, swapped: bool, tiles_are: str,
            prepacked: bool) -> Choice:
    oriented = orient(contraction, swapped, SIDE)
    groups = oriented.groups
    batch, rows, columns, depth = (oriented.extent(kind) for kind in ("batch", "m", "n", "k"))
    steps, size = tile_steps(contraction.dtype), BYTES[contraction.dtype]
    a_mode, a_cost = pack_mode(groups["m"], groups["k"], "a", steps, False)
    b_mode, b_cost = pack_mode(groups["n"], groups["k"], "b", steps, True)
    if tiles_are == TILES and _lies_in_tiles(groups["m"], groups["k"], size):
        a_mode, a_cost = words.IN_PLACE, NEAR
    if prepacked:
        b_mode, b_cost = words.PREPACKED, 0.0
    c_mode, _ = result_mode(contraction, groups, epilogue)
    c_mode = words.STAGED if c_mode == words.DIRECT else c_mode
    deep = max(steps, min(DEPTH, -(-depth // steps) * steps))
    if tiles_are != TILES and contraction.dtype == "bf16":
        deep = block_depth(depth, contraction.accumulate)
    most_columns = max(2 * PAIR, PACKED_BYTES // (deep * size) // PAIR * PAIR)
    most_rows = MOST_ROWS
    if depth > deep or c_mode == words.STAGED_TRANSPOSED:  # all rows are staged
        staged = 4 * min(most_columns, -(-max(1, columns) // GROUP) * GROUP)
        most_rows = max(PAIR, STAGE_BYTES // staged // PAIR * PAIR)
    each = TILE_CYCLES if tiles_are == TILES else DOTS_CYCLES
    tiles = -(-rows // SIDE) * -(-columns // SIDE) * -(-depth // steps)
    store = STORE_TRANSPOSED if c_mode == words.STAGED_TRANSPOSED else STORE
    work = (tiles * each + store * rows * columns) * batch
    packs = [cost * count * depth * batch for cost, count in ((b_cost, columns), (a_cost, rows))]
    parallel = threads if work + sum(packs) > SERIAL_CYCLES else 1
    (block_rows, block_columns), longest = split(tiled(isa), (rows, columns), PAIR, (most_rows, most_columns), batch,
                                                 parallel, work, packs)
    units = batch * -(-rows // block_rows) * -(-columns // block_columns)
    grain = max(1, units)
    if parallel > 1:
        grain = max(1, min(int(UNIT_CYCLES * units / max(work, 1.0)), -(-units // (threads * UNITS_PER_THREAD))))
    cycles = longest if parallel > 1 else (work + packs[0] * -(-rows // block_rows)
                                           + packs[1] * -(-columns // block_columns))
    return Choice(oriented, a_mode, b_mode, c_mode, deep, block_rows, block_columns, block_columns, units, grain,
                  cycles)


def tile_scratch(choice: Choice, dtype: str) -> dict[str, int]:
    """Bytes of a unit's packed operands and its stage, by the names of `arguments.SCRATCH`."""
    oriented = choice.oriented
    rows = -(-max(1, min(choice.block_rows, oriented.extent("m"))) // PAIR) * PAIR
    columns = -(-max(1, min(choice.block_columns, oriented.extent("n"))) // GROUP) * GROUP
    along = -(-min(choice.block_depth, max(1, oriented.extent("k"))) // tile_steps(dtype)) * TILE_BYTES
    whole = oriented.extent("k") <= choice.block_depth and choice.c_mode != words.STAGED_TRANSPOSED
    return {"packed_a": PAIR // SIDE * along, "packed_b": (choice.b_mode != words.PREPACKED) * columns // SIDE * along,
            "stage": (PAIR if whole else rows) * columns * 4}
