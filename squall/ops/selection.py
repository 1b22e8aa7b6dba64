"""Choosing and mixing elementwise: where, clamp, nan_to_num, lerp, addcmul, addcdiv."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType
from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import Context, Op, Sample, Scalar, declare, ops
from squall.ops import parts
from squall.ops.arithmetic import no_bool, only_float
from squall.ops.common import masked, unmasked, widened
from squall.ops.samples import binary_samples, floats, generator, unary_samples


# ---------------------------------------------------------------- where
def _where_grad(context: Context, g: Any) -> tuple:
    condition = context.inputs[0]
    return (None, masked(condition, g) if context.needs[1] else None,
            unmasked(condition, g) if context.needs[2] else None)


def _where_reference(condition: Any, a: Any, b: Any) -> Any:
    import numpy

    return numpy.where(condition, a, b)


def _where_samples() -> list[Sample]:
    import numpy

    out = []
    for sample in binary_samples(logical=True):
        a, b = sample.inputs
        condition = generator(7).random(numpy.broadcast_shapes(a.shape, b.shape)) < 0.5
        out.append(Sample((condition, a, b), {}, sample.name))
    return [*out, Sample((generator(3).random((4, 1)) < 0.5, floats((3,)), floats(())), {}, "broadcast condition")]


where = declare(
    "where", elementwise, parts=parts.where, codes="same",
    saves=(0,), grad=_where_grad, promotion="none", reference=_where_reference,
    samples=_where_samples,
    lowering=Scalar(lambda b, attrs, condition, x, y: b.select(condition, x, y)),
    doc="The first value where a bool condition holds, else the second. Gradients are 0 where the other was taken.")


# ---------------------------------------------------------------- clamp
def _clamp_grad(context: Context, g: Any) -> tuple:
    x, low, high = context.inputs
    over_x = over_low = over_high = None
    if context.needs[0]:
        over_x = masked(ops.logical_and(ops.ge(x, low), ops.le(x, high)), g)
    if context.needs[1]:
        over_low = masked(ops.logical_and(ops.lt(low, high), ops.lt(x, low)), g)
    if context.needs[2]:
        over_high = masked(ops.logical_or(ops.gt(x, high), ops.lt(high, low)), g)
    return over_x, over_low, over_high


def _clamp_reference(x: Any, low: Any, high: Any) -> Any:
    import numpy

    return numpy.minimum(numpy.maximum(x, low), high)


def _clamp_samples() -> list[Sample]:
    import numpy

    low, high = numpy.asarray(-1.0), numpy.asarray(1.0)
    out = [Sample((s.inputs[0], low, high), {}, s.name) for s in unary_samples()]
    whole = numpy.arange(-5, 5)
    return [*out, Sample((floats((3, 4)), floats((4,), 1), floats((3, 1), 2)), {}, "tensor bounds"),
            Sample((whole, numpy.asarray(-2), numpy.asarray(3)), {}, "integers"),
            Sample((numpy.array([-1.0, 0.0, 1.0]), low, high), {}, "ties with the bounds")]


clamp = declare(
    "clamp", elementwise, saves=(0, 1, 2), grad=_clamp_grad, reference=_clamp_reference, samples=_clamp_samples,
    lowering=Scalar(lambda b, attrs, x, low, high: b.op("min", b.op("max", x, low), high)),
    doc="x limited to [low, high], which may be tensors; where low is above high, high. The gradient passes at "
    "the bounds.")


def _one_sided(name: str, instruction: str, passes: str, doc: str) -> Op:
    def grad(context: Context, g: Any) -> tuple:
        x, bound = context.inputs
        kept = getattr(ops, passes)(x, bound)
        return masked(kept, g) if context.needs[0] else None, unmasked(kept, g) if context.needs[1] else None

    def reference(x: Any, bound: Any) -> Any:
        import numpy

        return getattr(numpy, "maximum" if instruction == "max" else "minimum")(x, bound)

    return declare(name, elementwise, saves=(0, 1), grad=grad, lowering=Scalar(instruction), reference=reference,
                   samples=binary_samples, doc=doc)


clamp_min = _one_sided("clamp_min", "max", "ge", "x, but at least a bound. The gradient of x passes at the bound.")
clamp_max = _one_sided("clamp_max", "min", "le", "x, but at most a bound. The gradient of x passes at the bound.")


# ---------------------------------------------------------------- nan_to_num
def _nan_to_num(b: Builder, attrs: tuple, x: Reg) -> Reg:
    if not x.type.is_float:
        return x
    out = x
    for value, replaced in zip((float("inf"), float("-inf")), attrs[1:], strict=True):
        out = b.select(b.compare("eq", x, b.const(value, x.type)), b.const(replaced, x.type), out)
    return b.select(b.compare("ne", x, x), b.const(attrs[0], x.type), out)


def _nan_to_num_reference(x: Any, nan: float, posinf: float, neginf: float) -> Any:
    import numpy

    return numpy.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf) if x.dtype.kind == "f" else x


nan_to_num = declare(
    "nan_to_num", elementwise, attributes=("nan", "posinf", "neginf"), saves=(0,), lowering=Scalar(_nan_to_num),
    grad=lambda context, g: masked(ops.isfinite(context.inputs[0]), g), reference=_nan_to_num_reference,
    samples=lambda: unary_samples(whole=True, attributes={"nan": 1.0, "posinf": 2.0, "neginf": -3.0}),
    doc="NaN and the infinities replaced by given numbers (frontends pass 0 and the dtype's extremes). Gradient "
    "0 there.")


# ---------------------------------------------------------------- lerp, addcmul, addcdiv
def _lerp(b: Builder, attrs: tuple, start: Reg, end: Reg, weight: Reg) -> Reg:
    # Two forms, as PyTorch has them: each is exact at the end it starts from.
    difference = b.sub(end, start)
    near = b.add(start, b.mul(weight, difference))
    far = b.sub(end, b.mul(difference, b.sub(b.const(1.0, start.type), weight)))
    return b.select(b.compare("lt", b.op("abs", weight), b.const(0.5, start.type)), near, far)


def _lerp_reference(start: Any, end: Any, weight: Any) -> Any:
    import numpy

    near = start + weight * (end - start)
    return numpy.where(numpy.abs(weight) < 0.5, near, end - (end - start) * (1 - weight))


@widened
def _lerp_grad(context: Context, g: Any) -> tuple:
    start, end, weight = context.inputs
    return (ops.mul(g, ops.sub(1.0, weight)) if context.needs[0] else None,
            ops.mul(g, weight) if context.needs[1] else None,
            ops.mul(g, ops.sub(end, start)) if context.needs[2] else None)


def _three(nonzero: bool = False) -> list[Sample]:
    low = 0.5 if nonzero else -2.0
    shapes = [((3, 4),) * 3, ((2, 1, 3), (4, 1), ()), ((), (), ()), ((0, 3), (3,), (1, 1))]
    return [Sample((floats(a, 1), floats(b, 2), floats(c, 3, low)), {}, f"{a} {b} {c}") for a, b, c in shapes]


lerp = declare(
    "lerp", elementwise, parts=parts.lerp,
    dtype=only_float, saves=lambda needs: (0, 1, 2) if needs[2] else (2,), grad=_lerp_grad,
    lowering=Scalar(_lerp),
    reference=_lerp_reference, samples=_three,
    doc="start + weight * (end - start), by the form exact at the nearer end.")


def _scaled(value: float, dtype: DType) -> float | int:
    return value if dtype.category >= 2 else int(value)


def _addcmul(b: Builder, attrs: tuple, x: Reg, first: Reg, second: Reg) -> Reg:
    value = attrs[0] if x.type.is_float else int(attrs[0])
    return b.add(x, b.mul(b.mul(b.const(value, x.type), first), second))


def _addcmul_reference(x: Any, first: Any, second: Any, value: float) -> Any:
    return x + first * second * (value if x.dtype.kind in "fc" else x.dtype.type(int(value)))


@widened
def _addcmul_grad(context: Context, g: Any) -> tuple:
    _, first, second = context.inputs
    scaled = ops.mul(g, _scaled(context.attrs[0], g.dtype))
    return (g, ops.mul(scaled, second) if context.needs[1] else None,
            ops.mul(scaled, first) if context.needs[2] else None)


addcmul = declare(
    "addcmul", elementwise, parts=parts.addcmul,
    dtype=no_bool, attributes=("value",), defaults={"value": 1.0}, saves=(1, 2),
    grad=_addcmul_grad,
    lowering=Scalar(_addcmul), reference=_addcmul_reference,
    samples=lambda: [Sample(s.inputs, {"value": v}, s.name) for s in _three() for v in (1.0, -0.5)],
    doc="x + value * first * second.")


def _addcdiv(b: Builder, attrs: tuple, x: Reg, first: Reg, second: Reg) -> Reg:
    return b.add(x, b.op("div", b.mul(b.const(attrs[0], x.type), first), second))


@widened
def _addcdiv_grad(context: Context, g: Any) -> tuple:
    _, first, second = context.inputs
    scaled = ops.div(ops.mul(g, context.attrs[0]), second)
    return (g, scaled if context.needs[1] else None,
            ops.neg(ops.mul(scaled, ops.div(first, second))) if context.needs[2] else None)


addcdiv = declare(
    "addcdiv", elementwise, parts=parts.addcdiv,
    attributes=("value",), defaults={"value": 1.0}, saves=(1, 2), grad=_addcdiv_grad,
    lowering=Scalar(_addcdiv), promotion="float", reference=lambda x, first, second,
    value: x + first / second * value,
    samples=lambda: [Sample(s.inputs, {"value": v}, s.name) for s in _three(nonzero=True) for v in (1.0, -0.5)],
    doc="x + value * first / second.")
