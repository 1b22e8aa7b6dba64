"""Trains squall and PyTorch side by side, from the same weights on the same batches, to the end of a recipe.

    python -m benchmarks.convergence fashion-cnn --data FOLDER
    python -m benchmarks.convergence character-gpt --data FILE_OR_FOLDER

The contenders take turns of some steps each in one process, so that a slow moment of the machine meets all of them; the
time of a contender is the sum of its turns without the first one, in which programs are compiled (shown apart).
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, report
from benchmarks.cases.frameworks import Framework, framework
from benchmarks.harness import SETTLE_SECONDS
from benchmarks.recipes import Recipe, character_gpt, fashion

TURN = 25  # steps
RECIPES: dict[str, Callable[[Path], Recipe]] = {"fashion-cnn": fashion, "character-gpt": character_gpt}


class Contender:
    """One framework's run of a recipe."""

    def __init__(self, name: str, own: Framework, recipe: Recipe, compiled: bool) -> None:
        self.name, self.own, self.recipe = name, own, recipe
        own.package.manual_seed(0)
        self.model = recipe.make_model(own)
        recipe.set_weights(own, self.model)
        options = {} if name.startswith("squall") else {"fused": True}
        self.optimizer = own.optim.AdamW(
            self.model.parameters(), lr=1e-3, weight_decay=recipe.weight_decay, **options
        )
        self.losses: list[float] = []
        self.turns: list[float] = []
        loss_of = self._loss
        if compiled and name.startswith("torch"):
            loss_of = own.package.compile(loss_of)
        self.step = self._step_of(loss_of)
        if compiled and name.startswith("squall"):
            self.step = own.package.compile(self.step)

    def _loss(self, x: Any, y: Any) -> Any:
        return self.recipe.loss(self.own, self.model, x, y)

    def _step_of(self, loss_of: Callable) -> Callable:
        def step(x: Any, y: Any) -> Any:
            self.optimizer.zero_grad()
            loss = loss_of(x, y)
            loss.backward()
            self.optimizer.step()
            return loss

        return step

    def take_turn(self, first: int, last: int, batches: list) -> None:
        """Steps `first` to `last`; the time with the reading of every loss."""
        tensor = self.own.package.tensor
        batches = [(tensor(x), tensor(y)) for x, y in batches]
        time.sleep(SETTLE_SECONDS)
        start = time.perf_counter()
        for step, (x, y) in zip(range(first, last), batches, strict=True):
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.rate(step)
            self.losses.append(self.step(x, y).item())
        self.turns.append(time.perf_counter() - start)

    def evaluate(self) -> float:
        """The recipe's measure on held-out data."""
        self.model.eval()
        total, count = 0.0, 0
        with self.own.package.no_grad():
            for x, y in self.recipe.held_out():
                part = self.recipe.score(self.own, self.model, self.own.package.tensor(x), self.own.package.tensor(y))
                total, count = total + part[0], count + part[1]
        self.model.train()
        return total / count


def run(recipe: Recipe, names: list[str], steps: int) -> dict:
    """Train the contenders; gives what the results file holds."""
    made = {
        "squall": ("squall", True),
        "torch eager": ("torch", False),
        "torch compile": ("torch", True),
    }
    contenders = [Contender(name, framework(made[name][0]), recipe, made[name][1]) for name in names]
    for first in range(0, steps, TURN):
        last = min(first + TURN, steps)
        batches = [recipe.batch(step) for step in range(first, last)]
        offset = first // TURN % len(contenders)
        for contender in contenders[offset:] + contenders[:offset]:
            contender.take_turn(first, last, batches)
        if first // TURN % 4 == 0:
            said = ", ".join(f"{c.name} {np.mean(c.losses[-TURN:]):.4f} in {sum(c.turns):.0f} s" for c in contenders)
            print(f"step {last}/{steps}: {said}", flush=True)
    results = {}
    for contender in contenders:
        seconds = sum(contender.turns[1:])
        results[contender.name] = {
            "score": contender.evaluate(),
            "final_loss": statistics.fmean(contender.losses[-100:]),
            "seconds": seconds,
            "first_turn_seconds": contender.turns[0],
            "step_seconds": statistics.median(contender.turns[1:] or contender.turns) / TURN,
            "losses": [round(float(np.mean(part)), 4) for part in np.array_split(contender.losses, 50)],
        }
    return results


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convergence", description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder or file")
    parser.add_argument("--contenders", default="squall,torch eager,torch compile")
    parser.add_argument("--steps", type=int, help="fewer steps than the recipe has; nothing is written then")
    choices = parser.parse_args()
    recipe = RECIPES[choices.recipe](choices.data)
    head = machine.describe([])
    head["command"] = f"python -m benchmarks.convergence {choices.recipe} --data ..."
    steps = choices.steps or recipe.steps
    results = run(recipe, choices.contenders.split(","), steps)
    for name, result in results.items():
        print(f"{name:<16} {recipe.measure} {result['score']:.4f}, last losses {result['final_loss']:.4f}, "
              f"{report.duration(result['step_seconds'])} a step, {result['seconds']:.1f} s")  # fmt: skip
    if choices.steps:
        return
    path = report.RESULTS / f"convergence-{recipe.name}.json"
    entry = {"recipe": recipe.name, "about": recipe.about, "measure": recipe.measure, "machine": head}
    entry["results"] = results
    path.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    report.write_page()


if __name__ == "__main__":
    sys.exit(main())
