"""Rows: large results are written past the caches, whole vectors go without masks, NaN wins every maximum."""

from __future__ import annotations

import numpy as np
import pytest

from squall.compiler import assemble
from squall.ir.op import ops
from tests.unit.engine.harness import Built, Leaf, expected, same_bits


def normal(*shape):
    return np.random.RandomState(sum(shape)).standard_normal(shape).astype(np.float32)


CASES = {
    "add": lambda x: ops.add(x, 1.0),
    "softmax": lambda x: ops.softmax(x, dim=1),
    "layer_norm": lambda x: ops.layer_norm(x, rank=1, eps=1e-5),
    "gelu": lambda x: ops.gelu(x),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("width", [64, 96, 100])
def test_storing_past_the_caches_keeps_the_bits(monkeypatch, name, width):
    leaves = Leaf()
    x = leaves(normal(37, width))
    plain = Built([CASES[name](x)])
    monkeypatch.setattr(assemble, "STREAM_BYTES", 0)
    streamed = Built([CASES[name](x)])
    (step,) = streamed.plan.steps
    rows = bool(step.key.outer)
    whole = (not rows or width % 16 == 0) and (step.key.exact or name != "softmax")
    assert step.key.stream == (name != "gelu" and whole)
    assert not plain.plan.steps[0].key.stream
    assert same_bits(plain.run(), streamed.run())
    np.testing.assert_allclose(streamed.run()[0], expected(streamed.roots, leaves)[0], rtol=1e-4, atol=1e-5)


def test_memory_that_is_not_squalls_own_is_written_as_ever(monkeypatch):
    """A donated array of the user's may begin anywhere."""
    monkeypatch.setattr(assemble, "STREAM_BYTES", 0)
    leaves = Leaf()
    x = leaves(normal(4000)[1:])
    built = Built([ops.add(x, 1.0)], donatable=[x])
    assert built.plan.outputs[0].donor == 0 and not built.plan.steps[0].key.stream
    wanted = leaves.arrays[id(x)] + np.float32(1)
    assert built.run()[0].tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ["add", "softmax"])
def test_results_may_begin_anywhere(monkeypatch, name):
    """As those of a function bound to arrays do."""
    monkeypatch.setattr(assemble, "STREAM_BYTES", 0)
    leaves = Leaf()
    built = Built([CASES[name](leaves(normal(37, 64)))])
    assert built.plan.steps[0].key.stream
    (wanted,), rows = built.run(), np.zeros(37 * 64 + 64, np.float32)
    (binding,) = [built.executable.bound([n.buffer for n in built.request.inputs], {})]
    for shift in (0, 1, 5, 8):
        rows[:] = 0
        base = rows.__array_interface__["data"][0]
        first = (-base % 64) // 4 + shift
        (image,) = binding.segments
        image.run([built.request.inputs[0].buffer.pointer, base + 4 * first, 0, 0])
        assert rows[first:first + 37 * 64].tobytes() == wanted.tobytes()
        assert not rows[:first].any() and not rows[first + 37 * 64:].any()


def test_whole_vectors_need_no_masks():
    leaves = Leaf()
    keys = [Built([ops.softmax(leaves(normal(9, width)), dim=1)]).plan.steps[0].key for width in (64, 65)]
    assert [k.exact for k in keys] == [True, False]
    assert keys[0]._replace(exact=False) == keys[1]


@pytest.mark.parametrize("length", [1, 5, 64, 97, 5000, 70_000])
@pytest.mark.parametrize("name", ["amax", "amin"])
def test_a_nan_anywhere_wins_and_nothing_else_changes(name, length):
    for at in (None, 0, length // 2, length - 1):
        leaves = Leaf()
        array = normal(3, length)
        if at is not None:
            array[1, at] = np.nan
        array[2, :] = -np.inf if name == "amax" else np.inf
        roots = [getattr(ops, name)(leaves(array), dims=(1,), keepdim=False)]
        got = Built(roots).run()
        assert same_bits(got, expected(roots, leaves)), (at, got)


def test_the_next_row_is_fetched_while_one_is_walked_again():
    leaves = Leaf()
    program = Built([ops.softmax(leaves(normal(9, 64)), dim=1)]).plan.steps[0].program
    assert sum(i.name == "prefetch" for f in program.functions for i in f.body) > 0
