"""What the expansions of `math_*` are written in: operations on lanes of one float type, over a linear builder.

An expansion is a function `(lanes, x...) -> register` that emits core instructions. It looks at no lane but its own,
so its bits depend neither on the lane count nor on masks; a branch that asks whether any lane needs a rare path only
skips work, the lanes' own comparisons choose the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from squall.ir.linear import Builder, Reg, Type

# For each float type: magic number that leaves an integer in the low bits of a sum, exponent bias, mantissa bits.
MAGIC = {"f32": 12582912.0, "f64": 6755399441055744.0}
BIAS = {"f32": 127, "f64": 1023}
MANTISSA = {"f32": 23, "f64": 52}
SIGN = {"f32": -(1 << 31), "f64": -(1 << 63)}


class Lanes:
    """Operations on registers of one float type.

    Args:
        builder: where instructions go. type: f32 or f64 with any lane count. scales: whether there is `scale`.
    """

    def __init__(self, builder: Builder, type: Type, scales: bool = False):
        self.builder, self.type, self.emit = builder, type, builder.emit
        self.scalar = type.scalar
        self.single = type.scalar == "f32"
        self.scales = scales and self.single
        self.integer = type.with_scalar("i32" if self.single else "i64")
        self.boolean = type.with_scalar("bool")

    def wide(self) -> Lanes:
        """The same lanes in float64."""
        return Lanes(self.builder, self.type.with_scalar("f64"))

    def at(self, value: float) -> Reg:
        """A float constant."""
        return self.builder.const(value, self.type)

    def whole(self, value: int) -> Reg:
        """A constant of the integer type of the same width."""
        return self.builder.const(value, self.integer)

    def op(self, name: str, *operands: Reg) -> Reg:
        """Any core instruction on operands of one type."""
        return self.emit(name, operands[0].type, operands)

    def add(self, a: Reg, b: Reg) -> Reg:
        return self.emit("add", a.type, (a, b))

    def sub(self, a: Reg, b: Reg) -> Reg:
        return self.emit("sub", a.type, (a, b))

    def mul(self, a: Reg, b: Reg) -> Reg:
        return self.emit("mul", a.type, (a, b))

    def div(self, a: Reg, b: Reg) -> Reg:
        return self.emit("div", a.type, (a, b))

    def fma(self, a: Reg, b: Reg, c: Reg) -> Reg:
        return self.emit("fma", a.type, (a, b, c))

    def neg(self, a: Reg) -> Reg:
        return self.emit("neg", a.type, (a,))

    def abs(self, a: Reg) -> Reg:
        return self.emit("abs", a.type, (a,))

    def sqrt(self, a: Reg) -> Reg:
        return self.emit("sqrt", a.type, (a,))

    def least(self, limit: float, a: Reg) -> Reg:
        """The smaller of a constant and lanes; NaN passes, in one instruction."""
        return self.emit("min", a.type, (self.at(limit), a))

    def most(self, limit: float, a: Reg) -> Reg:
        """The larger of a constant and lanes; NaN passes, in one instruction."""
        return self.emit("max", a.type, (self.at(limit), a))

    def copysign(self, a: Reg, b: Reg) -> Reg:
        return self.emit("copysign", a.type, (a, b))

    def compare(self, name: str, a: Reg, b: Reg) -> Reg:
        """A comparison of floats or integers."""
        return self.emit(name, self.boolean, (a, b))

    def below(self, a: Reg, limit: float) -> Reg:
        """Whether lanes are less than a constant."""
        return self.emit("lt", self.boolean, (a, self.at(limit)))

    def above(self, a: Reg, limit: float) -> Reg:
        """Whether lanes are greater than a constant."""
        return self.emit("gt", self.boolean, (a, self.at(limit)))

    def equal(self, a: Reg, value: float) -> Reg:
        """Whether lanes equal a constant."""
        return self.emit("eq", self.boolean, (a, self.at(value)))

    def both(self, a: Reg, b: Reg) -> Reg:
        return self.emit("and", self.boolean, (a, b))

    def either(self, a: Reg, b: Reg) -> Reg:
        return self.emit("or", self.boolean, (a, b))

    def select(self, condition: Reg, a: Reg, b: Reg) -> Reg:
        return self.emit("select", a.type, (condition, a, b))

    def bits(self, a: Reg) -> Reg:
        """A float's bits as an integer."""
        return self.emit("bitcast", self.integer, (a,))

    def real(self, a: Reg) -> Reg:
        """The float of an integer's bits."""
        return self.emit("bitcast", self.type, (a,))

    def shl(self, a: Reg, count: int) -> Reg:
        return self.emit("shl", a.type, (a, self.builder.const(count, a.type)))

    def shr(self, a: Reg, count: int) -> Reg:
        return self.emit("shr", a.type, (a, self.builder.const(count, a.type)))

    def cast(self, a: Reg, scalar: str) -> Reg:
        return self.builder.cast(a, a.type.with_scalar(scalar))

    def polynomial(self, x: Reg, coefficients: Sequence[float], then: Sequence[float] = ()) -> Reg:
        """`c0 + c1 x + c2 x**2 ...` by Horner's rule; `then` are further coefficients of lower degree, last first."""
        order = [*reversed(coefficients), *then]
        total = self.at(order[0])
        for coefficient in order[1:]:
            total = self.emit("fma", x.type, (total, x, self.at(coefficient)))
        return total

    def rounded(self, x: Reg, factor: float, bias: int = 0) -> tuple[Reg, Reg]:
        """The integer nearest to `x * factor`, as a float, and a float whose low bits hold it plus `bias`."""
        magic = self.at(MAGIC[self.scalar] + bias)
        held = self.fma(x, self.at(factor), magic)
        return self.sub(held, magic), held

    def power_of_two(self, held: Reg) -> Reg:
        """2**n of the integer that `rounded` left in the low bits, biased by the exponent's bias."""
        return self.real(self.shl(self.bits(held), MANTISSA[self.scalar]))

    def scaled(self, x: Reg, number: Reg, held: Reg) -> Reg:
        """x times 2**number, of what `rounded` gave with the exponent's bias: a normal number, or with `scale` any."""
        if self.scales:
            return self.emit("scale", x.type, (x, number))
        return self.mul(x, self.power_of_two(held))

    def any(self, condition: Reg) -> Reg:
        """One bool: whether any lane holds."""
        return self.builder.reduce(condition, "or")

    def doubled(self, expansion: Callable[..., Reg], *operands: Reg) -> Reg:
        """A float32 result by a float64 expansion, rounded once at the end."""
        wide = self.wide()
        return self.cast(expansion(wide, *(self.cast(x, "f64") for x in operands)), "f32")
