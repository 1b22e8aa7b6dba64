"""Functions whose results are complex where real ones would be NaN, under the names of `numpy.emath`.

Whether any element asks for complex numbers is looked at, so they evaluate what they are given.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import complex64, complex128, float64
from squall.numpy import elementwise as el
from squall.numpy.core import arr, cast, lift


def _fitting(x: Any, inside: Any) -> Any:
    """A floating array, made complex where an element lies outside of a function's real domain."""
    given = arr(x)
    if given.node.dtype.category < 2:
        given = cast(given, float64)
    if given.node.dtype.category == 3 or not given.numel() or bool(inside(given).all()):
        return lift(given)
    return lift(cast(given, complex128 if given.node.dtype is float64 else complex64))


def _not_negative(x: Any) -> Any:
    return ~(x < 0)


def _within_one(x: Any) -> Any:
    return ~(x.abs() > 1)


def sqrt(x: Any) -> Any:
    """Square roots, imaginary ones of negative numbers.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.sqrt([-1.0, 4.0])
        array([0.+1.j, 2.+0.j])
    """
    return el.sqrt(_fitting(x, _not_negative))


def log(x: Any) -> Any:
    """Natural logarithms, complex ones of negative numbers.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.log(-1.0)
        array(0.+3.14159265j)
    """
    return el.log(_fitting(x, _not_negative))


def log2(x: Any) -> Any:
    """Logarithms of base 2, complex ones of negative numbers.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.log2(8.0)
        array(3.)
    """
    return el.log2(_fitting(x, _not_negative))


def log10(x: Any) -> Any:
    """Logarithms of base 10, complex ones of negative numbers.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.log10(100.0)
        array(2.)
    """
    return el.log10(_fitting(x, _not_negative))


def logn(n: Any, x: Any) -> Any:
    """Logarithms of base n, complex ones of negative numbers.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.logn(2, 8.0)
        array(3.)
    """
    return log(x) / log(n)


def power(x: Any, p: Any) -> Any:
    """Powers, complex ones of negative numbers.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.power(-4.0, 0.5).imag
        array(2.)
    """
    base, exponent = arr(x), arr(p)
    negative = base.node.dtype.category < 3 and bool((base < 0).any())
    fractions = exponent.node.dtype.category == 2 and bool((exponent != exponent.floor()).any())
    if base.node.dtype.category < 2 and exponent.node.dtype.category < 2 and bool((exponent < 0).any()):
        base = cast(base, float64)
    return el.power(_fitting(base, _not_negative) if negative and fractions else lift(base), lift(exponent))


def arccos(x: Any) -> Any:
    """Inverse cosines, complex ones of numbers beyond 1.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.arccos(1.0)
        array(0.)
    """
    return el.arccos(_fitting(x, _within_one))


def arcsin(x: Any) -> Any:
    """Inverse sines, complex ones of numbers beyond 1.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.arcsin(2.0).real
        array(1.57079633)
    """
    return el.arcsin(_fitting(x, _within_one))


def arctanh(x: Any) -> Any:
    """Inverse hyperbolic tangents, complex ones of numbers beyond 1.

    Example:
        >>> import squall.numpy as snp
        >>> snp.emath.arctanh(0.0)
        array(0.)
    """
    return el.arctanh(_fitting(x, _within_one))


__all__ = ["arccos", "arcsin", "arctanh", "log", "log2", "log10", "logn", "power", "sqrt"]
