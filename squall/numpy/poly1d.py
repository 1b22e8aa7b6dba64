"""NumPy's older class of polynomials, `poly1d`, over the functions of `polynomials.py`."""

from __future__ import annotations

from typing import Any

from squall.numpy import polynomials as by
from squall.numpy.core import arr, is_array, lift
from squall.numpy.elementwise import divide
from squall.numpy.numerics import array_equal


class poly1d:
    """A polynomial of one variable, highest power first, with arithmetic, values, zeros and derivatives.

    Args:
        c_or_r: coefficients, or zeros with `r`. r: whether zeros are given. variable: the letter it is printed with.

    Attributes:
        coeffs (c, coef, coefficients): the coefficients. order (o): the degree. roots (r): the zeros.

    Example:
        >>> import squall.numpy as snp
        >>> p = snp.poly1d([1.0, 2.0, 3.0])
        >>> p(2.0), p.order, p.deriv()
        (array(11.), 2, poly1d([2., 2.]))
    """

    __hash__: Any = None
    __array_ufunc__ = None  # operators of arrays leave the work to this class

    def __init__(self, c_or_r: Any, r: bool = False, variable: str | None = None):
        if isinstance(c_or_r, poly1d):
            self.variable, self.coeffs = variable or c_or_r.variable, c_or_r.coeffs
            return
        given = by.poly(c_or_r) if r else c_or_r
        if arr(given).ndim > 1:
            raise ValueError("Polynomial must be 1d only.")
        self.variable, self.coeffs = variable or "x", lift(by.trimmed(given))

    c = coef = coefficients = property(lambda self: self.coeffs)
    order = o = property(lambda self: self.coeffs.size - 1)
    roots = r = property(lambda self: by.roots(self.coeffs))

    def __call__(self, val: Any) -> Any:
        """The values at points, or the polynomial of a polynomial."""
        return by.polyval(self, val)

    def deriv(self, m: int = 1) -> poly1d:
        """The m-th derivative."""
        return by.polyder(self, m)

    def integ(self, m: int = 1, k: Any = 0) -> poly1d:
        """The m-th integral, with constants k."""
        return by.polyint(self, m, k)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.coeffs.__array__(dtype, copy)

    def __len__(self) -> int:
        return self.order

    def __iter__(self) -> Any:
        return iter(self.coeffs)

    def __neg__(self) -> poly1d:
        return poly1d(-self.coeffs)

    def __pos__(self) -> poly1d:
        return self

    def __add__(self, other: Any) -> poly1d:
        return by.polyadd(self, poly1d(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> poly1d:
        return by.polysub(self, poly1d(other))

    def __rsub__(self, other: Any) -> poly1d:
        return by.polysub(poly1d(other), self)

    def __mul__(self, other: Any) -> poly1d:
        return by.polymul(self, poly1d(other))

    __rmul__ = __mul__

    def __pow__(self, val: int) -> poly1d:
        if val != int(val) or val < 0:
            raise ValueError("Power to non-negative integers only.")
        made = poly1d(1)
        for _ in range(int(val)):
            made = made * self
        return made

    def __truediv__(self, other: Any) -> Any:
        if is_array(other) or isinstance(other, (int, float, complex)):
            return poly1d(divide(self.coeffs, other))
        return by.polydiv(self, poly1d(other))

    def __rtruediv__(self, other: Any) -> Any:
        return by.polydiv(poly1d(other), self)

    def __eq__(self, other: object) -> Any:
        return array_equal(self.coeffs, other.coeffs) if isinstance(other, poly1d) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return not self == other if isinstance(other, poly1d) else NotImplemented

    def __getitem__(self, power: int) -> Any:
        """The coefficient of a power; 0 where there is none."""
        return self.coeffs[self.order - power] if 0 <= power <= self.order else self.coeffs.dtype.type(0)

    def __setitem__(self, power: int, value: Any) -> None:
        if power < 0:
            raise ValueError("Does not support negative powers.")
        missing = max(power - self.order, 0)
        grown = arr(self.coeffs).new_zeros(missing)
        self.coeffs = lift(arr(by.joining.concat([grown, self.coeffs])))
        self.coeffs[self.coeffs.size - 1 - power] = value

    def __repr__(self) -> str:
        return f"poly1d({repr(self.coeffs)[6:-1]})"

    def __str__(self) -> str:
        above, line = "", ""
        for number, value in enumerate(self.coeffs.tolist()):
            power = self.order - number
            if not value and self.order:
                continue
            size = abs(value) if isinstance(value, (int, float)) else value
            sign = ("-" if size != value else "") if not line else " - " if size != value else " + "
            line += sign + f"{size:.4g}" + (f" {self.variable}" if power else "")
            if power > 1:
                above = above.ljust(len(line)) + str(power)
                line = line.ljust(len(above) - 1)
        return f"{above}\n{line}"
