"""The python backend's arithmetic against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from squall.backends.python import Executor
from squall.backends.python.values import cast, fused_multiply_add
from squall.base.errors import CompileError
from squall.ir.linear import F32, Builder, Program, Type


def exact_fma(a: float, b: float, c: float, kind) -> float:
    """a b + c rounded once, through a rational number, for finite operands and a result that is not zero."""
    value = Fraction(a) * Fraction(b) + Fraction(c)
    if kind is np.float64:
        try:
            return float(value)
        except OverflowError:
            return math.copysign(math.inf, value)
    # Rounding to float32: among the neighbours of the float64 value, the nearest, ties to even.
    with np.errstate(over="ignore"):
        near = np.float32(float(value))
        options = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    options = [o for o in options if np.isfinite(o)]
    if len(options) < 3:
        return float(near)
    return float(min(options, key=lambda o: (abs(Fraction(float(o)) - value), int(o.view(np.uint32)) & 1)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_fma_is_rounded_once(kind):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(600).astype(kind) for _ in range(2))
    c = rng.standard_normal(600).astype(kind)
    # Sums that nearly cancel, halfway cases, and results in the denormal range.
    c[:200] = -(a[:200] * b[:200])
    info = np.finfo(kind)
    a[200:300], b[200:300] = 1 + info.eps, 1 + info.eps
    c[200:300] = rng.choice([info.eps, -info.eps, info.eps**2, -1, info.eps**3], 100)
    a[300:400] *= kind(2.0) ** (info.minexp // 2)
    b[300:400] *= kind(2.0) ** (info.minexp // 2)
    c[300:400] *= info.smallest_subnormal
    got = fused_multiply_add(np, a, b, c)
    for x, y, z, r in zip(a.tolist(), b.tolist(), c.tolist(), got.tolist(), strict=True):
        if Fraction(x) * Fraction(y) + Fraction(z) != 0:
            assert r == exact_fma(x, y, z, kind), (x, y, z)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_fma_of_special_values(kind):
    inf, nan, huge = np.inf, np.nan, np.finfo(kind).max
    cases = [(inf, 0, 1, nan), (inf, 1, -inf, nan), (huge, 2, -inf, -inf), (huge, 2, -huge, huge),
             (0, 5, -0.0, 0.0), (-0.0, 5, -0.0, -0.0), (1, 1, -1, 0.0), (-1, 1, 1, 0.0), (nan, 1, 1, nan),
             (huge, huge, 0, inf)]  # fmt: skip
    columns = [np.array(column, kind) for column in zip(*cases, strict=True)]
    with np.errstate(all="ignore"):
        got = fused_multiply_add(np, *columns[:3])
    assert np.array_equal(got, columns[3], equal_nan=True)
    assert (np.signbit(got) == np.signbit(columns[3]))[~np.isnan(got)].all()


def test_float_to_integer_saturates_then_wraps():
    x = np.array([np.nan, np.inf, -np.inf, 300.7, -1.5, 3e9, 1e19, -1e19])
    f64 = Type("f64", len(x))
    assert cast(np, x, f64, Type("u8", len(x)))[3:5].tolist() == [44, 255]
    assert cast(np, x, f64, Type("i32", len(x))).tolist()[:6] == [0, 2**31 - 1, -(2**31), 300, -1, 2**31 - 1]
    assert cast(np, x, f64, Type("u32", len(x)))[4:6].tolist() == [2**32 - 1, 3000000000]
    assert cast(np, x, f64, Type("u64", len(x)))[[1, 4, 6]].tolist() == [2**64 - 1, 2**64 - 1, 10**19]


def test_calls_by_address():
    b = Builder.kernel("caller")
    b.call(b.argument(0, Type("ptr")), (b.begin, b.end))
    program, seen = Program((b.finish(),), "caller"), []
    words = np.array([1234], np.uint64)
    Executor(program, {1234: lambda *a: seen.append(a)})(words.ctypes.data, 3, 9, 0)
    assert seen == [(3, 9)]
    with pytest.raises(CompileError, match="cannot call machine code at 0x4d2"):
        Executor(program)(words.ctypes.data, 3, 9, 0)


def test_unknown_instructions_are_named():
    b = Builder.kernel("k")
    b.op("exp", b.const(1.0, F32))
    with pytest.raises(CompileError, match="does not know exp"):
        Executor(Program((b.finish(),), "k"))(0, 0, 1, 0)
