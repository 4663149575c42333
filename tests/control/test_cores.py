import os
from pathlib import Path

import pytest

from gateway.control.cores import cores


@pytest.fixture(autouse=True)
def _eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_without_cgroups_it_is_the_affinity(tmp_path: Path) -> None:
    assert cores(tmp_path) == 8


def test_here_it_is_at_least_one() -> None:
    assert cores() >= 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("6400000 100000", 8)],
)
def test_a_quota_of_version_two_is_rounded_up(tmp_path: Path, limit: str, expected: int) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/system.slice/gateway.service")
    put(tmp_path, "sys/fs/cgroup/system.slice/gateway.service/cpu.max", limit)
    assert cores(tmp_path) == expected


def test_the_tightest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/a/b")
    put(tmp_path, "sys/fs/cgroup/a/b/cpu.max", "400000 100000")
    put(tmp_path, "sys/fs/cgroup/a/cpu.max", "300000 100000")
    assert cores(tmp_path) == 3


def test_a_container_that_sees_the_hosts_path_finds_its_own_limit_at_the_mount(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/kubepods/pod1/abc")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "250000 100000")
    assert cores(tmp_path) == 3


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("200000", 2)])
def test_a_quota_of_version_one(tmp_path: Path, quota: str, expected: int) -> None:
    put(tmp_path, "proc/self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/docker/abc")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota)
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert cores(tmp_path) == expected
