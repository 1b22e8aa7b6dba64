"""Arithmetic of two operands: add, sub, mul, div. (The model for other elementwise files: record, gradient, samples.)"""

from __future__ import annotations

from typing import Any

from squall.ir.families import elementwise
from squall.ir.op import Context, Scalar, declare, ops
from squall.ops.samples import binary_samples


def _add_grad(context: Context, g: Any) -> tuple:
    return g, g


add = declare(
    "add", elementwise, grad=_add_grad, lowering=Scalar("add"), reference=lambda a, b: a + b,
    samples=binary_samples, doc="Sum of two tensors; integers wrap around.")


def _sub_grad(context: Context, g: Any) -> tuple:
    return g, ops.neg(g) if context.needs[1] else None


sub = declare(
    "sub", elementwise, grad=_sub_grad, lowering=Scalar("sub"), reference=lambda a, b: a - b,
    samples=binary_samples, doc="Difference of two tensors; integers wrap around.")


def _mul_saves(needs: tuple[bool, ...]) -> tuple:
    return (1,) * needs[0] + (0,) * needs[1]


def _mul_grad(context: Context, g: Any) -> tuple:
    a, b = context.inputs
    return ops.mul(g, b) if context.needs[0] else None, ops.mul(g, a) if context.needs[1] else None


mul = declare(
    "mul", elementwise, saves=_mul_saves, grad=_mul_grad, lowering=Scalar("mul"), reference=lambda a, b: a * b,
    samples=binary_samples, doc="Product of two tensors; integers wrap around.")


def _div_saves(needs: tuple[bool, ...]) -> tuple:
    return (0, 1) if needs[1] else (1,)


def _div_grad(context: Context, g: Any) -> tuple:
    a, b = context.inputs
    over = ops.div(g, b)
    return over if context.needs[0] else None, ops.neg(ops.mul(over, ops.div(a, b))) if context.needs[1] else None


div = declare(
    "div", elementwise, saves=_div_saves, grad=_div_grad, lowering=Scalar("div"), promotion="float",
    reference=lambda a, b: a / b, samples=lambda: binary_samples(floating=True, nonzero=True),
    doc="True quotient of two tensors; integers are divided as floats.")
