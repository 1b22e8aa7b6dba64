"""Functions of Tensors recorded by native code against what Python records."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

import squall as sq
from squall.frontend import known_calls
from squall.frontend.entries import Native
from squall.nn import functional as F
from tests.unit.frontend.counting import no_leak
from tests.unit.frontend.native_code import history, in_python, load


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    load()


CALLS: dict[str, Callable] = {
    "linear": lambda x, y, t: F.linear(x, y), "bias": lambda x, y, t: F.linear(x, y, y[0]),
    "same": lambda x, y, t: F.linear(x, x), "softmax": lambda x, y, t: F.softmax(x, -1),
    "softmax 0": lambda x, y, t: F.softmax(x, dim=0),
    "softmax of a dtype": lambda x, y, t: F.softmax(x, 1, dtype=sq.float64),
    "log_softmax": lambda x, y, t: F.log_softmax(y, 1), "relu": lambda x, y, t: F.relu(x),
    "gelu": lambda x, y, t: F.gelu(x) + F.gelu(x, "tanh"), "silu": lambda x, y, t: F.silu(y),
    "layer_norm": lambda x, y, t: F.layer_norm(x, (4,), y[0], y[1]),
    "layer_norm eps": lambda x, y, t: F.layer_norm(x, (4,), eps=0.5),
    "layer_norm list": lambda x, y, t: F.layer_norm(x, [4]),
    "rms_norm": lambda x, y, t: F.rms_norm(x, (4,), y[0]),
    "cross_entropy": lambda x, y, t: F.cross_entropy(x, t),
    "smoothed": lambda x, y, t: F.cross_entropy(x, t, label_smoothing=0.1),
    "sum": lambda x, y, t: F.cross_entropy(x, t, reduction="sum"),
    "soft": lambda x, y, t: F.cross_entropy(x, y.detach()), "mse": lambda x, y, t: F.mse_loss(x, y),
    "mse none": lambda x, y, t: F.mse_loss(x, y, reduction="none"),
    "embedding": lambda x, y, t: F.embedding(t, x),
    "padding": lambda x, y, t: F.embedding(t, x, padding_idx=1), "cat": lambda x, y, t: sq.cat((x, y)),
    "cat -1": lambda x, y, t: sq.cat([x, y, x * 2.0], -1),
    "cat of kinds": lambda x, y, t: sq.cat((x, t.reshape(1, 4))),
    "cat generator": lambda x, y, t: sq.cat((v for v in (x, y)), 1),
    "stack": lambda x, y, t: sq.stack((x, y)), "stack -1": lambda x, y, t: sq.stack([x, y], -1),
    "stack of kinds": lambda x, y, t: sq.stack([x[0], t]),
    "where": lambda x, y, t: sq.where(x > y, x, y), "where number": lambda x, y, t: sq.where(x > y, x, 0.25),
    "number where": lambda x, y, t: sq.where(x > y, 7, y), "where of kinds": lambda x, y, t: sq.where(x > y, x, t),
    "where whole": lambda x, y, t: x.where(t > 1, -(1 << 45)), "masked_fill": lambda x, y, t: x.masked_fill(t > 1, -1),
    "masked_fill inf": lambda x, y, t: y.masked_fill(x > y, float("-inf")),
    "masked_fill of a Tensor": lambda x, y, t: x.masked_fill(x > y, y[0, 0].detach()),
    "clamp": lambda x, y, t: x.clamp(0.75, 1), "clamp low": lambda x, y, t: sq.clamp(y, min=1.0),
    "clamp Tensors": lambda x, y, t: x.clamp(y, y + 0.25), "maximum": lambda x, y, t: x.maximum(y),
    "minimum": lambda x, y, t: sq.minimum(x, y), "gather": lambda x, y, t: x.gather(1, t.reshape(4, 1)),
    "index_select": lambda x, y, t: x.index_select(0, t), "var": lambda x, y, t: x.var(0, correction=0),
    "nll": lambda x, y, t: F.nll_loss(x, t, y[0].detach()),
    "bce": lambda x, y, t: F.binary_cross_entropy_with_logits(x, y, reduction="sum"),
}  # fmt: skip


def operands(kind: str) -> tuple:
    draw = np.random.RandomState(0)
    x, y = (sq.tensor(draw.uniform(0.5, 1.5, (4, 4)).astype("float32")) for _ in range(2))
    if kind in ("both", "first"):
        x.requires_grad_()
    if kind in ("both", "second"):
        y = y.requires_grad_() * 1.0
    if kind == "view":
        x = x.requires_grad_().T
    return x, y, sq.tensor([1, 3, 0, 2])


def facts(call: Callable, kind: str, grad: bool) -> tuple:
    x, y, t = operands(kind)
    with sq.set_grad_enabled(grad):
        out = call(x, y, t)
    node = out._node
    names = [n.op.name for n in node.inputs]
    told = (node.op.name, node.attrs, node.type, names, history(out.edge), out._cell, out._view)
    if grad and out.edge is not None:
        out.sum().backward()
    grads = [None if v.grad is None else v.grad.tolist() for v in (x, y) if v.is_leaf]
    return told, grads, out.detach().numpy().tobytes()


@pytest.mark.parametrize("kind", ["plain", "first", "second", "both", "view"])
@pytest.mark.parametrize("name", CALLS)
def test_what_is_recorded_is_what_python_records(name: str, kind: str) -> None:
    for grad in (False, True):
        with in_python():
            expected = facts(CALLS[name], kind, grad)
        assert [facts(CALLS[name], kind, grad) for _ in range(3)] == [expected] * 3


def test_other_arguments_are_other_calls() -> None:
    x = sq.tensor([[1.0, 2.0], [3.0, 5.0]])
    for _ in range(3):
        assert F.softmax(x, 0)[0, 0].item() != F.softmax(x, 1)[0, 0].item()
        assert F.layer_norm(x, (2,), eps=0.0)[0, 0].item() != F.layer_norm(x, (2,), eps=1.0)[0, 0].item()
        target = sq.tensor([0, 1])
        assert F.cross_entropy(x, target, ignore_index=0).item() != F.cross_entropy(x, target).item()
        assert sq.cat((x, x), True).shape == (2, 4) and sq.cat((x, x), 0).shape == (4, 2)


def test_numbers_that_look_alike_are_other_numbers() -> None:
    x, mask = sq.tensor([1.0, 2.0]), sq.tensor([True, False])
    for _ in range(3):
        assert str(x.masked_fill(mask, -0.0)[0].item()) == "-0.0"
        assert str(x.masked_fill(mask, 0.0)[0].item()) == "0.0"
        assert x.masked_fill(mask, (1 << 24) + 1).tolist() == [float(1 << 24), 2.0]
        for value in (1, 1.5, True, -3, (1 << 41) + 1, float("inf"), -(1 << 60), 10**30):
            assert sq.where(mask, x, value).tolist() == [1.0, float(np.float32(value))]


def test_numbers_alone_have_the_default_dtype_of_the_moment() -> None:
    mask = sq.tensor([True, False])
    for dtype in (sq.float32, sq.float64, sq.float32):
        sq.set_default_dtype(dtype)
        try:
            assert [sq.where(mask, 1.0, 2.0).dtype for _ in range(3)] == [dtype] * 3
            assert [sq.where(mask, sq.tensor([1, 2]), 2.0).dtype for _ in range(3)] == [dtype] * 3
        finally:
            sq.set_default_dtype(sq.float32)


def test_more_calls_than_places_for_them() -> None:
    x, mask = sq.tensor([1.0, 2.0]), sq.tensor([True, False])
    for _ in range(2):
        for i in range(700):
            assert x.masked_fill(mask, i / 7)._node.inputs[1].buffer == i / 7


def test_each_thread_has_its_modes() -> None:
    x = sq.ones(2, requires_grad=True)
    seen: list[tuple] = []

    def look(grad: bool) -> None:
        with sq.set_grad_enabled(grad):
            for _ in range(200):
                seen.append((grad, (x + x).requires_grad, F.relu(x).requires_grad))

    threads = [threading.Thread(target=look, args=(i % 2 == 0,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        assert F.relu(x).requires_grad and (x * 2.0).requires_grad
    for thread in threads:
        thread.join()
    assert len(seen) == 1200 and all(a == b == c for a, b, c in seen)


def test_errors_of_values_name_the_line_that_recorded() -> None:
    weight = sq.ones(3, 2, requires_grad=True)

    def inner(index: sq.Tensor) -> sq.Tensor:
        return F.embedding(index, weight)

    line = inner.__code__.co_firstlineno + 1
    for _ in range(3):
        assert inner(sq.tensor([2, 0])).tolist() == [[1.0, 1.0]] * 2
        with pytest.raises(IndexError, match=f"test_native_calls.py:{line}"):
            inner(sq.tensor([0, 3])).tolist()


def test_errors_come_back_every_time() -> None:
    x = sq.ones(2, 3)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="linear"):
            F.linear(x, sq.ones(2, 4))
        with pytest.raises(RuntimeError, match="stack"):
            sq.stack((x, sq.ones(3, 2)))
        with pytest.raises(RuntimeError, match="approximate"):
            F.gelu(x, "none at all")
        with pytest.raises(TypeError, match="cat"):
            sq.cat((x, 3))


def test_one_tensor_twice_teaches_nothing() -> None:
    def body(a: sq.Tensor, b: sq.Tensor) -> sq.Tensor:
        return a - b

    x, y = sq.ones(3), sq.zeros(3)
    for _ in range(3):
        assert Native.call(body, x, x).tolist() == [0.0, 0.0, 0.0]
    for _ in range(3):
        assert Native.call(body, x, y).tolist() == [1.0, 1.0, 1.0]


def test_only_one_op_on_what_is_given_is_remembered() -> None:
    outside = sq.ones(3)

    def two(a: sq.Tensor) -> sq.Tensor:
        return a * 2.0 + 1.0

    def other(a: sq.Tensor) -> sq.Tensor:
        return a + outside

    def itself(a: sq.Tensor) -> sq.Tensor:
        return a

    for body, expected in ((two, 3.0), (other, 2.0), (itself, 1.0)):
        for _ in range(3):
            assert Native.call(body, sq.ones(3)).tolist() == [expected] * 3
        assert all(memo is None for key, memo in known_calls.known.items() if key[0] is body)


def test_traced_and_eager_calls_are_those_of_python() -> None:
    f = sq.compile(lambda x: F.softmax(F.linear(x, x), -1))
    x = sq.tensor([[1.0, 2.0], [3.0, 5.0]])
    expected = F.softmax(F.linear(x, x), -1).tolist()
    for _ in range(3):
        assert f(x).tolist() == expected
        assert sq.vmap(lambda row: F.softmax(row, 0))(F.linear(x, x)).tolist() == expected
    with sq.inference_mode():
        assert F.softmax(F.linear(x, x), -1).tolist() == expected


def test_calls_leak_nothing() -> None:
    x, y, t = operands("both")

    def step() -> None:
        for _ in range(10):
            (F.linear(x, y, y[0]), F.softmax(x, -1), sq.cat((x, y)), sq.stack([x, y]), F.cross_entropy(x, t))
        sq.flush()

    for _ in range(3):
        step()
    held = [None, True, False, (), 0, 1, -1, -100, x, y, t, x._node, x._node.type, sq.float32, tuple, list]
    assert no_leak(step, held, 50, 60)
