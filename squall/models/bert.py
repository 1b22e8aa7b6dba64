"""BERT's encoder with Hugging Face's parameter names, so that its checkpoints load.

Devlin and others: "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import squall as sq
import squall.nn.functional as F
from squall import nn
from squall.base.errors import ShapeError

_ACTIVATIONS = {
    "gelu": F.gelu,
    "relu": F.relu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


@dataclass
class BERTConfig:
    """The sizes of a BERT, named as in Hugging Face's config.json.

    Attributes:
        vocab_size: tokens there are. hidden_size: features. num_hidden_layers, num_attention_heads: layers, heads.
        intermediate_size: features between the two linear layers of a block. hidden_act: "gelu", "gelu_new" or
        "relu". max_position_embeddings: longest sequence. type_vocab_size: kinds of segments. layer_norm_eps: added
        to the variance. hidden_dropout_prob, attention_probs_dropout_prob: probabilities while training.
        pad_token_id: the token whose embedding stays 0.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    pad_token_id: int = 0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BERTConfig:
        """A configuration from the content of a config.json; keys that are not about the encoder are left out.

        Example:
            >>> BERTConfig.from_dict({"hidden_size": 384, "transformers_version": "4"}).hidden_size
            384
        """
        return cls(**{k: v for k, v in values.items() if k in cls.__dataclass_fields__})


class BERTEmbeddings(nn.Module):
    """Token, position and segment embeddings, added and normalised."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Any, token_type_ids: Any = None) -> Any:
        length, longest = input_ids.shape[1], self.position_embeddings.weight.shape[0]
        if isinstance(length, int) and length > longest:
            raise ShapeError(
                f"BERT: argument 'input_ids' has {length} tokens a sequence, and max_position_embeddings={longest}"
            )
        positions = self.position_embeddings.weight[:length]
        kinds = (
            self.token_type_embeddings.weight[0]
            if token_type_ids is None
            else self.token_type_embeddings(token_type_ids)
        )
        return self.dropout(self.LayerNorm(self.word_embeddings(input_ids) + kinds + positions))


class BERTSelfAttention(nn.Module):
    """Queries, keys and values, and what each position gathers."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        size, heads = config.hidden_size, config.num_attention_heads
        if size % heads:
            raise ValueError(f"BERTConfig: hidden_size={size} must be divisible by num_attention_heads={heads}")
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.heads, self.dropout = heads, config.attention_probs_dropout_prob

    def forward(self, x: Any, mask: Any) -> Any:
        batch, length, size = x.shape
        q, k, v = (
            part(x).view(batch, length, self.heads, size // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        dropped = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropped)
        return out.transpose(1, 2).reshape(batch, length, size)


class BERTOutput(nn.Module):
    """A linear layer, the residual added, and normalisation."""

    def __init__(self, inside: int, config: BERTConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inside, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Any, past: Any) -> Any:
        return self.LayerNorm(self.dropout(self.dense(x)) + past)


class BERTAttention(nn.Module):
    """Self-attention and its output layer."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.self = BERTSelfAttention(config)
        self.output = BERTOutput(config.hidden_size, config)

    def forward(self, x: Any, mask: Any) -> Any:
        return self.output(self.self(x, mask), x)


class BERTIntermediate(nn.Module):
    """The wide linear layer and its activation."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        if config.hidden_act not in _ACTIVATIONS:
            raise ValueError(f"BERTConfig: hidden_act={config.hidden_act!r} is none of {sorted(_ACTIVATIONS)}")
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = _ACTIVATIONS[config.hidden_act]

    def forward(self, x: Any) -> Any:
        return self.activation(self.dense(x))


class BERTLayer(nn.Module):
    """Attention, then the feed-forward layers."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.attention = BERTAttention(config)
        self.intermediate = BERTIntermediate(config)
        self.output = BERTOutput(config.intermediate_size, config)

    def forward(self, x: Any, mask: Any) -> Any:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class BERTEncoder(nn.Module):
    """The layers one after the other."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([BERTLayer(config) for _ in range(config.num_hidden_layers)])

    def forward(self, x: Any, mask: Any) -> Any:
        for layer in self.layer:
            x = layer(x, mask)
        return x


class BERTPooler(nn.Module):
    """A linear layer and tanh on the first position."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Any) -> Any:
        return self.dense(x[:, 0]).tanh()


class BERT(nn.Module):
    """An encoder-only transformer.

    Args:
        config: its sizes. pooling: whether to have the pooler of the first position.

    Example:
        >>> import squall as sq
        >>> config = BERTConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        ...                     intermediate_size=16, max_position_embeddings=16)
        >>> hidden, pooled = BERT(config).eval()(sq.zeros(2, 5, dtype=sq.int64))
        >>> hidden.shape, pooled.shape
        (squall.Size([2, 5, 8]), squall.Size([2, 8]))
    """

    def __init__(self, config: BERTConfig, pooling: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BERTEmbeddings(config)
        self.encoder = BERTEncoder(config)
        self.pooler = BERTPooler(config) if pooling else None
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
            if getattr(module, "padding_idx", None) is not None:
                with sq.no_grad():
                    module.weight[module.padding_idx] = 0.0

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> tuple[Any, Any]:
        """Hidden states, and the pooled first position.

        Args:
            input_ids: int64 of shape (batch, length). attention_mask: the same shape, 0 or False where a position is
            padding. token_type_ids: the same shape, the segment of each position; all 0 by default.

        Returns:
            (batch, length, hidden_size), and (batch, hidden_size) or None without pooler.

        Raises:
            ShapeError: when the sequence is longer than max_position_embeddings.
        """
        mask = None
        if attention_mask is not None:
            mask = (attention_mask != 0).unsqueeze(1).unsqueeze(1)
        hidden = self.encoder(self.embeddings(input_ids, token_type_ids), mask)
        return hidden, None if self.pooler is None else self.pooler(hidden)
