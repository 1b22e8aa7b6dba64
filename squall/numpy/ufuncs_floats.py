"""NumPy's universal functions of floats: exponentials, angles, rounding, and what floats are made of."""

from __future__ import annotations

from math import pi
from typing import Any

from squall.base.dtypes import float64
from squall.frontend import arithmetic, creation
from squall.frontend import functions_complex as planes
from squall.frontend import functions_elementwise as more
from squall.numpy import complexes
from squall.numpy import computing as by
from squall.numpy.core import cast
from squall.numpy.ufunc import Ufunc, inexact, inexact_ufunc, same

exp = inexact_ufunc("exp", complexes.exp, "e to the power of each element.")
exp2 = inexact_ufunc("exp2", by.method("exp2"), "2 to the power of each element.")
expm1 = inexact_ufunc("expm1", complexes.expm1, "exp(x) - 1, exact for small x.")
log = inexact_ufunc("log", by.method("log"), "Natural logarithm.")
log2 = inexact_ufunc("log2", by.method("log2"), "Logarithm to base 2.")
log10 = inexact_ufunc("log10", by.method("log10"), "Logarithm to base 10.")
log1p = inexact_ufunc("log1p", by.method("log1p"), "log(1 + x), exact for small x.")
sqrt = inexact_ufunc("sqrt", by.method("sqrt"), "Square root; NaN below 0.")
sin = inexact_ufunc("sin", by.method("sin"), "Sine.")
cos = inexact_ufunc("cos", by.method("cos"), "Cosine.")
tan = inexact_ufunc("tan", by.method("tan"), "Tangent.")
arcsin = inexact_ufunc("arcsin", by.method("asin"), "Inverse sine.")
arccos = inexact_ufunc("arccos", complexes.acos, "Inverse cosine.")
arctan = inexact_ufunc("arctan", by.method("atan"), "Inverse tangent.")
sinh = inexact_ufunc("sinh", complexes.sinh, "Hyperbolic sine.")
cosh = inexact_ufunc("cosh", complexes.cosh, "Hyperbolic cosine.")
tanh = inexact_ufunc("tanh", complexes.tanh, "Hyperbolic tangent.")
arcsinh = inexact_ufunc("arcsinh", complexes.asinh, "Inverse hyperbolic sine.")
arccosh = inexact_ufunc("arccosh", complexes.acosh, "Inverse hyperbolic cosine.")
arctanh = inexact_ufunc("arctanh", complexes.atanh, "Inverse hyperbolic tangent.")
cbrt = inexact_ufunc("cbrt", by.cbrt, "Cube root.", "f")
deg2rad = inexact_ufunc("deg2rad", by.of_degrees(pi / 180), "Degrees as radians.", "f")
rad2deg = inexact_ufunc("rad2deg", by.of_degrees(180 / pi), "Radians as degrees.", "f")
radians = inexact_ufunc("radians", by.of_degrees(pi / 180), "Degrees as radians.", "f")
degrees = inexact_ufunc("degrees", by.of_degrees(180 / pi), "Radians as degrees.", "f")
arctan2 = inexact_ufunc("arctan2", by.op("atan2"), "The angle of the point (x2, x1).", "f", 2)
hypot = inexact_ufunc(
    "hypot", more.hypot, "sqrt(x1^2 + x2^2), without overflow in between.", "f", 2, identity=0
)
copysign = inexact_ufunc("copysign", by.op("copysign"), "The size of x1 with the sign of x2.", "f", 2)
nextafter = inexact_ufunc("nextafter", more.nextafter, "The number after x1 in the direction of x2.", "f", 2)
logaddexp = inexact_ufunc(
    "logaddexp", more.logaddexp, "log(exp(x1) + exp(x2)), without overflow.", "f", 2, identity=float("-inf")
)
logaddexp2 = inexact_ufunc(
    "logaddexp2", more.logaddexp2, "log2(2^x1 + 2^x2), without overflow.", "f", 2, identity=float("-inf")
)
heaviside = inexact_ufunc(
    "heaviside",
    lambda a, b: arithmetic.where(a.isnan(), a, more.heaviside(a, b)),
    "0 below 0, 1 above, x2 at 0.",
    "f",
    2,
)
spacing = inexact_ufunc(
    "spacing",
    lambda x: arithmetic.where(
        x.isfinite(),
        more.nextafter(x, arithmetic.where(x < 0, float("-inf"), float("inf"))) - x,
        float("nan"),
    ),
    "The distance to the next number away from 0.",
    "f",
)
frexp = Ufunc(
    "frexp",
    1,
    lambda x: tuple(more.frexp(x)),
    inexact,
    kinds="f",
    nout=2,
    doc="(mantissas in [1/2, 1), exponents of 2).",
)
modf = Ufunc(
    "modf",
    1,
    lambda x: (by.fraction(x), x.trunc()),
    inexact,
    kinds="f",
    nout=2,
    doc="(fractional parts, whole parts), both with the sign of x.",
)


class Ldexp(Ufunc):
    """`ldexp`, whose second operand stays an integer."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        dtype = self.resolve(args[:1], options.pop("dtype", None))
        exponent = args[1] if hasattr(args[1], "node") else creation.tensor(args[1])
        if exponent.node.dtype.category != 1:
            raise TypeError(f"ufunc 'ldexp' not supported for an exponent of {exponent.node.dtype.name}")
        return super().__call__(args[0], cast(exponent, float64), *args[2:], dtype=dtype, **options)

    def resolve(self, values: tuple, dtype: Any = None, casting: str = "same_kind") -> Any:
        """The dtype of the first operand, as a float."""
        return super().resolve(values[:1], dtype, casting)


ldexp = Ldexp("ldexp", 2, by.scaled, inexact, kinds="f", doc="x1 * 2^x2 of integers x2.")
floor = Ufunc("floor", 1, by.whole("floor"), same, kinds="bif", doc="Largest whole number not above.")
ceil = Ufunc("ceil", 1, by.whole("ceil"), same, kinds="bif", doc="Smallest whole number not below.")
trunc = Ufunc("trunc", 1, by.whole("trunc"), same, kinds="bif", doc="Whole part, toward zero.")
rint = inexact_ufunc("rint", by.rounded, "The nearest whole number, halves to even.")
conjugate = Ufunc(
    "conjugate",
    1,
    lambda x: planes.conj(x) if x.node.dtype.category == 3 else x.clone(),
    same,
    doc="The conjugate of complex numbers.",
)
