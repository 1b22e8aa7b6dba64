"""How many processors this process is really given: affinity, physical cores, a container's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path


def _quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Processors a container's quota allows; infinity when nothing says."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit = int((root / "cpu/cpu.cfs_quota_us").read_text())
        return math.inf if limit <= 0 else limit / int((root / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return math.inf


def _cores(processors: set[int], root: Path = Path("/sys/devices/system/cpu")) -> int:
    """Physical cores behind the processors: two threads of one core share its multipliers, so they gain nothing."""
    seen = set()
    for number in processors:
        try:
            seen.add((root / f"cpu{number}/topology/thread_siblings_list").read_text().strip())
        except OSError:
            return len(processors)
    return len(seen)


def processor_count() -> int:
    """Logical processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_threads() -> int:
    """Physical cores this process may run on, lowered to a container's quota; at least 1."""
    cores = _cores(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else processor_count()
    return max(1, min(cores, math.ceil(min(_quota(), cores))))
