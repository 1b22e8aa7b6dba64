"""Layers against straightforward NumPy in float64, and what they say about wrong arguments."""

import math

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn
from squall.base.errors import DtypeError, ShapeError

RANDOM = np.random.default_rng(3)


def array(*shape):
    return RANDOM.normal(size=shape)


def tensor(values, grad=False):
    return sq.tensor(values, dtype=sq.float64, requires_grad=grad)


def close(actual, expected, rtol=1e-9):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=rtol, atol=1e-10)


def convolve(x, w, stride, padding, dilation, groups):
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    n, _, height, width = x.shape
    out, per_group, rows, columns = w.shape
    high = (height - dilation[0] * (rows - 1) - 1) // stride[0] + 1
    wide = (width - dilation[1] * (columns - 1) - 1) // stride[1] + 1
    y = np.zeros((n, out, high, wide))
    for o in range(out):
        group = o // (out // groups)
        channels = slice(group * per_group, (group + 1) * per_group)
        for i in range(high):
            for j in range(wide):
                at = slice(i * stride[0], None, dilation[0]), slice(j * stride[1], None, dilation[1])
                window = x[:, channels][:, :, at[0], at[1]][:, :, :rows, :columns]
                y[:, o, i, j] = (window * w[o]).sum((1, 2, 3))
    return y


@pytest.mark.parametrize(
    ("shape", "weight", "options"),
    [
        ((2, 3, 6, 5), (4, 3, 3, 3), {"padding": 1}),
        ((1, 4, 7, 6), (6, 2, 3, 2), {"stride": (2, 1), "groups": 2}),
        ((2, 2, 8, 8), (2, 2, 3, 3), {"dilation": 2, "padding": (2, 1)}),
        ((1, 3, 5, 5), (3, 1, 1, 1), {"groups": 3, "stride": 2}),
    ],
)
def test_convolution(shape, weight, options):
    x, w, b = array(*shape), array(*weight), array(weight[0])
    full = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    pairs = {k: v if k == "groups" or isinstance(v, tuple) else (v, v) for k, v in full.items()}
    expected = convolve(x, w, **pairs) + b[:, None, None]
    close(F.conv2d(tensor(x), tensor(w), tensor(b), **options), expected)


def test_convolutions_of_one_and_three_dimensions_agree_with_two():
    x, w = array(2, 3, 9), array(4, 3, 3)
    flat = F.conv2d(tensor(x[:, :, None]), tensor(w[:, :, None]), padding=(0, 1))
    close(F.conv1d(tensor(x), tensor(w), padding=1), flat.numpy()[:, :, 0])
    x, w = array(1, 2, 4, 5, 6), array(3, 2, 1, 2, 3)
    planes = np.stack([convolve(x[:, :, d], w[:, :, 0], (1, 1), (0, 0), (1, 1), 1) for d in range(4)], 2)
    close(F.conv3d(tensor(x), tensor(w)), planes)


def test_same_padding_and_missing_batch():
    x, w = array(2, 7, 6), array(3, 2, 4, 3)
    assert tuple(F.conv2d(tensor(x), tensor(w), padding="same").shape) == (3, 7, 6)
    padded = np.pad(x, ((0, 0), (1, 2), (1, 1)))[None]
    close(F.conv2d(tensor(x), tensor(w), padding="same"), convolve(padded, w, (1, 1), (0, 0), (1, 1), 1)[0])


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_padding_modes(mode, numpy_mode):
    x = array(1, 2, 4, 5)
    close(F.pad(tensor(x), (2, 1, 1, 3), mode), np.pad(x, ((0, 0), (0, 0), (1, 3), (2, 1)), numpy_mode))
    layer = nn.Conv2d(2, 3, 3, padding=1, padding_mode=mode, bias=False).double()
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), numpy_mode)
    close(layer(tensor(x)), convolve(padded, layer.weight.detach().numpy(), (1, 1), (0, 0), (1, 1), 1))


def test_constant_padding_and_cropping():
    x = array(3, 4)
    close(F.pad(tensor(x), (1, -1, 0, 2), value=5.0), np.pad(x, ((0, 2), (1, 0)), constant_values=5.0)[:, :-1])


def test_batch_norm_trains_evaluates_and_tracks():
    layer, x = nn.BatchNorm2d(3, momentum=0.2).double(), array(4, 3, 5, 2)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    close(layer(tensor(x)), (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5))
    close(layer.running_mean, 0.2 * mean)
    close(layer.running_var, 0.8 + 0.2 * var * 40 / 39)
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    m, v = layer.running_mean.numpy(), layer.running_var.numpy()
    close(layer(tensor(x)), (x - m[:, None, None]) / np.sqrt(v[:, None, None] + 1e-5))
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_averages_without_momentum_and_needs_more_than_one_value():
    layer = nn.BatchNorm1d(2, momentum=None).double()
    first, second = array(6, 2), array(6, 2)
    layer(tensor(first)), layer(tensor(second))
    close(layer.running_mean, (first.mean(0) + second.mean(0)) / 2)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        layer(tensor(array(1, 2)))


def test_row_and_group_normalisation():
    x, w, b = array(2, 3, 4), array(4), array(4)
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    close(F.layer_norm(tensor(x), (4,), tensor(w), tensor(b)), (x - mean) / np.sqrt(var + 1e-5) * w + b)
    close(F.layer_norm(tensor(x), (4,), None, tensor(b)), (x - mean) / np.sqrt(var + 1e-5) + b)
    close(F.rms_norm(tensor(x), (4,), tensor(w), 1e-3), x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3) * w)
    x = array(2, 6, 3)
    groups = x.reshape(2, 2, 9)
    expected = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
    close(nn.GroupNorm(2, 6).double()(tensor(x)), expected.reshape(x.shape))


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((6, 8), {"kernel_size": 2}),
        ((7, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ((7, 8), {"kernel_size": (3, 2), "stride": 2, "ceil_mode": True}),
        ((5, 5), {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True}),
    ],
)
@pytest.mark.parametrize("kind", ["max", "avg", "avg without padding"])
def test_pooling(size, options, kind):
    x = array(2, 3, *size)
    kernel = options["kernel_size"] if isinstance(options["kernel_size"], tuple) else (options["kernel_size"],) * 2
    stride = (options["stride"],) * 2 if "stride" in options else kernel
    pad = options.get("padding", 0)
    sides = []
    for n, k, s in zip(size, kernel, stride, strict=True):
        count = (n + 2 * pad - k) / s + 1
        count = int(np.ceil(count)) if options.get("ceil_mode") else int(count)
        if (count - 1) * s >= n + pad:
            count -= 1
        sides.append([(i * s - pad, k) for i in range(count)])
    expected = np.zeros((2, 3, len(sides[0]), len(sides[1])))
    for i, (top, rows) in enumerate(sides[0]):
        for j, (left, columns) in enumerate(sides[1]):
            window = x[:, :, max(top, 0):top + rows, max(left, 0):left + columns]
            full = (min(top + rows, size[0] + pad) - top) * (min(left + columns, size[1] + pad) - left)
            divisor = full if kind == "avg" else window.shape[2] * window.shape[3]
            expected[:, :, i, j] = window.max((2, 3)) if kind == "max" else window.sum((2, 3)) / divisor
    if kind == "max":
        close(F.max_pool2d(tensor(x), **options), expected)
    else:
        close(F.avg_pool2d(tensor(x), **options, count_include_pad=kind == "avg"), expected)


def test_pooling_indices_and_adaptive_sizes():
    x = array(1, 1, 4, 6)
    values, indices = F.max_pool2d(tensor(x), 2, return_indices=True)
    np.testing.assert_array_equal(x.reshape(-1)[indices.numpy().reshape(-1)], values.numpy().reshape(-1))
    close(F.adaptive_avg_pool2d(tensor(x), 1), x.mean((2, 3), keepdims=True))
    close(F.adaptive_avg_pool2d(tensor(x), (2, None)), x.reshape(1, 1, 2, 2, 6).mean(3))
    uneven = F.adaptive_avg_pool2d(tensor(x), (3, 4)).numpy()
    assert uneven.shape == (1, 1, 3, 4)
    np.testing.assert_allclose(uneven[0, 0, 0, 0], x[0, 0, :2, :2].mean())


def test_embedding_and_its_padding_row():
    layer = nn.Embedding(5, 3, padding_idx=-1).double()
    index = sq.tensor([[0, 4], [2, 0]])
    out = layer(index)
    np.testing.assert_array_equal(out.detach().numpy(), layer.weight.detach().numpy()[index.numpy()])
    out.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), [[2.0] * 3, [0.0] * 3, [1.0] * 3, [0.0] * 3, [0.0] * 3])
    assert layer.weight[4].tolist() == [0.0] * 3


def test_dropout_keeps_the_mean_and_follows_the_seed():
    x = sq.ones(20000)
    sq.manual_seed(1)
    a = F.dropout(x, 0.25)
    sq.manual_seed(1)
    b = F.dropout(x, 0.25)
    assert a.tolist() == b.tolist() and F.dropout(x, 0.25).tolist() != b.tolist()
    kept = a[a != 0]
    assert abs(kept.numel() / 20000 - 0.75) < 0.02 and abs(kept.max().item() - 4 / 3) < 1e-6
    assert nn.Dropout(0.5).eval()(x) is x
    assert F.dropout(x, 1.0).sum().item() == 0.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, mask=0.0):
    with np.errstate(invalid="ignore"):
        return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + mask) @ v


def test_scaled_dot_product_attention():
    q, k, v = array(2, 3, 5, 4), array(2, 3, 7, 4), array(2, 3, 7, 6)
    close(F.scaled_dot_product_attention(tensor(q), tensor(k), tensor(v)), attend(q, k, v))
    allowed = RANDOM.random((5, 7)) < 0.7
    allowed[:, 0] = True
    expected = attend(q, k, v, np.where(allowed, 0, -np.inf))
    close(F.scaled_dot_product_attention(tensor(q), tensor(k), tensor(v), sq.tensor(allowed)), expected)
    bias = array(3, 5, 7)
    close(F.scaled_dot_product_attention(tensor(q), tensor(k), tensor(v), tensor(bias)), attend(q, k, v, bias))
    causal = np.where(np.tri(7, dtype=bool), 0, -np.inf)
    close(F.scaled_dot_product_attention(tensor(k), tensor(k), tensor(v), is_causal=True), attend(k, k, v, causal))


def test_multihead_attention_weights_and_both_paths_agree():
    layer, x = nn.MultiheadAttention(8, 2, batch_first=True).double(), array(3, 5, 8)
    assert [n for n, _ in layer.named_parameters()] == [
        "in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]  # fmt: skip
    w, b = layer.in_proj_weight.detach().numpy(), layer.in_proj_bias.detach().numpy()
    q, k, v = ((x @ w[i * 8:i * 8 + 8].T + b[i * 8:i * 8 + 8]).reshape(3, 5, 2, 4).swapaxes(1, 2) for i in range(3))
    merged = attend(q, k, v).swapaxes(1, 2).reshape(3, 5, 8)
    expected = merged @ layer.out_proj.weight.detach().numpy().T + layer.out_proj.bias.detach().numpy()
    out, weights = layer(*[tensor(x)] * 3)
    close(out, expected)
    close(weights, softmax(q @ k.swapaxes(-1, -2) / 2.0).mean(1))
    close(layer(*[tensor(x)] * 3, need_weights=False)[0], expected)
    x_first = tensor(x.swapaxes(0, 1))
    layer.batch_first = False
    close(layer(x_first, x_first, x_first)[0], expected.swapaxes(0, 1))


def test_multihead_attention_masks():
    layer = nn.MultiheadAttention(4, 2, batch_first=True, kdim=3, vdim=5).double()
    assert layer.in_proj_weight is None and tuple(layer.k_proj_weight.shape) == (4, 3)
    q, k, v = tensor(array(2, 3, 4)), tensor(array(2, 6, 3)), tensor(array(2, 6, 5))
    left_out = np.zeros((2, 6), bool)
    left_out[:, 4:] = True
    short = layer(q, k[:, :4], v[:, :4])[0]
    close(layer(q, k, v, key_padding_mask=sq.tensor(left_out))[0], short.detach().numpy())
    close(layer(q, k, v, attn_mask=sq.tensor(left_out[:1].repeat(3, 0)))[0], short.detach().numpy())


def test_activations():
    x = np.array([-30.0, -3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 4.0, 30.0])
    sigmoid = 1 / (1 + np.exp(-x))
    cases = {
        nn.ReLU(): np.maximum(x, 0), nn.ReLU6(): np.clip(x, 0, 6), nn.SiLU(): x * sigmoid, nn.Sigmoid(): sigmoid,
        nn.Tanh(): np.tanh(x), nn.LeakyReLU(0.1): np.where(x > 0, x, 0.1 * x), nn.Hardtanh(-1, 2): np.clip(x, -1, 2),
        nn.ELU(0.5): np.where(x > 0, x, 0.5 * np.expm1(x)), nn.Softplus(): np.logaddexp(0, x),
        nn.LogSigmoid(): -np.logaddexp(0, -x), nn.Softsign(): x / (1 + abs(x)),
        nn.Hardsigmoid(): np.clip(x + 3, 0, 6) / 6, nn.Hardswish(): x * np.clip(x + 3, 0, 6) / 6,
        nn.Mish(): x * np.tanh(np.logaddexp(0, x)), nn.Softmax(0): softmax(x), nn.LogSoftmax(-1): np.log(softmax(x)),
        nn.GELU("tanh"): 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    }  # fmt: skip
    for layer, expected in cases.items():
        np.testing.assert_allclose(layer(tensor(x)).numpy(), expected, rtol=1e-6, atol=1e-12, err_msg=repr(layer))

    close(nn.GELU()(tensor(x)), [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    assert repr(nn.LeakyReLU(0.1)) == "LeakyReLU(negative_slope=0.1)"


def test_in_place_relu_writes_its_input():
    x = sq.tensor([-1.0, 2.0])
    y = nn.ReLU(inplace=True)(x)
    assert y is x and x.tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.Linear(3, 2)(sq.zeros(4, 5)), ("Linear", "'input'", "(4, 5)", "in_features=3")),
        (lambda: nn.Conv2d(3, 2, 3)(sq.zeros(1, 4, 8, 8)), ("Conv2d", "'input'", "in_channels=3", "(1, 4, 8, 8)")),
        (lambda: nn.Conv2d(1, 2, 5)(sq.zeros(1, 1, 3, 8)), ("conv2d", "reaches over 5", "dimension 2")),
        (lambda: nn.BatchNorm2d(3)(sq.zeros(2, 4, 5, 5)), ("BatchNorm2d", "num_features=3", "(2, 4, 5, 5)")),
        (lambda: nn.BatchNorm2d(3)(sq.zeros(2, 3)), ("BatchNorm2d", "4 dimensions", "(2, 3)")),
        (lambda: nn.LayerNorm((3, 4))(sq.zeros(2, 4)), ("LayerNorm", "normalized_shape=(3, 4)", "(2, 4)")),
        (lambda: nn.GroupNorm(2, 4)(sq.zeros(2, 6)), ("GroupNorm", "num_channels=4", "(2, 6)")),
        (lambda: nn.MultiheadAttention(4, 2)(*[sq.zeros(2, 3, 5)] * 3), ("Multihead", "'query'", "embed_dim=4")),
        (lambda: nn.MaxPool2d(2)(sq.zeros(3, 3)), ("max_pool2d", "'input'", "(3, 3)")),
        (lambda: F.cross_entropy(sq.zeros(2, 5), sq.zeros(3).long()), ("cross_entropy", "'target'", "(2,)", "(3,)")),
        (
            lambda: F.binary_cross_entropy(sq.zeros(2, 1), sq.zeros(2)),
            ("binary_cross_entropy", "'target'", "(2,)", "(2, 1)"),
        ),
        (lambda: F.scaled_dot_product_attention(*[sq.zeros(2, 3)] * 2, sq.zeros(4, 3)), ("'key'", "'value'")),
    ],
)
def test_wrong_shapes_name_layer_argument_and_both_shapes(call, words):
    with pytest.raises(ShapeError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_wrong_dtypes_and_indices():
    with pytest.raises(DtypeError, match=r"embedding: argument 'input'.*squall.float32"):
        nn.Embedding(3, 2)(sq.zeros(2))
    with pytest.raises(DtypeError, match="must hold int64 class numbers"):
        F.cross_entropy(sq.zeros(2, 5), sq.zeros(2))
    with pytest.raises(IndexError):
        nn.Embedding(3, 2)(sq.tensor([5])).tolist()
    with pytest.raises(TypeError, match="argument 'input' must be a Tensor, not list"):
        F.dropout([1.0])


def test_one_hot():
    assert F.one_hot(sq.tensor([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert F.one_hot(sq.tensor([2])).tolist() == [[0, 0, 1]]
