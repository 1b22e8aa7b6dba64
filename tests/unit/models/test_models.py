"""The three networks: they learn, generate, and have the names of the networks they follow."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import optim
from squall.base.errors import ShapeError
from squall.models import GPT, MLP, DigitsCNN, GPTConfig, ResidualBlock

SMALL = GPTConfig(vocab_size=13, block_size=24, n_layer=2, n_head=2, n_embd=16)


def learns(model, inputs, targets, steps, rate, loss_of):
    optimizer = optim.AdamW(model.parameters(), rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model, inputs, targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def classification(model, inputs, targets):
    return F.cross_entropy(model(inputs), targets)


@pytest.mark.parametrize("model", [lambda: MLP(64, (32,), 10, dropout=0.1), lambda: DigitsCNN(width=8)])
def test_classifiers_learn_a_batch_by_heart(model):
    sq.manual_seed(2)
    train, _ = sq.data.digits()
    images, labels = (t[:32] for t in train.tensors)
    losses = learns(model(), images, labels, 25, 1e-2, classification)
    assert losses[-1] < 0.5 * losses[0]


def test_a_block_that_keeps_its_channels_has_no_shortcut_weights():
    assert not list(ResidualBlock(4, 4).shortcut.parameters())
    assert [n for n, _ in ResidualBlock(2, 4).named_parameters()][-1] == "shortcut.weight"


def test_gpt_has_the_names_of_gpt2_and_a_tied_head():
    model = GPT(SMALL)
    names = [n for n, _ in model.named_parameters()]
    assert names[:4] == ["transformer.wte.weight", "transformer.wpe.weight", "transformer.h.0.ln_1.weight",
                         "transformer.h.0.ln_1.bias"]  # fmt: skip
    assert "transformer.h.1.mlp.c_fc.weight" in names and "lm_head.weight" not in names
    assert model.lm_head.weight is model.transformer["wte"].weight
    untied = GPT(GPTConfig(**{**vars(SMALL), "tied": False}))
    assert "lm_head.weight" in [n for n, _ in untied.named_parameters()]
    assert abs(model.transformer["h"][0].attn.c_proj.weight.detach().numpy().std() - 0.01) < 0.002


def test_gpt_learns_to_count():
    sq.manual_seed(0)
    model = GPT(SMALL)
    tokens = (sq.arange(20) + sq.arange(4).unsqueeze(1)) % 13
    losses = learns(model, tokens[:, :-1], tokens[:, 1:], 40, 1e-2, lambda m, x, y: m(x, y)[1])
    assert losses[-1] < 0.3 * losses[0]
    made = model.generate(tokens[:2, :5], 8, temperature=0)
    assert made.tolist() == ((np.arange(13) + np.arange(2)[:, None]) % 13).tolist()


def test_attention_is_causal():
    model = GPT(SMALL).eval()
    tokens = sq.randint(0, 13, (1, 10))
    changed = tokens.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 13
    a, b = model(tokens)[0], model(changed)[0]
    np.testing.assert_allclose(a[:, :6].detach().numpy(), b[:, :6].detach().numpy(), rtol=1e-5, atol=1e-6)
    assert not np.allclose(a[:, 6:].detach().numpy(), b[:, 6:].detach().numpy())


def test_the_cache_gives_what_whole_sequences_give():
    sq.manual_seed(4)
    model = GPT(SMALL)
    start = sq.randint(0, 13, (2, 3))
    made = model.generate(start, 12, temperature=0)
    tokens = start
    model.eval()
    for _ in range(12):
        tokens = sq.cat([tokens, model(tokens)[0][:, -1].argmax(-1, keepdim=True)], 1)
    assert made.tolist() == tokens.tolist()


def test_sampling_follows_the_generator_and_top_k():
    model, start = GPT(SMALL), sq.zeros(1, 1, dtype=sq.int64)
    model.train()
    g = sq.Generator()
    a = model.generate(start, 10, generator=g.manual_seed(1)).tolist()
    assert a == model.generate(start, 10, generator=g.manual_seed(1)).tolist()
    assert a != model.generate(start, 10, generator=g.manual_seed(2)).tolist()
    greedy = model.generate(start, 10, temperature=0).tolist()
    assert greedy == model.generate(start, 10, temperature=2.0, top_k=1).tolist()
    assert model.training


def test_sequences_that_are_too_long():
    model = GPT(SMALL)
    with pytest.raises(ShapeError, match="reaches position 25, and block_size=24"):
        model(sq.zeros(1, 25, dtype=sq.int64))
    with pytest.raises(ShapeError, match="20 tokens and 5 more pass block_size=24"):
        model.generate(sq.zeros(1, 20, dtype=sq.int64), 5)
    with pytest.raises(ValueError, match="n_embd=16 must be divisible by n_head=3"):
        GPT(GPTConfig(n_embd=16, n_head=3))
