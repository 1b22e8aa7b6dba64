"""The python backend's arithmetic against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from squall.backends.cpu import compile_program
from squall.backends.python import Executor
from squall.backends.python.values import cast, fused_multiply_add
from squall.base.errors import CompileError
from squall.ir.linear import F32, PTR, Builder, Program, Type
from tests.unit.backends.linear_support import KERNEL


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


def scaled() -> Program:
    """f(pointer, factor): doubles by `factor` what the pointer holds, and returns the new value."""
    b = Builder("scaled", (PTR, F32), F32)
    place, factor = b.parameters
    made = b.mul(b.load(F32, place), factor)
    b.store(made, place)
    b.emit("return", None, (made,))
    return Program((b.finish(),), "scaled")


def caller() -> Program:
    """A kernel that calls the function in word 0 on the pointer in word 1, and adds the result in word 2."""
    b = Builder.kernel("caller")
    made = b.call(b.argument(0, PTR), (b.argument(1, PTR), b.const(3.0, F32)), F32)
    b.store(b.cast(made, Type("f64")), b.gep(b.args, b.int(2), "f64"))
    return Program((b.finish(),), "caller")


@pytest.mark.parametrize("compiled_caller", [False, True])
@pytest.mark.parametrize("compiled_callee", [False, True])
def test_machine_code_and_executors_call_each_other(compiled_caller, compiled_callee):
    callee = Executor(scaled())
    address = compile_program(scaled()) if compiled_callee else callee.address
    value = np.array([2.5], np.float32)
    words = np.array([address, value.ctypes.data, 0], np.uint64)
    run = KERNEL(compile_program(caller())) if compiled_caller else Executor(caller())
    run(words.ctypes.data, 0, 1, 0)
    assert value[0] == 7.5 and words.view(np.float64)[2] == 7.5
    assert callee.error is None


def test_errors_under_machine_code_are_kept():
    b = Builder("scaled", (PTR, F32), F32)
    b.emit("return", None, (b.op("exp", b.parameters[1]),))
    callee = Executor(Program((b.finish(),), "scaled"))
    words = np.array([callee.address, 0, 0], np.uint64)
    KERNEL(compile_program(caller()))(words.ctypes.data, 0, 1, 0)
    assert isinstance(callee.error, CompileError)


def test_vectors_are_not_exchanged_with_machine_code():
    b = Builder.kernel("k")
    b.call(b.argument(0, PTR), (b.const(1.0, Type("f32", 4)),))
    words = np.array([1234], np.uint64)
    with pytest.raises(CompileError, match="cannot exchange f32x4 with machine code"):
        Executor(Program((b.finish(),), "k"))(words.ctypes.data, 0, 1, 0)


def test_unknown_instructions_are_named():
    b = Builder.kernel("k")
    b.op("exp", b.const(1.0, F32))
    with pytest.raises(CompileError, match="does not know exp"):
        Executor(Program((b.finish(),), "k"))(0, 0, 1, 0)
