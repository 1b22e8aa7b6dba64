"""Normalisations that give their statistics, attention as a function, and the edges of padding and pixel shuffling."""

import numpy as np
import pytest

import squall as sq
from squall import nn
from squall.base.errors import ShapeError

F = nn.functional
RNG = np.random.default_rng(0)


def test_statistics_are_those_of_rows_groups_and_channels():
    x = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    out, mean, rstd = sq.native_layer_norm(sq.tensor(x), (6, 3), None, None, 1e-5)
    np.testing.assert_allclose(mean.numpy(), x.mean((1, 2), keepdims=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rstd.numpy(), 1 / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5), rtol=1e-5)
    np.testing.assert_allclose(out.numpy(), (x - mean.numpy()) * rstd.numpy(), rtol=1e-4, atol=1e-5)

    _, mean, rstd = sq.native_group_norm(sq.tensor(x), None, None, 2, 6, 3, 2, 1e-5)
    groups = x.reshape(2, 2, 9)
    np.testing.assert_allclose(mean.numpy(), groups.mean(-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rstd.numpy(), 1 / np.sqrt(groups.var(-1) + 1e-5), rtol=1e-5)
    with pytest.raises(ShapeError, match="N=2, C=6, HxW=4"):
        sq.native_group_norm(sq.tensor(x), None, None, 2, 6, 4, 2, 1e-5)


def test_batch_statistics_move_the_running_ones_and_are_empty_in_evaluation():
    x = RNG.normal(size=(4, 3, 2)).astype(np.float32)
    running_mean, running_var = sq.zeros(3), sq.ones(3)
    _, mean, rstd = sq.native_batch_norm(sq.tensor(x), None, None, running_mean, running_var, True, 0.5, 1e-5)
    np.testing.assert_allclose(mean.numpy(), x.mean((0, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rstd.numpy(), 1 / np.sqrt(x.var((0, 2)) + 1e-5), rtol=1e-5)
    np.testing.assert_allclose(running_mean.numpy(), x.mean((0, 2)) / 2, rtol=1e-5, atol=1e-6)
    _, mean, rstd = sq.native_batch_norm(sq.tensor(x), None, None, running_mean, running_var, False, 0.5, 1e-5)
    assert mean.shape == (0,) and rstd.shape == (0,)
    assert F.batch_norm(sq.empty(0), sq.empty(0), sq.empty(0), training=True).shape == (0,)


@pytest.mark.parametrize("extra", [False, True])
def test_attention_as_a_function_is_the_layer(extra):
    layer = nn.MultiheadAttention(8, 2, add_bias_kv=extra, add_zero_attn=extra)
    query, key = sq.tensor(RNG.normal(size=(2, 5, 3, 8)).astype(np.float32)).unbind()
    mask = sq.tensor([[False] * 5, [False] * 4 + [True], [False] * 5])
    learned = (layer.in_proj_weight, layer.in_proj_bias, layer.bias_k, layer.bias_v, extra, 0.0,
               layer.out_proj.weight, layer.out_proj.bias)  # fmt: skip
    found = F.multi_head_attention_forward(query, key, key, 8, 2, *learned, key_padding_mask=mask)
    wanted = layer(query, key, key, key_padding_mask=mask)
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    alone = F.multi_head_attention_forward(query[:, 0], key[:, 0], key[:, 0], 8, 2, *learned, need_weights=False)
    assert alone[0].shape == (5, 8) and alone[1] is None
    with pytest.raises(ShapeError, match="'num_heads'=3 must divide embed_dim=8"):
        F.multi_head_attention_forward(query, key, key, 8, 3, *learned)


def test_replicating_beside_a_crop_repeats_the_edge_of_the_whole():
    x = sq.tensor([[1.0, 2.0, 3.0]])
    assert F.pad(x, (-3, 2), "replicate").tolist() == [[3.0, 3.0]]
    assert F.pad(x, (2, -4), "replicate").tolist() == [[1.0]]


def test_pixels_of_an_empty_batch_are_shuffled():
    assert F.pixel_shuffle(sq.zeros(0, 4, 3, 3), 2).shape == (0, 1, 6, 6)
    assert F.pixel_unshuffle(sq.zeros(0, 1, 6, 6), 2).shape == (0, 4, 3, 3)
