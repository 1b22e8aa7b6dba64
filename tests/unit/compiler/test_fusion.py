"""What becomes one kernel, and how much a kernel costs to lower."""

import numpy as np
import pytest

import squall as sq
from squall.base import trace
from squall.compiler import lower
from squall.ir.op import ops
from tests.unit.engine.harness import Built, Leaf, compiled, expected, kernels, same_bits

random = np.random.default_rng(3)


def normal(*shape):
    return random.normal(size=shape).astype("f4")


def chain(x, w, b):
    return ops.gelu(ops.add(ops.mul(x, w), b))


CASES = {
    "elementwise chain": (1, lambda x, w, b: [chain(x, w, b)]),
    "softmax": (1, lambda x, w, b: [ops.softmax(chain(x, w, b), dim=1)]),
    "log_softmax": (1, lambda x, w, b: [ops.log_softmax(x, dim=1)]),
    "layer_norm": (1, lambda x, w, b: [ops.layer_norm(x, w, b, rank=1, eps=1e-5)]),
    "residual and layer_norm": (1, lambda x, w, b: [
        ops.add(x, w), ops.layer_norm(ops.add(x, w), w, b, rank=1, eps=1e-5)]),
    "rms_norm": (1, lambda x, w, b: [ops.rms_norm(x, w, rank=1, eps=1e-5)]),
    "two sums of columns": (1, lambda x, w, b: [
        ops.sum(ops.mul(x, w), dims=(0,), keepdim=False), ops.sum(x, dims=(0,), keepdim=False)]),
    "sum and what scales it": (1, lambda x, w, b: [ops.mul(ops.sum(x, dims=(1,), keepdim=False), 0.5)]),
    "transposed copy": (1, lambda x, w, b: [ops.permute(ops.mul(x, w), dims=(1, 0))]),
    "a concat writes its parts": (1, lambda x, w, b: [ops.concat(ops.exp(x), ops.mul(x, w), dim=1)]),
    "sums over different dims": (2, lambda x, w, b: [
        ops.sum(x, dims=(0,), keepdim=False), ops.sum(x, dims=(1,), keepdim=False)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_kernels(name):
    count, make = CASES[name]
    leaves = Leaf()
    roots = make(leaves(normal(37, 70)), leaves(normal(70)), leaves(normal(70)))
    got = compiled(roots)
    for x, y in zip(got, expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)
    assert kernels(roots) == count
    assert same_bits(got, compiled(roots, fuse=False))


def test_batch_norm_of_images_is_one_kernel():
    leaves = Leaf()
    roots = list(ops.batch_norm(leaves(normal(4, 8, 6, 6)), leaves(normal(8)), leaves(normal(8)), eps=1e-5))
    assert kernels(roots) == 1


def test_equal_layers_share_kernels():
    def stack(layers):
        leaves = Leaf()
        x = leaves(normal(16, 40))
        for _ in range(layers):
            x = ops.add(x, ops.layer_norm(chain(x, leaves(normal(40)), leaves(normal(40))), leaves(normal(40)),
                                          leaves(normal(40)), rank=1, eps=1e-5))
        return Built([x]).plan

    # the last layer keeps a result that inner layers do not, so it is a kernel of its own
    assert len({s.key for s in stack(6).steps}) == len({s.key for s in stack(3).steps}) <= 3


def test_updates_of_many_parameters_share_one_kernel():
    leaves = Leaf()
    roots = []
    for size in (3, 64, 1000, 17):
        p, g = leaves(normal(size, 5)), leaves(normal(size, 5))
        roots.append(ops.sub(p, ops.mul(g, 0.1)))
    plan = Built(roots).plan
    assert len(plan.steps) == 4 and len({s.key for s in plan.steps}) == 1


def test_what_many_read_is_computed_once():
    leaves = Leaf()
    x = leaves(normal(30, 40))
    heavy = ops.exp(ops.sin(x))
    roots = [ops.contract(heavy, x, equation="ab,cb->ac"), ops.permute(heavy, dims=(1, 0))]
    steps = Built(roots).plan.steps
    assert len(steps) == 3
    assert sum(v.op == "inst" and v.attr[0] == "exp" for s in steps if hasattr(s, "key") for v in s.key.values) == 1


def test_the_report_gives_reasons():
    leaves = Leaf()
    x = leaves(normal(30, 40))
    report = Built([ops.sum(x, dims=(0,), keepdim=False), ops.sum(ops.sum(x, dims=(1,), keepdim=True),
                                                                  dims=(0,), keepdim=False)]).plan.report
    assert any("apart: " in line for line in report)


def test_lowering_a_kernel_takes_milliseconds():
    lower.programs.clear()
    before = dict(trace.counters)
    for name in CASES:
        leaves = Leaf()
        built = Built(CASES[name][1](leaves(normal(37, 70)), leaves(normal(70)), leaves(normal(70))))
        assert all(step.program.functions for step in built.plan.steps)
    made = trace.counters["kernels lowered"] - before.get("kernels lowered", 0)
    spent = trace.counters["lowering microseconds"] - before.get("lowering microseconds", 0)
    assert made >= 8 and spent / made < 15_000  # about 700 on a quiet machine


def test_what_is_stacked_is_computed_in_its_place():
    leaves = Leaf()
    w, state = leaves(normal(16, 16)), leaves(normal(8, 16))
    states = []
    for _ in range(6):
        state = ops.tanh(ops.contract(state, w, equation="ab,bc->ac"))
        states.append(state)
    stacked = ops.concat(*[ops.reshape(s, shape=(1, 8, 16)) for s in states], dim=0)
    roots = [ops.mul(stacked, 2.0), ops.sum(states[-1], dims=(0, 1), keepdim=False)]
    got = compiled(roots)
    for x, y in zip(got, expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)
    assert same_bits(got, compiled(roots, fuse=False))
    assert kernels(roots) == 6 + 2  # tanh is the epilogue of each product


def test_updates_of_two_values_that_read_the_same_stay_apart():
    """Their copies may be left out each for itself, as each base is read once more before it is written over."""
    first, second, row = sq.zeros(5, 40), sq.zeros(5, 40), sq.randn(40)
    sq.flush()
    for at in range(4):
        before = first.sum(0) + second.sum(0)
        first[at], second[at] = row, row * 1
        total = (before + first.sum(0) + second.sum(0)).numpy()
        np.testing.assert_allclose(total, (4 * at + 2) * row.numpy(), rtol=1e-5)
    assert (first.numpy()[:4] == row.numpy()).all() and (second.numpy()[:4] == row.numpy()).all()
