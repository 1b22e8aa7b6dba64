"""History through a call of a compiled function: gradients outside have the bits of the uncompiled function
(DESIGN S6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn
from squall.base.errors import AutogradError
from squall.models.cnn import DigitsCNN
from squall.models.mlp import MLP


def data(*shape: int, seed: int = 0) -> Any:
    return sq.tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def bits(value: Any) -> bytes:
    return np.asarray(value.detach().clone().tolist()).tobytes()


def fill(model: nn.Module) -> nn.Module:
    """The same weights each time."""
    with sq.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(data(*parameter.shape, seed=number) * 0.3)
    return model


def gradients(make: Callable, wrap: Callable, batch: tuple, steps: int = 3) -> list[bytes]:
    model = fill(make())
    apply = wrap(model)
    seen = []
    for i in range(steps):
        model.zero_grad()
        x = data(*batch, seed=i).requires_grad_()
        out = apply(x)
        loss = F.cross_entropy(out, sq.tensor([j % out.shape[1] for j in range(batch[0])]))
        loss.backward()
        seen += [
            bits(loss),
            bits(x.grad),
            *(bits(p.grad) for p in model.parameters()),
            *(bits(b) for b in model.buffers()),
        ]
    return seen


@pytest.mark.parametrize(
    ("make", "batch"),
    [
        (lambda: MLP(6, (8,), 4), (5, 6)),
        (lambda: DigitsCNN(width=4, dropout=0.0), (3, 1, 8, 8)),
        (lambda: nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3)), (4, 6)),
    ],
)
def test_gradients_of_a_compiled_module(make: Callable, batch: tuple) -> None:
    expected = gradients(make, lambda m: m, batch)
    assert gradients(make, sq.compile, batch) == expected


def test_statistics_of_batch_norm_move_once_a_call() -> None:
    model = fill(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    apply = sq.compile(model)
    for i in range(3):
        apply(data(5, 3, seed=i)).sum().backward()
    assert model[1].num_batches_tracked.item() == 3


def test_backward_twice_with_retain_graph() -> None:
    weight = nn.Parameter(data(4))
    y = sq.compile(lambda x: (x * weight).tanh())(data(4, seed=1)).sum()
    y.backward(retain_graph=True)
    once = weight.grad.clone()
    y.backward()
    assert bits(weight.grad) == bits(once * 2)
    with pytest.raises(AutogradError, match="second time"):
        y.backward()


@pytest.mark.parametrize("order", [2, 3])
def test_gradients_of_gradients(order: int) -> None:
    def derivatives(f: Callable) -> list[Any]:
        x = data(5).requires_grad_()
        w = data(5, seed=2).requires_grad_()
        value, seen = f(x, w).sum(), []
        for _ in range(order):
            gx, gw = sq.autograd.grad(value, (x, w), create_graph=True)
            value = (gx * gx).sum() + (gx * gw).sum()
            seen += [gx.detach(), gw.detach()]
        value.backward()
        return [*seen, x.grad, w.grad]

    def f(x: Any, w: Any) -> Any:
        return (x * w).tanh() * x.exp() + w.sigmoid()

    for a, b in zip(derivatives(f), derivatives(sq.compile(f)), strict=True):
        assert np.allclose(a.tolist(), b.tolist(), rtol=2e-5, atol=2e-6)


def test_backward_runs_nothing_of_forward_again() -> None:
    w, v = nn.Parameter(data(4, 4)), nn.Parameter(data(4, 4, seed=1))
    apply = sq.compile(lambda x: ((x @ w).tanh() @ v).exp())
    apply(data(3, 4)).sum().backward()
    (program,) = apply.programs
    names = [n.op.name for n in program.tracked.first.graph.order()]
    assert not {"tanh", "exp"} & set(names)
    assert (
        sum(name in ("matmul", "contract") for name in names) == 3
    )  # of w, of what tanh gave, of v; none for x
    assert sum(n.op.name in ("matmul", "contract") for n in program.tracked.forward.order()) == 2


def test_some_outputs_get_no_gradient() -> None:
    def both(x: Any) -> tuple:
        hidden = (x * 2).tanh()
        return hidden.sum(), (hidden * x).exp(), hidden.detach()

    def run(f: Callable) -> list[bytes]:
        seen = []
        for which in (0, 1, (0, 1)):
            x = data(4).requires_grad_()
            out = f(x)
            assert not out[2].requires_grad
            chosen = (which,) if isinstance(which, int) else which
            sum(out[i].sum() for i in chosen).backward()
            seen.append(x.grad.tolist())
        return seen

    assert np.allclose(run(both), run(sq.compile(both)), rtol=1e-6)


def test_an_argument_with_history() -> None:
    def run(f: Callable) -> tuple:
        w = data(4).requires_grad_()
        f(w * 3).sum().backward()
        return bits(w.grad)

    def f(x: Any) -> Any:
        return x * x.sin()

    assert run(f) == run(sq.compile(f))


def test_a_tensor_from_outside_with_history() -> None:
    def run(wrap: Callable) -> list[bytes]:
        w = data(4).requires_grad_()
        hidden = w * 3
        f = wrap(lambda x: x * hidden)
        seen = []
        for i in range(2):
            w.grad = None
            f(data(4, seed=i)).sum().backward(retain_graph=True)
            seen.append(bits(w.grad))
        return seen

    assert run(lambda f: f) == run(sq.compile)


def test_an_argument_written_in_place_with_history() -> None:
    def scale(x: Any, w: Any) -> Any:
        x.mul_(w)
        return x.sum()

    def run(f: Callable) -> list:
        w = data(4).requires_grad_()
        x = data(4, seed=1) * 2
        total = f(x, w)
        (total + (x * x).sum()).backward()
        return [x.requires_grad, bits(x), bits(w.grad)]

    assert run(scale) == run(sq.compile(scale))


def test_memory_changed_between_forward_and_backward_is_an_error() -> None:
    w = nn.Parameter(data(3))
    y = sq.compile(lambda x: (x * w).sum())(data(3).requires_grad_())
    with sq.no_grad():
        w.add_(1)
    with pytest.raises(AutogradError, match="modified by an inplace operation"):
        y.backward()


def test_a_loss_returned_after_backward_inside_cannot_go_back_again() -> None:
    w = nn.Parameter(data(3))

    @sq.compile
    def step(x: Any) -> Any:
        loss = (x * w * w).sum()
        loss.backward()
        return loss

    loss = step(data(3))
    assert loss.requires_grad
    with pytest.raises(AutogradError, match="second time"):
        loss.backward()


def test_a_symbolic_batch_with_history() -> None:
    def run(wrap: Callable) -> list[bytes]:
        model = fill(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)))
        apply = wrap(model)
        seen = []
        for n in (4, 7, 64, 2):
            model.zero_grad()
            apply(data(n, 3, seed=n)).square().mean().backward()
            seen += [bits(p.grad) for p in model.parameters()]
        return seen

    batch = sq.Dim("batch", min=2, max=64)
    assert run(lambda m: m) == run(lambda m: sq.compile(m, dynamic_shapes=({0: batch},)))


def test_dropout_inside_draws_once() -> None:
    def run(wrap: Callable) -> list:
        model = fill(nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2)))
        apply = wrap(model)
        sq.manual_seed(1)
        seen = []
        for i in range(3):
            model.zero_grad()
            apply(data(4, 3, seed=i)).sum().backward()
            seen += [bits(p.grad) for p in model.parameters()]
        return [*seen, sq.rand(2).tolist()]

    assert run(lambda m: m) == run(sq.compile)


def test_hooks_run_once() -> None:
    def run(wrap: Callable) -> list[bytes]:
        w = data(4).requires_grad_()
        w.register_hook(lambda g: g * 0.5)
        f = wrap(lambda x: (x * w).tanh())
        f(data(4, seed=1)).sum().backward()
        return [bits(w.grad)]

    assert run(lambda f: f) == run(sq.compile)


@pytest.mark.parametrize(
    "f", [lambda x, w: (x * w).tanh(), lambda x, w: w * x.exp(), lambda x, w: (x * w).sin(), lambda x, w: x.sigmoid()]
)
def test_second_order_has_the_bits_of_uncompiled_code_where_no_sum_crosses_the_calls(f: Callable) -> None:
    """Each of the two calls, forward and its gradient, hands over one sum. Where uncompiled code adds three and more
    contributions it may add one of the second call between two of the first, which no sum of two sums repeats."""

    def derivatives(f: Callable) -> list[bytes]:
        x, w = data(3, 4).requires_grad_(), data(3, 4, seed=1).requires_grad_()
        gx, gw = sq.autograd.grad(f(x, w).sum() + 0 * w.sum(), (x, w), create_graph=True)
        second = sq.autograd.grad((gx * gx).sum(), (x, w), retain_graph=True, allow_unused=True)
        mixed = sq.autograd.grad((gx * gw).sum(), (x, w), allow_unused=True)
        return [bits(g) for g in (gx, gw, *second, *mixed) if g is not None]

    assert derivatives(f) == derivatives(sq.compile(f))


def test_gradients_of_leaves_made_inside_are_results() -> None:
    def inside(x: sq.Tensor) -> tuple:
        leaf = sq.zeros(3, requires_grad=True)
        ((leaf + x) ** 2).sum().backward()
        return leaf.grad, leaf

    compiled = sq.compile(inside)
    for scale in (1.0, 2.0, 3.0):
        grad, leaf = compiled(sq.ones(3) * scale)
        assert grad.tolist() == leaf.grad.tolist() == [2.0 * scale] * 3
        assert leaf.requires_grad and leaf.is_leaf and not grad.requires_grad
        (leaf * 5.0).sum().backward()  # what is returned is a leaf as any other
        assert leaf.grad.tolist() == [2.0 * scale + 5.0] * 3
    parameter = sq.ones(3, requires_grad=True)

    @sq.compile
    def both(x: sq.Tensor) -> tuple:
        leaf = (x * 1.0).detach().requires_grad_()
        (leaf * leaf * parameter).sum().backward()
        return leaf.grad, parameter.grad

    for turn in (1.0, 2.0, 3.0):
        own, outer = both(sq.ones(3))
        assert own.tolist() == [2.0] * 3 and outer is parameter.grad and outer.tolist() == [turn] * 3

    @sq.compile
    def beside_history(x: sq.Tensor) -> tuple:
        leaf = sq.zeros(3, requires_grad=True)
        ((leaf + x.detach()) ** 2).sum().backward()
        return leaf, x * leaf.grad

    x = sq.ones(3, requires_grad=True)
    leaf, product = beside_history(x)
    product.sum().backward()
    assert leaf.grad.tolist() == x.grad.tolist() == [2.0] * 3
