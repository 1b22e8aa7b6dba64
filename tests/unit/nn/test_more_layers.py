"""Layers beside the everyday ones against NumPy in float64: embeddings, bags, shuffles, normalisations, dropouts,
transformers, containers of parameters, lazy layers."""

import copy

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn
from squall.base.errors import ShapeError

RANDOM = np.random.default_rng(9)


def array(*shape):
    return RANDOM.normal(size=shape)


def close(actual, expected, rtol=1e-9):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=rtol, atol=1e-10)


# ---------------------------------------------------------------- tables
def test_embedding_limits_norms_in_place_and_scales_gradients_by_frequency():
    table = array(5, 3) * 3
    layer = nn.Embedding(5, 3, max_norm=1.0, scale_grad_by_freq=True, _weight=sq.tensor(table.copy()))
    out = layer(sq.tensor([[1, 1], [3, 1]]))
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    limited = table / (norms + 1e-7)
    close(out, limited[[[1, 1], [3, 1]]])
    expected = np.where(np.isin(np.arange(5), [1, 3])[:, None], limited, table)
    close(layer.weight, expected)
    out.sum().backward()
    close(layer.weight.grad, np.isin(np.arange(5), [1, 3])[:, None] * np.ones((5, 3)))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_embeddings(mode):
    table, index, offsets = array(6, 2), np.array([1, 2, 4, 5, 4, 3]), np.array([0, 3, 3, 5])
    bags = [index[a:b] for a, b in zip(offsets, [*offsets[1:], 6], strict=True)]
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    expected = np.array([reduce(table[b], 0) if len(b) else np.zeros(2) for b in bags])
    layer = nn.EmbeddingBag(6, 2, mode=mode, _weight=sq.tensor(table))
    close(layer(sq.tensor(index), sq.tensor(offsets)), expected)
    last = nn.EmbeddingBag(6, 2, mode=mode, _weight=sq.tensor(table), include_last_offset=True)
    close(last(sq.tensor(index), sq.tensor([*offsets, 6])), expected)
    close(layer(sq.tensor(index.reshape(2, 3))), np.stack([reduce(table[i], 0) for i in index.reshape(2, 3)]))
    padded = nn.EmbeddingBag(6, 2, mode=mode, _weight=sq.tensor(table), padding_idx=4)
    close(padded(sq.tensor([[1, 4, 2]])), [reduce(table[[1, 2]], 0)])


def test_bags_with_weights_and_wrong_arguments():
    table, index, weights = array(6, 2), np.array([[1, 2], [4, 5]]), array(2, 2)
    got = F.embedding_bag(sq.tensor(index), sq.tensor(table), mode="sum", per_sample_weights=sq.tensor(weights))
    close(got, (table[index] * weights[..., None]).sum(1))
    with pytest.raises(ValueError, match="offsets has to be a 1D Tensor"):
        F.embedding_bag(sq.tensor([1, 2]), sq.tensor(table))
    with pytest.raises(ValueError, match="only supported for mode='sum'"):
        F.embedding_bag(sq.tensor(index), sq.tensor(table), per_sample_weights=sq.tensor(weights))
    with pytest.raises(ValueError, match="sparse=True"):
        F.embedding(sq.tensor(index), sq.tensor(table), sparse=True)


# ---------------------------------------------------------------- movement
def test_shuffles_undo_each_other():
    x = array(2, 8, 3, 4)
    y = nn.PixelShuffle(2)(sq.tensor(x))
    expected = x.reshape(2, 2, 2, 2, 3, 4).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 6, 8)
    close(y, expected)
    close(nn.PixelUnshuffle(2)(y), x)
    close(nn.ChannelShuffle(4)(sq.tensor(x)), x.reshape(2, 4, 2, 3, 4).swapaxes(1, 2).reshape(x.shape))
    with pytest.raises(ShapeError, match="divisible by upscale_factor"):
        F.pixel_shuffle(sq.zeros(1, 3, 2, 2), 2)


def test_columns_of_windows_and_their_sum():
    x = array(2, 3, 6, 5)
    options = {"kernel_size": (3, 2), "dilation": (1, 2), "padding": (1, 0), "stride": (2, 1)}
    columns = nn.Unfold(**options)(sq.tensor(x))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    expected = [padded[:, :, i:i + 3, j:j + 3:2].reshape(2, -1) for i in (0, 2, 4) for j in range(3)]
    close(columns, np.stack(expected, 2))
    counts = nn.Fold((6, 5), **options)(nn.Unfold(**options)(sq.ones(1, 3, 6, 5).double()))
    close(nn.Fold((6, 5), **options)(columns), x * counts.numpy())
    with pytest.raises(ShapeError, match="has 9 windows"):
        F.fold(sq.zeros(1, 18, 4), (6, 5), **options)


def test_unflatten_bilinear_and_padding_layers():
    assert tuple(nn.Unflatten(1, (2, -1))(sq.zeros(3, 8)).shape) == (3, 2, 4)
    layer, a, b = nn.Bilinear(2, 3, 4).double(), array(5, 2), array(5, 3)
    w, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    close(layer(sq.tensor(a), sq.tensor(b)), np.einsum("ni,kij,nj->nk", a, w, b) + bias)
    x = array(1, 2, 3)
    close(nn.ConstantPad1d((1, 2), 5.0)(sq.tensor(x)), np.pad(x, ((0, 0), (0, 0), (1, 2)), constant_values=5.0))
    close(nn.CircularPad1d(2)(sq.tensor(x)), np.pad(x, ((0, 0), (0, 0), (2, 2)), "wrap"))


# ---------------------------------------------------------------- normalisation and dropout
def test_instance_norm_by_samples_and_by_statistics():
    x, layer = array(3, 2, 4, 5), nn.InstanceNorm2d(2, affine=True, track_running_stats=True, momentum=0.3).double()
    mean, var = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    close(layer(sq.tensor(x)), (x - mean) / np.sqrt(var + 1e-5))
    close(layer.running_mean, 0.3 * mean.mean(0).ravel())
    close(layer.running_var, 0.7 + 0.3 * (var * 20 / 19).mean(0).ravel())
    layer.eval()
    m, v = (t.numpy().reshape(2, 1, 1) for t in (layer.running_mean, layer.running_var))
    close(layer(sq.tensor(x[0])), (x[0] - m) / np.sqrt(v + 1e-5))


def test_local_response_norm():
    x = array(2, 6, 3)
    squares = np.pad(x**2, ((0, 0), (1, 1), (0, 0)))
    around = sum(squares[:, i:i + 6] for i in range(3)) / 3
    close(nn.LocalResponseNorm(3, alpha=0.1, beta=0.6, k=2.0)(sq.tensor(x)), x / (2 + 0.1 * around) ** 0.6)


def test_an_empty_batch_leaves_statistics_alone():
    layer = nn.BatchNorm1d(3)
    x = sq.zeros(0, 3, 2, requires_grad=True)
    layer(x).sum().backward()
    assert layer.running_mean.tolist() == [0, 0, 0] and not layer.weight.grad.numpy().any()


def test_dropouts_of_channels_and_those_that_keep_moments():
    sq.manual_seed(0)
    y = nn.Dropout2d(0.5)(sq.ones(20, 10, 3, 3)).numpy()
    assert set(np.unique(y)) == {0.0, 2.0} and (y == y[:, :, :1, :1]).all()
    y = nn.Dropout1d(0.5)(sq.ones(20, 10)).numpy()
    assert (y == y[:, :1]).all() and 0 < (y[:, 0] == 0).mean() < 1
    x = sq.randn(200000)
    y = nn.AlphaDropout(0.3)(x).numpy()
    assert abs(y.mean()) < 0.01 and abs(y.std() - 1) < 0.01
    y = nn.FeatureAlphaDropout(0.4)(sq.zeros(8, 9, 4)).numpy()
    assert (y == y[:, :, :1]).all() and len(np.unique(y)) == 2
    assert nn.AlphaDropout(0.3).eval()(x) is x
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout3d(1.5)


# ---------------------------------------------------------------- attention
def test_attention_of_a_transformer_layer_is_its_formula():
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True, norm_first=True).double()
    x, p = array(2, 4, 6), {k: v.detach().numpy() for k, v in layer.named_parameters()}

    def norm(v, name):
        v = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)
        return v * p[name + ".weight"] + p[name + ".bias"]

    h = norm(x, "norm1") @ p["self_attn.in_proj_weight"].T + p["self_attn.in_proj_bias"]
    q, k, v = (t.reshape(2, 4, 2, 3).swapaxes(1, 2) for t in np.split(h, 3, -1))
    scores = q @ k.swapaxes(2, 3) / np.sqrt(3) + np.triu(np.full((4, 4), -np.inf), 1)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = (weights @ v).swapaxes(1, 2).reshape(2, 4, 6)
    y = x + mixed @ p["self_attn.out_proj.weight"].T + p["self_attn.out_proj.bias"]
    hidden = np.maximum(norm(y, "norm2") @ p["linear1.weight"].T + p["linear1.bias"], 0)
    y = y + hidden @ p["linear2.weight"].T + p["linear2.bias"]
    mask = nn.Transformer.generate_square_subsequent_mask(4, dtype=sq.float64)
    close(layer(sq.tensor(x), mask), y)
    close(layer(sq.tensor(x), mask, is_causal=True), y)


def test_stacks_copy_their_layer_and_transformers_check_sizes():
    layer = nn.TransformerDecoderLayer(8, 2, 16)
    stack = nn.TransformerDecoder(layer, 2, nn.LayerNorm(8))
    assert len({id(p) for p in stack.parameters()}) == 2 * len(list(layer.parameters())) + 2
    assert tuple(stack(sq.zeros(3, 2, 8), sq.zeros(5, 2, 8)).shape) == (3, 2, 8)
    model = nn.Transformer(8, 2, 1, 1, 16)
    with pytest.raises(RuntimeError, match="feature number"):
        model(sq.zeros(3, 2, 6), sq.zeros(3, 2, 8))
    with pytest.raises(RuntimeError, match="batch number"):
        model(sq.zeros(3, 2, 8), sq.zeros(3, 4, 8))
    with pytest.raises(RuntimeError, match="relu/gelu"):
        nn.TransformerEncoderLayer(8, 2, activation="swish")


# ---------------------------------------------------------------- containers
def test_parameter_lists_and_dictionaries():
    held = nn.ParameterList([sq.zeros(2), sq.ones(3)])
    held.append(nn.Parameter(sq.zeros(1)))
    assert [n for n, _ in held.named_parameters()] == ["0", "1", "2"] and len(held[1:]) == 2
    held[-1] = sq.full((1,), 5.0)
    assert isinstance(held[2], nn.Parameter) and held[2].item() == 5.0
    with pytest.raises(IndexError):
        held[3]
    named = nn.ParameterDict({"a": sq.zeros(2)})
    named["b"] = sq.ones(1)
    named |= {"c": "a word"}
    assert list(named.state_dict()) == ["a", "b"] and list(named) == ["a", "b", "c"] and named.pop("c") == "a word"
    assert "b" in named and named.get("z", 4) == 4 and copy.deepcopy(named)["b"] is not named["b"]
    with pytest.raises(KeyError, match="attribute of the class"):
        named["keys"] = sq.zeros(1)
    assert repr(held).splitlines()[1].strip() == "(0): Parameter containing: [squall.float32 of size 2]"


def test_sequences_repeat():
    layers = nn.Sequential(nn.ReLU()) * 3
    layers += nn.Sequential(nn.Tanh())
    assert [type(m).__name__ for m in layers] == ["ReLU"] * 3 + ["Tanh"] and list(layers._modules) == list("0123")


# ---------------------------------------------------------------- lazy
def test_lazy_layers_take_the_size_of_the_first_input_and_keep_their_parameters():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    weight = model[0].weight
    assert model[0].has_uninitialized_params() and repr(weight) == "<UninitializedParameter>"
    assert tuple(model(sq.randn(2, 3, 5, 5)).shape) == (2, 2)
    assert model[0].weight is weight and tuple(weight.shape) == (4, 3, 3, 3)
    assert [type(m).__name__ for m in model] == ["Conv2d", "BatchNorm2d", "Flatten", "Linear"]
    fresh = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    fresh.load_state_dict(model.state_dict())
    x = sq.randn(2, 3, 5, 5)
    model.eval(), fresh.eval()
    assert model(x).tolist() == fresh(x).tolist()
