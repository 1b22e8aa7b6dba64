"""The published architectures, made small: they train, give the same bits compiled, and refuse what does not fit."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import models, optim
from squall.base.errors import ShapeError

BERT = models.BERTConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                         intermediate_size=32, max_position_embeddings=12, hidden_dropout_prob=0.0,
                         attention_probs_dropout_prob=0.0)  # fmt: skip


def pictures(size, count=4):
    random = np.random.default_rng(0)
    return sq.tensor(random.standard_normal((count, 3, size, size)).astype("float32")), sq.arange(count) % 3


def tokens(count=4):
    return sq.tensor(np.random.default_rng(0).integers(1, 30, (count, 9))), sq.arange(count) % 3


class Classifier(sq.nn.Module):
    """BERT with a head on the pooled position."""

    def __init__(self):
        super().__init__()
        self.bert, self.head = models.BERT(BERT), sq.nn.Linear(16, 3)

    def forward(self, ids):
        return self.head(self.bert(ids)[1])


class Segmenter(sq.nn.Module):
    """U-Net's scores, averaged over the picture."""

    def __init__(self):
        super().__init__()
        self.net = models.UNet(3, 3, widths=(4, 8, 12))

    def forward(self, x):
        return self.net(x).mean((2, 3))


class LastToken(sq.nn.Module):
    """GPT-2's logits of the last position."""

    def __init__(self):
        super().__init__()
        self.gpt = models.gpt2(vocab_size=30, block_size=12, n_layer=2, n_head=2, n_embd=16)

    def forward(self, ids):
        return self.gpt(ids)[0][:, -1]


class Recurrent(sq.nn.Module):
    """The LSTM language model's first three scores at the last position."""

    def __init__(self):
        super().__init__()
        self.model = models.LSTMLanguageModel(30, 12, 12, num_layers=2, tied=True)

    def forward(self, ids):
        return self.model(ids)[0][:, -1, :3]


SMALL = {
    "resnet": (lambda: models.resnet18(num_classes=3, stem="cifar", width=4), lambda n: pictures(16, n)),
    "bottleneck": (lambda: models.ResNet(models.Bottleneck, (1, 1, 1, 1), 3, width=4), lambda n: pictures(32, n)),
    "vgg": (lambda: models.VGG(11, True, 3, 0.0, hidden=16, divide=16), lambda n: pictures(32, n)),
    "mobilenet_v2": (lambda: models.MobileNetV2(3, 0.1, 0.0), lambda n: pictures(32, n)),
    "mobilenet_v3": (lambda: models.MobileNetV3("small", 3, 0.25, 0.0), lambda n: pictures(32, n)),
    "vit": (lambda: models.VisionTransformer(8, 4, 2, 2, 16, 32, num_classes=3), lambda n: pictures(8, n)),
    "unet": (Segmenter, lambda n: pictures(8, n)),
    "lstm": (Recurrent, tokens),
    "bert": (Classifier, tokens),
    "gpt2": (LastToken, tokens),
}


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def trained(name, compiled, steps=3):
    make, data = SMALL[name]
    sq.manual_seed(1)
    model = make()
    optimizer = optim.AdamW(model.parameters(), 2e-3)
    run = sq.compile(step) if compiled else step
    x, y = data(4)
    losses = [run(model, optimizer, x, y).item() for _ in range(steps)]
    return losses, {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("name", SMALL)
def test_a_compiled_step_gives_the_same_bits(name):
    losses, state = trained(name, False)
    compiled_losses, compiled_state = trained(name, True)
    assert losses == compiled_losses and losses[-1] < losses[0]
    for key, value in state.items():
        assert np.array_equal(value, compiled_state[key]), key


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_of_any_size_is_compiled_once(name):
    make, data = SMALL[name]
    sq.manual_seed(2)
    model = make().eval()
    batch = sq.Dim("batch", min=1, max=64)
    forward = sq.compile(lambda model, x: model(x), dynamic_shapes=[None, {0: batch}])
    with sq.no_grad():
        for count in (2, 1, 5, 7):
            x, _ = data(count)
            assert np.array_equal(forward(model, x).numpy(), model(x).numpy()), count
    assert forward.captures == 1


def test_gpt2_stores_the_weights_of_its_blocks_input_first():
    block = models.gpt2(vocab_size=5, block_size=4, n_layer=1, n_head=1, n_embd=4).transformer["h"][0]
    assert block.mlp.c_fc.weight.shape == (4, 16) and block.mlp.c_proj.weight.shape == (16, 4)


def test_bert_does_not_look_at_padding():
    sq.manual_seed(0)
    model = models.BERT(BERT).eval()
    ids, _ = tokens(2)
    mask = sq.ones(2, 9, dtype=sq.int64)
    mask[1, 5:] = 0
    changed = ids.clone()
    changed[1, 5:] = 7
    with sq.no_grad():
        a, b = model(ids, mask)[0].numpy(), model(changed, mask)[0].numpy()
        short = model(ids[1:, :5])[0].numpy()
    assert np.array_equal(a[0], b[0]) and np.allclose(a[1, :5], b[1, :5], atol=1e-6)
    assert np.allclose(a[1, :5], short[0], atol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="'stem'"):
        models.resnet18(stem="mnist")
    with pytest.raises(ValueError, match="four stages"):
        models.ResNet(models.BasicBlock, (1, 2))
    with pytest.raises(ValueError, match="'depth'"):
        models.VGG(12)
    with pytest.raises(ValueError, match="'size'"):
        models.MobileNetV3("huge")
    with pytest.raises(ValueError, match="patch_size=5"):
        models.VisionTransformer(8, 5)
    with pytest.raises(ValueError, match="hidden_act='swish'"):
        models.BERT(models.BERTConfig(hidden_size=4, num_attention_heads=1, num_hidden_layers=1, hidden_act="swish"))
    with pytest.raises(ValueError, match="'size'"):
        models.gpt2("tiny")
    with pytest.raises(ShapeError, match="image_size=8"):
        models.VisionTransformer(8, 4, 1, 1, 4, 4)(sq.zeros(1, 3, 12, 8))
    with pytest.raises(ShapeError, match="multiples of 4"):
        models.UNet(3, 3, widths=(4, 8, 12))(sq.zeros(1, 3, 10, 8))
    with pytest.raises(ShapeError, match="max_position_embeddings=12"):
        models.BERT(BERT)(sq.zeros(1, 13, dtype=sq.int64))


def test_the_lstm_goes_on_from_its_state():
    sq.manual_seed(0)
    model = models.LSTMLanguageModel(30, 8, 12).eval()
    ids, _ = tokens(2)
    with sq.no_grad():
        whole, _ = model(ids)
        first, state = model(ids[:, :4])
        second, _ = model(ids[:, 4:], state)
    assert np.allclose(whole.numpy(), np.concatenate([first.numpy(), second.numpy()], 1), atol=1e-6)
    out = model.generate(ids, 3, temperature=0)
    assert out.shape == (2, 12) and out[:, :9].tolist() == ids.tolist()
    with sq.no_grad():
        assert out[:, 9].tolist() == whole[:, -1].argmax(-1).tolist()
    with pytest.raises(ValueError, match="embedding_size=8"):
        models.LSTMLanguageModel(30, 8, 12, tied=True)
