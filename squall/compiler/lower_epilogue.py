"""Lowers the elementwise work behind a contraction to an epilogue of the nest: a pass over each finished strip of rows,
which lies in the first-level cache, by the same instructions that a kernel of its own would run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from squall.compiler.describe import compute_scalar
from squall.compiler.lower_values import ROW, Emitter
from squall.compiler.lower_walk import Walker
from squall.compiler.nest import EPILOGUE_PARAMETERS
from squall.compiler.nest.store import unsigned_zero
from squall.compiler.reducers import Reducer
from squall.compiler.spec import Spec, Value
from squall.ir.linear import BYTES, Builder, Program, Reg, Type

AHEAD = 8  # rows


class EpilogueSpec(NamedTuple):
    """The key of an epilogue: values and stores over one outer loop (rows) and the inner one (columns); `sums` is the
    number of the value that is the contraction's result, `accumulate` the scalar its strips hold."""

    spec: Spec
    sums: int
    accumulate: str


class _Strip(Emitter):
    """Values, of which one is read from the strip."""

    def __init__(self, made: EpilogueSpec, b: Builder):
        super().__init__(made.spec, b)
        self.made = made
        self.strip: Reg | None = None  # where column 0 of the row would be

    def _load(self, number: int, v: Value, local: dict[int, Reg], j: Reg | None, mask: Reg | None) -> Reg:
        if number != self.made.sums:
            return super()._load(number, v, local, j, mask)
        b, accumulate = self.b, self.made.accumulate
        sums = b.load(Type(accumulate, self.lanes), b.gep(self.strip, j, accumulate))  # type: ignore[arg-type]
        sums = unsigned_zero(b, sums)
        return self.rounded(b.cast(sums, sums.type.with_scalar(compute_scalar(v.scalar))), v.scalar)


class Epilogue(Walker):
    """Writes one epilogue."""

    def __init__(self, made: EpilogueSpec):
        super().__init__(made.spec)
        self.made = made
        self.b = Builder("epilogue", EPILOGUE_PARAMETERS)
        self.b.args = self.b.parameters[0]
        self.e: Any = _Strip(made, self.b)

    def build(self) -> Program:
        """The whole program: rows of the strip one by one, columns in vectors."""
        b, lanes = self.b, self.spec.lanes
        first, columns = b.parameters[5], b.parameters[7]
        self.e.load_words()
        self.e.enter_kernel()

        def pair() -> None:
            for start in (first, b.add(first, b.int(lanes))):
                self.body(0, self.needed(0), [], start, None)

        def line() -> None:
            self.segment(0, first, b.add(first, columns), [])

        if self.made.accumulate == "i32":  # sums of bytes: matrix tiles make them 32 columns at a time
            with b.when_else(b.compare("eq", columns, b.int(2 * lanes))) as otherwise:
                self._rows(pair)
                otherwise()
                self._rows(line)
        else:
            self._rows(line)
        return Program((b.finish(),), "epilogue")

    def _rows(self, line: Callable[[], None]) -> None:
        """Each row by `line`."""
        b, e = self.b, self.e
        _, source, width, _, first_row, first_column, rows, _ = b.parameters
        with b.loop(b.int(0), rows) as row, self.scope():
            e.strip = b.gep(source, b.sub(b.mul(row, width), first_column), self.made.accumulate)
            e.advance({0: b.add(first_row, row)}, 0, 1)
            e.emit_level(ROW, 0)
            line()

    def body(self, phase: int, order: list[int], reducers: list[Reducer], j: Reg, mask: Reg | None) -> None:
        """One vector; the next strip's lines of what is read and written are fetched: short rows are nothing that the
        processor foresees."""
        b, e = self.b, self.e
        for key, (access, scalar) in e.accesses.items():
            if key == self.made.sums or access.inner != "unit" or not access.strides or BYTES[scalar] == 1:
                continue  # bytes: several vectors lie in one line
            stride = e.words[access.strides[0][1]]
            later = b.add(j, b.mul(stride, b.int(AHEAD)))
            b.emit("prefetch", None, (b.gep(e.places[key], later, scalar),), (isinstance(key, tuple), 3))
        super().body(phase, order, reducers, j, mask)


def lower(made: EpilogueSpec) -> Program:
    """The program of an epilogue."""
    return Epilogue(made).build()
