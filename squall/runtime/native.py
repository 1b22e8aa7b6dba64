"""The native runtime in this process: compiled once, kept on disk, loaded on first use, never unloaded."""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from squall.base import config
from squall.runtime import fork, host, interrupts, machine_code
from squall.runtime.native_pool import MAX_THREADS
from squall.runtime.native_runner import native_text
from squall.runtime.native_waiting import Platform
from squall.runtime.objects import ObjectStore, Request
from squall.runtime.processors import available_threads, processor_count

SPIN_SECONDS = 500e-6  # how long an idle worker spins before it sleeps: more than the Python time between two plans
_SYMBOLS = ("squall_run", "squall_run_recorded", "squall_pool_reset", "squall_set_threads", "squall_set_spins",
            "squall_pause_many", "squall_pool_state", "squall_copy", "squall_fill", "squall_loop", "squall_choose",
            "squall_region", "squall_chain", "squall_set_recorder", "squall_tick", "squall_note", "squall_set_poll")
_lock = threading.RLock()
_native: Native | None = None
_chosen_threads = 0
on_threads: list[Callable[[], None]] = []  # called when the number of threads has changed


def host_platform() -> Platform:
    """The platform of this process and how its idle workers wait."""
    machine = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower())
    if sys.platform == "win32":
        return Platform("windows", machine, "none")
    if sys.platform == "darwin":
        return Platform("darwin", machine, "condition")
    return Platform("linux", machine, "futex")


class Native:
    """The loaded functions.

    Attributes:
        run: a C callable `(plan, values)` for the engine's uninterruptible chain: it releases the GIL, runs no Python,
            gives None, and raises IndexError when a status word or missing memory stopped the plan.
        run_code, run_recorded: `(plan, values)` and `(plan, values, recorder)`, giving the runner's code.
        set_recorder: `(recorder)`, 0 to stop (see `native_recorder`). tick: the runner's clock. note: the address of
            `squall_note`.
        copy, fill: addresses of byte-moving kernels (see `native_runner`). loop, choose: of kernels that run plans (see
        `native_nested`). region: of the kernel that runs several at once (see `native_region`).
    """

    __slots__ = ("platform", "run", "run_code", "run_recorded", "set_recorder", "tick", "note", "reset", "_set_threads",
                 "_set_spins", "_pause", "_state", "copy", "fill", "loop", "choose", "region", "chain",
                 "seconds_per_tick")

    def __init__(self, given: Platform | None = None):
        self.platform = given or host_platform()
        # A store of its own: baseline processor, so the object serves every machine of the triple. LLVM's own passes
        # take 50 ms more of a first start, and neither calls nor steps on two threads are slower without them.
        store = ObjectStore("native runtime", machine_code.CodeTarget(host.facts().triple),
                            passes=("always_inliner", *machine_code.SHORT_PASSES))
        request = Request(native_text(self.platform), _SYMBOLS)
        at = store.functions({self.platform: request})[self.platform]
        pointer, word = ctypes.c_void_p, ctypes.c_int64

        def entry(name: str, result: Any, *arguments: Any) -> Any:
            return ctypes.CFUNCTYPE(result, *arguments)(at[name])

        self.run = entry("squall_run", ctypes.c_int, pointer, pointer)
        # A C callable as result type: 0 gives None, any other code an IndexError, without entering Python code.
        self.run.restype = _NONE_OR_ERROR
        self.run_code = entry("squall_run", ctypes.c_int, pointer, pointer)
        self.run_recorded = entry("squall_run_recorded", ctypes.c_int, pointer, pointer, pointer)
        self.set_recorder = entry("squall_set_recorder", None, pointer)
        self.tick, self.note = entry("squall_tick", word), at["squall_note"]
        self.reset = entry("squall_pool_reset", None)
        self._set_threads = entry("squall_set_threads", None, word)
        self._set_spins = entry("squall_set_spins", None, word, word)
        self._pause = entry("squall_pause_many", None, word)
        self._state = entry("squall_pool_state", None, pointer)
        self.copy, self.fill = at["squall_copy"], at["squall_fill"]
        self.loop, self.choose = at["squall_loop"], at["squall_choose"]
        self.region, self.chain = at["squall_region"], at["squall_chain"]
        self.seconds_per_tick = _seconds_per_tick(self.platform)
        if hasattr(ctypes, "pythonapi"):
            interrupts.tell(entry("squall_set_poll", None, pointer, pointer))
        self.reset()

    def set_threads(self, count: int) -> None:
        """Use `count` threads, the caller included, from the next parallel step on; workers start when first needed."""
        self._set_threads(count)

    def set_spin(self, seconds: float = SPIN_SECONDS) -> None:
        """How long idle workers spin before they sleep; pauses are timed on this machine, they differ tenfold."""
        self._pause(100)
        started = time.perf_counter()
        self._pause(500)
        pause = max((time.perf_counter() - started) / 500, 1e-9)
        self._set_spins(max(int(seconds / pause), 1), processor_count())

    def state(self) -> dict[str, int]:
        """Threads wanted, workers started, workers asleep, parallel steps so far, scratch bytes of each worker."""
        words = (ctypes.c_int64 * 5)()
        self._state(ctypes.addressof(words))
        return dict(zip(("threads", "workers", "asleep", "parallel_steps", "worker_scratch"), words))


_NONE_OR_ERROR: Callable[[int], None] = (None,).__getitem__


def _seconds_per_tick(used: Platform) -> float:
    if used.system != "windows":
        return 1e-9
    frequency = ctypes.c_int64()
    ctypes.windll.kernel32.QueryPerformanceFrequency(ctypes.byref(frequency))  # type: ignore[attr-defined]
    return 1.0 / frequency.value


def native() -> Native:
    """The process's native runtime, made ready on the first call."""
    global _native
    if _native is None:
        with _lock:
            if _native is None:
                loaded = Native()
                loaded.set_threads(_wanted_threads())
                loaded.set_spin()
                _native = loaded
    return _native


def _wanted_threads() -> int:
    knob = min(max(config.get("num_threads"), 0), MAX_THREADS)
    return _chosen_threads or knob or min(available_threads(), MAX_THREADS)


def set_num_threads(num: int) -> None:
    """Use `num` threads for parallel work, the calling thread included. Results do not change.

    Programs that were compiled before use them as well: their work is split anew.

    Args:
        num: from 1 to 1024.

    Raises:
        ValueError: when `num` is not between 1 and 1024.

    Example:
        >>> set_num_threads(1)
        >>> get_num_threads()
        1
    """
    global _chosen_threads
    if not 1 <= num <= MAX_THREADS:
        raise ValueError(f"set_num_threads: {num} is not between 1 and {MAX_THREADS}")
    _chosen_threads = num
    if _native is not None and _native.state()["threads"] != num:
        _native.set_threads(num)
        for changed in on_threads:
            changed()


def get_num_threads() -> int:
    """Threads parallel work uses, the calling thread included; 1 where there is no pool (Windows)."""
    return _wanted_threads() if _native is None else _native.state()["threads"]


@fork.in_child
def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    if _native is not None:
        _native.reset()
