"""What the text of a kernel must know of a CPU: little, since vectors, masks and fma are LLVM's own on every CPU.

Everything else that differs between CPUs (vector bytes, tiles) is chosen before a kernel becomes text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Table(NamedTuple):
    """The capabilities that change text.

    Args:
        half: the CPU converts float16 itself (x86 with F16C, every AArch64); otherwise integer operations do.
        mask_registers: masks are bits in registers of their own (AVX-512), best made from an integer.
        truncating: lanes of the vectors of float32 that one instruction truncates to int32, giving the smallest number
            for what does not fit (x86).
        header: lines put before everything else, such as a target triple.
    """

    half: bool = True
    mask_registers: bool = False
    truncating: tuple[int, ...] = ()
    header: str = ""


def table_for(architecture: str, features: str | Iterable[str] = "") -> Table:
    """The table of a CPU by LLVM's names.

    Args:
        architecture: `x86_64`, `aarch64` or the start of a triple.
        features: LLVM's text `+avx2,+f16c,-sse4a`, or the names of those present.

    Example:
        >>> table_for("x86_64", "+sse4.2,-f16c").half, table_for("x86_64", {"f16c"}).half, table_for("aarch64").half
        (False, True, True)
    """
    if isinstance(features, str):
        features = [name[1:] for name in features.split(",") if name.startswith("+")]
    is_x86 = architecture.startswith(("x86", "i386", "i686"))
    half = not is_x86 or "f16c" in features
    truncating = tuple(n for n, needed in ((4, "sse2"), (8, "avx"), (16, "avx512f")) if is_x86 and needed in features)
    return Table(half, mask_registers="avx512f" in features, truncating=truncating)
