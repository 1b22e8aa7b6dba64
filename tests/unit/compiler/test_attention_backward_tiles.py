"""Attention's backward on matrix tiles: as accurate as multiply-adds, right for what has no parts, settled bits."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall.base.dtypes import int64
from squall.ir.op import ops
from squall.runtime import matrix_tiles
from tests.unit.engine.harness import Leaf, compiled, same_bits, scalar

pytestmark = pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def plain(g, q, k, v, causal=False, scale=0.25):
    """The result, the logarithms of sums in base 2, and the gradients of query, key and value, in float64."""
    g, q, k, v = (x.astype("f8") for x in (g, q, k, v))
    scores = q @ k.swapaxes(-1, -2) * scale
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    weights = np.exp(scores - top)
    sums = weights.sum(-1, keepdims=True)
    weights /= sums
    out, slopes = weights @ v, g @ v.swapaxes(-1, -2)
    slopes = weights * (slopes - (g * out).sum(-1, keepdims=True)) * scale
    gradients = slopes @ k, slopes.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ g
    return out, ((top + np.log(sums)) / np.log(2))[..., 0], gradients


def backward(g, q, k, v, out, sums, *rest, isa="", p=0.0, **named):
    """The gradients by tiles or by an instruction set."""
    leaves = Leaf()
    given = [leaves(np.asarray(x, "f4")) for x in (g, q, k, v, out, sums)]
    op, more = (ops.attention_dropout_backward, {"p": p}) if p else (ops.attention_backward, {})
    options = {"isa": isa} if isa else {}
    return compiled(list(op(*given, *rest, **{"causal": False, "scale": 0.25, **named, **more})), **options)


def operands(queries, keys, features, width, lead=3, causal=False):
    """Gradient of the result, query, key, value, result, sums, and the gradients wanted."""
    given = (normal(0, lead, queries, width), normal(1, lead, queries, features), normal(2, lead, keys, features),
             normal(3, lead, keys, width))
    out, sums, wanted = plain(*given, causal)
    return (*given, out, sums), wanted


def error(found, wanted):
    return np.sqrt(np.mean((found - wanted) ** 2))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys", "features", "width"), [
    (33, 40, 8, 40), (64, 64, 64, 64), (65, 63, 33, 17), (600, 130, 64, 32), (130, 1100, 100, 30)])
def test_gradients_are_no_less_accurate_than_those_of_multiply_adds(queries, keys, features, width, causal):
    given, wanted = operands(queries, keys, features, width, causal=causal)
    by_tiles, by_vectors = backward(*given, causal=causal), backward(*given, causal=causal, isa="avx512")
    for found, other, exact in zip(by_tiles, by_vectors, wanted, strict=True):
        assert error(found, exact) < 1.1 * error(other, exact) < 1e-6
        assert found.tobytes() != other.tobytes()  # they are tiles


@pytest.mark.parametrize("value", [np.inf, np.nan, 3.3961e38, 1e30])
@pytest.mark.parametrize("where", range(4))
def test_what_has_no_parts_is_multiplied_by_vectors(where, value):
    """A leading index at a time: the other one is as it would be alone."""
    given, _ = operands(70, 90, 16, 16, lead=2)
    before = backward(*given)
    given[where][1, 66, 3] = value
    found, wanted = backward(*given), backward(*given, isa="avx512")
    for one, other, earlier in zip(found, wanted, before, strict=True):
        assert one[1].tobytes() == other[1].tobytes()
        assert one[0].tobytes() == earlier[0].tobytes() != other[0].tobytes()


@pytest.mark.parametrize("sizes", [(1e-34, 1, 1), (1e-20, 1e-14, 1), (1e-20, 1, 1e-14)])
def test_small_gradients_are_as_accurate_as_others(sizes):
    """Parts of numbers so small would be lost: 2**-113 has eight bits above those that count as zero."""
    given, _ = operands(70, 90, 16, 16)
    g, q, k = (x * np.float32(size) for x, size in zip(given[:3], sizes, strict=True))
    out, sums, wanted = plain(g, q, k, given[3])
    for found, exact in zip(backward(g, q, k, given[3], out, sums), wanted, strict=True):
        size = abs(exact).max()
        assert error(found / size, exact / size) < 1e-6


@pytest.mark.parametrize("lengths", [(32, 200), (200, 32)])
def test_few_queries_or_keys_are_multiplied_by_vectors(lengths):
    given, _ = operands(*lengths, 16, 16)
    assert same_bits(backward(*given), backward(*given, isa="avx512"))


def test_a_query_that_sees_nothing_gives_zeros_and_reads_nothing_else():
    """Blocks are whole: what lies beyond queries and keys is worth nothing, whatever the mask says there."""
    given, _ = operands(100, 70, 20, 20)
    leaves = Leaf()
    mask = normal(5, 3, 100, 70)
    mask[:, 4], mask[:, 99] = -np.inf, -np.inf
    sums = given[5].copy()
    sums[:, [4, 99]] = -np.inf
    found = backward(*given[:5], sums, leaves(mask))
    wanted = backward(*given[:5], sums, leaves(mask), isa="avx512")
    assert (found[0][:, [4, 99]] == 0).all()
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
        assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("lengths", [(40, 64), (40, 50)])
def test_what_an_earlier_call_left_beyond_queries_and_keys_does_not_matter(lengths):
    """Workspace holds NaN of a block of 64 where later ones are smaller."""
    def run(queries, keys, value):
        given, _ = operands(queries, keys, 20, 20, lead=1)
        leaves = Leaf()
        mask = normal(5, queries, keys)
        mask[40:], mask[:, 50:] = value, value
        given[5][:, 40:] = value
        return backward(*given, leaves(mask))

    wanted = run(*lengths, 0)
    assert np.isnan(run(64, 64, np.nan)[1]).all()
    assert same_bits(wanted, run(*lengths, 0))


def test_dropout_draws_the_bits_it_draws_by_vectors():
    given, _ = operands(140, 70, 20, 20)
    drawn = scalar(7, int64), scalar(11, int64)
    found, wanted = backward(*given, *drawn, p=0.3), backward(*given, *drawn, p=0.3, isa="avx512")
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
        assert one.tobytes() != other.tobytes()


def test_any_strides():
    g, q, k, v = (normal(i, 2, 150, 4, 64).transpose(0, 2, 1, 3) for i in range(4))
    out, sums, _ = plain(g, q, k, v)
    dense = [np.ascontiguousarray(x) for x in (g, q, k, v)]
    turned = [np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) for x in dense]
    wanted = backward(*dense, out, sums)
    assert same_bits(wanted, backward(g, q, k, v, out, sums))
    assert same_bits(wanted, backward(*turned, out, sums))


@pytest.mark.parametrize("causal", [False, True])
def test_bits_do_not_depend_on_threads_or_leading_indices(causal):
    given, _ = operands(700, 700, 32, 32, lead=5, causal=causal)
    wanted = backward(*given, causal=causal)
    before = sq.get_num_threads()
    try:
        sq.set_num_threads(3)
        assert same_bits(wanted, backward(*given, causal=causal))
    finally:
        sq.set_num_threads(before)
    assert same_bits([x[3:4] for x in wanted], backward(*(x[3:4] for x in given), causal=causal))


def test_one_compiled_length_serves_all():
    def gradients(q, k, v):
        def total(q, k, v):
            return (F.scaled_dot_product_attention(q, k, v) ** 2).sum()

        return sq.func.grad(total, argnums=(0, 1, 2))(q, k, v)

    compiled_function = sq.compile(gradients, dynamic=True)
    for length in (40, 200, 700):
        given = [sq.tensor(normal(i, 2, length, 64)) for i in range(3)]
        assert all((x == y).all() for x, y in zip(compiled_function(*given), gradients(*given), strict=True))
