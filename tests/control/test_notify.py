import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.control.notify import Notify


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def told(systemd: socket.socket) -> str:
    return systemd.recv(1000).decode()


def test_ready_and_stopping(systemd: socket.socket) -> None:
    notify = Notify({"NOTIFY_SOCKET": systemd.getsockname()})
    notify.ready()
    notify.stopping()
    assert [told(systemd), told(systemd)] == ["READY=1", "STOPPING=1"]


def test_a_reload_carries_the_time(systemd: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notify({"NOTIFY_SOCKET": systemd.getsockname()}).reloading()
    state, _, microseconds = told(systemd).partition("\nMONOTONIC_USEC=")
    assert state == "RELOADING=1"
    assert before <= int(microseconds) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_abstract_sockets() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0gateway-test-{os.getpid()}")
        sock.settimeout(5)
        Notify({"NOTIFY_SOCKET": f"@gateway-test-{os.getpid()}"}).ready()
        assert told(sock) == "READY=1"


def test_nobody_to_tell_is_no_error(tmp_path: Path) -> None:
    Notify({}).ready()
    Notify({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


async def test_the_watchdog_is_fed_twice_in_its_period(systemd: socket.socket) -> None:
    notify = Notify({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "2000"})
    feeding = asyncio.create_task(notify.watchdog())
    systemd.setblocking(False)
    for _ in range(3):
        assert await asyncio.get_running_loop().sock_recv(systemd, 100) == b"WATCHDOG=1"
    feeding.cancel()


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "junk"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}]
)
async def test_without_a_watchdog_of_ours_none_is_fed(systemd: socket.socket, more: dict[str, str]) -> None:
    await Notify({"NOTIFY_SOCKET": systemd.getsockname(), **more}).watchdog()


async def test_without_a_socket_the_watchdog_is_not_fed() -> None:
    await Notify({"WATCHDOG_USEC": "1000"}).watchdog()
