"""One training run on the digits: what the demo and train commands share. It can be stopped, saved and
taken up again."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import squall as sq
import squall.nn.functional as F
from squall import data, io, nn, optim
from squall.base.errors import CheckpointError
from squall.cli.arguments import BATCH, EPOCHS, RATE
from squall.models import MLP, DigitsCNN


@dataclass
class Settings:
    """What decides the result of a run."""

    model: str = "cnn"
    epochs: int = EPOCHS
    lr: float = RATE
    batch_size: int = BATCH
    seed: int = 0


@dataclass
class History:
    """What happened: loss and milliseconds of each step, test accuracy in percent after each epoch."""

    losses: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


class StoppedError(Exception):
    """Ctrl-C was pressed; the run stands between two steps."""


def jittered(images: Any) -> Any:
    """Each scan of (batch, 1, 8, 8) moved by up to one pixel in both directions, at random; zeros come in."""
    count, size = images.shape[0], images.shape[-1]
    moves = sq.randint(0, 3, (2, count, 1))
    across = sq.arange(size)
    rows, columns = moves[0] + across, moves[1] + across
    scans = F.pad(images.squeeze(1), (1, 1, 1, 1))
    which = sq.arange(count).view(count, 1, 1)
    return scans[which, rows.unsqueeze(2), columns.unsqueeze(1)].unsqueeze(1)


def build(name: str) -> nn.Module:
    """The network of a name."""
    return DigitsCNN() if name == "cnn" else MLP(64, (256, 256), 10, dropout=0.2)


def train_step(model: nn.Module, optimizer: optim.Optimizer, images: Any, labels: Any, jitter: bool) -> Any:
    """Forward, backward and update; compiled as one program. Gives the loss."""
    images = jittered(images) if jitter else images
    loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()  # at the end: no gradient outlives the step, so none is written to memory
    return loss


class Run:
    """A network, its optimizer, schedule and data.

    Args:
        settings: what decides the result.

    Attributes:
        step_number: steps done. history: what happened so far.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.history, self.step_number = settings, History(), 0
        sq.manual_seed(settings.seed)
        self.parts = data.digits()
        self.loader = data.DataLoader(
            self.parts.train, min(settings.batch_size, len(self.parts.train)), shuffle=True, drop_last=True
        )
        self.model = build(settings.model)
        self.optimizer = optim.AdamW(self.model.parameters(), settings.lr, weight_decay=0.1)
        self.schedule = optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.total_steps)
        self._step = sq.compile(train_step)
        self._jitter = settings.model == "cnn"  # a perceptron cannot tell a moved digit from another one
        self._stop = False

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * len(self.loader)

    def train(self, on_step: Callable[[Run], None], on_epoch: Callable[[Run], None]) -> None:
        """Do what is left of the run.

        Raises:
            StoppedError: after Ctrl-C, between two steps.
        """
        before = self._catch_interrupts()
        try:
            while len(self.history.accuracies) < self.settings.epochs:
                self._epoch(on_step)
                self.history.accuracies.append(100.0 * self.evaluate())
                on_epoch(self)
        finally:
            if before is not None:
                signal.signal(signal.SIGINT, before)

    def _epoch(self, on_step: Callable[[Run], None]) -> None:
        self.model.train()
        if self.step_number == (len(self.history.accuracies) + 1) * len(self.loader):
            return  # stopped after the last step of an epoch, before its evaluation
        for images, labels in self.loader:
            started = time.perf_counter()
            loss = self._step(self.model, self.optimizer, images, labels, self._jitter).item()
            self.schedule.step()
            self.history.milliseconds.append(1e3 * (time.perf_counter() - started))
            self.history.losses.append(loss)
            self.step_number += 1
            on_step(self)
            if self._stop:
                raise StoppedError

    def _catch_interrupts(self) -> Any:
        """Let Ctrl-C wait for the end of a step; a second one stops at once. Gives the handler there was."""
        if threading.current_thread() is not threading.main_thread():
            return None

        def stop(number: int, frame: Any) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        return signal.signal(signal.SIGINT, stop)

    def evaluate(self) -> float:
        """The share of the test part that is classified rightly."""
        images, labels = self.parts.test.tensors
        return (self.logits(images).argmax(1) == labels).to(sq.float32).mean().item()

    def logits(self, images: Any) -> Any:
        """What the network says about images, in evaluation mode."""
        self.model.eval()
        with sq.no_grad():
            return self.model(images)

    def save(self, path: Path) -> None:
        """Write a checkpoint from which `resume` goes on to the same bits."""
        io.save_checkpoint(
            path,
            model=self.model,
            optimizer=self.optimizer,
            scheduler=self.schedule,
            loader=self.loader,
            generator=sq.default_generator,
            step=self.step_number,
            extra={"task": "digits", "settings": asdict(self.settings), "history": asdict(self.history)},
        )

    @classmethod
    def resume(cls, path: str | Path, epochs: int | None = None) -> Run:
        """The run a checkpoint holds, where it stood.

        Args:
            epochs: train for so many in all instead of what the checkpoint says.
        """
        saved = digits_checkpoint(path)
        settings = Settings(**saved.extra["settings"])
        if epochs is not None:
            settings.epochs = epochs
        run = cls(settings)
        io.load_checkpoint(
            path,
            model=run.model,
            optimizer=run.optimizer,
            scheduler=run.schedule,
            loader=run.loader,
            generator=sq.default_generator,
        )
        run.step_number, run.history = saved.step, History(**saved.extra["history"])
        run.schedule.T_max = run.total_steps
        return run


def digits_checkpoint(path: str | Path) -> io.Checkpoint:
    """A checkpoint of this command line; CheckpointError for one of another program."""
    saved = io.read_checkpoint(path)
    if saved.extra.get("task") != "digits":
        raise CheckpointError(
            f"{path} is a checkpoint, but not one that `squall train` or `squall demo` wrote"
        )
    return saved


def make_folder(path: str) -> Path:
    """The folder, made if missing; CheckpointError says why it cannot be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make the folder {path}: {error.strerror}") from error
    return folder
