"""What training commands say while they run and at the end."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from squall.backends.cpu import build
from squall.base import trace
from squall.cli.console import Console
from squall.cli.training import Run, StoppedError


def epoch_line(run: Run) -> str:
    """One line about the last epoch."""
    steps, done = len(run.loader), len(run.history.accuracies)
    losses, times = run.history.losses[-steps:], run.history.milliseconds[-steps:]
    return (
        f"epoch {done:3d}/{run.settings.epochs}   loss {sum(losses) / len(losses):.4f}   "
        f"test accuracy {run.history.accuracies[-1]:5.1f} %   {median(times):6.2f} ms per step"
    )


def train(run: Run, console: Console, checkpoint: Path) -> bool:
    """Train with progress; False after Ctrl-C. Either way a checkpoint is written."""

    def on_step(run: Run) -> None:
        advance(f"loss {run.history.losses[-1]:.4f}  {run.history.milliseconds[-1]:.1f} ms per step")

    def on_epoch(run: Run) -> None:
        console.print(epoch_line(run))
        if console.quiet:
            console.record(
                event="epoch",
                epoch=len(run.history.accuracies),
                step=run.step_number,
                loss=run.history.losses[-1],
                accuracy=run.history.accuracies[-1],
                milliseconds=median(run.history.milliseconds[-len(run.loader) :]),
            )
        run.save(checkpoint)

    try:
        with console.progress(run.total_steps, run.step_number) as advance:
            run.train(on_step, on_epoch)
    except StoppedError:
        run.save(checkpoint)
        console.error(
            f"stopped after step {run.step_number} of {run.total_steps}. The checkpoint {checkpoint} is complete; "
            f"go on with: squall train --resume {checkpoint} --out {checkpoint.parent}"
        )
        return False
    return True


def compiled() -> list[tuple[str, str]]:
    """What was compiled in this process, as rows of a table."""
    built: dict[str, Any] = build.statistics()
    disk, counters = built["disk"], trace.counters
    return [
        ("plans", str(counters.get("plans compiled", 0))),
        ("kernels compiled now", str(built["compiled"])),
        ("kernel packs from the disk cache", str(built["packs from disk"])),
        ("disk cache", f"{disk['hits']} hits, {disk['misses']} misses in {disk['folder']}"),
        ("time in LLVM", f"{built['llvm ms']:.0f} ms"),
        ("time to compile and load in all", f"{built['compile ms'] + built['load ms']:.0f} ms"),
    ]
