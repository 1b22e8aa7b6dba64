"""Transforms: there and back, Jacobians against derivatives, shapes, caches, regions that registries lead into."""

import numpy as np
import pytest

import squall as sq

D, C = sq.distributions, sq.distributions.constraints


def f(value):
    return sq.tensor(value, dtype=sq.float64)


def normal(*shape):
    return f(np.random.default_rng(sum(shape)).standard_normal(shape).tolist())


ELEMENTWISE = {
    "exp": D.ExpTransform(), "sigmoid": D.SigmoidTransform(), "softplus": D.SoftplusTransform(),
    "tanh": D.TanhTransform(), "affine": D.AffineTransform(f([1.0, 2.0, 3.0]), -2.0),
    "composed": D.ComposeTransform([D.ExpTransform(), D.PowerTransform(f(-1.5)), D.AffineTransform(1.0, 2.0)]),
    "inverse": D.ExpTransform().inv.inv, "identity": D.identity_transform,
    "probability": D.CumulativeDistributionTransform(D.Normal(f(0.5), f(2.0))),
    "stacked": D.StackTransform([D.ExpTransform(), D.TanhTransform(), D.identity_transform], dim=-1),
    "side by side": D.CatTransform([D.ExpTransform(), D.SigmoidTransform()], dim=-1, lengths=[1, 2]),
}  # fmt: skip
VECTORS = {
    "stick breaking": (D.StickBreakingTransform(), (3,), lambda y: y[..., :-1]),
    "correlations": (D.CorrCholeskyTransform(), (6,),
                     lambda y: sq.stack([y[i, j] for i in range(4) for j in range(i)])),
    "reshape": (D.ReshapeTransform((2, 3), (6,)), (2, 3), lambda y: y),
    "independent": (D.IndependentTransform(D.ExpTransform(), 1), (3,), lambda y: y),
    "affine vectors": (D.AffineTransform(0.0, f([1.0, 2.0, -3.0]), event_dim=1), (3,), lambda y: y),
    "composed": (D.ComposeTransform([D.AffineTransform(1.0, 2.0), D.StickBreakingTransform()]), (3,),
                 lambda y: y[..., :-1]),
}  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_of_each_number(name):
    t, x = ELEMENTWISE[name], normal(4, 3)
    y = t(x)
    assert np.allclose(t.inv(y).tolist(), x.tolist())
    assert tuple(t.forward_shape((4, 3))) == tuple(y.shape) == tuple(t.inverse_shape((4, 3)))
    slopes = sq.func.grad(lambda v: t(v).sum())(x)
    found = t.log_abs_det_jacobian(x, y)
    assert np.allclose(found.tolist(), slopes.abs().log().tolist())
    assert np.allclose(t.inv.log_abs_det_jacobian(y, x).tolist(), (-found).tolist())
    if name not in ("stacked", "side by side"):
        signs = np.broadcast_to(np.asarray(sq.as_tensor(t.sign).tolist()), (4, 3))
        assert (np.sign(slopes.tolist()) == signs).all()
    assert t.bijective and (name == "identity") == (t.inv == t)


@pytest.mark.parametrize("name", VECTORS)
def test_functions_of_vectors(name):
    t, shape, free = VECTORS[name]
    x = normal(*shape)
    y = t(x)
    assert np.allclose(t.inv(y).tolist(), x.tolist())
    assert tuple(t.forward_shape(shape)) == tuple(y.shape) and tuple(t.inverse_shape(y.shape)) == shape
    size = x.numel()
    jacobian = sq.func.jacrev(lambda v: free(t(v.reshape(shape))).reshape(-1))(x.reshape(-1))
    assert jacobian.shape == (size, size)
    wanted = sq.linalg.slogdet(jacobian)[1].item()
    assert t.log_abs_det_jacobian(x, y).item() == pytest.approx(wanted)
    many = sq.stack([x, 2 * x])
    assert np.allclose(t.log_abs_det_jacobian(many, t(many))[0].item(), wanted)


def test_transforms_that_are_not_one_to_one():
    x = normal(3, 3)
    for t, region in ((D.SoftmaxTransform(), C.simplex), (D.LowerCholeskyTransform(), C.lower_cholesky),
                      (D.PositiveDefiniteTransform(), C.positive_definite), (D.AbsTransform(), C.positive)):
        y = t(x)
        assert bool(region.check(y).all()) and np.allclose(t(t.inv(y)).tolist(), y.tolist())
        assert t == type(t)() and t.codomain is region


def test_a_cache_gives_the_argument_back():
    x = normal(3)
    t = D.TanhTransform(cache_size=1)
    assert t.inv(t(x)) is x and D.TanhTransform().inv(D.TanhTransform()(x)) is not x
    again = D.ExpTransform().with_cache()
    y = again(x)
    assert again(x) is y and again.inv(y) is x
    with pytest.raises(ValueError, match="cache_size"):
        D.ExpTransform(cache_size=2)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="numbers of elements"):
        D.ReshapeTransform((2,), (3,))
    with pytest.raises(ValueError, match="n\\(n-1\\)/2"):
        D.CorrCholeskyTransform().forward_shape((4,))
    with pytest.raises(ValueError, match="does not end"):
        D.ReshapeTransform((2,), (1, 2)).forward_shape((3,))
    with pytest.raises(ValueError, match="dimensions"):
        D.StickBreakingTransform().forward_shape(())
    with pytest.raises(TypeError, match="transforms"):
        D.StackTransform([sq.exp])


REGIONS = {
    "real": C.real, "positive": C.positive, "nonnegative": C.nonnegative, "above": C.greater_than(2.0),
    "from": C.greater_than_eq(2.0), "below": C.less_than(-1.0), "unit": C.unit_interval,
    "between": C.interval(-2.0, 5.0), "half open": C.half_open_interval(1.0, 2.0), "simplex": C.simplex,
    "vector": C.independent(C.positive, 1), "triangular": C.lower_cholesky, "definite": C.positive_definite,
    "correlations": C.corr_cholesky, "joined": C.cat([C.positive, C.unit_interval], -1, [1, 2]),
    "stacked": C.stack([C.positive, C.unit_interval, C.real], -1),
}  # fmt: skip


@pytest.mark.parametrize("name", REGIONS)
def test_registries_lead_into_the_region(name):
    region = REGIONS[name]
    not_one_to_one = name in ("definite", "triangular")
    for registry in (D.transform_to,) if not_one_to_one else (D.biject_to, D.transform_to):
        t = registry(region)
        x = normal(3, 3)
        y = t(x)
        assert bool(region.check(y).all())
        assert np.allclose(t(t.inv(y)).tolist(), y.tolist())
        if registry is D.biject_to:
            assert t.bijective and np.allclose(t.inv(y).tolist(), x.tolist())


def test_matrices_have_no_transform_that_is_one_to_one():
    for region in (C.lower_cholesky, C.positive_definite):
        with pytest.raises(NotImplementedError, match="registered"):
            D.biject_to(region)


def test_regions_of_ones_own():
    class Even(C.Constraint):
        def check(self, value):
            return value % 2 == 0

    with pytest.raises(NotImplementedError, match="Even"):
        D.biject_to(Even())
    D.biject_to.register(Even, lambda constraint: D.AffineTransform(0.0, 2.0))
    assert D.biject_to(Even())(sq.tensor(3.0)).item() == 6.0
    with pytest.raises(TypeError, match="constraint"):
        D.biject_to.register(int, lambda constraint: None)


def test_checks_of_regions():
    x = sq.tensor([[0.5, 0.5], [1.0, 0.5]])
    assert C.simplex.check(x).tolist() == [True, False]
    assert C.boolean.check(sq.tensor([0.0, 1.0, 0.5])).tolist() == [True, True, False]
    assert C.nonnegative_integer.check(sq.tensor([0.0, 1.5, -1.0])).tolist() == [True, False, False]
    assert C.integer_interval(1, 3).check(sq.tensor([0, 1, 4])).tolist() == [False, True, False]
    assert C.one_hot.check(sq.tensor([[0, 1, 0], [1, 1, 0]])).tolist() == [True, False]
    assert C.real.check(sq.tensor([1.0, float("nan")])).tolist() == [True, False]
    assert C.multinomial(3).check(sq.tensor([[1, 2], [2, 2]])).tolist() == [True, False]
    assert C.symmetric.check(sq.tensor([[1.0, 2.0], [2.0, 1.0]])).item()
    assert not C.positive_definite.check(sq.tensor([[1.0, 2.0], [2.0, 1.0]])).item()
    assert C.positive_semidefinite.check(sq.tensor([[2.0, 0.0], [0.0, 1.0]])).item()
    assert not C.square.check(sq.ones(2, 3)).item() and not C.symmetric.check(sq.ones(2, 3)).item()
    assert C.lower_triangular.check(sq.ones(2, 2).tril()).item()
    assert (C.real_vector.event_dim, C.positive_definite.event_dim, C.one_hot.is_discrete) == (1, 2, True)
    assert repr(C.interval(0.0, 2.0)) == "Interval(lower_bound=0.0, upper_bound=2.0)"
    with pytest.raises(NotImplementedError, match="depends"):
        _ = C.dependent.event_dim
    with pytest.raises(ValueError, match="without its distribution"):
        C.dependent.check(x)
