"""Functions of complex numbers at infinities, NaN and signed zeros, as C (Annex G) and the Array API ask.

Elsewhere they are squall's own functions; here single values of the real and imaginary parts are put in place of what
the usual formulas give.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan, pi
from typing import Any

from squall.frontend import arithmetic
from squall.frontend import functions_complex as planes


def _signed(size: float, like: Any) -> Any:
    """A number with the sign of each element."""
    return arithmetic.where(like.signbit(), -size, size)


class _Parts:
    """A complex Tensor's parts and what is known of them; `put` overrides the result where a condition holds."""

    def __init__(self, z: Any, made: Any):
        self.x, self.y = planes.real(z), planes.imag(z)
        self.real, self.imag = planes.real(made), planes.imag(made)
        self.x_infinite, self.y_infinite = self.x.isinf(), self.y.isinf()
        self.x_nan, self.y_nan = self.x.isnan(), self.y.isnan()
        self.x_finite, self.y_finite = self.x.isfinite(), self.y.isfinite()
        self.x_zero, self.y_zero = self.x == 0, self.y == 0

    def put(self, condition: Any, real: Any = None, imag: Any = None) -> None:
        """Other parts where a condition holds; None: as they are."""
        if real is not None:
            self.real = arithmetic.where(condition, real, self.real)
        if imag is not None:
            self.imag = arithmetic.where(condition, imag, self.imag)


def _with_rules(method: str, rules: Callable[[_Parts], None]) -> Callable[[Any], Any]:
    def compute(x: Any) -> Any:
        made = getattr(x, method)()
        if x.node.dtype.category < 3:
            return made
        parts = _Parts(x, made)
        rules(parts)
        return planes.complex(parts.real, parts.imag)

    return compute


def _exp(p: _Parts) -> None:
    p.put(p.y_zero, p.x.exp(), p.y)
    p.put(p.x_finite & ~p.y_finite, nan, nan)
    p.put((p.x == inf) & ~p.y_finite, inf, nan)
    p.put((p.x == -inf) & ~p.y_finite, 0.0, 0.0)


def _expm1(p: _Parts) -> None:
    p.put(p.y_zero, p.x.expm1() + 0.0, p.y)  # + 0.0: the part is +0 for -0 as well
    p.put(p.x_finite & ~p.y_finite, nan, nan)
    p.put((p.x == inf) & ~p.y_finite, inf, nan)
    p.put((p.x == -inf) & ~p.y_finite, -1.0, 0.0)


def _cosh(p: _Parts) -> None:
    p.put(p.x_zero & ~p.y_finite, nan, 0.0)
    p.put(p.y_zero, p.x.cosh(), p.y * _signed(1.0, p.x))
    p.put(p.x_infinite & ~p.y_finite, inf, nan)


def _sinh(p: _Parts) -> None:
    p.put(p.x_zero & ~p.y_finite, p.x, nan)
    p.put(p.y_zero, p.x.sinh(), p.y)
    p.put(p.x_infinite & ~p.y_finite, p.x, nan)


def _tanh(p: _Parts) -> None:
    p.put(~p.y_finite, nan, nan)
    p.put(p.x_zero & ~p.y_finite, p.x, nan)
    p.put(p.x_nan & p.y_zero, nan, p.y)
    p.put(p.x_infinite, _signed(1.0, p.x), arithmetic.where(p.y_finite, _signed(0.0, (p.y * 2).sin()), 0.0))


def _acos(p: _Parts) -> None:
    p.put(p.x_zero & p.y_nan, pi / 2, nan)
    p.put(p.x_infinite & p.y_nan, nan, inf)
    p.put(p.x_infinite & p.y_infinite, arithmetic.where(p.x > 0, pi / 4, 3 * pi / 4), -p.y)
    p.put(p.x_nan & p.y_infinite, nan, -p.y)


def _acosh(p: _Parts) -> None:
    p.put(p.x_infinite & p.y_nan, inf, nan)
    p.put(p.x_zero & p.y_nan, nan, pi / 2)
    p.put(p.x_infinite & p.y_infinite, inf, _signed(1.0, p.y) * arithmetic.where(p.x > 0, pi / 4, 3 * pi / 4))
    p.put(p.x_nan & p.y_infinite, inf, nan)


def _asinh(p: _Parts) -> None:
    p.put(p.x_finite & p.y_infinite, _signed(inf, p.x), _signed(pi / 2, p.y))
    p.put(p.x_nan & p.y_zero, nan, p.y)
    p.put(p.x_nan & p.y_infinite, inf, nan)


def _atanh(p: _Parts) -> None:
    p.put(p.y_infinite | (p.x_infinite & p.y_finite), _signed(0.0, p.x), _signed(pi / 2, p.y))
    p.put((p.x_zero | p.x_infinite) & p.y_nan, _signed(0.0, p.x), nan)


exp, expm1, cosh, sinh, tanh = (
    _with_rules(name, rule)
    for name, rule in (("exp", _exp), ("expm1", _expm1), ("cosh", _cosh), ("sinh", _sinh), ("tanh", _tanh))
)
acos, acosh, asinh, atanh = (
    _with_rules(name, rule)
    for name, rule in (("acos", _acos), ("acosh", _acosh), ("asinh", _asinh), ("atanh", _atanh))
)
