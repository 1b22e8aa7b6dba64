"""From a contraction with concrete extents and strides to plan steps: what the planner asks of this package."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

from squall.compiler.nest import arguments as words
from squall.compiler.nest.choose import Choice, choose, inner_run, is_kept, is_strip_staged, pack_cost
from squall.compiler.nest.common import Library, entry_name, strip_shape, strips_together
from squall.compiler.nest.driver import build
from squall.compiler.nest.isa import ISAS, Isa
from squall.compiler.nest.matrix_driver import build_matrix
from squall.compiler.nest.part_driver import build_parts
from squall.compiler.nest.quick import path_of
from squall.compiler.nest.spec import TRIANGLES, Contraction, Dimension, Oriented, check
from squall.compiler.nest.tile_choose import choose_tiles, pack_mode, role_for, tile_form, tile_scratch
from squall.compiler.nest.tile_driver import DOTS, PARTS, TILES, build_dots, tiled
from squall.compiler.nest.tile_pack import SIDE
from squall.compiler.nest.tile_prepack import PACK_PARTS, PACK_TILES, build_prepacking
from squall.ir.linear import BYTES, I64, PTR, Program, Type
from squall.ir.unwritten import AnyProgram, Unwritten

# the epilogue's parameters: its own args, the finished tile (accumulate dtype), the tile's row stride in elements,
# flat batch index, first row, first column, rows, columns
EPILOGUE_PARAMETERS: tuple[Type, ...] = (PTR, PTR, I64, I64, I64, I64, I64, I64)


class Step(NamedTuple):
    """One kernel call of a plan: the library to call, its args words, units, grain and scratch bytes per thread.

    A word is an int, or the name of a pointer: "a", "b", "c", "packed", "epilogue", "epilogue_args". Operands are
    already exchanged: "a" always means what the caller calls A.
    """

    library: Library
    words: tuple[int | str, ...]
    units: int
    grain: int
    scratch_bytes: int


class NestPlan(NamedTuple):
    """The steps of a contraction, run in order; the bytes "packed" must point to (0: none, the word is 0).

    `rows`, `columns` and `batches` list the positions in the contraction's dims whose flat (row-major, outermost first)
    indices an epilogue is given; dimensions of extent 1 are left out.
    """

    steps: tuple[Step, ...]
    workspace_bytes: int
    batches: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    choice: Choice


@lru_cache(maxsize=256)
def program(library: Library) -> AnyProgram:
    """The linear IR of a library, written only where no cache has its code."""
    return Unwritten(entry_name(library), library, lambda: _written(library))


@lru_cache(maxsize=8)
def _written(library: Library) -> Program:
    if library.role in (PACK_TILES, PACK_PARTS):
        return build_prepacking(ISAS[library.isa], library)
    if library.role == PARTS:
        return build_parts(library)
    made = {TILES: build_matrix, DOTS: build_dots}.get(library.role, build)
    return made(library)


@lru_cache(maxsize=1024)
def plan(contraction: Contraction, isa: str, threads: int = 1, epilogue: bool = False, prepacked: bool = False,
         swapped: bool | None = None, pack_first: bool = False, tiles: str = "") -> NestPlan:
    """Plan a contraction.

    Arguments: the contraction; the instruction set's name in `ISAS`; threads of the pool; `epilogue`: tiles go to an
    epilogue (words "epilogue" and "epilogue_args") instead of C; `prepacked`: "packed" already holds B, packed by an
    earlier plan's first step with the same extents; `swapped`: force an orientation, None chooses; `pack_first`: pack
    B in a step of its own into a workspace; `tiles`: what the machine has beside vectors, "tiles", "dots" or
    "dots of bytes" (see `tile_driver`), which is used for contractions it can do.
    Result: a `NestPlan`. A contraction without elements has no units; without depth it gives zeros.
    Raises ValueError for dims whose strides contradict their kind, or more than `MAX_DIMS` unmergeable dims of a kind.

    Example:
        >>> from squall.compiler.nest.spec import matmul
        >>> plan(matmul(64, 64, 64), "avx512").steps[0].units
        1
    """
    check(contraction)
    target = ISAS[isa]
    kind = role_for(contraction, tiles)
    if kind:
        choice = choose_tiles(contraction, target, threads, epilogue, swapped, kind, prepacked or pack_first)
        return assemble_tiles(contraction, target, choice, kind if kind in (TILES, PARTS) else DOTS, pack_first)
    choice = choose(contraction, target, threads, epilogue, prepacked or pack_first, swapped)
    return assemble(contraction, ISAS[choice.isa or isa], choice, pack_first)


def assemble(contraction: Contraction, isa: Isa, choice: Choice, pack_first: bool = False) -> NestPlan:
    """The steps of a choice; tests also call it with choices of their own."""
    oriented, result = choice.oriented, contraction.result or contraction.dtype
    library = Library("contract", contraction.dtype, contraction.accumulate, result, isa.name)
    accumulate, width = contraction.accumulate, isa.columns(contraction.accumulate)
    steps, workspace, packed = [], 0, (0,) * len(oriented.groups["batch"])
    if choice.b_mode == words.PREPACKED:
        panel = width * oriented.extent("k")
        packed, workspace = _packed_strides(oriented, width, panel), _packed_bytes(oriented, width, panel, accumulate)
        if pack_first:
            mode, _ = pack_cost(isa, isa.lanes(accumulate), contraction.dtype, accumulate,
                                inner_run(oriented.groups["n"], "b"), inner_run(oriented.groups["k"], "b"))
            steps.append(_pack_step(isa, library._replace(role="pack"), _packing(choice, mode, width), packed))
    tables = _scratch(isa, accumulate, choice)
    in_place = _step(oriented.groups["k"], "a")
    step = in_place if choice.a_mode == words.IN_PLACE else strip_shape(isa, accumulate)[0]
    path = path_of(contraction, isa, choice, in_place)
    block = _words(choice, oriented.groups, tables, packed, step, TRIANGLES.index(contraction.triangle), path)
    steps.append(Step(library, block, choice.units, choice.grain, tables["total"]))
    order = oriented.order
    return NestPlan(tuple(steps), workspace, order["batch"], order["m"], order["n"], choice)


def assemble_tiles(contraction: Contraction, isa: Isa, choice: Choice, role: str = TILES,
                   pack_first: bool = False) -> NestPlan:
    """The steps of a choice for matrix tiles, or for what stands in for them."""
    dtype, accumulate, result = contraction.dtype, contraction.accumulate, contraction.result or contraction.dtype
    library = Library(role, dtype, accumulate, result, isa.name)
    oriented = choice.oriented
    groups, order = oriented.groups, oriented.order
    form = tile_form(role, dtype)
    tables = _scratch(tiled(isa), accumulate, choice, tile_scratch(choice, form))
    steps, workspace, strides = [], 0, (0,) * len(groups["batch"])
    if choice.b_mode == words.PREPACKED:
        blocks, rest = divmod(oriented.extent("k"), choice.block_depth)
        tiles = sum(n * -(-k // form.steps) for n, k in ((blocks, choice.block_depth), (1, rest)))
        panel = (tiles * form.slot + form.tail) // BYTES[accumulate]
        strides = _packed_strides(oriented, SIDE, panel)
        if pack_first:
            mode, _ = pack_mode(groups["n"], groups["k"], "b", form, True)
            made = Library(PACK_PARTS if role == PARTS else PACK_TILES, dtype, accumulate, dtype, isa.name)
            steps.append(_pack_step(tiled(isa), made, _packing(choice, mode, SIDE), strides))
        workspace = _packed_bytes(oriented, SIDE, panel, accumulate)
    block = _words(choice, groups, tables, strides, _step(groups["m"], "a"), mirrored=oriented.swapped)
    steps.append(Step(library, block, choice.units, choice.grain, tables["total"]))
    return NestPlan(tuple(steps), workspace, order["batch"], order["m"], order["n"], choice)


def _words(choice: Choice, groups: dict, tables: dict[str, int], packed: tuple[int, ...],
           a_step: int, triangle: int = 0, path: int = words.GENERAL,
           mirrored: bool = False) -> tuple[int | str, ...]:
    oriented = choice.oriented
    a, b = ("b", "a") if oriented.swapped else ("a", "b")
    values: dict[str, int | str] = {"a": a, "b": b, "c": "c", "packed": 0, "epilogue": 0, "epilogue_args": 0,
                                    "epilogue_at": 0}
    if choice.b_mode == words.PREPACKED:
        values["packed"] = "packed"
    if choice.c_mode == words.EPILOGUE:
        values.update(c=0, epilogue="epilogue", epilogue_args="epilogue_args")
    values.update(depth=oriented.extent("k"), rows=oriented.extent("m"), columns=oriented.extent("n"),
                  block_depth=choice.block_depth, block_rows=choice.block_rows, block_columns=choice.block_columns,
                  a_mode=choice.a_mode, b_mode=choice.b_mode, c_mode=choice.c_mode, triangle=triangle,
                  part_columns=choice.part_columns, a_step=a_step, a_kept=int(is_kept(choice)),
                  sweep_rows=choice.sweep_rows, sweep_columns=choice.sweep_columns, path=path, mirrored=int(mirrored))
    values.update((name, tables[name]) for name in words.SCRATCH)
    block: list[int | str] = [0] * words.FIRST_RECORD
    for name, word in words.WORDS.items():
        block[word] = values[name]
    for kind, word in words.GROUP_WORDS.items():
        dims = groups[kind]
        if len(dims) > words.MAX_DIMS:
            raise ValueError(f"{len(dims)} {kind} dimensions that cannot be merged; "
                             f"at most {words.MAX_DIMS} are supported")
        block[word:word + 2] = len(dims), len(block)
        for i, dim in enumerate(dims):
            block += (max(1, dim.extent), dim.a_stride, dim.b_stride, dim.c_stride, packed[i] if kind == "batch" else 0)
    return tuple(block)


def _step(dims: tuple[Dimension, ...], operand: str) -> int:
    """The step between neighbouring flat indices of a group in an operand, if it is the same for all, else 0."""
    strides = [(dim.extent, getattr(dim, f"{operand}_stride")) for dim in dims]
    even = all(outer == extent * inner for (_, outer), (extent, inner) in itertools.pairwise(strides))
    return strides[-1][1] if even else 0


def _packed_strides(oriented: Oriented, width: int, panel: int) -> tuple[int, ...]:
    """Per batch dimension, the stride of packed B: nothing for dimensions B does not have. `panel` elements are packed
    for every `width` columns."""
    size, strides = -(-oriented.extent("n") // width) * panel, []
    for dim in reversed(oriented.groups["batch"]):
        strides.append(size if dim.b_stride else 0)
        size *= dim.extent if dim.b_stride else 1
    return tuple(reversed(strides))


def _panels(oriented: Oriented, width: int) -> int:
    """Panels of B of all batches it has."""
    panels = -(-oriented.extent("n") // width)
    for dim in oriented.groups["batch"]:
        panels *= dim.extent if dim.b_stride else 1
    return panels


def _packed_bytes(oriented: Oriented, width: int, panel: int, accumulate: str) -> int:
    return _panels(oriented, width) * panel * BYTES[accumulate]


def _packing(choice: Choice, mode: int, width: int) -> Choice:
    """The choice of the step that packs B for another."""
    return choice._replace(b_mode=mode, block_rows=1, block_columns=width, part_columns=width, c_mode=words.DIRECT)


def _pack_step(isa: Isa, library: Library, single: Choice, packed: tuple[int, ...]) -> Step:
    """The step that packs B: a unit for each panel."""
    oriented, tables = single.oriented, _scratch(isa, library.accumulate, single)
    kept = [(d, s) for d, s in zip(oriented.groups["batch"], packed, strict=True) if d.b_stride]
    batch = tuple(d for d, _ in kept) or (Dimension("batch", 1),)
    block = list(_words(single, {**oriented.groups, "batch": batch}, tables, tuple(s for _, s in kept) or (0,), 0))
    block[words.WORDS["packed"]] = "packed"
    return Step(library, tuple(block), _panels(oriented, single.block_columns), single.grain, tables["total"])


def _scratch(isa: Isa, accumulate: str, choice: Choice, own: dict[str, int] | None = None) -> dict[str, int]:
    """Byte offsets of everything a unit keeps in its thread's scratch, and the total; `own` sizes replace others."""
    lanes, width, size = isa.lanes(accumulate), isa.columns(accumulate), BYTES[accumulate]
    oriented = choice.oriented
    depth = min(choice.block_depth, max(1, oriented.extent("k")))
    rows = max(1, min(choice.block_rows, oriented.extent("m")))
    columns = -(-max(1, min(choice.block_columns, oriented.extent("n"))) // width) * width
    part = min(choice.part_columns, columns)
    slack = 16 + 2 * isa.tile.rows
    tables = dict.fromkeys(("rows_a", "rows_c", "rows_out"), 8 * (rows + lanes + slack))
    tables["rows_packed"] = 8 * (3 * isa.tile.rows + 2 * lanes)
    tables |= dict.fromkeys(("columns_b", "columns_c"), 8 * (columns + slack + lanes))
    tables |= dict.fromkeys(("k_a", "k_b", "k_packed_a", "k_packed_b"), 8 * (depth + slack + lanes))
    tables |= dict.fromkeys(("runs_a", "runs_b"), 16 * (depth + 1))
    packs = choice.a_mode != words.IN_PLACE
    stride, slack = strip_shape(isa, accumulate)
    strips, together = 1, strips_together(isa, accumulate)
    if is_kept(choice):
        strips, depth_a = -(-rows // isa.tile.rows // together), max(1, oriented.extent("k"))
        elements = stride * depth_a + slack * -(-depth_a // depth)
    else:
        elements = stride * depth + slack
    tables["packed_a"] = packs * strips * together * elements * size
    panels = {words.IN_PLACE: width, words.PREPACKED: 0, words.STREAMED: 0}.get(choice.b_mode, part)
    tables["packed_b"] = panels * depth * size
    staged = isa.tile.rows if is_strip_staged(choice) else rows
    tables["stage"] = 0 if choice.c_mode == words.DIRECT else -(-staged // lanes) * lanes * part * size
    swept = max(1, choice.sweep_rows)
    tables["sums"] = -(-rows // swept) * swept * choice.sweep_columns * size
    tables |= {"sizes_a": 0, "sizes_b": 0} | (own or {})
    offsets, total = {}, 0
    for name in words.SCRATCH:
        offsets[name] = total
        total += -(-tables[name] // 64) * 64
    offsets["total"] = total
    return offsets
