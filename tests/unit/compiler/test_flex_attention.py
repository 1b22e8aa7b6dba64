"""Functions of scores inside attention's kernels: against NumPy in float64, blocks that are skipped, memory."""

import numpy as np
import pytest

import squall as sq
from squall.base.errors import ShapeError, TraceError
from squall.ir.op import ops
from squall.nn.attention.flex_attention import (
    and_masks,
    create_block_mask,
    flex_attention,
    noop_mask,
    or_masks,
)
from squall.ops.scalar_program import Step
from tests.unit.compiler.nest_support import host_isas
from tests.unit.engine.harness import Built, Leaf, compiled, same_bits

SLOPES = np.array([0.1, 0.3, 0.05, 0.2])
DOCUMENTS = np.repeat(np.arange(7), [40, 3, 70, 30, 80, 7, 70])
TABLE = np.random.default_rng(4).normal(size=700)
OWN_SLOPES, OWN_TABLE = (sq.tensor(x.astype("f4")) for x in (SLOPES, TABLE))
OWN_DOCUMENTS = sq.tensor(DOCUMENTS)


def window(b, h, q, k):
    return (q >= k) & (q - k < 70)


# name: (score_mod, mask_mod, NumPy's: the score and its derivative, where it counts)
CASES = {
    "nothing": (None, None, lambda s, *at: (s, 1.0), None),
    "linear bias": (
        lambda s, b, h, q, k: s - OWN_SLOPES[h] * (q - k).abs(), None,
        lambda s, b, h, q, k: (s - SLOPES[h] * abs(q - k), 1.0), None,
    ),
    "soft cap": (
        lambda s, b, h, q, k: 2 * sq.tanh(s / 2), None,
        lambda s, *at: (2 * np.tanh(s / 2), 1 - np.tanh(s / 2) ** 2), None,
    ),
    "relative bias": (
        lambda s, b, h, q, k: s + OWN_TABLE[q - k + 300], None,
        lambda s, b, h, q, k: (s + TABLE[q - k + 300], 1.0), None,
    ),
    "documents": (
        None, lambda b, h, q, k: (OWN_DOCUMENTS[q] == OWN_DOCUMENTS[k]) & (q >= k),
        lambda s, *at: (s, 1.0), lambda b, h, q, k: (DOCUMENTS[q] == DOCUMENTS[k]) & (q >= k),
    ),
    "window and cap": (
        lambda s, b, h, q, k: sq.tanh(s) * 2 + b, window,
        lambda s, b, h, q, k: (np.tanh(s) * 2 + b, 2 - 2 * np.tanh(s) ** 2), window,
    ),
}  # fmt: skip


def plain(q, k, v, g, function, keep):
    """Result and gradients in float64."""
    batch, heads, queries, features = q.shape
    at = (np.arange(batch)[:, None, None, None], np.arange(heads)[:, None, None], np.arange(queries)[:, None],
          np.arange(k.shape[2]))  # fmt: skip
    scale = features**-0.5
    scores, slope = function(q @ k.swapaxes(-1, -2) * scale, *at)
    scores = scores if keep is None else np.where(keep(*at), scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isinf(top), 0, top))
    total = weights.sum(-1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    gw = g @ v.swapaxes(-1, -2)
    gs = weights * (gw - (gw * weights).sum(-1, keepdims=True)) * slope * scale
    return weights @ v, gs @ k, gs.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ g


def drawn(*shapes):
    draw = np.random.default_rng(0)
    return [draw.standard_normal(s) for s in shapes]


@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients_are_those_of_the_plain_formula(name):
    score_mod, mask_mod, function, keep = CASES[name]
    for queries, keys in ((300, 300), (130, 200)):
        arrays = drawn(*((2, 4, n, 20) for n in (queries, keys, keys, queries)))
        leaves = [sq.tensor(x.astype("f4"), requires_grad=True) for x in arrays[:3]]
        mask = None if mask_mod is None else create_block_mask(mask_mod, None, None, queries, keys)
        out = flex_attention(*leaves, score_mod, mask)
        found = (out, *sq.autograd.grad(out, leaves, sq.tensor(arrays[3].astype("f4"))))
        for x, y in zip(found, plain(*arrays, function, keep), strict=True):
            np.testing.assert_allclose(x.detach().numpy(), y, rtol=2e-4, atol=2e-4)


def test_blocks_outside_of_a_window_are_never_touched():
    q, k, v = (sq.tensor(x.astype("f4")) for x in drawn(*[(1, 2, 512, 16)] * 3))
    mask = create_block_mask(window, None, None, 512, 512)
    wanted = flex_attention(q, k, v, None, mask)[:, :, 256:]
    for tensor in (k, v):
        tensor[:, :, :128] = float("nan")  # keys that queries from 256 on do not meet
    assert (flex_attention(q, k, v, None, mask)[:, :, 256:] == wanted).all()


def test_a_captured_tensor_gets_its_gradient():
    q, k, v = (sq.tensor(x.astype("f4"), requires_grad=True) for x in drawn(*[(1, 2, 20, 8)] * 3))
    table = sq.tensor(drawn((2, 40))[0].astype("f4"), requires_grad=True)
    far = sq.arange(20)[:, None] - sq.arange(20) + 20
    out = flex_attention(q, k, v, lambda s, b, h, i, j: s + table[h, i - j + 20], scale=0.5)
    other = (q @ k.transpose(-1, -2) * 0.5 + table[:, far]).softmax(-1) @ v
    for x, y in zip(*(sq.autograd.grad((o**2).sum(), (q, k, v, table)) for o in (out, other)), strict=True):
        assert sq.allclose(x, y, rtol=1e-4, atol=1e-4)


def test_second_gradients_shared_heads_and_logarithms_of_sums():
    q, k, v = (sq.tensor(x, requires_grad=True) for x in drawn(*[(1, 2, 9, 4)] * 3))

    def cap(score, b, h, i, j):
        return sq.tanh(score)

    def formula():
        return (q @ k.transpose(-1, -2) * 0.5).tanh()

    found = []
    for out in (flex_attention(q, k, v, cap), formula().softmax(-1) @ v):
        first = sq.autograd.grad((out**2).sum(), (q, k, v), create_graph=True)
        found.append(sq.autograd.grad(sum((g**2).sum() for g in first), (q, k, v)))
    for x, y in zip(*found, strict=True):
        assert sq.allclose(x, y, rtol=1e-9, atol=1e-9)
    shared = flex_attention(q, k[:, :1], v[:, :1], cap, enable_gqa=True)
    assert (shared == flex_attention(q, k[:, :1].expand(1, 2, 9, 4), v[:, :1].expand(1, 2, 9, 4), cap)).all()
    out, sums = flex_attention(q, k, v, cap, return_lse=True)
    assert out.dtype is sums.dtype is sq.float64
    assert sq.allclose(sums, formula().logsumexp(-1))


def roots_of(leaves, length, **options):
    """Nodes of both results and of the gradients, with a soft cap."""
    q, k, v, g = (leaves(x.astype("f4")) for x in drawn(*[(1, 2, length, 12)] * 4))
    score = (Step("input", (0,), sq.float32), Step("tanh", (), sq.float32, (0,)))
    change = (*score, Step("input", (5,), sq.float32), Step("mul", (), sq.float32, (1, 1)),
              Step("mul", (), sq.float32, (3, 2)), Step("sub", (), sq.float32, (2, 4)))  # fmt: skip
    keep = (Step("input", (3,), sq.int32), Step("input", (4,), sq.int32), Step("ge", (), sq.bool, (0, 1)))
    named = {"scale": 0.3, "score": score, "change": change, "keep": keep, "listed": False}
    out, sums = ops.flex_attention(q, k, v, **named)
    return [out, sums, *ops.flex_attention_backward(g, q, k, v, out, sums, **named)]


def test_bits_do_not_depend_on_threads_or_instruction_set():
    roots = roots_of(Leaf(), 140)
    wanted = compiled(roots)
    before = sq.get_num_threads()
    try:
        sq.set_num_threads(3)
        found = [compiled(roots)]
    finally:
        sq.set_num_threads(before)
    assert all(same_bits(wanted, results) for results in found)
    by_vectors = [compiled(roots, isa=isa) for isa in host_isas()]  # matrix tiles have bits of their own
    assert all(same_bits(by_vectors[0], results) for results in by_vectors)


def test_one_kernel_each_and_memory_linear_in_the_length():
    def needed(length):
        plan = Built(roots_of(Leaf(), length)).plan
        assert [s.label for s in plan.steps] == ["flex_attention", "flex_attention_backward"]
        return plan.arena_bytes + max(s.scratch_bytes for s in plan.steps)

    assert needed(4096) < 2.1 * needed(2048)


def test_block_masks_tell_what_they_found():
    mask = create_block_mask(and_masks(window, noop_mask), None, 2, 300, 300, BLOCK_SIZE=64)
    assert mask.shape == (1, 2, 300, 300)
    assert mask.to_dense()[0, 0, 3].tolist() == [0, 1, 1, 1, 0]
    assert mask.kv_num_blocks[0, 1].tolist() == [1, 2, 3, 3, 3]
    assert mask.full_kv_num_blocks.sum() == 0 and mask.sparsity() == pytest.approx(52.0)
    whole = create_block_mask(or_masks(window, noop_mask), 1, None, 128, 256)
    assert whole.full_kv_indices[0, 0].tolist() == [[0, 1]] and whole.blocks[0, 0, 0].tolist() == [4, 1, 3, 5, 7]


def test_what_is_wrong_is_named():
    q = sq.ones(1, 2, 8, 4)
    with pytest.raises(TraceError, match=r"score_mod must compute one value.*permute"):
        table = sq.ones(2, 8)
        table.requires_grad_()
        flex_attention(q, q, q, lambda s, b, h, i, j: s + table.t()[i, h])
    with pytest.raises(ShapeError, match=r"mask.*16 queries and 8 keys, not 8 and 8"):
        flex_attention(q, q, q, None, create_block_mask(noop_mask, None, None, 16, 8))
    with pytest.raises(ShapeError, match="one value for one score"):
        flex_attention(q, q, q, lambda s, *at: sq.ones(3) * s)
    with pytest.raises(ShapeError, match="BLOCK_SIZE"):
        create_block_mask(noop_mask, None, None, 16, 8, BLOCK_SIZE=48)
