"""Special functions as users call them: `sq.special`, PyTorch's `torch.special`, where `sq` has no name for them."""

from __future__ import annotations

from math import sqrt
from typing import Any

from squall.base.dtypes import as_dtype, int64
from squall.base.errors import DtypeError
from squall.base.shapes import broadcast
from squall.frontend import arithmetic, creation
from squall.frontend.core import Handle, apply, cast, operand, record
from squall.frontend.declaring import floating, of_operands, of_tensor, of_two_tensors, pair
from squall.ir.op import Op, ops, refuse_float8


def _function(op: Op, doc: str) -> Any:
    def run(input: Any) -> Any:
        return apply(op, (input,))

    run.__name__ = run.__qualname__ = op.name
    run.__doc__ = doc
    return of_tensor(run)


i0e = _function(ops.i0e, "exp(-|x|) i0(x).")
i1 = _function(ops.i1, "The modified Bessel function of the first kind of order 1.")
i1e = _function(ops.i1e, "exp(-|x|) i1(x).")
bessel_j0 = _function(ops.bessel_j0, "The Bessel function of the first kind of order 0.")
bessel_j1 = _function(ops.bessel_j1, "The Bessel function of the first kind of order 1.")
airy_ai = _function(ops.airy_ai, "Airy's function Ai, with its derivative as gradient; NaN at minus infinity.")
bessel_y0 = _function(ops.bessel_y0, "The Bessel function of the second kind of order 0.")
bessel_y1 = _function(ops.bessel_y1, "The Bessel function of the second kind of order 1.")
modified_bessel_i0 = _function(ops.i0, "The modified Bessel function of the first kind of order 0.")
modified_bessel_i1 = _function(ops.i1, "The modified Bessel function of the first kind of order 1.")
modified_bessel_k0 = _function(ops.modified_bessel_k0, "The modified Bessel function of the second kind of order 0.")
modified_bessel_k1 = _function(ops.modified_bessel_k1, "The modified Bessel function of the second kind of order 1.")
scaled_modified_bessel_k0 = _function(ops.scaled_modified_bessel_k0, "exp(x) modified_bessel_k0(x).")
scaled_modified_bessel_k1 = _function(ops.scaled_modified_bessel_k1, "exp(x) modified_bessel_k1(x).")
erfcx = _function(ops.erfcx, "exp(x^2) erfc(x).")
log_ndtr = _function(ops.log_ndtr, "The logarithm of the area below the standard normal density left of x.")
entr = _function(ops.entr, "-x log(x): 0 at 0, -inf below.")


@of_tensor
def ndtr(input: Any) -> Any:
    """The area below the standard normal density left of x."""
    return (floating(input) * -sqrt(0.5)).erfc() * 0.5


@of_tensor
def ndtri(input: Any) -> Any:
    """The x that has a given area below the standard normal density to its left."""
    x = floating(input)
    refuse_float8("special.ndtri", x.node.type)
    wide = cast(x, as_dtype("float64"))
    return cast((wide * 2 - 1).erfinv() * sqrt(2), x.node.dtype)


@of_operands
def xlog1py(input: Any, other: Any) -> Any:
    """x log(1 + y), and 0 where x is 0."""
    return apply(ops.xlog1py, (input, other))


@of_tensor
def spherical_bessel_j0(input: Any) -> Any:
    """sin(x) / x, and 1 at 0."""
    x = floating(input)
    small = x.abs() < 0.5
    safe = arithmetic.where(small, 1.0, x)
    square = x * x
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72)))
    ratio = arithmetic.where(safe.isinf(), 0.0, safe.sin() / safe)
    return arithmetic.where(small, series, ratio)


# ---------------------------------------------------------------- zeta
_TERMS = 10
# Bernoulli's numbers of even index over factorials of it: Euler and Maclaurin's corrections.
_CORRECTIONS = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
                -3617 / 10670622842880000)


@of_operands
def zeta(input: Any, other: Any) -> Any:
    """Hurwitz' zeta function: the sum of (q + k)^-x over k from 0, of x above 1."""
    s, q = (t.detach() for t in pair(input, other, True))
    kind = s.node.dtype
    refuse_float8("special.zeta", s.node.type)
    s, q = cast(s, as_dtype("float64")), cast(q, as_dtype("float64"))
    total: Any = 0.0
    for k in range(_TERMS):
        total = total + (q + k) ** -s
    top = q + _TERMS
    power = top**-s
    total = total + power * top / (s - 1) + power * 0.5
    rising, power = s, power / top
    for k, factor in enumerate(_CORRECTIONS):
        total = total + factor * rising * power
        rising = rising * (s + 2 * k + 1) * (s + 2 * k + 2)
        power = power / (top * top)
    pole = (q <= 0) & (q == q.floor())
    wrong = (s < 1) | ((q <= 0) & (s != s.floor()))
    out = arithmetic.where(pole | (s == 1), float("inf"), total)
    return cast(arithmetic.where((s < 1) | (wrong & pole.logical_not()), float("nan"), out), kind)


# ---------------------------------------------------------------- orthogonal polynomials
def _degrees(n: Any, shape: tuple) -> tuple[Any, int]:
    """The degree of each element, and the largest (which is read)."""
    if not isinstance(n, Handle):
        return creation.full(shape, int(n), dtype=int64), max(int(n), 0)
    degrees = cast(n.detach(), int64).broadcast_to(shape)
    return degrees, max(int(degrees.max()), 0) if degrees.numel() else 0


# Beyond such a degree the elements' own recurrence takes too long; PyTorch's has limits of the same kind.
_HIGHEST = 10000


def _polynomial(name: str, first: Any, step: Any, doc: str, shifted: bool = False) -> Any:
    """A polynomial by its recurrence: p[0] = 1, p[1] = first(x), p[k + 1] = step(k, x, p[k], p[k - 1])."""

    def run(input: Any, n: Any) -> Any:
        x = floating(input) if isinstance(input, Handle) else None
        if x is None:
            x = operand(float(input), floating(n).node.dtype)
        kind = x.node.dtype
        refuse_float8(name, x.node.type)
        shape = broadcast(tuple(x.node.shape), tuple(n.node.shape) if isinstance(n, Handle) else (), name)
        degrees, top = _degrees(n, shape)
        if top > _HIGHEST:
            raise DtypeError(f"{name}: degrees up to {_HIGHEST} are computed, got {top}")
        x = x.detach().broadcast_to(shape)
        x = x * 2 - 1 if shifted else x
        before, now = creation.ones_like(x), first(x)
        out = arithmetic.where(degrees < 0, 0.0, arithmetic.where(degrees == 0, before, now))
        for k in range(1, top):
            before, now = now, step(k, x, now, before)
            out = arithmetic.where(degrees == k + 1, now, out)
        return cast(out, kind)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = doc + " Degrees n are whole numbers, whose largest is read; there is no gradient."
    return of_operands(run)


def _chebyshev(k: int, x: Any, now: Any, before: Any) -> Any:
    return x * now * 2 - before


_KINDS = {"t": lambda x: x, "u": lambda x: x * 2, "v": lambda x: x * 2 - 1, "w": lambda x: x * 2 + 1}
chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    _polynomial(f"chebyshev_polynomial_{k}", first, _chebyshev, f"Chebyshev's polynomials of kind {k.upper()}.")
    for k, first in _KINDS.items())
(shifted_chebyshev_polynomial_t, shifted_chebyshev_polynomial_u, shifted_chebyshev_polynomial_v,
 shifted_chebyshev_polynomial_w) = (
    _polynomial(f"shifted_chebyshev_polynomial_{k}", first, _chebyshev,
                f"Chebyshev's polynomials of kind {k.upper()} of 2 x - 1.", True)
    for k, first in _KINDS.items())
hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h", lambda x: x * 2, lambda k, x, now, before: x * now * 2 - before * (2 * k),
    "Hermite's polynomials as physicists have them.")
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he", lambda x: x, lambda k, x, now, before: x * now - before * k,
    "Hermite's polynomials as statisticians have them.")
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l", lambda x: 1 - x,
    lambda k, x, now, before: ((2 * k + 1 - x) * now - before * k) / (k + 1), "Laguerre's polynomials.")
legendre_polynomial_p = _polynomial(
    "legendre_polynomial_p", lambda x: x,
    lambda k, x, now, before: (x * now * (2 * k + 1) - before * k) / (k + 1), "Legendre's polynomials.")


# ---------------------------------------------------------------- incomplete gamma
def _incomplete(function: str, input: Any, other: Any, upper: bool) -> Any:
    a, x = pair(input, other, True)
    return record(ops.gammainc, (a.detach(), x), (upper,))


@of_two_tensors
def gammainc(input: Any, other: Any) -> Any:
    """The regularised lower incomplete gamma function of a and x; the gradient is that of x."""
    return _incomplete("gammainc", input, other, False)


@of_two_tensors
def gammaincc(input: Any, other: Any) -> Any:
    """The regularised upper incomplete gamma function of a and x; the gradient is that of x."""
    return _incomplete("gammaincc", input, other, True)


igamma, igammac = gammainc, gammaincc
