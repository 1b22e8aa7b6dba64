"""The tape: leaves, accumulation, hooks, retaining, higher order, errors, and depth."""

import gc
import weakref

import pytest

import squall as sq
from squall.frontend.state import local


def leaf(*values):
    return sq.tensor(list(values), requires_grad=True)


def test_gradients_accumulate_until_they_are_cleared():
    w = leaf(1.0, 2.0)
    (w * w).sum().backward()
    first = w.grad
    (w * 3).sum().backward()
    assert w.grad is first and w.grad.tolist() == [5, 7]
    w.grad = None
    (w * 3).sum().backward()
    assert w.grad.tolist() == [3, 3]
    w.grad.zero_()
    w.sum().backward()
    assert w.grad.tolist() == [1, 1]


def test_a_leaf_read_many_times_sums_its_gradients():
    w = leaf(2.0)
    x = w * w + w.exp().log() * 3 + w
    (x + x).backward(sq.ones(1))
    assert w.grad.tolist() == pytest.approx([2 * (4 + 3 + 1)])


def test_backward_of_something_that_is_no_scalar_needs_a_gradient():
    w = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (w * 2).backward()
    (w * 2).backward(sq.tensor([1.0, 10.0]))
    assert w.grad.tolist() == [2, 20]
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (w * 2).backward(sq.ones(3))


def test_what_has_no_history_says_so():
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        sq.ones(1).backward()
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
        sq.tensor([1], requires_grad=True)
    w = leaf(1.0)
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        (w * 2).requires_grad_(False)
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"):
        sq.ones(1).register_hook(print)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        sq.autograd.grad(w * 2, leaf(1.0))
    assert sq.autograd.grad(w * 2, leaf(1.0), allow_unused=True) == (None,)
    assert (w > 0).requires_grad is False and w.detach().requires_grad is False
    assert w.to(sq.int64).requires_grad is False


def test_saved_values_are_freed_unless_retained():
    w = leaf(3.0)
    y = (w * w).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert w.grad.tolist() == [12]
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()
    z = (w + w).sum()
    z.backward()
    z.backward()
    assert w.grad.tolist() == [16], "nothing was saved, so nothing was freed"


def test_freed_history_lets_its_values_go():
    x = sq.ones(1000)
    w = leaf(1.0)
    y = (w * x).sum()
    sq.flush()
    held = weakref.ref(x.node)
    del x
    gc.collect()
    assert held() is not None
    y.backward()
    assert w.grad.item() == 1000
    gc.collect()
    assert held() is None


def test_double_and_triple_backward():
    x = leaf(2.0)
    (g,) = sq.autograd.grad((x**4).sum(), x, create_graph=True)
    (h,) = sq.autograd.grad(g.sum(), x, create_graph=True)
    (third,) = sq.autograd.grad(h.sum(), x)
    assert [v.item() for v in (g, h, third)] == pytest.approx([32, 48, 48])
    y = (x.exp() * x.sin()).sum()
    y.backward(create_graph=True)
    assert x.grad.requires_grad
    gradient = x.grad
    x.grad = None
    gradient.sum().backward()
    assert x.grad.item() == pytest.approx(2 * 2.718281828**2 * -0.4161468, rel=1e-4)


def test_hooks_see_and_replace_gradients():
    seen = []
    w = leaf(1.0, 1.0)
    h = w * 2
    handle = h.register_hook(lambda g: seen.append(g.tolist()) or g * 10)
    w.register_hook(lambda g: g + 1)
    h.sum().backward()
    assert seen == [[1, 1]] and w.grad.tolist() == [21, 21]
    handle.remove()
    handle.remove()
    w.grad = None
    h2 = w * 2
    h2.retain_grad()
    h2.sum().backward()
    assert seen == [[1, 1]] and w.grad.tolist() == [3, 3] and h2.grad.tolist() == [1, 1]


def test_post_accumulate_hooks_run_after_the_gradient_arrived():
    w = leaf(1.0)
    seen = []
    w.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.item()))
    (w * 3).backward(sq.ones(1))
    (w * 3).backward(sq.ones(1))
    assert seen == [3, 6]
    with pytest.raises(RuntimeError, match="non-leaf"):
        (w * 2).register_post_accumulate_grad_hook(print)


def test_backward_to_chosen_inputs_leaves_the_others_alone():
    a, b = leaf(1.0), leaf(2.0)
    (a * b).backward(sq.ones(1), inputs=[a])
    assert a.grad.tolist() == [2] and b.grad is None


def test_no_grad_and_its_relatives():
    w = leaf(1.0)
    with sq.no_grad():
        assert not (w * 2).requires_grad and not sq.is_grad_enabled()
        with sq.enable_grad():
            assert (w * 2).requires_grad
        w.add_(1)
    assert sq.is_grad_enabled() and w.item() == 2 and w.is_leaf

    @sq.no_grad()
    def quiet(x):
        return x * 2

    @sq.no_grad
    def bare(x):
        return x * 2

    assert not quiet(w).requires_grad and not bare(w).requires_grad and (w * 2).requires_grad
    with sq.set_grad_enabled(False):
        assert not (w * 2).requires_grad
    with sq.inference_mode():
        assert not (w * 2).requires_grad and sq.is_inference_mode_enabled()
    with pytest.raises(ValueError), sq.no_grad():
        raise ValueError
    assert sq.is_grad_enabled()


def test_gradients_of_broadcasting_dtypes_and_views():
    a = sq.ones(3, 1, requires_grad=True)
    b = sq.ones(4, requires_grad=True, dtype=sq.float64)
    (a * b).sum().backward()
    assert a.grad.shape == (3, 1) and a.grad.dtype is sq.float32 and a.grad.flatten().tolist() == [4, 4, 4]
    assert b.grad.dtype is sq.float64 and b.grad.tolist() == [3, 3, 3, 3]
    w = sq.zeros(3, 4, requires_grad=True)
    w.T[1:3].reshape(-1)[::2].sum().backward()
    assert w.grad.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]


def test_in_place_on_a_view_joins_the_history_of_the_base():
    w = leaf(1.0, 2.0, 3.0)
    x = w * 1
    row = x[1:]
    row.mul_(w[:2])
    assert x.grad_fn is not None and row.grad_fn is not None
    x.sum().backward()
    assert w.grad.tolist() == [1 + 2, 1 + 3, 2]


def test_the_version_error_names_what_changed_and_who_saved_it():
    w = leaf(1.0, 2.0)
    x = w * 2
    y = x * x
    x.add_(1)
    with pytest.raises(
        RuntimeError,
        match=r"modified by an inplace operation.*shape \[2\].*MulBackward.*version 1; expected version 0",
    ):
        y.sum().backward()


def test_anomaly_mode_names_the_line_that_recorded_the_op():
    w = leaf(0.0)
    with sq.set_detect_anomaly(True):
        y = (w * w).sqrt() * 0
        with pytest.raises(RuntimeError, match=r"SqrtBackward.*nan.*test_autograd.py:\d+"):
            y.sum().backward()
        x = w * 2
        z = x.exp() * x
        x.add_(1)
        with pytest.raises(RuntimeError, match=r"inplace operation.*recorded at .*test_autograd.py:\d+"):
            z.sum().backward()
    (w * 1).sum().backward()


def test_a_hundred_thousand_ops_deep():
    depth = 100_000
    w = leaf(1.0)
    x = w
    for _ in range(depth):
        x = x + 1.0
    assert x.item() == depth + 1
    x.backward(sq.ones(1))
    assert w.grad.item() == 1
    del x
    gc.collect()


def test_a_hundred_thousand_nodes_in_one_flush(monkeypatch):
    monkeypatch.setattr(local.state, "limit", 10**9)
    x = sq.zeros(1)
    with sq.options(backend="numpy"), sq.no_grad():
        for _ in range(100_000):
            x = x + 1.0
        assert x.item() == 100_000
    for _ in range(100_000):
        x = x * 1.0
    del x  # never evaluated
    gc.collect()


def test_ten_thousand_writes_deep():
    w = leaf(1.0)
    y = w * 1
    for _ in range(10_000):
        y.mul_(1.0)
    y.sum().backward()
    del y
    gc.collect()
    assert w.grad.item() == 1


def test_a_deep_chain_nobody_read_can_be_dropped():
    x = sq.ones(2)
    with sq.no_grad():
        for _ in range(3000):
            x = x * 1.0
    del x
    w = leaf(1.0)
    y = w
    for _ in range(3000):
        y = y.sin()
    del y
    gc.collect()


def test_names_of_records_follow_pytorch():
    w = leaf(1.0, -1.0)
    assert repr((w * w).grad_fn) == "<MulBackward0>" and w.relu().grad_fn.name() == "ReluBackward0"
    assert w.grad_fn is None and (w * w).grad_fn.next_functions[0][0] is w.edge
    assert "requires_grad=True" in repr(w) and "grad_fn=<AddBackward0>" in repr(w + w)
