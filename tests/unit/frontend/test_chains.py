"""Chains of transforms in any order: each takes a function of a vector to another, so any can follow any other.

Beside each stands what it means, written with reverse mode, Python loops and nothing compiled; chains drawn at random
are compared with those.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

import squall as sq
from squall import func, nn

Function = Callable[[sq.Tensor], sq.Tensor]
W = sq.tensor([[0.3, -0.5, 0.2], [0.1, 0.4, -0.3], [-0.2, 0.6, 0.5]], dtype=sq.float64)
X = sq.tensor([0.4, -0.3, 0.9], dtype=sq.float64)


def layer(v: sq.Tensor) -> sq.Tensor:
    return (W @ v).tanh() + 0.5 * v


def gradient(f: Function, v: sq.Tensor, cotangent: sq.Tensor | None = None) -> sq.Tensor:
    """Reverse mode on a graph."""
    leaf = v if v.requires_grad else v.detach().requires_grad_()
    out = f(leaf)
    made = sq.autograd.grad(
        out, leaf, sq.ones_like(out) if cotangent is None else cotangent, create_graph=True, allow_unused=True
    )[0]
    return sq.zeros_like(v) if made is None else made


def tangent(f: Function, v: sq.Tensor, t: sq.Tensor) -> sq.Tensor:
    """Forward mode as the derivative of reverse mode, which is linear in what it is given."""
    u = sq.ones_like(v).requires_grad_()
    return gradient(lambda u: gradient(f, v, u) * t, u)


class Gate(nn.Module):
    """What a function makes of a parameter."""

    def __init__(self, f: Function):
        super().__init__()
        self.f, self.weight = f, nn.Parameter(sq.zeros(3, dtype=sq.float64))

    def forward(self, scale: sq.Tensor) -> sq.Tensor:
        return self.f(self.weight) * scale


class Pair(NamedTuple):
    """A container of Tensors."""

    first: sq.Tensor
    second: tuple


def scanned(f: Function) -> Function:
    return lambda v: sq.scan(lambda c, s: (f(c) * s, c.sin()), v, sq.tensor([0.5, 0.25], dtype=sq.float64))[0]


def repeated(f: Function) -> Function:
    def run(v: sq.Tensor) -> sq.Tensor:
        def body(c: tuple) -> tuple:
            return c[0] + 1, 0.5 * f(c[1])

        return sq.while_loop(lambda c: c[0] < 2, body, (sq.tensor(0), v), max_iterations=3)[1]

    return run


def by_its_own_vjp(f: Function) -> Function:
    made = func.custom_vjp(f)
    made.defvjp(lambda v: (f(v), v), lambda v, g: (func.vjp(f, v)[1](g)[0],))
    return made


def by_its_own_jvp(f: Function) -> Function:
    made = func.custom_jvp(f)
    made.defjvp(lambda primals, tangents: func.jvp(f, primals, tangents))
    return made


def of_containers(f: Function) -> Function:
    def loss(tree: dict) -> sq.Tensor:
        return (f(tree["a"]) * tree["b"].first).sum() + f(tree["b"].second[0]).sum()

    def run(v: sq.Tensor) -> sq.Tensor:
        found = func.grad(loss)({"a": v, "b": Pair(v, (v,))})
        return found["a"] + found["b"].second[0]

    return run


def of_modules(f: Function) -> Function:
    def run(v: sq.Tensor) -> sq.Tensor:
        gate = Gate(f)
        return func.grad(lambda w: func.functional_call(gate, {"weight": w}, (v,)).sum())(v)

    return run


def twice(v: sq.Tensor) -> sq.Tensor:
    return sq.stack([v, -0.5 * v])


TRANSFORMS: dict[str, tuple[Callable[[Function], Function], Callable[[Function], Function]]] = {
    "compile": (sq.compile, lambda f: f),
    "checkpoint": (lambda f: lambda v: sq.checkpoint(f, v), lambda f: f),
    "checkpoint with a policy": (lambda f: lambda v: sq.checkpoint(f, v, policy=["tanh"]), lambda f: f),
    "grad": (lambda f: func.grad(lambda v: f(v).sum()), lambda f: lambda v: gradient(f, v)),
    "value_and_grad": (
        lambda f: lambda v: sum(func.value_and_grad(lambda u: f(u).sum())(v)),
        lambda f: lambda v: f(v).sum() + gradient(f, v),
    ),
    "vjp": (lambda f: lambda v: func.vjp(f, v)[1](0.5 * v)[0], lambda f: lambda v: gradient(f, v, 0.5 * v)),
    "jvp": (lambda f: lambda v: func.jvp(f, (v,), (0.5 * v,))[1], lambda f: lambda v: tangent(f, v, 0.5 * v)),
    "linearize": (
        lambda f: lambda v: func.linearize(f, v)[1](sq.ones_like(v)),
        lambda f: lambda v: tangent(f, v, sq.ones_like(v)),
    ),
    "jacrev": (lambda f: lambda v: func.jacrev(f)(v).sum(0), lambda f: lambda v: gradient(f, v)),
    "jacfwd": (
        lambda f: lambda v: func.jacfwd(f)(v).sum(1),
        lambda f: lambda v: tangent(f, v, sq.ones_like(v)),
    ),
    "hessian": (
        lambda f: lambda v: func.hessian(lambda u: f(u).sum())(v).sum(0),
        lambda f: lambda v: gradient(lambda u: gradient(f, u), v),
    ),
    "hvp": (
        lambda f: lambda v: func.hvp(lambda u: f(u).sum(), v, sq.ones_like(v))[1],
        lambda f: lambda v: gradient(lambda u: gradient(f, u), v),
    ),
    "vmap": (lambda f: lambda v: func.vmap(f)(twice(v)).sum(0), lambda f: lambda v: f(v) + f(-0.5 * v)),
    "vmap of columns": (
        lambda f: lambda v: func.vmap(f, in_dims=1, out_dims=1)(twice(v).T)[:, 0],
        lambda f: f,
    ),
    "vmap of a captured vector": (
        lambda f: lambda v: func.vmap(lambda s: f(v * s))(v).sum(0),
        lambda f: lambda v: f(v * v[0]) + f(v * v[1]) + f(v * v[2]),
    ),
    "vmap in chunks": (
        lambda f: lambda v: func.vmap(f, chunk_size=1)(twice(v)).sum(0),
        lambda f: lambda v: f(v) + f(-0.5 * v),
    ),
    "scan": (scanned, lambda f: lambda v: 0.25 * f(0.5 * f(v))),
    "while_loop": (repeated, lambda f: lambda v: 0.5 * f(0.5 * f(v))),
    "map": (
        lambda f: lambda v: func.map(lambda s: f(v * s), v).sum(0),
        lambda f: lambda v: f(v * v[0]) + f(v * v[1]) + f(v * v[2]),
    ),
    "cond": (
        lambda f: lambda v: sq.cond(v.sum() > 0.1, f, lambda u: u * u, v),
        lambda f: lambda v: sq.where(v.sum() > 0.1, f(v), v * v),
    ),
    "stop_gradient": (
        lambda f: lambda v: f(v) * func.stop_gradient(f(v)),
        lambda f: lambda v: f(v) * f(v).detach(),
    ),
    "custom_vjp": (by_its_own_vjp, lambda f: f),
    "custom_jvp": (by_its_own_jvp, lambda f: f),
    "containers": (of_containers, lambda f: lambda v: gradient(f, v, v) + gradient(f, v)),
    "modules": (of_modules, lambda f: lambda v: gradient(f, v, v)),
}


def chained(names: tuple[str, ...], side: int) -> Function:
    made: Function = layer
    for name in names:
        made = TRANSFORMS[name][side](made)
    return made


def compare(names: tuple[str, ...]) -> None:
    made, wanted = chained(names, 0)(X), chained(names, 1)(X)
    np.testing.assert_allclose(
        made.detach().numpy(), wanted.detach().numpy(), rtol=1e-7, atol=1e-9, err_msg=" then ".join(names)
    )


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_alone(name: str) -> None:
    compare((name,))


def drawn(count: int, length: int) -> list[tuple[str, ...]]:
    choose = random.Random(length)
    return [tuple(choose.choice(list(TRANSFORMS)) for _ in range(length)) for _ in range(count)]


@pytest.mark.parametrize("names", [*drawn(16, 2), *drawn(10, 3)], ids=" then ".join)
def test_chains_drawn_at_random(names: tuple[str, ...]) -> None:
    compare(names)


@pytest.mark.parametrize("loop", ["scan", "while_loop", "cond", "map", "vmap"])
def test_what_is_stopped_inside_a_loop_stays_stopped_in_later_derivatives(loop: str) -> None:
    for after in (("hvp",), ("grad", "jvp"), ("jvp", "grad")):
        compare(("stop_gradient", loop, *after))


@pytest.mark.parametrize("loop", ["scan", "while_loop", "cond", "map", "vmap"])
def test_policies_keep_nothing_of_what_is_inside_a_loop(loop: str) -> None:
    compare((loop, "checkpoint with a policy", "grad"))
    compare((loop, "checkpoint with a policy", "hvp"))
