from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import pytest

from gateway.config import ConfigErrors
from gateway.config.report import ConfigError
from gateway.config.schema import Admin, Config, Server
from gateway.control.run import run


@dataclass
class Given:
    """Options whose file says ``config``, or is as wrong as ``errors`` say."""

    config: Config
    errors: tuple[ConfigError, ...] = ()
    log_level: str = "INFO"
    log_format: Literal["text", "json"] = "text"

    def load(self, environ: Mapping[str, str]) -> Config:
        if self.errors:
            raise ConfigErrors(list(self.errors))
        return self.config


@pytest.fixture(autouse=True)
def signals_and_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handlers of this very process stay as they are."""
    monkeypatch.setattr("gateway.control.run.signal.signal", lambda *_: None)
    monkeypatch.setattr("gateway.control.run.logs.start", lambda *_: None)


@contextmanager
def taken() -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_every_error_of_the_configuration_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    errors = tuple(ConfigError("a.yaml", line, 1, "graphs", f"wrong {line}") for line in (3, 4))
    with caplog.at_level(logging.ERROR, "gateway"):
        assert run(Given(Config(), errors)) == 1
    assert [record.getMessage() for record in caplog.records] == [str(error) for error in errors]


@pytest.mark.parametrize("which", ["data", "admin"])
def test_a_port_that_is_taken_ends_it_before_it_begins(which: str, caplog: pytest.LogCaptureFixture) -> None:
    with taken() as busy, caplog.at_level(logging.ERROR, "gateway"):
        free = "127.0.0.1:0"
        server = Server(listen=(busy if which == "data" else free,), workers=1)
        admin = Admin(listen=busy if which == "admin" else free)
        assert run(Given(Config(server=server, admin=admin))) == 1
        (record,) = caplog.records
        assert busy in record.getMessage()
