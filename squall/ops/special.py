"""Special functions: the error function and its inverse, the logarithm of gamma and its derivatives."""

from __future__ import annotations

from math import factorial, pi, sqrt
from typing import Any

from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import Context, Sample, Scalar, declare, ops
from squall.ops import special_reference as reference
from squall.ops.common import widened
from squall.ops.samples import floats, unary_samples


# ---------------------------------------------------------------- error function
def _gauss(g: Any, x: Any, scale: float) -> Any:
    return ops.mul(g, ops.mul(ops.exp(ops.neg(ops.mul(x, x))), scale))


erf = declare(
    "erf", elementwise, saves=(0,), grad=widened(lambda context, g: _gauss(g, context.inputs[0], 2 / sqrt(pi))),
    lowering=Scalar("erf"), promotion="float", reference=reference.erf_reference, samples=unary_samples,
    doc="The error function: 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.")

erfc = declare(
    "erfc", elementwise, saves=(0,), grad=widened(lambda context, g: _gauss(g, context.inputs[0], -2 / sqrt(pi))),
    lowering=Scalar("erfc"), promotion="float", reference=reference.erfc_reference, samples=unary_samples,
    doc="1 - erf(x), accurate where erf is near 1.")


@widened
def _erfinv_grad(context: Context, g: Any) -> Any:
    out = context.output
    return ops.mul(g, ops.mul(ops.exp(ops.mul(out, out)), sqrt(pi) / 2))


erfinv = declare(
    "erfinv", elementwise, saves=("out",), grad=_erfinv_grad, lowering=Scalar("erfinv"), promotion="float",
    reference=reference.erfinv_reference, samples=lambda: unary_samples(-0.95, 0.95),
    doc="The inverse of erf; infinite at -1 and 1, NaN beyond.")


# ---------------------------------------------------------------- gamma
lgamma = declare(
    "lgamma", elementwise, saves=(0,), grad=widened(lambda context, g: ops.mul(g, ops.digamma(context.inputs[0]))),
    lowering=Scalar("lgamma"), promotion="float", reference=reference.lgamma_reference,
    samples=lambda: unary_samples(0.3, 6.0), doc="The logarithm of |gamma(x)|; infinite at 0 and negative integers.")

digamma = declare(
    "digamma", elementwise, saves=(0,),
    grad=widened(lambda context, g: ops.mul(g, ops.polygamma(context.inputs[0], n=1))),
    lowering=Scalar("digamma"), promotion="float", reference=reference.digamma_reference,
    samples=lambda: unary_samples(0.3, 6.0), doc="The derivative of lgamma; NaN at negative integers.")


def _power(b: Builder, x: Reg, exponent: int) -> Reg:
    """A positive whole power by squaring."""
    result, square = None, x
    while exponent:
        if exponent & 1:
            result = square if result is None else b.mul(result, square)
        exponent >>= 1
        if exponent:
            square = b.mul(square, square)
    assert result is not None
    return result


def _polygamma(b: Builder, attrs: tuple, x: Reg) -> Reg:
    """Recurrence up to where the asymptotic series holds; below 1/2 reflected, by derivatives of the cotangent."""
    (n,) = attrs

    def const(value: float) -> Reg:
        return b.const(value, x.type)

    shifts = 8 if x.type.scalar == "f32" else 20
    reflect = b.compare("lt", x, const(0.5))
    argument = b.select(reflect, b.sub(const(1.0), x), x)
    total = const(0.0)
    for _ in range(shifts):
        total = b.add(total, _power(b, b.op("reciprocal", argument), n + 1))
        argument = b.add(argument, const(1.0))
    inverse = b.op("reciprocal", argument)
    square, power = b.mul(inverse, inverse), _power(b, inverse, n)
    series, rising = const(0.0), float(n + 1)
    coefficients = []
    for k, bernoulli in enumerate(reference.BERNOULLI, 1):
        coefficients.append(bernoulli / factorial(2 * k) * rising)
        rising *= (n + 2 * k) * (n + 2 * k + 1)
    for coefficient in reversed(coefficients):
        series = b.add(b.mul(series, square), const(coefficient))
    tail = b.add(b.add(const(1.0 / n), b.mul(const(0.5), inverse)), b.mul(series, square))
    total = b.mul(b.add(total, b.mul(power, tail)), const(float(factorial(n)) * (1 if n % 2 else -1)))
    # The angle is exact: small beside a pole, and in the middle between two, where the cotangent vanishes.
    part = b.sub(x, b.op("round", x))
    size = b.op("abs", part)
    beside = b.compare("le", size, const(0.25))
    tangent = b.op("tan", b.mul(const(pi), b.select(beside, size, b.sub(const(0.5), size))))
    cotangent = b.select(beside, b.op("reciprocal", tangent), tangent)
    cotangent = b.select(b.compare("lt", part, const(0.0)), b.op("neg", cotangent), cotangent)
    derivative = const(0.0)
    for coefficient in reversed(reference.cotangent_coefficients(n)):
        derivative = b.add(b.mul(derivative, cotangent), const(coefficient))
    reflected = b.sub(b.mul(total, const((-1.0) ** n)), b.mul(derivative, const(pi ** (n + 1))))
    value = b.select(reflect, reflected, total)
    pole = b.op("and", b.compare("le", x, const(0.0)), b.compare("eq", x, b.op("floor", x)))
    value = b.select(pole, const(float("inf") if n % 2 else float("-inf")), value)
    value = b.select(b.compare("eq", x, const(float("inf"))), const(0.0), value)
    return b.select(b.compare("eq", x, const(float("-inf"))), const(float("nan")), value)


@widened
def _polygamma_grad(context: Context, g: Any) -> Any:
    return ops.mul(g, ops.polygamma(context.inputs[0], n=context.attrs[0] + 1))


polygamma = declare(
    "polygamma", elementwise, attributes=("n",), saves=(0,), grad=_polygamma_grad, lowering=Scalar(_polygamma),
    promotion="float", reference=reference.polygamma_reference,
    samples=lambda: [*unary_samples(0.3, 6.0, attributes={"n": 1}), *unary_samples(0.4, 6.0, attributes={"n": 2})[:3],
                     Sample((floats((5,), 3, -1.9, -1.1),), {"n": 1}, "negative"),
                     Sample((floats((5,), 3, -1.8, -1.2),), {"n": 3}, "negative")],
    doc="The derivative of order n, at least 1, of digamma. n is structural; digamma itself is order 0.")
