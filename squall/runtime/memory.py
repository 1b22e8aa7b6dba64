"""The pooling allocator: freed memory is kept by size and handed out again without asking the system.

A `Block` owns memory for as long as the object lives; dropping the last reference puts the memory back into its
pool. `Pool` rounds sizes up to classes an eighth of a power of two apart, keeps a list of free pointers for each, and
counts. The same pool serves any source of memory with `acquire(nbytes) -> pointer or 0` and `release(pointer,
nbytes)`; `host_pool()` is the one over this machine's memory. Foreign memory (an array, a DLPack capsule) becomes a
block that merely keeps its owner alive.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from squall.base import config
from squall.runtime import fork
from squall.runtime.system_memory import SystemMemory

_SMALLEST = 64
_PAGE = 64 << 10  # classes above 1 MB are multiples of this, which every system's page size divides
_LARGE_CLASS = 1 << 20


class Source(Protocol):
    """Where a pool gets memory."""

    def acquire(self, nbytes: int) -> int:
        """Memory of `nbytes`, or 0."""
        ...

    def release(self, pointer: int, nbytes: int) -> None:
        """Give memory back."""
        ...


class Block:
    """Memory at `pointer` of `nbytes` usable bytes; `owner` is what keeps foreign memory alive, or None."""

    __slots__ = ("pointer", "nbytes", "owner", "__weakref__")

    def __init__(self, pointer: int, nbytes: int, owner: Any = None):
        self.pointer, self.nbytes, self.owner = pointer, nbytes, owner

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pointer:#x} {self.nbytes} bytes>"

    def array(self, typestr: str, shape: tuple[int, ...], strides: tuple[int, ...] | None = None,
              offset: int = 0) -> ArraySource:
        """What `numpy.asarray` turns into an array over this memory; the array keeps the block alive.

        Args:
            typestr: of the array interface, such as "<f4"; "<V2" for types NumPy does not know.
            shape: in elements. strides: in bytes, None for row-major. offset: in bytes.
        """
        return ArraySource(self, {"version": 3, "typestr": typestr, "shape": shape, "strides": strides,
                                  "data": (self.pointer + offset, False)})


class ArraySource:
    """A block seen through NumPy's array interface."""

    __slots__ = ("block", "__array_interface__")

    def __init__(self, block: Block, interface: dict[str, Any]):
        self.block, self.__array_interface__ = block, interface


class PooledBlock(Block):
    """A block whose memory, `size` bytes of it, returns to its pool when the object goes."""

    __slots__ = ("size",)

    def __init__(self, pointer: int, nbytes: int, size: int):
        self.pointer, self.nbytes, self.owner, self.size = pointer, nbytes, None, size


class _Return(weakref.ref):
    """The way back of a block's memory. Its callback is a method of C, `append` of the pool's list of returns: a
    finalizer in Python would now and then swallow a Ctrl-C, and could not take the pool's lock."""

    __slots__ = ("pointer", "size")


class Statistics(NamedTuple):
    """Bytes: handed out now, kept for reuse, most ever handed out; allocations served by the pool and by the source."""

    in_use: int
    cached: int
    peak: int
    hits: int
    misses: int


def size_class(nbytes: int) -> int:
    """The bytes really allocated for a request: at most an eighth more, beyond the smallest sizes.

    Example:
        >>> size_class(0), size_class(65), size_class(1000), size_class(3_000_000)
        (64, 128, 1024, 3145728)
    """
    if nbytes <= 512:
        return (nbytes + 63) & -64 or _SMALLEST
    step = 1 << ((nbytes - 1).bit_length() - 4)
    if nbytes > _LARGE_CLASS and step < _PAGE:
        step = _PAGE
    return -(-nbytes // step) * step


class Pool:
    """Free memory by size class over a source.

    Args:
        source: where memory comes from. limit_bytes: most kept for reuse; what is freed beyond goes back at once.
        name: for error messages.

    Attributes:
        lent: called before the pool counts or empties itself, by those who keep blocks for others: they drop free ones.

    Example:
        >>> pool = Pool(SystemMemory(), 1 << 20)
        >>> block = pool.allocate(1000)
        >>> del block
        >>> pool.statistics().cached
        1024
    """

    def __init__(self, source: Source, limit_bytes: int, name: str = "cpu"):
        self.source, self.limit_bytes, self.name = source, limit_bytes, name
        self._free: dict[int, list[int]] = {}
        self._out: dict[int, _Return] = {}
        self._returned: deque[_Return] = deque()
        self.lent: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._in_use = self._cached = self._peak = self._hits = self._misses = 0
        fork.in_child(self._reset_lock)

    def allocate(self, nbytes: int) -> PooledBlock:
        """A block of at least `nbytes`, aligned to 64 bytes, with whatever was in it before.

        Raises:
            MemoryError: naming the bytes asked for and in use, when there are none even after the pool was emptied.
        """
        size = (nbytes + 63) & -64 if 0 < nbytes <= 512 else size_class(nbytes)
        with self._lock:
            if self._returned:
                self._take_back()
            free = self._free.get(size)
            if free:
                pointer = free.pop()
                self._cached -= size
                self._hits += 1
            else:
                pointer = self._acquire(nbytes, size)
            self._in_use += size
            if self._in_use > self._peak:
                self._peak = self._in_use
            block = PooledBlock(pointer, nbytes, size)
            back = self._out[pointer] = _Return(block, self._returned.append)
            back.pointer, back.size = pointer, size
        return block

    def _take_back(self) -> None:
        """Keep for reuse what blocks that went have returned; beyond the limit it goes back to the source."""
        returned = self._returned
        while returned:
            back = returned.popleft()
            pointer, size = back.pointer, back.size
            del self._out[pointer]
            self._in_use -= size
            if self._cached + size > self.limit_bytes:
                self.source.release(pointer, size)
                continue
            self._cached += size
            free = self._free.get(size)
            if free is None:
                free = self._free[size] = []
            free.append(pointer)

    def _count(self) -> None:
        """Have all that is free come back."""
        for give_back in self.lent:
            give_back()
        self._take_back()

    def zeros(self, nbytes: int) -> PooledBlock:
        """A block whose first `nbytes` are zero. For memory this process can address."""
        block = self.allocate(nbytes)
        ctypes.memset(block.pointer, 0, nbytes)
        return block

    def _acquire(self, nbytes: int, size: int) -> int:
        self._misses += 1
        pointer = self.source.acquire(size)
        if not pointer:
            self.empty()
            pointer = self.source.acquire(size)
        if not pointer:
            raise MemoryError(f"{self.name}: cannot allocate {nbytes:,} bytes; {self._in_use:,} are in use")
        return pointer

    def empty(self) -> int:
        """Give all kept memory back to the source; returns the bytes."""
        with self._lock:
            self._count()
            kept, self._free = self._free, {}
            released, self._cached = self._cached, 0
        for size, pointers in kept.items():
            for pointer in pointers:
                self.source.release(pointer, size)
        return released

    def statistics(self) -> Statistics:
        """What is in use, kept, and was at most; hits and misses."""
        with self._lock:
            self._count()
            return Statistics(self._in_use, self._cached, self._peak, self._hits, self._misses)

    def reset_peak(self) -> None:
        """Start measuring the peak anew from what is in use."""
        with self._lock:
            self._count()
            self._peak = self._in_use

    def _reset_lock(self) -> None:
        self._lock = threading.RLock()


_host_pool: Pool | None = None
_host_lock = threading.Lock()


def host_pool() -> Pool:
    """The pool over this machine's memory; the `pool_megabytes` knob bounds what it keeps."""
    global _host_pool
    if _host_pool is None:
        with _host_lock:
            if _host_pool is None:
                _host_pool = Pool(SystemMemory(), config.get("pool_megabytes") << 20)
    return _host_pool


def allocate(nbytes: int) -> PooledBlock:
    """A block of host memory; see `Pool.allocate`."""
    return (_host_pool or host_pool()).allocate(nbytes)


def empty_cache() -> int:
    """Give memory that was freed and kept for reuse back to the system.

    Freed results are kept by size, up to the `pool_megabytes` option, so that the next ones need no fresh pages.

    Returns:
        The bytes given back.

    Example:
        >>> import squall as sq
        >>> _ = sq.ones(1000).sum().item()
        >>> sq.empty_cache() >= 0
        True
    """
    return host_pool().empty()


def wrap(pointer: int, nbytes: int, owner: Any) -> Block:
    """A block over foreign memory that lives as long as `owner` does."""
    return Block(pointer, nbytes, owner)


def wrap_array(array: Any) -> Block:
    """A block over the memory of an object with `__array_interface__` and `nbytes`, such as a NumPy array.

    The block starts at the array's first element; for negative strides memory before it belongs to it too.

    Raises:
        ValueError: when the array is read-only.
    """
    pointer, read_only = array.__array_interface__["data"]
    if read_only:
        raise ValueError("the array is read-only; copy it first")
    return Block(pointer, array.nbytes, array)


@fork.in_child
def _reset_lock() -> None:
    global _host_lock
    _host_lock = threading.Lock()
