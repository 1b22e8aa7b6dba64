"""Functions of two operands with gradients of their own: hypot, logaddexp, xlogy, and the greatest common divisor."""

from __future__ import annotations

from math import log
from typing import Any

from squall.base.dtypes import DType
from squall.base.errors import DtypeError
from squall.ir.families import elementwise
from squall.ir.linear import I64, Builder, Reg
from squall.ir.op import NON_DIFFERENTIABLE, Context, Op, Sample, Scalar, declare, ops
from squall.ops import parts_sums
from squall.ops.common import unmasked, widened
from squall.ops.samples import binary_samples, floats, integers
from squall.ops.unary import numpy_function


# ---------------------------------------------------------------- hypot
def _hypot(b: Builder, attrs: tuple, x: Reg, y: Reg) -> Reg:
    x, y = b.op("abs", x), b.op("abs", y)
    large, small = b.op("max", x, y), b.op("min", x, y)
    zero, one, inf = (b.const(v, x.type) for v in (0.0, 1.0, float("inf")))
    ratio = b.op("div", small, b.select(b.compare("eq", large, zero), one, large))
    length = b.mul(large, b.op("sqrt", b.add(one, b.mul(ratio, ratio))))
    infinite = b.op("or", b.compare("eq", x, inf), b.compare("eq", y, inf))
    return b.select(infinite, inf, length)


@widened
def _hypot_grad(context: Context, g: Any) -> tuple:
    x, y = context.inputs
    return (ops.mul(g, ops.div(x, context.output)) if context.needs[0] else None,
            ops.mul(g, ops.div(y, context.output)) if context.needs[1] else None)


hypot = declare(
    "hypot", elementwise, promotion="float", saves=(0, 1, "out"), grad=_hypot_grad, lowering=Scalar(_hypot),
    reference=numpy_function("hypot"), samples=lambda: binary_samples(floating=True),
    doc="sqrt(x^2 + y^2) without overflow in between. The gradient at the origin is NaN, as in PyTorch.")


# ---------------------------------------------------------------- sums of exponentials
def _log_add_reference(name: str) -> Any:
    """NumPy's function, which knows real numbers only; of complex ones what is larger by its real part leads."""
    known = numpy_function(name)

    def reference(x: Any, y: Any) -> Any:
        import numpy

        if x.dtype.kind != "c":
            return known(x, y)
        high, low = numpy.where(x.real < y.real, y, x), numpy.where(x.real < y.real, x, y)
        return (high + numpy.log1p(numpy.exp(low - high))).astype(x.dtype)

    return reference


def _log_add(name: str, exponential: str, base: float, doc: str) -> Op:
    def build(b: Builder, attrs: tuple, x: Reg, y: Reg) -> Reg:
        gap = b.op(exponential, b.op("neg", b.op("abs", b.sub(x, y))))
        one = b.const(1.0, x.type)
        over = b.op("log1p", gap) if base == 0 else b.op("log2", b.add(one, gap))
        equal = b.add(x, b.const(log(2.0) if base == 0 else 1.0, x.type))
        return b.select(b.compare("eq", x, y), equal, b.add(b.op("max", x, y), over))

    def share(mine: Any, other: Any) -> Any:
        return ops.add(getattr(ops, exponential)(ops.sub(other, mine)), 1.0)

    @widened
    def grad(context: Context, g: Any) -> tuple:
        x, y = context.inputs
        return (ops.div(g, share(x, y)) if context.needs[0] else None,
                ops.div(g, share(y, x)) if context.needs[1] else None)

    return declare(name, elementwise, promotion="float", saves=(0, 1), grad=grad, lowering=Scalar(build),
                   parts=parts_sums.logaddexp if base == 0 else None, reference=_log_add_reference(name),
                   samples=lambda: binary_samples(floating=True), doc=doc)


logaddexp = _log_add("logaddexp", "exp", 0.0, "log(exp(x) + exp(y)) without overflow.")
logaddexp2 = _log_add("logaddexp2", "exp2", 2.0, "log2(2^x + 2^y) without overflow.")


# ---------------------------------------------------------------- x log y
def _x_log(name: str, logarithm: str, pole: float, doc: str) -> Op:
    def build(b: Builder, attrs: tuple, x: Reg, y: Reg) -> Reg:
        zero = b.const(0.0, x.type)
        product = b.select(b.compare("eq", x, zero), zero, b.mul(x, b.op(logarithm, y)))
        return b.select(b.compare("ne", y, y), y, product)

    @widened
    def grad(context: Context, g: Any) -> tuple:
        x, y = context.inputs
        gx = gy = None
        if context.needs[0]:
            flat = ops.logical_and(ops.eq(x, 0.0), ops.le(y, pole))
            gx = unmasked(flat, getattr(ops, name)(g, y))
        if context.needs[1]:
            gy = ops.div(ops.mul(g, x), y if pole == 0 else ops.add(y, 1.0))
        return gx, gy

    def reference(x: Any, y: Any) -> Any:
        import numpy

        value = numpy.where(x == 0, 0.0, x * getattr(numpy, logarithm)(y))
        return numpy.where(numpy.isnan(y), y, value).astype(numpy.result_type(x, y))

    low = 0.2 - (1 if pole else 0)
    return declare(name, elementwise, promotion="float", saves=(0, 1), grad=grad, lowering=Scalar(build),
                   reference=reference, doc=doc, samples=lambda: [
                       *(Sample((s.inputs[0], floats(s.inputs[1].shape, 4, low, 3.0)), {}, s.name)
                         for s in binary_samples(floating=True)[:-1]), binary_samples(floating=True)[-1]])


xlogy = _x_log("xlogy", "log", 0.0, "x log(y), and 0 where x is 0, unless y is NaN.")
xlog1py = _x_log("xlog1py", "log1p", -1.0, "x log(1 + y), and 0 where x is 0, unless y is NaN.")


# ---------------------------------------------------------------- greatest common divisor
def _only_integers(types: tuple, attrs: tuple) -> DType:
    dtype = types[-1].dtype
    if dtype.category != 1:
        raise DtypeError(f"gcd: expected integer tensors, not {dtype}")
    return dtype


# Euclid's algorithm takes at most so many steps for numbers of so many bytes (Fibonacci numbers are the worst).
_STEPS = {"i8": 11, "u8": 12, "i16": 23, "u16": 24, "i32": 46, "u32": 47}


def _gcd(b: Builder, attrs: tuple, x: Reg, y: Reg) -> Reg:
    zero, one = b.const(0, x.type), b.const(1, x.type)
    larger, smaller = b.var(b.op("abs", x)), b.var(b.op("abs", y))
    with b.loop(b.const(0, I64), b.const(_STEPS.get(x.type.scalar, 93), I64)):
        left, right = b.get(larger), b.get(smaller)
        done = b.compare("eq", right, zero)
        divisor = b.select(done, one, right)
        rest = b.sub(left, b.mul(b.op("div", left, divisor), divisor))
        b.set(larger, b.select(done, left, right))
        b.set(smaller, b.select(done, zero, rest))
    return b.op("abs", b.get(larger))


gcd = declare(
    "gcd", elementwise, dtype=_only_integers, grad=NON_DIFFERENTIABLE, lowering=Scalar(_gcd),
    reference=numpy_function("gcd"), samples=integers, doc="The greatest common divisor of integers, not negative.")
