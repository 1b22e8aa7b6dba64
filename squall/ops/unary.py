"""Functions of one operand: sign and rounding, powers and roots, exponentials and logarithms."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

from squall.base.dtypes import real_of
from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import Context, Op, Scalar, declare, ops
from squall.ops import codes, parts
from squall.ops.arithmetic import no_bool
from squall.ops.common import number, widened, zero_gradient
from squall.ops.samples import unary_samples


def numpy_function(name: str) -> Callable:
    """A reference that is NumPy's function of a name, imported when first used."""

    def reference(*arrays: Any) -> Any:
        import numpy

        return getattr(numpy, name)(*arrays)

    return reference


# ---------------------------------------------------------------- sign and rounding
neg = declare(
    "neg", elementwise, parts="each",
    grad=lambda context, g: ops.neg(g), lowering=Scalar("neg"), reference=lambda x: -x,
    dtype=no_bool, samples=lambda: unary_samples(whole=True), doc="-x; integers wrap around, bools are refused.")


def _abs_grad(context: Context, g: Any) -> Any:
    x = context.inputs[0]
    if x.dtype.category < 3:
        return ops.mul(g, ops.sign(x))
    size = ops.abs(x)
    over = ops.where(ops.eq(size, 0.0), number(0.0, size), ops.div(g, size))
    return ops.mul(x, ops.cast(over, dtype=x.dtype))


def _abs_tangent(context: Context, t: Any) -> Any:
    x = context.inputs[0]
    if x.dtype.category < 3:
        return ops.mul(t, ops.sign(x))
    size = ops.abs(x)
    return ops.where(ops.eq(size, 0.0), number(0.0, size), ops.div(ops.real(ops.mul(ops.conj(x), t)), size))


abs = declare(
    "abs", elementwise, parts=parts.absolute, codes=codes.absolute, holomorphic=False,
    dtype=lambda types, attrs: real_of(types[0].dtype), saves=(0,), grad=_abs_grad, jvp=_abs_tangent,
    lowering=Scalar("abs"), reference=numpy_function("abs"), samples=lambda: unary_samples(whole=True),
    doc="|x|, with gradient 0 at 0. The smallest integer is its own absolute value.")


def _sign(b: Builder, attrs: tuple, x: Reg) -> Reg:
    if x.type.scalar == "bool":
        return x
    zero, one = b.const(0, x.type), b.const(1, x.type)
    positive = b.select(b.compare("gt", x, zero), one, zero)
    if not (x.type.is_float or x.type.is_signed):
        return positive
    return b.select(b.compare("lt", x, zero), b.const(-1, x.type), positive)


def _sign_reference(x: Any) -> Any:
    import numpy

    if x.dtype == bool:
        return x
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype) if x.dtype.kind != "u" else numpy.sign(x)


sign = declare(
    "sign", elementwise, grad=zero_gradient, lowering=Scalar(_sign), reference=_sign_reference,
    samples=lambda: unary_samples(whole=True),
    doc="-1, 0 or 1 by the sign of x; 0 for NaN, as in PyTorch. Gradient 0.")


def _rounding(name: str, instruction: str, function: str, doc: str) -> Op:
    return declare(name, elementwise, grad=zero_gradient, lowering=Scalar(instruction),
                   reference=_whole_stay(function),
                   samples=lambda: unary_samples(whole=True), doc=doc + " Integers stay as they are. Gradient 0.")


def _whole_stay(function: str) -> Callable:
    def reference(x: Any) -> Any:
        import numpy

        return getattr(numpy, function)(x) if x.dtype.kind not in "biu" else x

    return reference


floor = _rounding("floor", "floor", "floor", "The largest integer not above x.")
ceil = _rounding("ceil", "ceil", "ceil", "The smallest integer not below x.")
trunc = _rounding("trunc", "trunc", "trunc", "x without its fraction.")
round = _rounding("round", "rint", "rint", "The nearest integer, halves to even.")

# ---------------------------------------------------------------- powers and roots
sqrt = declare(
    "sqrt", elementwise, parts=parts.sqrt,
    saves=("out",), grad=lambda context, g: ops.div(g, ops.mul(context.output, 2.0)),
    lowering=Scalar("sqrt"), promotion="float", reference=numpy_function("sqrt"),
    samples=lambda: unary_samples(0.2, 4.0),
    doc="Square root; NaN below 0.")


@widened
def _rsqrt_grad(context: Context, g: Any) -> Any:
    out = context.output
    return ops.mul(ops.mul(g, -0.5), ops.mul(out, ops.mul(out, out)))


def _rsqrt_reference(x: Any) -> Any:
    import numpy

    return 1 / numpy.sqrt(x)


rsqrt = declare(
    "rsqrt", elementwise, parts=parts.rsqrt,
    saves=("out",), grad=_rsqrt_grad, lowering=Scalar("rsqrt"), promotion="float",
    reference=_rsqrt_reference, samples=lambda: unary_samples(0.2, 4.0), doc="1 / sqrt(x).")


@widened
def _reciprocal_grad(context: Context, g: Any) -> Any:
    return ops.neg(ops.mul(g, ops.mul(context.output, context.output)))


reciprocal = declare(
    "reciprocal", elementwise, parts=parts.reciprocal,
    saves=("out",), grad=_reciprocal_grad, lowering=Scalar("reciprocal"),
    promotion="float",
    reference=lambda x: 1 / x, samples=lambda: unary_samples(0.3, 3.0), doc="1 / x.")

square = declare(
    "square", elementwise, parts=parts.square,
    saves=(0,), grad=lambda context, g: ops.mul(g, ops.mul(context.inputs[0], 2.0)),
    lowering=Scalar(lambda b, attrs, x: x if x.type.scalar == "bool" else b.mul(x, x)), reference=lambda x: x * x,
    samples=lambda: unary_samples(whole=True), doc="x * x; integers wrap around.")

# ---------------------------------------------------------------- exponentials
exp = declare(
    "exp", elementwise, parts=parts.exp,
    saves=("out",), grad=lambda context, g: ops.mul(g, context.output), lowering=Scalar("exp"),
    promotion="float", reference=numpy_function("exp"), samples=unary_samples, doc="e to the power x.")

exp2 = declare(
    "exp2", elementwise, parts=parts.exp2,
    saves=("out",), grad=lambda context, g: ops.mul(ops.mul(g, context.output), log(2.0)),
    lowering=Scalar("exp2"), promotion="float", reference=numpy_function("exp2"), samples=unary_samples,
    doc="2 to the power x.")

expm1 = declare(
    "expm1", elementwise, parts=parts.expm1, saves=("out",), lowering=Scalar("expm1"), promotion="float",
    grad=widened(lambda context, g: ops.mul(g, ops.add(context.output, 1.0))), reference=numpy_function("expm1"),
    samples=unary_samples, doc="e to the power x, minus 1, accurate near 0.")


# ---------------------------------------------------------------- logarithms
def _logarithm(name: str, base: float | None, doc: str) -> Op:
    def grad(context: Context, g: Any) -> Any:
        x = context.inputs[0]
        return ops.div(g, x if base is None else ops.mul(x, log(base)))

    return declare(name, elementwise, saves=(0,), grad=widened(grad), lowering=Scalar(name), promotion="float",
                   parts=getattr(parts, name),
                   reference=numpy_function(name), samples=lambda: unary_samples(0.1, 5.0), doc=doc)


log_ = _logarithm("log", None, "Natural logarithm; -inf at 0, NaN below.")
log2 = _logarithm("log2", 2.0, "Logarithm to base 2.")
log10 = _logarithm("log10", 10.0, "Logarithm to base 10.")

log1p = declare(
    "log1p", elementwise, parts=parts.log1p,
    saves=(0,), grad=widened(lambda context, g: ops.div(g, ops.add(context.inputs[0], 1.0))),
    lowering=Scalar("log1p"), promotion="float", reference=numpy_function("log1p"),
    samples=lambda: unary_samples(-0.9, 5.0), doc="log(1 + x), accurate near 0.")

