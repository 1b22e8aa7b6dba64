"""Contractions that were timed on this machine: which way was the quickest, kept from process to process.

A table of text: by contraction (`nest.variants.Asked.key`) the variant that won. It is a file in the folder of compiled
kernels, one for each kind of machine; what comes with squall (`tuned.json`) holds for machines of the kinds it names.
`lookup` is asked wherever a contraction is planned; `SQUALL_TUNE=1` has those timed that nobody timed before.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from squall.base import config
from squall.compiler.nest.choose import Choice
from squall.compiler.nest.variants import Asked, Variant, vary
from squall.runtime import disk_cache, fork, host

FORMAT = 1
_SHIPPED = Path(__file__).parent / "tuned.json"
_lock = threading.RLock()


class Winner(NamedTuple):
    """What was the quickest, and how many times as fast as the cost model's choice it was."""

    variant: Variant
    gain: float


class Hook:
    """Who times a contraction; the engine is."""

    measure: Callable[[Asked], Any] | None = None


class _State:
    """The table of this process. `epoch` counts its changes; plans made in another one may be slower."""

    def __init__(self) -> None:
        self.epoch = 0
        self.winners: dict[str, Winner] | None = None


_state = _State()


def machine() -> str:
    """What tells kinds of machines apart: the processor, its features, and the version of the kernels' variants."""
    facts = host.facts()
    features = hashlib.sha256(",".join(sorted(facts.present)).encode()).hexdigest()[:16]
    return f"{facts.triple.partition('-')[0]} {facts.processor} {features}"


def path() -> Path | None:
    """This machine's file; None where nothing is kept."""
    folder = disk_cache.disk().folder
    if folder is None:
        return None
    return folder / "tuning" / f"{hashlib.sha256(machine().encode()).hexdigest()[:24]}.json"


def epoch() -> int:
    """A number that changes with the table."""
    return _state.epoch


def lookup(asked: Asked) -> Winner | None:
    """What is known of a contraction."""
    winners = _state.winners
    if winners is None:
        with _lock:
            winners = _state.winners
            if winners is None:
                winners = _state.winners = {**_shipped(), **_kept()}
    return winners.get(asked.key)


def found(asked: Asked) -> Winner | None:
    """What is known of a contraction, which is timed now if it is not and `SQUALL_TUNE` asks for it."""
    known = lookup(asked)
    if known is None and Hook.measure is not None and config.get("tune"):
        Hook.measure(asked)
        known = lookup(asked)
    return known


def choice_of(asked: Asked) -> Choice | None:
    """How a contraction runs if not as the cost model says."""
    winner = found(asked)
    return None if winner is None or winner.variant == Variant() else vary(asked, winner.variant)


def keep(results: dict[str, Winner]) -> bool:
    """Add to the table, and to the file beside what other processes have added; False where it cannot be written."""
    with _lock:
        _state.winners = {**_shipped(), **_kept(), **(_state.winners or {}), **results}
        _state.epoch += 1
        file = path()
        if file is None or not disk_cache.disk().writable:
            return False
        return _write(file, {**_kept(), **results})


def forget() -> None:
    """Read the table anew when it is asked next: after knobs have changed."""
    with _lock:
        _state.winners = None
        _state.epoch += 1


def _write(file: Path, winners: dict[str, Winner]) -> bool:
    entries = {key: {"gain": round(w.gain, 3), **_recorded(w.variant)} for key, w in sorted(winners.items())}
    text = json.dumps({"format": FORMAT, "machine": machine(), "entries": entries}, indent=1)
    name = file.with_name(f"new-{os.getpid()}-{os.urandom(6).hex()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            name.write_text(text, encoding="utf-8")
            os.replace(name, file)
        finally:
            name.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"timings cannot be kept in {file.parent} ({error.strerror})", RuntimeWarning, stacklevel=3)
        return False
    return True


def _recorded(variant: Variant) -> dict[str, Any]:
    """What of a variant is not the default."""
    return {name: value for name, value in variant._asdict().items() if value != Variant._field_defaults[name]}


def _kept() -> dict[str, Winner]:
    """This machine's file; what is damaged or another machine's is not used."""
    file = path()
    if file is None or not disk_cache.disk().readable:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        return _ignored(file, str(error))
    try:
        held = json.loads(text)
        if held["format"] != FORMAT or held["machine"] != machine():
            return _ignored(file, "it is another machine's, or of another version")
        return _winners(held["entries"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return _ignored(file, f"it is damaged: {error!r}")


def _ignored(file: Path, why: str) -> dict[str, Winner]:
    warnings.warn(f"the timings in {file} are not used ({why}); sq.tune writes them anew", RuntimeWarning, stacklevel=5)
    return {}


def _shipped() -> dict[str, Winner]:
    """What comes with squall for this kind of machine."""
    try:
        tables = json.loads(_SHIPPED.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return _winners(tables["machines"].get(machine(), {}))


def _winners(entries: dict[str, dict]) -> dict[str, Winner]:
    made = {}
    for key, entry in entries.items():
        rest = {name: value for name, value in entry.items() if name != "gain"}
        for name, value in rest.items():
            if type(value) is not type(Variant._field_defaults[name]):
                raise TypeError(f"{name} is {value!r}")
        made[key] = Winner(Variant(**rest), float(entry["gain"]))
    return made


@fork.in_child
def _reset_lock() -> None:
    global _lock
    _lock = threading.RLock()
