"""Sentence embeddings from a folder as sentence-transformers writes it, made here with a tiny BERT."""

import json

import numpy as np
import pytest

import squall as sq
from squall.base.errors import CheckpointError
from squall.models import BERT, BERTConfig, SentenceEmbedder

tokenizers = pytest.importorskip("tokenizers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "sea", "a", "storm", "rolled", "over", "quiet"]
SIZES = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 32, "max_position_embeddings": 12}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    sq.manual_seed(0)
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "model_type": "bert"}))
    state = BERT(BERTConfig(**SIZES)).state_dict()
    sq.io.save_safetensors(dict(state), tmp_path / "model.safetensors")
    return tmp_path


def by_hand(folder, ids):
    model = BERT(BERTConfig(**SIZES)).eval()
    model.load_state_dict(sq.io.load_safetensors(folder / "model.safetensors"))
    with sq.no_grad():
        mean = model(sq.tensor([ids]))[0][0].mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_a_sentence_is_the_mean_of_its_hidden_states(folder):
    embedder = SentenceEmbedder.from_folder(folder)
    out = embedder.encode("the storm rolled over the sea")
    assert out.shape == (16,)
    assert np.allclose(out.numpy(), by_hand(folder, [2, 4, 7, 8, 9, 4, 5, 3]), atol=1e-6)


def test_padding_and_order_change_nothing(folder):
    embedder = SentenceEmbedder.from_folder(folder)
    sentences = ["the storm rolled over the sea", "sea", "a quiet sea", "the storm"]
    together = embedder.encode(sentences, batch_size=3).numpy()
    for sentence, row in zip(sentences, together, strict=True):
        assert np.allclose(embedder.encode(sentence).numpy(), row, atol=1e-6)
    assert embedder._embed.captures == 1
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert embedder.encode([]).shape == (0, 16)


def test_long_sentences_are_cut(folder):
    embedder = SentenceEmbedder.from_folder(folder)
    assert np.array_equal(embedder.encode("sea " * 40).numpy(), embedder.encode("sea " * 10).numpy())


def test_the_weights_stay_in_the_file_until_they_are_used(folder):
    model = SentenceEmbedder.from_folder(folder).model
    assert not any(p.requires_grad for p in model.parameters()) and not model.training


def test_what_is_wrong_is_named(folder):
    embedder = SentenceEmbedder.from_folder(folder)
    with pytest.raises(TypeError, match="sentence 1 is a int"):
        embedder.encode(["sea", 3])
    with pytest.raises(ValueError, match="'pooling'"):
        SentenceEmbedder(embedder.model, embedder.tokenizer, pooling="max")
    state = sq.io.load_safetensors(folder / "model.safetensors")
    state.pop("encoder.layer.1.output.dense.bias")
    sq.io.save_safetensors(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        SentenceEmbedder.from_folder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        SentenceEmbedder.from_folder(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        SentenceEmbedder.from_folder(folder)


def test_changes_of_the_model_are_seen(folder):
    embedder = SentenceEmbedder.from_folder(folder)
    before = embedder.encode("a quiet sea").numpy()
    state = {name: value * 1.5 for name, value in embedder.model.state_dict().items()}
    embedder.model.load_state_dict(state, assign=True)
    after = embedder.encode("a quiet sea")
    other = SentenceEmbedder(embedder.model, embedder.tokenizer)
    assert not np.allclose(before, after.numpy()) and after.tolist() == other.encode("a quiet sea").tolist()
    embedder.normalize = False
    assert embedder.encode("a quiet sea").norm().item() != pytest.approx(1, abs=1e-3)
