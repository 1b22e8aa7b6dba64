"""Arithmetic of two operands: add, sub, mul, div. The model for other elementwise files: record, gradient, samples."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType
from squall.base.errors import DtypeError
from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import Context, Scalar, declare, ops
from squall.ops import parts
from squall.ops.common import widened
from squall.ops.samples import binary_samples


def _either_or(arithmetic: str, logical: str) -> Scalar:
    """An instruction, with another for bool, where 1 + 1 is 1."""

    def build(b: Builder, attrs: tuple, x: Reg, y: Reg) -> Reg:
        return b.op(logical if x.type.scalar == "bool" else arithmetic, x, y)

    return Scalar(build)


def _add_grad(context: Context, g: Any) -> tuple:
    return g, g


add = declare(
    "add", elementwise, parts=parts.add,
    grad=_add_grad, lowering=_either_or("add", "or"), reference=lambda a, b: a + b,
    samples=lambda: binary_samples(logical=True), doc="Sum of two tensors; integers wrap around, bools are or'ed.")


def no_bool(types: tuple, attrs: tuple) -> DType:
    """The dtype rule of ops that PyTorch refuses for bool."""
    dtype = types[-1].dtype
    if not dtype.category:
        raise DtypeError("this operation is not defined for bool tensors: use ^ or logical_not, or cast first")
    return dtype


def only_float(types: tuple, attrs: tuple) -> DType:
    """The dtype rule of ops that PyTorch refuses for integers and bool."""
    dtype = types[-1].dtype
    if dtype.category < 2:
        raise DtypeError(f"this operation takes floating tensors, not {dtype}; cast first")
    return dtype


def _sub_grad(context: Context, g: Any) -> tuple:
    return g, ops.neg(g) if context.needs[1] else None


sub = declare(
    "sub", elementwise, parts=parts.sub,
    grad=_sub_grad, lowering=Scalar("sub"), reference=lambda a, b: a - b, dtype=no_bool,
    samples=binary_samples, doc="Difference of two tensors; integers wrap around, bools are refused.")


def _mul_saves(needs: tuple[bool, ...]) -> tuple:
    return (1,) * needs[0] + (0,) * needs[1]


def _mul_grad(context: Context, g: Any) -> tuple:
    a, b = context.inputs
    return ops.mul(g, b) if context.needs[0] else None, ops.mul(g, a) if context.needs[1] else None


mul = declare(
    "mul", elementwise, parts=parts.mul,
    saves=_mul_saves, grad=_mul_grad, lowering=_either_or("mul", "and"), reference=lambda a,
    b: a * b,
    samples=lambda: binary_samples(logical=True),
    doc="Product of two tensors; integers wrap around, bools are and'ed.")


def _div_saves(needs: tuple[bool, ...]) -> tuple:
    return (0, 1) if needs[1] else (1,)


@widened
def _div_grad(context: Context, g: Any) -> tuple:
    a, b = context.inputs
    over = ops.div(g, b)
    return over if context.needs[0] else None, ops.neg(ops.mul(over, ops.div(a, b))) if context.needs[1] else None


div = declare(
    "div", elementwise, parts=parts.div,
    saves=_div_saves, grad=_div_grad, lowering=Scalar("div"), promotion="float",
    reference=lambda a, b: a / b, samples=lambda: binary_samples(floating=True, nonzero=True),
    doc="True quotient of two tensors; integers are divided as floats.")
