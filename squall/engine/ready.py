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

# Words of a block: as named, then the images' addresses, of each output its bytes and the donor's number, or OWN, or
# PLACED less its place in the block that results share, and for each scalar whether it is a float.
READY_IMAGES, READY_OUTPUTS, READY_ARENA, READY_WORDS, READY_SHARED, READY_REST = range(6)
OWN, PLACED = -1, -2
SMALL_BYTES, SLAB_BYTES = 4096, 64 << 10  # small pieces are cut out of slabs
MIDDLE_SHIFT, LISTED_BYTES = 11, 128 << 10  # middle-sized ones are the pool's, one by one
MIDDLE_STEP, SMALL_KINDS = 1 << MIDDLE_SHIFT, SMALL_BYTES // 64
ALL_KINDS = SMALL_KINDS + LISTED_BYTES // MIDDLE_STEP + 1
KEPT_BYTES = 64 << 20  # middle-sized pieces kept before those that are free go back to the pool
_WORTH_LOADING = 8

plans = Cache("ready plans", 1024)


class Native:
    """The native flush, `flush(state, nodes) -> whether it was done`, what makes it ready once it is of use, and
    `middle_pieces()`, which takes all free middle-sized pieces from their lists."""

    flush: Any = None
    middle_pieces: Any = None
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

    __slots__ = ("__weakref__", "_words", "address", "binding", "failed")

    def __init__(self, binding: Any, failed: Callable[[tuple], None]):
        images = binding.segments
        words = [len(images), binding.output_count, binding.arena_bytes, len(binding.layout) + 2,
                 binding.plan.shared_bytes, *[image.address for image in images]]
        for donor, place, nbytes in zip(binding.donors, binding.places, binding.output_bytes, strict=True):
            words += (donor if donor is not None else OWN if place is None else PLACED - place, nbytes)
        words += [code == "d" for code in binding.layout[binding.scalar_at:]]
        self._words = (ctypes.c_int64 * len(words))(*words)
        self.address = ctypes.addressof(self._words)
        self.binding, self.failed = binding, failed  # the images live as long as the binding
        if binding.split is not None:
            binding.split.followers.add(self)

    def renew(self, images: list) -> None:
        """Run other images from now on (`resplit.py`)."""
        for i, image in enumerate(images):
            self._words[READY_REST + i] = image.address


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
    """Free memory for small and middle-sized results, in lists by size that native code takes from and gives back to.

    Middle-sized pieces belong to the host pool: they go back to it before it counts or empties itself, and when many
    are free.

    Attributes:
        heads: the first free piece of each size, small ones in units of 64 bytes, then middle-sized ones; every free
            piece begins with the next one's address.
    """

    def __init__(self) -> None:
        self.heads = (ctypes.c_int64 * ALL_KINDS)()
        self.slabs: list[Any] = []
        self._pieces: dict[int, Any] = {}
        self._held, self._limit = 0, KEPT_BYTES
        host_pool().lent.append(self.give_back)

    def slab(self, size: int) -> int:
        """The address of a slab that native code cuts into pieces of `size` bytes, or of one middle-sized piece."""
        if size <= SMALL_BYTES:
            slab = host_pool().allocate(SLAB_BYTES)
            self.slabs.append(slab)
            return slab.pointer
        if self._held > self._limit:
            self.give_back()
            self._limit = self._held + KEPT_BYTES
        piece = host_pool().allocate(size)
        self._pieces[piece.pointer] = piece
        self._held += piece.size
        return piece.pointer

    def give_back(self) -> None:
        """Let the pool have the middle-sized pieces that are free."""
        for pointer in Native.middle_pieces() if Native.middle_pieces else ():
            self._held -= self._pieces.pop(pointer).size
