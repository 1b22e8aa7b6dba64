"""One train step of a small GPT with AdamW: pre-norm blocks, causal attention, GELU."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases.frameworks import Framework, contenders, initial_weights, jax_training
from benchmarks.harness import Case, Program, register

VOCABULARY = 96
BATCHES = 8


@dataclass(frozen=True)
class Size:
    """How large the network and its batches are."""

    layers: int
    heads: int
    width: int
    length: int
    batch: int


def make_model(size: Size) -> Callable[[Framework], Any]:
    """The network, written as in every PyTorch tutorial."""

    def make(own: Framework) -> Any:
        nn, functional, package = own.nn, own.functional, own.package

        class Block(nn.Module):
            """Attention and a two-layer network, each added to what came in."""

            def __init__(self):
                super().__init__()
                self.norm1 = nn.LayerNorm(size.width)
                self.attention = nn.Linear(size.width, 3 * size.width, bias=False)
                self.projection = nn.Linear(size.width, size.width, bias=False)
                self.norm2 = nn.LayerNorm(size.width)
                self.expand = nn.Linear(size.width, 4 * size.width, bias=False)
                self.contract = nn.Linear(4 * size.width, size.width, bias=False)

            def forward(self, x):
                count, length, width = x.shape
                parts = self.attention(self.norm1(x)).split(width, dim=2)
                heads = [part.view(count, length, size.heads, -1).transpose(1, 2) for part in parts]
                mixed = functional.scaled_dot_product_attention(*heads, is_causal=True)
                x = x + self.projection(mixed.transpose(1, 2).reshape(count, length, width))
                return x + self.contract(functional.gelu(self.expand(self.norm2(x))))

        class GPT(nn.Module):
            """Embeddings, blocks, a norm and the logits."""

            def __init__(self):
                super().__init__()
                self.tokens = nn.Embedding(VOCABULARY, size.width)
                self.positions = nn.Embedding(size.length, size.width)
                self.blocks = nn.ModuleList([Block() for _ in range(size.layers)])
                self.norm = nn.LayerNorm(size.width)
                self.head = nn.Linear(size.width, VOCABULARY, bias=False)

            def forward(self, x):
                x = self.tokens(x) + self.positions(package.arange(x.shape[1]))
                for block in self.blocks:
                    x = block(x)
                return self.head(self.norm(x))

        return GPT()

    return make


def make_loss(own: Framework, model: Any) -> Callable:
    """Cross entropy of the next token, over all positions."""
    return lambda x, y: own.functional.cross_entropy(model(x).view(-1, VOCABULARY), y.view(-1))


def make_batches(size: Size) -> Callable[[], list]:
    """Batches of random tokens and their random successors."""

    def make() -> list:
        draw = np.random.RandomState(4)
        shape = (size.batch, size.length)
        return [tuple(draw.randint(0, VOCABULARY, shape) for _ in range(2)) for _ in range(BATCHES)]

    return make


def jax_weights(size: Size) -> dict:
    """The same initial weights, drawn in the order of the model's parameters."""
    width = size.width
    block = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]
    shapes = [(VOCABULARY, width), (size.length, width), *block * size.layers, (VOCABULARY, width)]
    values = initial_weights(shapes)
    half = np.full(width, 0.5, np.float32)
    return {
        "tokens": values[0], "positions": values[1], "head": values[-1], "norm": (half, half),
        "blocks": [
            (*values[2 + 4 * index : 6 + 4 * index], (half, half), (half, half)) for index in range(size.layers)
        ],
    }  # fmt: skip


def jax_loss(size: Size) -> Callable:
    """The same network and loss in JAX."""
    import jax
    import jax.numpy as jnp

    def norm(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred / jnp.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * scale + shift

    def attention(x: Any, weight: Any, projection: Any) -> Any:
        count, length, width = x.shape
        parts = jnp.split(x @ weight.T, 3, axis=2)
        q, k, v = (part.reshape(count, length, size.heads, -1).transpose(0, 2, 1, 3) for part in parts)
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(width // size.heads)
        scores = jnp.where(np.tri(length, dtype=bool), scores, -jnp.inf)
        mixed = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(count, length, width)
        return mixed @ projection.T

    def loss(values: dict, x: Any, y: Any) -> Any:
        h = values["tokens"][x] + values["positions"][jnp.arange(x.shape[1])]
        for weight, projection, expand, contract, norm1, norm2 in values["blocks"]:
            h = h + attention(norm(h, *norm1), weight, projection)
            h = h + jax.nn.gelu(norm(h, *norm2) @ expand.T, approximate=False) @ contract.T
        logits = norm(h, *values["norm"]) @ values["head"].T
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], 2).mean()

    return loss


def jax_program(size: Size) -> Callable[[], Program]:
    """The JAX contender."""
    return lambda: jax_training(jax_loss(size), jax_weights(size), make_batches(size)())


for label, chosen in (
    ("small", Size(layers=4, heads=4, width=128, length=64, batch=8)),
    ("full", Size(layers=6, heads=6, width=384, length=256, batch=8)),
):
    register(Case(
        f"gpt-train-{label}", "gpt",
        f"GPT {chosen.layers} x {chosen.width}, {chosen.length} tokens, batch {chosen.batch}, AdamW step",
        contenders(make_model(chosen), make_loss, make_batches(chosen)) | {"jax": jax_program(chosen)},
        full=label == "full",
    ))  # fmt: skip
