import io
import logging
import re
from collections.abc import Iterator

import pytest

from gateway.telemetry import logs


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def logged(level: str, *, worker: int | None = None) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    logs.start(level, worker=worker, stream=stream)
    return logging.getLogger("gateway.test"), stream


def test_a_line_has_time_level_and_message() -> None:
    log, stream = logged("info")
    log.info("reloaded generation=%d", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO reloaded generation=2\n", stream.getvalue())


def test_a_workers_line_names_it() -> None:
    log, stream = logged("info", worker=3)
    log.info("serving")
    assert stream.getvalue().endswith(" INFO serving worker=3\n")


def test_what_is_below_the_level_is_left_out() -> None:
    log, stream = logged("warning")
    log.info("quiet")
    log.warning("loud")
    assert len(stream.getvalue().splitlines()) == 1


def test_an_event_is_one_line_even_with_a_traceback_or_hostile_text() -> None:
    log, stream = logged("info")
    try:
        raise ValueError("oh\r\nno")
    except ValueError:
        log.exception("failed on %s", "a\nb")
    assert len(stream.getvalue().splitlines()) == 1
    assert "failed on a\\nb\\nTraceback" in stream.getvalue()
