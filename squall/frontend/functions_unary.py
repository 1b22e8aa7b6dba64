"""Functions of one operand, element by element, under PyTorch's names: the methods of Tensor as `sq.sin(x)`.

`out` is written in place where PyTorch has it: shapes must agree and the result's kind of number must fit."""

from __future__ import annotations

from typing import Any

from squall.frontend.out import checked, into


def abs(input: Any, *, out: Any = None) -> Any:
    """Absolute value of each element."""
    return into(out, checked(input, "abs").abs(), "abs")


def neg(input: Any, *, out: Any = None) -> Any:
    """Negative of each element."""
    return into(out, checked(input, "neg").neg(), "neg")


def sign(input: Any, *, out: Any = None) -> Any:
    """-1, 0 or 1 by the sign of each element."""
    return into(out, checked(input, "sign").sign(), "sign")


def sqrt(input: Any, *, out: Any = None) -> Any:
    """Square root; NaN below 0."""
    return into(out, checked(input, "sqrt").sqrt(), "sqrt")


def rsqrt(input: Any, *, out: Any = None) -> Any:
    """1 over the square root."""
    return into(out, checked(input, "rsqrt").rsqrt(), "rsqrt")


def reciprocal(input: Any, *, out: Any = None) -> Any:
    """1 over each element."""
    return into(out, checked(input, "reciprocal").reciprocal(), "reciprocal")


def square(input: Any, *, out: Any = None) -> Any:
    """Square of each element."""
    return into(out, checked(input, "square").square(), "square")


def exp(input: Any, *, out: Any = None) -> Any:
    """e to the power of each element."""
    return into(out, checked(input, "exp").exp(), "exp")


def exp2(input: Any, *, out: Any = None) -> Any:
    """2 to the power of each element."""
    return into(out, checked(input, "exp2").exp2(), "exp2")


def expm1(input: Any, *, out: Any = None) -> Any:
    """exp(x) - 1, exact for small x."""
    return into(out, checked(input, "expm1").expm1(), "expm1")


def log(input: Any, *, out: Any = None) -> Any:
    """Natural logarithm."""
    return into(out, checked(input, "log").log(), "log")


def log2(input: Any, *, out: Any = None) -> Any:
    """Logarithm to base 2."""
    return into(out, checked(input, "log2").log2(), "log2")


def log10(input: Any, *, out: Any = None) -> Any:
    """Logarithm to base 10."""
    return into(out, checked(input, "log10").log10(), "log10")


def log1p(input: Any, *, out: Any = None) -> Any:
    """log(1 + x), exact for small x."""
    return into(out, checked(input, "log1p").log1p(), "log1p")


def sin(input: Any, *, out: Any = None) -> Any:
    """Sine."""
    return into(out, checked(input, "sin").sin(), "sin")


def cos(input: Any, *, out: Any = None) -> Any:
    """Cosine."""
    return into(out, checked(input, "cos").cos(), "cos")


def tan(input: Any, *, out: Any = None) -> Any:
    """Tangent."""
    return into(out, checked(input, "tan").tan(), "tan")


def asin(input: Any, *, out: Any = None) -> Any:
    """Inverse sine."""
    return into(out, checked(input, "asin").asin(), "asin")


def acos(input: Any, *, out: Any = None) -> Any:
    """Inverse cosine."""
    return into(out, checked(input, "acos").acos(), "acos")


def atan(input: Any, *, out: Any = None) -> Any:
    """Inverse tangent."""
    return into(out, checked(input, "atan").atan(), "atan")


def sinh(input: Any, *, out: Any = None) -> Any:
    """Hyperbolic sine."""
    return into(out, checked(input, "sinh").sinh(), "sinh")


def cosh(input: Any, *, out: Any = None) -> Any:
    """Hyperbolic cosine."""
    return into(out, checked(input, "cosh").cosh(), "cosh")


def tanh(input: Any, *, out: Any = None) -> Any:
    """Hyperbolic tangent."""
    return into(out, checked(input, "tanh").tanh(), "tanh")


def asinh(input: Any, *, out: Any = None) -> Any:
    """Inverse hyperbolic sine."""
    return into(out, checked(input, "asinh").asinh(), "asinh")


def acosh(input: Any, *, out: Any = None) -> Any:
    """Inverse hyperbolic cosine."""
    return into(out, checked(input, "acosh").acosh(), "acosh")


def atanh(input: Any, *, out: Any = None) -> Any:
    """Inverse hyperbolic tangent."""
    return into(out, checked(input, "atanh").atanh(), "atanh")


def erf(input: Any, *, out: Any = None) -> Any:
    """Error function."""
    return into(out, checked(input, "erf").erf(), "erf")


def erfc(input: Any, *, out: Any = None) -> Any:
    """1 - erf(x), exact for large x."""
    return into(out, checked(input, "erfc").erfc(), "erfc")


def erfinv(input: Any, *, out: Any = None) -> Any:
    """Inverse of the error function on (-1, 1)."""
    return into(out, checked(input, "erfinv").erfinv(), "erfinv")


def lgamma(input: Any, *, out: Any = None) -> Any:
    """Logarithm of the absolute value of the gamma function."""
    return into(out, checked(input, "lgamma").lgamma(), "lgamma")


def digamma(input: Any, *, out: Any = None) -> Any:
    """Derivative of lgamma."""
    return into(out, checked(input, "digamma").digamma(), "digamma")


def floor(input: Any, *, out: Any = None) -> Any:
    """Largest whole number not above."""
    return into(out, checked(input, "floor").floor(), "floor")


def ceil(input: Any, *, out: Any = None) -> Any:
    """Smallest whole number not below."""
    return into(out, checked(input, "ceil").ceil(), "ceil")


def round(input: Any, *, decimals: int = 0, out: Any = None) -> Any:
    """The nearest whole number, halves to even; with decimals, the nearest multiple of 10 ** -decimals."""
    return into(out, checked(input, "round").round(decimals=decimals), "round")


def trunc(input: Any, *, out: Any = None) -> Any:
    """Whole part, toward zero."""
    return into(out, checked(input, "trunc").trunc(), "trunc")


def sigmoid(input: Any, *, out: Any = None) -> Any:
    """1 / (1 + exp(-x))."""
    return into(out, checked(input, "sigmoid").sigmoid(), "sigmoid")


def relu(input: Any) -> Any:
    """The larger of x and 0."""
    return checked(input, "relu").relu()


def isnan(input: Any) -> Any:
    """Whether each element is NaN."""
    return checked(input, "isnan").isnan()


def isinf(input: Any) -> Any:
    """Whether each element is infinite."""
    return checked(input, "isinf").isinf()


def isfinite(input: Any) -> Any:
    """Whether each element is neither infinite nor NaN."""
    return checked(input, "isfinite").isfinite()


def logical_not(input: Any, *, out: Any = None) -> Any:
    """Whether each element is zero."""
    return into(out, checked(input, "logical_not").logical_not(), "logical_not")


def bitwise_not(input: Any, *, out: Any = None) -> Any:
    """Every bit flipped; logical not for bool."""
    return into(out, checked(input, "bitwise_not").bitwise_not(), "bitwise_not")


absolute, negative, fix = abs, neg, trunc
arccos, arccosh, arcsin, arcsinh, arctan, arctanh = acos, acosh, asin, asinh, atan, atanh
