"""vmap: against loops, nested, under gradients, random numbers, errors; kernels do not grow with the batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import squall as sq
from squall import nn
from squall.frontend.region import ElementTrace, Region
from squall.ir.node import toposort
from squall.nn import functional as F

rng = np.random.default_rng(3)


def floats(*shape: int) -> sq.Tensor:
    return sq.tensor(rng.standard_normal(shape))


def looped(function: Callable, *batches: sq.Tensor) -> list:
    """Results of a function by element, stacked."""
    rows = [function(*(b[i] for b in batches)) for i in range(batches[0].shape[0])]
    return [sq.stack(parts) for parts in zip(*rows)] if isinstance(rows[0], tuple) else [sq.stack(rows)]


def assert_close(made: object, expected: object, atol: float = 1e-10) -> None:
    made, expected = (x if isinstance(x, (list, tuple)) else [x] for x in (made, expected))
    for m, e in zip(made, expected, strict=True):
        assert m.shape == e.shape and m.dtype is e.dtype
        assert np.allclose(m.detach().numpy(), e.detach().numpy(), atol=atol, equal_nan=True)


WEIGHT, KERNEL, TABLE = floats(4, 5), floats(3, 2, 3, 3), floats(7, 4)
INDEX = sq.tensor(rng.integers(0, 3, (6, 2)))

CASES = {
    "elementwise": (lambda x, y: x.exp() * y + 1.0, (floats(6, 4), floats(6, 4))),
    "ranks that differ": (lambda x, y: x * y, (floats(6, 4), floats(6, 3, 4))),
    "numbers": (lambda x, y: x * 2 - y**2, (floats(6), floats(6))),
    "reductions": (lambda x: (x.sum(), x.mean(0), x.amax(1, keepdim=True), x.argmax(1), x.var(1), x.logsumexp(0)),
                   (floats(6, 3, 4),)),
    "matmul": (lambda x: x @ WEIGHT, (floats(6, 3, 4),)),
    "vector by matrix": (lambda x: x @ WEIGHT, (floats(6, 4),)),
    "both batched": (lambda x, y: x @ y, (floats(6, 3, 4), floats(6, 4, 2))),
    "dot": (sq.dot, (floats(6, 4), floats(6, 4))),
    "einsum": (lambda x: sq.einsum("ii->i", x) + sq.einsum("ij,jk->k", x, x), (floats(6, 4, 4),)),
    "views": (lambda x: (x.T, x[1:, ::2], x[0], x.reshape(-1), x.unsqueeze(1), x.diagonal(), x.expand(2, 3, 4),
                         x[..., None]), (floats(6, 3, 4),)),
    "movement": (lambda x: (x.flip(0), x.roll(1, 1), x.repeat(2, 1), sq.cat((x, x), 1), sq.stack((x, x)), x.tril()),
                 (floats(6, 3, 4),)),
    "unbatched result": (lambda x: WEIGHT * 2, (floats(6),)),
    "indexing": (lambda x, i: (x[i], TABLE[i], x.index_select(0, i), x[:, i]), (floats(6, 3, 3), INDEX)),
    "gather and scatter": (lambda x, i: (x.gather(0, i), x.scatter(0, i, x[:2]), x.scatter_add(0, i, x[:2])),
                           (floats(6, 3), INDEX)),
    "where and masks": (lambda x: sq.where(x > 0, x, 0.0).masked_fill(x > 1, 9.0), (floats(6, 4),)),
    "softmax": (lambda x: (x.softmax(-1), x.log_softmax(0)), (floats(6, 3, 4),)),
    "scan and sort": (lambda x: (x.cumsum(1), x.cumprod(0), *x.sort(1), *x.topk(2, 0)), (floats(6, 3, 4),)),
    "convolution": (lambda x: F.conv2d(x, KERNEL, stride=2, padding=1), (floats(6, 1, 2, 7, 7),)),
    "convolution of filters": (lambda x, w: F.conv2d(x, w, padding=1), (floats(6, 2, 2, 5, 5), floats(6, 3, 2, 3, 3))),
    "pooling": (lambda x: (F.max_pool2d(x, 2), F.avg_pool2d(x, 2)), (floats(6, 1, 2, 6, 6),)),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                  (floats(6, 2, 5, 4), floats(6, 2, 5, 4), floats(6, 2, 5, 3))),
    "layer norm": (lambda x: F.layer_norm(x, (4,)), (floats(6, 3, 4),)),
    "cross entropy": (lambda x, i: F.cross_entropy(x, i), (floats(6, 2, 3), INDEX)),
    "written in place": (lambda x: _filled(x), (floats(6, 3),)),
    "casts": (lambda x: (x.float(), x.long(), x > 0), (floats(6, 4),)),
}


def _filled(x: sq.Tensor) -> sq.Tensor:
    out = sq.zeros(2, 3, dtype=sq.float64)
    out[1] = x
    out[0, 1:] += x[1:] * 2
    out.mul_(x.sum())
    return out


@pytest.mark.parametrize("name", CASES)
def test_against_a_loop(name: str) -> None:
    function, batches = CASES[name]
    assert_close(sq.vmap(function)(*batches), looped(function, *batches))


@pytest.mark.parametrize("name", ["elementwise", "matmul", "views", "convolution", "attention", "softmax",
                                  "written in place", "layer norm", "both batched", "gather and scatter"])
def test_gradients_through_it_against_a_loop(name: str) -> None:
    function, batches = CASES[name]
    batches = tuple(b.detach().requires_grad_() if b.is_floating_point() else b for b in batches)
    leaves = [b for b in batches if b.is_floating_point()]

    def loss(results: object) -> sq.Tensor:
        results = results if isinstance(results, (list, tuple)) else [results]
        return sum((r.sin() * r).sum() for r in results)

    made = sq.autograd.grad(loss(sq.vmap(function)(*batches)), leaves, create_graph=True)
    expected = sq.autograd.grad(loss(looped(function, *batches)), leaves, create_graph=True)
    assert_close(made, expected, 1e-8)
    second = [sq.autograd.grad(sum((g**2).sum() for g in first), leaves) for first in (made, expected)]
    assert_close(*second, 1e-6)


def test_captured_weights_get_the_sum_over_the_batch() -> None:
    weight, bias = floats(4, 3).requires_grad_(), floats(3).requires_grad_()
    hidden = weight * 2  # captured with history of its own
    x = floats(5, 4).requires_grad_()
    made = sq.vmap(lambda v: sq.tanh(v @ hidden + bias))(x)
    expected = sq.tanh(x @ hidden + bias)
    for out in (made, expected):
        (out**2).sum().backward(retain_graph=True)
    doubled = [weight.grad / 2, bias.grad / 2, x.grad / 2]
    weight.grad = bias.grad = x.grad = None
    (expected**2).sum().backward()
    assert_close(doubled, [weight.grad, bias.grad, x.grad])


def test_history_inside_is_what_it_says() -> None:
    x, w = floats(4, 3).requires_grad_(), floats(3).requires_grad_()

    def stopped(v: sq.Tensor) -> sq.Tensor:
        with sq.no_grad():
            factor = (v * w).sum()
        return v.detach() * w * factor

    sq.vmap(stopped)(x).sum().backward()
    assert x.grad is None
    values, weights = x.detach().numpy(), w.detach().numpy()
    assert np.allclose(w.grad.numpy(), (values * (values @ weights)[:, None]).sum(0))


def test_gradients_taken_inside_without_graph_are_constants_outside() -> None:
    x = floats(4).requires_grad_()

    def inner(v: sq.Tensor) -> sq.Tensor:
        leaf = v.detach().requires_grad_()
        (g,) = sq.autograd.grad(leaf**3, leaf)
        return g * v

    out = sq.vmap(inner)(x)
    assert_close(out, 3 * x**3)
    (g,) = sq.autograd.grad(out.sum(), x)
    assert_close(g, 3 * x.detach() ** 2)


def test_in_dims_and_out_dims() -> None:
    x, y = floats(3, 6), floats(6, 4)
    made = sq.vmap(lambda a, b: a[:, None] * b, in_dims=(1, 0), out_dims=2)(x, y)
    assert_close(made, sq.einsum("ib,bj->ijb", x, y))
    made = sq.vmap(lambda a, b: a @ b, in_dims=(0, None))(y, floats(4, 2) * 0 + 1)
    assert made.shape == (6, 2)
    nested = sq.vmap(lambda d: {"s": d["a"] + d["b"][0], "p": (d["a"] * 2,)}, in_dims=({"a": -1, "b": 0},),
                     out_dims={"s": 0, "p": (1,)})({"a": x, "b": [y[:, :3]]})
    assert_close(nested["s"], x.T + y[:, :3])
    assert nested["p"][0].shape == (3, 6)
    same = sq.vmap(lambda a: (a, WEIGHT), out_dims=(0, None))(x)
    assert same[1].shape == WEIGHT.shape


def test_nested() -> None:
    x, y = floats(3, 4), floats(5, 4)
    made = sq.vmap(lambda a: sq.vmap(lambda b: sq.dot(a, b))(y))(x)
    assert_close(made, x @ y.T)
    made = sq.vmap(sq.vmap(sq.vmap(lambda a: a.sum() * 2)))(floats(2, 3, 4, 5))
    assert made.shape == (2, 3, 4)
    weight = floats(4).requires_grad_()
    out = sq.vmap(lambda a: sq.vmap(lambda b: (a * b * weight).sum())(y))(x)
    (g,) = sq.autograd.grad((out**2).sum(), weight, create_graph=True)
    (e,) = sq.autograd.grad((((x[:, None] * y) * weight).sum(-1) ** 2).sum(), weight, create_graph=True)
    assert_close(g, e)
    assert_close(sq.autograd.grad(g.sum(), weight), sq.autograd.grad(e.sum(), weight))


def test_chunks_give_the_same() -> None:
    x = floats(7, 3)
    assert_close(sq.vmap(lambda v: v.exp().sum(), chunk_size=3)(x), sq.vmap(lambda v: v.exp().sum())(x))


def test_kernels_do_not_depend_on_the_batch() -> None:
    def count(size: int) -> int:
        x = sq.ones(size, 3, 5)
        return len(toposort([sq.vmap(lambda v: F.layer_norm(v.tanh() @ v.T, (3,)).softmax(0).sum())(x).node]))

    assert count(2) == count(50)


def test_functional_module_per_sample_gradients() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    parameters = {k: v.detach() for k, v in model.named_parameters()}
    x, t = sq.randn(6, 4), sq.tensor([0, 1, 2, 0, 1, 2])

    def loss(given: dict, sample: sq.Tensor, target: sq.Tensor) -> sq.Tensor:
        return F.cross_entropy(sq.functional_call(model, given, (sample.unsqueeze(0),)), target.unsqueeze(0))

    made = sq.vmap(sq.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, t)
    for i in range(6):
        model.zero_grad()
        F.cross_entropy(model(x[i:i + 1]), t[i:i + 1]).backward()
        for name, parameter in model.named_parameters():
            assert np.allclose(made[name][i].numpy(), parameter.grad.numpy(), atol=1e-6)


def test_ensembles_over_stacked_parameters() -> None:
    models = [nn.Linear(3, 2) for _ in range(4)]
    stacked = {k: sq.stack([dict(m.named_parameters())[k].detach() for m in models]) for k in ("weight", "bias")}
    x = sq.randn(5, 3)
    made = sq.vmap(lambda p: sq.functional_call(models[0], p, (x,)))(stacked)
    for i, model in enumerate(models):
        assert np.allclose(made[i].numpy(), model(x).detach().numpy(), atol=1e-6)


def test_randomness() -> None:
    x = sq.zeros(5, 1000)
    with pytest.raises(RuntimeError, match="randomness"):
        sq.vmap(lambda v: v + sq.rand(1000))(x)
    sq.manual_seed(0)
    same = sq.vmap(lambda v: v + sq.randn(1000), randomness="same")(x).numpy()
    assert (same == same[0]).all() and abs(same.mean()) < 0.2
    sq.manual_seed(0)
    different = sq.vmap(lambda v: v + sq.randn(1000), randomness="different")(x).numpy()
    assert len(np.unique(different)) > 4900
    sq.manual_seed(0)
    again = sq.vmap(lambda v: v + sq.randn(1000), randomness="different")(x).numpy()
    assert (again == different).all()
    assert not (sq.randn(1000).numpy() == different[1]).any()
    alone = sq.vmap(lambda v: sq.rand(3), randomness="different")(x).numpy()
    assert len(np.unique(alone)) == 15
    nested = sq.vmap(sq.vmap(lambda v: sq.rand(2), randomness="different"), randomness="different")(sq.zeros(3, 4))
    assert nested.shape == (3, 4, 2) and len(np.unique(nested.numpy())) == 24


def test_dropout_draws_by_element_and_its_gradient_keeps_the_mask() -> None:
    x = sq.ones(4, 2000, requires_grad=True)
    out = sq.vmap(lambda v: F.dropout(v, 0.5), randomness="different")(x)
    kept = out.detach().numpy() > 0
    assert 0.4 < kept.mean() < 0.6 and (kept[0] != kept[1]).any()
    out.sum().backward()
    assert np.array_equal(x.grad.numpy(), out.detach().numpy())


def test_asking_for_a_value_is_an_error_but_not_of_what_is_the_same_for_all() -> None:
    with pytest.raises(sq.base.errors.TraceError, match="value of a traced tensor"):
        sq.vmap(lambda v: v if v.sum() > 0 else -v)(floats(3, 2))
    with pytest.raises(sq.base.errors.TraceError):
        sq.vmap(lambda v: v * v.sum().item())(floats(3, 2))
    flag = sq.ones(3) * 2
    assert sq.vmap(lambda v: v * 2 if flag.sum() > 5 else v)(sq.ones(3)).tolist() == [2.0, 2.0, 2.0]
    assert sq.vmap(lambda v: v[flag > 1])(sq.ones(2, 3)).shape == (2, 3)


def test_writing_outside() -> None:
    total, count = sq.zeros(3), sq.zeros(())
    with pytest.raises(sq.base.errors.TraceError, match="written in place"):
        sq.vmap(lambda v: total.add_(v))(sq.ones(2, 3))
    assert total.tolist() == [0.0, 0.0, 0.0]

    def counted(v: sq.Tensor) -> sq.Tensor:
        count.add_(1)
        return v + count

    assert sq.vmap(counted)(sq.zeros(4)).tolist() == [1.0] * 4
    assert count.item() == 1.0


def test_an_error_inside_leaves_no_trace() -> None:
    box = sq.zeros(2)

    def broken(v: sq.Tensor) -> sq.Tensor:
        box.add_(1)
        raise KeyError("inside")

    with pytest.raises(KeyError):
        sq.vmap(broken)(sq.ones(3))
    assert box.tolist() == [0.0, 0.0] and (sq.ones(2) * 2).sum().item() == 4.0


def test_arguments_that_do_not_fit() -> None:
    x = sq.ones(2, 3)
    for call, message in [(lambda: sq.vmap(sq.sin)(1.0), "non-Tensor"), (lambda: sq.vmap(sq.sin)(), "no inputs"),
                          (lambda: sq.vmap(sq.add)(x, sq.ones(3, 3)), r"sizes \[2, 3\]"),
                          (lambda: sq.vmap(sq.sin, in_dims=2)(x), "in_dim=2"),
                          (lambda: sq.vmap(sq.add, in_dims=(0,))(x, x), "not compatible"),
                          (lambda: sq.vmap(sq.sin, in_dims=None)(x), "at least one"),
                          (lambda: sq.vmap(lambda v: 3)(x), "only Tensors"),
                          (lambda: sq.vmap(sq.sin, out_dims=(0, 1))(x), "out_dims"),
                          (lambda: sq.vmap(sq.sin, out_dims=None)(x), "out_dims is None"),
                          (lambda: sq.vmap(sq.sin, randomness="some"), "Only allowed")]:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_region_keeps_its_placeholders_apart() -> None:
    region = Region("test", 2, "error")
    outer = sq.ones(2, 3)
    inner = region.placeholder(outer.node, None)
    with ElementTrace(region):
        made = inner * 2
    assert inner.shape == (3,) and region.depends([made.node]) and not region.depends([outer.node])


def test_inside_compile_and_around_it() -> None:
    weight = floats(3, 2)
    compiled = sq.compile(lambda x: sq.vmap(lambda v: sq.tanh(v @ weight))(x))
    x = floats(4, 3)
    assert_close(compiled(x), sq.tanh(x @ weight))
    assert_close(compiled(x + 1), sq.tanh((x + 1) @ weight))
    assert_close(sq.vmap(sq.compile(lambda v: v.sin() * 2))(x), x.sin() * 2)
    per = sq.compile(lambda x: sq.vmap(sq.func.grad(lambda v: (v**3).sum()))(x))
    assert_close(per(x), 3 * x**2)
