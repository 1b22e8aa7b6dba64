"""The six families of polynomials, as three-term recurrences.

Everything else (values, products, roots, quadrature) follows from x P_k = up P_{k+1} + same P_k + down P_{k-1}, and
from what differentiation and integration make of one P_n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any


@dataclass(frozen=True)
class Basis:
    """A family of polynomials.

    Attributes:
        name: of its module. prefix: of its functions. title: of its class. letter: in texts.
        up, same, down: the coefficients of the recurrence of x P_k. slope: P_n' as (index, coefficient) pairs.
        area: an antiderivative of P_n, likewise. domain: where its series are scaled to. mass: the integral of the
            weight it is orthogonal under; 0 where there is none. weight: that weight.
    """

    name: str
    prefix: str
    title: str
    letter: str
    up: Callable[[int], float]
    same: Callable[[int], float]
    down: Callable[[int], float]
    slope: Callable[[int], list]
    area: Callable[[int], list]
    domain: tuple[float, float] = (-1.0, 1.0)
    mass: float = 0.0
    weight: Callable[[Any], Any] | None = None


def _none(k: int) -> float:
    return 0.0


def _one(k: int) -> float:
    return 1.0


def _chebyshev_slope(n: int) -> list:
    return [(k, n if k == 0 else 2 * n) for k in range(n - 1, -1, -2)]


def _chebyshev_area(n: int) -> list:
    if n < 2:
        return [(1, 1.0)] if n == 0 else [(2, 0.25)]
    return [(n + 1, 1 / (2 * (n + 1))), (n - 1, -1 / (2 * (n - 1)))]


def _legendre_area(n: int) -> list:
    return [(n + 1, 1 / (2 * n + 1))] + [(n - 1, -1 / (2 * n + 1))] * (n > 0)


POLYNOMIAL = Basis(
    "polynomial", "poly", "Polynomial", "", _one, _none, _none,
    lambda n: [(n - 1, n)] if n else [], lambda n: [(n + 1, 1 / (n + 1))],
)  # fmt: skip
CHEBYSHEV = Basis(
    "chebyshev", "cheb", "Chebyshev", "T", lambda k: 0.5 if k else 1.0, _none, lambda k: 0.5 if k else 0.0,
    _chebyshev_slope, _chebyshev_area, mass=pi, weight=lambda x: 1 / ((1 + x) ** 0.5 * (1 - x) ** 0.5),
)  # fmt: skip
LEGENDRE = Basis(
    "legendre", "leg", "Legendre", "P", lambda k: (k + 1) / (2 * k + 1), _none, lambda k: k / (2 * k + 1),
    lambda n: [(k, 2 * k + 1) for k in range(n - 1, -1, -2)], _legendre_area, mass=2.0, weight=lambda x: x * 0.0 + 1.0,
)  # fmt: skip
HERMITE = Basis(
    "hermite", "herm", "Hermite", "H", lambda k: 0.5, _none, float,
    lambda n: [(n - 1, 2 * n)] if n else [], lambda n: [(n + 1, 1 / (2 * (n + 1)))], mass=sqrt(pi),
    weight=lambda x: 2.718281828459045 ** (-(x**2)),
)  # fmt: skip
HERMITE_E = Basis(
    "hermite_e", "herme", "HermiteE", "He", _one, _none, float,
    lambda n: [(n - 1, n)] if n else [], lambda n: [(n + 1, 1 / (n + 1))], mass=sqrt(2 * pi),
    weight=lambda x: 2.718281828459045 ** (-(x**2) / 2),
)  # fmt: skip
LAGUERRE = Basis(
    "laguerre", "lag", "Laguerre", "L", lambda k: -(k + 1.0), lambda k: 2 * k + 1.0, lambda k: -float(k),
    lambda n: [(k, -1.0) for k in range(n)], lambda n: [(n, 1.0), (n + 1, -1.0)], domain=(0.0, 1.0), mass=1.0,
    weight=lambda x: 2.718281828459045 ** (-x),
)  # fmt: skip
BASES = (POLYNOMIAL, CHEBYSHEV, LEGENDRE, HERMITE, HERMITE_E, LAGUERRE)
