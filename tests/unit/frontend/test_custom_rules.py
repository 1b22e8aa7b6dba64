"""`custom_vjp`, `custom_jvp`, `linearize`, `hvp`, `map` and `stop_gradient`: values against NumPy, in any order."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

import squall as sq
from squall.base.errors import AutogradError, ShapeError
from squall.ir.node import toposort

func = sq.func


def point(*values: float) -> sq.Tensor:
    return sq.tensor(values[0] if len(values) == 1 else list(values), dtype=sq.float64)


def close(made: Any, expected: Any, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(made.detach().tolist()), np.asarray(expected), rtol=0, atol=atol)


def sine_times(counts: list | None = None) -> Any:
    """sin(x) * y with a rule that knows its derivatives; doubled, so that it shows who was asked."""

    @func.custom_vjp
    def f(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
        return sq.sin(x) * y

    def forward(x: sq.Tensor, y: sq.Tensor) -> tuple:
        if counts is not None:
            counts.append("forward")
        return f(x, y), {"cos": sq.cos(x), "others": (sq.sin(x), y)}

    def backward(kept: dict, g: sq.Tensor) -> tuple:
        if counts is not None:
            counts.append("backward")
        s, y = kept["others"]
        return 2 * kept["cos"] * y * g, 2 * s * g

    f.defvjp(forward, backward)
    return f


def test_the_rule_is_asked_and_differentiated_again() -> None:
    counts: list = []
    f, x, y = sine_times(counts), point(0.7), point(1.3)
    gx, gy = func.grad(f, (0, 1))(x, y)
    close(gx, 2 * np.cos(0.7) * 1.3)
    close(gy, 2 * np.sin(0.7))
    assert counts == ["forward", "backward"]
    # the residuals of the second pass come from the forward rule, differentiated as it stands
    close(func.grad(func.grad(f))(x, y), -2 * np.sin(0.7) * 1.3)
    close(func.grad(func.grad(func.grad(f)))(x, y), -2 * np.cos(0.7) * 1.3)
    close(f(x, y), np.sin(0.7) * 1.3)


def test_backward_and_grad_mode() -> None:
    f, y = sine_times(), point(1.3)
    x = point(0.1, 0.2).requires_grad_()
    f(x, y).sum().backward()
    close(x.grad, 2 * np.cos([0.1, 0.2]) * 1.3)
    with sq.no_grad():
        assert not f(x, y).requires_grad
    out = f(x, y)
    out.sum().backward()
    with pytest.raises(AutogradError, match="second time"):
        out.sum().backward()


def test_containers_integers_and_arguments_that_are_no_tensors() -> None:
    @dataclasses.dataclass
    class Parameters:
        w: Any
        steps: Any

    @functools.partial(func.custom_vjp, nondiff_argnums=(0, 2))
    def f(activation: Any, given: Any, scale: float = 2.0) -> dict:
        return {"out": activation(given.w) * scale, "count": given.steps + 1}

    def forward(activation: Any, given: Any, scale: float) -> tuple:
        return f(activation, given, scale), (given.w, "text")

    def backward(activation: Any, scale: float, kept: tuple, g: dict) -> tuple:
        assert kept[1] == "text" and g["count"].dtype is sq.int64
        return (Parameters(3 * scale * g["out"], None),)

    f.defvjp(forward, backward)
    given = Parameters(point(0.1, 0.5), sq.tensor([1, 2]))
    out, pullback = func.vjp(lambda w: f(sq.exp, Parameters(w, given.steps))["out"], given.w)
    close(pullback(sq.ones_like(out))[0], [6.0, 6.0])
    made = f(sq.exp, given, scale=3.0)
    close(made["out"], np.exp([0.1, 0.5]) * 3)
    assert made["count"].tolist() == [2, 3]


def test_a_missing_gradient_is_zero() -> None:
    f = func.custom_vjp(lambda x, y: x * y)
    f.defvjp(lambda x, y: (x * y, y), lambda y, g: (g * y, None))
    gx, gy = func.grad(f, (0, 1))(point(2.0), point(3.0))
    close(gx, 3.0)
    close(gy, 0.0)


def test_what_is_captured_gets_no_gradient_silently() -> None:
    w = point(1.0, 2.0).requires_grad_()
    f = func.custom_vjp(lambda x: x * w)
    f.defvjp(lambda x: (x * w, None), lambda _, g: (g * w.detach(),))
    x = point(3.0, 4.0).requires_grad_()
    close(sq.autograd.grad(f(x).sum(), x)[0], [1.0, 2.0])
    with pytest.raises(AutogradError, match=r"from outside that requires grad.*argument"):
        f(x).sum().backward()
    with pytest.raises(AutogradError, match="from outside"):
        f(x.detach()).sum().backward()
    g = func.custom_jvp(lambda x: x * w)
    g.defjvp(lambda p, t: (g(*p), t[0] * w))
    close(sq.autograd.grad(g(x).sum(), x)[0], [1.0, 2.0])
    with pytest.raises(AutogradError, match=r"custom_jvp: .*from outside"):
        g(x).sum().backward()


def test_errors_name_the_rule() -> None:
    x = point(1.0, 2.0)
    with pytest.raises(AttributeError, match="no rule yet; give one with defvjp"):
        func.custom_vjp(lambda x: x)(x)
    f = func.custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: x * 2, lambda r, g: (g,))
    with pytest.raises(TypeError, match=r"give \(output, residuals\)"):
        func.grad(lambda v: f(v).sum())(x)
    f.defvjp(lambda x: (x * 2, None), lambda r, g: g)
    with pytest.raises(TypeError, match="a tuple of 1 gradients"):
        func.grad(lambda v: f(v).sum())(x)
    f.defvjp(lambda x: (x * 2, None), lambda r, g: (g.sum(),))
    with pytest.raises(ShapeError, match=r"gradient of shape \[\] for an argument of shape \[2\]"):
        func.grad(lambda v: f(v).sum())(x)
    f.defvjp(lambda x: (x * 2, None), lambda r, g: ([g, g],))
    with pytest.raises(TypeError, match="Tensors or None"):
        func.grad(lambda v: f(v).sum())(x)
    g = func.custom_jvp(lambda x: x * 2)
    g.defjvp(lambda p, t: (p[0] * 2, t[0].sum()))
    with pytest.raises(ShapeError, match=r"tangent of shape \[\] for an output of shape \[2\]"):
        func.grad(lambda v: g(v).sum())(x)
    with pytest.raises(TypeError, match="nondiff_argnums"):
        func.custom_jvp(lambda n, x: x, nondiff_argnums=0).defjvps(None, None)


# ---------------------------------------------------------------- forward rules
def cube() -> Any:
    f = func.custom_jvp(lambda x: x**3)
    f.defjvp(lambda p, t: (f(*p), 6 * p[0] ** 2 * t[0]))  # twice the derivative, to tell who was asked
    return f


def test_a_forward_rule_serves_both_modes_to_any_order() -> None:
    f, x = cube(), point(0.7)
    close(func.grad(f)(x), 6 * 0.49)
    value, tangent = func.jvp(f, (x,), (point(2.0),))
    close(value, 0.7**3)
    close(tangent, 12 * 0.49)
    close(func.grad(func.grad(f))(x), 12 * 0.7)
    close(func.jvp(func.grad(f), (x,), (point(1.0),))[1], 12 * 0.7)
    close(func.grad(lambda v: func.jvp(f, (v,), (point(1.0),))[1])(x), 12 * 0.7)
    close(func.jacfwd(func.jacfwd(f))(x), 12 * 0.7)


def test_rules_by_argument_and_fixed_arguments() -> None:
    f = func.custom_jvp(lambda x, y: x * y)
    f.defjvps(lambda t, out, x, y: t * y, None)
    gx, gy = func.grad(f, (0, 1))(point(2.0), point(3.0))
    close(gx, 3.0)
    close(gy, 0.0)

    @functools.partial(func.custom_jvp, nondiff_argnums=(0,))
    def power(n: int, pair: dict) -> sq.Tensor:
        return pair["x"] ** n

    @power.defjvp
    def _(n: int, primals: tuple, tangents: tuple) -> tuple:
        (pair,), (moved,) = primals, tangents
        return power(n, pair), n * pair["x"] ** (n - 1) * moved["x"]

    close(func.grad(lambda v: power(4, {"x": v}))(point(0.5)), 4 * 0.125)


# ---------------------------------------------------------------- in any order
X, Y = (0.3, -0.8, 1.1), 1.3


def _orders() -> dict[str, Any]:
    f, g = sine_times(), cube()
    x, y = np.array(X), Y
    once, twice = 2 * np.cos(x) * y, -2 * np.sin(x) * y
    return {
        "vmap of grad": (lambda v, w: func.vmap(func.grad(f), (0, None))(v, w), once),
        "grad of vmap": (lambda v, w: func.grad(lambda u: func.vmap(f, (0, None))(u, w).sum())(v), once),
        "vmap of grad of grad": (lambda v, w: func.vmap(func.grad(func.grad(f)), (0, None))(v, w), twice),
        "jvp": (lambda v, w: func.jvp(lambda u: f(u, w), (v,), (sq.ones_like(v),))[1], once),
        "jvp of vjp": (
            lambda v, w: func.jvp(
                lambda u: func.vjp(lambda t: f(t, w), u)[1](sq.ones_like(u))[0], (v,), (sq.ones_like(v),)
            )[1],
            twice,
        ),
        "hessian": (lambda v, w: func.hessian(lambda u: f(u, w).sum())(v).diagonal(), twice),
        "jacrev": (lambda v, w: func.jacrev(lambda u: f(u, w))(v).diagonal(), once),
        "checkpoint": (lambda v, w: func.grad(lambda u: sq.checkpoint(f, u, w).sum())(v), once),
        "inside scan": (
            lambda v, w: func.grad(lambda u: sq.scan(lambda c, t: (c + f(t, w), None), point(0.0), u)[0])(v),
            once,
        ),
        "inside cond": (
            lambda v, w: func.grad(lambda u: sq.cond(u.sum() > -9, lambda t: f(t, w), lambda t: t, u).sum())(
                v
            ),
            once,
        ),
        "inside map": (lambda v, w: func.grad(lambda u: func.map(lambda t: f(t, w), u).sum())(v), once),
        "forward rule, vmap of grad of grad": (lambda v, w: func.vmap(func.grad(func.grad(g)))(v), 12 * x),
        "forward rule, hvp": (lambda v, w: func.hvp(lambda u: g(u).sum(), v, sq.ones_like(v))[1], 12 * x),
        "forward rule in scan": (
            lambda v, w: func.grad(lambda u: sq.scan(lambda c, t: (c + g(t), None), point(0.0), u)[0])(v),
            6 * x**2,
        ),
        "forward rule in while_loop": (
            lambda v, w: func.grad(
                lambda u: sq.while_loop(
                    lambda c: c[0] < 1, lambda c: (c[0] + 1, g(c[1])), (sq.tensor(0), u), max_iterations=3
                )[1].sum()
            )(v),
            6 * x**2,
        ),
    }


@pytest.mark.parametrize("wrap", [lambda f: f, sq.compile], ids=["as is", "compiled"])
@pytest.mark.parametrize("name", list(_orders()))
def test_orders(name: str, wrap: Any) -> None:
    function, expected = _orders()[name]
    close(wrap(function)(point(*X), point(Y)), expected)


def test_random_numbers_in_a_rule_are_drawn_once() -> None:
    f = func.custom_vjp(lambda x: x * sq.rand(3, dtype=sq.float64))

    def forward(x: sq.Tensor) -> tuple:
        mask = sq.rand(3, dtype=sq.float64)
        return x * mask, (x, mask)

    f.defvjp(forward, lambda kept, g: (g * kept[1] * kept[0],))
    sq.manual_seed(3)
    mask = sq.rand(3, dtype=sq.float64).numpy().copy()
    sq.manual_seed(3)
    close(func.grad(lambda v: f(v).sum())(point(1.0, 2.0, 3.0)), mask * [1, 2, 3])
    sq.manual_seed(3)
    close(func.jacrev(func.grad(lambda v: f(v).sum()))(point(1.0, 2.0, 3.0)).diagonal(), mask)


def test_what_a_rule_computes_on_the_way_is_not_kept() -> None:
    """Only arguments and residuals live on: not what forward computed in between."""
    f = func.custom_vjp(lambda x: ((x.exp() + 1).log() * 2).sin())
    f.defvjp(lambda x: (((x.exp() + 1).log() * 2).sin(), None), lambda _, g: (g,))
    x = sq.ones(4, requires_grad=True)
    out = f(x)
    record = out.grad_fn.edges[0]
    assert [n is x.node for n in record.saved_nodes()] == [True]


# ---------------------------------------------------------------- linearize, hvp, map, stop_gradient
def test_linearize_runs_the_function_once() -> None:
    calls = []

    def f(x: sq.Tensor, pair: dict) -> dict:
        calls.append(1)
        return {"a": sq.sin(x) * pair["y"], "b": (x * x).sum()}

    x, y = point(*X), point(Y)
    out, push = func.linearize(f, x, {"y": y})
    for tx, ty in ((1.0, 0.0), (0.5, 2.0)):
        moved = push(point(tx, tx, tx), {"y": point(ty)})
        close(moved["a"], np.cos(X) * Y * tx + np.sin(X) * ty)
        close(moved["b"], 2 * np.sum(X) * tx)
    assert len(calls) == 1
    close(out["a"], np.sin(X) * Y)
    close(
        func.vmap(lambda t: push(t, {"y": point(0.0)})["a"])(sq.eye(3, dtype=sq.float64)),
        np.diag(np.cos(X) * Y),
    )
    with pytest.raises(ShapeError, match="structure of the primals"):
        push(x)
    with pytest.raises(ShapeError, match=r"tangent of shape \[3\]"):
        push(point(1.0), {"y": y})


def test_linearize_computes_what_tangents_read_once() -> None:
    x = point(*X)
    out, push = func.linearize(lambda v: sq.exp(sq.sin(v)), x)
    push(sq.ones_like(x)).tolist()
    moved = push(sq.ones_like(x) * 2)
    waiting = [n.op.name for n in toposort([moved.node], lambda n: n.buffer is not None) if n.buffer is None]
    assert not {"exp", "sin", "cos"} & set(waiting), waiting
    close(moved, np.exp(np.sin(X)) * np.cos(X) * 2)
    close(out, np.exp(np.sin(X)))


def test_hessian_vector_products() -> None:
    def f(a: sq.Tensor, b: dict) -> sq.Tensor:
        return (a**3 * b["b"]).sum()

    a, b = point(1.0, 2.0), {"b": point(3.0, 4.0)}
    value, (pa, pb) = func.hvp(f, (a, b), (point(1.0, 0.5), {"b": point(1.0, 1.0)}))
    close(value, 3 + 32.0)
    close(pa, [6 * 1 * 3 * 1 + 3 * 1, 6 * 2 * 4 * 0.5 + 3 * 4])
    close(pb["b"], [3 * 1, 3 * 4 * 0.5])
    with pytest.raises(AutogradError, match="scalar"):
        func.hvp(lambda v: v, a, a)


def test_map_is_a_loop_over_slices() -> None:
    xs = {"a": point(*X), "b": sq.arange(3)}
    made = func.map(lambda x: (x["a"] * 2, x["b"] + 1), xs)
    close(made[0], np.array(X) * 2)
    assert made[1].tolist() == [1, 2, 3]
    rows = sq.tensor(np.random.default_rng(0).normal(size=(7, 3)))
    expected = np.exp(rows.numpy()).sum(1)
    for size in (None, 1, 2, 3, 7, 20):
        close(func.map(lambda r: r.exp().sum(), rows, batch_size=size), expected)
        gradient = func.grad(
            lambda r, size=size: func.map(lambda t: t.exp().sum(), r, batch_size=size).sum()
        )(rows)
        close(gradient, np.exp(rows.numpy()))
    close(
        func.vmap(lambda row: func.map(lambda v: v * row.sum(), row))(rows),
        rows.numpy() * rows.numpy().sum(1)[:, None],
    )
    with pytest.raises(ShapeError, match="no Tensor"):
        func.map(lambda x: x, {})
    with pytest.raises(ValueError, match="batch_size"):
        func.map(lambda x: x, rows, batch_size=0)


def test_stop_gradient_stops_in_every_mode() -> None:
    x = point(*X)
    f = lambda v: (v * func.stop_gradient({"k": v})["k"]).sum()
    close(func.grad(f)(x), X)
    close(func.jvp(f, (x,), (sq.ones_like(x),))[1], np.sum(X))
    close(sq.compile(func.grad(f))(x), X)
    assert func.stop_gradient((1, "a")) == (1, "a")
