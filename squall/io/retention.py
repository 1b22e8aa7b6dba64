"""A folder of checkpoints of one run: the last few and the best ones are kept, the others removed.

A small file beside them says which there are, with their metrics; when it is lost, it is made again from the
checkpoints themselves.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

from squall.base.errors import CheckpointError
from squall.io.atomic import atomic_write, reason
from squall.io.checkpoint import Checkpoint, load_checkpoint, read_checkpoint, save_checkpoint

INDEX = "checkpoints.json"
_NAME = re.compile(r"step-(\d+)\.sqc")


class CheckpointFolder:
    """Writes checkpoints to a folder and keeps the last and the best of them.

    Args:
        folder: made when it is missing. keep_last: how many of the newest stay. keep_best: how many of the best by
            `metric` stay besides. metric: the name of a number given with each checkpoint. mode: "min" when smaller
            is better, else "max".

    Raises:
        ValueError: for counts below what makes sense, or another mode. CheckpointError: when the folder cannot be
            made.

    Example:
        >>> import tempfile
        >>> import squall as sq
        >>> model = sq.nn.Linear(2, 1)
        >>> with tempfile.TemporaryDirectory() as place:
        ...     folder = sq.io.CheckpointFolder(place, keep_last=1, keep_best=1, metric="loss")
        ...     for step, loss in enumerate([0.9, 0.1, 0.5]):
        ...         _ = folder.save(step, model=model, metrics={"loss": loss})
        ...     folder.steps(), folder.best().name
        ([1, 2], 'step-00000001.sqc')
    """

    def __init__(self, folder: Any, keep_last: int = 3, keep_best: int = 0, metric: str | None = None,
                 mode: str = "min") -> None:
        if keep_last < 1 or keep_best < 0:
            raise ValueError(f"CheckpointFolder: keep_last={keep_last} and keep_best={keep_best}; at least 1 and 0")
        if mode not in ("min", "max"):
            raise ValueError(f"CheckpointFolder: mode={mode!r}; 'min' or 'max'")
        if keep_best and metric is None:
            raise ValueError("CheckpointFolder: keep_best needs the name of a metric")
        self.folder, self.keep_last, self.keep_best = Path(folder), keep_last, keep_best
        self.metric, self.mode = metric, mode
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot make the folder {folder}: {reason(error)}") from error
        self._metrics = self._read_index()

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step is or would be."""
        return self.folder / f"step-{step:08d}.sqc"

    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, in order."""
        matches = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*.sqc"))
        return sorted(int(match.group(1)) for match in matches if match)

    def _read_index(self) -> dict[int, dict[str, float]]:
        try:
            index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
            known = {int(step): dict(metrics) for step, metrics in index["checkpoints"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            known = {}
        return {step: known[step] if step in known else self._metrics_of(step) for step in self.steps()}

    def _metrics_of(self, step: int) -> dict[str, float]:
        """The metrics that a checkpoint itself holds; none when it is damaged."""
        try:
            return dict(read_checkpoint(self.path(step)).extra.get("metrics", {}))
        except CheckpointError:
            return {}

    def save(self, step: int, *, metrics: dict[str, float] | None = None, extra: dict[str, Any] | None = None,
             **parts: Any) -> Path:
        """Write the checkpoint of a step, then remove those that need not stay.

        Args:
            step: its number. metrics: numbers to find the best by. extra: as in `save_checkpoint`. parts: model,
                optimizer, scheduler, loader, generator.

        Returns:
            The path.

        Raises:
            CheckpointError: when it cannot be written; then nothing is removed. ValueError: without the metric that
            decides which are best.
        """
        numbers = {name: float(value) for name, value in (metrics or {}).items()}
        if self.keep_best and self.metric not in numbers:
            raise ValueError(f"CheckpointFolder.save: metrics must hold {self.metric!r}, got {sorted(numbers)}")
        whole = {**(extra or {}), "metrics": numbers}
        path = save_checkpoint(self.path(step), step=step, extra=whole, **parts)
        self._metrics[step] = numbers
        self._prune(step)
        index = {"metric": self.metric, "mode": self.mode, "checkpoints": {str(s): m for s, m in self._metrics.items()}}
        atomic_write(self.folder / INDEX, json.dumps(index, indent=1).encode())
        return path

    def _prune(self, newest: int) -> None:
        there = self.steps()
        keep = {newest, *there[-self.keep_last :], *self._ranked(there)[: self.keep_best]}
        for step in there:
            if step not in keep:
                self.path(step).unlink(missing_ok=True)
        self._metrics = {step: self._metrics.get(step, {}) for step in self.steps()}

    def _ranked(self, steps: list[int]) -> list[int]:
        """Steps from the best to the worst, those without the metric or with NaN left out; the newer one of equals
        first."""
        sign = 1.0 if self.mode == "min" else -1.0
        values = {step: self._metrics.get(step, {}).get(self.metric or "", math.nan) for step in steps}
        return sorted((s for s in steps if not math.isnan(values[s])), key=lambda s: (sign * values[s], -s))

    def latest(self) -> Path | None:
        """The newest checkpoint; None when there is none."""
        there = self.steps()
        return self.path(there[-1]) if there else None

    def best(self) -> Path | None:
        """The best checkpoint by the metric; None when there is none."""
        ranked = self._ranked(self.steps())
        return self.path(ranked[0]) if ranked else None

    def resume(self, **parts: Any) -> Checkpoint | None:
        """Put the newest checkpoint that is whole into the parts; damaged ones are skipped with a warning.

        Args:
            parts: as in `load_checkpoint`.

        Returns:
            What it holds; None when there is no checkpoint at all.

        Raises:
            CheckpointError: when all of them are damaged.
        """
        there = self.steps()[::-1]
        for step in there:
            try:
                read_checkpoint(self.path(step))
            except CheckpointError as error:
                warnings.warn(f"a checkpoint is skipped: {error}", stacklevel=2)
                continue
            return load_checkpoint(self.path(step), **parts)
        if there:
            raise CheckpointError(f"none of the {len(there)} checkpoints in {self.folder} can be read")
        return None
