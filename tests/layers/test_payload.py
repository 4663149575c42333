import asyncio
from typing import Any

import pytest

from gateway.config.payload import PayloadLog
from gateway.errors import NoHealthyUpstream, UpstreamReset
from gateway.layers.payload import payload
from gateway.message import Request
from gateway.payload.event import Event, Snapshot, decode, encode
from gateway.payload.recorder import Recorder
from gateway.payload.sampling import Sampled
from gateway.service import Service
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask
from tests.support.streams import MockSink, stream_of, streamed

HEADERS = [(b"content-type", b"application/json"), (b"ce-id", b"theirs")]


class Logged:
    """A service with its log around it; the loop's time is Unix time."""

    def __init__(self, mode: str = "all", sampled: Sampled | None = None, **options: Any) -> None:
        self.inner = MockService()
        self.taken: list[Snapshot] = []
        recorder = Recorder(PayloadLog(sink="s", **options), "g", "root", "classify")
        clock = asyncio.get_running_loop().time
        self.service: Service = payload(self.taken.append, recorder, mode, sampled, clock)(self.inner)

    @property
    def events(self) -> list[Event]:
        return [decode(encode(taken)) for taken in self.taken]


@virtual
async def test_the_request_is_noted_on_arrival_and_the_answer_when_it_is_there() -> None:
    logged = Logged()
    logged.inner.answers(b"[1]", 201, [(b"content-type", b"text/json")], after=2.0)
    request = ask(b"{}", HEADERS)
    request.route.append(b"canary=b")
    assert (await logged.service(request)).status == 201
    asked, answered = logged.events
    assert (asked.kind, asked.time, asked.body, asked.head.content_type) == ("request", 0.0, b"{}", "application/json")
    assert (answered.kind, answered.time, answered.body, answered.status) == ("response", 2.0, b"[1]", 201)
    assert (answered.head.content_type, answered.duration, answered.route) == ("text/json", 2.0, b"canary=b")
    assert asked.exchange == answered.exchange
    assert asked.request_id == answered.request_id == b"id-1"
    assert asked.asked.given_id == answered.asked.given_id == "theirs"
    assert (asked.place.graph, asked.place.node, asked.place.step) == ("g", "root", "classify")


@virtual
async def test_what_it_notes_is_what_came_in_whatever_becomes_of_the_request() -> None:
    logged = Logged()

    def changes(request: Request) -> object:
        request.headers, request.body = [], b"other"
        return answer()

    logged.inner.does(changes)  # type: ignore[arg-type]
    await logged.service(ask(b"{}", HEADERS))
    assert [event.asked.given_id for event in logged.events] == ["theirs", "theirs"]
    assert logged.events[0].body == b"{}"


@virtual
async def test_every_exchange_has_an_id_of_its_own() -> None:
    logged = Logged()
    logged.inner.always(answer())
    for _ in range(300):
        await logged.service(ask())
    assert len({event.exchange for event in logged.events}) == 300


@pytest.mark.parametrize(("mode", "kinds"), [("all", 2), ("request", 1), ("response", 1)])
@virtual
async def test_modes(mode: str, kinds: int) -> None:
    logged = Logged(mode)
    logged.inner.answers()
    await logged.service(ask())
    assert [event.kind for event in logged.events] == {
        "all": ["request", "response"],
        "request": ["request"],
        "response": ["response"],
    }[mode]
    assert len(logged.taken) == kinds


@virtual
async def test_failures_are_logged_as_clients_see_them_and_go_on() -> None:
    logged = Logged("response")
    logged.inner.fails(NoHealthyUpstream("nobody"), after=1.0)
    request = ask()
    request.at = ("root", "classify")
    with pytest.raises(NoHealthyUpstream):
        await logged.service(request)
    (event,) = logged.events
    assert (event.kind, event.status, event.code, event.duration) == ("error", 503, "no_healthy_upstream", 1.0)
    assert event.head.content_type == "application/problem+json"
    assert b'"requestId":"id-1"' in event.body
    assert b'"graph":"g","node":"root","step":"classify"' in event.body


@virtual
async def test_a_bug_and_a_client_that_leaves_are_failures_too() -> None:
    logged = Logged("response")

    def bug(request: Request) -> object:
        raise ZeroDivisionError

    logged.inner.does(bug).hangs()  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        await logged.service(ask())
    call = asyncio.ensure_future(logged.service(ask()))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    assert [event.status for event in logged.events] == [500, 499]


@virtual
async def test_a_request_that_is_not_sampled_passes_untouched() -> None:
    logged = Logged(sampled=lambda request_id: request_id == b"id-1")
    logged.inner.always(answer())
    other = ask()
    other.id = b"id-2"
    await logged.service(other)
    assert not logged.taken
    await logged.service(ask())
    assert len(logged.taken) == 2


@virtual
async def test_of_a_streamed_answer_the_beginning_is_kept_and_the_event_comes_at_its_end() -> None:
    logged = Logged("response", max_body_bytes=5)
    logged.inner.does(streamed())
    stream = stream_of(await logged.service(ask()))
    stream.connect(MockSink())
    stream.resume()
    for piece in (b"abc", b"def", b"ghi"):
        stream.chunk(piece)
    assert logged.taken == []
    await asyncio.sleep(3.0)
    stream.end()
    (event,) = logged.events
    assert (event.kind, event.body, event.size, event.truncated) == ("response", b"abcde", 9, True)
    assert (event.status, event.duration) == (200, 3.0)


@virtual
async def test_a_stream_that_breaks_off_is_a_failure() -> None:
    logged = Logged("response")
    logged.inner.does(streamed())
    stream = stream_of(await logged.service(ask()))
    stream.connect(MockSink())
    stream.fail(UpstreamReset("gone"))
    (event,) = logged.events
    assert (event.kind, event.code) == ("error", "upstream_reset")
