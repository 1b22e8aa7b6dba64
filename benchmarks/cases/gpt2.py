"""GPT-2 small: the forward pass over 512 tokens, and one more token with the keys and values of 511 kept."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.apart import kept_heap
from benchmarks.cases.frameworks import Framework, framework
from benchmarks.harness import Case, Program, register

LAYERS, HEADS, WIDTH, VOCABULARY, LENGTH = 12, 12, 768, 50257, 512
HEAD = WIDTH // HEADS
BLOCK = [(3 * WIDTH, WIDTH), (WIDTH, WIDTH), (4 * WIDTH, WIDTH), (WIDTH, 4 * WIDTH)]
PARAMETERS = LAYERS * 12 * WIDTH * WIDTH + VOCABULARY * WIDTH


@cache
def weights() -> dict[str, Any]:
    """Matrices of a plausible scale; biases and shifts are 0.01, norm's scales 1."""
    draw = np.random.default_rng(7)

    def matrix(shape: tuple[int, int]) -> np.ndarray:
        return draw.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    return {
        "tokens": matrix((VOCABULARY, WIDTH)), "positions": matrix((LENGTH, WIDTH)),
        "blocks": [[matrix(shape) for shape in BLOCK] for _ in range(LAYERS)],
    }  # fmt: skip


def tokens(count: int) -> np.ndarray:
    """A row of random tokens."""
    return np.random.default_rng(8).integers(0, VOCABULARY, (1, count))


@cache
def seen() -> np.ndarray:
    """Keys and values of the positions before the last: (2, layers, 1, heads, LENGTH, HEAD), the last one zero."""
    values = np.random.default_rng(9).standard_normal((2, LAYERS, 1, HEADS, LENGTH, HEAD), dtype=np.float32)
    values[..., -1, :] = 0
    return values


def make_model(own: Framework) -> Any:
    """The network as it is usually written, its last layer tied to the tokens' table, with the weights above."""
    nn, functional, package = own.nn, own.functional, own.package

    class Block(nn.Module):
        """Attention and a two-layer network; with kept keys and values when they are given."""

        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attention, self.projection, self.expand, self.contract = (nn.Linear(b, a) for a, b in BLOCK)

        def forward(self, x: Any, keys: Any = None, values: Any = None) -> Any:
            count, length, _ = x.shape
            parts = self.attention(self.norm1(x)).split(WIDTH, dim=2)
            q, k, v = (part.view(count, length, HEADS, HEAD).transpose(1, 2) for part in parts)
            if keys is None:
                mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                keys[:, :, LENGTH - 1 :] = k
                values[:, :, LENGTH - 1 :] = v
                mixed = functional.scaled_dot_product_attention(q, keys, values)
            x = x + self.projection(mixed.transpose(1, 2).reshape(count, length, WIDTH))
            return x + self.contract(functional.gelu(self.expand(self.norm2(x)), approximate="tanh"))

    class GPT2(nn.Module):
        """Embeddings, blocks, a norm, and the logits of the last position."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
            self.norm = nn.LayerNorm(WIDTH)

        def forward(self, x: Any, keys: Any = None, values: Any = None) -> Any:
            first = 0 if keys is None else LENGTH - 1
            h = self.tokens(x) + self.positions(package.arange(first, LENGTH))
            for index, block in enumerate(self.blocks):
                h = block(h) if keys is None else block(h, keys[index], values[index])
            return functional.linear(self.norm(h), self.tokens.weight)

    model, given = GPT2(), weights()
    with package.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name or name.endswith("bias"):
                parameter.fill_(0.01)
        model.tokens.weight.copy_(package.tensor(given["tokens"]))
        model.positions.weight.copy_(package.tensor(given["positions"]))
        for block, matrices in zip(model.blocks, given["blocks"], strict=True):
            for layer, value in zip(
                (block.attention, block.projection, block.expand, block.contract), matrices, strict=True
            ):
                layer.weight.copy_(package.tensor(value))
    return model.eval().requires_grad_(False)


def running(name: str, decode: bool, compiled: bool) -> Callable[[], Program]:
    """squall or torch: the logits as an array."""

    def make() -> Program:
        own = framework(name)
        model, package = make_model(own), own.package
        x = package.tensor(tokens(1 if decode else LENGTH))
        # A list each, as generation loops keep them: writing into a part of one large array makes compilers copy it.
        kept = [[package.tensor(layer) for layer in half] for half in seen()] if decode else []
        function = package.compile(model) if compiled else model

        def call() -> np.ndarray:
            with package.no_grad():
                return function(x, *kept).numpy()

        return Program(call, lambda: [call()])

    return make


def norm(x: Any) -> Any:
    """JAX: layer normalisation with scale 1 and shift 0.01."""
    import jax.numpy as jnp

    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) + 0.01


def jax_forward(given: dict, x: Any, kept: Any, at: int) -> tuple:
    """JAX: the logits, and the kept keys and values with the new ones in place."""
    import jax
    import jax.numpy as jnp

    length, after = x.shape[1], []
    h = given["tokens"][x] + given["positions"][at : at + length]
    for index, (attention, projection, expand, contract) in enumerate(given["blocks"]):
        parts = jnp.split(norm(h) @ attention + 0.01, 3, axis=2)
        q, k, v = (part.reshape(1, length, HEADS, HEAD).transpose(0, 2, 1, 3) for part in parts)
        if kept is not None:
            k, v = (
                jax.lax.dynamic_update_slice(old[index], new, (0, 0, at, 0))
                for old, new in zip(kept, (k, v), strict=True)
            )
            after.append((k, v))
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(HEAD)
        if kept is None:
            scores = jnp.where(np.tri(length, dtype=bool), scores, -jnp.inf)
        mixed = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(1, length, WIDTH)
        h = h + mixed @ projection + 0.01
        h = h + jax.nn.gelu(norm(h) @ expand + 0.01, approximate=True) @ contract + 0.01
    return norm(h) @ given["head"], tuple(map(list, zip(*after, strict=True))) if after else None


def jax_running(decode: bool) -> Callable[[], Program]:
    """JAX: one jitted function; what is kept is donated."""

    def make() -> Program:
        import jax
        import jax.numpy as jnp

        # Stored as inputs by outputs, the table for the last layer a second time: transposing costs XLA a copy a call.
        given = {name: value for name, value in weights().items() if name != "blocks"}
        given["head"] = np.ascontiguousarray(given["tokens"].T)
        given["blocks"] = [[np.ascontiguousarray(value.T) for value in block] for block in weights()["blocks"]]
        given = jax.tree.map(jnp.asarray, given)
        x = jnp.asarray(tokens(1 if decode else LENGTH))
        kept = tuple([jnp.asarray(layer) for layer in half] for half in seen()) if decode else None
        function = jax.jit(jax_forward, static_argnums=3, donate_argnums=2)

        def call() -> np.ndarray:
            nonlocal kept
            logits, kept = function(given, x, kept, LENGTH - 1 if decode else 0)
            return np.asarray(logits)

        return Program(call, lambda: [call()])

    return make


def onnx_running(decode: bool) -> Callable[[], Program]:
    """ONNX Runtime: what is kept goes in and the new keys and values come out."""

    def make() -> Program:
        own = framework("torch")
        package, nn = own.package, own.nn
        model = make_model(own)

        class Decode(nn.Module):
            """One token; keys and values of the earlier ones are inputs."""

            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, x: Any, keys: Any, values: Any) -> Any:
                h = model.tokens(x) + model.positions.weight[LENGTH - 1 :]
                fresh = []
                for index, block in enumerate(model.blocks):
                    parts = block.attention(block.norm1(h)).split(WIDTH, dim=2)
                    q, k, v = (part.view(1, 1, HEADS, HEAD).transpose(1, 2) for part in parts)
                    fresh += [k, v]
                    k, v = package.cat((keys[index], k), 2), package.cat((values[index], v), 2)
                    mixed = package.softmax(q @ k.transpose(2, 3) * HEAD**-0.5, -1) @ v
                    h = h + block.projection(mixed.transpose(1, 2).reshape(1, 1, WIDTH))
                    hidden = own.functional.gelu(block.expand(block.norm2(h)), approximate="tanh")
                    h = h + block.contract(hidden)
                return own.functional.linear(model.norm(h), model.tokens.weight), *fresh

        x = package.tensor(tokens(1 if decode else LENGTH))
        if not decode:
            run = peers.onnx_call(model, (x,))
        else:
            past = (package.tensor(np.ascontiguousarray(half[..., :-1, :])) for half in seen())
            run = peers.onnx_call(Decode(), (x, *past))
        return Program(run, lambda: [run()[0]])

    return make


for label, decode, about, options in (
    ("forward", False, "GPT-2 small, forward, 512 tokens", {
        "flops": 2.0 * LENGTH * PARAMETERS + LAYERS * 2.0 * LENGTH * LENGTH * WIDTH, "traffic": 4.0 * PARAMETERS,
    }),
    ("decode", True, "GPT-2 small, one token at position 511, keys and values kept", {
        "flops": 2.0 * PARAMETERS, "traffic": 4.0 * (PARAMETERS + 2 * LAYERS * LENGTH * WIDTH),
    }),
):  # fmt: skip
    register(Case(
        f"gpt2-{label}", "language", about,
        {
            "squall compiled": running("squall", decode, True),
            "squall uncompiled": running("squall", decode, False),
            "torch eager": running("torch", decode, False),
            "torch compile": running("torch", decode, True),
            "torch eager, kept heap": kept_heap(running("torch", decode, False)),
            "jax": jax_running(decode),
            "onnxruntime": onnx_running(decode),
        },
        full=True, tolerance=1e-3, **options,
    ))  # fmt: skip
