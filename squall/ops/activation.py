"""Activation functions: each one record, computed in one expression, with PyTorch's gradients at the kinks."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import Context, Sample, Scalar, declare, ops
from squall.ops import parts, parts_sums
from squall.ops.arithmetic import only_float
from squall.ops.common import unmasked, widened
from squall.ops.samples import unary_samples
from squall.ops.special_reference import erf_reference

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
GELU_TANH_SCALE, GELU_TANH_CUBIC = sqrt(2 / pi), 0.044715


def _samples(**attributes: Any) -> list[Sample]:
    return unary_samples(attributes=attributes)


# ---------------------------------------------------------------- sigmoids
@widened
def _sigmoid_grad(context: Context, g: Any) -> Any:
    out = context.output
    return ops.mul(g, ops.mul(ops.sub(1.0, out), out))


def sigmoid_reference(x: Any) -> Any:
    """1 / (1 + exp(-x)) without overflow."""
    import numpy

    if x.dtype.kind == "c":
        return 1 / (1 + numpy.exp(-x))
    e = numpy.exp(-numpy.abs(x))
    return numpy.where(x >= 0, 1 / (1 + e), e / (1 + e))


sigmoid = declare(
    "sigmoid", elementwise, parts=parts.sigmoid,
    saves=("out",), grad=_sigmoid_grad, lowering=Scalar("sigmoid"), promotion="float",
    reference=sigmoid_reference, samples=unary_samples, doc="1 / (1 + exp(-x)).")


def _log_sigmoid(b: Builder, attrs: tuple, x: Reg) -> Reg:
    decay = b.op("exp", b.op("neg", b.op("abs", x)))
    return b.sub(b.op("min", x, b.const(0.0, x.type)), b.op("log1p", decay))


def _log_sigmoid_reference(x: Any) -> Any:
    import numpy

    return numpy.minimum(x, 0) - numpy.log1p(numpy.exp(-numpy.abs(x)))


log_sigmoid = declare(
    "log_sigmoid", elementwise, dtype=only_float, saves=(0,), lowering=Scalar(_log_sigmoid),
    reference=_log_sigmoid_reference,
    grad=widened(lambda context, g: ops.mul(g, ops.sigmoid(ops.neg(context.inputs[0])))), samples=unary_samples,
    doc="log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|)), which neither overflows nor cancels.")


def _silu(b: Builder, attrs: tuple, x: Reg) -> Reg:
    return b.op("div", x, b.add(b.const(1.0, x.type), b.op("exp", b.op("neg", x))))


def _silu_reference(x: Any) -> Any:
    import numpy

    return x / (1 + numpy.exp(-x))


@widened
def _silu_grad(context: Context, g: Any) -> Any:
    x = context.inputs[0]
    s = ops.sigmoid(x)
    return ops.mul(g, ops.mul(s, ops.add(ops.mul(x, ops.sub(1.0, s)), 1.0)))


silu = declare(
    "silu", elementwise, parts=parts_sums.silu, dtype=only_float, saves=(0,), grad=_silu_grad, lowering=Scalar(_silu),
    reference=_silu_reference,
    samples=unary_samples, doc="x * sigmoid(x) = x / (1 + exp(-x)), also called swish.")


# ---------------------------------------------------------------- gelu
def _gelu(b: Builder, attrs: tuple, x: Reg) -> Reg:
    def const(value: float) -> Reg:
        return b.const(value, x.type)

    half = b.mul(x, const(0.5))
    if attrs[0] == "tanh":
        inner = b.mul(const(GELU_TANH_SCALE), b.add(x, b.mul(const(GELU_TANH_CUBIC), b.mul(x, b.mul(x, x)))))
        return b.mul(half, b.add(const(1.0), b.op("tanh", inner)))
    return b.mul(half, b.add(const(1.0), b.op("erf", b.mul(x, const(sqrt(0.5))))))


def _gelu_reference(x: Any, approximate: str) -> Any:
    import numpy

    if approximate == "tanh":
        return 0.5 * x * (1 + numpy.tanh(GELU_TANH_SCALE * (x + GELU_TANH_CUBIC * x * x * x)))
    return 0.5 * x * (1 + erf_reference(x * sqrt(0.5)))


@widened
def _gelu_grad(context: Context, g: Any) -> Any:
    x = context.inputs[0]
    square = ops.mul(x, x)
    if context.attrs[0] == "tanh":
        inner = ops.mul(x, ops.add(ops.mul(square, GELU_TANH_SCALE * GELU_TANH_CUBIC), GELU_TANH_SCALE))
        t = ops.tanh(inner)
        slope = ops.add(ops.mul(square, 3 * GELU_TANH_SCALE * GELU_TANH_CUBIC), GELU_TANH_SCALE)
        left = ops.mul(ops.add(t, 1.0), 0.5)
        right = ops.mul(ops.mul(ops.mul(x, 0.5), ops.sub(1.0, ops.mul(t, t))), slope)
    else:
        left = ops.mul(ops.add(ops.erf(ops.mul(x, sqrt(0.5))), 1.0), 0.5)
        right = ops.mul(x, ops.mul(ops.exp(ops.mul(square, -0.5)), 1 / sqrt(2 * pi)))
    return ops.mul(g, ops.add(left, right))


gelu = declare(
    "gelu", elementwise, dtype=only_float, attributes=("approximate",), defaults={"approximate": "none"},
    saves=(0,), grad=_gelu_grad,
    lowering=Scalar(_gelu), reference=_gelu_reference,
    samples=lambda: [*_samples(approximate="none"), *_samples(approximate="tanh")],
    doc="x times the normal distribution function of x: x / 2 * (1 + erf(x / sqrt(2))); `approximate` \"tanh\" uses "
    "x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).")


# ---------------------------------------------------------------- rectifiers
def _relu(b: Builder, attrs: tuple, x: Reg) -> Reg:
    return b.op("max", b.const(0, x.type), x)


def _relu_reference(x: Any) -> Any:
    import numpy

    return numpy.maximum(x, numpy.zeros((), x.dtype))


relu = declare(
    "relu", elementwise, saves=("out",), grad=lambda context, g: unmasked(ops.le(context.output, 0), g),
    lowering=Scalar(_relu), reference=_relu_reference, samples=lambda: unary_samples(whole=True),
    doc="max(x, 0); NaN stays NaN. The gradient at 0 is 0.")


def _leaky_relu(b: Builder, attrs: tuple, x: Reg) -> Reg:
    return b.select(b.compare("gt", x, b.const(0.0, x.type)), x, b.mul(x, b.const(attrs[0], x.type)))


def _leaky_relu_reference(x: Any, slope: float) -> Any:
    import numpy

    return numpy.where(x > 0, x, x * slope)


leaky_relu = declare(
    "leaky_relu", elementwise, dtype=only_float, attributes=("slope",), defaults={"slope": 0.01}, saves=(0,),
    lowering=Scalar(_leaky_relu),
    grad=lambda context, g: ops.where(ops.gt(context.inputs[0], 0.0), g, ops.mul(g, context.attrs[0])),
    reference=_leaky_relu_reference, samples=lambda: [*_samples(), *_samples(slope=-0.5)],
    doc="x above 0, slope * x elsewhere; the gradient at 0 is the slope.")


# ---------------------------------------------------------------- exponential units
def _elu(b: Builder, attrs: tuple, x: Reg) -> Reg:
    alpha, scale, inner = (b.const(v, x.type) for v in attrs)
    negative = b.mul(b.mul(alpha, scale), b.op("expm1", b.mul(x, inner)))
    return b.select(b.compare("le", x, b.const(0.0, x.type)), negative, b.mul(x, scale))


def _elu_reference(x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    import numpy

    return numpy.where(x <= 0, alpha * scale * numpy.expm1(x * input_scale), x * scale)


@widened
def _elu_grad(context: Context, g: Any) -> Any:
    x, (alpha, scale, inner) = context.inputs[0], context.attrs
    # The minimum keeps the exponential of the branch not taken from overflowing into its derivatives.
    slope = ops.mul(ops.exp(ops.mul(ops.clamp_max(x, 0.0), inner)), alpha * scale * inner)
    return ops.where(ops.le(x, 0.0), ops.mul(g, slope), ops.mul(g, scale))


elu = declare(
    "elu", elementwise, dtype=only_float, attributes=("alpha", "scale", "input_scale"), saves=(0,),
    grad=_elu_grad, lowering=Scalar(_elu),
    defaults={"alpha": 1.0, "scale": 1.0, "input_scale": 1.0}, reference=_elu_reference,
    samples=lambda: [*_samples(), *_samples(alpha=0.5), *_samples(alpha=2.0, input_scale=0.5),
                     *_samples(alpha=SELU_ALPHA, scale=SELU_SCALE)],
    doc="scale * x above 0, scale * alpha * expm1(input_scale * x) elsewhere. celu is `alpha` with "
    "`input_scale` 1 / alpha.")

selu = declare(
    "selu", elementwise, dtype=only_float, saves=(0,),
    lowering=Scalar(lambda b, attrs, x: _elu(b, (SELU_ALPHA, SELU_SCALE, 1.0), x)),
    grad=widened(lambda context, g: _elu_grad(
        Context(context.op, (SELU_ALPHA, SELU_SCALE, 1.0), context.types, context.out_type, context.inputs, None,
                context.needs), g)),
    reference=lambda x: _elu_reference(x, SELU_ALPHA, SELU_SCALE, 1.0), samples=unary_samples,
    doc="elu with the alpha and scale that keep mean 0 and variance 1 through layers.")


def _softplus(b: Builder, attrs: tuple, x: Reg) -> Reg:
    beta, threshold = (b.const(v, x.type) for v in attrs)
    inner = b.mul(x, beta)
    soft = b.op("div", b.op("log1p", b.op("exp", inner)), beta)
    return b.select(b.compare("gt", inner, threshold), x, soft)


def _softplus_reference(x: Any, beta: float, threshold: float) -> Any:
    import numpy

    return numpy.where(x * beta > threshold, x, numpy.log1p(numpy.exp(x * beta)) / beta)


@widened
def _softplus_grad(context: Context, g: Any) -> Any:
    x, (beta, threshold) = context.inputs[0], context.attrs
    inner = ops.mul(x, beta)
    return ops.where(ops.gt(inner, threshold), g, ops.mul(g, ops.sigmoid(inner)))


softplus = declare(
    "softplus", elementwise, dtype=only_float, attributes=("beta", "threshold"),
    defaults={"beta": 1.0, "threshold": 20.0}, saves=(0,),
    grad=_softplus_grad, lowering=Scalar(_softplus), reference=_softplus_reference,
    samples=lambda: [*_samples(), *_samples(beta=2.0, threshold=3.0)],
    doc="log(1 + exp(beta * x)) / beta; x itself where beta * x is above the threshold.")


def _mish(b: Builder, attrs: tuple, x: Reg) -> Reg:
    return b.mul(x, b.op("tanh", b.op("log1p", b.op("exp", x))))


def _mish_reference(x: Any) -> Any:
    import numpy

    return x * numpy.tanh(numpy.log1p(numpy.exp(x)))


@widened
def _mish_grad(context: Context, g: Any) -> Any:
    x = context.inputs[0]
    t = ops.tanh(ops.softplus(x))
    return ops.mul(g, ops.add(t, ops.mul(ops.mul(x, ops.sigmoid(x)), ops.sub(1.0, ops.mul(t, t)))))


mish = declare(
    "mish", elementwise, dtype=only_float, saves=(0,), grad=_mish_grad, lowering=Scalar(_mish),
    reference=_mish_reference,
    samples=unary_samples, doc="x * tanh(log(1 + exp(x))).")
