"""Functions with a gradient of their own: saving, several outputs, double backward, errors, inside other transforms."""

from __future__ import annotations

import numpy as np
import pytest

import squall as sq
from squall.autograd import Function, once_differentiable


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        out = x.exp()
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, g):
        (out,) = ctx.saved_tensors
        return g * out


class SumAndProduct(Function):
    """Two results, a number argument, a context attribute."""

    @staticmethod
    def forward(ctx, x, y, factor):
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        return x + y, x * y * factor, factor

    @staticmethod
    def backward(ctx, g, h, _):
        x, y = ctx.saved_tensors
        return g + h * y * ctx.factor, g + h * x * ctx.factor, None


def double(*values: float) -> sq.Tensor:
    return sq.tensor(values, dtype=sq.float64, requires_grad=True)


def test_value_gradient_and_name() -> None:
    x = double(2.0, -1.0)
    y = Cube.apply(x)
    assert y.tolist() == [8.0, -1.0] and repr(y.grad_fn) == "<CubeBackward>" and not y.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [12.0, 3.0]


@pytest.mark.parametrize("function", [Cube, Exp])
def test_first_and_second_gradients_agree_with_differences(function: type[Function]) -> None:
    x = double(0.3, -0.7, 1.1)
    assert sq.autograd.gradcheck(function.apply, x, check_forward_ad=True, check_batched_grad=True)
    assert sq.autograd.gradgradcheck(function.apply, x, check_fwd_over_rev=True)


def test_third_derivative_through_a_saved_output() -> None:
    x = double(0.5)
    out = Exp.apply(x)
    for _ in range(3):
        (out,) = sq.autograd.grad(out.sum(), x, create_graph=True)
    assert np.allclose(out.detach().numpy(), np.exp(0.5))


def test_several_results_and_other_values() -> None:
    x, y = double(2.0), double(5.0)
    total, product, factor = SumAndProduct.apply(x, y, 3.0)
    assert factor == 3.0
    product.backward(retain_graph=True)
    assert (x.grad.item(), y.grad.item()) == (15.0, 6.0)
    total.backward()
    assert (x.grad.item(), y.grad.item()) == (16.0, 7.0)
    assert sq.autograd.gradgradcheck(lambda a, b: SumAndProduct.apply(a, b, 2.0)[:2], (double(0.4), double(-1.2)))


def test_needs_input_grad_and_none_gradients() -> None:
    seen = []

    class Scale(Function):
        @staticmethod
        def forward(ctx, x, y):
            seen.append(ctx.needs_input_grad)
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, (g * x if ctx.needs_input_grad[1] else None)

    x, y = double(2.0), sq.tensor([3.0], dtype=sq.float64)
    Scale.apply(x, y).backward()
    assert seen == [(True, False)] and x.grad.item() == 3.0 and y.grad is None
    assert not Scale.apply(y, y).requires_grad
    with sq.no_grad():
        assert not Scale.apply(x, y).requires_grad


def test_setup_context_form() -> None:
    class Square(Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0])

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0] * g

    assert sq.autograd.gradgradcheck(Square.apply, double(1.5, -0.2))


def test_materialized_gradients() -> None:
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, g, h):
            seen.append(h)
            return g, None

    x = double(1.0)
    Two.apply(x, True)[0].backward()
    Two.apply(x, False)[0].backward()
    assert seen[0].tolist() == [0.0] and seen[1] is None


def test_non_differentiable_outputs() -> None:
    class Sorted(Function):
        @staticmethod
        def forward(ctx, x):
            rounded = x.round()
            ctx.mark_non_differentiable(rounded)
            return x * 2, rounded

        @staticmethod
        def backward(ctx, g, _):
            return 2 * g

    a, b = Sorted.apply(double(1.2))
    assert a.requires_grad and not b.requires_grad


def test_mark_dirty_returns_the_argument() -> None:
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = double(3.0)
    y = x * 1
    assert Twice.apply(y) is y and y.tolist() == [6.0]
    y.sum().backward()
    assert x.grad.tolist() == [2.0]
    with pytest.raises(RuntimeError, match="leaf Variable"):
        Twice.apply(x)
    with pytest.raises(RuntimeError, match="mark_dirty on a view"):
        Twice.apply((x * 1)[:1])


def test_returning_an_argument_gives_another_tensor() -> None:
    class Pass(Function):
        forward = staticmethod(lambda ctx, x: x)
        backward = staticmethod(lambda ctx, g: g * 10)

    x = double(1.0)
    y = Pass.apply(x)
    assert y is not x and x.is_leaf
    y.backward()
    assert x.grad.item() == 10.0


def test_once_differentiable_refuses_the_second_derivative() -> None:
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0] * g

    x = double(3.0)
    Once.apply(x).backward()
    assert x.grad.item() == 6.0
    (g,) = sq.autograd.grad(Once.apply(x), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.backward()


def test_saved_tensors_modified_in_place_are_found() -> None:
    x = double(2.0)
    y = x * 1
    out = Cube.apply(y)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    out = Exp.apply(x)
    out.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_errors_name_the_function() -> None:
    class Short(Function):
        forward = staticmethod(lambda ctx, x, y: x * y)
        backward = staticmethod(lambda ctx, g: g)

    class Wide(Function):
        forward = staticmethod(lambda ctx, x: x * 1)
        backward = staticmethod(lambda ctx, g: sq.ones(3, dtype=sq.float64))

    class Text(Function):
        forward = staticmethod(lambda ctx, x: x * 1)
        backward = staticmethod(lambda ctx, g: "gradient")

    x = double(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"ShortBackward returned an incorrect number .* \(expected 2, got 1\)"):
        Short.apply(x, x).sum().backward()
    with pytest.raises(RuntimeError, match="WideBackward returned an invalid gradient at index 0"):
        Wide.apply(x).sum().backward()
    with pytest.raises(TypeError, match="Text"):
        Text.apply(x).sum().backward()
    with pytest.raises(TypeError, match="save_for_backward"):
        sq.frontend.custom.FunctionContext(()).save_for_backward(1.0)
    with pytest.raises(NotImplementedError):
        Function.apply(x)
    with pytest.raises(RuntimeError, match="Legacy"):
        Cube()(x)


def test_second_backward_needs_retain_graph() -> None:
    x = double(2.0)
    y = Cube.apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 24.0
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_gradients_are_summed_to_broadcast_arguments() -> None:
    class Add(Function):
        forward = staticmethod(lambda ctx, x, y: x + y)
        backward = staticmethod(lambda ctx, g: (g, g))

    x, y = sq.ones(2, 3, requires_grad=True), sq.ones(3, requires_grad=True)
    Add.apply(x, y).sum().backward()
    assert y.grad.tolist() == [2.0, 2.0, 2.0]


def test_inside_vmap_its_own_gradient_is_used() -> None:
    class Clipped(Function):
        """Identity whose gradient is limited."""

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g.clamp(-0.5, 0.5)

    x = sq.tensor(np.random.default_rng(0).standard_normal((4, 3)), requires_grad=True)
    weight = sq.tensor([1.0, 0.2, -3.0], dtype=sq.float64, requires_grad=True)
    out = sq.vmap(lambda v: (Clipped.apply(v) * weight).sum())(x)
    out.sum().backward()
    assert np.allclose(x.grad.numpy(), np.broadcast_to([0.5, 0.2, -0.5], (4, 3)))
    assert np.allclose(weight.grad.numpy(), x.detach().numpy().sum(0))
    per = sq.vmap(sq.func.grad(lambda v: (Clipped.apply(v) * weight.detach()).sum()))(x.detach())
    assert np.allclose(per.numpy(), np.broadcast_to([0.5, 0.2, -0.5], (4, 3)))


def test_inside_compile() -> None:
    @sq.compile
    def step(x):
        x = x.detach().requires_grad_()
        (g,) = sq.autograd.grad(Cube.apply(x).sum(), x)
        return g

    assert step(sq.tensor([1.0, 2.0])).tolist() == [3.0, 12.0]
    assert step(sq.tensor([3.0, 0.0])).tolist() == [27.0, 0.0]
