"""Bound plans follow the number of threads: how a contraction is split into units was chosen for those there were.

A binding (`bind.py`) whose plan contracts registers here. When the number of threads changes (`runtime.native`), or
timings say that another way is faster (`compiler.tuned`), each gets other images of the same steps over the same
memory, and whoever holds addresses of images is told. The old images stay: a run in flight may be among them, and
takes no harm where it goes on in a new one, for images of one place compute the same.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any

from squall.compiler.contract import split_key
from squall.ir.plan import ChooseStep, ContractStep, LoopStep, Plan
from squall.runtime import fork, native


class Weak:
    """Objects that are not kept alive. The references have no callbacks: in Python they would swallow a Ctrl-C."""

    __slots__ = ("_most", "_references")

    def __init__(self) -> None:
        self._references: list[weakref.ref[Any]] = []
        self._most = 8

    def add(self, held: Any) -> None:
        """Refer to one more."""
        if len(self._references) >= self._most:
            self._references = [r for r in self._references if r() is not None]
            self._most = max(8, 2 * len(self._references))
        self._references.append(weakref.ref(held))

    def __iter__(self) -> Iterator[Any]:
        return iter([held for held in (r() for r in self._references) if held is not None])

    def clear(self) -> None:
        """Forget them all."""
        self._references = []


_bindings = Weak()
_lock = threading.Lock()


def contractions(plan: Plan) -> Iterator[ContractStep]:
    """The contractions of a plan and of those that it runs."""
    for step in plan.steps:
        if isinstance(step, ContractStep):
            yield step
        elif isinstance(step, (ChooseStep, LoopStep)):
            for inner in step.plans if isinstance(step, ChooseStep) else (step.plan,):
                yield from contractions(inner)


class Split:
    """The images of a binding by what they were split for, and who must be told of others.

    Args:
        binding: has `segments`, and `make_segments` makes them for the threads there are now.
    """

    __slots__ = ("binding", "followers", "made")

    def __init__(self, binding: Any):
        self.binding = weakref.ref(binding)
        self.made = {split_key(): binding.segments}
        self.followers = Weak()

    def renew(self) -> None:
        """Have the images for the threads there are now."""
        binding, key = self.binding(), split_key()
        if binding is None:
            return
        found = self.made.get(key)
        if found is None:
            found = self.made[key] = binding.make_segments()
        binding.segments = found
        for follower in self.followers:
            follower.renew(found)


def watch(binding: Any) -> None:
    """Let a binding follow from now on, if that could make a difference."""
    if binding.backend == "cpu" and any(contractions(binding.plan)):
        binding.split = Split(binding)
        with _lock:
            _bindings.add(binding)


def renew_all() -> None:
    """Bring all bindings up to date."""
    with _lock:
        bindings = list(_bindings)
    for binding in bindings:
        binding.split.renew()


native.on_threads.append(renew_all)


@fork.in_child
def _leave_them() -> None:
    """A child, often a worker with one thread, keeps its parent's plans as they are: it seldom runs them."""
    global _lock
    _lock = threading.Lock()
    _bindings.clear()
