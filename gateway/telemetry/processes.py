"""What the kernel knows of processes. Whoever asks reads it, from /proc: a worker has no part in it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

from .metrics import Series
from .names import METRICS

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BOOT = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
"""Unix time. Once and for all: a start that moves with the clock would look like another process."""


def look(pid: int) -> dict[str, float]:
    """The figures of a process by the end of their names; none where it is gone."""
    found: dict[str, float] = {}
    with suppress(OSError):
        found |= _state(pid)
        # Of a program with capabilities only root sees these.
        found |= _files(pid)
    return found


def _state(pid: int) -> dict[str, float]:
    with open(f"/proc/{pid}/stat", "rb") as stat:
        # The command, in brackets, may hold spaces; what follows it begins with field 3 of proc_pid_stat(5).
        fields = stat.read().rpartition(b")")[2].split()
    user, system, threads, started, pages = (int(fields[number - 3]) for number in (14, 15, 20, 22, 24))
    return {
        "cpu_seconds_total": (user + system) / _TICK,
        "memory_bytes": float(pages * _PAGE),
        "start_time_seconds": _BOOT + started / _TICK,
        "threads": float(threads),
    }


def _files(pid: int) -> dict[str, float]:
    with open(f"/proc/{pid}/limits", "rb") as limits:
        (most,) = (line.split()[3] for line in limits if line.startswith(b"Max open files"))
    directory = f"/proc/{pid}/fd"
    # Since Linux 6.2 its size is their number: to list ten thousand connections takes milliseconds.
    return {"max_fds": float(most), "open_fds": float(os.stat(directory).st_size or len(os.listdir(directory)))}


def figures(pids: Mapping[int, int]) -> Iterator[tuple[Series, list[float]]]:
    """The series of the workers, whose process ids are given by slot."""
    for slot, pid in pids.items():
        for end, value in look(pid).items():
            name = f"gateway_worker_{end}"
            yield Series(METRICS[name].kind, name, (str(slot),)), [value]
