"""`squall demo`: train, save, reload in a new process, compare, show."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import squall
from squall import io
from squall.base.errors import SquallError
from squall.cli import predict, report
from squall.cli.console import Console
from squall.cli.plot import save_plot
from squall.cli.train import settings
from squall.cli.training import Run, make_folder
from squall.runtime.native import get_num_threads, set_num_threads

SHOWN = 8


def run(options: argparse.Namespace, console: Console) -> int:
    """The demo; its last line is the test accuracy."""
    if options.threads:
        set_num_threads(options.threads)
    folder = make_folder(options.out)
    checkpoint = folder / "checkpoint.sqc"
    training = Run(settings(options))
    train_size, test_size = len(training.parts.train), len(training.parts.test)
    parameters = sum(p.numel() for p in training.model.parameters())
    console.print(
        f"{train_size} handwritten digits to learn from, {test_size} held out; {parameters:,} parameters; "
        f"{get_num_threads()} threads"
    )
    started = time.perf_counter()
    if not report.train(training, console, checkpoint):
        return 130
    console.print(
        f"trained {training.step_number} steps in {time.perf_counter() - started:.1f} s, compilation included"
    )
    training.save(checkpoint)
    _save_extras(training, folder, console)
    images, labels = training.parts.test.tensors
    predictions, probabilities, checksum = predict.outcome(training.model.eval(), images)
    _compare(console, checkpoint, predictions, checksum)
    console.print()
    predict.show(console, images, predictions, probabilities, labels.tolist(), SHOWN)
    console.table("compiled", report.compiled())
    console.print(f"test accuracy: {100.0 * training.evaluate():.1f} %")
    return 0


def _save_extras(training: Run, folder: Path, console: Console) -> None:
    """The weights for other programs, and the plot, or why there is none."""
    saved = [folder / "checkpoint.sqc"]
    saved.append(io.save_safetensors(training.model.state_dict(), folder / "model.safetensors"))
    if save_plot(training.history, len(training.loader), folder / "training.png"):
        saved.append(folder / "training.png")
    else:
        console.print("no plot: it needs matplotlib: pip install 'squall[cli]'")
    console.print("saved " + ", ".join(str(path) for path in saved))


def _compare(console: Console, checkpoint: Path, predictions: list[int], checksum: str) -> None:
    """Reload the checkpoint in a new process; SquallError unless it predicts the same, to the last bit."""
    started = time.perf_counter()
    source = str(Path(squall.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    command = [
        sys.executable,
        "-m",
        "squall",
        "predict",
        str(checkpoint),
        "--json",
        "--threads",
        str(get_num_threads()),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False
    )
    if done.returncode:
        raise SquallError(
            f"the new process could not predict: {done.stderr.strip() or 'exit code ' + str(done.returncode)}"
        )
    theirs = json.loads(done.stdout)
    if theirs["predictions"] != predictions:
        raise SquallError("the new process predicts something else from the same checkpoint")
    exact = "bit for bit" if theirs["checksum"] == checksum else "the same digits, but not the same bits"
    seconds = time.perf_counter() - started
    console.print(f"reloaded in a new process in {seconds:.1f} s: {len(predictions)} predictions agree, {exact}")
