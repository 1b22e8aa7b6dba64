"""Executables: layouts, symbolic sizes, donation, updates in place, range errors, threads, the cost of a call."""

import time
from collections import deque
from itertools import starmap
from operator import call

import numpy as np
import pytest

from squall.base import trace
from squall.base.dim import Dim, evaluate
from squall.base.dtypes import float16, float32, int64
from squall.base.errors import IndexRangeError
from squall.ir.node import Node, TensorType
from squall.ir.op import constant, ops
from squall.runtime.buffer import Buffer
from squall.runtime.native import native
from tests.unit.engine.harness import Built, Leaf, array_of, compiled, expected, same_bits, scalar

random = np.random.default_rng(5)


def normal(*shape):
    return random.normal(size=shape).astype("f4")


def close(got, want, tolerance=1e-4):
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x.astype("f8"), y.astype("f8"), rtol=tolerance, atol=tolerance)


WHOLE = normal(20, 30)
VIEWS = [WHOLE[:, 3:9], WHOLE[::2], WHOLE.T, WHOLE[::2, ::3], WHOLE[::-1], np.broadcast_to(WHOLE[0], (4, 30))]


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: f"{v.shape} by {v.strides}")
def test_inputs_of_any_strides(view):
    leaves = Leaf()
    x, y = leaves(view), leaves(normal(view.shape[1]))
    roots = [
        ops.add(x, y),
        ops.sum(x, dims=(1,), keepdim=False),
        ops.sum(x, dims=(0,), keepdim=True),
        ops.reshape(x, shape=(view.size,)),
        ops.contract(x, x, equation="ab,cb->ac"),
        ops.softmax(x, dim=1),
    ]
    close(compiled(roots), expected(roots, leaves))


def placeholder(shape, dtype=float32):
    node = Node(ops.buffer, (), (), TensorType(shape, dtype))
    node.buffer = Buffer(None, 0, None)
    return node


def network(x, w, b, t):
    h = ops.layer_norm(ops.relu(ops.linear(x, w, b)), b, b, rank=1, eps=1e-5)
    rows = x.shape[0]
    return [
        h,
        ops.sum(h, dims=(0,), keepdim=False),
        ops.cross_entropy(h, t),
        ops.reshape(h, shape=(rows * 30,)),
        ops.concat(x, x, dim=0),
        ops.permute(h, dims=(1, 0)),
    ]


def test_a_symbolic_size_is_compiled_once_and_gives_the_bits_of_each_size():
    n = Dim("n", min=1, max=512)
    leaves = [placeholder((n, 20)), placeholder((30, 20)), placeholder((30,)), placeholder((n,), int64)]
    roots = network(*leaves)
    built = Built(roots)
    w, b = normal(30, 20), normal(30)
    for size in (1, 7, 64, 65, 512):
        concrete = Leaf()
        values = [concrete(v) for v in (normal(size, 20), w, b, random.integers(0, 30, size))]
        by_leaf = dict(zip(map(id, leaves), values, strict=True))
        before = trace.counters.get("kernels compiled", 0)
        buffers = built.executable.run([by_leaf[id(i)].buffer for i in built.request.inputs], [], {"n": size})
        assert trace.counters.get("kernels compiled", 0) == before
        got = [
            array_of(o, tuple(evaluate(s, {"n": size}) for s in r.shape), r.dtype)
            for o, r in zip(buffers, roots, strict=True)
        ]
        same = network(*values)
        close(got, expected(same, concrete))
        assert same_bits(got, compiled(same))


def test_another_batch_needs_no_new_kernel():
    def step(rows):
        leaves = Leaf()
        t = leaves(random.integers(0, 30, rows))
        return compiled(network(leaves(normal(rows, 20)), leaves(normal(30, 20)), leaves(normal(30)), t))

    step(24)
    before = trace.counters.get("kernels compiled", 0)
    step(48)
    step(17)
    assert trace.counters.get("kernels compiled", 0) == before


def test_scalars_are_arguments():
    leaves = Leaf()
    x, half = leaves(normal(5)), leaves(np.array([1.0, 2.0, 3.0], np.float16))
    rate, small = scalar(0.5, float32), scalar(1e-4, float16)
    built = Built([ops.mul(x, rate), ops.mul(half, small)])
    close(built.run(), expected(built.roots, leaves))
    rate.buffer = -3.0
    assert np.array_equal(built.run()[0], leaves.arrays[id(x)] * np.float32(-3))


def updates(leaves, count):
    value = leaves(np.zeros((count, 64), "f4"))
    for position in range(count):
        row = leaves(normal(1, 64))
        value = ops.update_slice(value, ops.mul(row, 2.0), scalar(position, int64), dims=(0,), steps=(1,))
    return value


def test_updates_nobody_reads_in_between_copy_nothing():
    leaves = Leaf()
    root = updates(leaves, 200)
    built = Built([root])
    assert len(built.plan.steps) == 201 and built.plan.arena_bytes == 0
    close(built.run(), expected([root], leaves))


def add_to_slice(x, read_at=1):
    value = ops.add(ops.slice(x, constant(read_at, int64), dims=(0,), sizes=(2,), steps=(1,)), 1.0)
    return ops.update_slice(x, value, constant(1, int64), dims=(0,), steps=(1,))


@pytest.mark.parametrize("read_at, donor", [(1, 0), (0, None)])
def test_an_update_takes_over_its_base_when_it_reads_where_it_writes(read_at, donor):
    leaves = Leaf()
    x = leaves(normal(6, 5))
    root = add_to_slice(x, read_at)
    want = expected([root], leaves)
    built = Built([root], donatable=[x])
    assert built.plan.outputs[0].donor == donor
    close(built.run(), want)


def test_readers_of_the_old_value_run_first():
    leaves = Leaf()
    x = leaves(normal(6, 5))
    roots = [add_to_slice(x), ops.sum(x, dims=(0,), keepdim=False)]
    want = expected(roots, leaves)
    built = Built(roots, donatable=[x])
    assert built.plan.outputs[0].donor == 0
    close(built.run(), want)


def test_no_donation_where_the_old_value_is_needed_after():
    leaves = Leaf()
    x = leaves(normal(6, 5))
    new = add_to_slice(x)
    roots = [new, ops.mul(ops.permute(x, dims=(1, 0)), ops.sum(new, dims=(0, 1), keepdim=False))]
    want = expected(roots, leaves)
    built = Built(roots, donatable=[x])
    assert built.plan.outputs[0].donor is None
    close(built.run(), want)


def test_a_parameter_update_is_one_kernel_in_place():
    leaves = Leaf()
    p, g, m, v = (leaves(np.abs(normal(64, 30))) for _ in range(4))
    m2 = ops.add(ops.mul(m, 0.9), ops.mul(g, 0.1))
    v2 = ops.add(ops.mul(v, 0.99), ops.mul(ops.mul(g, g), 0.01))
    p2 = ops.sub(p, ops.div(m2, ops.add(ops.sqrt(v2), 1e-8)))
    want = expected([p2, m2, v2], leaves)
    built = Built([p2, m2, v2], donatable=[p, m, v])
    assert len(built.plan.steps) == 1
    assert all(o.donor is not None for o in built.plan.outputs)
    close(built.run(), want)


def test_an_index_out_of_range_is_named_and_no_donated_input_was_written():
    leaves = Leaf()
    w, where = leaves(normal(10, 5)), leaves(np.array([1, 2, 99]))
    taken = ops.take(w, where, dim=0)
    root = ops.sub(w, ops.sum(taken, dims=(0,), keepdim=True))
    before = leaves.arrays[id(w)].copy()
    built = Built([root], donatable=[w])
    with pytest.raises(IndexRangeError, match="take: index 99 is out of range for a dimension of size 10"):
        built.run()
    assert np.array_equal(leaves.arrays[id(w)], before)
    leaves.arrays[id(where)][2] = -1
    want = expected([root], leaves)
    close(built.run(), want)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_bits(threads):
    leaves = Leaf()
    x, w = leaves(normal(300, 700)), leaves(normal(700, 90))
    roots = [
        ops.softmax(x, dim=1),
        ops.sum(x, dims=(0, 1), keepdim=False),
        ops.sum(x, dims=(0,), keepdim=False),
        ops.contract(x, w, equation="mk,kn->mn"),
        ops.gelu(x),
        ops.cumsum(x, dim=1),
    ]
    before = native().state()["threads"]
    try:
        native().set_threads(1)
        alone = compiled(roots)
        native().set_threads(threads)
        assert same_bits(alone, compiled(roots))
    finally:
        native().set_threads(before)


def test_a_call_costs_microseconds():
    leaves = Leaf()
    inputs = [leaves(normal(8)) for _ in range(10)]
    total = inputs[0]
    for x in inputs[1:]:
        total = ops.add(total, x)
    built = Built([total])
    buffers = [n.buffer for n in built.request.inputs]

    def once():
        calls, _ = built.executable.prepare(buffers, [], {})
        deque(starmap(call, calls), maxlen=0)
        built.executable.check_status()

    once()
    best = 1.0
    for _ in range(20):
        started = time.thread_time()
        for _ in range(100):
            once()
        best = min(best, (time.thread_time() - started) / 100)
    assert best < 50e-6  # 5 on a quiet machine


def test_another_layout_than_the_plan_was_made_for():
    leaves = Leaf()
    x = leaves(WHOLE[:, 3:9])
    built = Built([ops.exp(x), ops.sum(x, dims=(1,), keepdim=False)])
    other = normal(6, 20).T
    x.buffer = leaves(other).buffer
    leaves.arrays[id(x)] = other
    close(built.run(), expected(built.roots, leaves))
