"""Polynomials under NumPy's older names: coefficients with the highest power first.

They record and differentiate as everything does; where coefficients are zero is looked at when asked for.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float64
from squall.frontend import creation as making
from squall.numpy import creation, joining, linalg
from squall.numpy import elementwise as el
from squall.numpy.binning import convolve
from squall.numpy.core import arr, cast, lift
from squall.numpy.kinds import common, finfo


def _coefficients(p: Any) -> Any:
    x = arr(getattr(p, "coeffs", p))
    return x.reshape(1) if not x.ndim else x


def trimmed(p: Any) -> Any:
    """The coefficients without leading zeros; one at least."""
    x = _coefficients(p)
    known = x.detach_array().nonzero()[0]
    return x[int(known[0]) :] if len(known) else x[:0].new_zeros(1)


def _like(made: Any, *given: Any) -> Any:
    """A polynomial of the class that was given, or its coefficients."""
    kind = next((type(g) for g in given if hasattr(g, "coeffs")), None)
    return lift(arr(made)) if kind is None else kind(lift(arr(made)))


def poly(seq_of_zeros: Any) -> Any:
    """The polynomial that has given zeros, or the characteristic one of a square matrix.

    Example:
        >>> import squall.numpy as snp
        >>> snp.poly([1.0, 2.0])
        array([ 1., -3.,  2.])
    """
    x = _coefficients(seq_of_zeros)
    if x.ndim == 2 and x.node.shape[0] == x.node.shape[1]:
        x = arr(linalg.eigvals(x))
    elif x.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    kind = x.node.dtype if x.node.dtype.category >= 2 else float64
    made = making.ones(1, dtype=kind)
    for zero in cast(x, kind).unbind(0):
        made = arr(convolve(made, joining.stack([making.ones((), dtype=kind), -zero])))
    if kind.category == 3 and bool((x.imag.sort().values == (-x.imag).sort().values).all()):
        made = made.real.clone()  # zeros in conjugate pairs
    return lift(made)


def roots(p: Any) -> Any:
    """The zeros of a polynomial, as eigenvalues of its companion matrix.

    Example:
        >>> import squall.numpy as snp
        >>> snp.roots([1.0, -3.0, 2.0])
        array([2., 1.])
    """
    import numpy

    x = _coefficients(p)
    if x.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    places = numpy.flatnonzero(x.detach_array())
    if not len(places):
        return creation.zeros(0)
    first, last = int(places[0]), int(places[-1])
    x = cast(x[first : last + 1], x.node.dtype if x.node.dtype.category >= 2 else float64)
    size, zeros = last - first, _coefficients(p).node.shape[0] - last - 1
    if not size:
        return creation.zeros(zeros)
    below = cast(arr(creation.eye(size - 1, size)), x.node.dtype)
    found = linalg.eigvals(joining.concat([(-x[1:] / x[0]).unsqueeze(0), below]))
    return joining.concat([found, creation.zeros(zeros, found.dtype)])


def polyval(p: Any, x: Any) -> Any:
    """The values of a polynomial at x, which may be a polynomial itself.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polyval([1.0, 0.0, -1.0], [2.0, 3.0])
        array([3., 8.])
    """
    coefficients = _coefficients(p)
    if hasattr(x, "coeffs"):
        total: Any = type(x)(0)
        for c in coefficients.unbind(0):
            total = total * x + c
        return total
    at = arr(x)
    kind = common((coefficients, at))
    at, made = cast(at, kind), making.zeros(tuple(at.node.shape), dtype=kind)
    for c in cast(coefficients, kind).unbind(0):
        made = made * at + c
    return lift(made)


def _padded(a1: Any, a2: Any) -> tuple:
    x, y = _coefficients(a1), _coefficients(a2)
    kind, longest = common((x, y)), max(x.node.shape[0], y.node.shape[0])
    return tuple(
        arr(joining.concat([making.zeros(longest - t.node.shape[0], dtype=kind), cast(t, kind)])) for t in (x, y)
    )


def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polyadd([1, 2], [9, 5, 4])
        array([9, 6, 6])
    """
    return _like(el.add(*_padded(a1, a2)), a1, a2)


def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polysub([2, 10, -2], [3, 10, -4])
        array([-1,  0,  2])
    """
    return _like(el.subtract(*_padded(a1, a2)), a1, a2)


def polymul(a1: Any, a2: Any) -> Any:
    """The product of two polynomials.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polymul([1, 2], [1, 3])
        array([1, 5, 6])
    """
    return _like(convolve(trimmed(a1), trimmed(a2)), a1, a2)


def polydiv(u: Any, v: Any) -> tuple:
    """(quotient, remainder) of two polynomials.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polydiv([3.0, 5.0, 2.0], [2.0, 1.0])
        (array([1.5 , 1.75]), array([0.25]))
    """
    top, bottom = _coefficients(u) + 0.0, _coefficients(v) + 0.0
    kind = common((top, bottom))
    rest, bottom = cast(top, kind), cast(bottom, kind)
    width = bottom.node.shape[0]
    steps = max(rest.node.shape[0] - width + 1, 1)
    quotient = []
    for _ in range(rest.node.shape[0] - width + 1):
        factor = rest[0] / bottom[0]
        quotient.append(factor)
        rest = arr(joining.concat([(rest[:width] - factor * bottom)[1:], rest[width:]]))
    made = joining.stack(quotient) if quotient else making.zeros(steps, dtype=kind)
    left = _without_zeros(rest)
    return _like(made, u, v), _like(left, u, v)


def _without_zeros(rest: Any) -> Any:
    """A remainder without leading coefficients that are 0 but for rounding; one coefficient at least."""
    import numpy

    known = rest.detach_array()
    away = numpy.flatnonzero(~numpy.isclose(known, 0, rtol=1e-14))
    first = int(away[0]) if len(away) else len(known) - 1
    return lift(rest[max(first, 0) :]) if len(known) else creation.zeros(1)


def polyder(p: Any, m: int = 1) -> Any:
    """The m-th derivative.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polyder([1, 1, 1, 1])
        array([3, 2, 1])
    """
    if int(m) < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    x = _coefficients(p)
    for _ in range(int(m)):
        size = x.node.shape[0]
        x = x[:-1] * cast(making.arange(size - 1, 0, -1), x.node.dtype) if size else x
    return _like(x, p)


def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The m-th integral.

    Args:
        k: the constants, one for each integral; zeros unless given.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polyint([3.0, 2.0, 1.0])
        array([1., 1., 1., 0.])
    """
    if int(m) < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    constants = arr(0.0 if k is None else k).reshape(-1)
    if constants.numel() == 1 and m > 1:
        constants = constants.broadcast_to((int(m),))
    if constants.numel() < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    x = _coefficients(p)
    for i in range(int(m)):
        scaled = el.divide(x, making.arange(x.node.shape[0], 0, -1))
        x = arr(joining.concat([scaled, constants[i : i + 1]]))
    return _like(x, p)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The matrix of powers of x, the highest first unless `increasing`.

    Example:
        >>> import squall.numpy as snp
        >>> snp.vander([2, 3], 3)
        array([[4, 2, 1],
               [9, 3, 1]])
    """
    v = arr(x)
    if v.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = v.node.shape[0] if N is None else int(N)
    kind = common((v, making.zeros((), dtype="int64")))
    powers = [making.ones(tuple(v.node.shape), dtype=kind)]
    for _ in range(count - 1):
        powers.append(powers[-1] * cast(v, kind))
    powers = powers[:count] if increasing else powers[:count][::-1]
    return joining.stack(powers, axis=1) if count else creation.zeros((v.node.shape[0], 0), kind)


def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """The polynomial of least squares through points.

    Args:
        x, y: points, shape (n,); y may have columns, (n, k). deg: the degree. rcond: smaller singular values, in
            parts of the largest, are left out. full: also give (residuals, rank, singular values, rcond). w: weights
            of the residuals. cov: also give the covariances of the coefficients; "unscaled" as the weights say.

    Example:
        >>> import squall.numpy as snp
        >>> snp.polyfit([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], 1).round(6)
        array([2., 1.])
    """
    at, values = arr(x) + 0.0, arr(y) + 0.0
    if deg < 0:
        raise ValueError("expected deg >= 0")
    if at.ndim != 1:
        raise TypeError("expected 1D vector for x")
    if not at.numel():
        raise TypeError("expected non-empty vector for x")
    if values.ndim not in (1, 2):
        raise TypeError("expected 1D or 2D array for y")
    if at.node.shape[0] != values.node.shape[0]:
        raise TypeError("expected x and y to have same length")
    limit = at.node.shape[0] * finfo(at.node.dtype).eps if rcond is None else rcond
    left = arr(vander(at, deg + 1))
    if w is not None:
        weights = arr(w) + 0.0
        if weights.ndim != 1:
            raise TypeError("expected a 1-d array for weights")
        if weights.node.shape[0] != values.node.shape[0]:
            raise TypeError("expected w and y to have the same length")
        left = left * weights.unsqueeze(1)
        values = values * (weights.unsqueeze(1) if values.ndim == 2 else weights)
    scale = (left * left).sum(0).sqrt()
    found, residuals, rank, singular = linalg.lstsq(left / scale, values, limit)
    made = el.divide(found, scale.unsqueeze(1) if values.ndim == 2 else scale)
    if full:
        return made, residuals, rank, singular, limit
    if int(rank) != deg + 1:
        import warnings

        from numpy.exceptions import RankWarning

        warnings.warn("Polyfit may be poorly conditioned", RankWarning, stacklevel=2)
    if not cov:
        return made
    inverse = linalg.inv(left.T @ left)
    if cov == "unscaled":
        return made, inverse
    free = at.node.shape[0] - (deg + 1)
    if free <= 0:
        raise ValueError("the number of data points must exceed order to scale the covariance matrix")
    factor = el.divide(residuals, free)
    return made, el.multiply(inverse[..., None] if values.ndim == 2 else inverse, factor)
