"""Plans as the native flush runs them: a block of words each, found by the key of `keys.signature` and
the strides of inputs that have some.

Ready are plans without host steps, for inputs that need no copy; the others run in Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

from squall.base.caches import Cache
from squall.engine.execute import Executable
from squall.engine.keys import Signature
from squall.runtime.memory import host_pool
from squall.runtime.plan_image import PlanImage

# Words of a block: as named, then the images' addresses, (donor or -1, bytes) of each output, and for each scalar
# whether it is a float.
READY_IMAGES, READY_OUTPUTS, READY_ARENA, READY_WORDS, READY_REST = range(5)
SMALL_BYTES = 4096
SLAB_BYTES = 64 << 10
_WORTH_LOADING = 8

plans = Cache("ready plans", 1024)


class Native:
    """The native flush, `flush(state, nodes) -> whether it was done`, and what makes it ready once it is of use."""

    flush: Any = None
    load: Any = None


def met_again(hits: int) -> bool:
    """Whether ready plans are of use, asked when a plan was met again, `hits` times in all."""
    if hits >= _WORTH_LOADING and Native.load is not None:
        load, Native.load = Native.load, None
        load()
    return Native.flush is not None


class Ready:
    """A plan bound to sizes, as words at `address`.

    Attributes:
        failed: raises the error of (roots, the runner's code, the status word, its detail) for a plan that stopped.
    """

    __slots__ = ("_words", "address", "binding", "failed")

    def __init__(self, binding: Any, failed: Callable[[tuple], None]):
        images = binding.segments
        words = [len(images), binding.output_count, binding.arena_bytes, len(binding.layout) + 2,
                 *[image.address for image in images]]
        for donor, nbytes in zip(binding.donors, binding.output_bytes, strict=True):
            words += (-1 if donor is None else donor, nbytes)
        words += [code == "d" for code in binding.layout[binding.scalar_at:]]
        self._words = (ctypes.c_int64 * len(words))(*words)
        self.address = ctypes.addressof(self._words)
        self.binding, self.failed = binding, failed  # the images live as long as the binding


def make_ready(found: Signature, executable: Any, sizes: dict[str, int], failed: Callable) -> None:
    """Let the native flush find a plan that was met again; `failed(executable, told)` raises as `Ready.failed` does."""
    if not isinstance(executable, Executable) or executable.backend != "cpu":
        return
    inputs = [n.buffer for n in found.inputs]
    if executable.fitting(inputs, sizes) is not inputs:
        return
    binding = executable.bound(inputs, sizes)
    strides = tuple([b.strides for b in inputs if b.strides is not None])
    if all(isinstance(segment, PlanImage) for segment in binding.segments):
        plans.put((*found.key, strides) if strides else found.key, Ready(binding, partial(failed, executable)))


def of_executable(executable: Any) -> Ready | None:
    """The only binding of an executable as native code runs it; None for host steps, and sizes or strides that vary."""
    if not isinstance(executable, Executable) or executable.backend != "cpu" or executable.plain is None:
        return None
    return ready_of(executable.plain)


def ready_of(binding: Any) -> Ready | None:
    """A binding as native code runs it, or None."""
    plain = binding.plan.inputs and all(isinstance(segment, PlanImage) for segment in binding.segments)
    return Ready(binding, _never) if plain else None


def _never(told: tuple) -> None:
    """Errors of captured programs are raised by those."""


class SmallMemory:
    """Free memory for small results, kept in lists by size that native code takes from and gives back to.

    Attributes:
        heads: the first free piece of each size, in units of 64 bytes; every free piece begins with the next one's
            address.
    """

    def __init__(self) -> None:
        self.heads = (ctypes.c_int64 * (SMALL_BYTES // 64 + 1))()
        self.slabs: list[Any] = []

    def slab(self, size: int) -> int:
        """The address of a slab that native code cuts into pieces of `size` bytes."""
        slab = host_pool().allocate(SLAB_BYTES)
        self.slabs.append(slab)
        return slab.pointer

