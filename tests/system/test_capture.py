"""Awkward programs, compiled: right to the bit, or a named error; none stale (DESIGN S12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import squall as sq
from squall.base.errors import TraceError
from tests.system import awkward


def seen(value: Any) -> Any:
    """What can be compared of a value: for a Tensor its bits, type and whether it wants gradients."""
    if isinstance(value, sq.Tensor):
        array = value.detach().clone()
        return "tensor", tuple(value.shape), str(value.dtype), value.requires_grad, np.asarray(array.tolist()).tobytes()
    if isinstance(value, np.ndarray):
        return "array", value.shape, value.tobytes()
    if isinstance(value, dict):
        return {k: seen(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [seen(v) for v in value]
    if hasattr(value, "__dataclass_fields__"):
        return type(value).__name__, seen(vars(value))
    return type(value).__name__, repr(value)


class Recorder:
    """`sq.compile` that remembers what it compiled."""

    def __init__(self) -> None:
        self.made: list = []

    def __call__(self, function: Callable) -> Any:
        self.made.append(sq.compile(function))
        return self.made[-1]


@pytest.mark.parametrize("name", awkward.PROGRAMS)
def test_compiled_is_uncompiled(name: str) -> None:
    run, captures = awkward.PROGRAMS[name]
    expected = [seen(v) for v in run(awkward.identity)]
    recorder = Recorder()
    got = [seen(v) for v in run(recorder)]
    for number, (a, b) in enumerate(zip(expected, got, strict=True)):
        assert a == b, f"value {number} differs"
    assert max(c.captures for c in recorder.made) <= captures, [c.captures for c in recorder.made]


@pytest.mark.parametrize("name", awkward.REFUSED)
def test_refused_by_name(name: str) -> None:
    run, words = awkward.REFUSED[name]
    with pytest.raises(TraceError, match=f"(?s){words}") as caught:
        run(sq.compile)
    assert "awkward.py:" in str(caught.value)
    assert (sq.ones(2) + 1).tolist() == [2.0, 2.0]  # recording goes on as before
