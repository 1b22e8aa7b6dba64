"""Steps that run plans: loops and choices as one native kernel call, or from Python where a body holds library calls.

A nested plan is bound like any other (`bind.py`). The native loop gets the address of its image and, for each word
of its values block, how the word changes from step to step; so nothing in Python runs between steps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from squall.base.dim import evaluate
from squall.ir.plan import ChooseStep, HostStep, LoopStep, Moving, Word
from squall.runtime.native import native
from squall.runtime.native_nested import CHAIN, NO_LIMIT, STEP, TURNS
from squall.runtime.plan_image import Bind, PlanImage, Step


class Nested:
    """A loop or choice bound to sizes.

    Args:
        outer: the binding of the plan that has the step. inner: the bindings of the plans it runs.

    Attributes:
        native: a native step; None when the plans hold library calls, or for the python backend: then `run` does it.
    """

    def __init__(self, outer: Any, step: LoopStep | ChooseStep, inner: Sequence[Any]):
        self.outer, self.inner = outer, inner
        self.step: Any = step
        self.images: list[Any] = [_image(b) for b in inner]
        whole = outer.backend != "python" and all(image is not None for image in self.images)
        self.native: Step | None = None
        if whole:
            self.native = self._loop() if isinstance(step, LoopStep) else self._choice()

    def word(self, word: Word) -> Any:
        """A word as a bind of the outer plan's values."""
        return self.outer.word(word)

    def size(self, size: Any) -> int:
        """A size as a number."""
        return evaluate(size, self.outer.sizes)

    @property
    def words(self) -> list[Moving]:
        """How each word of the inner plan's values changes: inputs, outputs, arena, status, scalars."""
        step = self.step
        moving = step.words if isinstance(step, LoopStep) else (Moving("step", w) for w in step.words)
        return [
            *moving,
            Moving("step", step.arena),
            Moving("step", Word("status", 0)),
            *(Moving("step", w) for w in step.scalars),
        ]

    def _loop(self) -> Step:
        step = self.step
        records: list[Any] = []
        words = self.words
        for kind, word, move in words:
            if kind == "turns":
                records += (TURNS, self.word(word), self.word(move))
            else:
                records += (CHAIN if kind == "chain" else STEP, self.word(word), self.size(move))
        for final, first, after, nbytes in step.carried:
            records += (self.word(final), self.word(first), after, self.size(nbytes))
        count = NO_LIMIT if step.count is None else self.size(step.count)
        head = (
            self.images[0].address,
            count,
            len(words),
            len(step.carried),
            step.going,
            Bind(self.outer.status_at),
        )
        return Step(native().loop, (*head, *records), stop_on_status=True, name=step.label)

    def _choice(self) -> Step:
        step = self.step
        words = [self.word(m.word) for m in self.words]
        head = (self.word(step.predicate), *(image.address for image in self.images), Bind(self.outer.status_at))
        return Step(native().choose, (*head, *words), stop_on_status=True, name=step.label)

    # ------------------------------------------------------------ from Python
    def run(self, values: list) -> None:
        """The same, step by step, for the outer plan's values."""

        def now(word: Word) -> Any:
            bound = self.word(word)
            if isinstance(bound, Bind):
                return bound.constant if bound.value < 0 else values[bound.value] + bound.constant
            return bound

        if isinstance(self.step, ChooseStep):
            chosen = 0 if ctypes.c_uint8.from_address(now(self.step.predicate)).value else 1
            self.inner[chosen].run_words([now(m.word) for m in self.words])
            return
        self._repeat(now)

    def _repeat(self, now: Any) -> None:
        step, words = (
            self.step,
            [
                (kind, now(word), now(move) if kind == "turns" else self.size(move))
                for kind, word, move in self.words
            ],
        )
        carried = [
            (now(final), now(first), after, self.size(nbytes)) for final, first, after, nbytes in step.carried
        ]
        for final, first, after, nbytes in carried:
            if after < 0:
                ctypes.memmove(final, first, nbytes)
        block: list[Any] = [0] * len(words)
        count, done = None if step.count is None else self.size(step.count), 0
        while count is None or done < count:
            if step.going >= 0:
                kind, first, move = words[step.going]
                if not ctypes.c_uint8.from_address(block[move] if done and kind == "chain" else first).value:
                    break
            for w, (kind, first, move) in enumerate(words):
                if kind == "chain":
                    block[w] = block[move] if done else first
                elif kind == "turns":
                    block[w] = move if done % 2 else first
                else:
                    block[w] = first + move * done if move else first
            self.inner[0].run_words(block)
            done += 1
        for final, first, after, nbytes in carried:
            if after >= 0:
                ctypes.memmove(final, block[after] if done else first, nbytes)


def _image(binding: Any) -> PlanImage | None:
    """The one image that is the whole of a bound plan; None when there are library calls between."""
    segments = binding.segments
    if not segments:
        return binding.image([])
    whole = (
        len(segments) == 1
        and not isinstance(segments[0], (HostStep, Nested))
        and isinstance(segments[0], PlanImage)
    )
    return segments[0] if whole else None
