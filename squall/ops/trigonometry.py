"""Circular and hyperbolic functions and their inverses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.ir.families import elementwise
from squall.ir.op import Context, Op, Scalar, declare, ops
from squall.ops import parts
from squall.ops.common import widened
from squall.ops.samples import unary_samples
from squall.ops.unary import numpy_function


def _function(name: str, slope: Callable[[Any], Any], doc: str, *, of_output: bool = False, low: float = -3.0,
              high: float = 3.0, numpy_name: str = "") -> Op:
    """A unary function whose gradient is `slope(g, x)`, or `slope(g, out)`."""

    @widened
    def grad(context: Context, g: Any) -> Any:
        return slope(g, context.output if of_output else context.inputs[0])

    return declare(name, elementwise, saves=("out",) if of_output else (0,), grad=grad, lowering=Scalar(name),
                   parts=getattr(parts, name), promotion="float", reference=numpy_function(numpy_name or name),
                   samples=lambda: unary_samples(low, high), doc=doc)


def _one_minus_square(x: Any) -> Any:
    return ops.sub(1.0, ops.mul(x, x))


def _one_plus_square(x: Any) -> Any:
    return ops.add(ops.mul(x, x), 1.0)


def _acosh_slope(x: Any) -> Any:
    if x.dtype.category < 3:
        return ops.rsqrt(ops.sub(ops.mul(x, x), 1.0))
    return ops.mul(ops.rsqrt(ops.sub(x, 1.0)), ops.rsqrt(ops.add(x, 1.0)))


sin = _function("sin", lambda g, x: ops.mul(g, ops.cos(x)), "Sine of radians.")
cos = _function("cos", lambda g, x: ops.neg(ops.mul(g, ops.sin(x))), "Cosine of radians.")
tan = _function("tan", lambda g, out: ops.mul(g, _one_plus_square(out)), "Tangent of radians.", of_output=True,
                low=-1.2, high=1.2)
asin = _function("asin", lambda g, x: ops.mul(g, ops.rsqrt(_one_minus_square(x))), "Arc sine, in [-pi/2, pi/2].",
                 low=-0.95, high=0.95, numpy_name="arcsin")
acos = _function("acos", lambda g, x: ops.neg(ops.mul(g, ops.rsqrt(_one_minus_square(x)))), "Arc cosine, in [0, pi].",
                 low=-0.95, high=0.95, numpy_name="arccos")
atan = _function("atan", lambda g, x: ops.div(g, _one_plus_square(x)), "Arc tangent, in (-pi/2, pi/2).",
                 numpy_name="arctan")

sinh = _function("sinh", lambda g, x: ops.mul(g, ops.cosh(x)), "Hyperbolic sine.")
cosh = _function("cosh", lambda g, x: ops.mul(g, ops.sinh(x)), "Hyperbolic cosine.")
tanh = _function("tanh", lambda g, out: ops.mul(g, _one_minus_square(out)), "Hyperbolic tangent.", of_output=True)
asinh = _function("asinh", lambda g, x: ops.mul(g, ops.rsqrt(_one_plus_square(x))), "Inverse hyperbolic sine.",
                  numpy_name="arcsinh")
acosh = _function("acosh", lambda g, x: ops.mul(g, _acosh_slope(x)),
                  "Inverse hyperbolic cosine; NaN below 1.", low=1.2, high=4.0, numpy_name="arccosh")
atanh = _function("atanh", lambda g, x: ops.div(g, _one_minus_square(x)), "Inverse hyperbolic tangent; NaN beyond 1.",
                  low=-0.9, high=0.9, numpy_name="arctanh")
