"""Chebyshev series as instructions: Clenshaw's recurrence, and the maps of arguments onto [-1, 1]."""

from __future__ import annotations

from squall.ir.linear import Builder, Reg


def chebyshev(b: Builder, coefficients: tuple, at: Reg) -> Reg:
    """A Chebyshev series; terms that a float32 cannot tell are left out of float32's."""
    largest = max(map(abs, coefficients))
    least = 1e-9 if at.type.scalar == "f32" else 0.0
    kept = [c for i, c in enumerate(coefficients) if any(abs(r) > least * largest for r in coefficients[i:])]
    twice = b.add(at, at)
    first = second = b.const(0.0, at.type)
    for c in reversed(kept[1:]):
        first, second = b.add(b.sub(b.mul(twice, first), second), b.const(c, at.type)), first
    return b.add(b.sub(b.mul(at, first), second), b.const(kept[0], at.type))


def mapped(b: Builder, x: Reg, scale: float) -> Reg:
    """scale * x - 1."""
    return b.sub(b.mul(x, b.const(scale, x.type)), b.const(1.0, x.type))


def inverted(b: Builder, x: Reg, scale: float) -> Reg:
    """scale / x - 1."""
    return b.sub(b.op("div", b.const(scale, x.type), x), b.const(1.0, x.type))


def within(b: Builder, x: Reg, low: float | None, high: float | None) -> Reg:
    """x limited to an interval, so that the series that is not used stays finite; NaN stays."""
    x = x if low is None else b.op("max", x, b.const(low, x.type))
    return x if high is None else b.op("min", x, b.const(high, x.type))
