"""squall.numpy's functions beyond the ufuncs against NumPy's, and the errors both raise."""

import numpy
import pytest

import squall as sq
import squall.numpy as snp
from tests.unit.numpy.comparing import agree

X = numpy.random.default_rng(0).normal(size=(4, 3))
S = X.T @ X + numpy.eye(3)
V = numpy.array([3, 1, 2, 1, 3])
GONE = numpy.where(X > 1, numpy.nan, X)
METHODS = (
    "linear",
    "lower",
    "higher",
    "midpoint",
    "nearest",
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "hazen",
    "weibull",
    "median_unbiased",
    "interpolated_inverted_cdf",
)

CALLS = {
    "arange": [(5,), (1, 7, 2), (0.0, 1.0, 0.25)],
    "linspace": [(0, 1, 5), (0, 1, 4, False), ([0, 1], [1, 3], 3)],
    "logspace": [(0, 2, 3)], "geomspace": [(1, 8, 4)], "eye": [(3,), (2, 3, 1), (2, 3, 2**70)],
    "tri": [(3,), (2, 3, -(2**40))],
    "tril": [(X,)], "triu": [(X, 1)], "full": [((2, 2), 7)], "indices": [((2, 3),)], "meshgrid": [([1, 2], [3, 4, 5])],
    "reshape": [(X, (2, -1)), (X, (6, 2), "F")], "transpose": [(X,)], "moveaxis": [(X[None], 0, 2)],
    "squeeze": [(X[None],)], "expand_dims": [(X, (0, 2))], "concat": [([X, X],), ([X, X], 1), ([X, V], None)],
    "stack": [([X, X], 1)], "block": [([[X, X], [X, X]],)], "vstack": [([V, V],)], "hstack": [([V, V],)],
    "dstack": [([V, V],)], "column_stack": [([V, V],)], "tile": [(V, 2), (X, (2, 1, 2))],
    "repeat": [(V, 2), (X, [1, 2, 0], 1)], "roll": [(V, 2), (X, 1, 0)], "rot90": [(X,), (X, 3)], "flip": [(X,), (X, 0)],
    "delete": [(V, [0, 2]), (X, 1, 0)], "insert": [(V, 1, 9), (X, [0, 2], 5.0, 1)], "append": [(V, [7])],
    "array_split": [(V, 2)], "broadcast_to": [(V, (2, 5))], "trim_zeros": [([0, 1, 0, 2, 0],)], "resize": [(V, (2, 4))],
    "sum": [(X,), (X, 0), (V > 1,)], "cumsum": [(X, 1), (V,)], "cumprod": [(X, 0)], "average": [(V, None, V)],
    "ptp": [(X, 0)], "median": [(X,), (X, 1)], "var": [(X, 0)], "count_nonzero": [(V > 1,)], "diff": [(V,), (X, 2, 0)],
    "nansum": [(GONE, 0)], "nanmean": [(GONE, 0)], "nanmedian": [(GONE, 0)], "nanmax": [(GONE, 1)],
    "nanstd": [(GONE, 0)], "nancumsum": [(GONE,)], "nanargmin": [(GONE, 0)], "nanquantile": [(GONE, 0.3, 0)],
    "sort": [(V,), (X, 0)], "argsort": [(V,)], "lexsort": [((V, V[::-1]),)], "searchsorted": [([1, 2, 3], V)],
    "digitize": [(V, [1, 3]), (V, [3, 1])], "unique": [(V,)], "isin": [(V, [1, 2])], "intersect1d": [(V, [1, 2, 9])],
    "union1d": [(V, [7])], "setdiff1d": [(V, [1])], "setxor1d": [(V, [1, 9])], "nonzero": [(X > 0,)],
    "where": [(X > 0, X, 0)], "take": [(V, [0, -1]), (X, [1], 1)], "take_along_axis": [(X, numpy.argsort(X, 0), 0)],
    "choose": [([0, 1, 0], [[1, 2, 3], [4, 5, 6]])], "select": [([V > 2, V > 1], [V, V * 10], -1)],
    "matmul": [(X, X.T), (X, V[:3])], "dot": [(X, S)], "tensordot": [(X, S, 1), (X, X, ([0], [0]))],
    "einsum": [("ij,jk->ik", X, S), ("ij->j", X)], "kron": [(X, [[1, 2]])], "inner": [(X, X)], "outer": [(V, V)],
    "cross": [(X, X[::-1])], "trace": [(S,)], "diag": [(V,), (S, 1)], "diagonal": [(S,)],
    "round": [(X, 1), (V, -1)], "clip": [(X, -0.5, 0.5)], "nan_to_num": [(GONE,)], "isclose": [(X, X + 1e-9)],
    "angle": [(X + 1j,)], "unwrap": [(X * 9, None, 0)], "cov": [(X,)], "corrcoef": [(X,)], "trapezoid": [(V,)],
    "histogram": [(X, 4), (X, [-1, 0, 1])], "bincount": [(V,), (V, V * 0.5)],
    "interp": [([0.5, 9], [0, 1, 2], [1, 2, 4]), ([0.5], [0, 1], [-numpy.inf, 10]), ([0.5], [-numpy.inf, 1], [0, 10]),
               ([0.5, 1], [0, 1], [complex(numpy.inf, 3), complex(2, -numpy.inf)])],
    "convolve": [(V, [1, 2]), (V, [1, 2, 3], "same")], "correlate": [(V, [1, 2], "full")],
    "unravel_index": [([5, 11], (3, 4)), ([5], (3, 4), "F")], "ravel_multi_index": [(([1, 2], [1, 3]), (3, 4))],
    "ix_": [([0, 2], [1, 3])], "gradient": [(V,), (X, 2.0)], "quantile": [(X, [0.2, 0.5], 0)], "percentile": [(X, 30)],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_as_numpy(name):
    for arguments in CALLS[name]:
        wanted = getattr(numpy, name)(*arguments)
        wanted = tuple(wanted) if isinstance(wanted, (list, tuple)) else wanted
        agree(getattr(snp, name)(*arguments), wanted)


@pytest.mark.parametrize("method", METHODS)
def test_quantiles_of_every_method(method):
    for q in (0.0, 0.25, 0.5, [0.1, 1.0]):
        agree(snp.quantile(X, q, axis=0, method=method), numpy.quantile(X, q, axis=0, method=method))


@pytest.mark.parametrize(
    "mode",
    [
        "constant",
        "edge",
        "linear_ramp",
        "maximum",
        "mean",
        "median",
        "minimum",
        "reflect",
        "symmetric",
        "wrap",
    ],
)
def test_padding(mode):
    for width in (1, (2, 3), ((1, 2), (0, 7))):
        agree(snp.pad(X, width, mode), numpy.pad(X, width, mode))


@pytest.mark.parametrize(
    "name",
    ["inv", "det", "slogdet", "cholesky", "svdvals", "eigvalsh", "pinv", "matrix_rank", "cond", "norm"],
)
def test_linear_algebra(name):
    wanted = getattr(numpy.linalg, name)(S)
    agree(getattr(snp.linalg, name)(S), tuple(wanted) if isinstance(wanted, tuple) else wanted)


def test_systems_and_factors():
    agree(snp.linalg.solve(S, X[:3]), numpy.linalg.solve(S, X[:3]))
    agree(snp.linalg.lstsq(X, V[:4])[0], numpy.linalg.lstsq(X, V[:4])[0])
    q, r = snp.linalg.qr(X)
    agree(q @ r, X)
    u, s, vh = snp.linalg.svd(X, full_matrices=False)
    agree(u @ snp.diag(s) @ vh, X)
    agree(snp.linalg.matrix_power(S, -2), numpy.linalg.matrix_power(S, -2))
    with pytest.raises(numpy.linalg.LinAlgError, match="singular"):
        snp.linalg.inv([[1.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize("ord", [None, 1, 2, numpy.inf, -numpy.inf, 0, 3.0])
def test_norms_of_vectors(ord):
    agree(snp.linalg.norm(X, ord, axis=1), numpy.linalg.norm(X, ord, axis=1))


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "fftn", "ifftn", "rfftn", "fft2", "ihfft"])
def test_transforms(name):
    agree(getattr(snp.fft, name)(X), getattr(numpy.fft, name)(X))


def test_transforms_back():
    agree(snp.fft.irfft(snp.fft.rfft(X), 3), X)
    agree(snp.fft.irfftn(snp.fft.rfftn(X), X.shape), X)
    agree(snp.fft.fftshift(snp.fft.fftfreq(5)), numpy.fft.fftshift(numpy.fft.fftfreq(5)))


def test_unique_of_the_standard():
    values, indices, inverse, counts = snp.unique_all(V)
    assert values.tolist() == [1, 2, 3] and counts.tolist() == [2, 1, 2]
    assert V[numpy.asarray(indices)].tolist() == [1, 2, 3] and values[inverse].tolist() == V.tolist()
    assert snp.unique_values([numpy.nan, numpy.nan]).shape == (2,)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda: snp.reshape(X, (5, 5)), ValueError),
        (lambda: snp.add(X, [1, 2]), ValueError),
        (lambda: snp.sum(X, axis=5), numpy.exceptions.AxisError),
        (lambda: snp.concat([X, V]), ValueError),
        (lambda: snp.max([]), ValueError),
        (lambda: snp.matmul(X, X), ValueError),
        (lambda: snp.asarray("text"), TypeError),
        (lambda: snp.asarray([object()]), TypeError),
        (lambda: snp.squeeze(X, 0), ValueError),
        (lambda: snp.quantile(X, 2.0), ValueError),
        (lambda: snp.zeros(2, device="tpu"), ValueError),
        (lambda: snp.asarray([1.0], copy=False), ValueError),
        (lambda: snp.cumulative_sum(X), ValueError),
        (lambda: snp.take(V, [9]), IndexError),
        (lambda: snp.power([2], -1), ValueError),
    ],
)
def test_errors(call, error):
    with pytest.raises(error):
        call()


def test_what_the_namespace_says_of_itself():
    info = snp.__array_namespace_info__()
    assert info.capabilities() == {
        "boolean indexing": True,
        "data-dependent shapes": True,
        "max dimensions": None,
    }
    assert info.devices() == ["cpu"] and info.default_device() == "cpu"
    assert info.default_dtypes()["real floating"] is sq.float64
    assert set(info.dtypes(kind="signed integer")) == {"int8", "int16", "int32", "int64"}
    assert snp.isdtype(snp.float32, ("integral", "real floating"))
    assert snp.finfo(snp.complex64).eps == numpy.finfo("f4").eps and snp.iinfo("u1").max == 255


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "z, real, imag",
    [
        (complex(-0.0, 0.0), 0.0, 0.0), (complex(INF, 0.0), INF, 0.0), (complex(INF, INF), INF, NAN),
        (complex(-INF, INF), -1.0, 0.0), (complex(-INF, NAN), -1.0, 0.0), (complex(NAN, 0.0), NAN, 0.0),
        (complex(1.0, INF), NAN, NAN), (complex(-INF, 2.0), -1.0, 0.0),
    ],
)  # fmt: skip
def test_expm1_at_the_ends_is_the_standards(z, real, imag):
    got = snp.expm1(snp.asarray([z])).item()  # NumPy itself gives NaN for most of these
    assert str(complex(got.real, got.imag)) == str(complex(real, imag))


def test_quantiles_with_weights():
    weights = numpy.random.default_rng(1).integers(0, 4, X.shape)
    for q in (0.0, 0.2, 0.5, 1.0, [0.1, 0.9]):
        for axis in (None, 0, 1):
            given = {"axis": axis, "weights": weights + (axis is not None), "method": "inverted_cdf"}
            agree(snp.quantile(X, q, **given), numpy.quantile(X, q, **given))
    agree(
        snp.nanpercentile(GONE, 30, axis=0, weights=weights + 1, method="inverted_cdf"),
        numpy.nanpercentile(GONE, 30, axis=0, weights=weights + 1, method="inverted_cdf"),
    )
    with pytest.raises(ValueError, match="Only method 'inverted_cdf'"):
        snp.quantile(X, 0.5, weights=weights)
    with pytest.raises(ValueError, match="all zero"):
        snp.quantile(V, 0.5, weights=V * 0, method="inverted_cdf")


@pytest.mark.parametrize("q", [50, 50.0, [50], numpy.float16(50)])
def test_the_dtype_of_quantiles(q):
    x = numpy.ones(3, "f4")
    for method in METHODS:
        agree(snp.percentile(x, q, method=method), numpy.percentile(x, q, method=method))


@pytest.mark.parametrize("axis", [None, 0, (0, 1), -1])
@pytest.mark.parametrize("trim", ["f", "b", "fb"])
def test_trim_zeros_along_axes(trim, axis):
    x = numpy.pad(numpy.ones((2, 3)), ((1, 2), (2, 0)))
    for given in (x, x * 0):
        agree(snp.trim_zeros(given, trim, axis), numpy.trim_zeros(given, trim, axis))
    with pytest.raises(ValueError, match="trim"):
        snp.trim_zeros(x, "front")


def test_limits_beyond_the_dtype_limit_nothing():
    x = numpy.arange(-3, 4, dtype="i4")
    agree(snp.clip(x, -(2**40), 2**40), x)
    agree(snp.clip(x, None, 2**40), x)
    with pytest.raises(OverflowError):
        snp.clip(x, 2**40, None)


def test_complex_numbers_at_the_ends():
    ends = numpy.array([INF, -INF, complex(0, INF), complex(3, -INF), complex(INF, INF), NAN, 0, 3 + 4j])
    agree(snp.sign(ends), numpy.sign(ends))
    gone = numpy.array([complex(NAN, 0), complex(0, NAN), 2])
    other = numpy.array([1, 1, complex(NAN, NAN)])
    for name in ("fmax", "fmin", "maximum", "minimum", "less", "less_equal", "greater"):
        agree(getattr(snp, name)(gone, other), getattr(numpy, name)(gone, other))
    agree(snp.maximum.reduce([1j, 2 + 0j, 1 + 5j]), numpy.maximum.reduce([1j, 2 + 0j, 1 + 5j]))


def test_counting_bits():
    agree(snp.bitwise_count(2**64 - 1), numpy.bitwise_count(2**64 - 1))
    agree(snp.bitwise_count([True, False]), numpy.bitwise_count([True, False]))


def test_what_is_real_stays_an_ndarray():
    agree(snp.real_if_close([1.0, 2.0]), numpy.real_if_close([1.0, 2.0]))
    agree(snp.real_if_close([1.0 + 1e-16j]), numpy.real_if_close([1.0 + 1e-16j]))


@pytest.mark.parametrize("shape", [2.0, (2, 3.0), [1.0]])
def test_sizes_are_whole_numbers(shape):
    for make in (snp.zeros, snp.ones, snp.empty):
        with pytest.raises(TypeError, match="float"):
            make(shape)
