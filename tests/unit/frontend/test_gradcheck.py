"""gradcheck and gradgradcheck: they pass what is right, and show both jacobians of what is not."""

from __future__ import annotations

import pytest

import squall as sq
from squall.autograd import Function, gradcheck, gradgradcheck


class WrongBy(Function):
    """x * 2 whose gradient is off by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2 * ctx.factor, None


def double(*shape: int) -> sq.Tensor:
    return sq.randn(*shape, dtype=sq.float64, requires_grad=True)


def test_right_gradients_pass() -> None:
    def product(a: sq.Tensor, b: sq.Tensor) -> sq.Tensor:
        return (a @ b).tanh()

    assert gradcheck(product, (double(2, 3), double(3, 2)), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(product, (double(2, 2), double(2, 2)), check_fwd_over_rev=True)
    assert gradcheck(lambda a, n, b: (a * n, b.sum()), (double(2), 3, double(2, 2)), check_grad_dtypes=True)
    assert gradcheck(lambda a, b: a * b, (double(2), sq.ones(2, dtype=sq.float64)))
    assert gradcheck(sq.sin, double())
    assert gradcheck(lambda a: a.max(0).indices.double() * 0 + a.sum(), double(3))


def test_wrong_gradients_are_shown() -> None:
    shown = r"(?s)Jacobian mismatch for output 0 with respect to input 0.*numerical:.*analytical:"
    with pytest.raises(RuntimeError, match=shown):
        gradcheck(lambda a: WrongBy.apply(a, 1.5), double(2))
    assert not gradcheck(lambda a: WrongBy.apply(a, 1.5), double(2), raise_exception=False)
    assert gradcheck(lambda a: WrongBy.apply(a, 1.0), double(2))
    assert gradcheck(lambda a: WrongBy.apply(a, 1.0005), double(2))
    assert not gradcheck(lambda a: WrongBy.apply(a, 1.0005), double(2), rtol=1e-5, raise_exception=False)


def test_wrong_second_derivatives_are_found() -> None:
    class Cubed(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x.detach() ** 2 * g

    x = double(2)
    assert gradcheck(Cubed.apply, x)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradgradcheck(Cubed.apply, x)


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(sq.sin, sq.ones(2, dtype=sq.float64))
    with pytest.warns(UserWarning, match="double precision"):
        gradcheck(lambda a: a * 2, sq.ones(2, requires_grad=True), eps=1e-2, atol=1e-2)
    with pytest.raises(RuntimeError, match="expected to be zero"):
        gradcheck(lambda a: a.detach() * 2, double(2))

    class Random(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g + sq.rand(1, dtype=sq.float64) * 1e-6 * g.abs().amax()

    with pytest.raises(RuntimeError, match="not reentrant"):
        gradcheck(Random.apply, double(1))
    assert gradcheck(Random.apply, double(1), nondet_tol=1e-3)

    class Affine(Function):
        forward = staticmethod(lambda ctx, x: x * 1)
        backward = staticmethod(lambda ctx, g: g + 1e-7)

    with pytest.raises(RuntimeError, match="zero gradient"):
        gradcheck(Affine.apply, double(1))
    assert gradcheck(Affine.apply, double(1), check_undefined_grad=False)
