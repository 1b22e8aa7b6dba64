"""Plan segments executed by the python backend: the same steps and words, no machine code."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from squall.runtime.plan_image import Bind, Step, ValueBlock, bits_of


class Interpreted:
    """Stands where `runtime.plan_image.PlanImage` does; a step's kernel is an executor."""

    def __init__(self, steps: Sequence[Step], layout: str):
        self.steps, self.layout = steps, layout

    def take_block(self) -> Any:
        """A holder for the values."""
        return _Values(self.layout)

    def give_block(self, block: Any) -> None:
        """Nothing is reused."""

    def call(self, block: Any) -> tuple:
        """The run as (callable, arguments)."""
        return self.run, block

    def run(self, block: Any) -> None:
        """All steps, in order."""
        for step in self.steps:
            words = [_word(a, block.words) for a in step.args]
            args = ValueBlock(len(words))
            args.fill(*words)
            scratch = ctypes.create_string_buffer(step.scratch + 64)
            at = (ctypes.addressof(scratch) + 63) & -64
            units = _word(step.units, block.words)
            if units > 0:
                step.kernel(args.address, 0, units, at)  # type: ignore[operator]


class _Values:
    """The values of one run; `layout` says which words are doubles."""

    def __init__(self, layout: str):
        self.layout = layout
        self.words: list[int] = []

    def fill(self, *values: Any) -> None:
        """Keep all words, doubles as bits."""
        self.words = [bits_of(float(v)) if code == "d" else v for v, code in zip(values, self.layout, strict=True)]


def _word(word: Bind | int, values: Sequence[int]) -> int:
    if isinstance(word, Bind):
        return word.constant if word.value < 0 else values[word.value] + word.constant
    return word
