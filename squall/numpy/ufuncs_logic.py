"""NumPy's universal functions that answer yes or no, and those of bits."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, float64, int32, uint64
from squall.frontend import arithmetic, creation
from squall.frontend import functions_elementwise as more
from squall.numpy import computing as by
from squall.numpy.core import arr, cast
from squall.numpy.kinds import dtype_of
from squall.numpy.ufunc import Ufunc, inexact, number_like, same, truth


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
                args = tuple(arr(a) for a in args)
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

    def _reduced(self, x: Any, dtype: Any) -> Any:
        if x.node.dtype is not bool_ and (dtype is None or dtype_of(dtype) is not bool_):
            raise TypeError(
                f"The resolved dtypes are not compatible with {self.__name__}.reduce and accumulate: results are "
                "bool; give dtype=bool"
            )
        return cast(x, bool_)

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
isnan = Ufunc("isnan", 1, by.test("isnan", False), same, doc="Whether NaN.")
isinf = Ufunc("isinf", 1, by.test("isinf", False), same, doc="Whether infinite.")
isfinite = Ufunc("isfinite", 1, by.test("isfinite", True), same, doc="Whether neither infinite nor NaN.")
signbit = Ufunc(
    "signbit", 1, more.signbit, inexact, kinds="f", doc="Whether the sign is negative, that of -0.0 too."
)
bitwise_count = Ufunc(
    "bitwise_count", 1, by.bits, number_like, kinds="i", doc="How many bits of |x| are set."
)
