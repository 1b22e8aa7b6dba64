"""NumPy's universal functions of arithmetic: sums, products, quotients, powers, signs, the larger and the smaller."""

from __future__ import annotations

from squall.base.dtypes import bool_, complex_of, float64
from squall.frontend import arithmetic
from squall.frontend import functions_elementwise as more
from squall.numpy import computing as by
from squall.numpy.ufunc import Ufunc, divided, inexact, number_like, same

add = Ufunc(
    "add",
    2,
    by.of_bool("logical_or", "add"),
    same,
    identity=0,
    reduces=by.sum,
    running=lambda x, d: x.cumsum(d),
    doc="Sum, element by element.",
)
subtract = Ufunc("subtract", 2, by.op("sub"), same, kinds="ifc", doc="Difference, element by element.")
multiply = Ufunc(
    "multiply",
    2,
    by.of_bool("logical_and", "mul"),
    same,
    identity=1,
    reduces=by.prod,
    running=lambda x, d: x.cumprod(d),
    doc="Product, element by element.",
)
divide = Ufunc("divide", 2, by.op("div"), divided, kinds="fc", doc="Quotient; float64 of integers.")
floor_divide = Ufunc("floor_divide", 2, by.floored, number_like, kinds="if", doc="Quotient rounded down.")
remainder = Ufunc(
    "remainder", 2, by.remaindered, number_like, kinds="if", doc="Remainder with the sign of the divisor."
)
fmod = Ufunc(
    "fmod",
    2,
    by.zero_divided(by.op("fmod")),
    number_like,
    kinds="if",
    doc="Remainder with the sign of the dividend.",
)
divmod = Ufunc(
    "divmod", 2, by.divmod, number_like, kinds="if", nout=2, doc="(quotient rounded down, remainder)."
)
power = Ufunc("power", 2, by.power, number_like, kinds="ifc", doc="Power; integers stay integers.")
float_power = Ufunc(
    "float_power",
    2,
    arithmetic.power,
    lambda v: complex_of(float64) if same(v).category == 3 else float64,
    kinds="fc",
    doc="Power in float64 or complex128.",
)
negative = Ufunc("negative", 1, by.method("neg"), same, kinds="ifc", doc="Negative.")
positive = Ufunc("positive", 1, lambda x: x.clone(), same, kinds="ifc", doc="A copy.")
absolute = Ufunc(
    "absolute",
    1,
    lambda x: x.clone() if x.node.dtype is bool_ else x.abs(),
    same,
    doc="Absolute value; the size of complex numbers.",
)
fabs = Ufunc("fabs", 1, by.method("abs"), inexact, kinds="f", doc="Absolute value, as a float.")
sign = Ufunc(
    "sign",
    1,
    by.sign,
    same,
    kinds="ifc",
    doc="-1, 0 or 1; z over its size for complex numbers; NaN of NaN.",
)
square = Ufunc("square", 1, lambda x: x * x, number_like, kinds="ifc", doc="Square.")
reciprocal = Ufunc("reciprocal", 1, by.floored_one, number_like, kinds="ifc", doc="1 over each element.")
maximum = Ufunc(
    "maximum",
    2,
    by.complex_extreme(by.of_bool("logical_or", "maximum"), True),
    same,
    reduces=by.extreme("amax"),
    doc="The larger of two; NaN if one is.",
)
minimum = Ufunc(
    "minimum",
    2,
    by.complex_extreme(by.of_bool("logical_and", "minimum"), False),
    same,
    reduces=by.extreme("amin"),
    doc="The smaller of two; NaN if one is.",
)
fmax = Ufunc(
    "fmax",
    2,
    by.known_extreme("fmax", True),
    same,
    doc="The larger of two, not NaN.",
)
fmin = Ufunc(
    "fmin",
    2,
    by.known_extreme("fmin", False),
    same,
    doc="The smaller of two, not NaN.",
)
gcd = Ufunc("gcd", 2, more.gcd, same, kinds="i", identity=0, doc="Greatest common divisor.")
lcm = Ufunc("lcm", 2, more.lcm, same, kinds="i", doc="Least common multiple.")
