"""Sample makers shared by op declarations: small arrays with the shapes and values that break things."""

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


def binary_samples(floating: bool = False, nonzero: bool = False) -> list[Sample]:
    """Two operands: equal shapes, broadcasting both ways, zero-dim, size 0, special values, integers."""
    import numpy

    low = 0.5 if nonzero else -2.0
    pairs = [((3, 4), (3, 4)), ((5, 1, 3), (4, 1)), ((), (3,)), ((2, 3), ()), ((), ()), ((0, 3), (1, 3)), ((1, 40), (7, 1))]
    out = [Sample((floats(a, 1), floats(b, 2, low)), {}, f"{a} with {b}") for a, b in pairs]
    special = numpy.array([0.0, -0.0, 1.0, -1.0, numpy.inf, -numpy.inf, numpy.nan, 1e-30, 1e30])
    out.append(Sample((special[:, None], special[None, :]), {}, "special values"))
    if not floating:
        whole = numpy.arange(-6, 6).reshape(3, 4)
        out.append(Sample((whole, whole[::-1].copy()), {}, "integers"))
    return out


def unary_samples(low: float = -3.0, high: float = 3.0, special: bool = True) -> list[Sample]:
    """One operand: matrices, zero-dim, size 0, a length past several vectors, special values."""
    import numpy

    shapes = [(3, 4), (), (0, 2), (67,), (2, 3, 5)]
    out = [Sample((floats(s, i, low, high),), {}, str(s)) for i, s in enumerate(shapes)]
    if special:
        values = numpy.array([0.0, -0.0, 1.0, -1.0, numpy.inf, -numpy.inf, numpy.nan, 1e-30, -1e-30])
        out.append(Sample((values,), {}, "special values"))
    return out
