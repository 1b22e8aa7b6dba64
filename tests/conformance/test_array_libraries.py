"""einops, SciPy and scikit-learn, which speak the Array API, give of squall's arrays what they give of NumPy's."""

import os
import subprocess
import sys

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


EINOPS = """
{imports}
import numpy
x = numpy.arange(24.0).reshape(2, 3, 4)
t = sq.tensor(x, requires_grad=True)
for call in (
    lambda v: einops.rearrange(v, "a b c -> c (b a)"), lambda v: einops.rearrange(v, "a (b d) c -> d b (a c)", d=3),
    lambda v: einops.reduce(v, "a b c -> a c", "max"), lambda v: einops.reduce(v, "a b c -> b", "mean"),
    lambda v: einops.reduce(v, "a b c -> ", "sum"), lambda v: einops.reduce(v, "a b c -> b c", "prod"),
    lambda v: einops.repeat(v, "a b c -> a r b c", r=2), lambda v: einops.repeat(v, "a b c -> (a r) b c", r=2),
    lambda v: einops.einsum(v, v, "a b c, a d c -> b d"), lambda v: einops.pack([v, v], "a b *")[0],
    lambda v: einops.unpack(v, [[1], [2]], "a * c")[1], lambda v: einops.rearrange([v, v], "n a b c -> a n (b c)"),
):
    got = call(t)
    assert type(got) is sq.Tensor, type(got)
    numpy.testing.assert_allclose(got.detach().numpy(), call(x))
    assert sq.autograd.grad(got.sum(), t)[0].shape == t.shape
sizes = ({{0: sq.Dim("n", min=1, max=9)}},)
made = sq.compile(lambda v: einops.rearrange(v, "a b c -> (a b) c") * 2, dynamic_shapes=sizes)
for n in (2, 5):
    assert made(sq.ones(n, 3, 4)).shape == (3 * n, 4)
assert sq.vmap(lambda v: einops.rearrange(v, "b c -> c b"))(t).shape == (2, 4, 3)
"""


@pytest.mark.parametrize("imports", ["import einops; import squall as sq", "import squall as sq; import einops",
                                     "import squall as sq; sq.Tensor; sq.nn; import einops",
                                     "import squall as sq; import einops; sq.interop.register_einops()"])
def test_einops_takes_tensors(imports):
    """In whatever order they are imported."""
    pytest.importorskip("einops", reason="einops is not installed")
    subprocess.run([sys.executable, "-c", EINOPS.format(imports=imports)], check=True)


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
