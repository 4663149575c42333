import io
import json
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


def logged(level: str, form: logs.Format = "text", *, worker: int | None = None) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    logs.start(level, form, worker=worker, stream=stream)
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


def test_a_line_of_json() -> None:
    log, stream = logged("info", "json")
    log.info("reloaded generation=%d", 2)
    event = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("ts"))
    assert event == {"level": "INFO", "message": "reloaded generation=2"}


def test_json_has_the_worker_the_traceback_and_whatever_a_file_is_called() -> None:
    log, stream = logged("info", "json", worker=3)
    try:
        raise ValueError("oh\r\nno")
    except ValueError:
        log.exception("failed on %s", "a\nb\udcff")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["worker"], event["message"]) == (3, "failed on a\nb\\udcff")
    assert event["exception"].startswith("Traceback")
    assert event["exception"].endswith("ValueError: oh\r\nno")


def test_the_level_can_be_changed() -> None:
    log, stream = logged("warning")
    logs.set_level("debug")
    log.debug("loud")
    logs.set_level("error")
    log.warning("quiet")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["loud"]
