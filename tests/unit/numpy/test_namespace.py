"""squall.numpy: every name of the Array API's standard is there, and what functions give is what NumPy gives."""

import numpy
import pytest

import squall as sq
import squall.numpy as snp
from tests.unit.numpy.comparing import agree

STANDARD = """
    abs acos acosh add all any arange argmax argmin argsort asarray asin asinh astype atan atan2 atanh
    bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor broadcast_arrays
    broadcast_to can_cast ceil clip concat conj copysign cos cosh count_nonzero cumulative_prod cumulative_sum
    diff divide empty empty_like equal exp expand_dims expm1 eye finfo flip floor floor_divide from_dlpack
    full full_like greater greater_equal hypot iinfo imag isdtype isfinite isinf isnan less less_equal
    linspace log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul
    matrix_transpose max maximum mean meshgrid min minimum moveaxis multiply negative nextafter nonzero
    not_equal ones ones_like permute_dims positive pow prod real reciprocal remainder repeat reshape
    result_type roll round searchsorted sign signbit sin sinh sort sqrt square squeeze stack std subtract sum
    take take_along_axis tan tanh tensordot tile tril triu trunc unique_all unique_counts unique_inverse
    unique_values unstack var vecdot where zeros zeros_like e inf nan newaxis pi bool int8 int16 int32 int64
    uint8 uint16 uint32 uint64 float32 float64 complex64 complex128 __array_namespace_info__
"""
LINALG = """
    cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose
    outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm
"""
FFT = """
    fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft fftfreq rfftfreq fftshift ifftshift
"""

UNARY = """
    abs arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil cos cosh exp exp2 expm1 fabs floor isfinite
    isnan log log10 log1p log2 negative rint sign signbit sin sinh sqrt square tan tanh trunc
"""
BINARY = """
    add subtract multiply divide floor_divide remainder fmod power maximum minimum fmax fmin arctan2 hypot
    copysign logaddexp less greater_equal equal logical_and logical_xor heaviside nextafter
"""
KINDS = """
    bool int8 uint8 int32 uint32 int64 uint64 float16 float32 float64 complex64 complex128
"""


@pytest.mark.parametrize("module, names", [("", STANDARD), ("linalg", LINALG), ("fft", FFT)])
def test_every_name_of_the_standard_is_there(module, names):
    space = getattr(snp, module) if module else snp
    assert [name for name in names.split() if not hasattr(space, name)] == []


def test_every_name_listed_loads():
    assert [name for name in dir(snp) if not hasattr(snp, name)] == []


def test_a_tensor_knows_its_namespace():
    t = sq.tensor([1.0])
    assert t.__array_namespace__() is snp
    assert snp.asarray(t).__array_namespace__(api_version="2024.12") is snp
    assert t.to_device("cpu") is t
    with pytest.raises(ValueError, match="1999"):
        t.__array_namespace__(api_version="1999.01")


@pytest.mark.parametrize("name", UNARY.split())
def test_functions_of_one_operand(name):
    for kind in ("int8", "int64", "float32", "float64"):
        x = numpy.array([0, 1, 2, 3], kind) / (4 if kind[0] == "f" and name[:3] == "arc" else 1)
        x = x.astype(kind)
        with numpy.errstate(all="ignore"):
            wanted = getattr(numpy, name)(x)
        agree(getattr(snp, name)(x), wanted, 2e-6)


@pytest.mark.parametrize("name", BINARY.split())
def test_functions_of_two_operands(name):
    for first, second in (
        ("int32", "int64"),
        ("uint8", "int8"),
        ("float32", "float64"),
        ("int16", "float32"),
    ):
        x = numpy.array([[1], [2], [3]], first)
        y = numpy.array([1, 2], second)
        agree(getattr(snp, name)(x, y), getattr(numpy, name)(x, y))


@pytest.mark.parametrize("a", KINDS.split())
@pytest.mark.parametrize("b", KINDS.split())
def test_promotion_is_numpys(a, b):
    assert snp.result_type(a, b) == numpy.result_type(a, b)
    assert snp.can_cast(a, b) is numpy.can_cast(a, b)
    assert snp.can_cast(a, b, "same_kind") is numpy.can_cast(a, b, "same_kind")
    for number in (1, 1.0, 1j):
        array = numpy.zeros(1, a)
        assert snp.result_type(snp.asarray(array), number) == numpy.result_type(array, number)


def test_arrays_without_dimensions_promote_like_all_others():
    assert (snp.ones(2, dtype="f4") + snp.asarray(1.0)).dtype is sq.float64
    assert (snp.ones(2, dtype="f4") + 1.0).dtype is sq.float32


def test_python_integers_must_fit():
    with pytest.raises(OverflowError, match="300"):
        snp.ones(1, dtype="u1") + 300
    assert bool((snp.ones(1, dtype="u1") < 300).all())


def test_large_integers_of_both_signs_as_ndarrays():
    high, low = snp.asarray(numpy.array([2**63, 5], "u8")), snp.asarray(numpy.array([-1, 5], "i8"))
    assert snp.less(low, high).tolist() == [True, False]
    assert (high == low).tolist() == [False, True]


def test_large_integers_of_both_signs_are_compared_exactly():
    high, low = numpy.array([2**63, 5], "u8"), numpy.array([-1, 5], "i8")
    for name in ("less", "equal", "greater", "less_equal"):
        agree(getattr(snp, name)(high, low), getattr(numpy, name)(high, low))
        agree(getattr(snp, name)(low, high), getattr(numpy, name)(low, high))


def test_ufunc_keywords():
    x, out = snp.arange(4.0), snp.zeros(4)
    assert snp.add(x, 1, out=out) is out and out.tolist() == [1, 2, 3, 4]
    assert snp.add(x, 1, dtype="f4").dtype is sq.float32
    assert snp.sqrt(x, where=x > 1, out=snp.full(4, 9.0)).tolist()[:2] == [9.0, 9.0]
    with pytest.raises(TypeError, match="same_kind"):
        snp.add(x, 0.5, out=snp.zeros(4, dtype=int))
    with pytest.raises(TypeError, match="surprise"):
        snp.add(x, 1, surprise=1)
    with pytest.raises(TypeError, match="no loop"):
        snp.bitwise_and(x, 1)


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "logical_or", "logaddexp", "bitwise_xor"])
def test_ufunc_methods(name):
    ours, theirs = getattr(snp, name), getattr(numpy, name)
    x = numpy.arange(1, 7).reshape(2, 3)
    agree(ours.reduce(x), theirs.reduce(x))
    agree(ours.reduce(x, axis=(0, 1), keepdims=True), theirs.reduce(x.reshape(-1)).reshape(1, 1))
    agree(ours.accumulate(x, axis=1), theirs.accumulate(x, axis=1))
    agree(ours.outer([1, 2], [3, 4, 5]), theirs.outer([1, 2], [3, 4, 5]))
    agree(ours.reduceat(numpy.arange(8), [0, 4, 1]), theirs.reduceat(numpy.arange(8), [0, 4, 1]))


@pytest.mark.parametrize("name", ["subtract", "gcd", "maximum", "hypot", "fmax", "floor_divide"])
def test_folding_long_axes(name):
    x = numpy.arange(1, 601).reshape(2, 300) % 7 + 1
    x = x.astype("f8" if name in ("hypot", "fmax") else "i8")
    ours, theirs = getattr(snp, name), getattr(numpy, name)
    agree(ours.accumulate(x, axis=1), theirs.accumulate(x, axis=1))
    agree(ours.reduce(x, axis=1), theirs.reduce(x, axis=1))
    agree(ours.reduceat(x, numpy.array([], int), axis=1), theirs.reduceat(x, numpy.array([], int), axis=1))


def test_comparisons_fold_booleans_only():
    x = numpy.array([True, False, True, True])
    agree(snp.equal.reduce(x), numpy.equal.reduce(x))
    agree(snp.less.accumulate(snp.asarray([0, 1, 1]), dtype=bool), numpy.less.accumulate([0, 1, 1], dtype=bool))
    with pytest.raises(TypeError, match="bool"):
        snp.equal.reduce([1, 1])


def test_numpys_own_functions_write_into_ndarrays():
    out = snp.zeros(4)
    numpy.arange(4.0).clip(1, 2, out=out)  # a ufunc that only NumPy has, by way of __array_ufunc__
    assert out.tolist() == [1.0, 1.0, 2.0, 2.0]
    out.numpy().clip(0, snp.asarray([1.5] * 4), out=out)
    assert out.tolist() == [1.0, 1.0, 1.5, 1.5]


def test_ufunc_at_counts_each_time():
    x = snp.zeros(3)
    snp.add.at(x, [0, 0, 2], 1.0)
    assert x.tolist() == [2.0, 0.0, 1.0]


def test_dtypes_by_numpys_words():
    assert snp.float64 == "f8" and snp.int8 == "i1" and snp.complex64 == "<c8" and snp.float32 == "float32"
    assert snp.float64 != "f4" and snp.float64 != ">f8"
    for kind in KINDS.split():
        for family in ("number", "integer", "unsignedinteger", "inexact", "floating", "complexfloating", "generic"):
            wanted = numpy.issubdtype(kind, getattr(numpy, family))
            assert snp.issubdtype(getattr(snp, kind), getattr(snp, family)) is wanted
