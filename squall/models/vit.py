"""The vision transformer with torchvision's parameter names.

Dosovitskiy and others: "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2020.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import squall as sq
from squall import nn
from squall.base.errors import ShapeError


class EncoderBlock(nn.Module):
    """Self-attention, then two linear layers, each normalised before and added to its input.

    Args:
        heads: of the attention. size: features. mlp_dim: features between the linear layers. dropout,
        attention_dropout: probabilities while training.
    """

    def __init__(self, heads: int, size: int, mlp_dim: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(size, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(size, heads, dropout=attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(size, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(size, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, size), nn.Dropout(dropout)
        )

    def forward(self, x: Any) -> Any:
        normed = self.ln_1(x)
        out, _ = self.self_attention(normed, normed, normed, need_weights=False)
        x = x + self.dropout(out)
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Position embeddings, the blocks, and a last normalisation."""

    def __init__(self, length: int, layers: int, heads: int, size: int, mlp_dim: int, dropout: float, attention: float):
        super().__init__()
        self.pos_embedding = nn.Parameter(sq.randn(1, length, size) * 0.02)
        self.dropout = nn.Dropout(dropout)
        blocks = [(f"encoder_layer_{i}", EncoderBlock(heads, size, mlp_dim, dropout, attention)) for i in range(layers)]
        self.layers = nn.Sequential(OrderedDict(blocks))
        self.ln = nn.LayerNorm(size, eps=1e-6)

    def forward(self, x: Any) -> Any:
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """A transformer encoder over the patches of a picture.

    Args:
        image_size, patch_size: pixels along a side. num_layers, num_heads, hidden_dim, mlp_dim: of the encoder.
        dropout, attention_dropout: probabilities while training. num_classes: size of the result. in_channels: of
        the pictures.

    Raises:
        ValueError: when patches do not tile the picture.

    Example:
        >>> import squall as sq
        >>> model = VisionTransformer(8, 4, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3)
        >>> model(sq.zeros(2, 3, 8, 8)).shape
        squall.Size([2, 3])
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        num_layers: int = 12,
        num_heads: int = 12,
        hidden_dim: int = 768,
        mlp_dim: int = 3072,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"VisionTransformer: image_size={image_size} must be a multiple of patch_size={patch_size}"
            )
        self.image_size, self.patch_size, self.hidden_dim = image_size, patch_size, hidden_dim
        self.conv_proj = nn.Conv2d(in_channels, hidden_dim, patch_size, stride=patch_size)
        length = (image_size // patch_size) ** 2 + 1
        self.class_token = nn.Parameter(sq.zeros(1, 1, hidden_dim))
        self.encoder = Encoder(length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout)
        self.heads = nn.Sequential(OrderedDict([("head", nn.Linear(hidden_dim, num_classes))]))
        self._initialise()

    def _initialise(self) -> None:
        spread = math.sqrt(1 / (self.conv_proj.in_channels * self.patch_size**2))
        nn.init.trunc_normal_(self.conv_proj.weight, std=spread)
        nn.init.zeros_(self.conv_proj.bias)
        nn.init.zeros_(self.heads[0].weight)
        nn.init.zeros_(self.heads[0].bias)
        for block in self.encoder.layers:
            for layer in (block.mlp[0], block.mlp[3]):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, x: Any) -> Any:
        batch, height, width = x.shape[0], x.shape[2], x.shape[3]
        if (height, width) != (self.image_size, self.image_size):
            raise ShapeError(
                f"VisionTransformer: argument 'x' has pictures of {height} x {width}, and the model is made for "
                f"image_size={self.image_size}"
            )
        patches = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = sq.cat([self.class_token.expand(batch, 1, self.hidden_dim), patches], 1)
        return self.heads(self.encoder(x)[:, 0])


def vit_b_16(**options: Any) -> VisionTransformer:
    """The base model with patches of 16: 12 layers of 768 features; options as of `VisionTransformer`.

    Example:
        >>> len(vit_b_16(hidden_dim=24, mlp_dim=8, image_size=32).state_dict())
        152
    """
    return VisionTransformer(**{"patch_size": 16, **options})


def vit_b_32(**options: Any) -> VisionTransformer:
    """The base model with patches of 32; options as of `VisionTransformer`."""
    return VisionTransformer(**{"patch_size": 32, **options})


def vit_l_16(**options: Any) -> VisionTransformer:
    """The large model: 24 layers of 1,024 features; options as of `VisionTransformer`."""
    large = {"num_layers": 24, "num_heads": 16, "hidden_dim": 1024, "mlp_dim": 4096}
    return VisionTransformer(**{"patch_size": 16, **large, **options})
