"""The compile-cost census: what the first train step of a network costs before it runs.

For each network, in a fresh process with an empty kernel cache: how many distinct kernels there are, the milliseconds
Python takes from graph to linear IR and text, the milliseconds LLVM takes, and the whole first step. A second process
shows the same with the cache filled. Run with `python -m benchmarks.census`; writes benchmarks/census.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.machine import describe

NETWORKS = ("mlp", "digits-cnn", "resnet18", "gpt")


def resnet18() -> Any:
    """ResNet-18 with the stem for 32x32 images, as users write it."""
    from squall import nn

    class Block(nn.Module):
        def __init__(self, inside: int, outside: int, stride: int):
            super().__init__()
            self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outside)
            self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outside)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = None if stride == 1 and inside == outside else nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    width = 64
    for outside, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(width, outside, stride), Block(outside, outside, 1)]
        width = outside
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def build(name: str) -> tuple[Any, Any]:
    """A network and a function giving its loss."""
    import squall as sq
    from squall import models, nn

    labels = sq.randint(0, 10, (8,))
    if name == "mlp":
        model, x = (
            nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)),
            sq.randn(8, 784),
        )
    elif name == "digits-cnn":
        model, x = models.DigitsCNN(), sq.randn(8, 1, 8, 8)
    elif name == "resnet18":
        model, x = resnet18(), sq.randn(8, 3, 32, 32)
    else:
        config = models.GPTConfig(vocab_size=65, block_size=64, n_layer=6, n_head=6, n_embd=384)
        model, tokens = models.GPT(config), sq.randint(0, 65, (2, 64))
        return model, lambda: model(tokens, tokens)[1]
    return model, lambda: nn.functional.cross_entropy(model(x), labels)


def measure(name: str) -> dict[str, Any]:
    """One process's figures; the caller chose the cache folder."""
    began = time.perf_counter()
    import squall as sq
    from squall import optim
    from squall.base import trace

    sq.manual_seed(0)
    model, loss_of = build(name)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    sq.flush()
    before = dict(trace.counters)
    start = time.perf_counter()

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss

    compiled = sq.compile(step)
    compiled().item()
    first = time.perf_counter() - start
    made = {k: v - before.get(k, 0) for k, v in trace.counters.items()}
    start = time.perf_counter()
    compiled().item()
    second = time.perf_counter() - start
    python = (
        sum(
            v
            for k, v in made.items()
            if k.endswith("microseconds") and not k.startswith(("llvm", "lowering"))
        )
        / 1e3
    )
    return {
        "network": name,
        "kernels lowered": made.get("kernels lowered", 0),
        "kernels compiled": made.get("kernels compiled", 0),
        "python ms": round(python, 1),
        "llvm ms": round(made.get("llvm microseconds", 0) / 1e3, 1),
        "first step s": round(first, 3),
        "second step s": round(second, 3),
        "process to first step s": round(start - began, 3),
        "counters": made,
    }


def main() -> None:
    """Measure all networks, cold and warm, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", choices=NETWORKS)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child)))
        return
    results = []
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            for state in ("cold", "warm"):
                out = subprocess.run(
                    [sys.executable, "-m", "benchmarks.census", "--child", name],
                    capture_output=True,
                    text=True,
                    env={**os.environ, "SQUALL_CACHE_DIR": folder},
                    check=False,
                )
                if out.returncode:
                    raise SystemExit(f"{name}: {out.stderr[-2000:]}")
                row = {"cache": state, **json.loads(out.stdout.splitlines()[-1])}
                results.append(row)
                print({k: v for k, v in row.items() if k != "counters"})
    os.makedirs("benchmarks/results", exist_ok=True)
    with open("benchmarks/census.json", "w", encoding="utf-8") as file:
        json.dump({"machine": describe(["census"]), "rows": results}, file, indent=1)


if __name__ == "__main__":
    main()
