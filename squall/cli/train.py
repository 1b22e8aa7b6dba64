"""`squall train`: train as a file says, or a network on the digits, from the start or from a checkpoint."""

from __future__ import annotations

import argparse

from squall.cli import recipe_run, report
from squall.cli.arguments import FOLDER
from squall.cli.config import ConfigError
from squall.cli.console import Console
from squall.cli.training import Run, Settings, make_folder
from squall.runtime.native import set_num_threads


def settings(options: argparse.Namespace) -> Settings:
    """The settings that were given, defaults for the rest."""
    names = ("model", "epochs", "lr", "batch_size", "seed")
    given = {name: getattr(options, name, None) for name in names}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def run(options: argparse.Namespace, console: Console) -> int:
    """Train; the checkpoint after each epoch is `checkpoint.sqc` in the folder."""
    if options.config:
        for name in ("model", "lr", "batch_size"):
            if getattr(options, name) is not None:
                raise ConfigError(f"--{name.replace('_', '-')} is what {options.config} says; change it there")
        return recipe_run.run(options, console)
    if options.threads:
        set_num_threads(options.threads)
    folder = make_folder(options.out or FOLDER)
    if options.resume == "latest":
        options.resume = str(folder / "checkpoint.sqc")
    if options.resume:
        given = [name for name in ("model", "lr", "batch_size", "seed") if getattr(options, name) is not None]
        if given:
            raise ValueError(
                f"--resume takes its settings from the checkpoint; leave out --{given[0].replace('_', '-')}"
            )
        training = Run.resume(options.resume, options.epochs)
        console.print(f"going on after step {training.step_number}")
    else:
        training = Run(settings(options))
    checkpoint = folder / "checkpoint.sqc"
    if not report.train(training, console, checkpoint):
        return 130
    training.save(checkpoint)
    accuracy = 100.0 * training.evaluate()
    if options.json:
        console.record(
            event="done", accuracy=accuracy, steps=training.step_number, checkpoint=str(checkpoint)
        )
    console.print(f"checkpoint: {checkpoint}")
    console.print(f"test accuracy: {accuracy:.1f} %")
    return 0
