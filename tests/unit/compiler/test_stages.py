"""Single stages: what simplification may and may not do, arena offsets, stages as data."""

import numpy as np
import pytest

from squall.base.dtypes import bfloat16, float32, float64, int32, int64
from squall.compiler.memory import Life, plan
from squall.compiler.pipeline import STAGES, Stage, compile_plan
from squall.compiler.simplify import simplify
from squall.ir.node import toposort
from squall.ir.op import constant, ops
from tests.unit.engine.harness import Leaf, request_of, scalar


def leaf(shape=(3, 4), dtype="f4"):
    return Leaf()(np.ones(shape, dtype))


def simple(root, *leaves):
    (found,) = simplify([root], list(leaves))
    return found


def test_equal_nodes_become_one():
    x = leaf()
    root = simple(ops.add(ops.exp(x), ops.exp(x)), x)
    assert root.inputs[0] is root.inputs[1]
    different = simple(ops.add(ops.sum(x, dims=(0,), keepdim=True), ops.sum(x, dims=(1,), keepdim=True)), x)
    assert different.inputs[0] is not different.inputs[1]


@pytest.mark.parametrize("make, is_identity", [
    (lambda x: ops.mul(x, 1.0), True),
    (lambda x: ops.div(x, 1.0), True),
    (lambda x: ops.sub(x, 0.0), True),
    (lambda x: ops.neg(ops.neg(x)), True),
    (lambda x: ops.permute(ops.permute(x, dims=(1, 0)), dims=(1, 0)), True),
    (lambda x: ops.reshape(ops.reshape(x, shape=(12,)), shape=(3, 4)), True),
    (lambda x: ops.cast(ops.cast(x, dtype=float64), dtype=float32), True),
    (lambda x: ops.add(x, 0.0), False),  # -0.0 + 0.0 is 0.0
    (lambda x: ops.sub(x, -0.0), False),
    (lambda x: ops.mul(x, 0.0), False),
    (lambda x: ops.cast(ops.cast(x, dtype=bfloat16), dtype=float32), False),
])  # fmt: skip
def test_identities_that_keep_bits(make, is_identity):
    x = leaf()
    assert (simple(make(x), x) is x) == is_identity


def test_integers_add_nothing():
    x = leaf(dtype="i4")
    assert simple(ops.add(x, constant(0, int32)), x) is x


def test_constants_fold_to_what_ieee_says():
    x = leaf()
    root = simple(ops.add(x, ops.div(constant(1.0, float32), constant(3.0, float32))), x)
    folded = root.inputs[1]
    assert folded.op is ops.constant and float.fromhex(folded.attrs[0]) == float(np.float32(1) / np.float32(3))


def test_a_sixteen_bit_scalar_is_not_cut_short():
    rate = scalar(1e-4, bfloat16)
    x = Leaf()(np.ones(3, "f4"))
    root = simple(ops.mul(x, ops.cast(rate, dtype=float32)), x, rate)
    assert root.inputs[1].op is ops.cast


def test_cropping_with_interior_is_a_slice_of_a_pad():
    x = leaf((4,))
    root = simple(ops.pad(x, low=(-1,), high=(2,), interior=(1,), value=0.5), x)
    assert root.op is ops.slice and root.inputs[0].attrs[:3] == ((0,), (2,), (1,))
    assert [n.dtype for n in root.inputs[1:]] == [int64]


def overlaps(a, b, lives, offsets):
    first, second = lives[a], lives[b]
    apart = first.end < second.begin or second.end < first.begin
    return not apart and offsets[a] < offsets[b] + second.nbytes and offsets[b] < offsets[a] + first.nbytes


def test_arena_offsets_never_overlap_and_memory_is_shared():
    rng = np.random.default_rng(0)
    lives = []
    for number in range(60):
        begin = int(rng.integers(0, 40))
        lives.append(Life(number, int(rng.integers(1, 5000)), begin, begin + int(rng.integers(0, 10))))
    offsets, total, *_ = plan(lives)
    assert all(o % 64 == 0 for o in offsets.values())
    assert not any(overlaps(a, b, lives, offsets) for a in range(60) for b in range(a))
    most = max(sum(v.nbytes for v in lives if v.begin <= t <= v.end) for t in range(50))
    assert most <= total <= 2 * most


def test_stages_can_be_watched_and_replaced():
    x = leaf()
    seen = []
    watch = Stage("watch", lambda c: seen.extend(n.op.name for n in toposort(c.roots)))
    request = request_of([ops.softmax(x, dim=1)])
    made = compile_plan(request, (STAGES[0], watch, *STAGES[1:]))
    assert {"exp", "amax", "sum", "reciprocal"} <= set(seen) and len(made.steps) == 1
    apart = compile_plan(request, tuple(s for s in STAGES if s.name != "fuse"))
    assert len(apart.steps) > 1
