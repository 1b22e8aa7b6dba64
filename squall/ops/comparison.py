"""Comparisons, logic and bits: results are bool, or integers taken apart; none has a gradient."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_
from squall.base.errors import DtypeError
from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import NON_DIFFERENTIABLE, Op, Sample, Scalar, declare
from squall.ops import codes, parts
from squall.ops.samples import binary_samples, bools, integers, unary_samples
from squall.ops.unary import numpy_function


# ---------------------------------------------------------------- comparisons
def _with_ties() -> list[Sample]:
    import numpy

    ties = numpy.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    return [*binary_samples(logical=True), Sample((ties, ties[::-1].copy()), {}, "ties")]


def _comparison(name: str, numpy_name: str, doc: str) -> Op:
    def build(b: Builder, attrs: tuple, x: Reg, y: Reg) -> Reg:
        return b.compare(name, x, y)

    return declare(name, elementwise, grad=NON_DIFFERENTIABLE, lowering=Scalar(build), dtype=bool_,
                   parts=getattr(parts, name, None), codes=codes.compared if name in ("eq", "ne") else None,
                   reference=numpy_function(numpy_name), samples=_with_ties,
                   doc=f"Whether a {doc} b, as bool; only `ne` is true of NaN.")


eq = _comparison("eq", "equal", "equals")
ne = _comparison("ne", "not_equal", "differs from")
lt = _comparison("lt", "less", "is less than")
le = _comparison("le", "less_equal", "is at most")
gt = _comparison("gt", "greater", "is greater than")
ge = _comparison("ge", "greater_equal", "is at least")


# ---------------------------------------------------------------- kinds of numbers
def _is_nan(b: Builder, attrs: tuple, x: Reg) -> Reg:
    return b.compare("ne", x, x)


def _is_infinite(b: Builder, attrs: tuple, x: Reg) -> Reg:
    if not x.type.is_float:
        return b.const(False, x.type.with_scalar("bool"))
    return b.compare("eq", b.op("abs", x), b.const(float("inf"), x.type))


def _is_finite(b: Builder, attrs: tuple, x: Reg) -> Reg:
    if not x.type.is_float:
        return b.const(True, x.type.with_scalar("bool"))
    return b.compare("lt", b.op("abs", x), b.const(float("inf"), x.type))


def _kind(name: str, build: Any, doc: str) -> Op:
    return declare(name, elementwise, grad=NON_DIFFERENTIABLE, lowering=Scalar(build), dtype=bool_,
                   parts=getattr(parts, name), codes=codes.compared, reference=numpy_function(name),
                   samples=lambda: unary_samples(whole=True), doc=doc)


isnan = _kind("isnan", _is_nan, "Whether x is NaN.")
isinf = _kind("isinf", _is_infinite, "Whether x is an infinity of either sign.")
isfinite = _kind("isfinite", _is_finite, "Whether x is neither infinite nor NaN.")


# ---------------------------------------------------------------- logic
def _truth(b: Builder, x: Reg) -> Reg:
    return x if x.type.scalar == "bool" else b.compare("ne", x, b.const(0, x.type))


def _logic(name: str, instruction: str, doc: str) -> Op:
    def build(b: Builder, attrs: tuple, x: Reg, y: Reg) -> Reg:
        return b.op(instruction, _truth(b, x), _truth(b, y))

    return declare(name, elementwise, grad=NON_DIFFERENTIABLE, lowering=Scalar(build), dtype=bool_,
                   parts=getattr(parts, name), reference=numpy_function(name), samples=_with_ties,
                   doc=doc + " Numbers other than 0, NaN too, are true.")


logical_and = _logic("logical_and", "and", "Whether both are true.")
logical_or = _logic("logical_or", "or", "Whether either is true.")
logical_xor = _logic("logical_xor", "xor", "Whether one is true and the other not.")

logical_not = declare(
    "logical_not", elementwise, parts=parts.logical_not,
    grad=NON_DIFFERENTIABLE, dtype=bool_, reference=numpy_function("logical_not"),
    lowering=Scalar(lambda b, attrs, x: b.op("not", _truth(b, x))),
    samples=lambda: [*unary_samples(whole=True), *_one_bool()],
    doc="Whether x is 0 or False.")


# ---------------------------------------------------------------- bits
def _one_bool() -> list[Sample]:
    return [Sample(s.inputs[:1], {}, s.name) for s in bools()]


def _whole(types: tuple, attrs: tuple) -> Any:
    dtype = types[0].dtype
    if dtype.category > 1:
        raise DtypeError(f"operations on bits take integers and bools, not {dtype}")
    return dtype


def _bitwise(name: str, instruction: str, doc: str) -> Op:
    return declare(name, elementwise, grad=NON_DIFFERENTIABLE, lowering=Scalar(instruction), dtype=_whole,
                   reference=numpy_function(name), samples=lambda: [*integers(), *bools()], doc=doc)


bitwise_and = _bitwise("bitwise_and", "and", "Bits set in both; logical for bool.")
bitwise_or = _bitwise("bitwise_or", "or", "Bits set in either; logical for bool.")
bitwise_xor = _bitwise("bitwise_xor", "xor", "Bits set in one of the two; logical for bool.")

bitwise_not = declare(
    "bitwise_not", elementwise, grad=NON_DIFFERENTIABLE, lowering=Scalar("not"), dtype=_whole,
    reference=numpy_function("invert"),
    samples=lambda: [Sample(s.inputs[:1], {}, s.name) for s in [*integers(), *bools()]],
    doc="Bits inverted; logical for bool.")


def _shift_reference(name: str) -> Any:
    def reference(x: Any, amount: Any) -> Any:
        import numpy

        width = 8 * x.dtype.itemsize
        beyond = (amount < 0) | (amount >= width)
        shifted = getattr(numpy, name)(x, numpy.where(beyond, 0, amount).astype(x.dtype))
        past = (x < 0) * -1 if name == "right_shift" and x.dtype.kind == "i" else x * 0
        return numpy.where(beyond, past, shifted).astype(x.dtype)

    return reference


def _shift_samples() -> list[Sample]:
    import numpy

    amounts = numpy.array([0, 1, 5, 7, 8, 31])
    out = []
    for dtype in ("int8", "uint8", "int32", "int64"):
        values = numpy.array([0, 1, 3, 100, 127] + [-1, -128] * (dtype[0] == "i"), dtype)
        out.append(Sample((values[:, None], amounts[None, :].astype(dtype)), {}, f"{dtype} shifted"))
    return out


shift_left = declare(
    "shift_left", elementwise, grad=NON_DIFFERENTIABLE, lowering=Scalar("shl"), dtype=_whole,
    reference=_shift_reference("left_shift"), samples=_shift_samples,
    doc="Bits moved up; a shift by the width or more, or by less than 0, gives 0.")

shift_right = declare(
    "shift_right", elementwise, grad=NON_DIFFERENTIABLE, lowering=Scalar("shr"), dtype=_whole,
    reference=_shift_reference("right_shift"), samples=_shift_samples,
    doc="Bits moved down, copies of the sign moving in; a shift by the width or more, or by less than 0, leaves "
    "the sign.")
