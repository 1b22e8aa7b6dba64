"""Whole calls of compiled functions in native code: the guards are those of Python, and none goes stale."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import squall as sq
from squall.frontend.binding import Program
from tests.unit.frontend.counting import no_leak
from tests.unit.frontend.native_code import in_python, load


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    load()


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list:
    """Programs that Python tried."""
    seen: list = []
    attempt = Program.attempt

    def counted(self: Program, *args: Any) -> Any:
        seen.append(self)
        return attempt(self, *args)

    monkeypatch.setattr(Program, "attempt", counted)
    return seen


def warm(f: Any, *args: Any, **named: Any) -> Any:
    """Call until native code has it."""
    for _ in range(4):
        out = f(*args, **named)
    assert f.ready
    return out


SCALE = 2.0


class Settings:
    def __init__(self) -> None:
        self.gain = 3.0
        self.parts = [1.0, 2.0]
        self.named = {"a": 1.0}


def test_warm_calls_do_not_ask_python(attempts) -> None:
    x, y = sq.ones(3), sq.full((3,), 2.0)
    f = sq.compile(lambda a, b: (a + b) * 2.0)
    warm(f, x, y)
    asked, calls = len(attempts), f.calls
    assert f(x, y).tolist() == [6.0] * 3 and f(y, x).tolist() == [6.0] * 3
    assert len(attempts) == asked and f.calls == calls + 2


@pytest.mark.parametrize("structure", [
    lambda x: ((x, [x + 1.0, {"k": x + 2.0}]), {}),
    lambda x: (({"a": x, "b": (x + 1.0,)},), {}),
    lambda x: ((x,), {"other": x + 1.0, "none": None}),
    lambda x: ((x, None, 3, "text", 2.5, True), {}),
])  # fmt: skip
def test_arguments_in_containers(structure, attempts) -> None:
    def total(*args: Any, **named: Any) -> Any:
        out: list = []

        def walk(v: Any) -> None:
            if isinstance(v, sq.Tensor):
                out.append(v)
            elif isinstance(v, dict):
                for item in v.values():
                    walk(item)
            elif isinstance(v, (list, tuple)):
                for item in v:
                    walk(item)

        walk(args)
        walk(named)
        return sum(out[1:], out[0]) * 1.0

    f = sq.compile(total)
    args, named = structure(sq.ones(2))
    expected = total(*args, **named).tolist()
    warm(f, *args, **named)
    asked = len(attempts)
    assert f(*args, **named).tolist() == expected and len(attempts) == asked
    assert f(sq.ones(2)).tolist() == [1.0, 1.0]  # another structure
    assert f(*args, **named).tolist() == expected


def test_other_arguments_are_other_programs() -> None:
    f = sq.compile(lambda x, mode, k: (x * k if mode == "a" else x - k) if mode else x / k)
    x = sq.ones(2)
    warm(f, x, "a", 2)
    for _ in range(3):
        assert f(x, "a", 2).tolist() == [2.0, 2.0]
        assert f(x, "b", 2).tolist() == [-1.0, -1.0]
        assert f(x, "", 4).tolist() == [0.25, 0.25]
        assert f(x, "a", 2.5).tolist() == [2.5, 2.5]
        assert f(x, "a", True).tolist() == [1.0, 1.0]
        assert f(x.to(sq.float64), "a", 2).dtype is sq.float64
        assert f(sq.ones(3), "a", 2).shape == (3,)
        assert f(sq.ones(3, 2).T[0], "a", 7).tolist() == [7.0] * 3
    same = sq.compile(lambda a, b: a * 2.0 - b)
    y = sq.zeros(2)
    warm(same, x, y)
    assert same(x, x).tolist() == [1.0, 1.0] and same(x, y).tolist() == [2.0, 2.0]


def test_values_read_from_outside_are_never_stale() -> None:
    global SCALE
    settings, offset, table = Settings(), 1.0, {"x": 5.0}

    def f(x: sq.Tensor) -> sq.Tensor:
        return x * SCALE * settings.gain + offset + settings.parts[1] + settings.named["a"] + table["x"]

    compiled = sq.compile(f)
    x = sq.ones(2)
    changes: list[Callable] = [
        lambda: setattr(settings, "gain", 4.0), lambda: settings.parts.__setitem__(1, 7.0),
        lambda: settings.parts.append(1.0), lambda: settings.named.update(a=9.0), lambda: table.update(x=-1.0),
        lambda: settings.named.update(b=0.0), lambda: setattr(settings, "parts", [0.0, 0.5]),
    ]
    for change in changes:
        assert warm(compiled, x).tolist() == f(x).tolist()
        change()
        assert compiled(x).tolist() == f(x).tolist()
    warm(compiled, x)
    SCALE = 0.5
    assert compiled(x).tolist() == f(x).tolist()
    warm(compiled, x)
    offset = -3.0
    assert compiled(x).tolist() == f(x).tolist()
    SCALE = 2.0


def test_modules_are_never_stale() -> None:
    class Net(sq.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.drop = sq.nn.Linear(2, 2), sq.nn.Dropout(0.5)
            self.factor, self.use = 2.0, True

        def forward(self, x: sq.Tensor) -> sq.Tensor:
            y = self.one(x) * self.factor
            return self.drop(y) if self.use else -y

    net = Net().eval()
    f = sq.compile(net)
    x = sq.ones(1, 2)

    def check() -> None:
        for _ in range(4):
            assert f(x).tolist() == net(x).tolist()

    with sq.no_grad():
        check()
        for change in (
            lambda: setattr(net, "factor", 3.0), lambda: setattr(net, "use", False),
            lambda: setattr(net.one, "weight", sq.nn.Parameter(sq.ones(2, 2))), lambda: net.one.bias.add_(1.0),
            lambda: setattr(net, "one", sq.nn.Linear(2, 2, bias=False)), lambda: net.one.weight.copy_(sq.zeros(2, 2)),
            lambda: net.one.weight.data.fill_(2.0), lambda: net.double().float(),
            lambda: net.load_state_dict({"one.weight": sq.full((2, 2), 0.25)}),
            lambda: net.one.register_forward_hook(lambda module, given, out: out + 100.0),
        ):
            change()
            check()
        net.train()
        net.use = True
        assert {f(sq.ones(1, 200)[:, :2].clone()).tolist()[0][0] for _ in range(40)} != {f(x).tolist()[0][0]}
        net.eval()
        check()
    assert f(x).requires_grad  # with gradients it is another program
    with sq.no_grad():
        assert not f(x).requires_grad


def test_results_of_all_kinds() -> None:
    x = sq.ones(2)
    programs: list[Callable] = [
        lambda x: (x + 1.0, x * 3.0), lambda x: [x + 1.0], lambda x: {"a": x + 1.0, "b": (x - 1.0, 5)}, lambda x: None,
        lambda x: (x + 1.0, x), lambda x: ((x + 1.0),) * 2, lambda x: ((x + 1.0).view(2, 1), 7), lambda x: x,
    ]
    for program in programs:
        f = sq.compile(program)
        with in_python():
            expected = repr(sq.compile(program)(x))
        for _ in range(4):
            assert repr(f(x)) == expected


def test_modes_are_guards() -> None:
    w = sq.ones(2, requires_grad=True)
    f = sq.compile(lambda x: x * w)
    x = sq.ones(2)
    for _ in range(3):
        assert f(x).requires_grad
        with sq.no_grad():
            assert not f(x).requires_grad
        with sq.inference_mode():
            assert not f(x).requires_grad
    seven = sq.compile(lambda x: x / 2)
    whole = sq.ones(2, dtype=sq.int64)
    warm(seven, whole)
    sq.set_default_dtype(sq.float64)
    try:
        assert seven(whole).dtype is sq.float64
    finally:
        sq.set_default_dtype(sq.float32)
    assert seven(whole).dtype is sq.float32


def test_inside_another_program_and_eagerly() -> None:
    inner = sq.compile(lambda x: x * 2.0)
    x = sq.ones(2)
    warm(inner, x)
    outer = sq.compile(lambda x: inner(x) + 1.0)
    assert warm(outer, x).tolist() == [3.0, 3.0]
    assert sq.vmap(lambda row: inner(row))(sq.ones(3, 2)).tolist() == [[2.0, 2.0]] * 3


def test_calls_alone_bring_native_code() -> None:
    code = (
        "import squall as sq\n"
        "from squall.engine import ready\n"
        "f, x = sq.compile(lambda a: a * 2.0), sq.ones(2)\n"
        "for _ in range(12):\n    f(x)\n"
        "print(ready.Native.load is None and f.ready is not None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.strip() == "True"


def test_literals_are_inputs_too(attempts) -> None:
    f = sq.compile(lambda x: x * sq.tensor([1.0, 10.0]))
    x = sq.ones(2)
    warm(f, x)
    asked = len(attempts)
    assert f(x).tolist() == [1.0, 10.0] and len(attempts) == asked


def test_what_is_pending_is_computed_first() -> None:
    x = sq.ones(2)
    f = sq.compile(lambda a: a * 2.0)
    warm(f, x)
    y = x + 1.0
    waiting = y * 5.0
    assert f(y).tolist() == [4.0, 4.0]
    assert waiting._node.buffer is not None


def test_state_is_written_once_for_every_call() -> None:
    counter = sq.zeros(1)

    @sq.compile
    def count(x: sq.Tensor) -> sq.Tensor:
        counter.add_(1.0)
        return x + counter

    for i in range(8):
        assert count(sq.zeros(1)).tolist() == [i + 1.0]
    assert counter.tolist() == [8.0] and counter.version == 8
    alias = counter.detach()
    with pytest.raises(TypeError):
        count()
    assert count(alias).tolist() == [18.0]  # the argument is what is written


def test_threads_call_one_function_at_once() -> None:
    counter = sq.zeros(1)
    f = sq.compile(lambda x: (x * 2.0).sum())

    @sq.compile
    def step(x: sq.Tensor) -> None:
        counter.add_(x)

    one = sq.ones(1)
    warm(f, sq.ones(50)), [step(one) for _ in range(4)]
    wrong: list = []

    def work(number: int) -> None:
        x = sq.full((50,), float(number))
        for _ in range(100):
            step(one)
            if f(x).item() != 100.0 * number:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and counter.item() == 404.0


def test_calls_leak_nothing() -> None:
    x, y = sq.ones(4), sq.ones(4)
    state = sq.zeros(4)
    model = sq.nn.Linear(4, 4)
    f = sq.compile(lambda a, b: (a + b, a * 2.0))
    g = sq.compile(lambda d, k: model(d["x"]) * k)

    @sq.compile
    def h(a: sq.Tensor) -> None:
        state.add_(a)

    def step() -> None:
        f(x, y)
        h(x)
        with sq.no_grad():
            g({"x": x}, 2.5)

    for _ in range(6):
        step()
    held = [None, True, False, (), 0, 1, x, y, state, x._node, x._node.type, sq.float32, f.ready[0], state._cell]
    assert no_leak(step, held, 300, 60, objects=100)
