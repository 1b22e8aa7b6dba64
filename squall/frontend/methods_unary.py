"""Tensor methods: elementwise maths of one operand, and their in-place forms. One documented line each; the work
is in the functions they call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.base.dtypes import int64
from squall.frontend import arithmetic
from squall.frontend.core import cast, unary
from squall.ir.op import ops

if TYPE_CHECKING:
    from squall.frontend.tensor import Tensor


class UnaryMethods:
    """Mixed into Tensor."""

    __slots__ = ()

    def _in_place(self, out: Any, name: str) -> Any:
        return arithmetic.in_place(self, out, name)

    def abs(self) -> Tensor:
        """Absolute value."""
        return unary(ops.abs, self)

    def neg(self) -> Tensor:
        """Negative."""
        return unary(ops.neg, self)

    def sign(self) -> Tensor:
        """-1, 0 or 1 by sign."""
        return unary(ops.sign, self)

    def sqrt(self) -> Tensor:
        """Square root."""
        return unary(ops.sqrt, self)

    def rsqrt(self) -> Tensor:
        """1 over the square root."""
        return unary(ops.rsqrt, self)

    def reciprocal(self) -> Tensor:
        """1 over each element."""
        return unary(ops.reciprocal, self)

    def square(self) -> Tensor:
        """Square; of bool as int64."""
        return unary(ops.square, self if self.node.dtype.category else cast(self, int64))  # type: ignore[attr-defined]

    def exp(self) -> Tensor:
        """e to the power of each element."""
        return unary(ops.exp, self)

    def exp2(self) -> Tensor:
        """2 to the power of each element."""
        return unary(ops.exp2, self)

    def expm1(self) -> Tensor:
        """exp(x) - 1, accurate near 0."""
        return unary(ops.expm1, self)

    def log(self) -> Tensor:
        """Natural logarithm."""
        return unary(ops.log, self)

    def log2(self) -> Tensor:
        """Logarithm to base 2."""
        return unary(ops.log2, self)

    def log10(self) -> Tensor:
        """Logarithm to base 10."""
        return unary(ops.log10, self)

    def log1p(self) -> Tensor:
        """log(1 + x), accurate near 0."""
        return unary(ops.log1p, self)

    def sin(self) -> Tensor:
        """Sine."""
        return unary(ops.sin, self)

    def cos(self) -> Tensor:
        """Cosine."""
        return unary(ops.cos, self)

    def tan(self) -> Tensor:
        """Tangent."""
        return unary(ops.tan, self)

    def asin(self) -> Tensor:
        """Arc sine."""
        return unary(ops.asin, self)

    def acos(self) -> Tensor:
        """Arc cosine."""
        return unary(ops.acos, self)

    def atan(self) -> Tensor:
        """Arc tangent."""
        return unary(ops.atan, self)

    def sinh(self) -> Tensor:
        """Hyperbolic sine."""
        return unary(ops.sinh, self)

    def cosh(self) -> Tensor:
        """Hyperbolic cosine."""
        return unary(ops.cosh, self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
        return unary(ops.tanh, self)

    def asinh(self) -> Tensor:
        """Inverse hyperbolic sine."""
        return unary(ops.asinh, self)

    def acosh(self) -> Tensor:
        """Inverse hyperbolic cosine."""
        return unary(ops.acosh, self)

    def atanh(self) -> Tensor:
        """Inverse hyperbolic tangent."""
        return unary(ops.atanh, self)

    def erf(self) -> Tensor:
        """Error function."""
        return unary(ops.erf, self)

    def erfc(self) -> Tensor:
        """1 - erf(x), accurate for large x."""
        return unary(ops.erfc, self)

    def erfinv(self) -> Tensor:
        """Inverse of erf."""
        return unary(ops.erfinv, self)

    def lgamma(self) -> Tensor:
        """Logarithm of the absolute gamma function."""
        return unary(ops.lgamma, self)

    def digamma(self) -> Tensor:
        """Derivative of lgamma."""
        return unary(ops.digamma, self)

    def floor(self) -> Tensor:
        """Largest whole number not above."""
        return unary(ops.floor, self)

    def ceil(self) -> Tensor:
        """Smallest whole number not below."""
        return unary(ops.ceil, self)

    def trunc(self) -> Tensor:
        """Whole part, toward zero."""
        return unary(ops.trunc, self)

    def round(self, *, decimals: int = 0) -> Tensor:
        """Nearest whole number, halves to even; with decimals, the nearest multiple of 10 ** -decimals."""
        if not decimals:
            return unary(ops.round, self)
        scaled: Any = self
        return unary(ops.round, scaled * 10.0**decimals) / 10.0**decimals

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x))."""
        return unary(ops.sigmoid, self)

    def relu(self) -> Tensor:
        """max(x, 0); a NaN stays."""
        return unary(ops.relu, self)

    def logical_not(self) -> Tensor:
        """True where zero."""
        return unary(ops.logical_not, self)

    def bitwise_not(self) -> Tensor:
        """Every bit flipped."""
        return unary(ops.bitwise_not, self)

    def isnan(self) -> Tensor:
        """True where NaN."""
        return unary(ops.isnan, self)

    def isinf(self) -> Tensor:
        """True where infinite."""
        return unary(ops.isinf, self)

    def isfinite(self) -> Tensor:
        """True where neither infinite nor NaN."""
        return unary(ops.isfinite, self)

    def abs_(self) -> Tensor:
        """In place: absolute value."""
        return self._in_place(self.abs(), "abs_")

    def neg_(self) -> Tensor:
        """In place: negative."""
        return self._in_place(self.neg(), "neg_")

    def sign_(self) -> Tensor:
        """In place: -1, 0 or 1 by sign."""
        return self._in_place(self.sign(), "sign_")

    def sqrt_(self) -> Tensor:
        """In place: square root."""
        return self._in_place(self.sqrt(), "sqrt_")

    def rsqrt_(self) -> Tensor:
        """In place: 1 over the square root."""
        return self._in_place(self.rsqrt(), "rsqrt_")

    def reciprocal_(self) -> Tensor:
        """In place: 1 over each element."""
        return self._in_place(self.reciprocal(), "reciprocal_")

    def square_(self) -> Tensor:
        """In place: square."""
        return self._in_place(self.square(), "square_")

    def exp_(self) -> Tensor:
        """In place: e to the power of each element."""
        return self._in_place(self.exp(), "exp_")

    def exp2_(self) -> Tensor:
        """In place: 2 to the power of each element."""
        return self._in_place(self.exp2(), "exp2_")

    def expm1_(self) -> Tensor:
        """In place: exp(x) - 1, accurate near 0."""
        return self._in_place(self.expm1(), "expm1_")

    def log_(self) -> Tensor:
        """In place: natural logarithm."""
        return self._in_place(self.log(), "log_")

    def log2_(self) -> Tensor:
        """In place: logarithm to base 2."""
        return self._in_place(self.log2(), "log2_")

    def log10_(self) -> Tensor:
        """In place: logarithm to base 10."""
        return self._in_place(self.log10(), "log10_")

    def log1p_(self) -> Tensor:
        """In place: log(1 + x), accurate near 0."""
        return self._in_place(self.log1p(), "log1p_")

    def sin_(self) -> Tensor:
        """In place: sine."""
        return self._in_place(self.sin(), "sin_")

    def cos_(self) -> Tensor:
        """In place: cosine."""
        return self._in_place(self.cos(), "cos_")

    def tan_(self) -> Tensor:
        """In place: tangent."""
        return self._in_place(self.tan(), "tan_")

    def asin_(self) -> Tensor:
        """In place: arc sine."""
        return self._in_place(self.asin(), "asin_")

    def acos_(self) -> Tensor:
        """In place: arc cosine."""
        return self._in_place(self.acos(), "acos_")

    def atan_(self) -> Tensor:
        """In place: arc tangent."""
        return self._in_place(self.atan(), "atan_")

    def sinh_(self) -> Tensor:
        """In place: hyperbolic sine."""
        return self._in_place(self.sinh(), "sinh_")

    def cosh_(self) -> Tensor:
        """In place: hyperbolic cosine."""
        return self._in_place(self.cosh(), "cosh_")

    def tanh_(self) -> Tensor:
        """In place: hyperbolic tangent."""
        return self._in_place(self.tanh(), "tanh_")

    def asinh_(self) -> Tensor:
        """In place: inverse hyperbolic sine."""
        return self._in_place(self.asinh(), "asinh_")

    def acosh_(self) -> Tensor:
        """In place: inverse hyperbolic cosine."""
        return self._in_place(self.acosh(), "acosh_")

    def atanh_(self) -> Tensor:
        """In place: inverse hyperbolic tangent."""
        return self._in_place(self.atanh(), "atanh_")

    def erf_(self) -> Tensor:
        """In place: error function."""
        return self._in_place(self.erf(), "erf_")

    def erfc_(self) -> Tensor:
        """In place: 1 - erf(x), accurate for large x."""
        return self._in_place(self.erfc(), "erfc_")

    def erfinv_(self) -> Tensor:
        """In place: inverse of erf."""
        return self._in_place(self.erfinv(), "erfinv_")

    def lgamma_(self) -> Tensor:
        """In place: logarithm of the absolute gamma function."""
        return self._in_place(self.lgamma(), "lgamma_")

    def digamma_(self) -> Tensor:
        """In place: derivative of lgamma."""
        return self._in_place(self.digamma(), "digamma_")

    def floor_(self) -> Tensor:
        """In place: largest whole number not above."""
        return self._in_place(self.floor(), "floor_")

    def ceil_(self) -> Tensor:
        """In place: smallest whole number not below."""
        return self._in_place(self.ceil(), "ceil_")

    def trunc_(self) -> Tensor:
        """In place: whole part, toward zero."""
        return self._in_place(self.trunc(), "trunc_")

    def round_(self, *, decimals: int = 0) -> Tensor:
        """In place: nearest whole number, halves to even; with decimals, the nearest multiple of 10 ** -decimals."""
        return self._in_place(self.round(decimals=decimals), "round_")

    def sigmoid_(self) -> Tensor:
        """In place: 1 / (1 + exp(-x))."""
        return self._in_place(self.sigmoid(), "sigmoid_")

    def relu_(self) -> Tensor:
        """In place: max(x, 0); a NaN stays."""
        return self._in_place(self.relu(), "relu_")

    def logical_not_(self) -> Tensor:
        """In place: true where zero."""
        return self._in_place(self.logical_not(), "logical_not_")

    def bitwise_not_(self) -> Tensor:
        """In place: every bit flipped."""
        return self._in_place(self.bitwise_not(), "bitwise_not_")

    absolute, absolute_, negative, negative_, fix, fix_ = abs, abs_, neg, neg_, trunc, trunc_
    arccos, arccos_, arccosh, arccosh_ = acos, acos_, acosh, acosh_
    arcsin, arcsin_, arcsinh, arcsinh_ = asin, asin_, asinh, asinh_
    arctan, arctan_, arctanh, arctanh_ = atan, atan_, atanh, atanh_
