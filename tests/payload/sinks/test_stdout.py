import os

import orjson
import pytest

from gateway.config.payload import Sink
from gateway.payload.dialect import CloudEvent
from gateway.payload.sinks import open_sink

EVENTS = [CloudEvent({"id": one}, "application/json", b"[1]") for one in "ab"]


async def test_one_event_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    sink = open_sink(Sink(type="stdout"))
    assert (await sink.send(EVENTS)).result == "sent"
    await sink.close()
    assert [orjson.loads(line)["id"] for line in capfd.readouterr().out.splitlines()] == ["a", "b"]


async def test_a_reader_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int, data: bytes) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    sink = open_sink(Sink(type="stdout"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", broken)
        verdict = await sink.send(EVENTS)
    assert (verdict.result, verdict.cause) == ("retry", "Broken pipe")
