import os
import resource
import subprocess
import sys
import threading
import time

import pytest
from prometheus_client import ProcessCollector

from gateway.telemetry.metrics import Series
from gateway.telemetry.names import METRICS
from gateway.telemetry.processes import figures, look


def test_the_figures_are_those_of_the_process() -> None:
    there = {metric.name: metric.samples[0].value for metric in ProcessCollector(registry=None).collect()}
    found = look(os.getpid())
    assert found["start_time_seconds"] == pytest.approx(there["process_start_time_seconds"], abs=2.0)
    assert found["start_time_seconds"] < time.time()
    assert found["cpu_seconds_total"] == pytest.approx(there["process_cpu_seconds"], abs=1.0)
    assert found["memory_bytes"] == pytest.approx(there["process_resident_memory_bytes"], rel=0.2)
    assert found["max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_threads_and_open_files_are_counted() -> None:
    before = look(os.getpid())
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    ours, theirs = os.pipe()
    during = look(os.getpid())
    for descriptor in (ours, theirs):
        os.close(descriptor)
    ended.set()
    thread.join()
    assert [during[name] - before[name] for name in ("threads", "open_fds")] == [1, 2]


def test_a_command_with_brackets_and_spaces_is_no_matter() -> None:
    code = "import pathlib; pathlib.Path('/proc/self/comm').write_text('a) R 1 (b'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as named:
        assert named.stdout is not None
        named.stdout.readline()
        found = look(named.pid)
        named.communicate(b"\n")
    assert found["threads"] == 1
    assert abs(found["start_time_seconds"] - time.time()) < 60


def test_what_a_process_does_not_show_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> os.stat_result:
        raise PermissionError(path)

    monkeypatch.setattr("gateway.telemetry.processes.os.stat", refuse)
    assert look(os.getpid()).keys() == {"cpu_seconds_total", "memory_bytes", "start_time_seconds", "threads"}


def test_without_the_size_of_the_directory_files_are_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = look(os.getpid())["open_fds"]
    zero = os.stat_result((0,) * 10)
    monkeypatch.setattr("gateway.telemetry.processes.os.stat", lambda path: zero)
    assert abs(look(os.getpid())["open_fds"] - expected) <= 1


def test_every_worker_has_its_series() -> None:
    found = dict(figures({3: os.getpid()}))
    assert {series.labels for series in found} == {("3",)}
    assert found[Series("gauge", "gateway_worker_threads", ("3",))][0] >= 1
    assert {series.name for series in found} == {name for name in METRICS if METRICS[name].labels == ("worker",)}
    assert all(len(cells) == 1 for cells in found.values())


def test_a_worker_that_has_just_died_is_left_out() -> None:
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
    dead.wait()
    assert list(figures({0: dead.pid})) == []
