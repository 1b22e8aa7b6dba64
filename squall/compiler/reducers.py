"""How each reduction accumulates: what it starts from, how an element is taken in, how lanes become one result.

Sums and products of floats depend on the order; the lowering fixes it. A masked-off lane keeps what it has.
"""

from __future__ import annotations

from typing import Any

from squall.compiler.describe import accumulator
from squall.compiler.spec import Spec, Value
from squall.ir.linear import Builder, Reg, Type

FAR = 1 << 62  # the index of no element

_LANE = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min", "any": "or", "all": "and"}
_LIMITS = {"i8": 7, "i16": 15, "i32": 31, "i64": 63, "u8": 8, "u16": 16, "u32": 32, "u64": 64}


def extreme(scalar: str, greatest: bool) -> Any:
    """The greatest or least value of a scalar type."""
    if scalar[0] in "fb" and scalar != "bool":
        return float("inf") if greatest else float("-inf")
    if scalar == "bool":
        return greatest
    bits = _LIMITS[scalar]
    return (1 << bits) - 1 if greatest else 0 if scalar[0] == "u" else -(1 << bits)


def identity(kind: str, scalar: str) -> Any:
    """What a reduction of no elements gives."""
    if kind in ("amax", "argmax"):
        return extreme(scalar, False)
    if kind in ("amin", "argmin"):
        return extreme(scalar, True)
    return {"sum": 0, "prod": 1, "any": False, "all": True}[kind]


class Reducer:
    """One reduction of a kernel: its variables and how they change.

    `lanes`: of the accumulator. After `start`, `take` is called for each element vector; `tree` gives the scalar.
    """

    def __init__(self, spec: Spec, number: int):
        self.value: Value = spec.values[number]
        self.number, self.kind = number, self.value.attr
        self.scalar = accumulator(self.value, spec.values)
        self.is_arg = self.kind in ("argmax", "argmin")
        # Of rows, the greatest value and whether there was a NaN are kept apart: a plain maximum has half the latency.
        self.parts_nan = spec.kind == "rows" and self.kind in ("amax", "amin") and Type(self.scalar).is_float
        self.nan: Reg | None = None
        if self.kind in ("any", "all"):
            self.scalar = "bool"

    def start(self, b: Builder, lanes: int) -> None:
        """Fresh accumulators."""
        self.lanes = lanes
        type = Type(self.scalar, lanes)
        self.state = b.var(b.const(identity(self.kind, self.scalar), type))
        if self.is_arg:
            self.index = b.var(b.const(FAR, Type("i64", lanes)))
        if self.parts_nan:
            self.nan = b.var(b.const(False, type.with_scalar("bool")))

    def restart(self, state: Reg) -> None:
        """Go on from a variable of finished results."""
        self.state, self.nan = state, None

    def _prepared(self, b: Builder, element: Reg) -> Reg:
        if self.scalar == "bool" and element.type.scalar != "bool":
            return b.compare("ne", element, b.const(0, element.type))
        return b.cast(element, element.type.with_scalar(self.scalar))

    def take(self, b: Builder, element: Reg, index: Reg | None, mask: Reg | None) -> None:
        """Take in one vector of elements; `index` numbers them for argmax and argmin."""
        element = self._prepared(b, element)
        held = b.get(self.state)
        if self.is_arg:
            self._take_arg(b, element, index, held, mask)  # type: ignore[arg-type]
            return
        if self.nan is not None:
            wrong = b.compare("ne", element, element)
            b.set(self.nan, b.op("or", b.get(self.nan), wrong if mask is None else b.op("and", wrong, mask)))
            new = b.select(b.compare("gt" if self.kind == "amax" else "lt", held, element), held, element)
        else:
            new = b.op(_LANE[self.kind], held, element)
        b.set(self.state, new if mask is None else b.select(mask, new, held))

    def better(self, b: Builder, x: Reg, y: Reg) -> Reg:
        """Whether x beats y for good: greater (or less), or NaN where y is not."""
        wins = b.compare("gt" if self.kind == "argmax" else "lt", x, y)
        if x.type.is_float:
            nan = b.op("and", b.compare("ne", x, x), b.compare("eq", y, y))
            wins = b.op("or", wins, nan)
        return wins

    def _take_arg(self, b: Builder, element: Reg, index: Reg, held: Reg, mask: Reg | None) -> None:
        at = b.get(self.index)
        wins = b.op("or", self.better(b, element, held), b.compare("eq", at, b.const(FAR, at.type)))
        if mask is not None:
            wins = b.op("and", wins, mask)
        b.set(self.state, b.select(wins, element, held))
        b.set(self.index, b.select(wins, index, at))

    def tree(self, b: Builder) -> Reg:
        """The lanes as one scalar, in the accumulator's type."""
        if self.is_arg:
            return self.best(b)[1]
        whole = b.reduce(b.get(self.state), _LANE[self.kind])
        if self.nan is None:
            return whole
        return b.select(b.reduce(b.get(self.nan), "or"), b.const(float("nan"), whole.type), whole)

    def best(self, b: Builder) -> tuple[Reg, Reg]:
        """The best value and the index of its first occurrence, of argmax and argmin."""
        values, places = b.get(self.state), b.get(self.index)
        best, at = b.extract(values, 0), b.extract(places, 0)
        for lane in range(1, self.lanes):
            x, i = b.extract(values, lane), b.extract(places, lane)
            same = b.compare("eq", x, best)
            if x.type.is_float:
                same = b.op("or", same, b.op("and", b.compare("ne", x, x), b.compare("ne", best, best)))
            wins = b.op("or", self.better(b, x, best), b.op("and", same, b.compare("lt", i, at)))
            best, at = b.select(wins, x, best), b.select(wins, i, at)
        return best, at

    def combine(self, b: Builder, x: Reg, y: Reg) -> Reg:
        """Two partial results as one."""
        return b.op(_LANE[self.kind], x, y)
