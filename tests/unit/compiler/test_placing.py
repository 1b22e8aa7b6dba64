"""Copies that are not made: contractions written where they are moved to, gradients of a split side by side."""

import numpy as np

from squall.base import dtypes
from squall.ir.op import constant, ops
from tests.unit.engine.harness import Built, Leaf, compiled, expected, same_bits

random = np.random.default_rng(5)


def normal(*shape):
    return random.normal(size=shape).astype("f4")


def start(value):
    return constant(value, dtypes.int64)


def part(x, dim, first, size):
    return ops.slice(x, start(first), dims=(dim,), sizes=(size,), steps=(1,))


def placed(value, shape, dim, first):
    zeros = ops.expand(constant(0.0, dtypes.float32), shape=shape)
    return ops.update_slice(zeros, value, start(first), dims=(dim,), steps=(1,))


def check(roots, leaves, labels):
    built = Built(roots)
    assert [s.label for s in built.plan.steps] == labels, built.plan.report
    got = built.run()
    for x, y in zip(got, expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)
    assert same_bits(got, compiled(roots, fuse=False))


def heads(x, count):
    batch, length, width = x.shape
    return ops.permute(ops.reshape(x, shape=(batch, length, count, width // count)), dims=(0, 2, 1, 3))


def test_parts_of_a_product_are_read_where_they_lie_and_heads_written_as_rows():
    leaves = Leaf()
    x, w, out = leaves(normal(2 * 9, 24)), leaves(normal(24, 72)), leaves(normal(24, 24))
    joint = ops.reshape(ops.contract(x, w, equation="mk,kn->mn"), shape=(2, 9, 72))
    q, k, v = (heads(part(joint, 2, 24 * i, 24), 3) for i in range(3))
    mixed = ops.contract(ops.contract(q, k, equation="bhle,bhse->bhls"), v, equation="bhls,bhsv->bhlv")
    rows = ops.reshape(ops.permute(mixed, dims=(0, 2, 1, 3)), shape=(2 * 9, 24))
    check([ops.contract(rows, out, equation="mk,kn->mn")], leaves, ["contract"] * 4)


def test_placed_products_are_written_side_by_side():
    leaves = Leaf()
    a, b, c, w = leaves(normal(6, 5)), leaves(normal(5, 4)), leaves(normal(5, 7)), leaves(normal(11, 3))
    whole = ops.add(placed(ops.contract(a, c, equation="mk,kn->mn"), (6, 11), 1, 4),
                    placed(ops.contract(a, b, equation="mk,kn->mn"), (6, 11), 1, 0))
    check([ops.contract(whole, w, equation="mk,kn->mn")], leaves, ["contract"] * 3)


def test_a_negative_zero_that_is_placed_becomes_positive():
    leaves = Leaf()
    a, b = leaves(np.full((3, 2), -0.0, "f4")), leaves(normal(3, 2))
    (got,) = compiled([ops.add(placed(a, (3, 4), 1, 0), placed(b, (3, 4), 1, 2))])
    assert not np.signbit(got[:, :2]).any() and np.array_equal(got[:, 2:], leaves.arrays[id(b)])


def test_what_overlaps_or_leaves_gaps_is_added():
    leaves = Leaf()
    a, b = leaves(normal(3, 2)), leaves(normal(3, 2))
    for first in (1, 3):
        roots = [ops.add(placed(a, (3, 5), 1, 0), placed(b, (3, 5), 1, first))]
        (got,), (wanted,) = compiled(roots), expected(roots, leaves)
        assert np.array_equal(got, wanted)


def test_one_part_twice_is_copied_once():
    leaves = Leaf()
    a, b = leaves(normal(6, 5)), leaves(normal(5, 4))
    product = ops.contract(a, b, equation="mk,kn->mn")
    roots = [ops.concat(product, product, dim=1)]
    (got,), (wanted,) = compiled(roots), expected(roots, leaves)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_product_is_never_negative_zero():
    """Products that underflow from below round to -0.0, which a placement's + 0.0 would change."""
    leaves = Leaf()
    for rows in (1, 3, 20):
        a, b = leaves(np.full((rows, 8), -1e-30, "f4")), leaves(np.full((8, 70), 1e-30, "f4"))
        for equation, second in (("mk,kn->mn", b), ("mk,nk->mn", leaves(np.full((70, 8), 1e-30, "f4")))):
            (got,) = compiled([ops.contract(a, second, equation=equation)])
            assert not got.any() and not np.signbit(got).any()


def test_a_kernel_that_writes_a_part_does_not_read_the_whole():
    """The sum is computed in its place in the concat; what reads it there must run behind it."""
    leaves = Leaf()
    a, b, first, y = leaves(normal(1, 4)), leaves(normal(1, 4)), leaves(normal(1, 4)), leaves(normal(4))
    total = ops.sum(ops.concat(a, b, dim=0), dims=(0,), keepdim=False)
    whole = ops.concat(first, ops.reshape(total, shape=(1, 4)), dim=0)
    again = ops.reshape(part(ops.mul(whole, 2.0), 0, 1, 1), shape=(4,))
    roots = [ops.mul(again, y), ops.sum(ops.mul(whole, whole), dims=(0, 1), keepdim=False)]
    for got, wanted in zip(compiled(roots), expected(roots, leaves), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
