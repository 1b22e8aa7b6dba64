"""Windows, triangles, histograms of points, bits, functions applied along axes, printing, files: as NumPy's."""

import io

import numpy
import pytest

import squall as sq
import squall.numpy as snp
from tests.unit.numpy.comparing import agree

random = numpy.random.default_rng(0)
A, POINTS = random.normal(size=(3, 4, 2)), random.normal(size=(50, 3))
BITS = random.integers(0, 2, (3, 11)).astype(bool)
BYTES = random.integers(0, 256, (2, 3)).astype(numpy.uint8)
CALLS = [
    *(f"np.{name}({count})" for name in ("hanning", "hamming", "blackman", "bartlett") for count in (0, 1, 2, 7, 8)),
    "np.kaiser(8, 5.0)", "np.kaiser(1, 5.0)", "np.i0(A)", "np.sinc(A)", "np.tril_indices(3, -1, 4)",
    "np.triu_indices(3, 1, 4)", "np.tril_indices_from(A[0])", "np.triu_indices_from(A[0], 1)", "np.diag_indices(3, 3)",
    "np.diag_indices_from(A[:2, :2, 0])", "np.mask_indices(3, np.triu, 1)", "np.histogramdd(POINTS, bins=3)[0]",
    "np.histogramdd(POINTS, bins=(2, 3, [-1, 0, 2]), range=[(-1, 1), None, None])[0]",
    "np.histogramdd((POINTS[:, 0], POINTS[:, 1]), 4, density=True)[0]",
    "np.histogram2d(POINTS[:, 0], POINTS[:, 1], [3, 2], weights=POINTS[:, 2] ** 2)",
    "np.histogram2d(POINTS[:, 0], POINTS[:, 1], [-1, 0, 1])", "np.packbits(BITS)", "np.packbits(BITS, 1)",
    "np.packbits(BITS, 0, 'little')", "np.unpackbits(BYTES)", "np.unpackbits(BYTES, 1, 20, 'little')",
    "np.unpackbits(BYTES, 1, -3)", "np.unpackbits(BYTES, 0, 19)", "np.apply_along_axis(np.sort, 1, A)",
    "np.apply_along_axis(lambda v: v.sum(), 2, A)", "np.apply_along_axis(lambda v: np.outer(v, v), 1, A)",
    "np.apply_over_axes(np.sum, A, [0, -1])", "np.piecewise(A, [A < 0, A > 1], [lambda v: -v, 5.0])",
    "np.piecewise(A, [A < 0, A > 1], [lambda v, k: k * v, 5.0, lambda v, k: v], 3.0)", "np.emath.sqrt(A)",
    "np.emath.log(A)", "np.emath.log2(A)", "np.emath.log10(A)", "np.emath.arcsin(A)", "np.emath.arccos(A)",
    "np.emath.arctanh(A)", "np.emath.power(A, 0.5)", "np.emath.power(2, [2, -2])", "np.emath.logn(2, abs(A))",
    "np.asfortranarray(A)", "np.require(A, 'float32', 'F')",
    "np.vectorize(lambda x, y: x + 2 * y)(A, A[0])",
    "np.vectorize(lambda x, y: (x > y, x), otypes=[bool, float])(A[0], 0)",
    "np.vectorize(np.sum, signature='(n)->()')(A)",
    "np.vectorize(lambda v, w: np.outer(v, w), signature='(n),(m)->(n,m)')(A, A)",
    "np.vectorize(lambda x, p: x * p[0], excluded=['p'])(x=A[0], p=[3.0, 1.0])",
    "np.vectorize(abs, otypes=[float])([])",
]  # fmt: skip


@pytest.mark.parametrize("code", CALLS)
def test_calls_give_what_numpy_gives(code):
    data = {"A": A, "POINTS": POINTS, "BITS": BITS, "BYTES": BYTES}
    wanted = eval(code, {"np": numpy, **data})
    made = eval(code, {"np": snp, **{name: snp.array(value) for name, value in data.items()}})
    if isinstance(wanted, tuple):
        wanted = tuple(map(numpy.asarray, wanted))
    agree(made, wanted)


PLAIN = [
    "np.common_type(np.ones(1, 'f4'), np.ones(1, 'c8'))(0).dtype == 'c8'", "np.min_scalar_type(255) == 'u1'",
    "np.min_scalar_type(256) == 'u2'", "np.min_scalar_type(-129) == 'i2'", "np.min_scalar_type(1e5) == 'f4'",
    "np.min_scalar_type(1e400) == 'f2'", "np.iterable(3)", "np.iterable([])", "np.isfortran(np.ones((2, 3)).T)",
    "np.typename('B')", "list(np.ndindex(2, 1, 2))", "list(np.ndindex(()))", "np.base_repr(-255, 16)",
    "np.base_repr(0)",
    "np.base_repr(6, 3, 2)", "np.binary_repr(-5, 6)", "np.binary_repr(5)", "np.binary_repr(-8, 4)",
    "np.array_repr(np.arange(3))",
    "np.array_str(np.ones(2))", "np.array2string(np.ones((2, 2)), separator=', ')", "np.format_float_positional(0.1)",
    "np.format_float_scientific(1234.5, precision=1)", "np.may_share_memory(*[np.ones(3)] * 2)",
    "[int(v) for _, v in np.ndenumerate([[1, 2]])]", "float(np.float32(0.5))", "np.int64(3).dtype == 'i8'",
]  # fmt: skip


@pytest.mark.parametrize("code", PLAIN)
def test_plain_results_are_those_of_numpy(code):
    assert eval(code, {"np": snp}) == eval(code, {"np": numpy})


def test_diagonals_are_filled_as_numpy_fills_them():
    cases = (((3, 3), 5, False), ((7, 3), [1, 2, 3, 4], True), ((2, 5), 1.5, False), ((3, 3, 3), 4, False))
    for shape, value, wrap in cases:
        mine, other = snp.zeros(shape), numpy.zeros(shape)
        snp.fill_diagonal(mine, value, wrap)
        numpy.fill_diagonal(other, value, wrap)
        agree(mine, other)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: snp.vectorize(abs)([]), ValueError, "otypes"),
        (lambda: snp.vectorize(abs, signature="n->m"), ValueError, "not a valid gufunc signature"),
        (lambda: snp.vectorize(snp.dot, signature="(n),(n)->()")([1, 2], [1, 2, 3]), ValueError, "core dimension 'n'"),
        (lambda: snp.unpackbits([1]), TypeError, "unsigned byte"),
        (lambda: snp.packbits([1.0]), TypeError, "integer or boolean"),
        (lambda: snp.histogramdd(POINTS, bins=(2, 2)), ValueError, "dimension of bins"),
        (lambda: snp.piecewise([1.0], [[True]], [1, 2, 3]), ValueError, "functions are expected"),
        (lambda: snp.fill_diagonal(snp.ones(2), 1), ValueError, "at least 2-d"),
        (lambda: snp.require([1], requirements=["C", "F"]), ValueError, "Cannot specify both"),
        (lambda: snp.base_repr(1, 40), ValueError, "greater than 36"),
        (lambda: snp.binary_repr(9, 2), ValueError, "Insufficient bit width"),
        (lambda: snp.apply_along_axis(sum, 0, snp.ones((2, 0))), ValueError, "iteration dimensions are 0"),
    ],
)  # fmt: skip
def test_calls_that_make_no_sense(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_whole_numbers_beyond_floats_fall_into_their_bins():
    big = 2**60
    edges = [snp.array([-1, 0, 1, big - 1, big + 1])]
    assert snp.histogramdd([snp.array([0, big, big - 2])], edges)[0].tolist() == [0, 1, 1, 1]


def test_printing_options_are_our_own():
    x = snp.array([1 / 3])
    with snp.printoptions(precision=2):
        assert repr(x) == "array([0.33])" and str(x) == "[0.33]" and snp.array2string(x) == "[0.33]"
        assert repr(numpy.array([1 / 3])) == "array([0.33333333])"
    assert repr(x) == "array([0.33333333])" and snp.get_printoptions() == numpy.get_printoptions()
    with pytest.raises(ValueError, match="floatmode"):
        snp.set_printoptions(floatmode="none of them")
    assert repr(x) == "array([0.33333333])"


def test_files_that_numpy_reads_and_writes(tmp_path):
    snp.savez(tmp_path / "both.npz", snp.arange(2), x=snp.ones((2, 2)))
    found = numpy.load(tmp_path / "both.npz")
    assert found["arr_0"].tolist() == [0, 1] and found["x"].tolist() == [[1, 1], [1, 1]]
    numpy.save(tmp_path / "one.npy", A)
    agree(snp.load(tmp_path / "one.npy"), A)
    numpy.save(tmp_path / "objects.npy", numpy.array([None]), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        snp.load(tmp_path / "objects.npy")
    agree(snp.loadtxt(io.StringIO("1 2\n3 4"), dtype="int32"), numpy.array([[1, 2], [3, 4]], "int32"))
    assert len(snp.loadtxt(io.StringIO("1 2\n3 4"), unpack=True)) == 2


def test_vectorized_functions_differentiate_and_decorate():
    @snp.vectorize
    def cubed(x):
        """A cube."""
        return x**3

    assert cubed.__doc__ == "A cube." and cubed.__name__ == "cubed"
    assert sq.func.grad(lambda x: cubed(x).sum())(snp.array([1.0, 2.0])).tolist() == [3, 12]

    @snp.vectorize(otypes=[float])
    def halved(x):
        return x / 2

    assert halved(snp.arange(3)).tolist() == [0, 0.5, 1]


def test_dtypes_are_called_and_say_so_without_numpys_names():
    assert snp.float32([1, 2]).dtype is snp.float32 and snp.bool(3).item() is True and snp.complex64().item() == 0
    from tests.meta import tree

    found = tree.run_python(
        "import squall\ntry:\n    squall.float32(1)\nexcept TypeError as error:\n    print(error)"
    )
    assert "sq.tensor(1, dtype=squall.float32)" in found


def test_assertions_take_our_arrays():
    snp.testing.assert_equal([snp.arange(2)], [[0, 1]])
    with pytest.raises(AssertionError):
        snp.testing.assert_allclose(snp.ones(2), [1.0, 1.1])
