from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.batching.batcher import SICK, Batcher
from gateway.batching.kind import REST, STRIKES
from gateway.batching.lane import Batch, Entry
from gateway.batching.learnt import Learnt
from gateway.batching.metrics import Counted
from gateway.batching.queue import IDLE, KEYS
from gateway.config.batch import Batch as Policy
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    InternalError,
    QueueTooLong,
    UpstreamOverflow,
    UpstreamReset,
    UpstreamTimeout,
)
from gateway.layers.batch import apart, batch, priorities
from gateway.message import Record, Request, Response, header
from gateway.service import Service
from gateway.stream import Stream
from gateway.telemetry.metrics import Registry
from tests.support.clock import run, virtual
from tests.support.counted import total
from tests.support.service import MockService, fields
from tests.support.toy import Model, Toy, negative, rows


def now() -> float:
    return asyncio.get_running_loop().time()


class Batched:
    """A Batch around ``service``, as ``policy`` says, and what it counts."""

    def __init__(
        self,
        service: Service,
        workers: int = 1,
        learnt: Learnt | None = None,
        place: str | None = None,
        **policy: Any,
    ) -> None:
        self.registry = Registry.private()
        asked = Policy(**policy)
        counted = Counted(self.registry, "b", workers)
        self.batcher = Batcher("b", asked, counted, lambda: b"new-id", now, workers, learnt)
        layer = batch(self.batcher, Toy(), asked.max_batch_size, place, priorities(asked, in_body=False))
        self.service = apart(asked.vary_headers)(layer(service))

    def __call__(self, request: Request) -> asyncio.Task[Response]:
        async def call() -> Response:
            return await self.service(request)

        return asyncio.get_running_loop().create_task(call())

    def total(self, name: str, **labels: str) -> float:
        return total(self.registry, f"gateway_batch_{name}", **labels)

    def quiet(self) -> bool:
        """Nothing waits, nothing is under way, and nothing is kept of what was."""
        return not (self.total("queue_depth") or self.total("in_flight") or self.batcher._deadlines._entries)


async def ends(*calls: Awaitable[Response]) -> list[Any]:
    """The rows that each got, or its status, or its error."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    return [end if isinstance(end, BaseException) else own(end) for end in found]


def own(answer: Response) -> Any:
    return json.loads(answer.body) if answer.ok else answer.status


@virtual
async def test_a_request_alone_is_sent_at_once_as_it_came() -> None:
    model = Model(1.0)
    batched = Batched(model)
    request = rows(1, 2)
    assert own(await batched(request)) == [-1, -2]
    assert now() == 1.0
    assert model.requests == [request]
    assert model.requests[0] is request
    await asyncio.sleep(0)
    assert batched.quiet()


@virtual
async def test_a_burst_becomes_one_call() -> None:
    model = Model(1.0)
    batched = Batched(model)
    assert await ends(*(batched(rows(n)) for n in range(32))) == [[-n] for n in range(32)]
    assert model.sizes == [32]
    assert now() == 1.0
    await asyncio.sleep(0)
    assert batched.quiet()


@virtual
async def test_requests_gather_while_the_backend_is_busy() -> None:
    model = Model(1.0)
    batched = Batched(model)
    first = batched(rows(1))
    await asyncio.sleep(0.1)
    others = [batched(rows(n)) for n in range(2, 6)]
    assert await ends(first, *others) == [[-n] for n in range(1, 6)]
    assert model.sizes == [1, 4]
    assert now() == 2.0


@virtual
async def test_rows_are_counted_and_requests_never_divided() -> None:
    model = Model(1.0)
    batched = Batched(model, max_batch_size=4)
    sizes = (3, 2, 2, 1, 4, 1)
    answers = await ends(*(batched(rows(*range(n))) for n in sizes))
    assert [len(answer) for answer in answers] == list(sizes)
    assert model.sizes == [3, 4, 1, 4, 1]


@virtual
async def test_a_request_with_too_many_rows_goes_alone_and_at_once() -> None:
    model = Model(1.0)
    batched = Batched(model, max_batch_size=2)
    assert await ends(batched(rows(1)), batched(rows(1, 2, 3))) == [[-1], [-1, -2, -3]]
    assert batched.total("bypassed_total", reason="rows") == 1


@virtual
async def test_what_cannot_be_merged_passes_through() -> None:
    service = MockService().always(Response(200, [], b"x"))
    batched = Batched(service)
    request = rows()
    assert (await batched(request)).body == b"x"
    assert service.bodies == [request.body]
    assert batched.total("bypassed_total", reason="empty") == 1
    assert batched.total("bypassed_total") == 1


@virtual
async def test_as_many_batches_as_are_allowed_run_at_once() -> None:
    service = MockService().always(lambda request: negative(json.loads(request.body)["rows"]), after=1.0)
    batched = Batched(service, max_batch_size=1, max_concurrent_batches=3)
    await ends(*(batched(rows(n)) for n in range(7)))
    assert now() == 3.0


@virtual
async def test_workers_share_the_slots_and_the_queue_but_each_has_one() -> None:
    model = Model(1.0)
    batched = Batched(model, workers=4, max_concurrent_batches=2, max_queue=8)
    first = batched(rows(1))
    await asyncio.sleep(0.1)
    found = await ends(first, *(batched(rows(n)) for n in (2, 3, 4)))
    assert found[:3] == [[-1], [-2], [-3]]
    assert isinstance(found[3], UpstreamOverflow)
    assert model.sizes == [1, 2]


# Who may share a call.


@virtual
async def test_kinds_are_kept_apart_however_they_are_mixed() -> None:
    model = Model(1.0)
    batched = Batched(model)
    kinds = "abababab"
    assert await ends(*(batched(rows(n, kind=kind)) for n, kind in enumerate(kinds))) == [[-n] for n in range(8)]
    assert model.calls == [[0, 2, 4, 6], [1, 3, 5, 7]]


@pytest.mark.parametrize("name", [b"authorization", b"cookie", b"x-api-key", b"x-tenant", b"accept"])
def test_callers_with_different_headers_never_share_a_call(name: bytes) -> None:
    @virtual
    async def scenario() -> None:
        model = Model(1.0)
        batched = Batched(model)
        await ends(*(batched(rows(n, headers=[(name, b"%d" % (n % 2))])) for n in range(4)))
        assert model.calls == [[0, 2], [1, 3]]
        for request in model.requests:
            assert len([field for field in request.headers if field[0] == name]) == 1

    scenario()


@virtual
async def test_credentials_keep_callers_apart_even_where_the_backend_does_not_see_them() -> None:
    model = Model(1.0)
    batched = Batched(model, vary_headers=("X-Who",))

    def without(request: Request) -> Awaitable[Response]:
        request.headers = []
        return inner(request)

    inner = batch(batched.batcher, Toy(), 32)(model)
    batched.service = apart(("X-Who",))(without)
    await ends(*(batched(rows(n, headers=[(b"x-who", b"%d" % (n % 2))])) for n in range(4)))
    assert model.calls == [[0, 2], [1, 3]]


@virtual
async def test_what_tells_one_request_from_another_keeps_nobody_apart_and_is_not_passed_on() -> None:
    model = Model(1.0)
    batched = Batched(model)
    named = [(b"traceparent", b"00-%d"), (b"x-request-id", b"%d"), (b"x-forwarded-for", b"10.0.0.%d")]

    def request(n: int) -> Request:
        made = rows(n, headers=[(b"accept", b"*/*"), *((name, value % n) for name, value in named)])
        made.stamp = b"x-request-id: %d\r\nx-request-timeout-ms: 5\r\n" % n
        made.deadline = 10.0 + n
        return made

    await ends(*(batched(request(n)) for n in range(4)))
    (sent,) = model.requests
    assert fields(sent) == [
        (b"accept", b"*/*"),
        (b"x-request-id", b"new-id"),
        (b"x-request-timeout-ms", b"13000"),
    ]
    assert sent.deadline == 13.0


@virtual
async def test_a_stack_of_its_own_is_a_call_of_its_own() -> None:
    first, second = Model(1.0), Model(1.0)
    batched = Batched(first)
    other = batch(batched.batcher, Toy(), 32)(second)

    async def call(n: int) -> Response:
        return await other(rows(n))

    assert await ends(batched(rows(1)), call(2), batched(rows(3)), call(4)) == [[-1], [-2], [-3], [-4]]
    assert (first.calls, second.calls) == ([[1, 3]], [[2, 4]])


@virtual
async def test_a_flood_of_keys_is_bounded_and_forgotten() -> None:
    model = Model(0.001)
    batched = Batched(model)
    found = await ends(*(batched(rows(n, kind=str(n))) for n in range(KEYS + 10)))
    assert found == [[-n] for n in range(KEYS + 10)]
    assert batched.total("bypassed_total", reason="keys") == 10
    assert batched.total("keys") == KEYS
    await ends(batched(rows(1, kind="new")))  # those that nobody uses just now make room
    assert batched.total("bypassed_total", reason="keys") == 10
    assert batched.total("keys") == KEYS
    await asyncio.sleep(3 * IDLE)
    assert batched.total("keys") == 0
    assert own(await batched(rows(1))) == [-1]
    assert batched.total("keys") == 1


# Failures.


@pytest.mark.parametrize("isolation", ["bisect", "individual"])
@pytest.mark.parametrize("bad", [0, 13, 31])
def test_a_bad_row_is_its_owners_trouble_only(isolation: str, bad: int) -> None:
    @virtual
    async def scenario() -> None:
        model = Model(0.01)
        batched = Batched(model, isolate_errors=isolation)
        found = await asyncio.gather(*(batched(rows("bad" if n == bad else n)) for n in range(32)))
        assert found[bad].status == 400
        assert json.loads(found[bad].body) == {"error": ["bad"]}
        assert [own(answer) for n, answer in enumerate(found) if n != bad] == [[-n] for n in range(32) if n != bad]
        assert len(model.calls) == (11 if isolation == "bisect" else 33)
        assert batched.total("isolations_total") == (5 if isolation == "bisect" else 1)
        assert batched.total("extra_calls_total") == len(model.calls) - 1
        await asyncio.sleep(0)
        assert batched.quiet()

    scenario()


@virtual
async def test_a_bad_row_does_not_make_a_row_of_failures() -> None:
    ends = []

    def noted(values: list[Any]) -> Response:
        ends.append("bad" in values)
        return negative(values)

    batched = Batched(Model(0.01, answer=noted))
    await asyncio.gather(*(batched(rows("bad" if n == 0 else n)) for n in range(32)))
    assert "bad bad bad" not in " ".join("bad" if bad else "good" for bad in ends)


@virtual
async def test_without_isolation_all_get_the_error() -> None:
    model = Model()
    batched = Batched(model, isolate_errors="off")
    assert await ends(*(batched(rows(n)) for n in (1, "bad", 3))) == [400, 400, 400]
    assert len(model.calls) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503, 504])
def test_an_error_that_is_no_rows_fault_is_everybodys(status: int) -> None:
    @virtual
    async def scenario() -> None:
        model = Model(answer=lambda values: Response(status, [(b"retry-after", b"7")], b"busy"))
        batched = Batched(model)
        found = await asyncio.gather(*(batched(rows(n)) for n in range(4)))
        assert [(answer.status, answer.headers, answer.body) for answer in found] == [
            (status, [(b"retry-after", b"7")], b"busy")
        ] * 4
        assert len({id(answer) for answer in found}) == 4
        assert len(model.calls) == 1

    scenario()


@virtual
async def test_a_lost_connection_is_everybodys_and_each_gets_an_error_of_its_own() -> None:
    service = MockService().fails(UpstreamReset("gone", retry_after=3))
    batched = Batched(service)
    errors = await ends(*(batched(rows(n)) for n in range(3)))
    assert [(type(error), error.detail, error.retry_after) for error in errors] == [(UpstreamReset, "gone", 3)] * 3
    assert len({id(error) for error in errors}) == 3
    assert len(service.requests) == 1


@virtual
async def test_a_model_server_that_fails_always_is_not_asked_more_than_twice_as_often() -> None:
    model = Model(0.01, answer=lambda values: Response(500, [], b"boom"))
    batched = Batched(model)
    assert await ends(*(batched(rows(n)) for n in range(32))) == [500] * 32
    assert len(model.calls) == 63
    model.calls.clear()
    assert await ends(*(batched(rows(n)) for n in range(32))) == [500] * 32
    assert len(model.calls) == 32  # as without batching, for a while
    await asyncio.sleep(SICK)
    model.answer = negative
    model.calls.clear()
    await ends(*(batched(rows(n)) for n in range(32)))
    assert len(model.calls) == 1


@pytest.mark.parametrize("values", [[1], {"no": "list"}])
def test_an_answer_that_does_not_add_up_is_never_sliced(values: Any, caplog: pytest.LogCaptureFixture) -> None:
    def unless_alone(sent: list[Any]) -> Response:
        return negative(sent) if len(sent) == 1 else Response(200, [], json.dumps(values).encode())

    @virtual
    async def scenario() -> None:
        model = Model(0.01, answer=unless_alone)
        batched = Batched(model)
        for number in range(1, STRIKES + 1):
            assert await ends(*(batched(rows(n)) for n in range(4))) == [[0], [-1], [-2], [-3]]
            assert model.sizes == [4, 1, 1, 1, 1] * number
            assert batched.total("mismatches_total") == number
            assert batched.total("rests_total") == (number == STRIKES)
        model.calls.clear()
        assert await ends(*(batched(rows(n)) for n in range(4))) == [[0], [-1], [-2], [-3]]
        assert model.sizes == [1, 1, 1, 1]
        assert batched.total("bypassed_total", reason="resting") == 4
        assert await ends(*(batched(rows(n, kind="b")) for n in range(2))) == [[0], [-1]]
        assert batched.total("mismatches_total") == STRIKES + 1  # the other kind was not suspected
        model.answer = negative
        await asyncio.sleep(REST)
        assert await ends(*(batched(rows(n)) for n in range(4))) == [[0], [-1], [-2], [-3]]
        assert model.sizes[-1] == 4
        assert batched.total("rests_total") == 1

    scenario()
    said = "backend b: not as many rows as were sent; requests like these are not merged for 300 s"
    assert caplog.messages == [said]


@virtual
async def test_what_waits_when_its_key_stops_batching_is_sent_one_by_one() -> None:
    model = Model(1.0, answer=lambda sent: negative(sent) if len(sent) == 1 else Response(200, [], b"[]"))
    batched = Batched(model)
    for _ in range(STRIKES - 1):
        await ends(*(batched(rows(n)) for n in range(2)))
    model.calls.clear()
    first = [batched(rows(n)) for n in range(2)]
    await asyncio.sleep(0.5)
    later = [batched(rows(n)) for n in (7, 8)]
    assert await ends(*first, *later) == [[0], [-1], [-7], [-8]]
    assert model.calls == [[0, 1], [0], [1], [7], [8]]


@virtual
async def test_a_bug_in_a_format_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Toy):
        def split(self, answer: Response, members: Any, /) -> list[Response]:
            raise ZeroDivisionError

    batched = Batched(Model())
    batched.service = batch(batched.batcher, Broken(), 32)(Model())
    errors = await ends(*(batched(rows(n)) for n in range(3)))
    assert [type(error) for error in errors] == [InternalError] * 3
    assert "ZeroDivisionError" in caplog.text
    assert batched.quiet()


# Leaving.


@virtual
async def test_who_leaves_the_queue_is_not_sent_and_harms_nobody() -> None:
    model = Model(1.0)
    batched = Batched(model)
    first = batched(rows(1))
    await asyncio.sleep(0.1)
    others = [batched(rows(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0.1)
    others[1].cancel()
    assert await ends(first, others[0], others[2]) == [[-1], [-2], [-4]]
    assert model.calls == [[1], [2, 4]]
    assert batched.total("dropped_total", reason="cancelled") == 1
    await asyncio.sleep(0)
    assert batched.quiet()


@virtual
async def test_who_leaves_a_batch_under_way_harms_nobody() -> None:
    model = Model(1.0)
    batched = Batched(model)
    calls = [batched(rows(n)) for n in range(3)]
    await asyncio.sleep(0.5)
    calls[1].cancel()
    assert await ends(calls[0], calls[2]) == [[0], [-2]]
    assert (model.sizes, model.cancelled) == ([3], 0)


@pytest.mark.parametrize("after", [0.0, 0.5])
def test_a_call_that_everybody_has_left_is_given_up(after: float) -> None:
    @virtual
    async def scenario() -> None:
        model = Model(10.0)
        batched = Batched(model)
        calls = [batched(rows(n)) for n in range(3)]
        for _ in range(3):
            await asyncio.sleep(after)
        for call in calls:
            call.cancel()
        await asyncio.sleep(0.001)
        assert model.cancelled == len(model.calls)
        assert batched.quiet()
        assert own(await batched(rows(7))) == [-7]  # the slot is free

    scenario()


@virtual
async def test_a_deadline_in_the_queue_is_answered_on_time() -> None:
    model = Model(10.0)
    batched = Batched(model)
    first = batched(rows(1))
    await asyncio.sleep(0.1)
    late, patient = batched(rows(2, deadline=1.0)), batched(rows(3))
    (error,) = await ends(late)
    assert now() == 1.0
    assert isinstance(error, DeadlineExceeded)
    assert await ends(first, patient) == [[-1], [-3]]
    assert model.calls == [[1], [3]]
    assert batched.total("dropped_total", reason="deadline") == 1


@virtual
async def test_a_deadline_in_a_batch_is_answered_on_time_and_the_others_get_their_rows() -> None:
    model = Model(10.0)
    batched = Batched(model)
    late, patient = batched(rows(2, deadline=1.0)), batched(rows(3, deadline=20.0))
    (error,) = await ends(late)
    assert now() == 1.0
    assert isinstance(error, UpstreamTimeout)
    assert await ends(patient) == [[-3]]
    assert [request.deadline for request in model.requests] == [20.0]


@virtual
async def test_many_deadlines_are_kept() -> None:
    model = Model(10.0)
    batched = Batched(model)

    async def late(deadline: float) -> float:
        with pytest.raises(GatewayError):
            await batched(rows(1, deadline=deadline))
        return now()

    wanted = [3.0, 1.0, 2.0, 2.004, 1.5]
    found = await asyncio.gather(*(late(deadline) for deadline in wanted))
    assert found == pytest.approx(wanted, abs=0.011)


# Too much to do.


@virtual
async def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    model = Model(1.0)
    batched = Batched(model, max_queue=2)
    first = batched(rows(1))
    await asyncio.sleep(0.1)
    found = await ends(first, *(batched(rows(n)) for n in (2, 3, 4)))
    assert found[:3] == [[-1], [-2], [-3]]
    assert isinstance(found[3], UpstreamOverflow)
    assert found[3].retry_after == 1
    assert batched.total("dropped_total", reason="full") == 1


@virtual
async def test_who_would_be_too_late_is_refused_on_arrival() -> None:
    model = Model(2.0)
    batched = Batched(model)
    await batched(rows(1))  # now it is known that a call takes two seconds
    first = batched(rows(1))
    await asyncio.sleep(0.5)
    (error,) = await ends(batched(rows(2, deadline=now() + 3.0)))
    assert now() == 2.5
    assert isinstance(error, QueueTooLong)
    assert error.retry_after == 2
    assert batched.total("dropped_total", reason="late") == 1
    assert await ends(first, batched(rows(3, deadline=now() + 4.0))) == [[-1], [-3]]


@virtual
async def test_where_nothing_is_before_it_a_request_is_tried_however_late_it_may_be() -> None:
    model = Model(2.0)
    batched = Batched(model)
    await batched(rows(1))
    model.fixed = 0.1
    await asyncio.sleep(1.0)
    assert await ends(batched(rows(2, deadline=now() + 1.0))) == [[-2]]


# What else is told.


@virtual
async def test_what_is_counted() -> None:
    model = Model(1.0, 0.5)
    batched = Batched(model, workers=2)
    record = Record()
    first = batched(rows(1))
    await asyncio.sleep(0.5)
    second, third = rows(2, 3), rows(4)
    second.record = record
    assert batched.total("in_flight") == 1
    later = [batched(second), batched(third)]
    await asyncio.sleep(0.1)
    assert batched.total("queue_depth") == 2
    await ends(first, *later)
    assert record.queued == 1.0
    assert batched.total("keys") == 1
    # Half of what is known, since there are two workers: a second, the shortest call so far, and nothing for each row.
    assert batched.total("cost_seconds", part="fixed") == pytest.approx(0.75, abs=0.01)
    assert batched.total("cost_seconds", part="row") == 0


@virtual
async def test_a_slot_is_taken_for_as_long_as_an_answer_streams() -> None:
    class Source:
        def pause(self) -> None: ...
        def resume(self) -> None: ...
        def cancel(self) -> None: ...

    streaming = Response(200, [], stream=Stream(Source()))
    service = MockService().does(streaming).answers(b"[0]")
    batched = Batched(service)
    request = rows(1)
    request.streams = True
    assert await batched(request) is streaming
    other = batched(rows(2))
    await asyncio.sleep(1.0)
    assert len(service.requests) == 1
    assert streaming.stream is not None
    streaming.stream.cancel()
    assert (await other).body == b"[0]"
    assert now() == 1.0


@virtual
async def test_time_is_told_anew_after_a_wait() -> None:
    model = Model(1.0)
    batched = Batched(model)
    first = batched(rows(1))
    await asyncio.sleep(0.5)
    request = rows(2, deadline=10.5)
    request.stamp = b"x-request-timeout-ms: 10000\r\n"
    await ends(first, batched(request))
    assert fields(model.requests[1]) == [(b"x-request-timeout-ms", b"9500")]


def test_nothing_is_left_for_the_garbage_collector() -> None:
    async def lost(request: Request) -> Response:
        raise UpstreamReset("gone")

    async def scenario() -> None:
        model = Model(0.1)
        batched = Batched(model)
        await ends(batched(rows(0)), *(batched(rows(n)) for n in (1, "bad", 3)))
        batched.service = batch(batched.batcher, Toy(), 32)(lost)
        await ends(batched(rows(1)), batched(rows(2)))
        batched.service = batch(batched.batcher, Toy(), 32)(model)
        late = batched(rows(1, deadline=now() + 0.05)), batched(rows(2))
        await asyncio.sleep(0.01)
        late[1].cancel()
        await ends(*late)
        await asyncio.sleep(1.0)

    gc.collect()
    gc.disable()
    try:
        run(scenario())
        assert not [found for found in gc.get_objects() if isinstance(found, Entry | Batch)]
    finally:
        gc.enable()


@virtual
async def test_answers_tell_how_large_their_call_was_if_asked_to() -> None:
    def size(answer: Response) -> bytes | None:
        return header(answer.headers, b"x-gateway-batch-size")

    model = Model(1.0)
    batched = Batched(model, report_size=True, max_batch_size=8)
    answers = await asyncio.gather(*(batched(rows(*range(n))) for n in (1, 3, 2, 9)))
    assert [size(answer) for answer in answers] == [b"6", b"6", b"6", None]
    answers = await asyncio.gather(*(batched(rows(*values)) for values in ((1, 2), ("bad",))))
    assert [size(answer) for answer in answers] == [b"2", b"1"]  # those of the calls that gave the answers
    model.answer = lambda values: Response(503, [])
    answers = await asyncio.gather(*(batched(rows(n)) for n in range(2)))
    assert [size(answer) for answer in answers] == [b"2", b"2"]
    assert size(await Batched(Model())(rows(1))) is None


# What outlives a configuration.


@virtual
async def test_the_next_generation_knows_what_the_one_before_has_learnt() -> None:
    learnt = Learnt()
    model = Model(2.0, answer=lambda sent: negative(sent) if len(sent) == 1 else Response(200, [], b"[]"))
    old, new = (Batched(model, learnt=learnt, place="same") for _ in range(2))
    for _ in range(STRIKES):
        await ends(*(old(rows(n)) for n in range(2)))
    model.calls.clear()
    await ends(*(new(rows(n)) for n in range(2)))
    assert (model.sizes, new.total("bypassed_total", reason="resting")) == ([1, 1], 2)
    busy = new(rows(1, kind="b"))
    await asyncio.sleep(0.5)
    (error,) = await ends(new(rows(2, kind="b", deadline=now() + 3.0)))
    assert isinstance(error, QueueTooLong)  # what a call takes is known, too
    await busy


@virtual
async def test_what_waits_in_one_generation_ends_there_while_the_next_one_serves() -> None:
    learnt, first, second = Learnt(), Model(1.0), Model(1.0)
    old, new = (Batched(model, learnt=learnt, place="same") for model in (first, second))
    waiting = [old(rows(n)) for n in range(2)]
    await asyncio.sleep(0.1)
    waiting += [old(rows(n)) for n in range(2, 4)]
    later = [new(rows(n)) for n in range(4, 6)]
    assert await ends(*waiting, *later) == [[-n] for n in range(6)]
    assert (first.calls, second.calls) == ([[0, 1], [2, 3]], [[4, 5]])
    assert old.quiet()
    assert new.quiet()


# Where some are more urgent than others.


def urgent(level: int, *values: Any, kind: str = "a", deadline: float = inf) -> Request:
    return rows(*values, kind=kind, headers=[(b"x-priority", b"%d" % level)], deadline=deadline)


@virtual
async def test_the_more_urgent_go_first_and_the_others_fill_up_their_call() -> None:
    model = Model(1.0)
    batched = Batched(model, priority_levels=3, max_batch_size=4, promote_after=60.0)
    first = batched(rows(0))
    await asyncio.sleep(0.1)
    plans = [(3, 1), (3, 2), (2, 3), (3, 4), (1, 5), (1, 6), (3, 7)]
    assert await ends(first, *(batched(urgent(*plan)) for plan in plans)) == [[-n] for n in range(8)]
    assert model.calls == [[0], [5, 6, 3, 1], [2, 4, 7]]
    assert all(not request.headers for request in model.requests)


@virtual
async def test_the_urgent_do_not_wait_behind_a_long_queue_of_another_kind() -> None:
    model = Model(1.0)
    batched = Batched(model, priority_levels=2, max_batch_size=1, promote_after=60.0)
    bulk = [batched(rows(n)) for n in range(20)]
    await asyncio.sleep(0.5)
    assert await ends(batched(urgent(1, 7, kind="b", deadline=now() + 2.0))) == [[-7]]
    assert now() == 2.0
    await ends(*bulk)


@virtual
async def test_a_full_queue_takes_the_more_urgent_in_place_of_the_last() -> None:
    model = Model(1.0)
    batched = Batched(model, max_queue=2, priority_levels=2)
    first = batched(rows(1))
    await asyncio.sleep(0.1)
    low = [batched(urgent(2, n)) for n in (2, 3)]
    await asyncio.sleep(0.1)
    found = await ends(first, *low, batched(urgent(1, 4)), batched(urgent(2, 5)))
    assert [found[n] for n in (0, 1, 3)] == [[-1], [-2], [-4]]
    for error in (found[2], found[4]):
        assert isinstance(error, UpstreamOverflow)
        assert error.retry_after == 1
    assert "more urgent" in found[2].detail
    assert model.calls == [[1], [4, 2]]
    assert batched.total("dropped_total", reason="preempted") == 1
    assert batched.total("dropped_total") == 2
    await asyncio.sleep(0)
    assert batched.quiet()


@virtual
async def test_who_left_in_that_very_moment_gives_its_place_without_a_word() -> None:
    batched = Batched(Model(1.0), max_queue=1, priority_levels=2)
    first = batched(urgent(1, 1))
    await asyncio.sleep(0.1)
    low = batched(urgent(2, 2))
    await asyncio.sleep(0.1)
    low.cancel()
    high = batched.service(urgent(1, 3))
    assert await ends(first, high) == [[-1], [-3]]
    assert low.cancelled()
    await asyncio.sleep(0)
    assert batched.quiet()


def test_nobody_starves_however_many_urgent_ones_come() -> None:
    async def scenario() -> float:
        batched = Batched(Model(0.1), max_batch_size=1, priority_levels=2, promote_after=2.0)

        async def client(level: int) -> None:
            while True:
                await batched(urgent(level, 1))

        flood = [asyncio.create_task(client(1)) for _ in range(4)]
        await asyncio.sleep(1.0)
        came = now()
        await batched(urgent(2, 7))
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        return now() - came

    assert 2.0 <= run(scenario()) < 3.0


URGENT = st.lists(
    st.tuples(
        st.integers(1, 3),  # level
        st.integers(1, 3),  # rows
        st.sampled_from("ab"),
        st.floats(0.0, 4.0),  # when it comes
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(URGENT, st.sampled_from(["adaptive", "off"]), st.sampled_from([0.5, 100.0]))
def test_of_those_who_wait_the_more_urgent_go_first_and_nobody_is_passed_for_ever(
    callers: list[Any], linger: str, step: float
) -> None:
    came: dict[int, tuple[float, str]] = {}
    left: dict[int, float] = {}

    class Watched(Model):
        async def __call__(self, request: Request, /) -> Response:
            left.update((value // 10, now()) for value in json.loads(request.body)["rows"])
            return await super().__call__(request)

    async def scenario() -> None:
        model = Watched(0.3, 0.05)
        batched = Batched(model, max_batch_size=4, priority_levels=3, promote_after=step, linger=linger)

        async def caller(index: int, level: int, count: int, kind: str, at: float) -> None:
            await asyncio.sleep(at)
            values = [index * 10 + n for n in range(count)]
            came[index] = now() + step * (level - 1), kind
            answer = await batched(urgent(level, *values, kind=kind))
            assert json.loads(answer.body) == [-value for value in values]

        await asyncio.gather(*(caller(index, *plan) for index, plan in enumerate(callers)))
        await asyncio.sleep(0)
        assert batched.quiet()

    run(scenario())
    assert left.keys() == came.keys()
    for one, (rank, kind) in came.items():
        for other, (behind, other_kind) in came.items():
            if kind == other_kind and rank < behind and callers[one][3] < left[other]:
                assert left[one] <= left[other]


# Waiting for more.


async def closed_loop(clients: int, call: Callable[[Request], Awaitable[Response]], seconds: float) -> int:
    """Answers that ``clients`` get in that time who each wait for one before they ask again."""
    answers = 0

    async def client() -> None:
        nonlocal answers
        while now() < seconds:
            await call(rows(1))
            answers += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


def throughput(clients: int, **policy: Any) -> int:
    async def scenario() -> int:
        return await closed_loop(clients, Batched(Model(0.010, 0.00025), **policy), 10.0)

    return run(scenario())


def test_clients_in_step_get_more_done_when_a_batch_waits_for_them() -> None:
    async def scenario(linger: str) -> int:
        model = Model(0.010, 0.00025)
        batched = Batched(model, linger=linger)

        async def call(request: Request) -> Response:
            answer = await batched(request)
            await asyncio.sleep(0.0001 * (id(request) % 7))  # no two clients are equally fast
            return answer

        return await closed_loop(8, call, 10.0)

    assert run(scenario("adaptive")) >= 1.2 * run(scenario("off"))


def test_clients_in_step_get_no_less_done_than_with_a_fixed_wait() -> None:
    assert throughput(8) >= 0.98 * throughput(8, linger="fixed")


def test_a_client_alone_never_waits() -> None:
    assert throughput(1) == throughput(1, linger="off")


@virtual
async def test_fixed_waits_for_as_long_as_it_is_told_and_not_when_the_batch_is_full() -> None:
    model = Model(1.0)
    batched = Batched(model, linger="fixed", max_delay=0.5, max_batch_size=3)
    assert own(await batched(rows(1))) == [-1]
    assert now() == 1.5
    await ends(*(batched(rows(n)) for n in range(3)))
    assert now() == 2.5
    first = batched(rows(1))
    await asyncio.sleep(0.2)
    await ends(first, batched(rows(2)))
    assert now() == 4.0
    assert model.sizes == [1, 3, 2]
    assert batched.total("linger_seconds") == 1  # a histogram's first cell: one was full, and did not wait


@virtual
async def test_nobody_waits_past_the_time_that_a_call_needs() -> None:
    model = Model(1.0)
    batched = Batched(model, linger="fixed", max_delay=5.0)
    await ends(batched(rows(1, deadline=100.0)))
    start = now()
    assert await ends(batched(rows(2, deadline=start + 3.0))) == [[-2]]
    assert now() == pytest.approx(start + 3.0, abs=0.01)
    assert now() < start + 3.0


# Anything at all.

CALLERS = st.lists(
    st.tuples(
        st.integers(1, 4),  # rows
        st.sampled_from("abc"),
        st.sampled_from([b"", b"one", b"two"]),  # credentials
        st.sampled_from([0.0, 0.0, 0.3, 1.1, 2.5]),  # when it comes
        st.sampled_from([None, None, 0.5, 3.0]),  # how long it has
        st.sampled_from([None, None, None, 0.2, 1.5]),  # when it leaves
        st.booleans() | st.just(False),  # whether it has a bad row
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(CALLERS, st.sampled_from(["adaptive", "fixed", "off"]), st.sampled_from([1, 2]), st.integers(0, 3))
def test_everyone_gets_exactly_its_own_rows(callers: list[Any], linger: str, slots: int, every: int) -> None:
    calls = 0

    def sometimes_wrong(values: list[Any]) -> Response:
        nonlocal calls
        calls += 1
        return Response(200, [], b"[]") if every and len(values) > 4 and calls % every == 0 else negative(values)

    async def scenario() -> None:
        model = Model(0.4, 0.05, sometimes_wrong)
        batched = Batched(model, max_batch_size=8, max_concurrent_batches=slots, linger=linger, max_delay=0.1)

        async def caller(index: int, plan: Any) -> None:
            count, kind, who, at, patience, leaves, bad = plan
            await asyncio.sleep(at)
            values: list[Any] = [index * 100 + n for n in range(count)]
            if bad:
                values[-1] = "bad"
            deadline = now() + patience if patience is not None else 1000.0
            call = batched(rows(*values, kind=kind, headers=[(b"authorization", who)], deadline=deadline))
            if leaves is not None:
                asyncio.get_running_loop().call_later(leaves, call.cancel)
            try:
                answer = await call
            except asyncio.CancelledError:
                assert leaves is not None
            except GatewayError:
                assert patience is not None
                assert now() <= deadline + 0.011
            else:
                assert json.loads(answer.body) == ({"error": values} if bad else [-value for value in values])

        await asyncio.gather(*(caller(index, plan) for index, plan in enumerate(callers)))
        await asyncio.sleep(1.0)
        assert batched.quiet()
        for values in model.calls:
            mates = [callers[value // 100] for value in values if value != "bad"]
            assert len({(kind, who) for _, kind, who, *_ in mates}) <= 1

    run(scenario())
