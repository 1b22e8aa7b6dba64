"""Powers and two-operand functions: pow, extremes, remainders and rounded quotients, atan2, copysign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.ir.families import elementwise
from squall.ir.linear import I64, Builder, Reg
from squall.ir.op import Context, Decompose, Op, Sample, Scalar, declare, ops
from squall.ops import parts
from squall.ops.arithmetic import no_bool
from squall.ops.common import unmasked, widened, widened_expand, zero_gradient, zeros_like
from squall.ops.samples import binary_samples, floats, integers, unary_samples
from squall.ops.unary import numpy_function


# ---------------------------------------------------------------- pow
def _pow(b: Builder, attrs: tuple, x: Reg, y: Reg) -> Reg:
    return b.op("pow", x, y) if x.type.is_float else _integer_pow(b, x, y)


def _integer_pow(b: Builder, x: Reg, y: Reg) -> Reg:
    """Powers by squaring, wrapping around; a negative exponent leaves only the powers of 1 and -1."""
    type = x.type
    if type.scalar == "bool":
        return b.op("or", x, b.op("not", y))
    zero, one = b.const(0, type), b.const(1, type)
    bits = 8 * {"i8": 1, "u8": 1, "i16": 2, "u16": 2, "i32": 4, "u32": 4}.get(type.scalar, 8)
    result, power, left = b.var(one), b.var(x), b.var(y)
    with b.loop(b.const(0, I64), b.const(bits, I64)):
        odd = b.compare("ne", b.op("and", b.get(left), b.const(1, type)), b.const(0, type))
        b.set(result, b.select(odd, b.mul(b.get(result), b.get(power)), b.get(result)))
        b.set(power, b.mul(b.get(power), b.get(power)))
        b.set(left, b.op("shr", b.get(left), b.const(1, type)))
    if not type.is_signed:
        return b.get(result)
    even = b.compare("eq", b.op("and", y, one), zero)
    of_minus_one = b.select(even, one, b.const(-1, type))
    inverse = b.select(b.compare("eq", x, one), one,
                       b.select(b.compare("eq", x, b.const(-1, type)), of_minus_one, zero))
    return b.select(b.compare("lt", y, zero), inverse, b.get(result))


def _pow_reference(x: Any, y: Any) -> Any:
    import numpy

    if x.dtype.kind in "fc":
        return numpy.power(x, y)
    if x.dtype.kind == "b":
        return x | ~y
    unit = numpy.where(x == 1, 1, numpy.where(x == -1, numpy.where(y % 2 == 0, 1, -1), 0)).astype(x.dtype)
    return numpy.where(y < 0, unit, numpy.power(x, numpy.where(y < 0, 0, y).astype(y.dtype)))


def _pow_saves(needs: tuple[bool, ...]) -> tuple:
    return (0, 1, "out") if needs[1] else (0, 1)


@widened
def _pow_grad(context: Context, g: Any) -> tuple:
    a, b = context.inputs
    over_a = over_b = None
    if context.needs[0]:
        slope = ops.mul(b, ops.pow(a, ops.sub(b, 1.0)))
        over_a = ops.mul(g, unmasked(ops.eq(b, 0.0), slope))
    if context.needs[1]:
        size = ops.real(b) if b.dtype.category == 3 else b
        flat = ops.logical_and(ops.eq(a, 0.0), ops.ge(size, 0.0))
        over_b = ops.mul(g, unmasked(flat, ops.mul(context.output, ops.log(a))))
    return over_a, over_b


def _pow_samples() -> list[Sample]:
    pairs = [((3, 4), (3, 4)), ((5, 1), (4,)), ((), (3,)), ((0, 2), (2,))]
    out = [Sample((floats(a, 1, 0.3, 2.0), floats(b, 2)), {}, f"{a} to {b}") for a, b in pairs]
    return [*out, *(s for s in binary_samples() if s.name == "special values"), *integers()]


pow = declare(
    "pow", elementwise, parts=parts.pow,
    saves=_pow_saves, grad=_pow_grad, lowering=Scalar(_pow), reference=_pow_reference,
    samples=_pow_samples, doc="a to the power b. Integers wrap around; an integer to a negative power is 0 "
    "unless it is "
    "1 or -1. The gradient of a at b = 0 is 0, that of b at a = 0 and b >= 0 is 0.")


def _pow_scalar_expand(x: Any, exponent: float) -> Any:
    direct = {0: lambda: ops.full_like(x, value=1), 1: lambda: x, 2: lambda: ops.mul(x, x),
              3: lambda: ops.mul(ops.mul(x, x), x), 0.5: lambda: ops.sqrt(x), -0.5: lambda: ops.rsqrt(x),
              -1: lambda: ops.reciprocal(x), -2: lambda: ops.reciprocal(ops.mul(x, x))}
    if exponent in direct and (x.dtype.category >= 2 or exponent >= 0):
        return direct[exponent]()
    return ops.pow(x, exponent)


def _pow_scalar_grad(context: Context, g: Any) -> Any:
    x, exponent = context.inputs[0], context.attrs[0]
    if exponent == 0:
        return zeros_like(g)
    if exponent == 1:
        return g
    return ops.mul(g, ops.mul(ops.pow_scalar(x, exponent=exponent - 1), float(exponent)))


def _pow_scalar_reference(x: Any, exponent: float) -> Any:
    import numpy

    if abs(exponent) == 0.5 and x.dtype.kind == "f":
        return numpy.sqrt(x) if exponent > 0 else 1 / numpy.sqrt(x)
    return _pow_reference(x, numpy.asarray(exponent).astype(x.dtype))


def _pow_scalar_samples() -> list[Sample]:
    out = []
    for exponent in (2, 3, 2.0, 0, 1, 0.5, -1, -0.5, -2, 2.5, 4):
        whole = isinstance(exponent, int)
        low = -2.0 if whole and exponent >= 0 else 0.3
        made = unary_samples(low, 2.0, whole=whole and exponent >= 0, attributes={"exponent": exponent})
        out += made if exponent in (2, 0.5, 0) else made[:1] + made[5:6]
    return out


pow_scalar = declare(
    "pow_scalar", elementwise, parts="composite", attributes=("exponent",), saves=(0,), grad=widened(_pow_scalar_grad),
    lowering=Decompose(widened_expand(_pow_scalar_expand)), promotion="none", reference=_pow_scalar_reference,
    samples=_pow_scalar_samples,
    doc="x to a power that is part of the program: x**2 is x * x, x**0.5 a square root, x**-1 a reciprocal.")


# ---------------------------------------------------------------- extremes
def _extreme_samples() -> list[Sample]:
    import numpy

    ties = numpy.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    return [*binary_samples(logical=True), Sample((ties, ties[::-1].copy()), {}, "ties")]


def _extreme(name: str, instruction: str, beaten: str, doc: str) -> Op:
    @widened
    def grad(context: Context, g: Any) -> tuple:
        a, b = context.inputs
        shared = ops.mul(g, 0.5)
        tie = ops.eq(a, b)
        parts = []
        for own, other, needed in ((a, b, context.needs[0]), (b, a, context.needs[1])):
            alone = unmasked(getattr(ops, beaten)(own, other), g) if needed else None
            parts.append(ops.where(tie, shared, alone) if needed else None)
        return tuple(parts)

    return declare(name, elementwise, saves=(0, 1), grad=grad, lowering=Scalar(instruction),
                   reference=numpy_function(name), samples=_extreme_samples, doc=doc)



maximum = _extreme("maximum", "max", "lt",
                   "The larger of two; NaN if either is. At a tie each gets half of the gradient.")
minimum = _extreme("minimum", "min", "gt",
                   "The smaller of two; NaN if either is. At a tie each gets half of the gradient.")


# ---------------------------------------------------------------- quotients and remainders
def _without_zero(function: Callable[[Any, Any], Any], at_zero: Callable[[Any], Any]) -> Callable:
    """An integer reference that gives what squall defines where the divisor is 0."""

    def reference(a: Any, b: Any) -> Any:
        import numpy

        if a.dtype.kind not in "iu":
            return function(a, b)
        result = function(a, numpy.where(b == 0, 1, b).astype(b.dtype))
        return numpy.where(b == 0, at_zero(a), result).astype(a.dtype)

    return reference


def _truncated_reference(a: Any, b: Any) -> Any:
    import numpy

    if a.dtype.kind == "f":
        return numpy.trunc(a / b)
    return (a - numpy.fmod(a, b)) // b


def _quotient_samples() -> list[Sample]:
    return binary_samples(nonzero=True)


def _remainder_grad(quotient: str) -> Callable:
    @widened
    def grad(context: Context, g: Any) -> tuple:
        a, b = context.inputs
        if not context.needs[1]:
            return g, None
        return g, ops.neg(ops.mul(g, getattr(ops, quotient)(a, b)))

    return grad


def _remainder_saves(needs: tuple[bool, ...]) -> tuple:
    return (0, 1) if needs[1] else ()


def _two_zeros(context: Context, g: Any) -> tuple:
    zero = zero_gradient(context, g)
    return zero, zero


floor_divide = declare(
    "floor_divide", elementwise, dtype=no_bool, grad=_two_zeros, lowering=Scalar("floordiv"),
    samples=_quotient_samples,
    reference=_without_zero(lambda a, b: a // b, lambda a: a * 0),
    doc="Quotient rounded toward minus infinity, by Python's rules. Gradient 0; integers by 0 give 0.")

trunc_divide = declare(
    "trunc_divide", elementwise, dtype=no_bool, grad=_two_zeros, samples=_quotient_samples,
    lowering=Scalar(lambda b, attrs, x,
                    y: b.op("trunc", b.op("div", x, y)) if x.type.is_float else b.op("div", x, y)),
    reference=_without_zero(_truncated_reference, lambda a: a * 0),
    doc="Quotient rounded toward zero. Gradient 0; integers by 0 give 0.")

fmod = declare(
    "fmod", elementwise, dtype=no_bool, saves=_remainder_saves, grad=_remainder_grad("trunc_divide"),
    lowering=Scalar("rem"),
    samples=_quotient_samples, reference=_without_zero(numpy_function("fmod"), lambda a: a),
    doc="Remainder with the sign of the dividend, as C's fmod; integers by 0 give the dividend.")

remainder = declare(
    "remainder", elementwise, dtype=no_bool, saves=_remainder_saves, grad=_remainder_grad("floor_divide"),
    lowering=Scalar("floormod"),
    samples=_quotient_samples, reference=_without_zero(numpy_function("remainder"), lambda a: a),
    doc="Remainder with the sign of the divisor, as Python's %; integers by 0 give the dividend.")


# ---------------------------------------------------------------- angle and sign of two
@widened
def _atan2_grad(context: Context, g: Any) -> tuple:
    y, x = context.inputs
    length = ops.add(ops.mul(y, y), ops.mul(x, x))
    scaled = unmasked(ops.eq(length, 0.0), ops.div(g, length))
    return ops.mul(scaled, x), ops.neg(ops.mul(scaled, y))


atan2 = declare(
    "atan2", elementwise, saves=(0, 1), grad=_atan2_grad, lowering=Scalar("atan2"), promotion="float",
    reference=numpy_function("arctan2"), samples=lambda: binary_samples(floating=True),
    doc="The angle of the point (x, y), in (-pi, pi]; operands are y, x.")


def _copysign_grad(context: Context, g: Any) -> tuple:
    a, b = context.inputs
    signs = ops.mul(ops.sign(a), ops.copysign(1.0, b)) if context.needs[0] else None
    return ops.mul(g, signs) if context.needs[0] else None, zeros_like(g)


copysign = declare(
    "copysign", elementwise, saves=(0, 1), grad=_copysign_grad, lowering=Scalar("copysign"), promotion="float",
    reference=numpy_function("copysign"), samples=lambda: binary_samples(floating=True),
    doc="|a| with the sign of b; the gradient of a is 0 at 0.")
