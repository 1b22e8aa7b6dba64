"""Which CPU code is generated for: its instruction set, vectors, registers and caches, found out on first use.

The host's target uses every feature the processor reports. It can be cut down to an older instruction set by the
`isa` knob (`SQUALL_ISA=avx2`), and any target can be asked for by name, to look at the code another machine would get.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from squall.base import config
from squall.base.errors import DeviceError
from squall.runtime import host, machine_code
from squall.runtime.machine_code import CodeTarget
from squall.runtime.native import host_platform

# name: (architecture, vector bytes, vector registers, LLVM's name of the smallest processor that has it)
ISAS = {
    "sse4": ("x86_64", 16, 16, "x86-64-v2"),
    "avx2": ("x86_64", 32, 16, "x86-64-v3"),
    "avx512": ("x86_64", 64, 32, "x86-64-v4"),
    "neon": ("aarch64", 16, 32, "generic"),
}
_TRIPLES = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}
# What the smallest processor of each set has, as far as the code generator asks.
_IMPLIED = {"sse4": frozenset(), "neon": frozenset(("neon",)), **machine_code.NEEDED}


class Target(NamedTuple):
    """A CPU to generate code for.

    Args:
        isa: "avx512", "avx2", "sse4" or "neon". architecture: "x86_64" or "aarch64".
        vector_bytes: of one register. registers: how many vector registers there are.
        code: LLVM's triple, processor and features. features: names of those present.
        cache_bytes: of the first, second and third level, as far as known.
    """

    isa: str
    architecture: str
    vector_bytes: int
    registers: int
    code: CodeTarget
    features: frozenset[str]
    cache_bytes: tuple[int, int, int]

    @property
    def is_host(self) -> bool:
        """Whether this process can run the target's code."""
        return self.code.triple == host.facts().triple

    def lanes(self, element_bytes: int) -> int:
        """Elements in one vector register."""
        return self.vector_bytes // element_bytes


def _cache_bytes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> tuple[int, int, int]:
    """Data cache sizes by level; modest ones where the system does not tell."""
    sizes = {1: 32 << 10, 2: 512 << 10, 3: 8 << 20}
    for folder in sorted(root.glob("index*")):
        try:
            level, kind = int((folder / "level").read_text()), (folder / "type").read_text().strip()
            text = (folder / "size").read_text().strip()
            size = int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0)
        except (OSError, ValueError):
            continue
        if kind != "Instruction":
            sizes[level] = size
    return sizes[1], sizes[2], sizes[3]


def named_target(isa: str, triple: str = "") -> Target:
    """The smallest processor with an instruction set.

    Args:
        isa: a key of `ISAS`. triple: LLVM's; this machine's when it has that architecture, else Linux's.

    Raises:
        DeviceError: for an unknown instruction set.

    Example:
        >>> named_target("neon").vector_bytes
        16
    """
    if isa not in ISAS:
        raise DeviceError(f"unknown instruction set {isa!r}; there are {', '.join(ISAS)}")
    architecture, vector_bytes, registers, processor = ISAS[isa]
    if not triple:
        same = host_platform().machine == architecture
        triple = host.facts().triple if same else _TRIPLES[architecture]
    return Target(isa, architecture, vector_bytes, registers, CodeTarget(triple, processor),
                  _IMPLIED[isa], _cache_bytes())


@lru_cache(maxsize=8)
def _host(isa: str) -> Target:
    facts, machine, best = host.facts(), host_platform().machine, host.isa()
    if not best:
        raise DeviceError(f"squall generates code for x86-64 and AArch64 processors, not for {machine}")
    wanted = isa or best
    if wanted not in ISAS:
        raise DeviceError(f"SQUALL_ISA={wanted!r}: there are {', '.join(ISAS)}")
    order = [name for name in ISAS if ISAS[name][0] == machine]
    if wanted not in order or order.index(wanted) > order.index(best):
        raise DeviceError(f"SQUALL_ISA={wanted!r}: this processor ({facts.processor}) has {best}")
    if wanted != best:
        return named_target(wanted)
    _, vector_bytes, registers, _ = ISAS[best]
    # Tiles need the operating system's leave (arch_prctl), which nobody asks for.
    features = ",".join(f for f in facts.features.split(",") if not f[1:].startswith("amx"))
    code = CodeTarget(facts.triple, facts.processor, features)
    return Target(best, machine, vector_bytes, registers, code, facts.present, _cache_bytes())


def host_target() -> Target:
    """The CPU this process runs on, cut down to the `isa` knob when that is set.

    Raises:
        DeviceError: when the knob names an instruction set that this processor lacks, or none at all.

    Example:
        >>> host_target().isa in ISAS
        True
    """
    return _host(config.get("isa"))
