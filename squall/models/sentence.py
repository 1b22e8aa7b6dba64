"""Sentence embeddings: a BERT, its tokenizer, and one vector for each sentence.

Reimers, Gurevych: "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", 2019. A folder as Hugging Face and
sentence-transformers write it is read in place: the weights stay on the disk until they are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import squall as sq
from squall.base.errors import CheckpointError
from squall.io import safe_open
from squall.models.bert import BERT, BERTConfig


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise ImportError("SentenceEmbedder needs the tokenizers package: pip install 'squall[text]'") from None
    return tokenizers


def _settings(path: Path, needed: bool) -> dict[str, Any]:
    """The object in a JSON file; {} when it is not there and not needed."""
    if not needed and not path.exists():
        return {}
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"SentenceEmbedder: {path} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"SentenceEmbedder: {path} does not hold a JSON object")
    return values


def load_bert(folder: Any) -> BERT:
    """A BERT from a folder with config.json and model.safetensors, ready for inference.

    Args:
        folder: as Hugging Face writes it. The weights are mapped into memory, not copied.

    Returns:
        The model in `eval` mode; without a pooler when the file has none.

    Raises:
        CheckpointError: when a file is absent, damaged, or lacks a parameter.
    """
    folder = Path(folder)
    config = BERTConfig.from_dict(_settings(folder / "config.json", True))
    file = safe_open(folder / "model.safetensors")
    names = {name.removeprefix("bert."): name for name in file.keys()}  # noqa: SIM118  a file, not a dictionary
    model = BERT(config, pooling="pooler.dense.weight" in names)
    wanted = model.state_dict().keys()
    absent = [name for name in wanted if name not in names]
    if absent:
        raise CheckpointError(f"load_bert: {file.path} lacks {absent[0]!r} and {len(absent) - 1} other parameters")
    model.load_state_dict({name: file.get_tensor(names[name]) for name in wanted}, assign=True)
    return model.eval().requires_grad_(False)


class SentenceEmbedder:
    """Turns sentences into vectors whose products say how near their meanings are.

    Args:
        model: the encoder. tokenizer: of the tokenizers library. max_length: tokens after which a sentence is cut.
        pooling: "mean" over the tokens, or "cls", the first one. normalize: give vectors of length 1.

    Raises:
        ValueError: for another pooling.
    """

    def __init__(
        self, model: BERT, tokenizer: Any, max_length: int = 256, pooling: str = "mean", normalize: bool = True
    ) -> None:
        if pooling not in ("mean", "cls"):
            raise ValueError(f"SentenceEmbedder: argument 'pooling' must be 'mean' or 'cls', got {pooling!r}")
        self.model, self.tokenizer, self.pooling, self.normalize = model, tokenizer, pooling, normalize
        self.max_length = min(max_length, model.config.max_position_embeddings)
        tokenizer.enable_truncation(self.max_length)
        tokenizer.no_padding()
        longest = {0: sq.Dim("sentences", min=1), 1: sq.Dim("tokens", min=1, max=self.max_length)}
        self._embed = sq.compile(self._pooled, dynamic_shapes=[longest, longest])

    @classmethod
    def from_folder(cls, folder: Any) -> SentenceEmbedder:
        """An embedder from a folder as sentence-transformers writes it.

        Args:
            folder: with config.json, model.safetensors, tokenizer.json, and optionally sentence_bert_config.json,
            1_Pooling/config.json and modules.json.

        Raises:
            CheckpointError: when a file is absent or damaged. ImportError: without the tokenizers package.
        """
        folder = Path(folder)
        path = folder / "tokenizer.json"
        try:
            tokenizer = _library().Tokenizer.from_file(str(path))
        except ImportError:
            raise
        except Exception as error:  # the library raises plain Exceptions
            raise CheckpointError(f"SentenceEmbedder: {path} cannot be read as a tokenizer: {error}") from None
        length = _settings(folder / "sentence_bert_config.json", False).get("max_seq_length", 256)
        pooling = _settings(folder / "1_Pooling" / "config.json", False)
        modules = folder / "modules.json"
        normalize = not modules.exists() or "Normalize" in modules.read_text("utf-8")
        how = "cls" if pooling.get("pooling_mode_cls_token") else "mean"
        return cls(load_bert(folder), tokenizer, length, how, normalize)

    def _pooled(self, ids: Any, mask: Any) -> Any:
        hidden, _ = self.model(ids, mask)
        if self.pooling == "cls":
            out = hidden[:, 0]
        else:
            weights = mask.to(hidden.dtype).unsqueeze(-1)
            out = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return sq.nn.functional.normalize(out, dim=-1) if self.normalize else out

    def encode(self, sentences: str | Iterable[str], batch_size: int = 32) -> Any:
        """One vector for each sentence.

        Args:
            sentences: a sentence, or several. batch_size: how many are computed at once; those of similar length
            together.

        Returns:
            float32 of shape (sentences, hidden_size), in the order given; (hidden_size,) for a single string.

        Raises:
            TypeError: when something is not a string.
        """
        if isinstance(sentences, str):
            return self.encode([sentences])[0]
        given = list(sentences)
        for position, sentence in enumerate(given):
            if not isinstance(sentence, str):
                kind = type(sentence).__name__
                raise TypeError(f"SentenceEmbedder.encode: sentence {position} is a {kind}, not a str")
        if not given:
            return sq.zeros(0, self.model.config.hidden_size)
        encoded = [encoding.ids for encoding in self.tokenizer.encode_batch(given)]
        order = sorted(range(len(given)), key=lambda i: len(encoded[i]))
        parts = []
        with sq.no_grad():
            for start in range(0, len(order), batch_size):
                rows = [encoded[i] for i in order[start : start + batch_size]]
                length = max(map(len, rows))
                padding = self.model.config.pad_token_id
                ids = sq.tensor([row + [padding] * (length - len(row)) for row in rows])
                mask = sq.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
                parts.append(self._embed(ids, mask))
            back = sq.tensor(sorted(range(len(order)), key=order.__getitem__))
            return sq.cat(parts)[back]
