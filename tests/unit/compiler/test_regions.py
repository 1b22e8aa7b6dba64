"""Steps that do not wait for each other run as one launch: which they are, and that nothing changes but the time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from squall.compiler import regions
from squall.ir.op import ops
from squall.runtime.native import get_num_threads, set_num_threads
from squall.runtime.plan_image import PlanImage
from tests.unit.engine.harness import Built, Leaf, expected, same_bits


@pytest.fixture(autouse=True)
def threads():
    before = get_num_threads()
    yield
    set_num_threads(before)


def normal(*shape):
    return np.random.RandomState(sum(shape)).standard_normal(shape).astype(np.float32)


def updates(leaves, sizes):
    roots = []
    for size in sizes:
        p, g = leaves(normal(size)), leaves(normal(size + 1)[1:])
        roots.append(ops.sub(p, ops.mul(g, 0.1)))
    return roots


def launched(built):
    (image,) = built.executable.bound([n.buffer for n in built.request.inputs], {}).segments
    assert isinstance(image, PlanImage)
    return [step.name for step in image.steps]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_program_over_many_sizes_is_one_launch_with_the_same_bits(count):
    set_num_threads(count)
    leaves = Leaf()
    roots = updates(leaves, [2, 3, 8191, 100_003, 64, 17, 40_000, 8192, 0, 5])
    built = Built(roots)
    assert len(built.plan.steps) == 9 and built.plan.regions == ((0, 9),) and built.plan.launches == 1
    assert len({s.key for s in built.plan.steps}) == 1 and launched(built) == ["sub x9"]
    apart = Built(roots, fuse=False)
    assert apart.plan.regions == ()
    got = built.run()
    assert same_bits(got, expected(roots, leaves)) and same_bits(got, apart.run())


def test_a_launch_holds_different_kernels_and_reductions_in_two_steps():
    leaves = Leaf()
    x = [leaves(normal(n)) for n in (200_000, 300, 70_000, 7)]
    roots = [ops.sum(ops.mul(v, v), dims=(0,), keepdim=False) for v in x]
    roots += [ops.contract(leaves(normal(40, 30)), leaves(normal(30, 50)), equation="ab,bc->ac"),
              ops.exp(leaves(normal(33, 5)))]
    built = Built(roots)
    assert built.plan.launches == 2 < len(built.plan.steps)  # all first steps; then the sums of blocks
    got = built.run()
    set_num_threads(1)
    assert same_bits(got, Built(roots, fuse=False).run())
    for one, other in zip(got, expected(roots, leaves), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_who_waits_runs_later_and_memory_of_a_region_is_not_shared():
    leaves = Leaf()
    a, b = leaves(normal(64, 64)), leaves(normal(64, 64))
    first = [ops.contract(a, b, equation="ab,bc->ac"), ops.contract(b, a, equation="ab,bc->ac")]
    second = [ops.contract(v, a, equation="ab,cb->ac") for v in first]
    roots = [ops.contract(*second, equation="ab,bc->ac")]
    built = Built(roots)
    steps, slots = built.plan.steps, built.plan.slots
    assert len(steps) == 5 and built.plan.launches < 5
    for low, high in built.plan.regions:
        written = [s.operands[2].value for s in steps[low:high]]
        read = {w.value for s in steps[low:high] for w in s.operands[:2]}
        assert not read & set(written)
        spans = sorted((slots[p].offset, slots[p].nbytes) for p in {*written, *read} if slots[p].kind == "arena")
        assert all(low + size <= high for (low, size), (high, _) in itertools.pairwise(spans))
    np.testing.assert_allclose(built.run()[0], expected(roots, leaves)[0], rtol=1e-3, atol=1e-2)


def test_what_is_put_off_holds_little_memory(monkeypatch):
    """Sums of rows that an update waits for are used up at once when they are large."""
    def plan():
        leaves = Leaf()
        roots = []
        for turn in range(3):
            x = leaves(normal(40, 50 + turn))
            column = ops.sum(ops.exp(x), dims=(0,), keepdim=False)
            roots += [ops.mul(ops.permute(ops.cumsum(column, dim=0), dims=(0,)), 2.0)]
        return Built(roots).plan

    assert max(high - low for low, high in plan().regions) == 3
    monkeypatch.setattr(regions, "HELD_BYTES", 300)
    assert all(high - low < 3 for low, high in plan().regions)
