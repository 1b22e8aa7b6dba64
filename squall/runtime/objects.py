"""From kernels to addresses: memory, then disk, then LLVM, many kernels to one object.

A kernel is asked for by a key, compared in full. Its digest (text or key, target, versions, passes) names it on disk.
Kernels compiled together share one object ("pack"): that is a third cheaper than one object each. A pack is stored
under the digest of its members' digests, so a program that asks for the same kernels again opens one file; small
reference files lead from each member to its pack for programs that ask for some of them.

Kernels whose first run is short can be had in a hurry: by less effort and behind doors, then made again beside the
program (`hurry`), kept on disk, and the doors turned. The results of both are the same bit for bit.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import NamedTuple

from squall.base import config, trace
from squall.base.caches import Cache
from squall.base.errors import CompileError
from squall.runtime import doors, fork, host, hurry, linking, machine_code
from squall.runtime.disk_cache import disk, reopen_disk
from squall.runtime.machine_code import HURRIED_LEVEL, HURRIED_PASSES, SHORT_PASSES, CodeTarget, Unit
from squall.runtime.processors import available_threads

_NAME = re.compile("[0-9a-f]{64}")
_FORMAT = 4
__all__ = ["ObjectStore", "Request", "disk", "reopen_disk"]


class Request(NamedTuple):
    """A kernel to compile.

    `text` is LLVM text, or a function that makes it and is called only when the kernel is in no cache; then the
    key must describe the text completely by its `repr`. `symbols` are the functions whose addresses are wanted.
    """

    text: str | Callable[[], str]
    symbols: tuple[str, ...]


class ObjectStore:
    """Compiled functions of one target.

    Args:
        name: of its memory cache in statistics. target: what to compile for; loading needs it to be this machine.
        salt: whatever else decides what a text compiles to.
        generator: gives the version of what turns keys into text, for requests whose text is made on demand.
        passes, level: see `machine_code.compile_objects`.

    Example:
        >>> store = ObjectStore("example", CodeTarget(host.facts().triple))
        >>> text = "define i64 @one() { ret i64 1 }"
        >>> store.functions({"one": Request(text, ("one",))})["one"]["one"] > 0
        True
    """

    def __init__(self, name: str, target: CodeTarget, salt: tuple = (), passes: tuple[str, ...] = SHORT_PASSES,
                 level: int = 2, generator: Callable[[], str] = lambda: ""):
        self.target, self.passes, self.level, self.generator = target, passes, level, generator
        self.memory = Cache(name, limit=1 << 16)
        self.loaded: dict[str, dict[str, int]] = {}  # digest -> addresses of everything any pack brought
        self.lock, self.later_lock = threading.RLock(), threading.RLock()
        self.compiled = self.from_disk = 0
        self.compile_seconds = self.load_seconds = 0.0
        fork.in_child(self._reset_lock)
        self._salt = repr((_FORMAT, target, passes, level, salt))

    def _reset_lock(self) -> None:
        self.lock, self.later_lock = threading.RLock(), threading.RLock()

    def digest(self, key: Hashable, request: Request) -> str:
        """The disk name of a kernel."""
        identity = request.text if isinstance(request.text, str) else f"{self.generator()}\0{key!r}"
        whole = "\0".join((self._salt, host.facts().compiler, repr(request.symbols), identity))
        return hashlib.sha256(whole.encode()).hexdigest()

    def functions(self, requests: Mapping[Hashable, Request],
                  hurried: Collection[Hashable] = ()) -> dict[Hashable, dict[str, int]]:
        """Addresses of all requested functions, compiling together those that are in no cache.

        Args:
            requests: by key; a key that is in memory answers without looking at its request.
            hurried: keys of which code made in a hurry will do for now, where it has to be made.

        Returns:
            For each key {symbol: address}.

        Raises:
            CompileError: see `machine_code.compile_objects` and `machine_code.load_objects`.
        """
        found = {key: self.memory.get(key) for key in requests}
        missing = [key for key, value in found.items() if value is None]
        if missing:
            with self.lock:
                digests = {key: self.digest(key, requests[key]) for key in missing}
                self._obtain({digests[key]: requests[key] for key in missing},
                             {digests[key] for key in hurried if key in digests})
                for key in missing:
                    found[key] = self.memory.put(key, self.loaded[digests[key]])
        for key, addresses in found.items():
            if type(addresses) is _Hurried and key not in hurried:
                self._make_better(addresses.batch)
        return found

    def _obtain(self, requests: dict[str, Request], hurried: set[str]) -> None:
        """Bring every digest into `loaded`."""
        absent = [digest for digest in requests if digest not in self.loaded]
        if absent and not self._load_pack(_pack_name(absent)):
            for digest in absent:
                if digest not in self.loaded and not self._load_pack(_pack_name([digest])):
                    reference = disk().get(digest)
                    if reference is not None:
                        self._load_pack(reference.decode("ascii", "replace"))
        absent = [digest for digest in absent if digest not in self.loaded]
        quick = [digest for digest in absent if digest in hurried] if doors.possible() else []
        if quick:
            self._compile_in_a_hurry({digest: requests[digest] for digest in quick})
        rest = {digest: requests[digest] for digest in absent if digest not in self.loaded}
        if rest:
            self._compile(rest)

    def _load_pack(self, name: str) -> bool:
        if not _NAME.fullmatch(name):  # what a damaged or foreign file refers to
            return False
        payload = disk().get(name)
        if payload is None:
            return False
        header, _, code = payload.partition(b"\n")
        try:
            index, linked, lengths = json.loads(header)
            if linked is None:
                starts = itertools.accumulate(lengths, initial=0)
                self._load(index, [code[start:start + length] for start, length in zip(starts, lengths)])
            else:
                self._load(index, linking.Image(code, *linked))
        except (ValueError, AttributeError, KeyError, TypeError, CompileError) as error:
            trace.debug(1, "cached pack", name, "does not load:", error)
            return False
        self.from_disk += 1
        return True

    def _load(self, index: dict[str, dict[str, str]],
              code: linking.Image | list[bytes]) -> dict[str, dict[str, int]]:
        """Bring code to memory; its addresses by digest, which become those of kernels that have none yet."""
        started = time.perf_counter()
        wanted = [name for names in index.values() for name in names.values()]
        if isinstance(code, linking.Image):
            addresses = machine_code.chosen(linking.load(code), wanted)
        else:
            addresses = machine_code.load_by_llvm(code, wanted)
        brought = {digest: {symbol: addresses[name] for symbol, name in names.items()}
                   for digest, names in index.items()}
        for digest, found in brought.items():
            self.loaded.setdefault(digest, found)
        self.load_seconds += time.perf_counter() - started
        return brought

    def _compile(self, requests: dict[str, Request]) -> None:
        started = time.perf_counter()
        index, units = _units(requests)
        blobs = machine_code.compile_objects(units, self.target, self.passes, self.level, config.get("verify"),
                                             _parts())
        self._count(started, len(requests))
        self._keep(index, blobs)

    def _compile_in_a_hurry(self, requests: dict[str, Request]) -> None:
        """Quick code behind doors, and later better code; nothing happens where only LLVM's loader takes the code."""
        started = time.perf_counter()
        index, units = _units(requests)
        blobs = machine_code.compile_objects(units, self.target, HURRIED_PASSES, HURRIED_LEVEL, config.get("verify"),
                                             _parts())
        image = linking.link(blobs)
        if image is None:
            return
        at = machine_code.chosen(linking.load(image), [name for names in index.values() for name in names.values()])
        batch = _Batch(index, units, doors.Doors(at))
        for digest, names in index.items():
            self.loaded[digest] = _Hurried({symbol: batch.doors.addresses[name] for symbol, name in names.items()})
            self.loaded[digest].batch = batch
        self._count(started, len(requests))
        trace.count("kernels hurried", len(requests))
        hurry.later(lambda: self._make_better(batch))

    def _make_better(self, batch: _Batch) -> None:
        """Make the code of a batch again, as it is kept, and turn the doors; once."""
        with self.later_lock:
            if batch.done:
                return
            blobs = machine_code.compile_objects(batch.units, self.target, self.passes, self.level, later=True)
            for digest, better in self._keep(batch.index, blobs).items():
                batch.doors.turn({batch.index[digest][symbol]: address for symbol, address in better.items()})
                self.loaded[digest].update(better)
            batch.done = True
            trace.count("kernels made better", len(batch.units))

    def _count(self, started: float, kernels: int) -> None:
        self.compile_seconds += time.perf_counter() - started
        self.compiled += kernels
        trace.count("kernels compiled", kernels)

    def _keep(self, index: dict[str, dict[str, str]], blobs: list[bytes]) -> dict[str, dict[str, int]]:
        """Load objects and keep them on disk; their addresses by digest."""
        image = linking.link(blobs)
        brought = self._load(index, blobs if image is None else image)
        name = _pack_name(list(index))
        linked, code = (None, b"".join(blobs)) if image is None else (image[1:], image.data)
        header = json.dumps([index, linked, [len(blob) for blob in blobs]]).encode()
        if disk().put(name, b"".join((header, b"\n", code))) and len(index) > 1:
            for digest in index:
                disk().put(digest, name.encode())
        return brought

    def statistics(self) -> dict[str, float]:
        """Kernels compiled, packs loaded from disk, memory hits, and milliseconds spent in each."""
        return {"compiled": self.compiled, "packs from disk": self.from_disk, "memory hits": self.memory.hits,
                "compile ms": self.compile_seconds * 1e3, "load ms": self.load_seconds * 1e3}


class _Batch:
    """Kernels that were made together in a hurry."""

    def __init__(self, index: dict[str, dict[str, str]], units: list[Unit], entrances: doors.Doors):
        self.index, self.units, self.doors, self.done = index, units, entrances, False


class _Hurried(dict):
    """Addresses of a kernel that was made in a hurry with its `batch`."""

    batch: _Batch


def _units(requests: dict[str, Request]) -> tuple[dict[str, dict[str, str]], list[Unit]]:
    """What functions are called in objects, by digest, and the texts to compile."""
    index = {digest: {symbol: f"{symbol}_{digest[:24]}" for symbol in request.symbols}
             for digest, request in requests.items()}
    return index, [Unit(request.text if isinstance(request.text, str) else request.text(), index[digest])
                   for digest, request in requests.items()]


def _parts() -> int:
    """Most threads that compile at once."""
    return config.get("num_threads") or available_threads()


def _pack_name(digests: list[str]) -> str:
    return hashlib.sha256(("pack " + " ".join(sorted(digests))).encode()).hexdigest()
