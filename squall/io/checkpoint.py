"""Training checkpoints: everything a run needs to go on to the same bits, in one file that is whole or absent.

Parts are anything with `state_dict()` and `load_state_dict()` (model, optimizer, scheduler, loader) and
generators with `get_state()` and `set_state()`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import squall as sq
from squall.base.errors import CheckpointError
from squall.io import container

KIND = "training checkpoint"
PARTS = ("model", "optimizer", "scheduler", "loader")


@dataclass
class Checkpoint:
    """What a checkpoint holds: the state of each part (None: not saved), the step, and extra data.

    Attributes:
        model, optimizer, scheduler, loader: state dictionaries. generator: random state. step: as saved.
        extra: nested data with Tensors. squall: the version that wrote it.
    """

    model: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    scheduler: dict[str, Any] | None = None
    loader: dict[str, Any] | None = None
    generator: Any = None
    step: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    squall: str = ""


def save_checkpoint(
    path: Any,
    *,
    model: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    generator: Any = None,
    loader: Any = None,
    step: int = 0,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write a training checkpoint atomically: the name holds the old file or the whole new one.

    Args:
        path: where; the folder must exist. model, optimizer, scheduler, loader: whose state to keep.
            generator: whose random state to keep. step: a number to find again. extra: nested data: numbers,
            strings, Tensors, containers.

    Returns:
        The path.

    Raises:
        CheckpointError: when it cannot be written (full disk, no permission). TypeError: for extra data that
        cannot be stored.

    Example:
        >>> import os, tempfile
        >>> import squall as sq
        >>> model = sq.nn.Linear(2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_checkpoint(os.path.join(folder, "run.ckpt"), model=model, step=3)
        ...     load_checkpoint(path, model=model).step
        3
    """
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}
    tree: dict[str, Any] = {name: None if part is None else part.state_dict() for name, part in parts.items()}
    tree["generator"] = None if generator is None else generator.get_state()
    tree["step"], tree["extra"], tree["squall"] = int(step), extra or {}, sq.__version__
    return container.write(path, tree, KIND)


def read_checkpoint(path: Any) -> Checkpoint:
    """What a checkpoint holds, without putting it anywhere.

    Raises:
        CheckpointError: naming what is wrong with the file.
    """
    tree = container.read(path, KIND)
    return Checkpoint(**{name: tree[name] for name in Checkpoint.__dataclass_fields__ if name in tree})


def load_checkpoint(
    path: Any,
    *,
    model: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    generator: Any = None,
    loader: Any = None,
    strict: bool = True,
) -> Checkpoint:
    """Read a checkpoint and put its state into the given parts.

    Args:
        path: the file. model, optimizer, scheduler, loader, generator: what takes its state. strict: whether
            the model's names must match exactly.

    Returns:
        What the file holds, with step and extra.

    Raises:
        CheckpointError: when the file is missing, damaged, foreign, or lacks the state of a part that was
            given; then nothing was changed. RuntimeError: when the model does not fit. ValueError: when the
            optimizer does not.
    """
    checkpoint = read_checkpoint(path)
    parts = {
        "model": model,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "loader": loader,
        "generator": generator,
    }
    for name, part in parts.items():
        if part is not None and getattr(checkpoint, name) is None:
            raise CheckpointError(f"{path} holds no state for the {name}: it was saved without one")
    if model is not None:
        model.load_state_dict(checkpoint.model, strict=strict)
    for name in PARTS[1:]:
        if parts[name] is not None:
            parts[name].load_state_dict(getattr(checkpoint, name))
    if generator is not None:
        generator.set_state(checkpoint.generator)
    return checkpoint
