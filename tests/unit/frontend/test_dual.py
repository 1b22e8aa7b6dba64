"""Dual Tensors: tangents against differences, through every way values are made, and what ends them."""

import numpy as np
import pytest

import squall as sq
import squall.autograd.forward_ad as forward
from squall.base.errors import AutogradError

RNG = np.random.default_rng(3)
X, T, W = RNG.normal(size=4), RNG.normal(size=4), RNG.normal(size=(3, 4))


def slope(function, step=1e-6):
    up, down = (function(sq.tensor(X + s * T)).detach().numpy().copy() for s in (step, -step))
    return (up - down) / (2 * step)


def filled(x):
    out = sq.zeros(4, dtype=sq.float64)
    out[1:] = x[:3]
    out.mul_(x)
    out += x.flip(0)
    return out


def printed(x):
    y = x * 3
    assert "tensor(" in repr(y) and y.sum().item() == y.sum().item()  # evaluated; still dual
    return y * y


def unrecorded(x):
    with sq.no_grad():
        return x * x.sin()


def checkpointed(x):
    return sq.checkpoint(lambda v: v.exp().cumsum(0), x, use_reentrant=False)


WAYS = {
    "elementwise": lambda x: (x.sin() * x.exp()).cumsum(0),
    "linear": lambda x: sq.nn.functional.linear(x, sq.tensor(W)),
    "views": lambda x: x.reshape(2, 2).t()[0].expand(3, 2), "writes": filled, "values asked for": printed,
    "no_grad": unrecorded, "vmap": lambda x: sq.vmap(lambda v: v * v.exp())(x),
    "compile": sq.compile(lambda x: (x * x).cumsum(0)), "checkpoint": checkpointed,
    "scan": lambda x: sq.scan(lambda c, v: (c * v, c), sq.ones((), dtype=sq.float64), x)[1],
    "cond": lambda x: sq.cond(x.sum() > -100, lambda v: v * v, lambda v: v, x),
    "reverse inside": lambda x: sq.func.grad(lambda v: (v**3).sum())(x), "sort": lambda x: x.sort()[0] * x,
    "indexing": lambda x: x[sq.tensor([3, 0, 0])] ** 2,
}


@pytest.mark.parametrize("way", WAYS)
def test_tangents(way):
    function = WAYS[way]
    with forward.dual_level():
        dual = forward.make_dual(sq.tensor(X), sq.tensor(T))
        primal, tangent = forward.unpack_dual(function(dual))
        assert not primal.requires_grad and forward.unpack_dual(primal).tangent is None
        np.testing.assert_allclose(tangent.numpy(), slope(function), rtol=1e-7, atol=1e-8)
        np.testing.assert_array_equal(primal.numpy(), function(sq.tensor(X)).numpy())


@pytest.mark.parametrize("create_graph", [False, True])
def test_forward_over_reverse(create_graph):
    x = sq.tensor(X, requires_grad=True)

    def gradient(values):
        return sq.func.grad(lambda v: (v**4).sum() * v.sin().sum())(values)

    with forward.dual_level():
        dual = forward.make_dual(x, sq.tensor(T))
        (g,) = sq.autograd.grad((dual**4).sum() * dual.sin().sum(), x, create_graph=create_graph)
        (g * 0).sum().item()  # everything pending is evaluated
        np.testing.assert_allclose(forward.unpack_dual(g).tangent.detach().numpy(), slope(gradient), rtol=1e-6)
        loss = (dual * dual).sum()
    loss.backward()  # a dual Tensor keeps its history
    np.testing.assert_allclose(x.grad.numpy(), 2 * X)


def test_of_tangents_there_may_be_gradients():
    t = sq.tensor(T, requires_grad=True)
    with forward.dual_level():
        dual = forward.make_dual(sq.tensor(X), t)
        assert forward.unpack_dual(dual.exp()).tangent.tolist() == pytest.approx((np.exp(X) * T).tolist())


def test_what_has_no_tangent():
    with forward.dual_level():
        dual = forward.make_dual(sq.tensor(X), sq.tensor(T))
        detached = (dual * 2).detach()
        both = dual * detached
        assert forward.unpack_dual(detached).tangent is None and detached.tolist() == (X * 2).tolist()
        np.testing.assert_allclose(forward.unpack_dual(both).tangent.numpy(), T * X * 2)
        for other in (sq.ones(3), dual > 0, dual.argmax()):
            assert forward.unpack_dual(other).tangent is None
        with pytest.raises(RuntimeError, match="numpy"):
            (dual * 2).numpy()  # memory shared with NumPy has no tangent
    assert forward.unpack_dual(both) == (both, None)


class Cube(sq.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3, x.shape[0]

    @staticmethod
    def backward(ctx, g, _):
        return 3 * ctx.saved_tensors[0] ** 2 * g


class WithTangent(Cube):
    @staticmethod
    def jvp(ctx, t):
        return 10 * ctx.saved_tensors[0] * t, None


def test_functions_of_your_own():
    x = sq.tensor(X, requires_grad=True)
    with forward.dual_level():
        dual = forward.make_dual(x, sq.tensor(T))
        y, count = WithTangent.apply(dual)
        assert count == 4
        np.testing.assert_allclose(forward.unpack_dual(y * 1).tangent.detach().numpy(), 10 * X * T)
        y.sum().backward()
        np.testing.assert_allclose(x.grad.tolist(), 3 * X**2)
        assert forward.unpack_dual(WithTangent.apply(sq.tensor(X))[0]).tangent is None
        with pytest.raises(RuntimeError, match=r"forward AD with Cube .* jvp"):
            Cube.apply(dual)


def test_levels():
    with pytest.raises(RuntimeError, match="no level exists"):
        forward.make_dual(sq.tensor(X), sq.tensor(T))
    level = forward.enter_dual_level()
    with pytest.raises(RuntimeError, match="levels do not nest"):
        forward.enter_dual_level()
    forward.exit_dual_level(level=level)
    with pytest.raises(AutogradError, match="not the last one"):
        forward.exit_dual_level()
    with pytest.raises(ZeroDivisionError), forward.dual_level():
        1 / 0
    with forward.dual_level():
        assert forward.unpack_dual(sq.ones(1)).tangent is None


@pytest.mark.parametrize("tangent, said", [
    (sq.ones(3, dtype=sq.float64), "different size"), (sq.ones(4), "dtype"), (sq.ones(4, dtype=sq.int64), "dtype")])
def test_what_cannot_be_dual(tangent, said):
    with forward.dual_level():
        with pytest.raises(RuntimeError, match=said):
            forward.make_dual(sq.tensor(X), tangent)
        with pytest.raises(RuntimeError, match="floating or complex"):
            forward.make_dual(sq.tensor([1]), sq.tensor([1]))
