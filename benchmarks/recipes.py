"""Whole trainings, written once for squall and PyTorch: a CNN on Fashion-MNIST and a character GPT on Shakespeare.

A recipe gives the model, the train step's loss, batches by number, and what is measured on held-out data. Data comes
from a folder or file that the user names; nothing is fetched.
"""

import gzip
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases.frameworks import Framework, set_weights


@dataclass(frozen=True)
class Recipe:
    """One training: see the functions at the end of this file."""

    name: str
    about: str
    measure: str  # what `evaluate` gives
    steps: int
    make_model: Callable[[Framework], Any]
    loss: Callable[[Framework, Any, Any, Any], Any]
    batch: Callable[[int], tuple[np.ndarray, np.ndarray]]
    held_out: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
    score: Callable[[Framework, Any, Any, Any], tuple[float, int]]  # a sum and how many it is over
    rate: Callable[[int], float]
    weight_decay: float = 0.01
    set_weights: Callable[[Framework, Any], None] = set_weights


def one_cycle(highest: float, steps: int) -> Callable[[int], float]:
    """A linear rise over a fifth of the steps, then a cosine to nothing."""
    rise = steps // 5

    def rate(step: int) -> float:
        if step < rise:
            return highest * (step + 1) / rise
        return highest * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))

    return rate


# ---------------------------------------------------------------- Fashion-MNIST
def idx(path: Path) -> np.ndarray:
    """The array in an IDX file of bytes, gzipped."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">i4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def make_cnn(own: Framework) -> Any:
    """Three 3 x 3 convolutions with normalisation, each before a pooling, and a linear layer."""
    nn, layers, before = own.nn, [], 1
    for width in (32, 64, 128):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        before = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(before * 9, 10))


def usual_weights(own: Framework, model: Any) -> None:
    """PyTorch's usual initial weights (uniform, by what goes in), drawn by NumPy; norms and biases start plain."""
    draws = np.random.RandomState(0)
    with own.package.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if len(shape) > 1:
                bound = 1 / math.sqrt(math.prod(shape[1:]))
                value = draws.uniform(-bound, bound, shape).astype(np.float32)
            else:
                value = np.full(shape, float(name.endswith("weight")), np.float32)
            parameter.copy_(own.package.tensor(value))


def fashion(folder: Path, epochs: int = 7, size: int = 128) -> Recipe:
    """The CNN on the 60,000 pictures in `folder` (four IDX files, as published), mirrored at random."""
    pictures, labels = idx(folder / "train-images-idx3-ubyte.gz"), idx(folder / "train-labels-idx1-ubyte.gz")
    test, truth = idx(folder / "t10k-images-idx3-ubyte.gz"), idx(folder / "t10k-labels-idx1-ubyte.gz")
    per_epoch = len(pictures) // size

    def prepared(raw: np.ndarray) -> np.ndarray:
        return ((raw.astype(np.float32) / 255 - 0.286) / 0.353)[:, None]

    def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, part = divmod(step, per_epoch)
        chosen = np.random.RandomState(epoch).permutation(len(pictures))[part * size : (part + 1) * size]
        x = prepared(pictures[chosen])
        mirrored = np.random.RandomState(1_000_000 + step).rand(size) < 0.5
        x[mirrored] = x[mirrored, :, :, ::-1]
        return x, labels[chosen].astype(np.int64)

    def held_out() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(test), 500):
            yield prepared(test[start : start + 500]), truth[start : start + 500].astype(np.int64)

    def score(own: Framework, model: Any, x: Any, y: Any) -> tuple[float, int]:
        return float((model(x).argmax(1) == y).sum()), len(y)

    steps = epochs * per_epoch
    return Recipe(
        "fashion-cnn", f"CNN on Fashion-MNIST, {epochs} epochs, batch {size}, AdamW", "test accuracy", steps, make_cnn,
        lambda own, model, x, y: own.functional.cross_entropy(model(x), y, label_smoothing=0.05), batch, held_out,
        score, one_cycle(4e-3, steps), 0.02, usual_weights,
    )  # fmt: skip


# ---------------------------------------------------------------- Shakespeare, letter by letter
def make_gpt(vocabulary: int, length: int, width: int, layers: int, heads: int) -> Callable[[Framework], Any]:
    """A pre-norm GPT, of the layers every framework has."""

    def make(own: Framework) -> Any:
        nn, functional, package = own.nn, own.functional, own.package

        class Block(nn.Module):
            """Attention, then two linear layers."""

            def __init__(self):
                super().__init__()
                self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
                self.attention, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
                self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

            def forward(self, x):
                count, size, _ = x.shape
                parts = self.attention(self.norm1(x)).split(width, dim=2)
                q, k, v = [part.view(count, size, heads, -1).transpose(1, 2) for part in parts]
                mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + self.projection(mixed.transpose(1, 2).reshape(count, size, width))
                return x + self.contract(functional.gelu(self.expand(self.norm2(x))))

        class GPT(nn.Module):
            """Embeddings, blocks, a norm and the logits."""

            def __init__(self):
                super().__init__()
                self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
                self.blocks = nn.ModuleList([Block() for _ in range(layers)])
                self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

            def forward(self, x):
                x = self.tokens(x) + self.positions(package.arange(x.shape[1]))
                for block in self.blocks:
                    x = block(x)
                return self.head(self.norm(x))

        return GPT()

    return make


def character_gpt(path: Path, steps: int = 2000, size: int = 32, length: int = 64) -> Recipe:
    """The GPT on a text file, or all .txt files of a folder; the last tenth of the text is held out."""
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    text = "".join(file.read_text("utf-8", errors="replace") for file in files)
    letters = sorted(set(text))
    codes = np.zeros(max(map(ord, letters)) + 1, np.int64)
    codes[[ord(letter) for letter in letters]] = np.arange(len(letters))
    tokens = codes[np.frombuffer(text.encode("utf-32-le"), np.uint32)]
    border = len(tokens) * 9 // 10

    def windows(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = tokens[starts[:, None] + np.arange(length + 1)]
        return rows[:, :-1], rows[:, 1:]

    def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
        return windows(np.random.RandomState(step).randint(0, border - length - 1, size))

    def held_out() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        starts = np.arange(border, len(tokens) - length - 1, length)[: 40 * size]
        for first in range(0, len(starts) - size + 1, size):
            yield windows(starts[first : first + size])

    def loss(own: Framework, model: Any, x: Any, y: Any) -> Any:
        return own.functional.cross_entropy(model(x).view(-1, len(letters)), y.reshape(-1))

    def score(own: Framework, model: Any, x: Any, y: Any) -> tuple[float, int]:
        return float(loss(own, model, x, y)) * y.shape[0], y.shape[0]

    return Recipe(
        "character-gpt", f"GPT 4 x 128 on Shakespeare, letters, {steps} steps of {size} x {length}, AdamW",
        "held-out loss", steps, make_gpt(len(letters), length, 128, 4, 4), loss, batch, held_out, score,
        one_cycle(2e-3, steps),
    )  # fmt: skip
