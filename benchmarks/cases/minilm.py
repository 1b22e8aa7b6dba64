"""Sentence embeddings by MiniLM-L6: tokens and mask in, vectors of length 1 out.

With SQUALL_BENCH_MINILM naming a folder that holds the published model.safetensors the weights are the real ones;
otherwise they are random ones of the same shapes, which take the same time.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.apart import kept_heap
from benchmarks.cases.frameworks import Framework, framework
from benchmarks.harness import Case, Program, register

LAYERS, HEADS, WIDTH, INNER, VOCABULARY, POSITIONS = 6, 12, 384, 1536, 30522, 512
EPSILON = 1e-12
FOLDER = os.environ.get("SQUALL_BENCH_MINILM", "")


def make_model(own: Framework) -> Any:
    """The encoder with the published parameter names, and the mean of its last states over the mask."""
    nn, functional = own.nn, own.functional

    class Output(nn.Module):
        def __init__(self, inside: int) -> None:
            super().__init__()
            self.dense, self.LayerNorm = nn.Linear(inside, WIDTH), nn.LayerNorm(WIDTH, eps=EPSILON)

        def forward(self, x: Any, past: Any) -> Any:
            return self.LayerNorm(self.dense(x) + past)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.self = nn.ModuleDict({name: nn.Linear(WIDTH, WIDTH) for name in ("query", "key", "value")})
            self.output = Output(WIDTH)

        def forward(self, x: Any, mask: Any) -> Any:
            count, length, _ = x.shape
            q, k, v = (
                self.self[name](x).view(count, length, HEADS, WIDTH // HEADS).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
            return self.output(mixed.reshape(count, length, WIDTH), x)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.output = Attention(), Output(INNER)
            self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER)})

        def forward(self, x: Any, mask: Any) -> Any:
            x = self.attention(x, mask)
            return self.output(functional.gelu(self.intermediate["dense"](x)), x)

    class MiniLM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = nn.ModuleDict({
                "word_embeddings": nn.Embedding(VOCABULARY, WIDTH),
                "position_embeddings": nn.Embedding(POSITIONS, WIDTH),
                "token_type_embeddings": nn.Embedding(2, WIDTH),
                "LayerNorm": nn.LayerNorm(WIDTH, eps=EPSILON),
            })  # fmt: skip
            self.encoder = nn.ModuleDict({"layer": nn.ModuleList([Layer() for _ in range(LAYERS)])})

        def forward(self, ids: Any, mask: Any) -> Any:
            table = self.embeddings
            places = table["position_embeddings"].weight[: ids.shape[1]] + table["token_type_embeddings"].weight[0]
            x = table["LayerNorm"](table["word_embeddings"](ids) + places)
            visible = (mask != 0).unsqueeze(1).unsqueeze(1)
            for layer in self.encoder["layer"]:
                x = layer(x, visible)
            counted = mask.to(x.dtype).unsqueeze(-1)
            return functional.normalize((x * counted).sum(1) / counted.sum(1), dim=-1)

    return prepared(own, MiniLM())


def prepared(own: Framework, model: Any) -> Any:
    """The model with the weights of this case, for inference."""
    given, draw = weights(), np.random.default_rng(11)
    with own.package.no_grad():
        for name, parameter in model.named_parameters():
            if given is not None:
                value = given[name]
            elif len(parameter.shape) > 1:
                value = draw.standard_normal(tuple(parameter.shape), dtype=np.float32) * np.float32(0.05)
            else:
                value = np.full(tuple(parameter.shape), 1.0 if name.endswith("Norm.weight") else 0.01, np.float32)
            parameter.copy_(own.package.tensor(value))
    return model.eval().requires_grad_(False)


@cache
def weights() -> dict[str, np.ndarray] | None:
    """The published weights, where the folder is named."""
    if not FOLDER:
        return None
    from safetensors.numpy import load_file

    found = load_file(Path(FOLDER) / "model.safetensors")
    return {name.removeprefix("bert."): value for name, value in found.items()}


def sentences(count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and mask; where there are several sentences they are from half to all of the length."""
    draw = np.random.default_rng(12)
    lengths = np.linspace(length // 2 if count > 1 else length, length, count).astype(int)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    return draw.integers(1000, VOCABULARY, (count, length)) * mask, mask


def running(name: str, count: int, length: int, compiled: bool) -> Callable[[], Program]:
    """squall or torch, tensors in and an array out."""

    def make() -> Program:
        own = framework(name)
        model, package = make_model(own), own.package
        arguments = [package.tensor(part) for part in sentences(count, length)]
        function = package.compile(model) if compiled else model

        def call() -> np.ndarray:
            with package.no_grad():
                return function(*arguments).numpy()

        return Program(call, lambda: [call()])

    return make


def jax_running(count: int, length: int) -> Callable[[], Program]:
    """JAX, from PyTorch's model's weights."""

    def make() -> Program:
        import jax
        import jax.numpy as jnp

        named = dict(make_model(framework("torch")).named_parameters())
        given = {name: jnp.asarray(value.numpy()) for name, value in named.items()}
        arguments = [jnp.asarray(part) for part in sentences(count, length)]

        def norm(values: dict, name: str, x: Any) -> Any:
            centred = x - x.mean(-1, keepdims=True)
            scaled = centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)
            return scaled * values[f"{name}.weight"] + values[f"{name}.bias"]

        def linear(values: dict, name: str, x: Any) -> Any:
            return x @ values[f"{name}.weight"].T + values[f"{name}.bias"]

        def embed(values: dict, ids: Any, mask: Any) -> Any:
            table = "embeddings."
            x = values[f"{table}word_embeddings.weight"][ids] + values[f"{table}token_type_embeddings.weight"][0]
            x = norm(values, f"{table}LayerNorm", x + values[f"{table}position_embeddings.weight"][:length])
            bias = jnp.where(mask[:, None, None] != 0, 0.0, -jnp.inf)
            for index in range(LAYERS):
                at = f"encoder.layer.{index}."
                q, k, v = (
                    linear(values, f"{at}attention.self.{part}", x)
                    .reshape(count, length, HEADS, -1).transpose(0, 2, 1, 3)
                    for part in ("query", "key", "value")
                )  # fmt: skip
                shares = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) * (WIDTH // HEADS) ** -0.5 + bias)
                mixed = (shares @ v).transpose(0, 2, 1, 3).reshape(count, length, WIDTH)
                x = x + linear(values, f"{at}attention.output.dense", mixed)
                x = norm(values, f"{at}attention.output.LayerNorm", x)
                hidden = jax.nn.gelu(linear(values, f"{at}intermediate.dense", x), approximate=False)
                x = norm(values, f"{at}output.LayerNorm", linear(values, f"{at}output.dense", hidden) + x)
            mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
            return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)

        function = jax.jit(embed)
        return Program(
            lambda: np.asarray(function(given, *arguments)), lambda: [np.asarray(function(given, *arguments))]
        )

    return make


def onnx_running(count: int, length: int) -> Callable[[], Program]:
    """ONNX Runtime on the exported graph."""

    def make() -> Program:
        own = framework("torch")
        call = peers.onnx_call(make_model(own), tuple(own.package.tensor(part) for part in sentences(count, length)))
        return Program(call, lambda: [call()[0]])

    return make


for count, length in ((1, 32), (32, 128)):
    rows = count * length
    products = LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER + 2 * length * WIDTH)
    register(Case(
        f"minilm-{count}x{length}", "language",
        f"MiniLM-L6 embeddings of {count} x {length} tokens" + ("" if FOLDER else ", random weights"),
        {
            "squall compiled": running("squall", count, length, True),
            "squall uncompiled": running("squall", count, length, False),
            "torch eager": running("torch", count, length, False),
            "torch compile": running("torch", count, length, True),
            "torch eager, kept heap": kept_heap(running("torch", count, length, False)),
            "jax": jax_running(count, length),
            "onnxruntime": onnx_running(count, length),
        },
        flops=2.0 * rows * products, traffic=4.0 * LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER),
    ))  # fmt: skip
