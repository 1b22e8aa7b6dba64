"""The base: shapes, checks, expanding; distributions made of others; use inside compile, vmap and gradients."""

import math

import numpy as np
import pytest

import squall as sq

D, C = sq.distributions, sq.distributions.constraints


def test_shapes_of_batches_and_events():
    d = D.Independent(D.Normal(sq.zeros(2, 3), sq.ones(3)), 1)
    assert (d.batch_shape, d.event_shape) == ((2,), (3,))
    assert d.sample((5, 4)).shape == (5, 4, 2, 3) and d.log_prob(sq.zeros(3)).shape == (2,)
    assert d.expand((7, 2)).log_prob(sq.zeros(3)).shape == (7, 2)
    assert d.sample_n(6).shape == (6, 2, 3) and d.entropy().shape == (2,)
    assert D.Normal(0, 1).batch_shape == () and D.Normal(sq.zeros(1), 1).batch_shape == (1,)
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        D.Independent(D.Normal(0.0, 1.0), 1)


def test_parameters_are_checked():
    for make in (lambda: D.Normal(0.0, -1.0), lambda: D.Gamma(sq.tensor([1.0, 0.0]), 1.0), lambda: D.Uniform(1.0, 1.0),
                 lambda: D.Bernoulli(1.5), lambda: D.Categorical(sq.tensor([-1.0, 2.0])), lambda: D.Geometric(0.0),
                 lambda: D.MultivariateNormal(sq.zeros(2), sq.tensor([[1.0, 2.0], [2.0, 1.0]])),
                 lambda: D.Wishart(0.5, sq.eye(2)), lambda: D.LKJCholesky(1), lambda: D.Bernoulli(),
                 lambda: D.Bernoulli(0.5, logits=0.0), lambda: D.Normal(math.nan, 1.0),
                 lambda: D.MultivariateNormal(sq.zeros(2)), lambda: D.Dirichlet(sq.tensor(1.0))):
        with pytest.raises(ValueError):
            make()
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    with pytest.raises(TypeError, match="numbers or Tensors"):
        D.Normal("0", 1.0)


def test_values_are_checked():
    with pytest.raises(ValueError, match="support Boolean"):
        D.Bernoulli(0.5).log_prob(sq.tensor(2.0))
    with pytest.raises(ValueError, match="support"):
        D.Exponential(1.0).log_prob(sq.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="must be a Tensor"):
        D.Normal(0.0, 1.0).log_prob(0.0)
    with pytest.raises(ValueError, match="broadcast"):
        D.Normal(sq.zeros(3), 1.0).log_prob(sq.zeros(2))
    with pytest.raises(ValueError, match="event shape"):
        D.Dirichlet(sq.ones(3)).log_prob(sq.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match="add up"):
        D.Multinomial(3, sq.ones(2)).log_prob(sq.tensor([1.0, 1.0]))


def test_checks_may_be_switched_off():
    D.Distribution.set_default_validate_args(False)
    try:
        assert D.Normal(0.0, -1.0).log_prob(sq.tensor(0.0)).isnan().item()
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="bool"):
        D.Distribution.set_default_validate_args("yes")


def test_what_a_family_lacks_is_named():
    class Bare(D.Distribution):
        pass

    d = Bare()
    for call in (lambda: d.mean, lambda: d.mode, lambda: d.variance, d.rsample, d.entropy, d.enumerate_support,
                 lambda: d.cdf(sq.zeros(())), lambda: d.icdf(sq.zeros(())), lambda: d.log_prob(sq.zeros(()))):
        with pytest.raises(NotImplementedError, match="Bare"):
            call()
    with pytest.raises(NotImplementedError, match="rsample"):
        D.Bernoulli(0.5).rsample()


def test_probabilities_and_log_odds_give_each_other():
    d = D.Bernoulli(logits=sq.zeros(2))
    assert d.probs.tolist() == [0.5, 0.5] and "logits" in repr(d)
    wide = d.expand((3, 2))
    assert wide.probs.shape == (3, 2) and wide.entropy().shape == (3, 2)
    assert D.Categorical(sq.tensor([1.0, 1.0])).logits.tolist() == pytest.approx([-math.log(2)] * 2)
    assert math.isfinite(D.Bernoulli(1.0).logits.item())


@pytest.mark.parametrize("make", [
    lambda: D.Gamma(sq.ones(2), sq.ones(2)), lambda: D.Chi2(sq.ones(2)), lambda: D.Weibull(sq.ones(2), sq.ones(2)),
    lambda: D.Pareto(sq.ones(2), sq.ones(2)), lambda: D.Kumaraswamy(sq.ones(2), sq.ones(2)),
    lambda: D.Gumbel(sq.ones(2), sq.ones(2)), lambda: D.StudentT(sq.ones(2)), lambda: D.Binomial(3, sq.ones(2) / 2),
    lambda: D.MultivariateNormal(sq.zeros(2, 3), sq.eye(3)), lambda: D.Wishart(sq.tensor([4.0, 5.0]), sq.eye(3)),
    lambda: D.LogisticNormal(sq.zeros(2, 3), sq.ones(3)), lambda: D.OneHotCategorical(sq.ones(2, 3)),
    lambda: D.Multinomial(3, sq.ones(2, 3)), lambda: D.RelaxedOneHotCategorical(sq.tensor(1.0), sq.ones(2, 3)),
    lambda: D.MixtureSameFamily(D.Categorical(sq.ones(2, 4)), D.Normal(sq.zeros(2, 4), 1.0)),
    lambda: D.LowRankMultivariateNormal(sq.zeros(2, 3), sq.ones(2, 3, 1), sq.ones(2, 3)),
    lambda: D.Uniform(sq.zeros(2), 1.0),
    lambda: D.LKJCholesky(3, sq.ones(2)), lambda: D.InverseGamma(sq.ones(2), sq.ones(2)), lambda: D.Poisson(sq.ones(2)),
], ids=lambda make: type(make()).__name__)  # fmt: skip
def test_expanding(make):
    d = make()
    sq.manual_seed(0)
    value = d.sample()
    wide = d.expand((5, 2))
    assert (wide.batch_shape, wide.event_shape) == ((5, 2), d.event_shape)
    assert wide.sample((3,)).shape == (3, 5, 2, *d.event_shape)
    assert np.allclose(wide.log_prob(value).tolist(), [d.log_prob(value).tolist()] * 5)
    assert type(wide) is type(d)


def test_classes_of_ones_own_stay_what_they_are():
    class Own(D.Gumbel):
        pass

    wide = Own(sq.tensor([0.5, 2.0]), sq.tensor([1.0, 3.0])).expand((4, 2))
    assert type(wide) is Own and wide.rsample().shape == (4, 2)
    x = sq.ones(2)
    assert np.allclose(D.TransformedDistribution.log_prob(wide, x).tolist(), wide.log_prob(x).tolist())
    many = D.Weibull(sq.tensor([1.0, 2.0]), sq.tensor([3.0, 4.0])).expand((2, 2))
    assert np.allclose(many.log_prob(sq.ones(2))[1].tolist(),
                       D.Weibull(sq.tensor([1.0, 2.0]), sq.tensor([3.0, 4.0])).log_prob(sq.ones(2)).tolist())


def test_transformed_distributions():
    base = D.Normal(sq.zeros(3), sq.ones(3))
    d = D.TransformedDistribution(base, [D.AffineTransform(1.0, -2.0), D.ExpTransform()])
    x = sq.tensor([0.5, 1.0, 2.0])
    jacobian = sq.tensor([0.5, 1.0, 2.0]).log() + math.log(2)
    assert np.allclose(d.log_prob(x).tolist(), (base.log_prob((x.log() - 1) / -2) - jacobian).tolist())
    assert np.allclose(d.icdf(d.cdf(x)).tolist(), x.tolist(), rtol=1e-4)
    assert d.cdf(x)[0] < d.cdf(x)[2] and repr(d.support) == "GreaterThan(lower_bound=0.0)"
    rows = D.TransformedDistribution(base, D.StickBreakingTransform())
    assert (rows.batch_shape, rows.event_shape) == ((), (4,)) and rows.log_prob(sq.full((4,), 0.25)).shape == ()
    with pytest.raises(ValueError, match="at least 1"):
        D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform())
    with pytest.raises(ValueError, match="Transform"):
        D.TransformedDistribution(base, [sq.exp])


def test_mixtures():
    d = D.MixtureSameFamily(D.Categorical(sq.tensor([0.25, 0.75])), D.Normal(sq.tensor([0.0, 4.0]), 1.0))
    assert d.mean.item() == 3 and d.variance.item() == pytest.approx(1 + 3)
    parts = [math.exp(-0.5) * 0.25, math.exp(-4.5) * 0.75]
    assert d.log_prob(sq.tensor(1.0)).exp().item() == pytest.approx(sum(parts) / math.sqrt(2 * math.pi), rel=1e-5)
    assert bool(d.support.check(d.sample((4,))).all())
    for mixture, component in ((D.Normal(0.0, 1.0), D.Normal(sq.zeros(2), 1.0)), (D.Categorical(sq.ones(2)), 3),
                               (D.Categorical(sq.ones(2)), D.Normal(sq.zeros(3), 1.0))):
        with pytest.raises(ValueError, match="MixtureSameFamily"):
            D.MixtureSameFamily(mixture, component)


def test_families_by_natural_parameters():
    """The entropy by the gradient of the log normalizer is the one by formula."""
    for d in (D.Normal(0.5, 2.0), D.Gamma(2.0, 3.0), D.Exponential(2.0), D.Bernoulli(0.3), D.ContinuousBernoulli(0.3)):
        assert D.ExponentialFamily.entropy(d).item() == pytest.approx(d.entropy().item(), rel=1e-4)
    with pytest.raises(NotImplementedError, match="Poisson"):
        D.Poisson(1.0).entropy()


# ---------------------------------------------------------------- compile, vmap, gradients
def test_inside_compiled_functions():
    def loss(mean, scale, x):
        d = D.Independent(D.Normal(mean, scale), 1)
        kl = D.kl_divergence(D.Normal(mean, scale), D.Normal(0.0, 1.0)).sum(-1)
        return (kl - d.log_prob(x) + D.Gamma(scale, 1.0).log_prob(scale).sum()).sum()

    mean, scale, x = sq.tensor([0.5, -1.0]), sq.tensor([1.0, 2.0]), sq.ones(3, 2)
    compiled = sq.compile(sq.func.value_and_grad(loss, (0, 1)))
    value, grads = compiled(mean, scale, x)
    expected, wanted = sq.func.value_and_grad(loss, (0, 1))(mean, scale, x)
    assert value.item() == pytest.approx(expected.item())
    assert all(np.allclose(a.tolist(), b.tolist()) for a, b in zip(grads, wanted, strict=True))


@pytest.mark.parametrize("make", [
    lambda p: D.Normal(p, 1.0), lambda p: D.Gamma(p, 1.0), lambda p: D.Beta(p, p), lambda p: D.Gumbel(p, 1.0),
    lambda p: D.StudentT(p), lambda p: D.Dirichlet(p), lambda p: D.VonMises(p, 1.0), lambda p: D.Categorical(p),
    lambda p: D.Bernoulli(p / 4), lambda p: D.LogNormal(p, 1.0),
    lambda p: D.RelaxedOneHotCategorical(sq.tensor(1.0), p),
], ids=lambda make: type(make(sq.ones(2))).__name__)  # fmt: skip
def test_samples_inside_compiled_functions_are_the_same(make):
    def drawn(p):
        return make(p).sample((3,))

    p = sq.tensor([1.0, 2.0])
    sq.manual_seed(6)
    plain = drawn(p).tolist()
    sq.manual_seed(6)
    assert sq.compile(drawn)(p).tolist() == plain


def test_samples_with_gradients_inside_compiled_functions():
    def moved(alpha):
        return D.Gamma(alpha, 1.0).rsample((5,)).sum()

    alpha = sq.tensor([0.5, 2.0])
    sq.manual_seed(6)
    plain = sq.func.grad(moved)(alpha)
    sq.manual_seed(6)
    assert np.allclose(sq.compile(sq.func.grad(moved))(alpha).tolist(), plain.tolist(), rtol=1e-5)


def test_many_distributions_by_vmap():
    means, x = sq.tensor([0.0, 1.0, 2.0]), sq.tensor(0.5)
    found = sq.vmap(lambda m: D.Normal(m, 1.0).log_prob(x))(means)
    assert np.allclose(found.tolist(), D.Normal(means, 1.0).log_prob(x).tolist())
    rows = sq.rand(4, 3) + 0.1
    found = sq.vmap(lambda c: D.Dirichlet(c).entropy())(rows)
    assert np.allclose(found.tolist(), D.Dirichlet(rows).entropy().tolist(), rtol=1e-5)


def test_an_object_from_outside_is_used_in_a_compiled_function():
    d = D.Bernoulli(sq.tensor([0.2, 0.7]))
    run = sq.compile(lambda x: d.log_prob(x).sum())
    x = sq.tensor([1.0, 0.0])
    assert run(x).item() == pytest.approx(math.log(0.2) + math.log(0.3))
    assert run(x).item() == pytest.approx(d.log_prob(x).sum().item())


def test_nothing_is_evaluated_when_nothing_is_checked():
    loc = sq.randn(3) * 2
    d = D.Normal(loc, 1.0, validate_args=False)
    found = d.log_prob(d.rsample())
    assert found.node.buffer is None and loc.node.buffer is None
    found.tolist()


def test_a_variational_step_lowers_the_loss():
    sq.manual_seed(0)
    mean, log_scale = sq.zeros(2, requires_grad=True), sq.zeros(2, requires_grad=True)
    target = D.Normal(sq.tensor([1.0, -2.0]), sq.tensor([0.5, 2.0]))
    optimizer = sq.optim.Adam([mean, log_scale], 0.1)
    for _ in range(150):
        q = D.Normal(mean, log_scale.exp())
        loss = (q.log_prob(z := q.rsample((16,))) - target.log_prob(z)).mean(0).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert np.allclose(mean.tolist(), [1.0, -2.0], atol=0.25)
    assert np.allclose(log_scale.exp().tolist(), [0.5, 2.0], rtol=0.2)
