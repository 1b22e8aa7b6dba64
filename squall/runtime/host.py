"""What LLVM says of this machine, remembered on disk: a process that compiles nothing need not load LLVM to ask.

The answer is kept under everything it depends on: the processor as the system describes it, and the llvmlite that is
installed. Systems that do not describe their processor in a file (other than Linux) ask LLVM each time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from squall.runtime import disk_cache, machine_code

_FORMAT = 1
# What tells processors apart; the rest of the file varies from moment to moment or from core to core.
_TELLING = frozenset(("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features",
                      "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision"))


class Facts(NamedTuple):
    """LLVM's triple of this process, its name of the processor, the features it has and lacks ("+avx2,-sse4a"), and
    the versions of llvmlite and LLVM."""

    triple: str
    processor: str
    features: str
    compiler: str

    @property
    def present(self) -> frozenset[str]:
        """The names of the features the processor has."""
        return frozenset(name[1:] for name in self.features.split(",") if name.startswith("+"))


def _described(root: Path = Path("/proc/cpuinfo")) -> str:
    """The system's description of the first processor; "" where there is none."""
    try:
        with open(root, encoding="utf-8", errors="replace") as file:
            lines = []
            for line in file:
                if not line.strip():
                    break
                if line.partition(":")[0].strip() in _TELLING:
                    lines.append(line)
            return "".join(lines)
    except OSError:
        return ""


def _installed() -> str:
    """Which llvmlite would be imported: where it lies and when it was written; "" without one."""
    found = importlib.util.find_spec("llvmlite")
    if found is None or found.origin is None:
        return ""
    status = os.stat(found.origin)
    return f"{found.origin} {status.st_mtime_ns} {status.st_size}"


def _asked() -> Facts:
    llvm = machine_code.binding()
    return Facts(llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(),
                 machine_code.compiler_version())


@lru_cache(maxsize=1)
def facts() -> Facts:
    """What LLVM says of this machine, from disk when it has been asked before.

    Example:
        >>> facts().triple != ""
        True
    """
    described, installed = _described(), _installed()
    if not described or not installed:
        return _asked()
    whole = "\0".join((f"host facts {_FORMAT}", sys.platform, os.uname().machine, described, installed))
    key = hashlib.sha256(whole.encode()).hexdigest()
    kept = disk_cache.disk().get(key)
    if kept is not None:
        try:
            found = Facts(*json.loads(kept))
            if all(isinstance(field, str) for field in found):
                return found
        except (ValueError, TypeError):
            pass
    found = _asked()
    disk_cache.disk().put(key, json.dumps(found).encode())
    return found


def isa() -> str:
    """The instruction set code is written for by default: "avx512", "avx2", "sse4", "neon"; "" for other processors."""
    known = facts()
    if known.triple.startswith(("aarch64", "arm64")):
        return "neon"
    if not known.triple.startswith(("x86_64", "amd64")):
        return ""
    return next((name for name, needed in machine_code.NEEDED.items() if needed <= known.present), "sse4")
