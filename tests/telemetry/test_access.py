import asyncio
import json
import select
from pathlib import Path

import msgspec
import pytest

from gateway.config.telemetry import AccessLog as Config
from gateway.errors import GatewayError
from gateway.graph.kserve.errors import RouterError
from gateway.message import Record
from gateway.telemetry.access import BATCH, DELAY, FLAGS, AccessLog, Entry, as_json, as_text, line
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual


def entry(status: int = 200, target: bytes = b"/v1/models/iris:predict?key=secret", **known: object) -> Entry:
    record = Record("iris", attempts=2, upstream=0.0015, queued=0.001)
    made = Entry(1_700_000_000.5, 0.25, b"POST", target, [], 1, b"id-1", b"10.0.0.1", [], record, 12, status, 34)
    return msgspec.structs.replace(made, **known)


def fields(one: Entry) -> dict[str, object]:
    found: dict[str, object] = json.loads(as_json(line(one)))
    return found


def test_a_line_of_json() -> None:
    route = [b"root=a", b"canary=b"]
    headers = [(b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), (b"cookie", b"secret")]
    assert fields(entry(route=route, headers=headers)) == {
        "ts": "2023-11-14T22:13:20.250000Z",
        "method": "POST",
        "path": "/v1/models/iris:predict",
        "route": "iris",
        "status": 200,
        "flags": "-",
        "details": "",
        "bytes_in": 12,
        "bytes_out": 34,
        "duration_ms": 250.0,
        "upstream_ms": 1.5,
        "queue_ms": 1.0,
        "attempts": 2,
        "branch": "root=a, canary=b",
        "request_id": "id-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "client": "10.0.0.1",
        "protocol": "HTTP/1.1",
    }


def test_a_line_of_text() -> None:
    assert as_text(line(entry(minor=0, peer=b"", route=[b"root=a b"]))) == (
        b'2023-11-14T22:13:20.250Z - "POST /v1/models/iris:predict HTTP/1.0" 200 - route=iris details=- bytes_in=12 '
        b"bytes_out=34 duration_ms=250.0 upstream_ms=1.5 queue_ms=1.0 attempts=2 "
        b'branch="root=a b" request_id=id-1 trace_id=-\n'
    )


@pytest.mark.parametrize("written", [as_json, as_text])
def test_a_hostile_path_stays_in_its_field_and_in_one_piece(written: object) -> None:
    assert callable(written)
    made = written(line(entry(target=b'/a" 200 "\r\n\xff\x00' + b"\xff" * 8192)))
    assert made.count(b"\n") == 1
    assert len(made) < select.PIPE_BUF
    assert b'/a\\" 200 \\"\\r\\n' in made


def test_the_answer_to_head_has_no_body() -> None:
    assert fields(entry(method=b"HEAD"))["bytes_out"] == 0


@pytest.mark.parametrize(
    "traceparent",
    [
        b"",
        b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
        b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        b"0af7651916cd43dd8448eb211c80319c",
    ],
)
def test_what_is_no_trace_id_is_none(traceparent: bytes) -> None:
    assert fields(entry(headers=[(b"traceparent", traceparent)]))["trace_id"] == ""


def test_flags_and_details_say_why() -> None:
    failed = Record(failure="upstream_timeout", flags=("DI", "URX"))
    assert {name: fields(entry(504, record=failed))[name] for name in ("flags", "details")} == {
        "flags": "UT,DI,URX",
        "details": "upstream_timeout",
    }


def test_a_failure_that_was_got_over_is_none() -> None:
    found = fields(entry(200, record=Record(failure="upstream_timeout", flags=("DI",))))
    assert (found["flags"], found["details"]) == ("DI", "")


def test_an_error_without_a_letter_has_its_code() -> None:
    found = fields(entry(500, record=Record(failure="internal_error")))
    assert (found["flags"], found["details"]) == ("-", "internal_error")


def test_every_code_with_a_flag_exists() -> None:
    def codes(kind: type[GatewayError]) -> set[str]:
        return {kind.code}.union(*map(codes, kind.__subclasses__()))

    assert RouterError.code in codes(GatewayError)
    assert FLAGS.keys() <= codes(GatewayError)


# The log.


class Log:
    """An access log in a file."""

    def __init__(self, path: Path, random: list[float] | None = None, **options: object) -> None:
        self.path = path
        self.registry = Registry.private()
        config = msgspec.convert({"path": str(path), **options}, Config)
        self.log = AccessLog(config, self.registry, iter(random or ()).__next__)

    def written(self) -> list[int]:
        """The status of each line."""
        self.log.journal.flush(10.0)
        return [json.loads(text)["status"] for text in self.path.read_text().splitlines()]


@virtual
async def test_lines_are_written_together_a_moment_later(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.log.note(entry(200))
    await asyncio.sleep(DELAY / 2)
    log.log.note(entry(201))
    assert log.written() == []
    assert repr(log.log) == f"<AccessLog 2 <Journal {log.path} waiting=0>>"
    await asyncio.sleep(DELAY / 2 + 0.001)
    assert log.written() == [200, 201]
    log.log.note(entry(202))
    await asyncio.sleep(DELAY + 0.001)
    assert log.written() == [200, 201, 202]
    log.log.close()


@virtual
async def test_many_lines_do_not_wait(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    for _ in range(BATCH + 1):
        log.log.note(entry())
    assert log.written() == []
    await asyncio.sleep(0.001)
    assert len(log.written()) == BATCH + 1
    log.log.close()


@virtual
async def test_errors_only(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", errorsOnly=True)
    for status in (200, 302, 399, 400, 499, 503):
        log.log.note(entry(status))
    log.log.hand_on()
    assert log.written() == [400, 499, 503]
    log.log.close()


@virtual
async def test_a_share_is_drawn(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", [0.24, 0.25, 0.0, 0.9], sampleRate=0.25)
    for status in (200, 201, 202, 203):
        log.log.note(entry(status))
    log.log.hand_on()
    assert log.written() == [200, 202]
    log.log.close()


@virtual
async def test_what_was_noted_before_a_reopening_is_in_the_old_file(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.log.note(entry(200))
    log.path.rename(tmp_path / "old")
    log.log.reopen()
    log.log.note(entry(500))
    log.log.hand_on()
    assert log.written() == [500]
    assert '"status":200' in (tmp_path / "old").read_text()
    log.log.close()


@virtual
async def test_text_if_asked_for_and_all_is_written_at_the_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", format="text")
    log.log.note(entry(200))
    log.log.close()
    log.log.journal._thread.join(10.0)
    assert log.path.read_text().startswith('2023-11-14T22:13:20.250Z 10.0.0.1 "POST ')


@virtual
async def test_every_reason_is_counted_from_the_start(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    assert {series.labels: cells[0] for series, cells in read(log.registry.segment)} == {("full",): 0, ("failed",): 0}
    log.log.close()
