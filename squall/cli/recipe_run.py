"""`squall train FILE.toml`: the run of a training file, with checkpoints from which it goes on to the same bits."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from pathlib import Path
from typing import Any

import squall as sq
import squall.nn.functional as F
from squall import io, nn
from squall.base.errors import CheckpointError
from squall.cli import recipe
from squall.cli.console import Console
from squall.data import DataLoader
from squall.runtime.native import set_num_threads

TASK = "recipe"
EVALUATION_BATCH = 256


def loss_of(settings: dict[str, Any]) -> Any:
    """The loss function a training file names."""
    name, smoothing = settings["loss"], settings["label_smoothing"]
    if name == "cross_entropy":
        return lambda out, target: F.cross_entropy(out, target, label_smoothing=smoothing)
    plain = {"mse": F.mse_loss, "l1": F.l1_loss, "bce_with_logits": F.binary_cross_entropy_with_logits}[name]
    return lambda out, target: plain(out, target.to(out.dtype).reshape(out.shape))


def train_step(
    model: nn.Module, optimizer: Any, loss_function: Any, clip: float | None, inputs: Any, target: Any
) -> Any:
    """Forward, backward and update; compiled as one program. What it changes are its arguments, as `sq.compile` does
    not look into squall's own code for them."""
    loss = loss_function(model(inputs), target)
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()
    return loss


class RecipeRun:
    """A training file in progress.

    Args:
        made: what the file describes.

    Attributes:
        epoch, step: done so far. history: one dictionary for each epoch.
    """

    def __init__(self, made: recipe.Recipe) -> None:
        self.made, self.settings = made, made.settings
        self.loader = DataLoader(
            made.train, made.batch_size, shuffle=True, drop_last=True, num_workers=made.workers,
            persistent_workers=made.workers > 0,
        )  # fmt: skip
        self.epoch = self.step = 0
        self.history: list[dict[str, Any]] = []
        self.stopped = False
        self._loss = loss_of(made.settings)
        self._compiled = sq.compile(train_step) if made.settings["compile"] else train_step

    def train_batch(self, inputs: Any, target: Any) -> float:
        """One step; gives the loss."""
        made, clip = self.made, self.settings["clip_norm"]
        return self._compiled(made.model, made.optimizer, self._loss, clip, inputs, target).item()

    def run_epoch(self, advance: Any) -> None:
        """The rest of the running epoch, or the next one; `stopped` ends it between two steps."""
        self.made.model.train()
        total, first, began = 0.0, self.step, time.perf_counter()
        for inputs, target in self.loader:
            loss = self.train_batch(inputs, target)
            self.step += 1
            total += loss
            if self.made.schedule is not None and not self.made.per_epoch:
                self.made.schedule.step()
            advance(f"loss {loss:.4f}")
            if self.stopped and self.step < (self.epoch + 1) * len(self.loader):
                return
        if self.made.schedule is not None and self.made.per_epoch:
            self.made.schedule.step()
        self.epoch += 1
        found = {"epoch": self.epoch, "step": self.step, "loss": total / max(self.step - first, 1)}
        found.update(self.evaluate())
        self.history.append({**found, "seconds": time.perf_counter() - began})

    def evaluate(self) -> dict[str, float]:
        """Loss on the test part, and accuracy in percent where classes are predicted."""
        self.made.model.eval()
        right = count = 0
        total = 0.0
        with sq.no_grad():
            for inputs, target in DataLoader(self.made.test, EVALUATION_BATCH):
                out = self.made.model(inputs)
                total += self._loss(out, target).item() * len(target)
                count += len(target)
                if self.settings["loss"] == "cross_entropy":
                    right += (out.argmax(1) == target).sum().item()
        accuracy = {"accuracy": 100.0 * right / count} if self.settings["loss"] == "cross_entropy" else {}
        return {"test_loss": total / count, **accuracy}

    def parts(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        made = self.made
        parts = {"model": made.model, "optimizer": made.optimizer, "loader": self.loader}
        if made.schedule is not None:
            parts["scheduler"] = made.schedule
        return {**parts, "generator": sq.default_generator}

    def save(self, folder: io.CheckpointFolder) -> Path:
        """Write a checkpoint of where the run stands."""
        last = self.history[-1] if self.history else {}
        metrics = {"test_loss": last.get("test_loss", float("nan"))}
        extra = {"task": TASK, "values": self.made.values, "epoch": self.epoch, "history": self.history}
        return folder.save(self.step, metrics=metrics, extra=extra, **self.parts())

    def resume(self, path: Path) -> None:
        """Go on where a checkpoint stands.

        Raises:
            CheckpointError: when it belongs to another training file.
        """
        saved = io.read_checkpoint(path)
        if saved.extra.get("task") != TASK:
            raise CheckpointError(f"{path} is a checkpoint, but not one of a training file")
        for table in ("model", "data", "optimizer", "schedule"):
            if saved.extra["values"].get(table) != self.made.values.get(table):
                raise CheckpointError(f"{path} was written with another [{table}] than the training file has now")
        io.load_checkpoint(path, **self.parts())
        self.step, self.epoch, self.history = saved.step, saved.extra["epoch"], list(saved.extra["history"])


def line(found: dict[str, Any], epochs: int) -> str:
    """An epoch in a line."""
    accuracy = f"   accuracy {found['accuracy']:5.2f} %" if "accuracy" in found else ""
    return (
        f"epoch {found['epoch']:3d}/{epochs}   loss {found['loss']:.4f}   test loss {found['test_loss']:.4f}{accuracy}"
        f"   {found['seconds']:.1f} s"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Train as a file says."""
    if options.threads:
        set_num_threads(options.threads)
    made = recipe.read(options.config, epochs=options.epochs, seed=options.seed, out=options.out)
    training, settings = RecipeRun(made), made.settings
    best = {"metric": "test_loss", "keep_best": settings["keep_best"]} if settings["keep_best"] else {}
    folder = io.CheckpointFolder(settings["out"], settings["keep_last"], **best)
    if options.resume:
        path = _checkpoint(options.resume, folder)
        training.resume(path)
        console.print(f"going on after step {training.step} from {path}")
    elif folder.steps():
        raise CheckpointError(
            f"{settings['out']} holds checkpoints of a run; go on with --resume, or choose another folder with --out"
        )
    before = _stop_between_steps(training)
    try:
        finished = _train(training, folder, console)
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    return 0 if finished else 130


def _checkpoint(wanted: str, folder: io.CheckpointFolder) -> Path:
    if wanted != "latest":
        return Path(wanted)
    newest = folder.latest()
    if newest is None:
        raise CheckpointError(f"{folder.folder} holds no checkpoint to go on from")
    return newest


def _train(training: RecipeRun, folder: io.CheckpointFolder, console: Console) -> bool:
    """Epoch after epoch; False after Ctrl-C."""
    epochs, steps = training.settings["epochs"], len(training.loader)
    with console.progress(epochs * steps, training.step) as advance:
        while training.epoch < epochs:
            training.run_epoch(advance)
            path = training.save(folder)
            if training.stopped:
                break
            console.print(line(training.history[-1], epochs))
            if console.quiet:
                console.record(event="epoch", checkpoint=str(path), **training.history[-1])
    if training.stopped and training.epoch < epochs:
        console.error(f"stopped after step {training.step}; go on with --resume")
        return False
    newest = folder.latest()
    if console.quiet:
        last = training.history[-1] if training.history else {}
        console.record(event="done", checkpoint=str(newest), best=str(folder.best() or newest), **last)
    console.print(f"checkpoint: {newest}")
    return True


def _stop_between_steps(training: RecipeRun) -> Any:
    """Let Ctrl-C wait for the end of a step; a second one stops at once. Gives the handler there was."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def stop(number: int, frame: Any) -> None:
        if training.stopped:
            raise KeyboardInterrupt
        training.stopped = True

    return signal.signal(signal.SIGINT, stop)
