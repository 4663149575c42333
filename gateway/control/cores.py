"""How many cores this process may use: what ``server.workers: auto`` stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath


def cores(root: Path = Path("/")) -> int:
    """The cores that affinity allows, or the CPU quota of the cgroup (rounded up) where that is less; at least 1."""
    return max(1, min(len(os.sched_getaffinity(0)), *(ceil(quota) for quota in _quotas(root))))


def _quotas(root: Path) -> Iterator[float]:
    """CPUs granted by each limit on the way up from our cgroup (v2, and v1's cpu controller)."""
    yield float(os.cpu_count() or 1)
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        # In a container the path may be one of the host's, which is not there; the mount's root is then our own.
        place = PurePosixPath(name.lstrip("/"))
        for level in (place, *place.parents):
            if not controllers:
                yield from _quota(*_read(root / "sys/fs/cgroup" / level / "cpu.max").split())
            elif "cpu" in controllers.split(","):
                group = root / "sys/fs/cgroup/cpu" / level
                yield from _quota(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _quota(quota: str = "", period: str = "") -> Iterator[float]:
    if quota.strip().isdigit() and period.strip().isdigit():
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
