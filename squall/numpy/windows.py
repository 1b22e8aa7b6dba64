"""Windows and the functions they are made of, under NumPy's names: symmetric, in float64."""

from __future__ import annotations

from math import pi
from typing import Any

from squall.base.dtypes import float64
from squall.frontend import creation as making
from squall.frontend.functions_elementwise import i0 as bessel
from squall.numpy.core import arr, cast, lift


def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind, of order 0.

    Example:
        >>> import squall.numpy as snp
        >>> snp.i0([0.0, 1.0])
        array([1.        , 1.26606588])
    """
    given = arr(x)
    if given.node.dtype.category == 3:
        raise TypeError("i0 not supported for complex values")
    return lift(bessel(given if given.node.dtype.category == 2 else cast(given, float64)))


def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0.

    Example:
        >>> import squall.numpy as snp
        >>> snp.sinc([0.0, 0.5])
        array([1.        , 0.63661977])
    """
    given = arr(x)
    return lift((given if given.node.dtype.category >= 2 else cast(given, float64)).sinc())


def _places(M: Any) -> tuple[Any, Any]:
    """2 n - (M - 1) for the samples n of a window, and M - 1; of a window of one sample, or none, what is left."""
    count = float(arr(M))
    samples = making.arange(1 - count, count, 2, dtype=float64) if count >= 1 else making.zeros(0, dtype=float64)
    return samples, count - 1


def _raised(M: Any, first: float, second: float, third: float = 0.0) -> Any:
    places, span = _places(M)
    if span < 1:
        return lift(places + 1 if span < 0 else places * 0 + 1)
    angle = places * (pi / span)
    return lift(first + second * angle.cos() + third * (2 * angle).cos())


def hanning(M: Any) -> Any:
    """The Hann window: one period of a cosine, raised to begin and end at 0.

    Example:
        >>> import squall.numpy as snp
        >>> snp.hanning(5)
        array([0. , 0.5, 1. , 0.5, 0. ])
    """
    return _raised(M, 0.5, 0.5)


def hamming(M: Any) -> Any:
    """The Hamming window: a raised cosine with ends at 0.08.

    Example:
        >>> import squall.numpy as snp
        >>> snp.hamming(3)
        array([0.08, 1.  , 0.08])
    """
    return _raised(M, 0.54, 0.46)


def blackman(M: Any) -> Any:
    """The Blackman window: two cosines.

    Example:
        >>> import squall.numpy as snp
        >>> abs(snp.blackman(3)).round(12)
        array([0., 1., 0.])
    """
    return _raised(M, 0.42, 0.5, 0.08)


def bartlett(M: Any) -> Any:
    """The triangular window with ends at 0.

    Example:
        >>> import squall.numpy as snp
        >>> snp.bartlett(5)
        array([0. , 0.5, 1. , 0.5, 0. ])
    """
    places, span = _places(M)
    return lift(1 - places.abs() / span if span >= 1 else places * 0 + 1)


def kaiser(M: Any, beta: Any) -> Any:
    """The Kaiser window, which trades the main lobe's width against the side lobes.

    Args:
        beta: the larger, the wider and the lower they are.

    Example:
        >>> import squall.numpy as snp
        >>> snp.kaiser(3, 0.0)
        array([1., 1., 1.])
    """
    places, span = _places(M)
    if span < 1:
        return lift(places * 0 + 1)
    width = cast(arr(beta), float64)
    inside = 1 - (places / span) ** 2
    return lift(bessel(width * inside.clamp(min=0).sqrt()) / bessel(width))
