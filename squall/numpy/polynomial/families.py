"""The modules of `squall.numpy.polynomial`: each family's functions under NumPy's names, as `chebyshev.chebval`."""

from __future__ import annotations

import functools
import sys
import types
from math import pi
from typing import Any

from squall.numpy import creation
from squall.numpy import elementwise as el
from squall.numpy.polynomial import series
from squall.numpy.polynomial.bases import BASES, CHEBYSHEV, POLYNOMIAL, Basis
from squall.numpy.polynomial.classes import class_of

_FUNCTIONS = {
    "sub": lambda basis, c1, c2: series.add(basis, c1, c2, -1),
    "add": series.add, "mulx": series.mulx, "mul": series.mul, "div": series.div, "pow": series.power,
    "val": series.val, "vander": series.vander, "fit": series.fit, "der": series.der, "int": series.integ,
    "roots": series.roots, "fromroots": series.from_roots, "companion": series.companion, "line": series.line,
    "val2d": lambda basis, x, y, c: series.val_at(basis, (x, y), c),
    "val3d": lambda basis, x, y, z, c: series.val_at(basis, (x, y, z), c),
    "grid2d": lambda basis, x, y, c: series.grid(basis, (x, y), c),
    "grid3d": lambda basis, x, y, z, c: series.grid(basis, (x, y, z), c),
    "vander2d": lambda basis, x, y, deg: series.vander_of(basis, (x, y), deg),
    "vander3d": lambda basis, x, y, z, deg: series.vander_of(basis, (x, y, z), deg),
}  # fmt: skip


def values_from_roots(x: Any, r: Any, tensor: bool = True) -> Any:
    """The values of the polynomial with given zeros."""
    places, zeros = creation.asarray(x), creation.asarray(r)
    if tensor:
        zeros = zeros.reshape(*zeros.shape, *([1] * places.ndim))
    elif places.ndim >= zeros.ndim:
        raise ValueError("x.ndim must be < r.ndim when tensor == False")
    return (places - zeros).prod(axis=0)


def chebyshev_gauss(deg: int) -> tuple:
    """Places and weights of the quadrature under 1 / sqrt(1 - x^2), in closed form."""
    if int(deg) != deg or deg < 1:
        raise ValueError("deg must be a positive integer")
    at = el.cos(pi * creation.arange(1, 2 * deg, 2) / (2.0 * deg))
    return at, creation.full(deg, pi / deg)


def chebyshev_points(npts: int, ends: bool) -> Any:
    """The zeros of T_n, or its extremes, in ascending order."""
    count = int(npts)
    if count != npts:
        raise ValueError("npts must be integer")
    if count < 1 + ends:
        raise ValueError(f"npts must be >= {1 + ends}")
    if ends:
        return el.cos(creation.linspace(-pi, 0, count))
    return el.sin(0.5 * pi / count * creation.arange(-count + 1, count + 1, 2))


def interpolated(func: Any, deg: int, args: tuple = ()) -> Any:
    """The Chebyshev series that agrees with a function at the zeros of T_(deg + 1)."""
    if int(deg) != deg:
        raise TypeError("deg must be an int")
    if deg < 0:
        raise ValueError("expected deg >= 0")
    at = chebyshev_points(deg + 1, False)
    made = series.vander(CHEBYSHEV, at, deg).T @ func(at, *args)
    scale = creation.full(deg + 1, 2.0 / (deg + 1))
    scale[0] = 1.0 / (deg + 1)
    return made * scale


class Family(types.ModuleType):
    """A module of one family.

    Attributes:
        basis: its recurrence.
    """

    def __init__(self, basis: Basis):
        super().__init__(f"squall.numpy.polynomial.{basis.name}", f"{basis.title} series under NumPy's names.")
        self.basis = basis
        names: dict[str, Any] = {basis.prefix + name: functools.partial(f, basis) for name, f in _FUNCTIONS.items()}
        names[basis.prefix + "trim"] = series.trim_coefficients
        names[basis.title] = class_of(basis)
        if basis is POLYNOMIAL:
            del names["polymulx"]
            names["polymulx"], names["polyvalfromroots"] = functools.partial(series.mulx, basis), values_from_roots
        else:
            names[f"{basis.prefix}weight"] = lambda x: basis.weight(creation.asarray(x))  # type: ignore[misc]
            names[f"{basis.prefix}gauss"] = functools.partial(series.gauss, basis)
            names[f"poly2{basis.prefix}"] = functools.partial(series.changed, POLYNOMIAL, basis)
            names[f"{basis.prefix}2poly"] = functools.partial(series.changed, basis, POLYNOMIAL)
        if basis is CHEBYSHEV:
            names["chebgauss"], names["chebinterpolate"] = chebyshev_gauss, interpolated
            names["chebpts1"] = functools.partial(chebyshev_points, ends=False)
            names["chebpts2"] = functools.partial(chebyshev_points, ends=True)
        domain = creation.array(basis.domain)
        one = [1.0, -1.0] if basis.prefix == "lag" else [0.0, 0.5] if basis.prefix == "herm" else [0.0, 1.0]
        names |= {f"{basis.prefix}{n}": creation.array(v) for n, v in (("zero", [0]), ("one", [1]), ("x", one))}
        names[f"{basis.prefix}domain"] = domain
        self.__dict__.update(names)
        self.__all__ = sorted(names)


MODULES = {basis.name: Family(basis) for basis in BASES}
for _name, _module in MODULES.items():
    sys.modules[f"squall.numpy.polynomial.{_name}"] = _module
