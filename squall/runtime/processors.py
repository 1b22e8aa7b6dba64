"""How many processors this process is really given: affinity, physical cores, a container's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path


def _quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Processors that the control groups of this process allow, the tightest of them; infinity when nothing says.

    A container sees its own group as the root; a service or a user's slice lies some folders below it.
    """
    allowed = min(_limit(root), _limit_of_first(root / "cpu"))
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return allowed
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "cpu" if controllers else root
        folder = top / path.strip("/")
        for group in (folder, *folder.parents):
            if group == top or top not in group.parents:
                break
            allowed = min(allowed, _limit_of_first(group) if controllers else _limit(group))
    return allowed


def _limit(group: Path) -> float:
    """What a group of version 2 allows."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _limit_of_first(group: Path) -> float:
    """What a group of version 1 allows."""
    try:
        limit = int((group / "cpu.cfs_quota_us").read_text())
        return math.inf if limit <= 0 else limit / int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
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
