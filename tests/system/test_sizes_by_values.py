"""Sizes that depend on values: a compiled function evaluates and goes on, and `explain` tells where."""

import pytest

import squall as sq
import squall.numpy as snp
from squall import nn
from squall.base.errors import TraceError
from squall.engine import ready
from squall.nn import functional as F

COUNTS = sq.tensor([3, 1, 0, 2, 1, 4])

FUNCTIONS = {
    "nonzero": lambda x: x.nonzero(),
    "nonzero as tuple": lambda x: x.nonzero(as_tuple=True),
    "argwhere": lambda x: sq.argwhere(x * 2),
    "where": lambda x: sq.where(x > 0),
    "masked_select": lambda x: (x * 3).masked_select(x > 0).exp(),
    "mask": lambda x: (x + 1)[x > 0] * 2,
    "mask of rows": lambda x: x[(x > 0).any(1)].sum(0),
    "mask of columns": lambda x: x[:, (x > 0).any(0)] + 1,
    "unique": lambda x: sq.unique(x.round(), return_inverse=True, return_counts=True),
    "unique rows": lambda x: sq.unique(x.round(), dim=0),
    "unique_consecutive": lambda x: sq.unique_consecutive(x.round()),
    "repeat_interleave": lambda x: x.flatten()[:6].repeat_interleave(COUNTS) * 2,
    "bincount": lambda x: sq.bincount(x.abs().long().flatten()),
    "one_hot": lambda x: F.one_hot(x.abs().long()),
    "histc": lambda x: sq.histc(x, 5),
    "histogram": lambda x: sq.histogram(x * 2, 4)[0],
    "arange": lambda x: sq.arange(x.abs().sum()) + 1,
    "tensor_split": lambda x: sq.tensor_split(x.flatten(), COUNTS[:2].cumsum(0)),
    "np.unique": lambda x: snp.unique(snp.asarray(x)).tensor,
    "np.compress": lambda x: snp.compress(snp.asarray(x)[0] > 0, snp.asarray(x), axis=1).tensor,
    "np.repeat": lambda x: snp.repeat(snp.asarray(x).ravel()[:6], snp.asarray(COUNTS)).tensor,
    "np.setdiff1d": lambda x: snp.setdiff1d(snp.asarray(x)[0], snp.asarray(x)[1]).tensor,
    "np.bincount": lambda x: snp.bincount(snp.asarray(x).astype("int64").ravel() ** 2).tensor,
}


def drawn(rows, seed=0):
    sq.manual_seed(seed)
    return (sq.randn(rows, 4) * 2).round() / 2


def parts_of(value):
    return [t.numpy().tobytes() + str(tuple(t.shape)).encode()
            for t in (value if isinstance(value, tuple) else (value,))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_are_those_of_the_function_whatever_their_sizes(name):
    function = FUNCTIONS[name]
    compiled = sq.compile(function)
    for rows, seed in ((3, 0), (3, 1), (6, 2), (2, 3)):
        x = drawn(rows, seed)
        assert parts_of(compiled(x)) == parts_of(function(x))
    assert not compiled.programs and len(compiled.parts) == 1 and compiled.captures <= 1


def test_gradients_go_through():
    w = sq.rand(4, 4, requires_grad=True)

    def loss(x):
        h = (x @ w).tanh()
        kept = h[h > 0.1]
        return (kept * kept).sum() + sq.repeat_interleave(h[0], sq.arange(4)).sum()

    compiled = sq.compile(loss)
    for seed in range(3):
        x = drawn(5, seed)
        wanted = sq.autograd.grad(loss(x), w)[0]
        assert sq.autograd.grad(compiled(x), w)[0].tolist() == wanted.tolist()


def test_a_train_step_runs_in_parts_and_learns_the_same():
    def train(compiled):
        sq.manual_seed(4)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        optimizer = sq.optim.Adam(model.parameters(), lr=1e-2)

        def step(x, y):
            optimizer.zero_grad()
            known = y >= 0
            loss = F.cross_entropy(model(x[known]), y[known])
            loss.backward()
            optimizer.step()
            return loss

        run = sq.compile(step) if compiled else step
        for seed in range(5):
            x = drawn(8, seed)
            run(x, (x[:, 0] > 0).long() - (x[:, 1] > 1).long())
        return [p.tolist() for p in model.parameters()]

    assert train(True) == train(False)


def test_other_arguments_of_the_same_function_are_one_program():
    def f(x, choose):
        return x[x > 0] if choose else x * 2

    compiled = sq.compile(f)
    x = drawn(3)
    for choose in (True, False, True, False):
        assert parts_of(compiled(x, choose)) == parts_of(f(x, choose))
    assert len(compiled.programs) == 1 and len(compiled.parts) == 1 and compiled.captures == 2


def test_explain_tells_where_and_what_it_took():
    def f(x):
        h = (x * 2).tanh()
        kept = h[h > 0]
        return sq.unique(kept.round()).sum() + kept.sum()

    text = sq.explain(f)(drawn(3))
    first = f.__code__.co_firstlineno
    assert "f: in 3 parts, 2 calls" in text, text
    assert f"a mask as index at {__file__}:{first + 2}: evaluates 1 time, " in " ".join(text.split())
    assert f"unique at {__file__}:{first + 3}: evaluates 1 time, " in " ".join(text.split())
    assert " ms; 0 plans compiled in this call" in text


def test_explain_tells_what_native_code_would_read():
    def f(x):
        return (x * 2)[x > 0].sum()

    compiled = sq.compile(f)
    for _ in range(300):  # until flushes are native
        compiled(drawn(3)).item()
    assert ready.Native.flush is not None
    text = " ".join(sq.explain(compiled)(drawn(3)).split())
    assert "in 2 parts" in text and "evaluates 1 time, " in text, text


def test_explain_adds_up_what_a_loop_reads():
    def f(x):
        for _ in range(3):
            x = x[x < x.amax()]
        return x.sum()

    text = " ".join(sq.explain(f)(sq.arange(8.0)).split())
    assert "in 4 parts" in text and "3 times, evaluates 3 times" in text, text


def test_whole_graphs_are_asked_for():
    for compiled in (sq.compile(lambda x: x[x > 0], fullgraph=True), sq.compile(fullgraph=True)(lambda x: x[x > 0])):
        with pytest.raises(TraceError, match=r"test_sizes_by_values.py:\d+: a mask as index: .*fullgraph"):
            compiled(drawn(3))
    with pytest.raises(TraceError, match=r"runs in parts and is no single program.*nonzero"):
        sq.compile(lambda x: x.nonzero()).bind(drawn(3))


def test_values_the_user_asks_for_are_an_error_still():
    for ask in (lambda x: x.sum().item(), lambda x: x if x.sum() > 0 else -x, lambda x: x.tolist()):
        with pytest.raises(TraceError, match="the value of a traced tensor was asked for"):
            sq.compile(ask)(drawn(3))


BODIES = {
    "vmap": lambda x: sq.vmap(lambda row: row[row > 0])(x),
    "cond": lambda x: sq.cond(x.sum() > 0, lambda v: v[v > 0].sum(), lambda v: v.sum(), x),
    "scan": lambda x: sq.scan(lambda carry, row: (carry, row.nonzero()), sq.zeros(4), x)[1],
    "while_loop": lambda x: sq.while_loop(lambda v: v.sum() < 9, lambda v: v + v.unique().sum(), x),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("compiled", [False, True], ids=["uncompiled", "compiled"])
def test_bodies_cannot_and_say_so(name, compiled):
    function = sq.compile(BODIES[name]) if compiled else BODIES[name]
    for _ in range(2):
        with pytest.raises(TraceError, match="in vmap, in bodies of scan, cond and while_loop"):
            function(drawn(3))


def test_what_a_function_did_before_it_stopped_is_not_done_twice():
    seen = []

    def keeps(x):
        seen.append(x * 2)
        return x[x > 0]

    with pytest.raises(TraceError, match=r"escaped|changed seen"):
        sq.compile(keeps)(drawn(3))
    count = {"calls": 0}

    def counts(x):
        count["calls"] += 1
        return x[x > 0]

    with pytest.raises(TraceError, match="changed"):
        sq.compile(counts)(drawn(3))

    def drops(given):
        given.pop()
        return given[0].nonzero()

    with pytest.raises(TraceError, match="changes a list or dict"):
        sq.compile(drops)([drawn(3), drawn(3)])


def test_random_numbers_are_drawn_once():
    def f(x):
        noise = sq.rand(4)
        return (x[x > 0].sum() + noise).tolist() if False else x[(x + noise) > 0]

    compiled = sq.compile(f)
    sq.manual_seed(1)
    first = [compiled(drawn(3)).tolist() for _ in range(3)]
    sq.manual_seed(1)
    assert first == [f(drawn(3)).tolist() for _ in range(3)]
