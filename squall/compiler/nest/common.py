"""What both kernels of the nest share: their key, the shape of packed strips, and code for batches and blocks."""

from __future__ import annotations

from typing import NamedTuple

from squall.compiler.nest import arguments as words
from squall.compiler.nest.arguments import Group
from squall.compiler.nest.isa import Isa
from squall.ir.linear import I64, Builder, Reg

VECTORS = 4  # of rows of A that are packed at once: lines read one after the other


class Library(NamedTuple):
    """The key of a compiled driver: everything its code depends on. No extent and no stride is among it.

    role: "contract", or "pack" for the kernel that packs B beforehand; dtype of the operands; accumulate dtype;
    result dtype of C; name of the instruction set in `ISAS`.
    """

    role: str
    dtype: str
    accumulate: str
    result: str
    isa: str


def entry_name(library: Library) -> str:
    """The entry's name."""
    isa = library.isa.replace(" ", "_")
    return f"nest_{library.role}_{library.dtype}_{library.accumulate}_{library.result}_{isa}"


def strips_together(isa: Isa, accumulate: str) -> int:
    """How many strips of A are packed at once: as many as fill `VECTORS` vectors, if whole strips fill one."""
    lanes, rows = isa.lanes(accumulate), isa.tile.rows
    return VECTORS * (lanes // rows) if lanes % rows == 0 else 1


def strip_shape(isa: Isa, accumulate: str) -> tuple[int, int]:
    """Of packed strips of A: elements between k steps, and how many more there are between strips than they take."""
    lanes, rows = isa.lanes(accumulate), isa.tile.rows
    return (rows if rows <= lanes else -(-rows // lanes) * lanes), lanes


def ceiling(b: Builder, value: Reg, by: Reg) -> Reg:
    """The quotient, rounded up."""
    return b.op("div", b.sub(b.add(value, by), b.int(1)), by)


def batch_offsets(b: Builder, batch: Group, index: Reg, strides: tuple[int, ...]) -> list[Reg]:
    """The offset of one batch index in each operand asked for."""
    rest, totals = b.var(index), [b.var(b.int(0)) for _ in strides]
    with b.loop(b.int(0), batch.count) as t:
        record = b.mul(b.sub(b.sub(batch.count, b.int(1)), t), b.int(words.RECORD))
        extent = b.load(I64, b.gep(batch.records, record, "i64"))
        left = b.get(rest)
        quotient = b.op("div", left, extent)
        position = b.sub(left, b.mul(quotient, extent))
        for total, stride in zip(totals, strides, strict=True):
            step = b.load(I64, b.gep(batch.records, b.add(record, b.int(stride)), "i64"))
            b.set(total, b.add(b.get(total), b.mul(position, step)))
        b.set(rest, quotient)
    return [b.get(total) for total in totals]


def fill(b: Builder, group: Group, stride: int, start: Reg, length: Reg, out: Reg) -> None:
    """Call `fill_offsets` for a group and the record word of a stride."""
    b.call("fill_offsets", (group.records, group.count, b.int(stride), start, length, out))
