"""Attention's kernels: the plan holds them, operands lie where they lie, memory is linear, bits are settled."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall.base.dtypes import int64
from squall.ir.op import ops
from tests.unit.compiler.nest_support import host_isas
from tests.unit.engine.harness import Built, Leaf, compiled, expected, same_bits, scalar


def normal(seed, *shape, dtype="f4"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def forward_and_backward(leaves, q, k, v, *rest, causal=False, p=0.0, scale=0.25):
    """Nodes of both results and of the gradients of query, key and value."""
    g = leaves(normal(9, *q.shape[:-1], v.shape[-1], dtype=leaves.arrays[id(q)].dtype))
    op, back = (ops.attention_dropout, ops.attention_dropout_backward) if p else (ops.attention, ops.attention_backward)
    named = {"causal": causal, "scale": scale, **({"p": p} if p else {})}
    out, sums = op(q, k, v, *rest, **named)
    return [out, sums, *back(g, q, k, v, out, sums, *rest, **named)]


def close(roots, leaves, tolerance=2e-5, **options):
    for x, y in zip(compiled(roots, **options), expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 130), (63, 65), (64, 64), (130, 70), (70, 130)])
def test_any_lengths(queries, keys, causal):
    leaves = Leaf()
    q, k, v = leaves(normal(0, 2, queries, 20)), leaves(normal(1, 2, keys, 20)), leaves(normal(2, 2, keys, 7))
    close(forward_and_backward(leaves, q, k, v, causal=causal), leaves)


@pytest.mark.parametrize("shape", [(70, 90), (1, 90), (2, 1, 1, 90), (1, 3, 70, 1), (70, 1)])
@pytest.mark.parametrize("kind", ["bool", "f4"])
def test_masks_of_any_shape(shape, kind):
    leaves = Leaf()
    q, k, v = leaves(normal(0, 2, 3, 70, 16)), leaves(normal(1, 2, 3, 90, 16)), leaves(normal(2, 2, 3, 90, 16))
    mask = normal(3, *shape) > -1 if kind == "bool" else normal(3, *shape)
    close(forward_and_backward(leaves, q, k, v, leaves(mask)), leaves)


def test_a_query_that_sees_nothing_gives_zeros():
    leaves = Leaf()
    q, k, v = (leaves(normal(i, 1, 70, 8)) for i in range(3))
    mask = np.ones((70, 70), bool)
    mask[5], mask[66] = False, False
    out, sums, *gradients = compiled(forward_and_backward(leaves, q, k, v, leaves(mask)))
    assert (out[0, [5, 66]] == 0).all() and np.isneginf(sums[0, [5, 66]]).all()
    assert (gradients[0][0, [5, 66]] == 0).all()
    assert all(np.isfinite(g).all() for g in gradients)


def test_dropout_draws_the_same_bits_forward_and_backward():
    leaves = Leaf()
    q, k, v = leaves(normal(0, 2, 70, 8)), leaves(normal(1, 2, 67, 8)), leaves(normal(2, 2, 67, 8))
    close(forward_and_backward(leaves, q, k, v, scalar(7, int64), scalar(11, int64), p=0.3, causal=True), leaves)


@pytest.mark.parametrize("dtype", ["f8", "f2"])
def test_other_dtypes(dtype):
    leaves = Leaf()
    q, k, v = (leaves(normal(i, 2, 70, 24, dtype=dtype)) for i in range(3))
    close(forward_and_backward(leaves, q, k, v, causal=True), leaves, {"f8": 1e-12, "f2": 4e-3}[dtype])


@pytest.mark.parametrize("causal", [False, True])
def test_bits_do_not_depend_on_threads_instruction_set_or_what_is_read(causal):
    leaves = Leaf()
    q, k, v = (leaves(normal(i, 3, 140, 20)) for i in range(3))
    roots = forward_and_backward(leaves, q, k, v, causal=causal)
    wanted = compiled(roots)
    before = sq.get_num_threads()
    try:
        sq.set_num_threads(3)
        found = [compiled(roots)]
    finally:
        sq.set_num_threads(before)
    assert all(same_bits(wanted, results) for results in found)
    (alone,) = compiled(roots[:1])
    assert alone.tobytes() == wanted[0].tobytes()
    by_vectors = [compiled(roots, isa=isa) for isa in host_isas()]  # matrix tiles have bits of their own
    assert all(same_bits(by_vectors[0], results) for results in by_vectors)


def test_parts_of_a_projection_are_read_and_written_where_they_lie():
    leaves = Leaf()
    packed = leaves(normal(0, 2, 70, 3, 4, 16))
    q, k, v = (ops.permute(ops.reshape(ops.slice(packed, leaves(np.int64(i)), dims=(2,), sizes=(1,), steps=(1,)),
                                       shape=(2, 70, 4, 16)), dims=(0, 2, 1, 3)) for i in range(3))
    out, _ = ops.attention(q, k, v, causal=True, scale=0.25)
    roots = [ops.reshape(ops.permute(out, dims=(0, 2, 1, 3)), shape=(2, 70, 64))]
    close(roots, leaves)


def labels(plan):
    return [s.label for s in plan.steps]


def test_the_plan_is_one_kernel_forward_and_one_backward():
    leaves = Leaf()
    q, k, v = (leaves(normal(i, 2, 70, 8)) for i in range(3))
    roots = forward_and_backward(leaves, q, k, v, causal=True)
    assert labels(Built(roots).plan) == ["attention", "attention_backward"]
    heads = ops.reshape(ops.permute(ops.mul(roots[0], 1.0), dims=(1, 0, 2)), shape=(70, 16))
    assert labels(Built([heads]).plan)[0] == "attention"
    moved = ops.reshape(ops.permute(roots[0], dims=(1, 0, 2)), shape=(70, 16))
    assert labels(Built([moved]).plan) == ["attention"]


@pytest.mark.parametrize("mask", [False, True])
def test_memory_is_linear_in_the_length(mask):
    def needed(length):
        leaves = Leaf()
        q, k, v = (leaves(np.zeros((1, length, 16), "f4")) for _ in range(3))
        rest = (leaves(np.ones((1, length), bool)),) if mask else ()
        plan = Built(forward_and_backward(leaves, q, k, v, *rest)).plan
        return plan.arena_bytes + max(s.scratch_bytes for s in plan.steps)

    first, second, third = (needed(length) for length in (2048, 4096, 6144))
    assert third - second < 1.1 * (second - first) < 1.1 * 2048 * 16 * 4 * 8
    assert first < 2 << 20  # what does not grow


def test_shared_heads_are_read_where_they_lie():
    q, k, v = (sq.tensor(normal(i, 2, h, 9, 8), requires_grad=True) for i, h in ((0, 6), (1, 2), (2, 2)))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    repeated = [t.detach().repeat_interleave(3, 1).requires_grad_() for t in (k, v)]
    other = q.detach().requires_grad_()
    plain = F.scaled_dot_product_attention(other, *repeated, is_causal=True)
    assert (out == plain).all()
    out.sum().backward()
    plain.sum().backward()
    assert sq.allclose(q.grad, other.grad)
    assert sq.allclose(k.grad, repeated[0].grad.reshape(2, 2, 3, 9, 8).sum(2), atol=1e-6)
    one = F.scaled_dot_product_attention(q[:, :, :1], k, v, enable_gqa=True)
    assert sq.allclose(one, F.scaled_dot_product_attention(other[:, :, :1], *repeated), atol=1e-6)


def test_weights_of_a_layer_are_those_of_its_result():
    sq.manual_seed(0)
    layer = sq.nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    x = sq.tensor(normal(0, 2, 6, 8))
    layer.in_proj_weight.data[16:] = sq.eye(8)
    layer.out_proj.weight.data[:] = sq.eye(8)
    out, weights = layer(x, x, x, average_attn_weights=False)
    values = x.reshape(2, 6, 2, 4).transpose(1, 2)
    assert (weights == 0).any()
    assert sq.allclose(out, (weights @ values).transpose(1, 2).reshape(2, 6, 8), atol=1e-5)


def test_second_gradients_are_those_of_the_plain_formula():
    leaves = [sq.tensor(normal(i, 1, 5, 4, dtype="f8"), requires_grad=True) for i in range(3)]

    def plain(q, k, v):
        return (q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v

    found = []
    for function in (plain, F.scaled_dot_product_attention):
        first = sq.autograd.grad((function(*leaves) ** 2).sum(), leaves, create_graph=True)
        found.append(sq.autograd.grad(sum((g**2).sum() for g in first), leaves))
    for a, b in zip(*found, strict=True):
        assert sq.allclose(a, b, rtol=1e-9, atol=1e-9)
