"""Series as objects that are added, multiplied, called, differentiated and fitted, with a domain of their own."""

from __future__ import annotations

import operator
from typing import Any

from squall.numpy import creation
from squall.numpy.core import arr, lift
from squall.numpy.polynomial import series
from squall.numpy.polynomial.bases import BASES, Basis


def map_parameters(old: Any, new: Any) -> tuple:
    """(offset, scale) of the straight line that takes one interval to another.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polynomial.polyutils.mapparms([0, 1], [-1, 1])
        (array(-1.), array(2.))
    """
    a, b = creation.asarray(old) + 0.0, creation.asarray(new) + 0.0
    length = a[1] - a[0]
    return (a[1] * b[0] - a[0] * b[1]) / length, (b[1] - b[0]) / length


def map_domain(x: Any, old: Any, new: Any) -> Any:
    """Places in one interval as places in another."""
    off, scl = map_parameters(old, new)
    return off + scl * x if hasattr(x, "coef") else off + scl * creation.asarray(x)


def _interval(value: Any, what: str) -> Any:
    found = lift(series.as_series(value, trim=False))
    if found.size != 2:
        raise ValueError(f"{what} has wrong number of elements.")
    return found


class Series:
    """A series of one family over a domain, which is mapped to a window before the polynomials are evaluated.

    Args:
        coef: coefficients, lowest first. domain, window: intervals; the family's own when left out. symbol: the
            variable's name in texts.

    Example:
        >>> import squall.numpy as snp
        >>> p = snp.polynomial.Polynomial([1, 2, 3])
        >>> p(2.0), p.deriv().coef, (p * p).degree()
        (array(17.), array([2., 6.]), 4)
    """

    family: Basis
    maxpower = 100
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, coef: Any, domain: Any = None, window: Any = None, symbol: str = "x"):
        self.coef = lift(series.as_series(coef, trim=False))
        self.domain = _interval(self.family.domain if domain is None else domain, "Domain")
        self.window = _interval(self.family.domain if window is None else window, "Window")
        if not isinstance(symbol, str):
            raise TypeError("Symbol must be a string")
        if not symbol.isidentifier():
            raise ValueError("Symbol string must be a valid Python identifier")
        self._symbol = symbol

    @property
    def symbol(self) -> str:
        """The variable's name in texts."""
        return self._symbol

    def _made(self, coef: Any) -> Any:
        return type(self)(coef, self.domain, self.window, self.symbol)

    def _other(self, other: Any) -> Any:
        """The coefficients of what is combined with this; TypeError for another family, domain, window or variable."""
        if not isinstance(other, Series):
            return other
        if not isinstance(other, type(self)):
            raise TypeError("Polynomial types differ")
        if not self.has_samedomain(other):
            raise TypeError("Domains differ")
        if not self.has_samewindow(other):
            raise TypeError("Windows differ")
        if self.symbol != other.symbol:
            raise ValueError("Polynomial symbols differ")
        return other.coef

    # ------------------------------------------------------------ comparison
    def has_samecoef(self, other: Any) -> bool:
        """Whether the coefficients are equal."""
        return self.coef.shape == other.coef.shape and bool((self.coef == other.coef).all())

    def has_samedomain(self, other: Any) -> bool:
        """Whether the domains are equal."""
        return bool((self.domain == other.domain).all())

    def has_samewindow(self, other: Any) -> bool:
        """Whether the windows are equal."""
        return bool((self.window == other.window).all())

    def has_sametype(self, other: Any) -> bool:
        """Whether it is a series of the same family."""
        return isinstance(other, type(self))

    def __eq__(self, other: object) -> bool:
        return (
            self.has_sametype(other)
            and self.has_samecoef(other)
            and self.has_samedomain(other)
            and self.has_samewindow(other)
            and self.symbol == other.symbol  # type: ignore[attr-defined]
        )

    # ------------------------------------------------------------ text
    def _shown(self) -> Any:
        """NumPy's object of the same series, which is what it is shown as."""
        from numpy import polynomial

        plain = (arr(v).detach_array() for v in (self.coef, self.domain, self.window))
        return getattr(polynomial, self.family.title)(*plain, symbol=self.symbol)

    def __repr__(self) -> str:
        return repr(self._shown())

    def __str__(self) -> str:
        return str(self._shown())

    def __format__(self, kind: str) -> str:
        return format(self._shown(), kind)

    # ------------------------------------------------------------ arithmetic
    def __len__(self) -> int:
        return len(self.coef)

    def __iter__(self) -> Any:
        return iter(self.coef)

    def __call__(self, arg: Any) -> Any:
        return series.val(self.family, map_domain(arg, self.domain, self.window), self.coef)

    def __neg__(self) -> Any:
        return self._made(-self.coef)

    def __pos__(self) -> Any:
        return self

    def _combined(self, other: Any, function: Any) -> Any:
        other = self._other(other)
        try:
            return self._made(function(self.coef, other))
        except (TypeError, ValueError):
            return NotImplemented

    def __add__(self, other: Any) -> Any:
        return self._combined(other, lambda a, b: series.add(self.family, a, b))

    def __sub__(self, other: Any) -> Any:
        return self._combined(other, lambda a, b: series.add(self.family, a, b, -1))

    def __mul__(self, other: Any) -> Any:
        return self._combined(other, lambda a, b: series.mul(self.family, a, b))

    def __radd__(self, other: Any) -> Any:
        return self._combined(other, lambda a, b: series.add(self.family, b, a))

    def __rsub__(self, other: Any) -> Any:
        return self._combined(other, lambda a, b: series.add(self.family, b, a, -1))

    def __rmul__(self, other: Any) -> Any:
        return self._combined(other, lambda a, b: series.mul(self.family, b, a))

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, (Series, bool)) or getattr(other, "ndim", 0) or isinstance(other, (list, tuple, str)):
            raise TypeError(
                f"unsupported types for true division: '{type(self).__name__}', '{type(other).__name__}'; give "
                "a number, or use // of series"
            )
        return self._made(self.coef / other)

    def __divmod__(self, other: Any) -> Any:
        other = self._other(other)
        try:
            quotient, rest = series.div(self.family, self.coef, other)
        except (TypeError, ValueError):
            return NotImplemented
        return self._made(quotient), self._made(rest)

    def __rdivmod__(self, other: Any) -> Any:
        try:
            quotient, rest = series.div(self.family, other, self.coef)
        except (TypeError, ValueError):
            return NotImplemented
        return self._made(quotient), self._made(rest)

    def __floordiv__(self, other: Any) -> Any:
        made = self.__divmod__(other)
        return made if made is NotImplemented else made[0]

    def __mod__(self, other: Any) -> Any:
        made = self.__divmod__(other)
        return made if made is NotImplemented else made[1]

    def __rfloordiv__(self, other: Any) -> Any:
        made = self.__rdivmod__(other)
        return made if made is NotImplemented else made[0]

    def __rmod__(self, other: Any) -> Any:
        made = self.__rdivmod__(other)
        return made if made is NotImplemented else made[1]

    def __pow__(self, other: Any) -> Any:
        return self._made(series.power(self.family, self.coef, other, self.maxpower))

    # ------------------------------------------------------------ length
    def copy(self) -> Any:
        """A copy."""
        return self._made(self.coef.copy())

    def degree(self) -> int:
        """The number of coefficients less one."""
        return len(self) - 1

    def trim(self, tol: float = 0) -> Any:
        """Without coefficients at the end that are at most `tol` in size."""
        return self._made(series.trim_coefficients(self.coef, tol))

    def truncate(self, size: int) -> Any:
        """The first coefficients only."""
        count = operator.index(size) if not isinstance(size, float) else int(size)
        if count != size or count < 1:
            raise ValueError("size must be a positive integer")
        return self._made(self.coef[:count])

    def cutdeg(self, deg: int) -> Any:
        """Without terms above a degree."""
        return self.truncate(deg + 1)

    # ------------------------------------------------------------ calculus
    def mapparms(self) -> tuple:
        """(offset, scale) of the map from the domain to the window."""
        return map_parameters(self.domain, self.window)

    def deriv(self, m: int = 1) -> Any:
        """The m-th derivative."""
        return self._made(series.der(self.family, self.coef, m, self.mapparms()[1]))

    def integ(self, m: int = 1, k: Any = (), lbnd: Any = None) -> Any:
        """The m-th integral, with constants k, from a bound."""
        off, scl = self.mapparms()
        start = 0 if lbnd is None else off + scl * lbnd
        return self._made(series.integ(self.family, self.coef, m, k, start, 1.0 / scl))

    def roots(self) -> Any:
        """Where the series is zero, in its domain's scale."""
        return map_domain(series.roots(self.family, self.coef), self.window, self.domain)

    def linspace(self, n: int = 100, domain: Any = None) -> tuple:
        """Places over a domain and the values there."""
        ends = self.domain if domain is None else creation.asarray(domain)
        at = creation.linspace(ends[0].item(), ends[1].item(), n)
        return at, self(at)

    def convert(self, domain: Any = None, kind: Any = None, window: Any = None) -> Any:
        """The same function as a series of another family, domain or window."""
        kind = type(self) if kind is None else kind
        domain = kind.family.domain if domain is None else domain
        window = kind.family.domain if window is None else window
        return self(kind.identity(domain, window=window, symbol=self.symbol))

    # ------------------------------------------------------------ makers
    @classmethod
    def fit(
        cls, x: Any, y: Any, deg: Any, domain: Any = None, rcond: Any = None, full: bool = False, w: Any = None,
        window: Any = None, symbol: str = "x",
    ) -> Any:  # fmt: skip
        """The series with the least squared distance to points, over the domain they span unless one is given."""
        places = creation.asarray(x) + 0.0
        if domain is None:
            low, high = (float(places.min()), float(places.max())) if places.size else (0.0, 0.0)
            domain = [low - 1, high + 1] if low == high else [low, high]
        elif isinstance(domain, (list, tuple)) and not len(domain):
            domain = cls.family.domain
        window = cls.family.domain if window is None else window
        made = series.fit(cls.family, map_domain(places, domain, window), y, deg, rcond, full, w)
        coef, rest = made if full else (made, None)
        found = cls(coef, domain, window, symbol)
        return (found, rest) if full else found

    @classmethod
    def fromroots(cls, roots: Any, domain: Any = (), window: Any = None, symbol: str = "x") -> Any:
        """The series that is zero at given places; their span is its domain where `domain` is None."""
        zeros = lift(series.as_series(roots, trim=False))
        if domain is None:
            low, high = float(zeros.min()), float(zeros.max())
            domain = [low - 1, high + 1] if low == high else [low, high]
        elif isinstance(domain, (list, tuple)) and not len(domain):
            domain = cls.family.domain
        window = cls.family.domain if window is None else window
        scl = map_parameters(domain, window)[1]
        made = series.from_roots(cls.family, map_domain(zeros, domain, window)) / scl ** len(zeros)
        return cls(made, domain, window, symbol)

    @classmethod
    def identity(cls, domain: Any = None, window: Any = None, symbol: str = "x") -> Any:
        """The series whose values are its arguments."""
        domain = cls.family.domain if domain is None else domain
        window = cls.family.domain if window is None else window
        off, scl = map_parameters(window, domain)
        return cls(series.line(cls.family, off, scl), domain, window, symbol)

    @classmethod
    def basis(cls, deg: int, domain: Any = None, window: Any = None, symbol: str = "x") -> Any:
        """One polynomial of the family."""
        if int(deg) != deg or deg < 0:
            raise ValueError("deg must be non-negative integer")
        return cls([0] * int(deg) + [1], domain, window, symbol)

    @classmethod
    def cast(cls, series: Any, domain: Any = None, window: Any = None) -> Any:
        """A series of any family as one of this."""
        return series.convert(cls.family.domain if domain is None else domain, cls,
                              cls.family.domain if window is None else window)  # fmt: skip


def class_of(basis: Basis) -> type[Series]:
    """The class of a family's series."""
    return _CLASSES[basis.name]


def _class(basis: Basis) -> type[Series]:
    names = {
        "family": basis, "basis_name": basis.letter or None, "__doc__": Series.__doc__,
        "__module__": "squall.numpy.polynomial",
    }  # fmt: skip
    return type(basis.title, (Series,), names)


_CLASSES = {basis.name: _class(basis) for basis in BASES}
