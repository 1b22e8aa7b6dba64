"""einops, SciPy and scikit-learn, which speak the Array API, give of squall's arrays what they give of NumPy's."""

import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read by SciPy once, when it is imported

import numpy
import pytest

import squall as sq
import squall.numpy as snp

pytestmark = pytest.mark.peer
X = numpy.random.default_rng(0).normal(size=(30, 4))
Y = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0.5)


def agree(function):
    ours, theirs = function(snp.asarray(X.copy()), snp.asarray(Y.copy())), function(X, Y)
    ours, theirs = (v if isinstance(v, tuple) else (v,) for v in (ours, theirs))
    assert any(isinstance(v, snp.ndarray) for v in ours)
    for got, wanted in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(numpy.asarray(got), numpy.asarray(wanted), rtol=1e-6, atol=1e-8)


def test_einops():
    einops = pytest.importorskip("einops.array_api", reason="einops is not installed")
    for x in (sq.tensor(X), snp.asarray(X.copy())):
        got = einops.rearrange(x, "(a b) c -> c b a", b=5)
        assert numpy.array_equal(numpy.asarray(got), X.reshape(6, 5, 4).transpose(2, 1, 0))
        numpy.testing.assert_allclose(numpy.asarray(einops.reduce(x, "n c -> c", "mean")), X.mean(0))


SCIPY = {
    "special": lambda s, x: (s.special.logsumexp(x, axis=0), s.special.expit(x), s.special.gammaln(x * x)),
    "stats": lambda s, x: (
        s.stats.zscore(x),
        s.stats.skew(x),
        s.stats.kurtosis(x),
        s.stats.ttest_1samp(x, 0.0).pvalue,
    ),
    "fft": lambda s, x: (s.fft.fft(x, axis=0).real, s.fft.irfft(s.fft.rfft(x, axis=0), axis=0)),
    "signal": lambda s, x: s.signal.detrend(x, axis=0),
    "cluster": lambda s, x: s.cluster.vq.vq(x, x[:3, :]),
    "integrate": lambda s, x: s.integrate.cumulative_trapezoid(x, axis=0),
}


@pytest.mark.parametrize("part", SCIPY)
def test_scipy(part):
    scipy = pytest.importorskip("scipy", reason="SciPy is not installed")
    pytest.importorskip(f"scipy.{part}")
    pytest.importorskip("scipy.cluster.vq")
    if not scipy._lib._array_api.SCIPY_ARRAY_API:
        pytest.skip("SciPy was imported before SCIPY_ARRAY_API was set")
    agree(lambda x, y: SCIPY[part](scipy, x))


SKLEARN = {
    "discriminant_analysis.LinearDiscriminantAnalysis": lambda make, x, y: make().fit(x, y).transform(x),
    "decomposition.PCA": lambda make, x, y: make(2, svd_solver="full").fit_transform(x),
    "linear_model.Ridge": lambda make, x, y: make(solver="svd").fit(x, x[:, 0]).coef_,
    "preprocessing.StandardScaler": lambda make, x, y: make().fit_transform(x),
    "preprocessing.PolynomialFeatures": lambda make, x, y: make().fit_transform(x),
    "naive_bayes.GaussianNB": lambda make, x, y: make().fit(x, y).predict(x),
    "metrics.pairwise.rbf_kernel": lambda make, x, y: make(x),
    "metrics.confusion_matrix": lambda make, x, y: make(y, y),
}


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learn(name):
    sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    module, _, attribute = name.rpartition(".")
    made = getattr(pytest.importorskip(f"sklearn.{module}"), attribute)
    with sklearn.config_context(array_api_dispatch=True):
        agree(lambda x, y: SKLEARN[name](made, x, y))
