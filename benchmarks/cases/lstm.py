"""One train step of an LSTM that classifies sequences, with AdamW."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases.frameworks import Framework, contenders
from benchmarks.harness import Case, register

BATCH, TIME, FEATURES, HIDDEN, CLASSES = 32, 64, 256, 256, 10
BATCHES = 8


def make_model(own: Framework) -> Any:
    """An LSTM, and a linear layer on its last output."""

    class Classifier(own.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = own.nn.LSTM(FEATURES, HIDDEN, batch_first=True)
            self.head = own.nn.Linear(HIDDEN, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return Classifier()


def make_loss(own: Framework, model: Any) -> Callable:
    """Cross entropy of a batch."""
    return lambda x, y: own.functional.cross_entropy(model(x), y)


def make_batches() -> list:
    """Sequences of noise with random classes."""
    draw = np.random.RandomState(5)
    return [
        (draw.standard_normal((BATCH, TIME, FEATURES)).astype(np.float32), draw.randint(0, CLASSES, BATCH))
        for _ in range(BATCHES)
    ]


register(Case(
    "lstm-train", "lstm", f"LSTM {FEATURES}-{HIDDEN}, {TIME} steps, AdamW step, batch {BATCH}",
    contenders(make_model, make_loss, make_batches),
))  # fmt: skip
