"""Choosing how a contraction runs on matrix tiles: orientation, how operands are packed, blocks and units.

As `choose`: a small model in machine cycles that decides speed only.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from squall.compiler.nest import arguments as words
from squall.compiler.nest.choose import (
    MOST_COLUMNS,
    SERIAL_CYCLES,
    UNIT_CYCLES,
    UNITS_PER_THREAD,
    Choice,
    block_depth,
    inner_run,
    is_kept,
    least_stride,
    result_mode,
    split,
)
from squall.compiler.nest.dots import DTYPES
from squall.compiler.nest.isa import MOST_ROWS, Isa
from squall.compiler.nest.part_pack import SLOT_BYTES
from squall.compiler.nest.pieces import STEP
from squall.compiler.nest.spec import Contraction, Dimension, orient
from squall.compiler.nest.tile_driver import BYTES_ONLY, GROUP, PAIR, PARTS, TILES, tiled
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
PART_CYCLES, PART_LINES, PART_TURNED, PART_ELEMENTS = 115.0, 0.4, 1.2, 1.6  # the same of float32 in parts
PART_CROWDED, PART_PASS = 0.8, 0.95  # more where lines across crowd into few sets; to read parts of A from afar


# Float32 in parts: the least extents of rows, columns and k, and multiply-adds, from which it is worth it, and what
# whole tiles may multiply in addition; fewer rows (or columns) than PART_FEW do not pay for packing an operand of more
# elements than PART_BIG, unless there are at least NARROW_MANY of the others and k is short, as where many samples
# meet a layer's weights: a few columns, down to more than a tile's, are worth it there, whole or not.
PART_LEAST, PART_WORK, PART_WASTE = 64, 1 << 19, 1.2
PART_FEW, PART_BIG = 96, 5 << 17
NARROW_MANY, NARROW_DEPTHS = 256, (STEP, 256)
PART_KEPT_BYTES, PART_KEPT_ROWS = 1 << 24, 256  # of parts of A that a unit keeps; not fewer rows than this for its sake
# parts of kept weights are half as large again as those: beyond so many bytes reading them takes as long as packing
PART_AFAR_BYTES, PART_READ = 1 << 23, 1.3
PART_DEPTH = 1 << 10  # the deepest block of k of parts: a part of what fixes a result's bits


class Form(NamedTuple):
    """How operands of a dtype are packed and multiplied: elements along k and bytes of a step of 16 rows or columns,
    bytes behind each 16 columns of B that is kept, and in cycles the multiplication of a step by a step, and packing an
    element by the lines of a tile, by its words, one by one."""

    steps: int
    slot: int
    tail: int
    cycles: float
    lines: float
    turned: float
    elements: float


def tile_form(role: str, dtype: str) -> Form:
    """The form of a role's library."""
    if role == PARTS:
        return Form(STEP, SLOT_BYTES, LINE_BYTES, PART_CYCLES, PART_LINES, PART_TURNED, PART_ELEMENTS)
    cycles = TILE_CYCLES if role == TILES else DOTS_CYCLES
    return Form(tile_steps(dtype), TILE_BYTES, 0, cycles, LINES, TURNED, ELEMENTS)


def fits_parts(contraction: Contraction) -> bool:
    """Whether matrix tiles compute a float32 contraction in parts: a matter of the extents of its rows, columns and
    sums alone, since it decides bits."""
    if contraction.dtype != "f32" or contraction.accumulate != "f32" or contraction.triangle:
        return False
    rows, columns, depth = (prod(d.extent for d in contraction.dims if d.kind == kind) for kind in "mnk")
    whole = -(-rows // SIDE) * SIDE * -(-columns // SIDE) * SIDE * -(-depth // STEP) * STEP
    work, (few, many) = rows * columns * depth, sorted((rows, columns))
    if SIDE < few < PART_FEW and many >= NARROW_MANY and NARROW_DEPTHS[0] <= depth <= NARROW_DEPTHS[1]:
        return work >= PART_WORK and -(-depth // STEP) * STEP <= PART_WASTE * depth
    if min(few, depth) < PART_LEAST or work < PART_WORK or whole > PART_WASTE * work:
        return False
    return few >= PART_FEW or many * depth <= PART_BIG


def part_depth(depth: int) -> int:
    """The depth of k's blocks: equal ones of whole steps."""
    blocks = max(1, -(-depth // PART_DEPTH))
    return -(-max(1, -(-depth // blocks)) // STEP) * STEP


def fits_tiles(contraction: Contraction, tiles: str = TILES) -> bool:
    """Whether a contraction is one that matrix tiles compute, or dots: see `plan`."""
    if not tiles or (tiles != TILES and contraction.dtype not in (("i8",) if tiles == BYTES_ONLY else DTYPES)):
        return False
    return TILE_DOTS.get(contraction.dtype) == contraction.accumulate and not contraction.triangle


def role_for(contraction: Contraction, tiles: str) -> str:
    """The role of the library that computes a contraction where the machine has `tiles` beside vectors; "" where
    vectors do."""
    if tiles == TILES and fits_parts(contraction):
        return PARTS
    return tiles if fits_tiles(contraction, tiles) else ""


def choose_tiles(contraction: Contraction, isa: Isa, threads: int = 1, epilogue: bool = False,
                 swapped: bool | None = None, tiles: str = TILES, prepacked: bool = False) -> Choice:
    """The cheapest way to run a contraction that `fits_tiles`; arguments and result as `choose`."""
    candidates = [swapped] if swapped is not None else [False] if prepacked else [False, True]
    return min((_choose(contraction, isa, threads, epilogue, s, tiles, prepacked) for s in candidates),
               key=lambda c: c.cycles)


def pack_mode(across: tuple[Dimension, ...], along: tuple[Dimension, ...], operand: str, form: Form,
              by_words: bool) -> tuple[int, float]:
    """How an operand is packed, and cycles per element."""
    run, depth = inner_run(along, operand), 1
    for dim in along:
        depth *= dim.extent
    if run == depth or run % form.steps == 0:
        return words.BY_TRANSPOSING, form.turned if by_words else form.lines
    if least_stride(across, operand) == 1 and inner_run(across, operand) >= SIDE:
        cost = form.turned if form.tail or not by_words else form.lines
        if form.tail and least_stride(along, operand) % EVEN_BYTES == 0:
            cost += PART_CROWDED
        return words.BY_VECTORS, cost
    return words.BY_VECTORS, form.elements


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
    form, size = tile_form(tiles_are, contraction.dtype), BYTES[contraction.dtype]
    steps = form.steps
    a_mode, a_cost = pack_mode(groups["m"], groups["k"], "a", form, False)
    b_mode, b_cost = pack_mode(groups["n"], groups["k"], "b", form, True)
    if tiles_are == TILES and _lies_in_tiles(groups["m"], groups["k"], size):
        a_mode, a_cost = words.IN_PLACE, NEAR
    if prepacked:
        far = tiles_are == PARTS and columns * depth // (SIDE * steps) * form.slot > PART_AFAR_BYTES
        b_mode, b_cost = words.PREPACKED, PART_READ if far else 0.0
    c_mode, _ = result_mode(contraction, groups, epilogue)
    c_mode = words.STAGED if c_mode == words.DIRECT else c_mode
    deep = part_depth(depth) if tiles_are == PARTS else max(steps, min(DEPTH, -(-depth // steps) * steps))
    if tiles_are not in (TILES, PARTS) and contraction.dtype == "bf16":
        deep = block_depth(depth, contraction.accumulate)
    most_columns = max(2 * PAIR, PACKED_BYTES // (deep * form.slot // (SIDE * steps)) // PAIR * PAIR)
    most_rows = MOST_ROWS
    part_columns, passes = most_columns, -(-columns // most_columns)
    if tiles_are == PARTS and (passes - 1) * a_cost > passes * PART_PASS:  # parts of A are kept for all columns
        kept_rows = PART_KEPT_BYTES // max(1, -(-depth // steps) * form.slot // SIDE) // PAIR * PAIR
        if kept_rows >= min(rows, PART_KEPT_ROWS):
            most_rows, most_columns, a_cost = min(most_rows, kept_rows), MOST_COLUMNS, a_cost + passes * PART_PASS
    if depth > deep or c_mode == words.STAGED_TRANSPOSED:  # all rows are staged
        staged = 4 * min(part_columns, -(-max(1, columns) // GROUP) * GROUP)
        most_rows = min(most_rows, max(PAIR, STAGE_BYTES // staged // PAIR * PAIR))
    tiles = -(-rows // SIDE) * -(-columns // SIDE) * -(-depth // steps)
    store = STORE_TRANSPOSED if c_mode == words.STAGED_TRANSPOSED else STORE
    work = (tiles * form.cycles + store * rows * columns) * batch
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
    part = block_columns
    if part > part_columns:
        part = -(-part // -(-part // part_columns) // PAIR) * PAIR
    return Choice(oriented, a_mode, b_mode, c_mode, deep, block_rows, block_columns, part, units, grain, cycles)


def tile_scratch(choice: Choice, form: Form) -> dict[str, int]:
    """Bytes of a unit's packed operands and its stage, by the names of `arguments.SCRATCH`."""
    oriented = choice.oriented
    rows = -(-max(1, min(choice.block_rows, oriented.extent("m"))) // PAIR) * PAIR
    columns = -(-max(1, min(choice.part_columns, oriented.extent("n"))) // GROUP) * GROUP
    along = -(-min(choice.block_depth, max(1, oriented.extent("k"))) // form.steps) * form.slot
    whole = oriented.extent("k") <= choice.block_depth and choice.c_mode != words.STAGED_TRANSPOSED
    own = {} if not form.tail else {
        "sizes_a": 4 * rows, "sizes_b": 4 * columns,
        "sums": 4 * PAIR * columns * (oriented.extent("k") > choice.block_depth)}
    packed_a = PAIR // SIDE * along * (2 if form.tail else 1)  # a strip of parts is packed while one is multiplied
    if is_kept(choice):
        packed_a = rows // SIDE * -(-oriented.extent("k") // form.steps) * form.slot
    packed_b = (choice.b_mode != words.PREPACKED) * columns // SIDE * along
    return {**own, "packed_a": packed_a, "packed_b": packed_b,
            "stage": (PAIR if whole else rows) * columns * 4}
