"""Kernels to addresses on the CPU: LLVM text or linear programs in, callable native functions out.

Kernels asked for together are compiled together. What is known is found in memory, then on disk; see
`squall.runtime.objects`. Code is generated for `target.host_target()`, or for another target to be looked at.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Hashable, Mapping
from functools import lru_cache
from pathlib import Path

from squall.backends.cpu.target import Target, host_target
from squall.base import trace
from squall.base.errors import DeviceError
from squall.base.version import VERSION
from squall.runtime import fork, host, machine_code, objects
from squall.runtime.machine_code import SHORT_PASSES, Unit
from squall.runtime.objects import ObjectStore, Request

CODE_VERSION = 1  # raise it when the same text must compile to other code
_GENERATING_ROOMS = ("base", "ir", "ops", "compiler", "backends")

_stores: dict[tuple, ObjectStore] = {}
_lock = threading.RLock()


def _store(target: Target, passes: tuple[str, ...]) -> ObjectStore:
    key = (target.code, passes)
    with _lock:
        if key not in _stores:
            _stores[key] = ObjectStore(f"cpu kernels {target.isa} {len(_stores)}", target.code, (CODE_VERSION,), passes,
                                       generator=generator_version)
        return _stores[key]


@lru_cache(maxsize=1)
def generator_version() -> str:
    """A digest of the sources that turn a kernel's key into text, so that changing them makes old keys unknown.

    Reading them takes longer than a small program does: the digest is kept on disk under what the system says of each
    file, its size and when it was written.
    """
    root = Path(__file__).parents[2]
    stated = [(VERSION, str(root))]
    sources = []
    for room in _GENERATING_ROOMS:
        for folder, folders, files in os.walk(root / room):
            folders.sort()
            for name in sorted(files):
                if name.endswith(".py"):
                    sources.append(os.path.join(folder, name))
                    status = os.stat(sources[-1])
                    stated.append((sources[-1], status.st_size, status.st_mtime_ns, status.st_ino))
    place = hashlib.sha256(f"generator {stated}".encode()).hexdigest()
    kept = objects.disk().get(place)
    if kept is not None and len(kept) == 64:
        return kept.decode("ascii", "replace")
    whole = hashlib.sha256(VERSION.encode())
    for source in sources:
        whole.update(Path(source).relative_to(root).as_posix().encode())
        whole.update(Path(source).read_bytes())
    objects.disk().put(place, whole.hexdigest().encode())
    return whole.hexdigest()


def compile_functions(texts: Mapping[Hashable, tuple[str | Callable[[], str], tuple[str, ...] | list[str]]],
                      target: Target | None = None, passes: tuple[str, ...] = SHORT_PASSES,
                      hurried: Collection[Hashable] = ()) -> dict[Hashable, dict[str, int]]:
    """Native addresses of kernels, compiling those that no cache knows as one module.

    Args:
        texts: for each key LLVM text and the names of the functions wanted from it. Keys are compared in full and must
            determine the text. Instead of text there may be a function that makes it: it is called only when the kernel
            is in no cache, and then the key's `repr` must determine the text in later processes too (squall's sources
            are part of the disk key). Names may repeat between texts; functions not asked for become private.
        target: whose code; this machine, cut down by the `isa` knob, by default.
        passes: see `machine_code.compile_objects`.
        hurried: keys whose first run is so short that code made in a hurry is best for it; see `objects`.

    Returns:
        For each key {function name: address}. The code is never unloaded.

    Raises:
        CompileError: for text LLVM rejects, and for an external function the process does not have.
        DeviceError: for a target of another machine; use `assembly_of` to look at its code.

    Example:
        >>> text = "define void @nothing(ptr %args, i64 %begin, i64 %end, ptr %scratch) { ret void }"
        >>> compile_functions({"nothing": (text, ["nothing"])})["nothing"]["nothing"] > 0
        True
    """
    target = target or host_target()
    if not target.is_host:
        raise DeviceError(f"code for {target.code.triple} does not run on {host.facts().triple}")
    requests = {key: Request(text, tuple(names)) for key, (text, names) in texts.items()}
    return _store(target, passes).functions(requests, hurried)


def assembly_of(text: str, names: tuple[str, ...] | list[str], target: Target | None = None,
                passes: tuple[str, ...] = SHORT_PASSES) -> str:
    """The assembly of one kernel's text, for any target. Raises CompileError as `compile_functions`."""
    unit = Unit(text, {name: name for name in names})
    return machine_code.assembly([unit], (target or host_target()).code, passes)


def object_of(texts: list[tuple[str, tuple[str, ...]]], target: Target,
              passes: tuple[str, ...] = SHORT_PASSES) -> bytes:
    """An object file of several kernels for any target, with the names as given. Raises CompileError."""
    units = [Unit(text, {name: name for name in names}) for text, names in texts]
    return machine_code.compile_objects(units, target.code, passes)[0]


def statistics() -> dict[str, object]:
    """What building cost this process: kernels compiled, packs read, memory hits, milliseconds, the disk cache."""
    whole: dict[str, object] = {"compiled": 0, "packs from disk": 0, "memory hits": 0,
                                "compile ms": 0.0, "load ms": 0.0}
    for store in _stores.values():
        for name, amount in store.statistics().items():
            whole[name] += amount  # type: ignore[operator]
    whole["llvm ms"] = trace.counters.get("llvm microseconds", 0) / 1e3
    whole["disk"] = objects.disk().statistics()
    return whole


@fork.in_child
def _reset_lock() -> None:
    global _lock
    _lock = threading.RLock()
