"""`squall predict`: classify digits with a network that was trained before."""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

import squall as sq
from squall import data
from squall.base.errors import ShapeError
from squall.cli.console import Console, drawing
from squall.cli.training import build, digits_checkpoint
from squall.nn import Module
from squall.runtime.native import set_num_threads

PIXEL_MAXIMUM = 16.0


def load_model(path: str) -> Module:
    """The network of a checkpoint, ready to predict."""
    saved = digits_checkpoint(path)
    model = build(saved.extra["settings"]["model"])
    model.load_state_dict(saved.model or {})
    return model.eval()


def load_images(path: str) -> Any:
    """Scans from a .npy file as float32 (n, 1, 8, 8) with values 0 to 1.

    Raises:
        ShapeError, ValueError: for another shape, or values outside 0 to 16.
    """
    import numpy

    try:
        array = numpy.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a .npy file of numbers: {error}") from None
    if getattr(array, "dtype", None) is None or array.dtype.kind not in "buif":
        raise ValueError(f"{path} does not hold one array of numbers")
    if (array.shape[-2:] != (8, 8) and array.shape[-1:] != (64,)) or array.ndim > 4:
        raise ShapeError(f"{path} has shape {array.shape}; expected (8, 8), (n, 8, 8) or (n, 64)")
    if array.size and not (array.min() >= 0 and array.max() <= PIXEL_MAXIMUM):
        raise ValueError(f"{path} has values from {array.min()} to {array.max()}; expected 0 to 16")
    return sq.tensor((array.reshape(-1, 1, 8, 8) / PIXEL_MAXIMUM).astype(numpy.float32))


def outcome(model: Module, images: Any) -> tuple[list[int], Any, str]:
    """The predicted digits, their probabilities as an array, and a checksum of the exact result."""
    with sq.no_grad():
        logits = model(images)
        probabilities = sq.softmax(logits, 1).amax(1)
    checksum = hashlib.sha256(logits.numpy().tobytes()).hexdigest()
    return logits.argmax(1).tolist(), probabilities.numpy(), checksum


def show(
    console: Console,
    images: Any,
    predictions: list[int],
    probabilities: Any,
    labels: list[int] | None,
    count: int,
) -> None:
    """The first digits in the terminal, with what was predicted."""
    captions = []
    for i in range(min(count, len(predictions))):
        note = "" if labels is None or labels[i] == predictions[i] else f" (is {labels[i]})"
        captions.append(f"{predictions[i]}, {100 * probabilities[i]:.0f} %{note}")
    for line in drawing(images[:count, 0].numpy(), captions):
        console.print(line)


def run(options: argparse.Namespace, console: Console) -> int:
    """Predict and show."""
    if options.threads:
        set_num_threads(options.threads)
    model = load_model(options.checkpoint)
    labels: list[int] | None = None
    if options.input:
        images = load_images(options.input)
    else:
        images, truth = data.digits().test.tensors
        labels = truth.tolist()
    predictions, probabilities, checksum = outcome(model, images)
    right = (
        None
        if labels is None
        else 100.0 * sum(a == b for a, b in zip(predictions, labels, strict=True)) / len(labels)
    )
    if options.json:
        console.record(predictions=predictions, checksum=checksum, accuracy=right)
        return 0
    show(console, images, predictions, probabilities, labels, options.count)
    if right is not None:
        console.print(f"test accuracy: {right:.1f} %")
    return 0
