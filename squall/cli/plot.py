"""The curves of a run as an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from squall import io


def save_plot(history: Any, steps_per_epoch: int, path: Path) -> bool:
    """Draw loss and test accuracy to a PNG file; False when matplotlib is not installed."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(range(1, len(history.losses) + 1), history.losses, linewidth=1)
    left.set(title="training loss", xlabel="step", yscale="log")
    epochs = range(1, len(history.accuracies) + 1)
    right.plot(epochs, history.accuracies, marker="o")
    right.set(title="test accuracy", xlabel="epoch", ylabel="percent")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    io.atomic_write(path, lambda file: figure.savefig(file, format="png"))
    return True
