"""Views made by native code against those of Python: the same steps, layouts, histories, versions and values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import squall as sq
from squall.base.errors import AutogradError
from squall.engine import ready
from squall.frontend import known_views, native
from tests.unit.frontend.counting import no_leak
from tests.unit.frontend.native_code import in_python


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    if ready.Native.load is not None:
        ready.Native.load, load = None, ready.Native.load
        load()
    if ready.Native.flush is None:
        pytest.skip("no native code on this interpreter")


VIEWS: list[Callable] = [
    lambda x: x[1], lambda x: x[-1], lambda x: x[1:3], lambda x: x[:, 2], lambda x: x[::2, 1:], lambda x: x[..., 0],
    lambda x: x[None], lambda x: x[1, None, 2:9], lambda x: x[:], lambda x: x[...], lambda x: x[3:1], lambda x: x[()],
    lambda x: x[0, 1:2][0], lambda x: x[1:][1:][:, 1], lambda x: x.T, lambda x: x.T[1], lambda x: x.T[1:3].T,
    lambda x: x.transpose(0, -1), lambda x: x.permute(1, 0), lambda x: x.permute((1, 0)), lambda x: x.reshape(2, -1),
    lambda x: x.reshape((3, 8)), lambda x: x.view(-1), lambda x: x.view(x.shape), lambda x: x.unsqueeze(1),
    lambda x: x.unsqueeze(-1).squeeze(), lambda x: x.flatten(), lambda x: x[1:3].unsqueeze(0).squeeze(0),
    lambda x: x[:1].expand(3, 6), lambda x: x.unfold(1, 2, 2), lambda x: x.mT, lambda x: x.T.reshape(-1),
    lambda x: x.transpose(dim0=0, dim1=1), lambda x: x[1].detach()[2:], lambda x: x.data[1],
]  # fmt: skip


def history(edge: object) -> object:
    """A history as plain data."""
    if edge is None or not hasattr(edge, "edges"):
        return type(edge).__name__
    kept = [None if v is None else [n is not None for n in v] for v in (edge.inputs, edge.holders)]
    return (edge.op.name, edge.attrs, edge.types, edge.out_type, kept, edge.versions, edge.output is not None,
            edge.cells, [history(e) for e in edge.edges])


def facts(out: sq.Tensor) -> tuple:
    """All there is to know of a Tensor but identities."""
    view = out._view
    seen = None if view is None else (
        [(op.name, attrs, [n.buffer for n in extra]) for op, attrs, extra in view.steps], view.base is None, view.epoch,
        view.strides, view.offset, view.origin)
    node = out.node
    lies = None if node.buffer is None else node.buffer.strides
    return seen, node.op.name, node.attrs, node.type, lies, out.version, history(out.edge), out.stride()


def several(make: Callable, x: sq.Tensor, computed: bool) -> list:
    """Facts of views one kind, the latter by what the former taught."""
    y = x * 1.0
    if computed:
        sq.flush()
    return [facts(make(y)) for _ in range(3)]


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("make", VIEWS, ids=range(len(VIEWS)))
@pytest.mark.parametrize("grad", [False, True])
def test_views_are_those_of_python(make, computed, grad, monkeypatch) -> None:
    x, z = (sq.tensor(np.arange(24, dtype=np.float32).reshape(4, 6), requires_grad=grad) for _ in range(2))
    made = several(make, x, computed)
    values = [make(z).detach().numpy() for _ in range(2)]  # z is shared with NumPy from here on
    with monkeypatch.context() as patch:
        for name in native._METHODS:
            patch.setattr(sq.Tensor, name, native._python(name))
        expected = several(make, x, computed)
        value = make(z).detach().numpy()
    assert made == expected
    assert all(np.array_equal(v, value) and v.strides == value.strides for v in values)


def test_one_kind_serves_every_position() -> None:
    x = sq.ones(50, 2) * 2
    x[0], x[1:3]
    known = len(known_views.known)
    for i in range(-50, 50):
        x[i]
    for i in range(20):
        x[i : i + 2]
    assert len(known_views.known) == known
    for wrong in (50, -51, 1 << 70):
        with pytest.raises(IndexError):
            x[wrong]
    with pytest.raises(IndexError):
        x[0, 0, 0]
    with pytest.raises(ValueError):
        x[::-1]


def test_views_follow_writes_and_gradients() -> None:
    x = sq.zeros(4, 3, requires_grad=True)
    y = x * 1.0
    rows = [y[i] for i in range(4)]
    y[2].fill_(5.0)
    rows[1].add_(1.0)
    assert rows[2].tolist() == [5.0] * 3 and y[1].tolist() == [1.0] * 3
    assert (rows[2] + rows[0]).tolist() == [5.0] * 3  # a view as an operand
    (y[1] * y[2]).sum().backward()
    assert x.grad.tolist() == [[0.0] * 3, [5.0] * 3, [0.0] * 3, [0.0] * 3]


def test_views_of_a_version_that_is_gone() -> None:
    x = sq.ones(3, 2, requires_grad=True)
    y = x * 2.0
    row = y[0]
    z = row * row
    y.mul_(3.0)
    with pytest.raises(AutogradError, match="modified by an inplace operation"):
        z.sum().backward()


def test_views_in_no_grad_say_so() -> None:
    x = sq.ones(3, 2, requires_grad=True)
    y = x * 2.0
    for _ in range(2):
        with sq.no_grad():
            row = y[0]
        with pytest.raises(AutogradError, match="no_grad"):
            row.add_(1.0)


GATHERED: list[Callable] = [
    lambda x, i, m: x[i], lambda x, i, m: x[i.reshape(1, 3)], lambda x, i, m: x[i * 1], lambda x, i, m: x[[1, -1, 2]],
    lambda x, i, m: x[[0]], lambda x, i, m: x[[True, False, True, False]], lambda x, i, m: x[m],
    lambda x, i, m: x[m[:, 0]], lambda x, i, m: x[x > 1.0], lambda x, i, m: x[x > 1e9], lambda x, i, m: x[:, i],
    lambda x, i, m: x[i, i], lambda x, i, m: x[i.to(sq.int32)], lambda x, i, m: x[i[0]], lambda x, i, m: x.T[[0, 5]],
    lambda x, i, m: x.reshape(2, 2, 6)[sq.tensor([[True, False], [True, True]])], lambda x, i, m: x[[[0, 1], [2, 3]]],
    lambda x, i, m: x[sq.tensor(1)], lambda x, i, m: x[m & (x < 2.0)], lambda x, i, m: x[sq.tensor([], dtype=sq.int64)],
]  # fmt: skip


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("number", range(len(GATHERED)))
def test_what_is_gathered_is_what_python_gathers(number: int, grad: bool) -> None:
    draw = np.random.RandomState(3)
    x = sq.tensor(draw.uniform(0.0, 3.0, (4, 6)).astype("float32"), requires_grad=grad)
    index, mask = sq.tensor([3, 0, -2]), sq.tensor(draw.rand(4, 6) > 0.5)

    def made() -> tuple:
        x.grad = None
        out = GATHERED[number](x, index, mask)
        told = out.node.op.name, out.node.attrs, out.node.type, history(out.edge), out._cell is None
        if grad and out.edge is not None and out.numel():
            (out * out).sum().backward()
        return told, out.tolist(), None if x.grad is None else x.grad.tolist()

    with in_python():
        expected = made()
    for _ in range(3):
        assert made() == expected


def test_positions_outside_are_refused_at_once() -> None:
    x = sq.ones(3, 2)
    for _ in range(3):
        assert x[[0, 2]].shape == (2, 2) and x[sq.tensor([-3, 2])].shape == (2, 2)
        for wrong in ([0, 3], sq.tensor([-4]), [1 << 70]):
            with pytest.raises((IndexError, OverflowError, TypeError)):
                x[wrong]
        with pytest.raises(IndexError):
            x[sq.tensor([True, False])]
        with pytest.raises(IndexError):
            x[sq.tensor([1.5])]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool", "int32", "float16", "bfloat16", "uint8"])
def test_lists_are_those_of_python(dtype: str) -> None:
    values = sq.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(sq, dtype))
    for make in (lambda: values, lambda: values + values, lambda: values.T, lambda: values[1], lambda: values[1, 1],
                 lambda: values[:0], lambda: values[:, :0], lambda: values.sum()):
        with in_python():
            expected = make().tolist()
        for _ in range(3):
            found = make().tolist()
            assert repr(found) == repr(expected)


def test_gathering_leaks_nothing() -> None:
    x, index, mask = sq.ones(4, 6), sq.tensor([1, 2]), sq.tensor([True, False, True, True])

    def step() -> None:
        for _ in range(10):
            x[index], x[[1, 2]], x[mask], x.tolist()
        sq.flush()

    for _ in range(3):
        step()
    held = [None, True, 0, 1, 2, (), x, index, mask, x._node, x._node.buffer, index._node.type, mask._node]
    assert no_leak(step, held, 50, 60)
