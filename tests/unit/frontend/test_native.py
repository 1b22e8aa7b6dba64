"""The native flush against the Python it stands for: the same keys, the same donation, the same results."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import squall as sq
from squall.base import config, trace
from squall.base.errors import IndexRangeError, ShapeError, TraceError
from squall.engine import realize
from squall.engine.keys import signature
from squall.frontend import native
from squall.frontend.state import local
from squall.runtime.native_language import translate
from squall.runtime.python_native import offset_of
from tests.unit.frontend.counting import no_leak
from tests.unit.frontend.native_code import in_python, load


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    load()


def programs() -> list:
    def mixed(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
        z = (x * 0.0 + y * -0.0).clamp(-1.0, 1.5)
        return sq.softmax(z @ y.T, 1).sum(0, keepdim=True) / 3 + x.mean() ** 2

    def trained(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
        w = x.detach().clone().requires_grad_()
        loss = ((w @ y.T).relu() * 2.0).mean()
        loss.backward()
        with sq.no_grad():
            w -= 0.1 * w.grad
        return w + loss

    def written(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
        z = x + 1.0
        z[1:3] = y[0:2] * 2.0
        z[:, 0].mul_(3.0)
        return z

    def norm(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
        return sq.nn.functional.layer_norm(x, (4,), eps=1e-5) + sq.nn.functional.layer_norm(y, (4,), eps=1e-3)

    def several(x: sq.Tensor, y: sq.Tensor) -> sq.Tensor:
        values, indices = (x - y).max(1)
        return values + indices.float()

    return [mixed, trained, written, norm, several]


def operands() -> tuple:
    draw = np.random.RandomState(0)
    return tuple(sq.tensor(draw.standard_normal((4, 4)).astype(np.float32)) for _ in range(2))


@pytest.mark.parametrize("program", programs(), ids=lambda p: p.__name__)
def test_keys_are_those_of_python(program) -> None:
    x, y = operands()
    sq.flush()
    config.code_key()
    out = program(x, y)
    roots = [n for n in [held()._node for held in local.state.pending if held() is not None]
             if n is not None and n.buffer is None]
    roots = list({id(n): n for n in roots}.values())
    assert out.node.buffer is None and roots
    assert native.functions["key"](roots)[:4] == signature(roots).key
    assert repr(native.functions["key"](roots)[:4]) == repr(signature(roots).key)  # 0.0 and -0.0, 1 and True


@pytest.mark.parametrize("keep", ["", "node", "buffer", "block"])
def test_donation_is_that_of_python(keep) -> None:
    x = sq.ones(100) * 2
    sq.flush()
    held = {"": None, "node": x._node, "buffer": x._node.buffer, "block": x._node.buffer.block}[keep]
    x += 1.0
    roots = [x._cell._node]
    mine, theirs = native.functions["key"](roots), signature(roots).key
    assert mine == theirs
    assert mine[2] == (held is None,)
    with config.options(donate=False):
        config.code_key()
        assert native.functions["key"](roots)[2] == (False,)


@pytest.mark.parametrize("program", programs(), ids=lambda p: p.__name__)
def test_bits_are_those_of_python(program) -> None:
    x, y = operands()
    with in_python():
        expected = [program(x, y).detach().numpy().tobytes() for _ in range(4)]
    before = trace.counters["flushes"]
    assert [program(x, y).detach().numpy().tobytes() for _ in range(4)] == expected
    assert trace.counters["flushes"] > before


def _facts(edge: object, seen: int = 0) -> object:
    """A history as plain data: ops, attributes, types, what is saved, and versions."""
    if edge is None or not hasattr(edge, "edges"):
        return type(edge).__name__
    def kept(values: tuple | None) -> list | None:
        return None if values is None else [v is not None for v in values]
    return (edge.op.name, edge.attrs, edge.types, edge.out_type, kept(edge.inputs), kept(edge.holders), edge.versions,
            edge.output is not None, edge.state, edge.cells, [_facts(e) for e in edge.edges])


def _expressions() -> list:
    return [
        lambda x, y: x + y, lambda x, y: 1 - x, lambda x, y: x - y, lambda x, y: y * 2.0, lambda x, y: 2 / y,
        lambda x, y: x / y, lambda x, y: x @ y, lambda x, y: x.sum(), lambda x, y: x.mean(1, keepdim=True),
        lambda x, y: y.relu(), lambda x, y: x.exp(), lambda x, y: x.floor(), lambda x, y: sq.softmax(y, 1),
        lambda x, y: x + y[0], lambda x, y: x.T - y, lambda x, y: x + True,
        lambda x, y: x.detach() * y.detach(), lambda x, y: (x > y) | (y > 0), lambda x, y: x.to(sq.float64) + y,
        lambda x, y: x.to(sq.int64) + 1, lambda x, y: x + np.ones(4, "float32"), lambda x, y: x * sq.tensor(2.0),
    ]


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("number", range(len(_expressions())))
def test_what_is_recorded_is_what_python_records(number: int, grad: bool) -> None:
    expression = _expressions()[number]
    x, y = operands()
    if grad:
        x.requires_grad_()
        y = (y.requires_grad_() * 1.0)
        y.add_(0.0)  # written in place: its version counts

    def facts() -> tuple:
        out = expression(x, y)
        node = out.node
        assert any(held() is out for held in local.state.pending)
        operand_names = [n.op.name for n in node.inputs]
        return node.op.name, node.attrs, node.type, operand_names, _facts(out.edge), out._cell, out._view

    with in_python():
        expected = [facts() for _ in range(2)]
    assert [facts() for _ in range(2)] == expected
    with sq.no_grad():
        assert expression(x, y).edge is None


def test_recording_leaks_nothing() -> None:
    x, y = operands()
    x.requires_grad_()
    z = sq.ones(4, 4)
    z += 1.0

    def step() -> None:
        for _ in range(10):
            (x + y, x * 2.0, x @ y, x.sum(), z.relu(), x / z, 1 - x)
        sq.flush()

    for _ in range(3):
        step()
    held = [None, True, False, (), 0, x, y, x._node, y._node, x._node.type, sq.float32, z._cell, x._edge]
    assert no_leak(step, held, 50, 60)


def test_unusable_operands_are_refused_as_before() -> None:
    x = sq.ones(3)
    for _ in range(2):
        with pytest.raises(TypeError):
            x + "a"
        with pytest.raises(TypeError):
            "a" * x
        with pytest.raises(ShapeError):
            x + sq.ones(4)
    assert x.__add__("a") is NotImplemented


def test_known_plans_run_natively() -> None:
    x, y = operands()
    for _ in range(3):
        (x * y - 1.0).sum().item()
    looked_up = realize.plans.hits
    value = (x * y - 1.0).sum()
    assert isinstance(value.item(), float)
    assert realize.plans.hits == looked_up  # Python was not asked


def test_items_of_every_dtype() -> None:
    for dtype in ("float32", "float64", "int64", "int32", "bool", "float16", "bfloat16", "uint8"):
        for _ in range(4):
            value = sq.tensor([1, 1]).to(getattr(sq, dtype))[0:1].sum().to(getattr(sq, dtype))
            with in_python():
                expected = sq.tensor([1, 1]).to(getattr(sq, dtype))[0:1].sum().to(getattr(sq, dtype)).item()
            assert value.item() == expected and type(value.item()) is type(expected)
            assert bool(value) is True and float(value) == 1.0 and int(value) == 1


def test_nothing_is_leaked() -> None:
    x, y = operands()
    held = [None, True, False, (), sq.float32, x._node, y._node, x._node.type, x._node.op]

    def step() -> float:
        z = (x + y).relu()
        z += 1.0
        return z.sum().item() + float(z.mean()) + bool(z.sum() > 0)

    for _ in range(20):
        step()
    assert no_leak(step, held, 500, 100, objects=200)
    assert not local.state.pending


def test_small_results_have_memory_of_their_own() -> None:
    x = sq.arange(16).float()
    for _ in range(3):
        kept = [x + float(i) for i in range(100)]
        sq.flush()
    pointers = {t._node.buffer.pointer for t in kept}
    assert len(pointers) == 100 and all(p % 64 == 0 for p in pointers)
    assert all((t.numpy() == np.arange(16) + i).all() for i, t in enumerate(kept))


def test_large_results_and_graphs() -> None:
    x = sq.ones(5000)
    for _ in range(4):
        parts = [x * float(i) for i in range(300)]
        total = sum(parts[1:], parts[0])
        assert total.sum().item() == 5000 * 300 * 299 / 2


def test_an_index_out_of_range_raises_and_changes_nothing() -> None:
    table = sq.arange(10).float()

    def picked(where: sq.Tensor) -> sq.Tensor:
        return table[where].sum()

    for _ in range(4):
        assert picked(sq.tensor([1, 2]) + 0).item() == 3.0
    waiting = table + 1.0
    wrong = picked(sq.tensor([1, 20]) + 0)
    with pytest.raises(IndexRangeError):
        wrong.item()
    assert local.state.broken
    assert waiting.tolist() == list(range(1, 11))
    with pytest.raises(IndexRangeError):
        wrong.item()
    del wrong
    sq.flush()
    assert not local.state.broken


def test_threads_at_once() -> None:
    x, y = operands()
    expected = (x * y).sum().item()
    wrong: list = []

    def work() -> None:
        for _ in range(300):
            if (x * y).sum().item() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_threads_meet_a_plan_at_once_for_the_first_time() -> None:
    for size in range(3, 40):
        x, got = sq.ones(size, 3), []

        def work(x: sq.Tensor = x, got: list = got) -> None:
            got.append((x + 2.0).exp().sum().item())

        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(got) == 3 and len(set(got)) == 1


def test_sizes_that_no_input_shows() -> None:
    for size in range(3, 12):
        assert (sq.ones(size, 3) + 2.0).sum().item() == 9.0 * size


def test_traced_values_are_refused_as_before() -> None:
    @sq.compile
    def f(x: sq.Tensor) -> sq.Tensor:
        return x * float(x.sum())

    with pytest.raises(TraceError):
        f(sq.ones(3))


def test_the_language() -> None:
    text = translate(["def f(a, b):\n    for i in range(3):\n        if a < b and not b == 7:\n            a[i] = K\n"],
                     {"K": 5}, ("T",), ("f",))
    assert "define i64 @f(i64 %a.in, i64 %b.in)" in text and "store i64 5" in text
    for wrong in ("def f(a):\n    return a.missing", "def f(a):\n    return unknown(a)", "def f(a):\n    return b",
                  "def f(a):\n    with a:\n        pass"):
        with pytest.raises(SyntaxError, match="f, line 2"):
            translate([wrong], {}, (), ("f",))


def test_offsets_are_found() -> None:
    class Pair:
        __slots__ = ("a", "b")

    assert offset_of(Pair, "b") == offset_of(Pair, "a") + 8
