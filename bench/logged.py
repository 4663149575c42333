"""A gateway that logs every body, its sink, and the spool between them: what the outage does things to."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path

from graphs import pass_through
from load import wait_until_up
from processes import Process, cores

FSYNC = 1.0
"""Seconds; what a death may cost."""
METRIC = "gateway_payload_log_"


def configuration(port: int, admin: int, model: int, sink: int, mode: str, directory: Path) -> dict[str, object]:
    """The gateway's file, with the spool on disk."""
    spool = {"path": str(directory / "spool"), "maxBytes": "1GiB", "fsync": f"{FSYNC:g}s"}
    audit = {"type": "http", "url": f"http://127.0.0.1:{sink}/", "contentMode": mode, "concurrency": 4, "spool": spool}
    return {
        "server": {"listen": f"127.0.0.1:{port}", "workers": 1, "drain": {"delay": "0s", "timeout": "30s"}},
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "backends": {"b0": {"url": f"http://127.0.0.1:{model}", "model": "iris"}},
        "graphs": {"iris": {"payloadLog": {"sink": "audit"}, "nodes": pass_through([1])}},
        "payloadLog": {"sinks": {"audit": audit}},
    }


class Sink:
    """The process of collector.py: on one port and with one file, whenever it runs."""

    def __init__(self, port: int, directory: Path) -> None:
        self.port = port
        self.file = directory / "events"
        self._log = directory / "collector.log"
        self.file.touch()
        self.start()

    def start(self) -> None:
        script = str(Path(__file__).with_name("collector.py"))
        self._process = Process([sys.executable, script, str(self.port), str(self.file)], cores()[1], self._log)

    def stop(self) -> None:
        self._process.signal(signal.SIGKILL)
        self._process.stop()

    def taken(self) -> list[list[str]]:
        """Type, id and correlationid of every event, as they came."""
        return [line.split(" ") for line in self.file.read_text().splitlines()]


class Gateway:
    """One that can be killed, all of it or its worker; it runs where ``file`` says."""

    def __init__(self, file: Path, port: int, admin: int) -> None:
        self._file = file
        self._url = f"http://127.0.0.1:{port}"
        self._admin = f"http://127.0.0.1:{admin}"
        self._before = 0.0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "gateway", "run", "-c", str(self._file)]
        self._process = Process(command, cores()[0], self._file.with_suffix(".log"))
        wait_until_up(self._url, self._process)

    def stop(self) -> None:
        self._process.stop()

    def kill(self, whom: str) -> float:
        """With SIGKILL; when that was. The control process replaces its worker, we replace a whole gateway."""
        if whom == "worker":
            for pid in self._process.workers:
                if b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
            return time.perf_counter()
        self._before = self.dropped()
        self._process.signal(signal.SIGKILL)
        death = time.perf_counter()
        self._process.stop()
        self.start()
        return death

    def dropped(self) -> float:
        """Events, for whatever reason, those included that a killed predecessor had counted."""
        return self._before + self._metric("dropped_total")

    def waiting(self) -> float:
        """Bytes in the spool that are not sent yet."""
        return self._metric("queue_bytes")

    def _metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self._admin}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{METRIC}{name}{{"))


class Watch:
    """Sees the most that ``spool`` holds on disk, in bytes."""

    def __init__(self, spool: Path) -> None:
        self.peak = 0
        self._spool = spool
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.25):
            self.peak = max(self.peak, sum(map(_size, self._spool.rglob("*.seg"))))

    def close(self) -> None:
        self._done.set()
        self._thread.join()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # sent meanwhile
        return 0
