"""From kernels to addresses: memory, then disk, then LLVM, many kernels to one object.

A kernel is asked for by a key, compared in full. Its digest (text or key, target, versions, passes) names it on disk.
Kernels compiled together share one object ("pack"): that is a third cheaper than one object each. A pack is stored
under the digest of its members' digests, so a program that asks for the same kernels again opens one file; small
reference files lead from each member to its pack for programs that ask for some of them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from squall.base import config, trace
from squall.base.caches import Cache
from squall.base.errors import CompileError
from squall.runtime import fork, machine_code
from squall.runtime.disk_cache import DiskCache, default_folder
from squall.runtime.machine_code import SHORT_PASSES, CodeTarget, Unit
from squall.runtime.processors import available_threads

_FORMAT = 2
_disk: DiskCache | None = None


class Request(NamedTuple):
    """A kernel to compile.

    `text` is LLVM text, or a function that makes it and is called only when the kernel is in no cache; then the
    key must describe the text completely by its `repr`. `symbols` are the functions whose addresses are wanted.
    """

    text: str | Callable[[], str]
    symbols: tuple[str, ...]


def disk() -> DiskCache:
    """The process's disk cache, opened where the knobs say on first use."""
    global _disk
    if _disk is None:
        folder = default_folder() if config.get("cache") else None
        _disk = DiskCache(folder, config.get("cache_megabytes") << 20)
    return _disk


def reopen_disk() -> None:
    """Forget the open disk cache, so that changed knobs take effect."""
    global _disk
    _disk = None


class ObjectStore:
    """Compiled functions of one target.

    Args:
        name: of its memory cache in statistics. target: what to compile for; loading needs it to be this machine.
        salt: whatever else decides what a text compiles to.
        generator: gives the version of what turns keys into text, for requests whose text is made on demand.
        passes, level: see `machine_code.compile_objects`.

    Example:
        >>> store = ObjectStore("example", CodeTarget(machine_code.host_triple()))
        >>> text = "define i64 @one() { ret i64 1 }"
        >>> store.functions({"one": Request(text, ("one",))})["one"]["one"] > 0
        True
    """

    def __init__(self, name: str, target: CodeTarget, salt: tuple = (), passes: tuple[str, ...] = SHORT_PASSES,
                 level: int = 2, generator: Callable[[], str] = lambda: ""):
        self.target, self.passes, self.level, self.generator = target, passes, level, generator
        self.memory = Cache(name, limit=1 << 16)
        self.loaded: dict[str, dict[str, int]] = {}  # digest -> addresses of everything any pack brought
        self.lock = threading.RLock()
        self.compiled = self.from_disk = 0
        self.compile_seconds = self.load_seconds = 0.0
        fork.in_child(self._reset_lock)
        self._salt = repr((_FORMAT, target, passes, level, salt))

    def _reset_lock(self) -> None:
        self.lock = threading.RLock()

    def digest(self, key: Hashable, request: Request) -> str:
        """The disk name of a kernel."""
        identity = request.text if isinstance(request.text, str) else f"{self.generator()}\0{key!r}"
        whole = "\0".join((self._salt, machine_code.compiler_version(), repr(request.symbols), identity))
        return hashlib.sha256(whole.encode()).hexdigest()

    def functions(self, requests: Mapping[Hashable, Request]) -> dict[Hashable, dict[str, int]]:
        """Addresses of all requested functions, compiling together those that are in no cache.

        Args:
            requests: by key; a key that is in memory answers without looking at its request.

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
                self._obtain({digests[key]: requests[key] for key in missing})
                for key in missing:
                    found[key] = self.memory.put(key, self.loaded[digests[key]])
        return found

    def _obtain(self, requests: dict[str, Request]) -> None:
        """Bring every digest into `loaded`."""
        absent = [digest for digest in requests if digest not in self.loaded]
        if absent and not self._load_pack(_pack_name(absent)):
            for digest in absent:
                if digest not in self.loaded and not self._load_pack(_pack_name([digest])):
                    reference = disk().get(digest)
                    if reference is not None:
                        self._load_pack(reference.decode("ascii", "replace"))
        absent = [digest for digest in absent if digest not in self.loaded]
        if absent:
            self._compile({digest: requests[digest] for digest in absent})

    def _load_pack(self, name: str) -> bool:
        payload = disk().get(name)
        if payload is None:
            return False
        header, _, code = payload.partition(b"\n")
        try:
            index, lengths = json.loads(header)
            starts = itertools.accumulate(lengths, initial=0)
            self._load(index, [code[start:start + length] for start, length in zip(starts, lengths)])
        except (ValueError, AttributeError, TypeError, CompileError) as error:
            trace.debug(1, "cached pack", name, "does not load:", error)
            return False
        self.from_disk += 1
        return True

    def _load(self, index: dict[str, dict[str, str]], blobs: list[bytes]) -> None:
        started = time.perf_counter()
        addresses = machine_code.load_objects(blobs, [name for names in index.values() for name in names.values()])
        for digest, names in index.items():
            self.loaded.setdefault(digest, {symbol: addresses[name] for symbol, name in names.items()})
        self.load_seconds += time.perf_counter() - started

    def _compile(self, requests: dict[str, Request]) -> None:
        started = time.perf_counter()
        index = {digest: {symbol: f"{symbol}_{digest[:24]}" for symbol in request.symbols}
                 for digest, request in requests.items()}
        units = [Unit(request.text if isinstance(request.text, str) else request.text(), index[digest])
                 for digest, request in requests.items()]
        blobs = machine_code.compile_objects(units, self.target, self.passes, self.level, config.get("verify"),
                                             config.get("num_threads") or available_threads())
        self.compile_seconds += time.perf_counter() - started
        self.compiled += len(requests)
        trace.count("kernels compiled", len(requests))
        self._load(index, blobs)
        name = _pack_name(list(requests))
        header = json.dumps([index, [len(blob) for blob in blobs]]).encode()
        if disk().put(name, b"".join((header, b"\n", *blobs))) and len(requests) > 1:
            for digest in requests:
                disk().put(digest, name.encode(), durable=False)

    def statistics(self) -> dict[str, float]:
        """Kernels compiled, packs loaded from disk, memory hits, and milliseconds spent in each."""
        return {"compiled": self.compiled, "packs from disk": self.from_disk, "memory hits": self.memory.hits,
                "compile ms": self.compile_seconds * 1e3, "load ms": self.load_seconds * 1e3}


def _pack_name(digests: list[str]) -> str:
    return hashlib.sha256(("pack " + " ".join(sorted(digests))).encode()).hexdigest()
