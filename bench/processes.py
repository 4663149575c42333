"""Child processes on one core each, in sessions of their own, so that ending one ends all that it started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def pinned(command: list[str], core: int | None) -> list[str]:
    """``command`` on ``core`` alone; as it is where there is no core to give."""
    return command if core is None else ["taskset", "-c", str(core), *command]


def cores() -> tuple[int | None, int | None]:
    """The core of the contestant and that of the load and the backends; None twice where they cannot be kept apart."""
    free = sorted(os.sched_getaffinity(0))
    return (free[0], free[1]) if len(free) > 1 and shutil.which("taskset") else (None, None)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def output(command: list[str]) -> str:
    """What a short command says, on either stream."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    return done.stdout.strip()


def resident(pid: int) -> tuple[int, int]:
    """RSS and PSS of a process, in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    found = {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines[1:])}
    return found["Rss"], found["Pss"]


class Process:
    """A running child; ``log`` gets what it says."""

    def __init__(self, command: list[str], core: int | None, log: Path) -> None:
        self.log = log
        with log.open("wb") as sink:
            self._child = subprocess.Popen(
                pinned(command, core), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )

    @property
    def ended(self) -> bool:
        return self._child.poll() is not None

    def cpu_seconds(self, command: str = "") -> float:
        """User and system time so far, of the whole session; what has ended in it is not counted.

        ``command``: only of processes whose command line has that in it.
        """
        wanted = command.encode()
        return sum(_cpu_ticks(entry) for entry in _session(self._child.pid) if wanted in _command(entry)) / TICK

    @property
    def workers(self) -> list[int]:
        """The processes that it has started."""
        return [pid for entry in _session(self._child.pid) if (pid := int(entry.name)) != self._child.pid]

    @property
    def pid(self) -> int:
        return self._child.pid

    def stop(self) -> None:
        """Ask, wait a little, insist."""
        try:
            self.signal(signal.SIGTERM)
            self._child.wait(timeout=3)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.signal(signal.SIGKILL)
            self._child.wait(timeout=3)

    def signal(self, number: signal.Signals) -> None:
        """To all of the session."""
        try:
            os.killpg(self._child.pid, number)
        except ProcessLookupError:
            pass


def _fields(entry: Path) -> list[str]:
    try:
        # The name of the program, in parentheses, may hold spaces.
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def _session(leader: int) -> list[Path]:
    entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [entry for entry in entries if (fields := _fields(entry)) and fields[3] == str(leader)]


def _cpu_ticks(entry: Path) -> int:
    fields = _fields(entry)
    return int(fields[11]) + int(fields[12]) if fields else 0
