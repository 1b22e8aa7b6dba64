"""Matrix tiles (AMX) of x86 processors, and sums of a few products: whether this process may use them.

Their registers are large, so Linux keeps room for them only for processes that ask, once, for all of their threads.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import lru_cache

from squall.runtime import host

NEEDED = frozenset(("amx-tile", "amx-bf16", "amx-int8", "avx512f", "avx512bw", "avx512dq", "avx512vl"))
_ADDS_BYTES = frozenset(("avx512vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"))
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18


@lru_cache(maxsize=1)
def granted() -> bool:
    """Whether the processor has matrix tiles for bfloat16 and bytes, and the system lets this process use them.

    Example:
        >>> granted() in (True, False)
        True
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or not host.facts().present >= NEEDED:
        return False
    try:
        return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0
    except (OSError, AttributeError):
        return False


@lru_cache(maxsize=1)
def adds_bytes() -> bool:
    """Whether the processor adds up products of four bytes in one instruction (AVX512-VNNI).

    Example:
        >>> adds_bytes() in (True, False)
        True
    """
    return platform.machine() in ("x86_64", "AMD64") and host.facts().present >= _ADDS_BYTES


@lru_cache(maxsize=1)
def adds_pairs() -> bool:
    """Whether the processor also adds up products of two bfloat16 numbers in one instruction (AVX512-BF16).

    Example:
        >>> adds_pairs() in (True, False)
        True
    """
    return adds_bytes() and "avx512bf16" in host.facts().present


@lru_cache(maxsize=1)
def adds_pairs_fast() -> bool:
    """Whether that is faster than multiply-adds in float32: on AMD's it is twice as fast, on Intel's half as fast.

    Example:
        >>> adds_pairs_fast() in (True, False)
        True
    """
    return adds_pairs() and host.facts().processor.startswith("znver")
