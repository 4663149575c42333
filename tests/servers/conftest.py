"""Real model servers, started once; ``make test-servers`` asks for them, and nothing else does.

A server that cannot be had on this machine is a skip that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.loopback import Port

from .environment import Unavailable
from .process import serving

pytest.register_assert_rewrite("tests.servers.compared")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Not with ``-m servers`` missing: a word in ``addopts`` would be lost to any other ``-m``."""
    if "servers" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("servers")]
    items[:] = [item for item in items if not item.get_closest_marker("servers")]
    config.hook.pytest_deselected(items=left_out)


def _server(name: str) -> Callable[[pytest.TempPathFactory], Iterator[Port]]:
    @pytest.fixture(scope="session", name=name)
    def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
        try:
            with serving(name, tmp_path_factory.mktemp(name) / "log") as port:
                yield Port(port)
        except Unavailable as why:
            pytest.skip(f"{name}: {why}")

    return started


kserve, mlserver, triton = map(_server, ("kserve", "mlserver", "triton"))


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Port:
    """The server that a test is parametrized with."""
    found: Port = request.getfixturevalue(request.param)
    return found
