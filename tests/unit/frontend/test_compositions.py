"""Control flow, checkpoints, maps and compiled functions under chains of transforms: as what they mean, written out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import squall as sq
from squall.func import grad, hessian, hvp, jacfwd, jacrev, jvp, linearize, vjp, vmap
from squall.func import map as map_slices

W = sq.tensor([[0.3, -0.5, 0.2], [0.1, 0.4, -0.3], [-0.2, 0.6, 0.5]], dtype=sq.float64)


def layer(v: sq.Tensor) -> sq.Tensor:
    return (W @ v).tanh() + 0.5 * v


def scanned(v: sq.Tensor) -> sq.Tensor:
    last, each = sq.scan(lambda c, s: (layer(c) * s, c.sin()), v, sq.tensor([1.0, 0.5, 2.0], dtype=sq.float64))
    return last + each.sum(0)


def unrolled(v: sq.Tensor) -> sq.Tensor:
    total = sq.zeros(3, dtype=sq.float64)
    for s in (1.0, 0.5, 2.0):
        total = total + v.sin()
        v = layer(v) * s
    return v + total


def chosen(v: sq.Tensor) -> sq.Tensor:
    return sq.cond(v.sum() > 0.3, lambda u: layer(u).exp(), lambda u: u * u.sum(), v)


def selected(v: sq.Tensor) -> sq.Tensor:
    return sq.where(v.sum() > 0.3, layer(v).exp(), v * v.sum())


def repeated(v: sq.Tensor) -> sq.Tensor:
    """As often as the first element says: once to three times."""
    _, out = sq.while_loop(
        lambda c: c[0] < 1 + 2 * (v[0] > 0), lambda c: (c[0] + 1, layer(c[1])), (sq.tensor(0), v), max_iterations=4
    )
    return out


def repeated_by_hand(v: sq.Tensor) -> sq.Tensor:
    return sq.where(v[0] > 0, layer(layer(layer(v))), layer(v))


def mapped(v: sq.Tensor) -> sq.Tensor:
    return map_slices(lambda s: (s * v).sum().sin(), v)


FUNCTIONS: dict[str, tuple[Callable, Callable]] = {
    "scan": (scanned, unrolled),
    "cond": (chosen, selected),
    "while_loop": (repeated, repeated_by_hand),
    "map": (mapped, lambda v: sq.stack([(s * v).sum().sin() for s in v.unbind()])),
    "checkpoint": (lambda v: sq.checkpoint(layer, sq.checkpoint(layer, v, policy=["tanh"])), lambda v: layer(layer(v))),
    "compiled": (sq.compile(lambda v: layer(layer(v))), lambda v: layer(layer(v))),
    "checkpoint of scan": (lambda v: sq.checkpoint(scanned, v), unrolled),
    "scan of checkpoint": (
        lambda v: sq.scan(lambda c, _: (sq.checkpoint(layer, c), None), v, None, length=2)[0],
        lambda v: layer(layer(v)),
    ),
}

X = sq.tensor([0.4, -0.3, 0.9], dtype=sq.float64)
XS = sq.tensor([[0.4, -0.3, 0.9], [-0.8, 0.2, 0.1], [0.7, 0.6, -1.1], [-0.1, -0.5, 0.3]], dtype=sq.float64)


def ones(v: sq.Tensor) -> sq.Tensor:
    return sq.ones_like(v)


TRANSFORMS: dict[str, Callable] = {
    "vmap": lambda f: vmap(f)(XS),
    "jacrev": lambda f: jacrev(f)(X),
    "jacfwd": lambda f: jacfwd(f)(X),
    "vmap of jacrev": lambda f: vmap(jacrev(f))(XS),
    "vmap of jacfwd": lambda f: vmap(jacfwd(f))(XS),
    "jacrev of vmap": lambda f: jacrev(lambda v: vmap(f)(v).sum(0))(XS),
    "hessian": lambda f: hessian(lambda v: f(v).sum())(X),
    "vmap of hessian": lambda f: vmap(hessian(lambda v: f(v).sum()))(XS),
    "jacrev of grad": lambda f: jacrev(grad(lambda v: (f(v) ** 2).sum()))(X),
    "jvp of vjp": lambda f: jvp(lambda v: vjp(f, v)[1](ones(v))[0], (X,), (ones(X),))[1],
    "vjp of jvp": lambda f: vjp(lambda v: jvp(f, (v,), (ones(v),))[1], X)[1](ones(X))[0],
    "hvp": lambda f: hvp(lambda v: f(v).prod(), X, ones(X))[1],
    "vmap of linearize": lambda f: vmap(linearize(f, X)[1])(sq.eye(3, dtype=sq.float64)),
    "compile of vmap of jacrev": lambda f: sq.compile(vmap(jacrev(f)))(XS),
    "compile of hessian": lambda f: sq.compile(hessian(lambda v: f(v).sum()))(X),
    "compile of vmap of grad of vmap": lambda f: sq.compile(
        vmap(grad(lambda v: vmap(lambda s: f(v * s))(XS[:, 0]).sum()))
    )(XS),
}


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_every_chain(name: str) -> None:
    function, plain = FUNCTIONS[name]
    made = {t: transform(function) for t, transform in TRANSFORMS.items()}
    expected = {t: transform(plain) for t, transform in TRANSFORMS.items()}
    for t in TRANSFORMS:
        np.testing.assert_allclose(made[t].numpy(), expected[t].numpy(), rtol=1e-9, atol=1e-9, err_msg=t)


def test_one_of_them_against_differences() -> None:
    base, step = X.numpy().copy(), 1e-5
    columns = []
    for i in range(3):
        moved = [unrolled(sq.tensor(base + s * step * np.eye(3)[i])).numpy() for s in (1, -1)]
        columns.append((moved[0] - moved[1]) / (2 * step))
    np.testing.assert_allclose(jacrev(scanned)(X).numpy(), np.stack(columns, 1), rtol=1e-7, atol=1e-7)


def test_results_have_no_history_when_nothing_outside_has() -> None:
    for name, (function, _) in FUNCTIONS.items():
        for t in ("jvp of vjp", "vjp of jvp", "hvp"):
            assert not TRANSFORMS[t](function).requires_grad, f"{t} of {name}"
