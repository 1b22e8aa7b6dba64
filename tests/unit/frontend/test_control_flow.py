"""scan, cond and while_loop against Python's loops and branches: bits, gradients, transforms, compile, errors."""

import numpy as np
import pytest

import squall as sq
from squall.base import config, trace
from squall.base.errors import AutogradError, DtypeError, IndexRangeError, ShapeError, TraceError
from squall.ir.graph_text import graph_text, parse_graph
from squall.ir.verify import verify


def draw(seed, *shape):
    return sq.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 0.5)


def python_scan(f, carry, xs, reverse=False):
    """What scan means."""
    count = xs.shape[0]
    ys = [None] * count
    for i in reversed(range(count)) if reverse else range(count):
        carry, ys[i] = f(carry, xs[i])
    return carry, sq.stack(ys)


def gradients(loss, tensors):
    for t in tensors:
        t.grad = None
    loss.backward()
    return [t.grad.numpy().copy() for t in tensors]


# ---------------------------------------------------------------- values and gradients
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("wrap", [lambda f: f, sq.compile], ids=["uncompiled", "compiled"])
def test_scan_has_the_bits_of_a_python_loop(wrap, reverse):
    w, x, h = draw(0, 4, 4), draw(1, 6, 3, 4), draw(2, 3, 4)

    def step(h, x):
        h = sq.tanh(h @ w + x)
        return h, h * 2

    got = wrap(lambda x, h: sq.scan(step, h, x, reverse=reverse))(x, h)
    for a, b in zip(got, python_scan(step, h, x, reverse), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_gradients_of_everything_a_step_reads():
    w, b, x, h = (t.requires_grad_() for t in (draw(0, 4, 4), draw(1, 4), draw(2, 6, 3, 4), draw(3, 3, 4)))

    def step(h, x):
        h = sq.tanh(h @ w.t() + x + b)
        return h, h * h

    def loss(run):
        last, ys = run(step, h, x)
        return ys.sum() + (last * 3).sum()

    everything = (w, b, x, h)
    got, want = gradients(loss(sq.scan), everything), gradients(loss(python_scan), everything)
    np.testing.assert_array_equal(got[2], want[2])  # slices and states: the loop's own bits
    np.testing.assert_array_equal(got[3], want[3])
    for a, b in zip(got[:2], want[:2], strict=True):  # what all steps read: one contraction, not a sum of small ones
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_carry_and_slices_are_pytrees_and_y_may_be_nothing():
    def step(carry, x):
        return {"sum": carry["sum"] + x["a"] * x["b"][0], "count": carry["count"] + 1}, None

    xs = {"a": draw(0, 5), "b": (draw(1, 5),)}
    last, nothing = sq.scan(step, {"sum": sq.tensor(0.0), "count": sq.tensor(0)}, xs)
    assert nothing is None and last["count"].item() == 5
    np.testing.assert_allclose(last["sum"].item(), (xs["a"] * xs["b"][0]).sum().item(), rtol=1e-6)


def test_no_slices_no_steps_and_numbers():
    last, ys = sq.scan(lambda c, _: (c * 2, c), 1, None, length=4)
    assert last.item() == 16 and ys.tolist() == [1, 2, 4, 8]
    last, ys = sq.scan(lambda c, x: (c + x, c), sq.ones(2), sq.zeros(0, 2))
    assert last.tolist() == [1.0, 1.0] and tuple(ys.shape) == (0, 2)


def test_random_numbers_are_those_of_the_loop():
    x = draw(0, 5, 4)

    def step(c, v):
        return c + sq.rand(4) * v, sq.randn(2)

    sq.manual_seed(3)
    got, after = sq.scan(step, sq.zeros(4), x), sq.rand(2)
    sq.manual_seed(3)
    want, after_loop = python_scan(step, sq.zeros(4), x), sq.rand(2)
    for a, b in zip((*got, after), (*want, after_loop), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_history_means_inside_what_it_means_elsewhere():
    class Straight(sq.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, g):
            return g * 3

    w, x = draw(0, 4).requires_grad_(), draw(1, 5, 4).requires_grad_()

    def step(c, v):
        c = Straight.apply(c * w + v) + c.detach() * v
        with sq.no_grad():
            scale = c.abs() + 1
        return c / scale, c

    def loss(run):
        last, ys = run(step, sq.ones(4), x)
        return (last * last).sum() + ys.sum()

    for a, b in zip(gradients(loss(sq.scan), (w, x)), gradients(loss(python_scan), (w, x)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_loops_nest():
    w, x = draw(0, 4, 4).requires_grad_(), draw(1, 3, 5, 4).requires_grad_()

    def inner(h, v):
        h = sq.tanh(h @ w + v)
        return h, h

    def outer(run):
        def step(h, vs):
            h, ys = run(inner, h, vs)
            if run is sq.scan:
                h = sq.cond(h.sum() > 0, lambda a: a * 2, lambda a: -a, h)
            else:
                h = h * 2 if h.sum() > 0 else -h
            return h, ys.mean(0)

        last, ys = run(step, sq.zeros(4), x)
        return (last * last).sum() + (ys * ys).sum()

    for a, b in zip(gradients(outer(sq.scan), (w, x)), gradients(outer(python_scan), (w, x)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_what_every_step_shares_is_worked_out_once():
    w, x = draw(0, 4), draw(1, 6, 4)
    shared, _ = sq.scan(lambda c, v: (c + v * sq.exp(w), None), sq.zeros(4), x)
    plain, _ = python_scan(lambda c, v: (c + v * sq.exp(w), c), sq.zeros(4), x)
    np.testing.assert_array_equal(shared.numpy(), plain.numpy())


# ---------------------------------------------------------------- transforms
def scanned(w, x):
    last, ys = sq.scan(lambda h, v: ((h @ w + v).tanh(),) * 2, sq.zeros(4), x)
    return (ys * ys).sum() + (last**3).sum()


def unrolled(w, x):
    h, total = sq.zeros(4), 0
    for i in range(x.shape[0]):
        h = (h @ w + x[i]).tanh()
        total = total + (h * h).sum()
    return total + (h**3).sum()


TRANSFORMS = {
    "grad": lambda f, w, x: sq.func.grad(f, (0, 1))(w, x),
    "hessian": lambda f, w, x: sq.func.hessian(f)(w, x),
    "jvp": lambda f, w, x: sq.jvp(f, (w, x), (sq.ones(4, 4), x * 2)),
    "vmap over slices": lambda f, w, x: sq.vmap(f, (None, 0))(w, sq.stack([x, x * 2, -x])),
    "vmap over what all steps read": lambda f, w, x: sq.vmap(f, (0, None))(sq.stack([w, w * 2]), x),
    "vmap of grad": lambda f, w, x: sq.vmap(sq.func.grad(f), (None, 0))(w, sq.stack([x, x * 2])),
    "grad of vmap": lambda f, w, x: sq.func.grad(lambda w: sq.vmap(f, (None, 0))(w, sq.stack([x, -x])).sum())(w),
    "checkpoint": lambda f, w, x: sq.func.grad(lambda w: sq.checkpoint(f, w, x))(w),
    "compiled grad": lambda f, w, x: sq.compile(sq.func.grad(f))(w, x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_a_scan(name):
    w, x = draw(0, 4, 4), draw(1, 5, 4)
    got, want = TRANSFORMS[name](scanned, w, x), TRANSFORMS[name](unrolled, w, x)
    for a, b in zip(*(v if isinstance(v, tuple) else (v,) for v in (got, want)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- cond
@pytest.mark.parametrize("wrap", [lambda f: f, sq.compile], ids=["uncompiled", "compiled"])
def test_cond_runs_one_branch_and_differentiates_it(wrap):
    w = draw(0, 3).requires_grad_()

    def f(x):
        return sq.cond(x.sum() > 0, lambda v: (v * w, v.sum()), lambda v: (sq.exp(v), (v * 2).sum()), x)

    for sign in (1.0, -1.0):
        x = (draw(1, 3).abs() * sign).requires_grad_()
        got = wrap(f)(x)
        want = (x * w, x.sum()) if sign > 0 else (sq.exp(x), (x * 2).sum())
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        a, b = gradients(got[0].sum() + got[1], (x, w)), gradients(want[0].sum() + want[1] + (w * 0).sum(), (x, w))
        for g, h in zip(a, b, strict=True):
            np.testing.assert_allclose(g, h, rtol=1e-6)


def test_a_branch_that_is_not_taken_is_not_run():
    """Its index check would fail."""
    table, at = draw(0, 4), sq.tensor(9)
    assert sq.cond(at < 4, lambda i: table[i], lambda i: sq.tensor(-1.0), at).item() == -1.0
    with pytest.raises(IndexRangeError):
        sq.cond(at > 4, lambda i: table[i], lambda i: sq.tensor(-1.0), at).item()


def test_a_batch_of_predicates_selects():
    x = draw(0, 5, 3)
    got = sq.vmap(lambda v: sq.cond(v.sum() > 0, lambda a: a * 2, lambda a: -a, v))(x)
    want = sq.where((x.sum(1) > 0).unsqueeze(1), x * 2, -x)
    np.testing.assert_array_equal(got.numpy(), want.numpy())


def test_a_python_bool_calls_the_function():
    assert sq.cond(True, lambda: "yes", lambda: "no") == "yes"


# ---------------------------------------------------------------- while_loop
def test_while_loop_stops_by_value_and_by_limit():
    def run(limit):
        return sq.while_loop(lambda c: c[0] < 100, lambda c: (c[0] * 2, c[1] + 1), (sq.tensor(3), sq.tensor(0)), limit)

    assert [t.item() for t in run(None)] == [192, 6]
    assert [t.item() for t in run(2)] == [12, 2]
    assert [t.item() for t in run(0)] == [3, 0]
    assert sq.while_loop(lambda c: c < 0, lambda c: c + 1, sq.tensor(5)).item() == 5


def test_derivatives_of_while_loop():
    def power(z, limit=None):
        return sq.while_loop(lambda c: c < 100, lambda c: c * z, z, limit)

    z = sq.tensor(2.0, requires_grad=True)
    power(z, 20).backward()
    assert z.grad.item() == 7 * 2.0**6
    assert [t.item() for t in sq.jvp(power, (sq.tensor(2.0),), (sq.tensor(1.0),))] == [128.0, 448.0]
    with pytest.raises(AutogradError, match="max_iterations"):
        power(z).backward()


def test_a_batch_of_loops_runs_until_all_are_done():
    start = sq.tensor([1.0, 30.0, 200.0])
    got = sq.vmap(lambda v: sq.while_loop(lambda c: c < 100, lambda c: c * 2, v))(start)
    assert got.tolist() == [128.0, 120.0, 200.0]


# ---------------------------------------------------------------- compiled once, in place
def test_plans_and_kernels_do_not_depend_on_the_length():
    w = draw(0, 4, 4)

    def run(n):
        last, ys = sq.scan(lambda h, v: (sq.tanh(h @ w + v), h), sq.zeros(3, 4), draw(n, n, 3, 4))
        return last.numpy(), ys.numpy()

    for n in (3, 5, 8):
        run(n)
    before = trace.counters.get("kernels lowered", 0), trace.counters.get("plans compiled", 0)
    for n in (300, 41):
        run(n)
    assert (trace.counters.get("kernels lowered", 0), trace.counters.get("plans compiled", 0)) == before


def test_a_carry_that_is_only_updated_is_updated_where_it_is():
    def fill(n):
        def step(carry, v):
            whole, i = carry
            whole = whole.clone()
            whole[i] = v
            return (whole, i + 1), None

        return sq.scan(step, (sq.zeros(n, 8), sq.tensor(0)), sq.arange(n).float())[0][0]

    np.testing.assert_array_equal(fill(50).numpy(), np.repeat(np.arange(50.0, dtype=np.float32)[:, None], 8, 1))
    zeros = sq.zeros(4, 2)
    made = sq.scan(lambda c, i: (c.index_fill(0, i.reshape(1), 1.0), None), zeros, sq.tensor([1, 3]))[0]
    assert zeros.sum().item() == 0 and made.sum(1).tolist() == [0.0, 2.0, 0.0, 2.0]


def test_a_symbolic_batch():
    w, batch = draw(0, 4, 4), sq.Dim("batch", min=1, max=64)
    f = sq.compile(lambda x: sq.scan(lambda h, v: (sq.tanh(h @ w + v),) * 2, sq.zeros(x.shape[1], 4), x)[1],
                   dynamic_shapes=({1: batch},))
    for n in (1, 3, 17):
        x = draw(n, 5, n, 4)
        want = python_scan(lambda h, v: (sq.tanh(h @ w + v),) * 2, sq.zeros(n, 4), x)[1]
        np.testing.assert_allclose(f(x).numpy(), want.numpy(), rtol=1e-6, atol=1e-7)
    assert f.captures == 1


@pytest.mark.parametrize("backend", ["python", "numpy"])
def test_other_backends(backend):
    w, x = draw(0, 3, 3), draw(1, 4, 3)

    def run():
        last, ys = sq.scan(lambda h, v: (sq.tanh(h @ w + v),) * 2, sq.zeros(3), x)
        chosen = sq.cond(last.sum() > 0, lambda a: a * 2, lambda a: -a, last)
        count = sq.while_loop(lambda c: c < 9, lambda c: c * 2 + 1, sq.tensor(0))
        return [t.numpy().copy() for t in (last, ys, chosen, count)]

    want = run()
    with config.options(backend=backend):
        got = run()
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_a_body_with_a_library_call_runs():
    x = draw(0, 4, 6)
    got = sq.scan(lambda c, v: (c + sq.sort(v)[0], None), sq.zeros(6), x)[0]
    np.testing.assert_allclose(got.numpy(), np.sort(x.numpy(), 1).sum(0), rtol=1e-5)


# ---------------------------------------------------------------- errors
BAD = {
    "dtype": (lambda: sq.scan(lambda c, x: ({"a": c["a"].double()}, None), {"a": sq.zeros(3)}, sq.ones(2)), DtypeError,
              r"the carry\['a'\] was .*float32 of shape \[3\] and became .*float64 of shape \[3\].*cast it"),
    "shape": (lambda: sq.scan(lambda c, x: (sq.cat([c, c]), None), sq.zeros(3), sq.ones(2)), ShapeError,
              r"the carry was .* of shape \[3\] and became .* of shape \[6\]; a carry keeps its shape"),
    "structure": (lambda: sq.scan(lambda c, x: ((c, c), x), sq.zeros(3), sq.ones(2)), ShapeError,
                  r"the carry's structure was \* and became \(\*, \*\)"),
    "result": (lambda: sq.scan(lambda c, x: c, sq.zeros(3), sq.ones(2)), TypeError, r"to return \(carry, y\)"),
    "lengths": (lambda: sq.scan(lambda c, x: (c, None), 0, (sq.ones(2), sq.ones(3))), ShapeError,
                r"xs\[1\] has 3 slices along dimension 0, but xs\[0\] has 2"),
    "no length": (lambda: sq.scan(lambda c, x: (c, None), 0), ShapeError, "give length"),
    "value": (lambda: sq.scan(lambda c, x: (c if c.sum() > 0 else -c, None), sq.zeros(3), sq.ones(2)), TraceError,
              "use sq.where or sq.cond in place of a Python if"),
    "write": (lambda: (lambda kept: sq.scan(lambda c, x: (c, kept.add_(1)), 0, sq.ones(2)))(sq.zeros(3)), TraceError,
              r"writes in place into a tensor of shape \[3\] from outside.*part of the carry"),
    "predicate dtype": (lambda: sq.cond(sq.ones(()), lambda: 1, lambda: 2), DtypeError, "must be one bool"),
    "predicate size": (lambda: sq.cond(sq.ones(2) > 0, lambda: 1, lambda: 2), DtypeError, r"with .any\(\) or .all\(\)"),
    "branches": (lambda: sq.cond(sq.tensor(True), lambda: sq.ones(2), lambda: sq.ones(3)), ShapeError,
                 "both must be alike"),
    "condition": (lambda: sq.while_loop(lambda c: c, lambda c: c, sq.ones(())), DtypeError, "must give one bool"),
    "while carry": (lambda: sq.while_loop(lambda c: c < 3, lambda c: c * 1.5, sq.tensor(1)), DtypeError,
                    "the carry was"),
    "while random": (lambda: sq.while_loop(lambda c: c < 3, lambda c: c + sq.rand(()), sq.tensor(1.0)), TraceError,
                     "random numbers inside while_loop"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()


def test_an_index_out_of_range_inside_a_loop_is_an_error():
    table = draw(0, 4)
    with pytest.raises(IndexRangeError):
        sq.scan(lambda c, i: (c + table[i], None), 0.0, sq.tensor([1, 7]))[0].item()


def test_what_escapes_from_a_body_has_no_value():
    kept = []
    sq.scan(lambda c, v: (c + v, kept.append(c * v)), sq.zeros(4), sq.ones(3, 4))
    with pytest.raises(TraceError, match="return it from the body"):
        kept[0].tolist()


def test_recorded_graphs_are_valid_and_read_back_from_their_text():
    w, x = draw(0, 4, 4).requires_grad_(), draw(1, 5, 3, 4)
    last, ys = sq.scan(lambda h, v: ((h @ w.t() + v).tanh(),) * 2, sq.zeros(3, 4), x)
    chosen = sq.cond(last.sum() > 0, lambda a: a * 2, lambda a: -a * w[0], last)
    grown = sq.while_loop(lambda c: c.sum() < 10, lambda c: c * 2, chosen.abs() + 1)
    roots = [t.node for t in (last, ys, chosen, grown)]
    verify(roots)
    text = graph_text(parse_graph(graph_text(roots)))
    assert text == graph_text(parse_graph(text)) and "pullback=graph." in text


@pytest.mark.parametrize("dtype", [sq.float16, sq.bfloat16, sq.float64])
def test_dtypes_and_numbers_round_as_in_the_loop(dtype):
    x, w = draw(0, 6, 8).to(dtype), draw(1, 8).to(dtype)

    def step(c, v):
        c = c * 0.3 + v * w
        return c, c + 0.1

    start = sq.zeros(8, dtype=dtype)
    for a, b in zip(sq.scan(step, start, x), python_scan(step, start, x), strict=True):
        assert a.dtype is b.dtype is dtype
        assert a.float().tolist() == b.float().tolist()
