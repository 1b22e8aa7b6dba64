"""Contractions that run together for blocks of rows: which they are, and that nothing changes but the time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import squall as sq
from squall.compiler import chains
from squall.engine.roofline import work_of
from squall.ir.op import ops
from squall.runtime.native import get_num_threads, set_num_threads
from tests.unit.engine.harness import Built, Leaf, expected, same_bits


@pytest.fixture(autouse=True)
def threads():
    before = get_num_threads()
    yield
    set_num_threads(before)


def normal(*shape):
    return np.random.RandomState(sum(shape)).standard_normal(shape).astype(np.float32)


def layers(leaves, rows, widths, dtype=np.float32, bias=True):
    """The results of all layers, the last one last."""
    x, made = leaves(normal(rows, widths[0]).astype(dtype)), []
    for before, after in itertools.pairwise(widths):
        x = ops.contract(x, leaves(normal(before, after).astype(dtype)), equation="mk,kn->mn")
        if bias:
            x = ops.relu(ops.add(x, leaves(normal(1, after).astype(dtype))))
        made.append(x)
    return made


def launched(built):
    (image,) = built.executable.bound([n.buffer for n in built.request.inputs], {}).segments
    return [step.name for step in image.steps]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("rows", "widths", "dtype", "bias"),
    [
        (5003, (64, 64, 23), np.float32, True),
        (4099, (33, 70, 5, 130), np.float32, True),
        (6001, (20, 50, 40), np.float32, False),
        (3001, (40, 60, 30), np.float64, True),
        (9000, (16, 32, 32, 32, 8), np.float32, True),
    ],
)  # fmt: skip
def test_layers_over_many_rows_are_one_launch_with_the_same_bits(count, rows, widths, dtype, bias):
    set_num_threads(count)
    leaves = Leaf()
    *_, root = layers(leaves, rows, widths, dtype, bias)
    built = Built([root])
    assert [link.step for link in built.plan.links] == list(range(len(widths) - 2)) and len(launched(built)) == 1
    apart = Built([root], fuse=False)
    assert apart.plan.links == () and len(launched(apart)) > 1
    got = built.run()
    assert same_bits(got, apart.run())
    np.testing.assert_allclose(got[0], expected([root], leaves)[0], rtol=1e-3, atol=1e-3)


def test_few_rows_large_weights_and_rows_too_long_run_one_after_the_other():
    for rows, widths in ((1000, (64, 64, 23)), (2000, (512, 512, 64)), (9000, (8, 2000, 8))):
        leaves = Leaf()
        built = Built([layers(leaves, rows, widths)[-1]])
        assert len(built.plan.links) == 1 and len(launched(built)) == len(built.plan.steps)


def test_what_others_read_is_not_kept_in_blocks():
    leaves = Leaf()
    hidden, last = layers(leaves, 5000, (64, 64, 23))
    assert Built([hidden, last]).plan.links == ()  # wanted itself
    assert Built([last, ops.sum(hidden, dims=(0,), keepdim=False)]).plan.links == ()  # by another kernel, too
    product = ops.contract(hidden, leaves(normal(64, 9)), equation="mk,kn->mn")
    assert Built([last, product]).plan.links == ()


def test_a_layer_that_reads_columns_is_none():
    leaves = Leaf()
    (hidden,) = layers(leaves, 1024, (64, 1024))
    across = ops.contract(hidden, leaves(normal(1024, 16)), equation="km,kn->mn")
    built = Built([across])
    assert len(launched(built)) == 2
    assert same_bits(built.run(), Built([across], fuse=False).run())


def test_a_residual_of_the_rows_and_a_second_result_stay_outside():
    leaves = Leaf()
    x, hidden = leaves(normal(5000, 64)), None
    first = ops.contract(x, leaves(normal(64, 64)), equation="mk,kn->mn")
    hidden = ops.add(ops.tanh(first), x)
    last = ops.add(ops.contract(hidden, leaves(normal(64, 64)), equation="mk,kn->mn"), x)
    built = Built([last])
    assert len(built.plan.links) == 1 and len(launched(built)) == 1
    assert same_bits(built.run(), Built([last], fuse=False).run())


def test_work_counts_what_lies_between_as_nothing():
    leaves = Leaf()
    built = Built([layers(leaves, 5000, (64, 64, 23))[-1]])
    whole = work_of(built.plan, list(built.plan.steps), {})
    assert whole.nbytes == 4 * (5000 * 64 + 64 * 64 + 64 + 64 * 23 + 23 + 5000 * 23)
    assert whole.operations == 2 * 5000 * (64 * 64 + 64 * 23)


@pytest.mark.parametrize("freeze", [False, True])
def test_compiled_networks_have_the_bits_of_uncompiled_ones(freeze, monkeypatch):
    nn = sq.nn
    model = nn.Sequential(nn.Linear(48, 80), nn.GELU(), nn.Linear(80, 40), nn.ReLU(), nn.Linear(40, 3))
    model.requires_grad_(False)
    compiled = sq.compile(model, freeze=freeze)
    for rows in (4096, 7777, 100):
        x = sq.tensor(normal(rows, 48))
        with monkeypatch.context() as m:
            m.setattr(chains, "BETWEEN_BYTES", 1 << 60)
            wanted = model(x).numpy().copy()
        for _ in range(3):
            assert same_bits([compiled(x).numpy()], [wanted])
