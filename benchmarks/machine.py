"""What a measurement was made on: processor, cores, versions, command and date."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

import squall

# Above this load at the start, something else was running.
QUIET_LOAD = 0.7
PACKAGES = ("numpy", "llvmlite", "torch", "jax", "jaxlib", "onnxruntime", "tinygrad")


def describe(arguments: list[str]) -> dict:
    """The record that stands at the head of every results file."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": memory_gib(),
        "load": load(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
        "command": "python -m benchmarks " + " ".join(arguments),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The processor's own name, with the vector extensions that decide most numbers."""
    name, flags = platform.machine(), set()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return name
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in {"flags", "Features"}:
            flags |= set(value.split())
    vectors = [
        flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve") if flag in flags
    ]
    return f"{name} ({', '.join(vectors)})" if vectors else name


def load() -> float:
    """How many processes wanted a core over the last minute."""
    return round(os.getloadavg()[0], 2)


def memory_gib() -> float:
    """Main memory in GiB."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def versions() -> dict[str, str]:
    """The versions of what is installed."""
    found = {"squall": squall.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
