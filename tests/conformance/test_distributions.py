"""`squall.distributions` beside `torch.distributions`: densities, moments, entropies, divergences, transforms.

Known to differ: PyTorch's mode of Kumaraswamy is NaN where the logarithm of a negative number is taken, its moments of
a Wishart distribution fail for one degree of freedom beside several matrices, and its divergence of Wisharts, by the
general rule of exponential families, may be negative.
"""

import numpy as np
import pytest
import torch
from torch.distributions import kl as torch_kl

import squall
from squall.distributions import kl, kl_table
from tests.conformance import distribution_cases

NAMES = sorted(distribution_cases.cases(squall))
ATTRIBUTES = ("mean", "mode", "variance", "stddev")
METHODS = ("log_prob", "cdf", "icdf", "entropy", "perplexity", "enumerate_support", "support", "expand")
WRONG_IN_TORCH = {("Kumaraswamy", "mode"), *(("Wishart by precision", moment) for moment in ATTRIBUTES)}


def plain(value):
    return np.asarray(value.detach().tolist())


def asked(d, what, value, chance):
    if what in ATTRIBUTES:
        return getattr(d, what)
    if what in ("log_prob", "cdf"):
        return getattr(d, what)(value)
    if what == "icdf":
        return d.icdf(chance)
    if what == "support":
        return d.support.check(value)
    if what == "expand":
        return d.expand((2, *d.batch_shape)).log_prob(value[0])
    return getattr(d, what)()


def theirs_or_none(d, *args):
    torch.set_default_dtype(torch.float64)  # with numbers of which its GeneralizedPareto mixes what it is given
    try:
        return asked(d, *args)
    except NotImplementedError:
        return None
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_distributions(name):
    theirs, ours = distribution_cases.cases(torch)[name](), distribution_cases.cases(squall)[name]()
    assert (tuple(ours.batch_shape), tuple(ours.event_shape)) == (tuple(theirs.batch_shape), tuple(theirs.event_shape))
    assert bool(ours.has_rsample) == bool(theirs.has_rsample)
    assert bool(ours.has_enumerate_support) == bool(theirs.has_enumerate_support)
    torch.manual_seed(0)
    value, chance = theirs.sample((3,)), torch.rand(3, *theirs.batch_shape, dtype=torch.float64) * 0.9 + 0.05
    kind = squall.float64 if value.dtype == torch.float64 else None
    own_value = squall.tensor(value.tolist(), dtype=kind)
    own_chance = squall.tensor(chance.tolist(), dtype=squall.float64)
    compared = 0
    for what in ATTRIBUTES + METHODS:
        if (name, what) in WRONG_IN_TORCH:
            continue
        expected = theirs_or_none(theirs, what, value, chance)
        if expected is None:
            continue
        found = asked(ours, what, own_value, own_chance)
        assert tuple(found.shape) == tuple(expected.shape), what
        assert np.allclose(plain(found), plain(expected), 1e-6, 1e-7, equal_nan=True), what
        compared += 1
    assert compared >= 3
    sample = ours.sample((3,))
    assert tuple(sample.shape) == tuple(value.shape)
    assert str(sample.dtype).rpartition(".")[2] == str(value.dtype).rpartition(".")[2]
    assert bool(ours.support.check(sample).all())


@pytest.mark.parametrize("name", [n for n in NAMES if "Categorical" not in n or "Relaxed" in n])
def test_gradients_of_densities(name):
    """With respect to the value, where it is continuous, through all of the formula."""
    theirs, ours = distribution_cases.cases(torch)[name](), distribution_cases.cases(squall)[name]()
    if theirs.support.is_discrete:
        pytest.skip("discrete")
    torch.manual_seed(1)
    value = theirs.sample((3,)).requires_grad_()
    own = squall.tensor(value.tolist(), dtype=squall.float64, requires_grad=True)
    theirs._validate_args = False
    try:
        (expected,) = torch.autograd.grad(theirs.log_prob(value).sum(), value)
    except RuntimeError:
        pytest.skip("PyTorch's density has no gradient")
    (found,) = squall.autograd.grad(ours.log_prob(own).sum(), own)
    assert np.allclose(plain(found), plain(expected), 1e-5, 1e-6)


def names(table):
    return sorted({(p.__name__, q.__name__) for p, q in table})


def test_every_pair_of_pytorch_is_registered():
    assert kl.kl_divergence is squall.distributions.kl_divergence  # whose module fills the table
    own = [pair for pair in kl_table._TABLE if all(kind.__module__.startswith("squall") for kind in pair)]
    assert names(own) == names(torch_kl._KL_REGISTRY)


@pytest.mark.parametrize(("p", "q"), names(torch_kl._KL_REGISTRY))
def test_divergences(p, q):
    for one, other in ((1, 2), (2, 1), (3, 4)):
        expected = torch.distributions.kl_divergence(
            distribution_cases.pair(torch, p, one), distribution_cases.pair(torch, q, other))
        found = squall.distributions.kl_divergence(
            distribution_cases.pair(squall, p, one), distribution_cases.pair(squall, q, other))
        assert tuple(found.shape) == tuple(expected.shape)
        assert np.allclose(plain(found), plain(expected), 1e-6, 1e-8)


TRANSFORMS = {
    "AbsTransform": ((), (3,)), "AffineTransform": ((1.5, -2.0), (3,)), "CorrCholeskyTransform": ((), (6,)),
    "ExpTransform": ((), (3,)), "LowerCholeskyTransform": ((), (3, 3)), "PositiveDefiniteTransform": ((), (3, 3)),
    "SigmoidTransform": ((), (3,)), "SoftmaxTransform": ((), (3,)), "SoftplusTransform": ((), (3,)),
    "StickBreakingTransform": ((), (3,)), "TanhTransform": ((), (3,)), "ReshapeTransform": (((3,), (3, 1)), (3,)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    args, shape = TRANSFORMS[name]
    theirs, ours = (getattr(library.distributions, name)(*args) for library in (torch, squall))
    x, own = (distribution_cases.Numbers(library, 5).real(2, *shape) for library in (torch, squall))
    y, made = theirs(x), ours(own)
    assert np.allclose(plain(made), plain(y), 1e-9, 1e-12)
    assert np.allclose(plain(ours.inv(made)), plain(theirs.inv(y)), 1e-6, 1e-9)
    assert ours.domain.event_dim == theirs.domain.event_dim and ours.codomain.event_dim == theirs.codomain.event_dim
    assert ours.bijective == theirs.bijective
    try:
        expected = theirs.log_abs_det_jacobian(x, y)
    except NotImplementedError:
        return
    found = ours.log_abs_det_jacobian(own, made)
    assert tuple(found.shape) == tuple(expected.shape) and np.allclose(plain(found), plain(expected), 1e-8, 1e-10)


def test_names_of_constraints_are_pytorchs():
    assert set(torch.distributions.constraints.__all__) == set(squall.distributions.constraints.__all__)
    assert set(torch.distributions.transforms.__all__) == set(squall.distributions.transforms.__all__)


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_registries(registry):
    names = ("real", "positive", "nonnegative", "unit_interval", "simplex", "corr_cholesky", "real_vector")
    matrices = ("lower_cholesky", "positive_definite", "positive_semidefinite") if registry == "transform_to" else ()
    for name in names + matrices:
        theirs, ours = (getattr(library.distributions, registry)(getattr(library.distributions.constraints, name))
                        for library in (torch, squall))
        shape = (2, 3) if name == "corr_cholesky" else (2, 3, 3)
        x, own = (distribution_cases.Numbers(library, 6).real(*shape) for library in (torch, squall))
        assert np.allclose(plain(ours(own)), plain(theirs(x))), name
