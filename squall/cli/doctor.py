"""`squall doctor`: what is installed, what the machine can do, and whether compiling works."""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import squall as sq
from squall.backends.cpu.target import host_target
from squall.base import config
from squall.cli.console import Console
from squall.runtime import machine_code, objects
from squall.runtime.native import get_num_threads
from squall.runtime.processors import processor_count

_NEEDED = ("numpy", "llvmlite", "ml_dtypes")
_OPTIONAL = {"rich": "cli", "matplotlib": "cli"}
_SHOWN_FEATURES = (
    "avx512f",
    "avx512bf16",
    "avx512vnni",
    "avx2",
    "fma",
    "f16c",
    "sse4.2",
    "neon",
    "sve",
    "bf16",
    "dotprod",
)
_KERNEL = """
define i64 @squall_doctor(i64 %x) {
  %y = mul i64 %x, 3
  %z = add i64 %y, 1
  ret i64 %z
}
"""


class Finding(NamedTuple):
    """One line: what was looked at, whether it is as it should be, and what was found."""

    name: str
    good: bool
    detail: str


def _packages() -> list[Finding]:
    found = [
        Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()}, {platform.platform()}"),
        Finding("squall", True, sq.__version__),
    ]
    for name in _NEEDED:
        try:
            found.append(Finding(name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(name, False, f"missing: pip install {name}"))
    for name, extra in _OPTIONAL.items():
        try:
            found.append(Finding(name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(name, True, f"not installed (optional): pip install 'squall[{extra}]'"))
    return found


def _processor() -> Finding:
    target = host_target()
    features = [name for name in _SHOWN_FEATURES if name in target.features]
    sizes = ", ".join(f"L{level} {size >> 10} KB" for level, size in enumerate(target.cache_bytes, 1))
    return Finding("processor", True, f"{target.code.processor}: {target.isa} ({' '.join(features)}); {sizes}")


def _threads() -> Finding:
    return Finding(
        "threads", True, f"{get_num_threads()} in the pool, {processor_count()} logical processors"
    )


def _cache() -> Finding:
    if not config.get("cache"):
        return Finding("disk cache", True, "off (SQUALL_CACHE=0)")
    disk = objects.disk()
    files = size = 0
    if disk.folder is not None and disk.folder.is_dir():
        for folder, _, names in os.walk(disk.folder):
            for name in names:
                try:
                    size += os.path.getsize(os.path.join(folder, name))
                    files += 1
                except OSError:
                    continue  # trimmed meanwhile
    probe = disk.put("00" + "d0c7" * 15 + "00", b"doctor")
    detail = (
        f"{disk.folder}: {files} files, {size / 1e6:.1f} MB of at most {config.get('cache_megabytes')} MB"
    )
    return Finding(
        "disk cache",
        probe,
        detail if probe else f"{disk.folder} cannot be written; kernels are compiled anew each time",
    )


def _temporary() -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        return Finding("temporary folder", True, f"{os.path.dirname(folder)} can be written")


def _compiler() -> Finding:
    name = f"squall_doctor_{os.getpid()}"
    started = time.perf_counter()
    unit = machine_code.Unit(_KERNEL, {"squall_doctor": name})
    blobs = machine_code.compile_objects([unit], host_target().code)
    address = machine_code.load_objects(blobs, [name])[name]
    milliseconds = 1e3 * (time.perf_counter() - started)
    answer = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(14)
    return Finding(
        "machine code",
        answer == 43,
        f"a kernel compiled, loaded and run in {milliseconds:.1f} ms"
        if answer == 43
        else f"a compiled kernel gave {answer} instead of 43",
    )


def _program() -> Finding:
    started = time.perf_counter()
    x = sq.arange(1000.0).requires_grad_()
    (x * x).sum().backward()
    gradient = x.grad
    right = gradient is not None and gradient.tolist() == [2.0 * i for i in range(1000)]
    milliseconds = 1e3 * (time.perf_counter() - started)
    return Finding(
        "a first program",
        right,
        f"recorded, differentiated, compiled and run in {milliseconds:.0f} ms"
        if right
        else "a gradient is wrong",
    )


def _checked(check: Callable[[], Finding]) -> Finding:
    """A finding; an exception is one as well."""
    try:
        return check()
    except Exception as error:
        return Finding(check.__name__.strip("_"), False, f"{type(error).__name__}: {error}")


def run(options: argparse.Namespace, console: Console) -> int:
    """Print the findings; 1 when something needed does not work."""
    found = _packages() + [
        _checked(check) for check in (_processor, _threads, _cache, _temporary, _compiler, _program)
    ]
    healthy = all(finding.good for finding in found)
    if options.json:
        console.record(healthy=healthy, findings=[finding._asdict() for finding in found])
    else:
        console.table("squall doctor", [(f.name, "ok" if f.good else "BAD", f.detail) for f in found])
        console.print("everything works" if healthy else "something needs attention")
    return 0 if healthy else 1
