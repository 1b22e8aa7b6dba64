"""Compiled functions bound to memory: the values of calls, nothing stale, and errors for what cannot be bound."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import squall as sq
from squall.base.errors import ArgumentError, DtypeError, ShapeError, TraceError
from squall.frontend import bound as bound_module
from squall.frontend.calling import NativeBound
from tests.unit.frontend.counting import no_leak

BOTH = pytest.mark.parametrize("native", [True, False])


@pytest.fixture(autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    bound_module.load()
    if hasattr(request.node, "callspec") and not request.node.callspec.params.get("native", True):
        monkeypatch.setattr(NativeBound, "function", None)


def network() -> sq.nn.Module:
    sq.manual_seed(0)
    return sq.nn.Sequential(sq.nn.Linear(3, 8), sq.nn.ReLU(), sq.nn.Linear(8, 2))


def value(model: sq.nn.Module, x: np.ndarray) -> list:
    with sq.no_grad():
        return model(sq.tensor(x)).tolist()


@BOTH
def test_runs_read_arrays_where_they_lie(native: bool) -> None:
    model, x, y = network(), np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    bound = sq.compile(model).bind(x, out=y)
    for i in range(5):
        x[:] = np.random.RandomState(i).rand(4, 3)
        assert bound.run() is y and bound() is y
        assert y.tolist() == value(model, x)


@BOTH
def test_parameters_are_read_as_they_are(native: bool) -> None:
    model, x = network(), np.ones((1, 3), "float32")
    bound = sq.compile(model).bind(x)
    model_values = [bound.run().tolist()]
    changes = [
        lambda: model[0].weight.add_(1.0), lambda: model[2].bias.zero_(), lambda: model[0].weight.data.fill_(0.5),
        lambda: setattr(model[2], "weight", sq.nn.Parameter(sq.ones(2, 8))),
        lambda: model[0].bias.detach().numpy().fill(3.0),
    ]
    for change in changes:
        with sq.no_grad():
            change()
        for _ in range(3):
            assert bound.run().tolist() == value(model, x)
        model_values.append(bound.run().tolist())
    assert len({str(v) for v in model_values}) == len(model_values)


@BOTH
def test_guards_hold_for_runs_too(native: bool) -> None:
    settings = {"gain": 2.0}
    f = sq.compile(lambda x: x * settings["gain"])
    x = np.ones(2, "float32")
    bound = f.bind(x)
    assert bound.run().tolist() == [2.0, 2.0]
    settings["gain"] = 5.0
    assert bound.run().tolist() == [5.0, 5.0] and bound.run().tolist() == [5.0, 5.0]
    model = sq.nn.Dropout(1.0).eval()
    bound = sq.compile(lambda x: model(x) * sq.tensor([3.0, 4.0])).bind(x)
    assert bound.run().tolist() == [3.0, 4.0]


@BOTH
def test_tensors_as_arguments_and_results(native: bool) -> None:
    x, y = sq.ones(3), sq.zeros(3)
    before = y + 1.0
    kept = y.clone()
    bound = sq.compile(lambda a, k: a * 2.0 + k).bind(x, k=1.0, out=y)
    assert bound.run() is y and y.tolist() == [3.0] * 3
    assert before.tolist() == [1.0] * 3 and kept.tolist() == [0.0] * 3
    x.add_(1.0)
    read = bound.run() + 0.0
    x.mul_(10.0)
    assert bound.run().tolist() == [41.0] * 3 and read.tolist() == [5.0] * 3
    assert x.tolist() == [20.0] * 3


@BOTH
def test_several_results(native: bool) -> None:
    x = np.arange(3, dtype="float32")
    bound = sq.compile(lambda x: (x + 1.0, (x * 2.0).sum())).bind(x)
    first, second = bound.run()
    assert first.tolist() == [1.0, 2.0, 3.0] and second.tolist() == 6.0
    outs = (np.zeros(3, "float32"), np.zeros((), "float32"))
    bound = sq.compile(lambda x: (x + 1.0, (x * 2.0).sum())).bind(x, out=outs)
    assert bound.run() is outs and outs[1].item() == 6.0


@BOTH
def test_what_does_not_fit_is_refused(native: bool) -> None:
    f = sq.compile(lambda x: x * 2.0)
    x = np.ones((2, 3), "float32")
    with pytest.raises(ShapeError, match=r"\[2, 3\], got \[3\]"):
        f.bind(x, out=np.zeros(3, "float32"))
    with pytest.raises(DtypeError, match="float32, got float64"):
        f.bind(x, out=np.zeros((2, 3)))
    with pytest.raises(ArgumentError, match="row-major"):
        f.bind(x, out=np.zeros((3, 2), "float32").T)
    with pytest.raises(ArgumentError, match="row-major"):
        f.bind(x.T)
    with pytest.raises(ArgumentError, match="share memory"):
        f.bind(x, out=x)
    with pytest.raises(TypeError, match="ndarray or Tensor"):
        f.bind(x, out=[1.0])
    state = sq.zeros(3)
    with pytest.raises(TraceError, match="writes"):
        sq.compile(lambda x: state.add_(x)).bind(sq.ones(3))
    with pytest.raises(TraceError, match="random"):
        sq.compile(lambda x: x + sq.rand(3)).bind(sq.ones(3))
    with pytest.raises(TraceError, match="one new Tensor"):
        sq.compile(lambda x: {"a": x + 1.0}).bind(sq.ones(3))
    with pytest.raises(TraceError, match="one new Tensor"):
        sq.compile(lambda x: x).bind(sq.ones(3))


def test_errors_of_runs_name_the_line() -> None:
    table, index = sq.arange(4).float(), np.array([1, 2])
    bound = sq.compile(lambda i: table[i] * 2.0).bind(index)
    assert bound.run().tolist() == [2.0, 4.0]
    index[0] = 9
    with pytest.raises(IndexError, match=r"test_bound\.py"):
        bound.run()
    index[0] = 0
    assert bound.run().tolist() == [0.0, 4.0]


def test_a_run_is_no_part_of_a_program() -> None:
    bound = sq.compile(lambda x: x * 2.0).bind(np.ones(2, "float32"))
    with pytest.raises(TraceError, match="bound memory"):
        sq.compile(lambda x: x + sq.tensor(bound.run()))(sq.ones(2))


def test_runs_leak_nothing_and_hold_what_they_use() -> None:
    x = np.ones(4, "float32")
    bound = sq.compile(network()).bind(np.ones((1, 3), "float32"))
    other = sq.compile(lambda x: x * 2.0).bind(x).run
    held = [None, bound, bound.out, x]
    for _ in range(3):
        bound.run(), other()
    assert no_leak(lambda: (bound.run(), other()), held, 1000, 20)
    gc.collect()
    assert other().tolist() == [2.0] * 4


def test_large_runs_let_other_threads_go_on() -> None:
    x = np.ones((256, 512), "float32")
    runs = [sq.compile(lambda x: (x @ x.T).sum(1)).bind(x) for _ in range(3)]
    expected = runs[0].run().tolist()
    wrong: list = []

    def work(bound) -> None:
        for _ in range(20):
            if bound.run().tolist() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work, args=(b,)) for b in runs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
