"""Sample makers shared by op declarations: small arrays with the shapes and values that break things.

Samples whose name begins with "special" or "ties" hold values where a derivative is not a limit from both sides;
generated tests check their values, but no differences.
"""

from __future__ import annotations

from typing import Any

from squall.ir.op import Sample


def generator(seed: int = 0) -> Any:
    """A seeded NumPy generator."""
    import numpy

    return numpy.random.default_rng(seed)


def floats(shape: tuple[int, ...], seed: int = 0, low: float = -2.0, high: float = 2.0) -> Any:
    """Uniform float64 values in [low, high)."""
    return generator(seed).uniform(low, high, shape)


def special_values() -> Any:
    """Zeros of both signs, ones, infinities, NaN, small and large."""
    import numpy

    return numpy.array([0.0, -0.0, 1.0, -1.0, numpy.inf, -numpy.inf, numpy.nan, 1e-30, 1e30])


def bools() -> list[Sample]:
    """All pairs of truth values."""
    import numpy

    values = numpy.array([False, True])
    return [Sample((values[:, None], values[None, :]), {}, "bools")]


def integers(nonzero: bool = False) -> list[Sample]:
    """Pairs of small integers of both signs, and the extremes of int8 and uint8 with themselves."""
    import numpy

    whole = numpy.arange(-6, 6).reshape(3, 4)
    other = whole[::-1].copy()
    if nonzero:
        other[other == 0] = 7
    small = numpy.array([-128, -127, -1, 1, 3, 127], numpy.int8)
    unsigned = numpy.array([1, 2, 127, 128, 255], numpy.uint8)
    return [Sample((whole, other), {}, "integers"), Sample((small[:, None], small[None, :]), {}, "int8 extremes"),
            Sample((unsigned[:, None], unsigned[None, :]), {}, "uint8 extremes")]


def binary_samples(floating: bool = False, nonzero: bool = False, logical: bool = False) -> list[Sample]:
    """Two operands: equal shapes, broadcasting both ways, zero-dim, size 0, special values, integers, bools.

    Args:
        floating: only floats. nonzero: second operands away from 0. logical: bools too.
    """
    low = 0.5 if nonzero else -2.0
    pairs = [((3, 4), (3, 4)), ((5, 1, 3), (4, 1)), ((), (3,)), ((2, 3), ()), ((), ()), ((0, 3), (1, 3)),
             ((1, 40), (7, 1))]
    out = [Sample((floats(a, 1), floats(b, 2, low)), {}, f"{a} with {b}") for a, b in pairs]
    special = special_values()
    out.append(Sample((special[:, None], special[None, :]), {}, "special values"))
    if not floating:
        out += integers(nonzero)
    return out + bools() if logical else out


def unary_samples(low: float = -3.0, high: float = 3.0, special: bool = True, whole: bool = False,
                  attributes: dict | None = None) -> list[Sample]:
    """One operand: matrices, zero-dim, size 0, a length past several vectors, special values, integers.

    Args:
        low, high: the range of ordinary values. special: zeros, infinities, NaN too. whole: int8, uint8, int64 too.
        attributes: given with each sample.
    """
    import numpy

    given = attributes or {}
    shapes = [(3, 4), (), (0, 2), (67,), (2, 3, 5)]
    out = [Sample((floats(s, i, low, high),), given, str(s)) for i, s in enumerate(shapes)]
    if special:
        values = numpy.array([0.0, -0.0, 1.0, -1.0, numpy.inf, -numpy.inf, numpy.nan, 1e-30, -1e-30, 0.5, -2.5,
                              60.0, -60.0])
        out.append(Sample((values,), given, "special values"))
    if whole:
        out.append(Sample((numpy.array([-128, -127, -2, -1, 0, 1, 2, 127], numpy.int8),), given, "int8 extremes"))
        out.append(Sample((numpy.array([0, 1, 2, 127, 128, 255], numpy.uint8),), given, "uint8 extremes"))
        out.append(Sample((numpy.arange(-3, 3).reshape(2, 3),), given, "integers"))
    return out
