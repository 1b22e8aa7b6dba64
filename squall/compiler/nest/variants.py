"""Other ways to run a contraction than the one the cost model chooses: what `sq.tune` times.

A variant says how to depart from the model's choice; every one gives the same bits (the depth of k's blocks is no part
of any). A variant that does not fit a contraction is None, and the model's choice stands.
"""

from __future__ import annotations

from typing import NamedTuple

from squall.compiler.nest import arguments as words
from squall.compiler.nest.choose import (
    MOST_COLUMNS,
    PACKED_BYTES,
    SERIAL_CYCLES,
    UNIT_CYCLES,
    UNITS_PER_THREAD,
    Choice,
    _choose,
    choose,
    compute_cycles,
    inner_run,
    pack_cost,
)
from squall.compiler.nest.isa import ISAS, MOST_ROWS, Isa
from squall.compiler.nest.spec import Contraction
from squall.ir.linear import BYTES

_FACTORS = (0.25, 0.5, 2.0, 4.0)


class Variant(NamedTuple):
    """How to run a contraction.

    tiles: another set of tiles of the machine ("": the first); swapped: A and B exchanged; packed: B is packed where
    the model reads it in place; rows, columns: of a unit at most (0: as the model chooses).
    """

    tiles: str = ""
    swapped: bool = False
    packed: bool = False
    rows: int = 0
    columns: int = 0


class Asked(NamedTuple):
    """A contraction to be planned, and what its plan depends on: see `nest.plan`."""

    contraction: Contraction
    isa: str
    threads: int
    epilogue: bool
    prepacked: bool

    @property
    def key(self) -> str:
        """It as text: of equal texts the plans are equal."""
        c = self.contraction
        dims = " ".join(f"{d.kind}{d.extent}:{d.a_stride},{d.b_stride},{d.c_stride}" for d in c.dims)
        kind = ("epilogue " if self.epilogue else "") + ("prepacked " if self.prepacked else "")
        return (f"{c.dtype} {c.accumulate} {c.result or c.dtype} {self.isa} threads={self.threads} "
                f"{kind}{c.triangle or ''}[{dims}]")


def default(asked: Asked) -> Choice:
    """What the cost model chooses."""
    swapped = False if asked.epilogue else None
    return choose(asked.contraction, ISAS[asked.isa], asked.threads, asked.epilogue, asked.prepacked, swapped)


def vary(asked: Asked, variant: Variant) -> Choice | None:
    """The choice of a variant; None where it does not fit."""
    contraction, isa = asked.contraction, ISAS[asked.isa]
    fixed = asked.epilogue or asked.prepacked or bool(contraction.triangle)
    if variant.swapped and fixed:
        return None
    if variant.tiles:
        if variant.tiles != isa.other or asked.prepacked or contraction.triangle:
            return None
        isa = ISAS[variant.tiles]
    if min(variant.rows, variant.columns) < 0 or variant.rows > MOST_ROWS or variant.columns > MOST_COLUMNS:
        return None
    choice = _choose(contraction, isa, asked.threads, asked.epilogue, asked.prepacked, variant.swapped)
    if variant.packed:
        if choice.b_mode not in (words.IN_PLACE, words.STREAMED):
            return None
        choice = _packing(contraction, isa, choice)
    if variant.rows or variant.columns:
        choice = _in_blocks(contraction, isa, choice, variant, asked.threads)
    return choice._replace(isa=isa.name)


def _packing(contraction: Contraction, isa: Isa, choice: Choice) -> Choice:
    """The same with B packed."""
    groups, accumulate = choice.oriented.groups, contraction.accumulate
    mode, _ = pack_cost(isa, isa.lanes(accumulate), contraction.dtype, accumulate, inner_run(groups["n"], "b"),
                        inner_run(groups["k"], "b"))
    part = min(choice.block_columns, _part(contraction, isa, choice))
    return choice._replace(b_mode=mode, part_columns=part, sweep_rows=0, sweep_columns=0)


def _part(contraction: Contraction, isa: Isa, choice: Choice) -> int:
    """Columns whose packed block stays in the second-level cache."""
    accumulate = contraction.accumulate
    width = isa.columns(accumulate)
    return max(width, PACKED_BYTES // (choice.block_depth * BYTES[accumulate]) // width * width)


def _in_blocks(contraction: Contraction, isa: Isa, choice: Choice, variant: Variant, threads: int) -> Choice:
    """The same with other units."""
    extent, accumulate = choice.oriented.extent, contraction.accumulate
    rows, columns, width = extent("m"), extent("n"), isa.columns(accumulate)

    def whole(count: int, step: int) -> int:
        return max(step, -(-count // step) * step)

    block_rows = whole(variant.rows, isa.tile.rows) if variant.rows else choice.block_rows
    block_columns = whole(variant.columns, width) if variant.columns else choice.block_columns
    part = min(choice.part_columns, block_columns)
    if choice.part_columns >= choice.block_columns:
        part = block_columns
        if choice.b_mode in (words.BY_VECTORS, words.BY_TRANSPOSING):
            part = min(part, _part(contraction, isa, choice))
    units = extent("batch") * -(-rows // block_rows) * -(-columns // block_columns) if rows and columns else 0
    work = compute_cycles(isa, isa.lanes(accumulate), rows, columns, extent("k")) * extent("batch")
    grain = max(1, units)
    if threads > 1 and work > SERIAL_CYCLES:
        grain = max(1, min(int(UNIT_CYCLES * units / work), -(-units // (threads * UNITS_PER_THREAD))))
    return choice._replace(block_rows=block_rows, block_columns=block_columns, part_columns=part, units=units,
                           grain=grain)


def variants(asked: Asked) -> dict[Variant, Choice]:
    """Ways worth timing that differ, the cost model's own first."""
    isa = ISAS[asked.isa]
    made = {Variant(): default(asked)}
    seen = {_plain(made[Variant()], isa)}
    for tiles in ("", *([isa.other] if isa.other else [])):
        for swapped in (False, True):
            plain = vary(asked, Variant(tiles, swapped))
            if plain is None:
                continue
            tried = [Variant(tiles, swapped), Variant(tiles, swapped, True)]
            tried += [Variant(tiles, swapped, False, int(plain.block_rows * f) or 1) for f in _FACTORS]
            tried += [Variant(tiles, swapped, False, 0, int(plain.block_columns * f) or 1) for f in _FACTORS]
            for variant in tried:
                choice = vary(asked, variant)
                if choice is not None and _plain(choice, isa) not in seen:
                    seen.add(_plain(choice, isa))
                    made[variant] = choice
    return made


def _plain(choice: Choice, isa: Isa) -> tuple:
    """What of a choice makes a difference: blocks no larger than the contraction."""
    rows, columns = choice.oriented.extent("m"), choice.oriented.extent("n")
    return (choice.oriented.swapped, choice.a_mode, choice.b_mode, min(rows, choice.block_rows),
            min(columns, choice.block_columns), min(columns, choice.part_columns), choice.grain, choice.sweep_rows,
            choice.isa or isa.name)
