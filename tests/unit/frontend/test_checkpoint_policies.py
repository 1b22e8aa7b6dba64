"""Selective checkpoints: the same bits whatever is kept, and what is kept is not computed again."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import squall as sq
from squall.base.errors import AutogradError
from squall.func import (
    CheckpointPolicy,
    checkpoint_name,
    create_selective_checkpoint_contexts,
    save_only_these_names,
)
from squall.ir.node import toposort


def block(x: sq.Tensor, w: sq.Tensor) -> sq.Tensor:
    hidden = checkpoint_name((x @ w).tanh(), "hidden")
    return sq.nn.functional.dropout((hidden @ w).sin(), 0.3).softmax(-1)


def gradients(**options: Any) -> tuple[bytes, bytes]:
    sq.manual_seed(1)
    x, w = sq.randn(8, 16).requires_grad_(), sq.randn(16, 16).requires_grad_()
    sq.checkpoint(block, x, w, **options).square().sum().backward()
    return x.grad.numpy().tobytes(), w.grad.numpy().tobytes()


POLICIES: dict[str, Any] = {
    **{name: name for name in ("nothing_saveable", "everything_saveable", "dots_saveable",
                               "dots_with_no_batch_dims_saveable")},
    "names": ["matmul", "softmax"],
    "functions": [sq.matmul, sq.tanh],
    "by name": save_only_these_names("hidden"),
    "asked": lambda context, op, *operands: (
        CheckpointPolicy.MUST_SAVE if getattr(op, "name", op) == "tanh" and operands[0].shape == (8, 16)
        else CheckpointPolicy.PREFER_RECOMPUTE),
}  # fmt: skip


@pytest.mark.parametrize("name", list(POLICIES))
def test_the_bits_do_not_depend_on_the_policy(name: str) -> None:
    expected = gradients()
    assert gradients(policy=POLICIES[name]) == expected
    assert (
        gradients(context_fn=functools.partial(create_selective_checkpoint_contexts, POLICIES[name]))
        == expected
    )


@pytest.mark.parametrize(
    ("policy", "tanh"),
    [
        (None, 2),
        ("nothing_saveable", 2),
        (["tanh"], 1),
        ("everything_saveable", 1),
        (save_only_these_names("hidden"), 1),
    ],
    ids=["none", "nothing", "tanh", "everything", "by name"],
)
def test_what_is_kept_is_not_computed_again(policy: Any, tanh: int) -> None:
    x, w = sq.randn(8, 16).requires_grad_(), sq.randn(16, 16).requires_grad_()
    sq.checkpoint(block, x, w, policy=policy).square().sum().backward()
    waiting = toposort([x.grad.node, w.grad.node])
    assert sum(n.op.name == "tanh" for n in waiting) == tanh


def test_composes_with_the_transforms() -> None:
    def plain(x: sq.Tensor) -> sq.Tensor:
        return (x.sin() * x.exp()).sum()

    def kept(x: sq.Tensor) -> sq.Tensor:
        return sq.checkpoint(plain, x, policy=["sin"])

    xs = sq.linspace(0, 1, 6, dtype=sq.float64).reshape(2, 3)
    for transform in (
        lambda f: sq.vmap(sq.func.grad(f)),
        lambda f: sq.compile(sq.vmap(sq.func.grad(f))),
        lambda f: sq.vmap(sq.hessian(f)),
        lambda f: sq.compile(sq.vmap(sq.hessian(f))),
        lambda f: sq.func.grad(
            lambda v: sq.scan(lambda c, x: (c + f(x), None), sq.zeros((), dtype=sq.float64), v)[0]
        ),
        lambda f: lambda v: sq.jvp(sq.func.grad(lambda u: f(u[0])), (v,), (v,))[1],
    ):
        assert sq.allclose(transform(kept)(xs), transform(plain)(xs), rtol=1e-12, atol=1e-12)


def test_a_function_that_does_something_else_the_second_time_is_named() -> None:
    runs = []

    def moody(x: sq.Tensor) -> sq.Tensor:
        runs.append(1)
        return (x.sin() if len(runs) == 1 else x.cos()).exp()

    x = sq.ones(3, requires_grad=True)
    out = sq.checkpoint(moody, x, policy=["sin"])
    with pytest.raises(AutogradError, match=r"did something else.*cos instead of sin"):
        out.sum().backward()


def test_policies_that_are_none() -> None:
    x = sq.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="dots_saveable"):
        sq.checkpoint(sq.sin, x, policy="dots")
    with pytest.raises(TypeError, match="policy"):
        sq.checkpoint(sq.sin, x, policy=3)
    with pytest.raises(TypeError, match="Tensor"):
        checkpoint_name(3, "three")
    assert checkpoint_name(x, "x") is x
