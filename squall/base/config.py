"""Every knob, declared once: its type, default, documentation, and whether it changes generated code.

A knob is read from the environment (`SQUALL_<NAME>`) the first time it is asked for and can be set at run time with
`set_option` or, for a while, with `options`. Knobs that change code are part of every kernel key (`code_key`).
Stages read knobs once, where a compilation starts, never deep inside.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Knob(NamedTuple):
    """One option: its name, type, default, whether it changes generated code, and what it does."""

    name: str
    type: type
    default: Any
    changes_code: bool
    doc: str


KNOBS = {
    k.name: k
    for k in (
        Knob(
            "debug",
            int,
            0,
            False,
            "1 plans, 2 graphs, groups and reasons, 3 linear IR, 4 LLVM text and 5 assembly of kernels in no cache",
        ),
        Knob("cache_dir", str, "", False, "folder of compiled kernels; empty: the user's cache folder"),
        Knob("cache", bool, True, False, "keep compiled kernels on disk"),
        Knob("cache_megabytes", int, 512, False, "size the disk cache is trimmed to"),
        Knob("isa", str, "", True, "avx512, avx2, sse4 or neon; empty: what the machine has"),
        Knob("num_threads", int, 0, False, "threads of the pool; 0: the processors this process may use"),
        Knob(
            "backend",
            str,
            "cpu",
            True,
            "cpu (machine code), python (linear IR one instruction at a time) or numpy (the graph oracle)",
        ),
        Knob("eager", bool, False, False, "evaluate after every op"),
        Knob("pending_nodes", int, 4096, False, "recorded and unevaluated ops at which a flush is forced"),
        Knob(
            "pending_megabytes", int, 2048, False, "bytes of unevaluated results at which a flush is forced"
        ),
        Knob("verify", bool, False, False, "check the specification of each IR between stages"),
        Knob("fuse", bool, True, True, "fuse elementwise work and reductions into one kernel"),
        Knob("donate", bool, True, False, "overwrite buffers nobody can see any more"),
        Knob("pool_megabytes", int, 4096, False, "freed memory the allocator keeps for reuse"),
        Knob("hurry", bool, True, False, "small new kernels first run code made in a hurry, soon replaced by better"),
        Knob("tune", bool, False, True, "time kernel variants on this machine and keep the winners"),
    )
}

_values: dict[str, Any] = {}
_code_key: list[int | None] = [None]
_known_codes: dict[tuple, int] = {}


def _parse(knob: Knob, text: str) -> Any:
    if knob.type is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off", ""):
            return False
        raise ValueError(f"SQUALL_{knob.name.upper()}={text!r}: expected 0 or 1")
    try:
        return knob.type(text)
    except ValueError:
        raise ValueError(f"SQUALL_{knob.name.upper()}={text!r}: expected {knob.type.__name__}") from None


def get(name: str) -> Any:
    """The value of a knob: what was set, else the environment's, else the default."""
    if name not in _values:
        knob = KNOBS[name]
        text = os.environ.get("SQUALL_" + name.upper())
        _values[name] = knob.default if text is None else _parse(knob, text)
    return _values[name]


def set_option(name: str, value: Any) -> None:
    """Set a knob for the rest of the process.

    Raises:
        KeyError: for a name that is no knob. TypeError: for a value of the wrong type.

    Example:
        >>> set_option("debug", 0)
    """
    if name not in KNOBS:
        raise KeyError(f"no option is called {name!r}; there are {', '.join(sorted(KNOBS))}")
    knob = KNOBS[name]
    if not isinstance(value, knob.type):
        raise TypeError(f"option {name!r} takes {knob.type.__name__}, not {type(value).__name__}")
    _values[name] = value
    _code_key[0] = None


@contextmanager
def options(**values: Any) -> Iterator[None]:
    """Set knobs for the length of a `with` block."""
    before = {name: get(name) for name in values}
    try:
        for name, value in values.items():
            set_option(name, value)
        yield
    finally:
        _values.update(before)
        _code_key[0] = None


def code_key() -> int:
    """A number for the values of all knobs that change generated code: equal numbers mean equal values."""
    found = _code_key[0]
    if found is None:
        found = _code_key[0] = _known_codes.setdefault(code_values(), len(_known_codes))
    return found


def code_values() -> tuple:
    """The names and values of all knobs that change generated code."""
    return tuple((k.name, get(k.name)) for k in KNOBS.values() if k.changes_code)
