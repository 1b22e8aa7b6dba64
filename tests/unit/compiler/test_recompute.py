"""Large values that only other kernels read are computed there again, where that reads no more."""

from __future__ import annotations

import numpy as np

from squall.ir.op import ops
from tests.unit.engine.harness import Built, Leaf, expected, same_bits


def normal(*shape):
    return np.random.RandomState(sum(shape)).standard_normal(shape).astype(np.float32)


def norm_gradients(leaves, rows, width):
    """What the gradients of a norm's operand and weight come to."""
    x, g = leaves(normal(rows, width)), leaves(normal(rows + 1, width)[1:])
    centred = ops.sub(x, ops.mean(x, dims=(1,), keepdim=True))
    scale = ops.rsqrt(ops.add(ops.mean(ops.mul(centred, centred), dims=(1,), keepdim=True), 1e-5))
    h = ops.mul(centred, scale)
    inner = ops.sub(g, ops.mul(h, ops.mean(ops.mul(g, h), dims=(1,), keepdim=True)))
    return [ops.mul(inner, scale), ops.sum(ops.mul(g, h), dims=(0,), keepdim=False)]


def test_a_norms_backward_keeps_no_copy_of_its_rows():
    leaves = Leaf()
    roots = norm_gradients(leaves, 2048, 64)
    built = Built(roots)
    assert any(line.endswith("is computed where it is read") for line in built.plan.report)
    assert built.plan.arena_bytes < 2048 * 64 * 4
    got = built.run()
    assert same_bits(got, Built(roots, fuse=False).run())
    for x, y in zip(got, expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3)


def test_dear_values_and_results_stay():
    leaves = Leaf()
    x = leaves(normal(2048, 64))
    dear = ops.exp(x)
    roots = [ops.sum(dear, dims=(1,), keepdim=False), ops.sum(ops.mul(dear, x), dims=(0,), keepdim=False)]
    assert not any("is computed where" in line for line in Built(roots).plan.report)
    asked = norm_gradients(leaves, 2048, 64)
    mean = ops.mean(x, dims=(1,), keepdim=True)
    wanted = ops.sub(x, mean)
    roots = [wanted, ops.sum(ops.mul(wanted, x), dims=(0,), keepdim=False), *asked]
    built = Built(roots)
    assert same_bits(built.run(), Built(roots, fuse=False).run())


def test_a_value_of_two_large_operands_is_read_rather_than_both():
    leaves = Leaf()
    x, y = leaves(normal(2048, 64)), leaves(normal(2049, 64)[1:])
    both = ops.add(x, y)
    roots = [ops.sum(both, dims=(1,), keepdim=False),
             ops.sum(ops.mul(both, ops.sum(both, dims=(1,), keepdim=True)), dims=(0,), keepdim=False)]
    built = Built(roots)
    assert same_bits(built.run(), Built(roots, fuse=False).run())
