"""What the contraction nest knows about instruction sets: one table, and the element kinds kernels are made for.

Everything that differs between machines is a number here; the generators in this package read it and nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

from squall.ir.linear import BYTES, Type

# storage dtype -> the dtype kernels multiply and add in, when the contraction does not ask for another
ACCUMULATE = {"f16": "f32", "bf16": "f32", "f32": "f32", "f64": "f64", "i8": "i32", "u8": "i32", "i16": "i32",
              "u16": "i32", "i32": "i32", "u32": "i32", "i64": "i64", "u64": "i64"}
MOST_ROWS = 2048  # of a unit


class Tile(NamedTuple):
    """A microkernel's tile: rows, and vectors of columns. Accumulators, a row of vectors and one more are registers."""

    rows: int
    vectors: int


class Isa(NamedTuple):
    """One instruction set: register width, the tile, and what may be assumed of loads.

    `masked_bytes` is the smallest element that masked vector loads and stores take in one instruction (0: there are
    none); smaller ones are moved one element at a time where a vector is partial. `rows_wide` and `rows_narrow` are
    the row counts that get a microkernel of their own for full-width and for narrower tiles; a count in between runs
    the next larger one. `flat` are tiles for few rows and a B that is read in place, so wide that its rows are read
    in long pieces. The k loop is not unrolled: its overhead hides behind the multiply-adds, and LLVM's scheduler
    hoists the loads of unrolled steps together and spills. `other` names a set of tiles of another shape for the same
    machine, for widths at which these leave lanes empty.
    """

    name: str
    register_bytes: int
    tile: Tile
    rows_wide: tuple[int, ...]
    rows_narrow: tuple[int, ...]
    masked_bytes: int
    flat: tuple[Tile, ...]
    other: str = ""

    def lanes(self, accumulate: str) -> int:
        """Lanes of one vector of the accumulate dtype."""
        return self.register_bytes // BYTES[accumulate]

    def vector(self, accumulate: str) -> Type:
        """The vector type of the accumulate dtype."""
        return Type(accumulate, self.lanes(accumulate))

    def columns(self, accumulate: str) -> int:
        """Columns of a full tile."""
        return self.tile.vectors * self.lanes(accumulate)

    def can_mask(self, scalar: str) -> bool:
        """Whether partial vectors of a scalar are moved by masked instructions."""
        return 0 < self.masked_bytes <= BYTES[scalar]

    def rows_for(self, rows: int, vectors: int) -> int:
        """The row count of the microkernel that runs `rows` rows of `vectors` vectors."""
        counts = self.rows_wide if vectors == self.tile.vectors else self.rows_narrow
        return next(count for count in counts if count >= rows)


ISAS = {
    "avx512": Isa("avx512", 64, Tile(8, 3), (1, 2, 4, 6, 8), (2, 4, 8), 1,
                  (Tile(1, 24), Tile(2, 12), Tile(4, 6)), "avx512 by 64"),
    "avx512 by 64": Isa("avx512 by 64", 64, Tile(6, 4), (2, 4, 6), (6,), 1, ()),
    "avx2": Isa("avx2", 32, Tile(6, 2), (1, 2, 4, 6), (2, 4, 6), 4, (Tile(1, 12), Tile(2, 6))),
    "sse4": Isa("sse4", 16, Tile(6, 2), (1, 2, 4, 6), (2, 6), 0, (Tile(1, 12), Tile(2, 6))),
    "neon": Isa("neon", 16, Tile(8, 3), (1, 2, 4, 6, 8), (2, 4, 8), 0, (Tile(1, 24), Tile(2, 12), Tile(4, 6))),
}
