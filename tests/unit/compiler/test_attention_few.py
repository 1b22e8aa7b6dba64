"""Attention of few queries: keys are shared out in stretches, masked blocks are not read, bits are settled."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall.base.dtypes import int64
from squall.compiler.attend.few import FEW, STRETCH
from squall.ir.op import ops
from tests.unit.compiler.nest_support import host_isas
from tests.unit.engine.harness import Built, Leaf, compiled, scalar


def normal(seed, *shape, dtype="f4"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def plain(q, k, v, mask=None, causal=False, scale=0.25):
    """Result and base-2 logarithms of sums in float64."""
    q, k, v = (x.astype("f8") for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) * scale
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    top = scores.max(-1, keepdims=True)
    weights = np.exp(scores - top)
    total = weights.sum(-1, keepdims=True)
    return weights / total @ v, (top + np.log(total))[..., 0] / np.log(2)


def check(q, k, v, mask=None, causal=False, tolerance=2e-6):
    leaves = Leaf()
    operands = [leaves(x) for x in (q, k, v, *(() if mask is None else (mask,)))]
    made = Built(ops.attention(*operands, causal=causal, scale=0.25))
    assert made.plan.steps[0].label == "attention_few"
    for found, wanted in zip(made.run(), plain(q, k, v, mask, causal), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("keys", [1, 2, 15, 16, 17, 64, 65, 255, 256, 257, 320, 511, 512, 513, 1000, 2000])
def test_any_number_of_keys(keys, causal):
    queries = 1 + keys % FEW
    check(normal(0, 3, queries, 64), normal(1, 3, keys, 64), normal(2, 3, keys, 64), causal=causal)


@pytest.mark.parametrize("queries", [1, 2, 3, 4, 5, 7, 8, 11, 16])
@pytest.mark.parametrize(("features", "width"), [(64, 64), (16, 80), (20, 7), (1, 1), (17, 33)])
def test_any_number_of_queries_and_features(queries, features, width):
    check(normal(0, 2, queries, features), normal(1, 2, 300, features), normal(2, 2, 300, width))


@pytest.mark.parametrize("shape", [(3, 300), (1, 300), (2, 1, 1, 300), (1, 3, 3, 1), (3, 1), (2, 3, 3, 300)])
@pytest.mark.parametrize("kind", ["bool", "f4"])
def test_masks_of_any_shape(shape, kind):
    mask = normal(3, *shape) > -1 if kind == "bool" else normal(3, *shape)
    if kind == "bool":
        mask[..., :1] = True
    check(normal(0, 2, 3, 3, 16), normal(1, 2, 3, 300, 16), normal(2, 2, 3, 300, 16), mask)


def test_queries_at_the_end_of_a_cache():
    """Causal with an offset: each query sees the keys up to its own position of a cache that is longer."""
    length, first, queries = 700, 530, 5
    mask = np.arange(length) <= first + np.arange(queries)[:, None]
    check(normal(0, 2, queries, 32), normal(1, 2, length, 32), normal(2, 2, length, 32), mask)


def test_blocks_that_a_mask_leaves_out_are_not_read():
    length, first = 700, 150
    q, k, v = normal(0, 2, 1, 32), normal(1, 2, length, 32), normal(2, 2, length, 32)
    wanted = plain(q, k[:, : first + 1], v[:, : first + 1])[0]
    k[:, 192:], v[:, 192:] = np.nan, np.nan
    leaves = Leaf()
    mask = leaves(np.arange(length) <= first)
    (out,) = compiled([ops.attention(*map(leaves, (q, k, v)), mask, causal=False, scale=0.25)[0]])
    np.testing.assert_allclose(out, wanted, rtol=2e-6, atol=2e-6)


def test_a_query_that_sees_nothing_gives_zeros():
    leaves = Leaf()
    q, k, v = leaves(normal(0, 1, 3, 8)), leaves(normal(1, 1, 600, 8)), leaves(normal(2, 1, 600, 8))
    mask = np.ones((3, 600), bool)
    mask[1] = False
    out, sums = compiled(ops.attention(q, k, v, leaves(mask), causal=False, scale=0.25))
    assert (out[0, 1] == 0).all() and np.isneginf(sums[0, 1])
    assert np.isfinite(np.delete(out, 1, 1)).all() and np.isfinite(np.delete(sums, 1, 1)).all()


@pytest.mark.parametrize("where", ["q", "k", "v"])
def test_not_a_number_is_not_lost(where):
    given = {"q": normal(0, 1, 2, 8), "k": normal(1, 1, 400, 8), "v": normal(2, 1, 400, 8)}
    given[where][0, 1, 3] = np.nan
    leaves = Leaf()
    (out,) = compiled([ops.attention(*map(leaves, given.values()), causal=False, scale=0.25)[0]])
    np.testing.assert_array_equal(np.isnan(out), np.isnan(plain(**given)[0]))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_dtypes(dtype):
    kind = getattr(sq, dtype)
    q, k, v = (sq.tensor(normal(i, 2, n, 24)).to(kind) for i, n in ((0, 3), (1, 700), (2, 700)))
    out = F.scaled_dot_product_attention(q, k, v, scale=0.25)
    wanted = plain(*(x.to(sq.float64).numpy() for x in (q, k, v)))[0]
    tolerance = {"float64": 1e-13, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    assert out.dtype is kind
    np.testing.assert_allclose(out.to(sq.float64).numpy(), wanted, rtol=tolerance, atol=tolerance / 4)


def test_strided_operands():
    """A cache by positions, heads, features; and one whose features do not lie side by side."""
    q, k, v = normal(0, 2, 1, 4, 16), normal(1, 2, 300, 4, 16), normal(2, 2, 300, 4, 16)
    by_heads = [x.transpose(0, 2, 1, 3) for x in (q, k, v)]
    check(*by_heads)
    turned = [np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) for x in by_heads]
    check(*turned)


def same(results):
    first = results[0]
    return all(a.tobytes() == b.tobytes() for r in results[1:] for a, b in zip(first, r, strict=True))


@pytest.mark.parametrize("queries", [1, 5, 16])
@pytest.mark.parametrize("masked", [False, True])
def test_bits_do_not_depend_on_threads_or_instruction_set(queries, masked):
    leaves = Leaf()
    q, k, v = leaves(normal(0, 5, queries, 40)), leaves(normal(1, 5, 900, 40)), leaves(normal(2, 5, 900, 40))
    mask = (leaves(normal(3, queries, 900) > 0),) if masked else ()
    roots = ops.attention(q, k, v, *mask, causal=False, scale=0.25)
    before, found = sq.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            sq.set_num_threads(threads)
            found.append(compiled(roots))
    finally:
        sq.set_num_threads(before)
    found += [compiled(roots, isa=isa) for isa in host_isas()[1:]]
    assert same(found)


def test_bits_do_not_depend_on_what_else_is_known():
    """Compiled or not, for one size or for any, from a cache or from a part of a longer one."""
    keys, queries = sq.Dim("keys", min=1, max=4000), sq.Dim("queries", min=1, max=64)
    attend = F.scaled_dot_product_attention
    fixed = sq.compile(attend)
    moving = sq.compile(attend, dynamic_shapes=({1: queries}, {1: keys}, {1: keys}))
    whole = [sq.tensor(normal(i, 2, 1200, 32)) for i in (1, 2)]
    for count in (1, 256, 257, 777):
        for rows in (1, FEW, FEW + 1):
            q, parts = sq.tensor(normal(rows, 2, rows, 32)), [x[:, :count] for x in whole]
            results = [f(q, *parts).numpy() for f in (attend, fixed, moving)]
            results.append(attend(q, *(x.clone() for x in parts)).numpy())
            assert all(r.tobytes() == results[0].tobytes() for r in results), (count, rows)


def test_heads_that_share_keys_are_rows():
    q, k, v = sq.tensor(normal(0, 2, 12, 1, 32)), *(sq.tensor(normal(i, 2, 3, 600, 32)) for i in (1, 2))
    out = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    alone = F.scaled_dot_product_attention(q, *(x.repeat_interleave(4, 1) for x in (k, v)))
    assert (out == alone).all()
    text = str(sq.explain(lambda *x: F.scaled_dot_product_attention(*x, enable_gqa=True), q, k, v))
    assert "attention_few" in text and "attention_combine" in text


def labels(queries, keys, *rest, **named):
    leaves = Leaf()
    q, k, v = (leaves(np.zeros((2, n, 8), "f4")) for n in (queries, keys, keys))
    op = ops.attention_dropout if "p" in named else ops.attention
    return [s.label for s in Built([op(q, k, v, *rest, causal=False, scale=1.0, **named)[0]]).plan.steps]


def test_which_kernel_runs():
    assert labels(1, STRETCH) == ["attention_few"]
    assert labels(FEW, STRETCH + 1) == ["attention_few", "attention_combine"]
    assert labels(FEW + 1, STRETCH + 1) == ["attention"]
    assert labels(1, 20, scalar(7, int64), scalar(11, int64), p=0.3)[-1:] == ["attention_dropout"]
