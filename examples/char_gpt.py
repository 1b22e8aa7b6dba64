"""A GPT that learns a text letter by letter, such as Shakespeare's plays, in minutes on two cores.

    python examples/char_gpt.py --text FILE_OR_FOLDER [--steps 2000] [--out char-output] [--peer]

TEXT is a file, or a folder whose .txt files are joined. The last tenth is held out. Every 100 steps print the losses
and the time; at the end there are the weights as safetensors and a continuation of a line. `--peer` trains the same
model from the same weights on the same batches in PyTorch, in turns of 50 steps with squall's, and prints both.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import squall as sq
from squall import optim
from squall.models import GPT, GPTConfig

LENGTH, BATCH, RATE, DECAY, TURN = 64, 32, 2e-3, 0.01, 50


class Text:
    """A text as numbers, one for each letter that occurs in it."""

    def __init__(self, path: Path) -> None:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        content = "".join(file.read_text("utf-8", errors="replace") for file in files)
        self.letters = sorted(set(content))
        if len(content) < 40 * LENGTH:
            raise SystemExit(f"char_gpt: {path} holds {len(content)} letters; give at least {40 * LENGTH}")
        code = {letter: number for number, letter in enumerate(self.letters)}
        self.tokens = np.array([code[letter] for letter in content], np.int64)
        self.border = len(content) * 9 // 10

    def windows(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What stands at some places, and the same one letter further."""
        rows = self.tokens[starts[:, None] + np.arange(LENGTH + 1)]
        return rows[:, :-1], rows[:, 1:]

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The batch of a step, the same in every run."""
        return self.windows(np.random.RandomState(step).randint(0, self.border - LENGTH - 1, BATCH))

    def held_out(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Windows of the last tenth, at most 20 batches."""
        starts = np.arange(self.border, len(self.tokens) - LENGTH - 1, LENGTH)[: 20 * BATCH]
        return [self.windows(part) for part in np.array_split(starts, max(1, len(starts) // BATCH))]


def rate(step: int, steps: int) -> float:
    """A linear rise over a tenth of the steps, then half a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return RATE * (step + 1) / rise
    return RATE * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class Run:
    """One framework's training: `package` is squall or torch, which this text is written for alike."""

    def __init__(self, package: Any, optimizers: Any, model: Any, loss: Callable, compile: Any = None) -> None:
        self.package, self.model = package, model
        self.optimizer = optimizers.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
        self.loss, self.seconds, self.recent = loss, 0.0, [0.0]
        self.step = compile(self._step) if compile else self._step

    def _step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.loss(self.model, x, y)
        loss.backward()
        self.optimizer.step()
        return loss

    def turn(self, text: Text, first: int, last: int, steps: int) -> None:
        """Steps `first` to `last`."""
        tensor = self.package.tensor
        batches = [tuple(tensor(part) for part in text.batch(step)) for step in range(first, last)]
        began, self.recent = time.perf_counter(), []
        for step, (x, y) in zip(range(first, last), batches, strict=True):
            for group in self.optimizer.param_groups:
                group["lr"] = rate(step, steps)
            self.recent.append(self.step(x, y).item())
        self.seconds += time.perf_counter() - began

    def held_out(self, text: Text) -> float:
        """The mean loss of the text it has not learnt."""
        with self.package.no_grad():
            parts = [self.loss(self.model, *map(self.package.tensor, part)).item() for part in text.held_out()]
        return sum(parts) / len(parts)


def squall_run(config: GPTConfig) -> Run:
    """The run in squall: the whole step is one program."""
    sq.manual_seed(0)
    return Run(sq, optim, GPT(config), lambda model, x, y: model(x, y)[1], sq.compile)


def torch_run(config: GPTConfig, state: dict[str, Any]) -> Run:
    """The run in PyTorch, from the same weights."""
    import torch
    from torch import nn
    from torch.nn import functional

    size, heads = config.n_embd, config.n_head

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(size), nn.LayerNorm(size)
            self.attn = nn.ModuleDict({"c_attn": nn.Linear(size, 3 * size), "c_proj": nn.Linear(size, size)})
            self.mlp = nn.ModuleDict({"c_fc": nn.Linear(size, 4 * size), "c_proj": nn.Linear(4 * size, size)})

        def forward(self, x: Any) -> Any:
            b, t, c = x.shape
            parts = self.attn["c_attn"](self.ln_1(x)).split(c, dim=2)
            q, k, v = (part.view(b, t, heads, c // heads).transpose(1, 2) for part in parts)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.attn["c_proj"](y.transpose(1, 2).reshape(b, t, c))
            return x + self.mlp["c_proj"](functional.gelu(self.mlp["c_fc"](self.ln_2(x))))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            parts = {"wte": nn.Embedding(config.vocab_size, size), "wpe": nn.Embedding(LENGTH, size)}
            blocks = nn.ModuleList([Block() for _ in range(config.n_layer)])
            self.transformer = nn.ModuleDict({**parts, "h": blocks, "ln_f": nn.LayerNorm(size)})
            self.lm_head = nn.Linear(size, config.vocab_size, bias=False)
            self.lm_head.weight = self.transformer["wte"].weight

        def forward(self, x: Any) -> Any:
            x = self.transformer["wte"](x) + self.transformer["wpe"].weight[: x.shape[1]]
            for block in self.transformer["h"]:
                x = block(x)
            return self.lm_head(self.transformer["ln_f"](x))

    def loss(model: Any, x: Any, y: Any) -> Any:
        return functional.cross_entropy(model(x).flatten(0, 1), y.flatten())

    torch.set_num_threads(sq.get_num_threads())
    model = Model()
    model.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return Run(torch, torch.optim, model, loss)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("char-output"))
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    text = Text(options.text)
    config = GPTConfig(len(text.letters), LENGTH, options.layers, 4, options.width)
    runs = {"squall": squall_run(config)}
    if options.peer:
        state = {name: value.detach().numpy().copy() for name, value in runs["squall"].model.state_dict().items()}
        runs["PyTorch"] = torch_run(config, state)
    print(f"{len(text.tokens)} letters of {len(text.letters)} kinds, {text.border} of them to learn from")
    for first in range(0, options.steps, TURN):
        last = min(first + TURN, options.steps)
        for run in runs.values():
            run.turn(text, first, last, options.steps)
        if last % 100 == 0 or last == options.steps:
            said = [f"{name} loss {np.mean(run.recent):.3f}, {run.seconds:.0f} s" for name, run in runs.items()]
            print(f"step {last}/{options.steps}: " + "; ".join(said), flush=True)
    for name, run in runs.items():
        print(f"{name}: held-out loss {run.held_out(text):.4f}, {run.seconds:.1f} s in all")
    options.out.mkdir(parents=True, exist_ok=True)
    model = runs["squall"].model
    sq.io.save_safetensors(dict(model.state_dict()), options.out / "char-gpt.safetensors")
    start = text.tokens[text.border : text.border + 16]
    out = model.generate(sq.tensor(start[None]), LENGTH - 16, temperature=0.8, top_k=10)[0].tolist()
    print("".join(text.letters[number] for number in out))


if __name__ == "__main__":
    main()
