"""NumPy's universal functions by name. `ufunc.py` says what they have in common."""

from __future__ import annotations

from math import pi
from typing import Any

from squall.base.dtypes import bool_, complex_of, float64, int32, uint64
from squall.frontend import arithmetic, creation
from squall.frontend import functions_complex as planes
from squall.frontend import functions_elementwise as more
from squall.numpy import complexes
from squall.numpy import computing as by
from squall.numpy.core import cast
from squall.numpy.ufunc import Ufunc, divided, inexact, number_like, same, truth


def _float(name: str, compute: Any, doc: str, kinds: str = "fc", nin: int = 1, **more_options: Any) -> Ufunc:
    return Ufunc(name, nin, compute, inexact, kinds=kinds, doc=doc, **more_options)


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


reciprocal = Ufunc(
    "reciprocal", 1, by.floored_one, number_like, kinds="ifc", doc="1 over each element."
)


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
    lambda a, b: maximum._compute(a, b) if a.node.dtype.category != 2 else more.fmax(a, b),
    same,
    doc="The larger of two, not NaN.",
)


fmin = Ufunc(
    "fmin",
    2,
    lambda a, b: minimum._compute(a, b) if a.node.dtype.category != 2 else more.fmin(a, b),
    same,
    doc="The smaller of two, not NaN.",
)


# ---------------------------------------------------------------- comparison
def _signs_differ(values: tuple) -> bool:
    kinds = {getattr(getattr(v, "node", None), "dtype", None) for v in values}
    return uint64 in kinds and any(k is not None and k.category == 1 and k.signed for k in kinds)


class Comparison(Ufunc):
    """A ufunc whose result is bool and whose operands are compared by value, whatever their integer dtypes."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        options.pop("dtype", None)
        if len(args) == 2:
            outside = self._outside(args)
            if outside is not None:
                return super().__call__(*outside, **options)
            if _signs_differ(args):
                first_unsigned = args[0].node.dtype is uint64
                unsigned, signed = args if first_unsigned else args[::-1]
                below, low = signed < 0, cast(unsigned, uint64)
                high = cast(arithmetic.where(below, 0, signed), uint64)
                shifted = [creation.zeros_like(low, dtype=int32), cast(arithmetic.where(below, -1, 0), int32)]
                tied = (low, high) if first_unsigned else (high, low)
                signs = tuple(shifted) if first_unsigned else tuple(shifted[::-1])
                chosen = arithmetic.where(below, self._compute(*signs), self._compute(*tied))
                return self._delivered(chosen, options.get("out"), options.get("where", True), "same_kind")
        return super().__call__(*args, **options)

    @staticmethod
    def _outside(args: tuple) -> tuple | None:
        """Operands with a Python integer that the other one's dtype does not hold as floats, which order the same."""
        for i in (0, 1):
            number, other = args[i], getattr(getattr(args[1 - i], "node", None), "dtype", None)
            if number.__class__ is int and other is not None and other.category == 1:
                bits = other.itemsize * 8
                low = -(1 << bits - 1) if other.signed else 0
                if not low <= number < low + (1 << bits):
                    pair = [float("inf") if number > 0 else float("-inf"), cast(args[1 - i], float64)]
                    return tuple(pair if i == 0 else pair[::-1])
        return None


equal = Comparison("equal", 2, by.op("eq"), same, doc="Whether equal.")


not_equal = Comparison("not_equal", 2, by.op("ne"), same, doc="Whether different.")


less = Comparison("less", 2, by.ordered("lt"), same, doc="Whether less.")


less_equal = Comparison("less_equal", 2, by.ordered("le"), same, doc="Whether less or equal.")


greater = Comparison("greater", 2, by.ordered("gt"), same, doc="Whether greater.")


greater_equal = Comparison("greater_equal", 2, by.ordered("ge"), same, doc="Whether greater or equal.")


# ---------------------------------------------------------------- logic and bits
logical_and = Ufunc(
    "logical_and",
    2,
    by.op("logical_and"),
    truth,
    identity=True,
    doc="Whether both are nonzero.",
    reduces=lambda x, d, k: cast(x, bool_).all(d, k) if d else cast(x, bool_),
)


logical_or = Ufunc(
    "logical_or",
    2,
    by.op("logical_or"),
    truth,
    identity=False,
    doc="Whether one is nonzero.",
    reduces=lambda x, d, k: cast(x, bool_).any(d, k) if d else cast(x, bool_),
)


logical_xor = Ufunc(
    "logical_xor", 2, by.op("logical_xor"), truth, identity=False, doc="Whether exactly one is nonzero."
)


logical_not = Ufunc("logical_not", 1, by.method("logical_not"), truth, doc="Whether zero.")


bitwise_and = Ufunc(
    "bitwise_and", 2, by.op("bitwise_and"), same, kinds="bi", identity=-1, doc="Bits set in both."
)


bitwise_or = Ufunc(
    "bitwise_or", 2, by.op("bitwise_or"), same, kinds="bi", identity=0, doc="Bits set in one or both."
)


bitwise_xor = Ufunc(
    "bitwise_xor", 2, by.op("bitwise_xor"), same, kinds="bi", identity=0, doc="Bits set in one only."
)


invert = Ufunc(
    "invert", 1, by.method("bitwise_not"), same, kinds="bi", doc="Every bit flipped; not, for booleans."
)


left_shift = Ufunc("left_shift", 2, by.shift("shift_left"), number_like, kinds="i", doc="Bits moved up.")


right_shift = Ufunc("right_shift", 2, by.shift("shift_right"), number_like, kinds="i", doc="Bits moved down.")


exp = _float("exp", complexes.exp, "e to the power of each element.")


exp2 = _float("exp2", by.method("exp2"), "2 to the power of each element.")


expm1 = _float("expm1", complexes.expm1, "exp(x) - 1, exact for small x.")


log = _float("log", by.method("log"), "Natural logarithm.")


log2 = _float("log2", by.method("log2"), "Logarithm to base 2.")


log10 = _float("log10", by.method("log10"), "Logarithm to base 10.")


log1p = _float("log1p", by.method("log1p"), "log(1 + x), exact for small x.")


sqrt = _float("sqrt", by.method("sqrt"), "Square root; NaN below 0.")


sin = _float("sin", by.method("sin"), "Sine.")


cos = _float("cos", by.method("cos"), "Cosine.")


tan = _float("tan", by.method("tan"), "Tangent.")


arcsin = _float("arcsin", by.method("asin"), "Inverse sine.")


arccos = _float("arccos", complexes.acos, "Inverse cosine.")


arctan = _float("arctan", by.method("atan"), "Inverse tangent.")


sinh = _float("sinh", complexes.sinh, "Hyperbolic sine.")


cosh = _float("cosh", complexes.cosh, "Hyperbolic cosine.")


tanh = _float("tanh", complexes.tanh, "Hyperbolic tangent.")


arcsinh = _float("arcsinh", complexes.asinh, "Inverse hyperbolic sine.")


arccosh = _float("arccosh", complexes.acosh, "Inverse hyperbolic cosine.")


arctanh = _float("arctanh", complexes.atanh, "Inverse hyperbolic tangent.")


cbrt = _float("cbrt", by.cbrt, "Cube root.", "f")


deg2rad = _float("deg2rad", by.of_degrees(pi / 180), "Degrees as radians.", "f")


rad2deg = _float("rad2deg", by.of_degrees(180 / pi), "Radians as degrees.", "f")


radians = _float("radians", by.of_degrees(pi / 180), "Degrees as radians.", "f")


degrees = _float("degrees", by.of_degrees(180 / pi), "Radians as degrees.", "f")


arctan2 = _float("arctan2", by.op("atan2"), "The angle of the point (x2, x1).", "f", 2)


hypot = _float("hypot", more.hypot, "sqrt(x1^2 + x2^2), without overflow in between.", "f", 2, identity=0)


copysign = _float("copysign", by.op("copysign"), "The size of x1 with the sign of x2.", "f", 2)


nextafter = _float("nextafter", more.nextafter, "The number after x1 in the direction of x2.", "f", 2)


logaddexp = _float(
    "logaddexp", more.logaddexp, "log(exp(x1) + exp(x2)), without overflow.", "f", 2, identity=float("-inf")
)


logaddexp2 = _float(
    "logaddexp2", more.logaddexp2, "log2(2^x1 + 2^x2), without overflow.", "f", 2, identity=float("-inf")
)


heaviside = _float(
    "heaviside",
    lambda a, b: arithmetic.where(a.isnan(), a, more.heaviside(a, b)),
    "0 below 0, 1 above, x2 at 0.",
    "f",
    2,
)


spacing = _float(
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


gcd = Ufunc("gcd", 2, more.gcd, same, kinds="i", identity=0, doc="Greatest common divisor.")


lcm = Ufunc("lcm", 2, more.lcm, same, kinds="i", doc="Least common multiple.")


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


rint = _float("rint", by.rounded, "The nearest whole number, halves to even.")


isnan = Ufunc("isnan", 1, by.test("isnan", False), same, doc="Whether NaN.")


isinf = Ufunc("isinf", 1, by.test("isinf", False), same, doc="Whether infinite.")


isfinite = Ufunc("isfinite", 1, by.test("isfinite", True), same, doc="Whether neither infinite nor NaN.")


signbit = Ufunc(
    "signbit", 1, more.signbit, inexact, kinds="f", doc="Whether the sign is negative, that of -0.0 too."
)


conjugate = Ufunc(
    "conjugate",
    1,
    lambda x: planes.conj(x) if x.node.dtype.category == 3 else x.clone(),
    same,
    doc="The conjugate of complex numbers.",
)


bitwise_count = Ufunc(
    "bitwise_count", 1, by.bits, same, kinds="i", doc="How many bits of |x| are set."
)


# the Array API's names, and NumPy's second ones
abs = absolute


acos, acosh, asin, asinh, atan, atanh, atan2 = arccos, arccosh, arcsin, arcsinh, arctan, arctanh, arctan2


mod, true_divide, conj, pow = remainder, divide, conjugate, power


bitwise_invert = bitwise_not = invert


bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
