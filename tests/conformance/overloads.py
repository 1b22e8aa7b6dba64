"""Calls that are made in PyTorch and in squall: what a signature alone does not show.

Several of PyTorch's functions are one function in squall, and some of PyTorch's stubs name arguments that its functions
refuse. `expect/calls.txt` has a call for each such argument, `function: argument => expression`; both libraries must
give the same, or, where the line says `refused:`, PyTorch must refuse the call, and then squall does.
"""

import io
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy

CALLS = Path(__file__).with_name("expect") / "calls.txt"


class Call(NamedTuple):
    """An expression, and whether PyTorch refuses it."""

    expression: str
    refused: bool


@cache
def calls() -> dict[str, Call]:
    """The calls by `function: argument`."""
    found = {}
    for line in CALLS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            entry, _, expression = line.partition(" => ")
            refused = expression.startswith("refused: ")
            found[entry] = Call(expression.removeprefix("refused: "), refused)
    return found


def names(library: Any) -> dict[str, Any]:
    """What expressions may speak of: the library as `t`, and values of it."""
    random = numpy.random.default_rng(0)

    def values(*shape: int) -> Any:
        return library.tensor(random.standard_normal(shape).astype("float32").tolist())

    def file(_: Any, value: Any) -> Any:
        stream = io.BytesIO()
        library.save(value, stream)
        stream.seek(0)
        return stream

    x, y, base = values(3, 4), values(3, 4), values(4, 4)
    return {
        "t": library, "io": io, "numpy": numpy, "file": file, "x": x, "y": y, "e": library.empty(3, 4),
        "s": base @ base.T + 4 * library.eye(4), "u": values(4, 2), "u3": values(3), "v": values(4), "n": values(4, 5),
        "z": values(3, 5), "b": values(2, 3, 4), "c": values(2, 4, 5), "d": values(2, 3, 5), "p": values(2, 2, 3, 4),
        "g": values(2, 6, 6), "q": values(4, 3), "k": library.tensor([[0, 1], [2, 3], [1, 0]]),
        "i": library.tensor([[1, 2, 0, 3], [4, 1, 1, 2], [0, 5, 2, 1]]), "w": x.clone().requires_grad_(),
    }  # fmt: skip


def outcome(library: Any, expression: str) -> Any:
    """What the expression gives, in plain data; the error where it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _plain(eval(expression, names(library)))
        except Exception as error:
            return error


def _plain(value: Any) -> Any:
    if hasattr(value, "detach"):
        return [str(value.dtype).rpartition(".")[2], list(value.shape), numpy.asarray(value.detach().tolist())]
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, (int, float, str)):
        return value
    text = str(value).rpartition(".")[2]
    return text if text.isidentifier() else type(value).__name__


def same(ours: Any, theirs: Any) -> bool:
    """Whether two outcomes agree."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, numpy.ndarray) and isinstance(theirs, numpy.ndarray):
        return ours.shape == theirs.shape and numpy.allclose(ours, theirs, 1e-4, 1e-5, equal_nan=True)
    return type(ours) is type(theirs) and ours == theirs
