"""A GPT in the arrangement and with the parameter names of GPT-2, and text generation with a cache of
keys and values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import squall as sq
import squall.nn.functional as F
from squall import nn
from squall.base.errors import ShapeError


@dataclass
class GPTConfig:
    """The sizes of a GPT.

    Attributes:
        vocab_size: tokens there are. block_size: longest sequence. n_layer, n_head, n_embd: blocks, heads,
        features. dropout: probability. bias: whether linear and norm layers add something. tied: use the
        token table as last layer. gelu: "none" for the exact one, "tanh" for GPT-2's approximation. input_major:
        store the blocks' weights as (inputs, outputs), as GPT-2's checkpoints do.
    """

    vocab_size: int = 256
    block_size: int = 128
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    dropout: float = 0.0
    bias: bool = True
    tied: bool = True
    gelu: str = "none"
    input_major: bool = False

    def linear(self, inside: int, outside: int) -> nn.Module:
        """A linear layer of a block, its weight stored the way this configuration says."""
        return (InputMajorLinear if self.input_major else nn.Linear)(inside, outside, bias=self.bias)


class InputMajorLinear(nn.Module):
    """A linear layer whose weight has shape (in_features, out_features): GPT-2's checkpoints store it that way.

    Args:
        in_features, out_features: sizes of the last dimension. bias: whether something is added.

    Example:
        >>> import squall as sq
        >>> InputMajorLinear(3, 5)(sq.ones(2, 3)).shape
        squall.Size([2, 5])
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(sq.randn(in_features, out_features) * 0.02)
        self.bias = nn.Parameter(sq.zeros(out_features)) if bias else None

    def forward(self, x: Any) -> Any:
        out = x @ self.weight
        return out if self.bias is None else out + self.bias


class KeyValueCache:
    """Keys and values of the positions seen so far, for every block; sizes never change while it fills.

    Args:
        config: of the model. batch: sequences side by side.

    Attributes:
        keys, values: one Tensor a block, of shape (batch, heads, block_size, features of a head). length:
        positions filled.
    """

    def __init__(self, config: GPTConfig, batch: int) -> None:
        shape = (batch, config.n_head, config.block_size, config.n_embd // config.n_head)
        self.keys = [sq.zeros(shape) for _ in range(config.n_layer)]
        self.values = [sq.zeros(shape) for _ in range(config.n_layer)]
        self.length = 0


class CausalSelfAttention(nn.Module):
    """Self-attention in which a position sees only those before it and itself."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(f"GPTConfig: n_embd={config.n_embd} must be divisible by n_head={config.n_head}")
        self.c_attn = config.linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = config.linear(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.n_head, self.dropout = config.n_head, config.dropout

    def forward(self, x: Any, cache: KeyValueCache | None = None, layer: int = 0) -> Any:
        batch, length, features = x.shape
        q, k, v = (
            t.view(batch, length, self.n_head, features // self.n_head).transpose(1, 2)
            for t in self.c_attn(x).split(features, dim=2)
        )
        if cache is None:
            dropped = self.dropout if self.training else 0.0
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropped, is_causal=True)
        else:
            y = self._with_cache(q, k, v, cache, layer)
        y = y.transpose(1, 2).reshape(batch, length, features)
        return self.resid_dropout(self.c_proj(y))

    @staticmethod
    def _with_cache(q: Any, k: Any, v: Any, cache: KeyValueCache, layer: int) -> Any:
        """Put the new keys and values into the cache and look at all of it; what is not filled yet is
        masked."""
        start, length = cache.length, q.shape[2]
        keys, values = cache.keys[layer], cache.values[layer]
        keys[:, :, start : start + length] = k
        values[:, :, start : start + length] = v
        seen = sq.arange(keys.shape[2]) <= (sq.arange(length) + start).unsqueeze(1)
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)


class FeedForward(nn.Module):
    """Two linear layers with GELU between them, position by position."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = config.linear(config.n_embd, 4 * config.n_embd)
        self.gelu = nn.GELU(approximate=config.gelu)
        self.c_proj = config.linear(4 * config.n_embd, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Any) -> Any:
        return self.dropout(self.c_proj(self.gelu(self.c_fc(x))))


class Block(nn.Module):
    """Attention, then the feed-forward layers, each normalised before and added to its input."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = FeedForward(config)

    def forward(self, x: Any, cache: KeyValueCache | None = None, layer: int = 0) -> Any:
        x = x + self.attn(self.ln_1(x), cache, layer)
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """A decoder-only transformer.

    Args:
        config: its sizes.

    Example:
        >>> import squall as sq
        >>> model = GPT(GPTConfig(vocab_size=11, block_size=8, n_layer=1, n_head=2, n_embd=16))
        >>> logits, loss = model(sq.zeros(2, 5, dtype=sq.int64))
        >>> logits.shape, loss
        (squall.Size([2, 5, 11]), None)
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, config.n_embd),
                "wpe": nn.Embedding(config.block_size, config.n_embd),
                "drop": nn.Dropout(config.dropout),
                "h": nn.ModuleList([Block(config) for _ in range(config.n_layer)]),
                "ln_f": nn.LayerNorm(config.n_embd, bias=config.bias),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tied:
            self.lm_head.weight = self.transformer["wte"].weight
        self.apply(self._initialise)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):  # smaller where results add up along the residual path
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layer))

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding, InputMajorLinear)):
            nn.init.normal_(module.weight, std=0.02)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)

    def _hidden(self, tokens: Any, cache: KeyValueCache | None) -> Any:
        start, length = 0 if cache is None else cache.length, tokens.shape[1]
        if isinstance(length, int) and start + length > self.config.block_size:
            raise ShapeError(
                f"GPT: argument 'tokens' reaches position {start + length}, and block_size={self.config.block_size}"
            )
        positions = self.transformer["wpe"].weight[start : start + length]
        x = self.transformer["drop"](self.transformer["wte"](tokens) + positions)
        for layer, block in enumerate(self.transformer["h"]):
            x = block(x, cache, layer)
        if cache is not None:
            cache.length += length
        return self.transformer["ln_f"](x)

    def forward(self, tokens: Any, targets: Any = None) -> tuple[Any, Any]:
        logits = self.lm_head(self._hidden(tokens, None))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=-1
        )

    def generate(
        self,
        tokens: Any,
        count: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: Any = None,
    ) -> Any:
        """Continue sequences token by token; every position is computed once.

        Args:
            tokens: int64 of shape (batch, length). count: tokens to add. temperature: 0 always takes the
                likeliest token, more is bolder. top_k: draw only among the likeliest. generator: the random
                source.

        Returns:
            Shape (batch, length + count).

        Raises:
            ShapeError: when the sequence would pass block_size.
        """
        if tokens.shape[1] + count > self.config.block_size:
            raise ShapeError(
                f"GPT.generate: {tokens.shape[1]} tokens and {count} more pass block_size={self.config.block_size}"
            )
        training = self.training
        self.eval()
        try:
            with sq.no_grad():
                return self._continue(tokens, count, temperature, top_k, generator)
        finally:
            self.train(training)

    def _continue(
        self, tokens: Any, count: int, temperature: float, top_k: int | None, generator: Any
    ) -> Any:
        cache = KeyValueCache(self.config, tokens.shape[0])
        parts, fresh = [tokens], tokens
        for _ in range(count):
            logits = self.lm_head(self._hidden(fresh, cache)[:, -1])
            fresh = self._choose(logits, temperature, top_k, generator)
            sq.flush()
            parts.append(fresh)
        return sq.cat(parts, 1)

    @staticmethod
    def _choose(logits: Any, temperature: float, top_k: int | None, generator: Any) -> Any:
        """The next tokens, of shape (batch, 1)."""
        if temperature == 0:
            return logits.argmax(-1, keepdim=True)
        logits = logits / temperature
        if top_k is not None:
            least = logits.topk(min(top_k, logits.shape[-1]), -1)[0][:, -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
        return sq.multinomial(F.softmax(logits, -1), 1, generator=generator)


def gpt2(size: str = "small", **options: Any) -> GPT:
    """GPT-2 with the parameter names and layouts of Hugging Face's checkpoints (Radford and others, 2019).

    Args:
        size: "small" (124 million parameters), "medium", "large" or "xl". options: fields of `GPTConfig` that replace
        its own.

    Raises:
        ValueError: for another size.

    Example:
        >>> model = gpt2(vocab_size=50, block_size=16, n_layer=1, n_head=2, n_embd=8)
        >>> model.transformer["h"][0].attn.c_attn.weight.shape
        squall.Size([8, 24])
    """
    sizes = {"small": (12, 12, 768), "medium": (24, 16, 1024), "large": (36, 20, 1280), "xl": (48, 25, 1600)}
    if size not in sizes:
        raise ValueError(f"gpt2: argument 'size' must be one of {sorted(sizes)}, got {size!r}")
    layers, heads, features = sizes[size]
    published = {"vocab_size": 50257, "block_size": 1024, "n_layer": layers, "n_head": heads, "n_embd": features}
    return GPT(GPTConfig(**{**published, "gelu": "tanh", "input_major": True, **options}))
