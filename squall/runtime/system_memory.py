"""Memory straight from the operating system or libc, by ctypes: the source under the pooling allocator.

Large blocks come from `mmap` at a multiple of 2 MB, so that Linux can back them with huge pages (asked for with
`madvise`), and go back with `munmap`; there, middling ones share such pages (`shelves`). Small ones come from
`posix_memalign`. Windows uses `_aligned_malloc` for all.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

from squall.runtime.shelves import Shelves

ALIGNMENT = 64
LARGE = 2 << 20  # from this size on memory is mapped, aligned to this size
MIDDLING = 128 << 10  # from this size on memory is part of a shelf on Linux
TRIMMING = 32 << 20  # from this size on free pages of the heap, such as compiling leaves, are given back first
_MADV_HUGEPAGE = 14
_FAILED = ctypes.c_void_p(-1).value


def _function(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


class SystemMemory:
    """Memory of this machine.

    Example:
        >>> memory = SystemMemory()
        >>> pointer = memory.acquire(1 << 20)
        >>> pointer % ALIGNMENT
        0
        >>> memory.release(pointer, 1 << 20)
    """

    def __init__(self) -> None:
        pointer, size, integer = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        self._windows = sys.platform == "win32"
        self._shelves = Shelves(self._acquire_large, self._release_large) if sys.platform == "linux" else None
        if self._windows:
            library: Any = ctypes.cdll.msvcrt  # type: ignore[attr-defined]
            self._allocate = _function(library, "_aligned_malloc", pointer, size, size)
            self._free = _function(library, "_aligned_free", None, pointer)
            return
        library = ctypes.CDLL(None)
        self._memalign = _function(library, "posix_memalign", integer, pointer, size, size)
        self._free = _function(library, "free", None, pointer)
        self._map = _function(library, "mmap", pointer, pointer, size, integer, integer, integer, ctypes.c_int64)
        self._unmap = _function(library, "munmap", integer, pointer, size)
        self._advise = _function(library, "madvise", integer, pointer, size, integer)
        self._trim = _function(library, "malloc_trim", integer, size) if hasattr(library, "malloc_trim") else None

    def acquire(self, nbytes: int) -> int:
        """Memory of `nbytes`, aligned to 64 bytes, to 2 MB from 2 MB on; 0 when the system has none.

        `nbytes` of large memory should be a multiple of the page size.
        """
        if self._windows:
            return self._allocate(nbytes, ALIGNMENT) or 0
        if nbytes >= LARGE:
            return self._acquire_large(nbytes)
        if nbytes >= MIDDLING and self._shelves is not None:
            return self._shelves.acquire(nbytes)
        slot = ctypes.c_void_p()
        return 0 if self._memalign(ctypes.addressof(slot), ALIGNMENT, nbytes) else slot.value or 0

    def _acquire_large(self, nbytes: int) -> int:
        if nbytes >= TRIMMING and self._trim is not None:
            self._trim(0)
        whole = nbytes + LARGE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        start = self._map(None, whole, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if start is None or start == _FAILED:
            return 0
        aligned = -(-start // LARGE) * LARGE
        if aligned > start:
            self._unmap(start, aligned - start)
        if start + whole > aligned + nbytes:
            self._unmap(aligned + nbytes, start + whole - aligned - nbytes)
        if sys.platform == "linux":
            self._advise(aligned, nbytes, _MADV_HUGEPAGE)
        return aligned

    def release(self, pointer: int, nbytes: int) -> None:
        """Give back what `acquire(nbytes)` returned."""
        if nbytes >= LARGE and not self._windows:
            self._release_large(pointer, nbytes)
        elif nbytes >= MIDDLING and self._shelves is not None:
            self._shelves.release(pointer, nbytes)
        else:
            self._free(pointer)

    def _release_large(self, pointer: int, nbytes: int) -> None:
        self._unmap(pointer, nbytes)
