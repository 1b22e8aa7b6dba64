"""Backward passes from templates against those by the rules: the same gradients, graphs, errors and freed values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import squall as sq
from squall.base.errors import AutogradError
from squall.engine import ready
from squall.engine.keys import signature
from squall.frontend import core, known_backward
from squall.ir.op import constant

F = sq.nn.functional


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    if ready.Native.load is not None:
        ready.Native.load, load = None, ready.Native.load
        load()
    if ready.Native.flush is None:
        pytest.skip("no native code on this interpreter")


LOSSES: list[Callable] = [
    lambda x, y: (x * y).sum(), lambda x, y: (x @ y.T).relu().mean(), lambda x, y: (x * x * x).sum(),
    lambda x, y: (x.exp() + x.exp()).mean() + x.sum(), lambda x, y: F.softmax(x, 1)[1:3].sum() * y[0, 0],
    lambda x, y: F.layer_norm(x, (6,)).pow(2).mean(), lambda x, y: F.cross_entropy(x + y, sq.tensor([1, 0, 5, 2])),
    lambda x, y: sq.cat((x, y, x)).T.reshape(-1).square().sum(), lambda x, y: x.max(1)[0].sum() + y.detach().sum(),
    lambda x, y: (x.clamp(-0.0, 0.5) * 0.0 + y.clamp(0.0, 0.5) * -0.0).sum(), lambda x, y: (x[0] * 2.0).sum(),
    lambda x, y: sq.where(x > y, x, y * 3.0).sum(), lambda x, y: F.embedding(sq.tensor([0, 3, 3]), x).sum(),
    lambda x, y: sum((a * b).sum() for a, b in zip(x.split(2, 1), y.chunk(3, 1), strict=True)),
]  # fmt: skip


def leaves() -> tuple[sq.Tensor, sq.Tensor]:
    draw = np.random.RandomState(3)
    x, y = (sq.tensor(draw.standard_normal((4, 6)).astype(np.float32), requires_grad=True) for _ in range(2))
    return x, y


def gradients(loss: Callable, native: bool, monkeypatch: pytest.MonkeyPatch) -> tuple:
    """Key of the gradients' graph, their bytes, and what a second backward says; for a pass, or one of a known tape."""
    with monkeypatch.context() as patch:
        if not native:
            patch.setattr(core.Native, "backward", None)
        x, y = leaves()
        out = loss(x, y)
        sq.flush()
        out.backward()
        made = [t.grad for t in (x, y) if t.grad is not None]
        key = repr(signature([g.node for g in made if g.node.buffer is None]).key)
        try:
            out.backward()
            again = "" if x.grad is None else x.grad.numpy().tobytes()
        except AutogradError as error:
            again = str(error)
    return key, [g.numpy().tobytes() for g in made], again


@pytest.mark.parametrize("loss", LOSSES, ids=range(len(LOSSES)))
def test_gradients_are_those_of_the_rules(loss, monkeypatch) -> None:
    expected = gradients(loss, False, monkeypatch)
    for _ in range(3):
        assert gradients(loss, True, monkeypatch) == expected


def known_for(make: Callable) -> int:
    """How many tapes became known."""
    before = len(known_backward.known)
    make()
    return len(known_backward.known) - before


def test_what_is_the_same_tape() -> None:
    x, y = leaves()

    def back(a: sq.Tensor, b: sq.Tensor, factor: float = 2.0) -> None:
        (a.tanh() * b.sin() * factor).sum().backward()

    back(x, y)
    assert known_for(lambda: back(x, y)) == 0
    assert known_for(lambda: back(y, x)) == 0
    assert known_for(lambda: back(x, y, 3.0)) == 0  # numbers are values
    assert known_for(lambda: back(x, x)) == 1  # one leaf, two edges
    assert known_for(lambda: back(x, y.detach())) == 1  # another operand needs no gradient
    assert known_for(lambda: back(x[:2], y[:2])) > 0


def test_gradients_gather_and_hooks_are_called() -> None:
    x, _ = leaves()
    for _ in range(3):
        (x * 2.0).sum().backward()
    assert x.grad.tolist() == [[6.0] * 6] * 4
    seen: list = []
    handle = x.register_hook(lambda g: seen.append(1) or g * 10.0)
    (x * 2.0).sum().backward()
    handle.remove()
    (x * 2.0).sum().backward()
    assert seen == [1] and x.grad.tolist() == [[28.0] * 6] * 4


def test_retained_and_written_tapes() -> None:
    x, y = leaves()
    for _ in range(3):
        x.grad = None
        out = (x * y).sum()
        out.backward(retain_graph=True)
        out.backward()
        assert np.array_equal(x.grad.numpy(), 2 * y.detach().numpy())
    for _ in range(2):
        z = y * 1.0
        out = (x * z).sum()
        z.add_(1.0)
        with pytest.raises(AutogradError, match="modified by an inplace operation"):
            out.backward()


def test_lines_of_gradients_with_checked_indices() -> None:
    weight = sq.zeros(4, 3, requires_grad=True)
    for wrong in (1, 1, 9):
        index = sq.tensor([[0], [wrong]]) * 1
        weight.grad = None
        sq.gather(weight, 0, index).sum().backward()
        if wrong == 1:
            assert weight.grad.sum().item() == 2.0
    with pytest.raises(IndexError, match=r"test_known_backward\.py:.* by gather, of whose gradient this is part"):
        weight.grad.numpy()


def test_parts_of_a_tensor_are_known_again() -> None:
    """Where a part begins is a constant, whose type must be the one object of its content: keys hold its address."""
    held = []
    known_backward.known.clear()
    for _ in range(8):
        x, y = leaves()
        a, b, c = (x * y).split([1, 2, 3], 1)
        ((a * 2.0).sum() + b.mean() + (c * c).sum()).backward()
        held.append((x.grad, y.grad))
    assert len(known_backward.known) == 1


def test_constants_of_one_dtype_share_their_type() -> None:
    assert constant(1.0, sq.float32).type is constant(2.5, sq.float32).type
