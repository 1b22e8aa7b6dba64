"""grad, vjp, jvp, jacobians, hessian, functional_call, checkpoint: against closed forms, each other and differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

import squall as sq
from squall import nn
from squall.frontend.levels import Linearized
from squall.func import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, value_and_grad, vjp, vmap
from squall.nn import functional as F

rng = np.random.default_rng(5)


def floats(*shape: int) -> sq.Tensor:
    return sq.tensor(rng.standard_normal(shape))


def close(made: object, expected: object, atol: float = 1e-9) -> bool:
    made, expected = (x.detach().numpy() if isinstance(x, sq.Tensor) else np.asarray(x) for x in (made, expected))
    return made.shape == expected.shape and np.allclose(made, expected, atol=atol)


def network(shape: tuple[int, ...] = (4, 5, 3)) -> tuple[dict, Callable]:
    parameters = {f"{kind}{i}": floats(*size) * 0.5 for i, (a, b) in enumerate(itertools.pairwise(shape))
                  for kind, size in (("w", (a, b)), ("b", (b,)))}

    def forward(given: dict, x: sq.Tensor) -> sq.Tensor:
        for i in range(len(shape) - 1):
            x = x @ given[f"w{i}"] + given[f"b{i}"]
            x = x.tanh() if i < len(shape) - 2 else x
        return x

    return parameters, forward


# ---------------------------------------------------------------- grad
def test_grad_of_grad_of_grad() -> None:
    x = sq.tensor(0.7, dtype=sq.float64)
    assert close(grad(sq.sin)(x), np.cos(0.7))
    assert close(grad(grad(sq.sin))(x), -np.sin(0.7))
    assert close(grad(grad(grad(sq.sin)))(x), -np.cos(0.7))
    assert not grad(sq.sin)(x).requires_grad and x.grad is None


def test_grad_arguments_and_structures() -> None:
    x, y = floats(3), floats(3)
    assert close(grad(lambda a, b: (a * b).sum(), argnums=1)(x, y), x)
    first, second = grad(lambda a, b: (a**2 * b).sum(), argnums=(0, -1))(x, y)
    assert close(first, 2 * x * y) and close(second, x**2)
    made = grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": x, "b": [y]})
    assert close(made["a"], y) and close(made["b"][0], x)
    gradient, aux = grad(lambda a: ((a**2).sum(), {"twice": a * 2}), has_aux=True)(x)
    assert close(gradient, 2 * x) and close(aux["twice"], 2 * x) and not aux["twice"].requires_grad
    value, gradient = value_and_grad(lambda a, scale: (a * scale).sum())(x, scale=3.0)
    assert close(value, 3 * x.sum()) and close(gradient, np.full(3, 3.0))
    gradient, (value, aux) = grad_and_value(lambda a: (a.sum(), a), has_aux=True)(x)
    assert close(gradient, np.ones(3)) and close(value, x.sum()) and close(aux, x)
    assert close(grad(lambda a, b: (b**2).sum())(x, y), np.zeros(3))


def test_python_may_look_at_values() -> None:
    def halved(x: sq.Tensor) -> sq.Tensor:
        while x.abs().sum() > 1:
            x = x / 2
        return x.sum() if x.sum() > 0 else -x.sum()

    x = sq.tensor([3.0, 1.0])
    assert grad(halved)(x).tolist() == [0.25, 0.25]
    assert jvp(halved, (x,), (sq.ones(2),))[1].item() == 0.5


def test_levels_do_not_mix() -> None:
    """Differentiating inside a function that is differentiated sees only its own argument move."""
    x = sq.tensor(3.0)
    assert grad(lambda a: a * grad(lambda b: a + b)(sq.tensor(1.0)))(x).item() == 1.0
    assert grad(lambda a: a * grad(lambda b: a * b)(sq.tensor(2.0)))(x).item() == 6.0
    one, captured = sq.tensor(1.0), sq.tensor(2.0)
    assert jvp(lambda a: a * jvp(lambda b: a + b, (one,), (one,))[1], (x,), (one,))[1].item() == 1.0
    assert jvp(lambda a: a * grad(lambda b: a * b)(captured), (x,), (one,))[1].item() == 6.0
    assert grad(lambda a: a * jvp(lambda b: a * b * b, (a,), (one,))[1])(x).item() == 3 * 2 * 9.0
    assert jvp(lambda b: captured * b, (captured,), (one,))[1].item() == 2.0


def test_gradients_flow_to_captured_tensors() -> None:
    weight = floats(3).requires_grad_()
    x = floats(3)
    inner = grad(lambda a: (a**2 * weight).sum())(x)
    assert inner.requires_grad
    (g,) = sq.autograd.grad((inner**2).sum(), weight)
    assert close(g, 8 * x**2 * weight.detach())
    with sq.no_grad():
        assert not grad(lambda a: (a**2 * weight).sum())(x).requires_grad
    y = floats(3).requires_grad_()
    (g,) = sq.autograd.grad(grad(lambda a: (a**3).sum())(y).sum(), y)
    assert close(g, 6 * y)


def test_detach_and_no_grad_inside() -> None:
    x = floats(3)
    assert close(grad(lambda a: (a * a.detach()).sum())(x), x)

    def stopped(a: sq.Tensor) -> sq.Tensor:
        with sq.no_grad():
            c = a * 5
        return (a * c).sum()

    assert close(grad(stopped)(x), 5 * x)
    assert close(jvp(stopped, (x,), (x,))[1], (5 * x * x).sum())
    assert close(jvp(lambda a: a.detach() * 2, (x,), (x,))[1], np.zeros(3))


def test_errors_of_grad() -> None:
    x = floats(3)
    for call, kind, message in [(lambda: grad(sq.sin)(x), RuntimeError, "scalar tensor"),
                                (lambda: grad(sq.sin)(sq.tensor(1)), RuntimeError, "floating point"),
                                (lambda: grad(sq.sin)(1.0), TypeError, "expected Tensors"),
                                (lambda: grad(sq.sin, argnums=1)(x), RuntimeError, "argnum=1"),
                                (lambda: grad(lambda a: (a, a))(x), RuntimeError, "scalar Tensor"),
                                (lambda: grad(lambda a: a.sum(), has_aux=True)(x), TypeError, "has_aux"),
                                (lambda: vjp(lambda a: "text", x), TypeError, "only Tensors")]:
        with pytest.raises(kind, match=message):
            call()


# ---------------------------------------------------------------- vjp and jvp
def test_vjp() -> None:
    x, y = floats(3), floats(4)
    out, pull = vjp(lambda a, b: {"o": sq.outer(a, b)}, x, y)
    g = floats(3, 4)
    for _ in range(2):
        ga, gb = pull({"o": g})
        assert close(ga, g @ y) and close(gb, x @ g)
    assert close(out["o"], sq.outer(x, y)) and not out["o"].requires_grad
    out, pull, aux = vjp(lambda a: (a.exp(), a.sum()), x, has_aux=True)
    assert close(pull(sq.ones(3, dtype=sq.float64))[0], out) and close(aux, x.sum())
    with pytest.raises(RuntimeError, match="shape"):
        pull(sq.ones(4, dtype=sq.float64))
    with pytest.raises(RuntimeError, match="structure"):
        pull((sq.ones(3, dtype=sq.float64),) * 2)


def test_jvp_against_vjp_on_many_functions() -> None:
    index = sq.tensor([2, 0, 2])
    functions = {
        "softmax": lambda a, b: (a @ b).softmax(-1), "norm": lambda a, b: F.layer_norm(a, (4,)) * b.sum(),
        "index": lambda a, b: a[index] + b.sum(0), "sort": lambda a, b: a.sort(0).values @ b,
        "max": lambda a, b: a.max(1).values * b.amin(), "cumulative": lambda a, b: a.cumsum(0).cumprod(1) + b.prod(),
        "ties": lambda a, b: sq.relu(a * 0) + a.clamp(-0.5, 0.5) + b[:1],
        "in place": lambda a, b: _changed(a) * b[0, 0],
        "where": lambda a, b: sq.where(a > b[0], a, b[1] ** 2),
        "losses": lambda a, b: F.cross_entropy(a, index) * b,
        "custom shapes": lambda a, b: sq.einsum("ij,kl->il", a, b).var(0),
    }
    a, b, ta, tb = floats(3, 4), floats(4, 4), floats(3, 4), floats(4, 4)
    for name, function in functions.items():
        out, tangent = jvp(function, (a, b), (ta, tb))
        g = floats(*out.shape)
        _, pull = vjp(function, a, b)
        ga, gb = pull(g)
        forward, backward = (tangent * g).sum(), (ga * ta).sum() + (gb * tb).sum()
        assert close(forward, backward, 1e-8), name
        assert tangent.dtype is out.dtype and tangent.shape == out.shape


def test_forward_mode_by_rules_and_by_transposing_agree() -> None:
    parameters, forward = network()
    x, t = floats(2, 4), floats(2, 4)

    def asking(v: sq.Tensor) -> sq.Tensor:
        return (v.exp() if v.sum().item() > -1e9 else v).sort(1).values * v[:, :1]

    for function in (lambda v: forward(parameters, v), asking, _changed, lambda v: grad(lambda u: (u**3).sum())(v)):
        made = Linearized(function, (x,), False, "jvp", forward=True)
        assert made.by_rules([t]) and made.trace.stopped == ""
        (by_rules,), (transposed,) = made.forth([t]), made._transposed([t])
        assert close(by_rules, transposed)


def test_forward_mode_notices_what_rules_cannot_see() -> None:
    x, t = floats(3), floats(3)

    class Ten(sq.autograd.Function):
        forward = staticmethod(lambda ctx, v: v)
        backward = staticmethod(lambda ctx, g: g * 10)

    def fresh(v: sq.Tensor) -> sq.Tensor:
        leaf = v.detach().requires_grad_()
        return sq.autograd.grad((leaf**3).sum(), leaf)[0] * v

    for function, expected in ((Ten.apply, 10 * t), (fresh, 3 * x**2 * t), (lambda v: vmap(sq.sin)(v), x.cos() * t),
                               (lambda v: sq.checkpoint(sq.sin, v), x.cos() * t), (lambda v: v.detach() * v, x * t)):
        made = Linearized(function, (x,), False, "jvp", forward=True)
        assert made.trace.stopped and close(made.forth([t])[0], expected)
    for function in (lambda v: v.detach(), lambda v: v.detach().requires_grad_(), lambda v: (v > 0).double()):
        assert close(jvp(function, (x,), (t,))[1], np.zeros(3))


def _changed(a: sq.Tensor) -> sq.Tensor:
    out = a.clone()
    out[0] *= 3
    out[:, 1] = a[:, 0] ** 2
    return out


def test_jvp_arguments() -> None:
    x, t = floats(3), floats(3)
    out, tangent, aux = jvp(lambda a: (a * 2, "note"), (x,), (t,), has_aux=True)
    assert close(tangent, 2 * t) and aux == "note" and close(out, 2 * x)
    out, tangent = jvp(lambda d: (d["a"] ** 2, d["b"]), ({"a": x, "b": x},), ({"a": t, "b": x},))
    assert close(tangent[0], 2 * x * t) and close(tangent[1], x)
    for call, message in [(lambda: jvp(sq.sin, (x,), (floats(2),)), "shape"),
                          (lambda: jvp(sq.sin, (x,), (x.float(),)), "dtype"),
                          (lambda: jvp(sq.sin, (x,), (x, x)), "structure"),
                          (lambda: jvp(lambda a: floats(2), (x,), (t,), strict=True), "does not depend")]:
        with pytest.raises(RuntimeError, match=message):
            call()
    with pytest.raises(TypeError):
        jvp(sq.sin, x, t)
    assert close(jvp(lambda a: floats(2), (x,), (t,))[1], np.zeros(2))


# ---------------------------------------------------------------- jacobians
def test_jacobians_of_a_network_agree() -> None:
    parameters, forward = network()
    x = floats(4)
    first, second = jacrev(forward, argnums=1)(parameters, x), jacfwd(forward, argnums=1)(parameters, x)
    assert first.shape == (3, 4) and close(first, second)
    by_weights, again = jacrev(forward)(parameters, x), jacfwd(forward)(parameters, x)
    for name, parameter in parameters.items():
        assert by_weights[name].shape == (3, *parameter.shape) and close(by_weights[name], again[name])
    both = jacrev(forward, argnums=(0, 1))(parameters, x)
    assert close(both[1], first) and close(both[0]["w0"], by_weights["w0"])
    chunked = jacrev(forward, argnums=1, chunk_size=2)(parameters, x)
    assert close(chunked, first) and close(jacfwd(forward, argnums=1, chunk_size=3)(parameters, x), first)


def test_jacobian_structures() -> None:
    x = floats(2, 3)
    made, aux = jacrev(lambda a: ({"s": a.sum(), "e": (a.exp(),)}, "aux"), has_aux=True)(x)
    assert aux == "aux" and close(made["s"], np.ones((2, 3)))
    assert made["e"][0].shape == (2, 3, 2, 3)
    assert close(made["e"][0].reshape(6, 6).diagonal(), x.exp().reshape(-1))
    assert jacfwd(lambda a: (a, a.sum()))(x)[0].shape == (2, 3, 2, 3)


def test_hessian_of_a_network_loss() -> None:
    parameters, forward = network((3, 4, 2))
    x, target = floats(5, 3), sq.tensor([0, 1, 1, 0, 1])

    def loss(w: sq.Tensor) -> sq.Tensor:
        return F.cross_entropy(forward({**parameters, "w0": w}, x), target)

    w = parameters["w0"]
    made = hessian(loss)(w)
    assert made.shape == (3, 4, 3, 4) and close(made.reshape(12, 12), made.reshape(12, 12).T)
    slope, step = grad(loss), 1e-5
    for i, j in [(0, 0), (1, 3), (2, 2)]:
        move = np.zeros((3, 4))
        move[i, j] = step
        difference = (slope(w + sq.tensor(move)) - slope(w - sq.tensor(move))).numpy() / (2 * step)
        assert np.allclose(made[:, :, i, j].numpy(), difference, atol=1e-7)
    assert close(jacrev(jacfwd(loss))(w), made) and close(jacrev(jacrev(loss))(w), made)
    assert close(jacfwd(jacfwd(loss))(w), made)


# ---------------------------------------------------------------- any order
def test_every_pair_of_transforms() -> None:
    """f maps a vector to a scalar; outer and inner transforms of it, by their closed forms."""
    x, t = floats(3), floats(3)

    def f(a: sq.Tensor) -> sq.Tensor:
        return (a**3).sum() + a.prod()

    others = np.array([[0, x[2].item(), x[1].item()], [x[2].item(), 0, x[0].item()], [x[1].item(), x[0].item(), 0]])
    second = np.diag(6 * x.numpy()) + others
    assert close(grad(lambda a: (grad(f)(a) * t).sum())(x), second @ t.numpy())
    assert close(jvp(grad(f), (x,), (t,))[1], second @ t.numpy())
    assert close(grad(lambda a: jvp(f, (a,), (t,))[1])(x), second @ t.numpy())
    assert close(jvp(lambda a: jvp(f, (a,), (t,))[1], (x,), (t,))[1], t.numpy() @ second @ t.numpy())
    assert close(vjp(grad(f), x)[1](t)[0], second @ t.numpy())
    for outer, inner in itertools.product((jacrev, jacfwd), (jacrev, jacfwd)):
        assert close(outer(inner(f))(x), second)
    batch = floats(4, 3)
    expected = np.stack([hessian(f)(row).numpy() for row in batch])
    assert close(vmap(hessian(f))(batch), expected)
    assert close(vmap(jacrev(grad(f)))(batch), expected)
    assert close(jacrev(lambda b: vmap(grad(f))(b).sum(0))(batch), expected.transpose(1, 0, 2))
    assert close(jacfwd(lambda b: vmap(f)(b))(batch), np.einsum("bi,bc->bci", vmap(grad(f))(batch).numpy(), np.eye(4)))
    assert close(grad(lambda b: vmap(hessian(f))(b).sum())(batch), np.stack(
        [grad(lambda r: hessian(f)(r).sum())(row).numpy() for row in batch]))
    assert close(jvp(vmap(grad(f)), (batch,), (batch,))[1], np.einsum("bij,bj->bi", expected, batch.numpy()))


def test_transforms_of_a_convolution_and_attention() -> None:
    kernel, image = floats(2, 1, 3, 3), floats(1, 1, 5, 5)
    made = jacrev(lambda k: F.conv2d(image, k))(kernel)
    assert close(made, jacfwd(lambda k: F.conv2d(image, k))(kernel))
    q = floats(1, 3, 2)
    assert close(hessian(lambda a: F.scaled_dot_product_attention(a, a, a).pow(2).sum())(q),
                 jacrev(jacrev(lambda a: F.scaled_dot_product_attention(a, a, a).pow(2).sum()))(q))


def test_inside_compile() -> None:
    x = floats(3)
    assert close(sq.compile(lambda a: hessian(lambda v: (v**3).sum())(a))(x), np.diag(6 * x.numpy()))
    assert close(sq.compile(lambda a: jvp(sq.sin, (a,), (a,))[1])(x), x.cos() * x)


# ---------------------------------------------------------------- functional_call
def test_functional_call() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    x = sq.randn(6, 3)
    before = {k: v.detach().clone() for k, v in model.state_dict().items()}
    given = {"0.weight": sq.zeros(4, 3, requires_grad=True), "2.bias": sq.ones(2)}
    out = sq.functional_call(model.eval(), given, x)
    assert close(out, model[2](model[1](sq.zeros(6, 4) + model[0].bias)) - model[2].bias + 1, 1e-6)
    out.sum().backward()
    assert given["0.weight"].grad is not None
    assert all(sq.equal(before[k], v) for k, v in model.state_dict().items())
    with pytest.raises(RuntimeError, match="missing"):
        sq.functional_call(model, given, x, strict=True)
    with pytest.raises(ValueError, match="no parameters or buffers named"):
        sq.functional_call(model, {"3.weight": sq.ones(1)}, x)
    with pytest.raises(ValueError, match="multiple dictionaries"):
        sq.functional_call(model, (given, given), x)


def test_functional_call_with_tied_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: sq.Tensor, scale: float = 1.0) -> sq.Tensor:
            return self.b(self.a(x)) * scale

    model, x = Tied(), sq.ones(1, 2)
    double = {"a.weight": sq.eye(2) * 2}
    assert sq.functional_call(model, double, (x,), {"scale": 0.5}).tolist() == [[2.0, 2.0]]
    untied = sq.functional_call(model, double, x, tie_weights=False)
    assert close(untied, model.b(x * 2), 1e-6)
    with pytest.raises(ValueError, match="tied"):
        sq.functional_call(model, {"a.weight": sq.eye(2), "b.weight": sq.ones(2, 2)}, x)


# ---------------------------------------------------------------- checkpoint
def test_checkpoint_gives_the_same_gradients_and_runs_twice() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    x, runs = sq.randn(4, 3, requires_grad=True), []

    def run(v: sq.Tensor) -> sq.Tensor:
        runs.append(1)
        return model(v)

    expected = sq.autograd.grad((run(x) ** 2).sum(), [x, *model.parameters()])
    runs.clear()
    out = sq.checkpoint(run, x, use_reentrant=False)
    assert len(runs) == 1
    made = sq.autograd.grad((out**2).sum(), [x, *model.parameters()])
    assert len(runs) == 2 and all(close(m, e, 1e-6) for m, e in zip(made, expected, strict=True))
    with sq.no_grad():
        assert not sq.checkpoint(run, x).requires_grad


def test_checkpoint_saves_only_its_arguments() -> None:
    x = sq.ones(3, requires_grad=True)
    plain, kept = (x * 1).exp().sin().exp(), sq.checkpoint(lambda v: v.exp().sin().exp(), x * 1)
    record = kept.grad_fn.edges[0]
    assert len(list(record.saved_nodes())) == 1 and repr(record) == "<CheckpointBackward>"
    plain.sum().backward()
    expected, x.grad = x.grad, None
    kept.sum().backward()
    assert close(x.grad, expected, 1e-6)


def test_checkpoint_draws_the_same_numbers_again() -> None:
    x = sq.ones(200, requires_grad=True)
    out = sq.checkpoint(lambda v: v * (sq.rand(200) > 0.5), x)
    out.sum().backward()
    assert close(x.grad, out) and 50 < out.detach().sum().item() < 150
    after = sq.rand(3).tolist()
    sq.manual_seed(0)
    assert sq.rand(3).tolist() != after


def test_checkpoint_composes() -> None:
    w = floats(3).requires_grad_()
    x = floats(4, 3)

    def block(v: sq.Tensor) -> sq.Tensor:
        return sq.checkpoint(lambda u: sq.tanh(u * w) * u, v)

    def plain(v: sq.Tensor) -> sq.Tensor:
        return sq.tanh(v * w) * v

    for function in (lambda f: (f(f(x)) ** 2).sum(), lambda f: (vmap(f)(x) ** 2).sum(),
                     lambda f: grad(lambda v: f(v).sum())(x[0]).pow(2).sum()):
        made = sq.autograd.grad(function(block), w, create_graph=True)[0]
        expected = sq.autograd.grad(function(plain), w, create_graph=True)[0]
        assert close(made, expected)
        assert close(sq.autograd.grad(made.sum(), w)[0], sq.autograd.grad(expected.sum(), w)[0])
    nested = sq.checkpoint(lambda v: sq.checkpoint(plain, v).exp(), x)
    assert close(sq.autograd.grad(nested.sum(), w)[0], sq.autograd.grad(plain(x).exp().sum(), w)[0])
    several = sq.checkpoint(lambda a, b: {"s": (a * w).sum() + b["c"], "n": 3}, x, {"c": w.sum()})
    assert several["n"] == 3 and close(sq.autograd.grad(several["s"], w)[0], x.sum(0) + 1)


def test_checkpoint_reports_a_function_that_changes() -> None:
    x, switch = sq.ones(2, requires_grad=True), [True]
    out = sq.checkpoint(lambda v: v * 2 if switch[0] else (v * 2).sum(), x)
    switch[0] = False
    with pytest.raises(RuntimeError, match="other results"):
        out.sum().backward()
