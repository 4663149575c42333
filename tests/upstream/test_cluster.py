from __future__ import annotations

import asyncio
import logging
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    ClientClosed,
    DeadlineExceeded,
    GatewayError,
    NoHealthyUpstream,
    QueueTimeout,
    UpstreamConnectFailure,
    UpstreamOverflow,
    UpstreamReset,
)
from gateway.http.drive import Drive
from gateway.http.origin import Origin
from gateway.message import Request, Response
from gateway.telemetry.metrics import Registry
from gateway.upstream.adaptive import MEASURING, Adaptive
from gateway.upstream.cluster import Cluster
from gateway.upstream.endpoint import Endpoint, Watch
from gateway.upstream.pick import ConsistentHash, LeastRequest, RoundRobin, header_key
from gateway.upstream.settings import Settings
from tests.support.clock import run, virtual
from tests.support.service import MockService, answer, ask
from tests.support.spans import Spans
from tests.support.streams import MockSink, stream_of, streamed


class Scene:
    """A cluster of mock endpoints, each call of which takes a second, and what becomes of it."""

    def __init__(
        self,
        count: int = 2,
        *,
        limit: int = 0,
        hold: float = 0.0,
        queue: int = 0,
        queue_timeout: float = 0.0,
        max_requests: int = 0,
        panic_threshold: int = 50,
        watches: tuple[Watch, ...] = (),
        adaptive: Adaptive | None = None,
        checked: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.registry = Registry.private()
        self.services: list[MockService] = []
        self.endpoints: list[Endpoint] = [self.another() for _ in range(count)]
        self.up = True
        self.asked: list[Endpoint] = []
        self.settings = Settings(
            picker=RoundRobin(),
            watches=watches,
            limit=limit,
            adaptive=adaptive,
            queue=queue,
            queue_timeout=queue_timeout,
            hold=hold,
            max_requests=max_requests,
            panic_threshold=panic_threshold,
            checked=checked,
        )
        self.cluster = Cluster(
            "iris", self.endpoints, self.settings, self.registry, self.reach, asyncio.get_running_loop().time
        )

    def another(self) -> Endpoint:
        number = len(self.services)
        self.services.append(MockService().always(answer(b"%d" % number), after=1.0))
        endpoint = Endpoint(Origin(f"h{number}", 80), self.services[-1])
        endpoint.turn = -10.0 + number / 100
        return endpoint

    async def reach(self, endpoint: Endpoint) -> bool:
        self.asked.append(endpoint)
        return self.up

    def ask(self, deadline: float = inf, tried: list[Endpoint] | None = None) -> asyncio.Task[Response]:
        call = self.cluster.call(ask(deadline=deadline), [] if tried is None else tried)
        return self.loop.create_task(call)

    @property
    def active(self) -> list[int]:
        return [one.active for one in self.endpoints]

    def gauge(self, name: str) -> float:
        return self.registry.gauge(name, backend="iris").value

    def counter(self, name: str) -> float:
        return self.registry.counter(name, backend="iris").value

    def dropped(self, reason: str) -> float:
        return self.registry.counter("gateway_queue_dropped_total", backend="iris", reason=reason).value


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def bodies(calls: list[asyncio.Task[Response]]) -> list[bytes]:
    return [(await call).body for call in calls]


@virtual
async def test_calls_go_where_the_picker_says_and_are_counted_while_they_last() -> None:
    scene = Scene(2)
    calls = [scene.ask() for _ in range(4)]
    await turns()
    assert scene.active == [2, 2]
    assert await bodies(calls) == [b"0", b"1", b"0", b"1"]
    assert scene.active == [0, 0]
    assert (await scene.cluster(ask())).body == b"0"


@virtual
async def test_failures_pass_through_and_free_their_place() -> None:
    scene = Scene(1, limit=1)
    scene.services[0].fails(UpstreamReset("gone"))
    with pytest.raises(UpstreamReset, match="gone"):
        await scene.cluster(ask())
    assert scene.active == [0]
    assert (await scene.cluster(ask())).body == b"0"


@virtual
async def test_every_watch_is_told_how_a_call_ended_and_nothing_of_one_that_was_given_up() -> None:
    told: list[tuple[object, ...]] = []

    def watch(endpoint: Endpoint, answer: Response | None, error: GatewayError | None, seconds: float) -> None:
        told.append((str(endpoint), answer and answer.status, error, seconds, endpoint.active))

    scene = Scene(1, watches=(watch, watch))
    error = UpstreamReset("gone")
    scene.services[0].answers(status=503, after=2.0).fails(error, after=0.5).hangs()
    await scene.cluster(ask())
    with pytest.raises(UpstreamReset):
        await scene.cluster(ask())
    given_up = scene.ask()
    await turns()
    given_up.cancel()
    await asyncio.wait([given_up])
    assert told == [("http://h0", 503, None, 2.0, 1)] * 2 + [("http://h0", None, error, 0.5, 1)] * 2
    assert scene.active == [0]


@virtual
async def test_only_usable_endpoints_are_called() -> None:
    scene = Scene(3, panic_threshold=0)
    scene.endpoints[0].healthy = False
    scene.endpoints[2].ejected = True
    scene.cluster.changed()
    assert await bodies([scene.ask() for _ in range(3)]) == [b"1"] * 3
    assert (scene.gauge("gateway_upstream_endpoints"), scene.gauge("gateway_upstream_healthy")) == (3, 1)
    scene.endpoints[0].healthy = True
    scene.cluster.changed()
    assert sorted(await bodies([scene.ask() for _ in range(2)])) == [b"0", b"1"]


@virtual
async def test_without_a_usable_endpoint_the_answer_is_503_at_once() -> None:
    scene = Scene(2)
    for endpoint in scene.endpoints:
        endpoint.healthy = False
    scene.cluster.changed()
    with pytest.raises(NoHealthyUpstream, match="none of its 2") as caught:
        await scene.cluster(ask())
    assert caught.value.retry_after == 1
    assert scene.loop.time() == 0
    scene.cluster.replace([])
    with pytest.raises(NoHealthyUpstream):
        await scene.cluster(ask())


@virtual
async def test_another_attempt_goes_elsewhere_if_there_is_another_place() -> None:
    scene = Scene(3)
    tried: list[Endpoint] = []
    assert len({body for _ in range(3) for body in await bodies([scene.ask(tried=tried)])}) == 3
    assert set(tried) == set(scene.endpoints)
    await scene.cluster.call(ask(), tried)
    assert len(tried) == 4
    scene.cluster.replace(scene.endpoints[:1])
    assert (await scene.cluster.call(ask(), [scene.endpoints[0]])).body == b"0"


@virtual
async def test_another_attempt_avoids_what_was_tried_even_if_it_had_to_wait() -> None:
    scene = Scene(2, limit=1)
    scene.services[0].always(answer(b"0"), after=0.5)
    held = [scene.ask() for _ in range(2)]
    await turns()
    tried = [scene.endpoints[0]]
    again = scene.ask(tried=tried)
    assert await bodies([*held, again]) == [b"0", b"1", b"0"]  # rather there and soon than elsewhere and late
    assert tried == [scene.endpoints[0]] * 2


# On trial.


@virtual
async def test_one_call_at_a_time_tries_an_endpoint_whose_ejection_is_over() -> None:
    scene = Scene(2)
    trial = scene.endpoints[1]
    trial.ejected = trial.on_trial = True
    scene.cluster.changed()
    calls = [scene.ask() for _ in range(3)]
    await turns()
    assert scene.active == [2, 1]
    assert await bodies(calls) == [b"1", b"0", b"0"]
    given_up = scene.ask()
    await turns()
    assert scene.active == [0, 1]
    given_up.cancel()
    await asyncio.wait([given_up])
    assert await bodies([scene.ask()]) == [b"1"]


@virtual
async def test_an_unhealthy_endpoint_is_not_tried() -> None:
    scene = Scene(2)
    trial = scene.endpoints[1]
    trial.ejected = trial.on_trial = True
    trial.healthy = False
    scene.cluster.changed()
    assert await bodies([scene.ask(), scene.ask()]) == [b"0"] * 2


@virtual
async def test_who_waits_is_let_in_to_try_and_by_what_the_trial_decides() -> None:
    def acquit(endpoint: Endpoint, *_: object) -> None:
        if endpoint.on_trial:
            endpoint.ejected = endpoint.on_trial = False
            scene.cluster.changed()

    scene = Scene(2, limit=1, watches=(acquit,))
    trial = scene.endpoints[1]
    trial.ejected = True
    scene.cluster.changed()
    scene.services[0].hangs()
    stuck = scene.ask()
    await turns()
    waiting = [scene.ask() for _ in range(2)]
    await turns()
    trial.on_trial = True
    scene.cluster.changed()
    await turns()
    assert scene.active == [1, 1]
    assert await bodies(waiting) == [b"1"] * 2
    assert scene.loop.time() == 2
    stuck.cancel()


# Panic.


@virtual
async def test_when_too_few_are_usable_all_are_used(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(4)
    for endpoint in scene.endpoints[:2]:
        endpoint.healthy = False
    scene.cluster.changed()
    assert set(await bodies([scene.ask() for _ in range(4)])) == {b"2", b"3"}
    scene.endpoints[2].ejected = True
    with caplog.at_level(logging.WARNING):
        scene.cluster.changed()
        scene.cluster.changed()
        assert set(await bodies([scene.ask() for _ in range(4)])) == {b"0", b"1", b"2", b"3"}
        assert scene.counter("gateway_upstream_panic_total") == 1
        assert scene.gauge("gateway_upstream_healthy") == 1
        scene.endpoints[2].ejected = False
        scene.cluster.changed()
    assert set(await bodies([scene.ask() for _ in range(4)])) == {b"2", b"3"}
    assert [record.message for record in caplog.records] == [
        "backend iris: too few of its endpoints are healthy, all are used now",
        "backend iris: only its healthy endpoints are used again",
    ]


@virtual
async def test_there_is_no_panic_without_anybody_usable_nor_with_a_single_endpoint() -> None:
    for count in (1, 3):
        scene = Scene(count, panic_threshold=100)
        for endpoint in scene.endpoints:
            endpoint.healthy = False
        scene.cluster.changed()
        with pytest.raises(NoHealthyUpstream):
            await scene.cluster(ask())
        assert scene.counter("gateway_upstream_panic_total") == 0


@virtual
async def test_no_panic_sends_calls_where_nobody_can_be_reached() -> None:
    scene = Scene(3, hold=10.0)
    scene.up = False
    for service in scene.services[:2]:
        service.always(UpstreamConnectFailure("refused"))
    assert await bodies([scene.ask() for _ in range(6)]) == [b"2"] * 6
    assert len(scene.services[0].requests) <= 2
    scene.cluster.close()


# Limits and the line.


@virtual
async def test_beyond_the_limit_requests_wait_in_order() -> None:
    scene = Scene(2, limit=2)
    calls = [scene.ask() for _ in range(10)]
    ends: list[tuple[int, float]] = []
    for index, call in enumerate(calls):
        call.add_done_callback(lambda _, index=index: ends.append((index, scene.loop.time())))  # type: ignore[misc]
    await turns()
    assert scene.active == [2, 2]
    assert scene.gauge("gateway_queue_depth") == 6
    assert scene.gauge("gateway_queue_capacity") == 100
    await asyncio.wait(calls)
    assert [time for _, time in sorted(ends)] == [1.0] * 4 + [2.0] * 4 + [3.0] * 2
    assert (scene.active, scene.gauge("gateway_queue_depth")) == ([0, 0], 0)


@virtual
async def test_who_comes_while_others_wait_queues_behind_them() -> None:
    scene = Scene(1, limit=1)
    first, second = scene.ask(), scene.ask()
    late: list[asyncio.Task[Response]] = []
    first.add_done_callback(lambda _: late.append(scene.ask()))  # when the place has just become free
    order: list[str] = []
    second.add_done_callback(lambda _: order.append("second"))
    await first
    await turns()
    late[0].add_done_callback(lambda _: order.append("late"))
    await asyncio.wait([second, *late])
    assert order == ["second", "late"]
    assert scene.loop.time() == 3


@virtual
async def test_a_full_queue_refuses_at_once() -> None:
    scene = Scene(1, limit=1, queue=2)
    calls = [scene.ask() for _ in range(4)]
    with pytest.raises(UpstreamOverflow):
        await calls[3]
    assert scene.loop.time() == 0
    assert await bodies(calls[:3]) == [b"0"] * 3
    assert scene.dropped("full") == 1


@virtual
async def test_nobody_waits_longer_than_the_queue_timeout_or_the_deadline() -> None:
    scene = Scene(1, limit=1, queue_timeout=0.5)
    first, second, third = scene.ask(), scene.ask(), scene.ask(deadline=0.25)
    with pytest.raises(DeadlineExceeded):
        await third
    assert scene.loop.time() == 0.25
    with pytest.raises(QueueTimeout) as caught:
        await second
    assert (scene.loop.time(), caught.value.retry_after) == (0.5, 1)
    assert (await first).body == b"0"
    assert len(scene.services[0].requests) == 1


@virtual
async def test_a_request_that_is_called_off_while_it_waits_harms_nobody() -> None:
    scene = Scene(1, limit=1)
    first, second, third = (scene.ask() for _ in range(3))
    await turns()
    second.cancel()
    assert await bodies([first, third]) == [b"0"] * 2
    assert scene.loop.time() == 2
    assert (scene.dropped("cancelled"), scene.active) == (1, [0])


@virtual
async def test_a_place_given_to_one_that_is_called_off_in_the_same_moment_goes_to_the_next() -> None:
    scene = Scene(1, limit=1)
    first, second, third = (scene.ask() for _ in range(3))
    first.add_done_callback(lambda _: None)
    await turns()
    first.cancel()  # its end gives the place to the second one ...
    await turns(1)
    assert scene.active == [1]
    second.cancel()  # ... which has not gone on yet
    assert await bodies([third]) == [b"0"]
    assert second.cancelled()
    assert scene.active == [0]


@virtual
async def test_it_works_without_tasks() -> None:
    scene = Scene(1, limit=1)
    ended: list[tuple[bytes, float]] = []

    def end(answer: Response | None, error: BaseException | None) -> None:
        ended.append((answer.body if answer else type(error).__name__.encode(), scene.loop.time()))

    drives = [Drive(scene.loop, end) for _ in range(3)]
    for service in scene.services:
        service._futures = True
    for drive in drives:
        drive.begin(scene.cluster(ask()))
    await turns()
    drives[1].cancel()
    await asyncio.sleep(5)
    assert ended == [(b"CancelledError", 0.0), (b"0", 1.0), (b"0", 2.0)]
    assert scene.active == [0]


@virtual
async def test_those_who_wait_are_sent_away_when_the_last_endpoint_becomes_unusable() -> None:
    scene = Scene(1, limit=1)
    first, second = scene.ask(), scene.ask()
    await turns()
    scene.endpoints[0].ejected = True
    scene.cluster.changed()
    with pytest.raises(NoHealthyUpstream):
        await second
    assert (scene.loop.time(), scene.dropped("unhealthy")) == (0, 1)
    assert (await first).body == b"0"


@virtual
async def test_the_circuit_breaker_counts_calls_under_way_and_waiting() -> None:
    scene = Scene(1, limit=1, max_requests=2)
    calls = [scene.ask() for _ in range(3)]
    with pytest.raises(UpstreamOverflow) as caught:
        await calls[2]
    assert (caught.value.retry_after, scene.loop.time()) == (1, 0)
    assert await bodies(calls[:2]) == [b"0"] * 2
    calls = [scene.ask() for _ in range(2)]
    await turns()
    calls[1].cancel()
    await turns()
    assert await bodies([calls[0], scene.ask()]) == [b"0"] * 2


@virtual
async def test_an_adaptive_limit_is_followed() -> None:
    loop = asyncio.get_running_loop()
    scene = Scene(1, adaptive=Adaptive(loop.time))
    calls = [scene.ask() for _ in range(40)]
    await turns()
    assert scene.active == [MEASURING]
    assert await bodies(calls) == [b"0"] * 40
    assert loop.time() < 40 / MEASURING
    assert max(scene.cluster._limit, MEASURING) > MEASURING


# Cold starts.


@virtual
async def test_two_hundred_requests_wait_for_the_only_endpoint_to_come_up() -> None:
    scene = Scene(1, hold=30.0)
    loop, service = scene.loop, scene.services[0]
    scene.up = False

    def refuse_or_answer(request: Request) -> Response:
        if loop.time() < 5:
            raise UpstreamConnectFailure("refused")
        return answer(b"up")

    service.always(refuse_or_answer, after=0.001)
    loop.call_at(5.0, setattr, scene, "up", True)
    calls = []
    for _ in range(200):
        calls.append(scene.ask())
        await asyncio.sleep(0.01)
    assert scene.gauge("gateway_queue_depth") == 200
    assert scene.gauge("gateway_upstream_healthy") == 0
    assert await bodies(calls) == [b"up"] * 200
    assert 5 <= loop.time() < 6.1
    assert scene.counter("gateway_cold_starts_total") == 1
    assert scene.gauge("gateway_upstream_healthy") == 1
    assert len(service.requests) == 201


@virtual
async def test_all_arriving_at_once_wait_too() -> None:
    scene = Scene(1, hold=30.0)
    loop = scene.loop
    scene.up = False
    scene.services[0].always(
        lambda request: answer(b"up") if loop.time() >= 5 else _raise(UpstreamConnectFailure("refused")), after=0.001
    )
    loop.call_at(5.0, setattr, scene, "up", True)
    assert await bodies([scene.ask() for _ in range(200)]) == [b"up"] * 200
    assert loop.time() < 6.1
    assert len(scene.services[0].requests) == 400
    assert scene.counter("gateway_cold_starts_total") == 1


def _raise(error: GatewayError) -> Response:
    raise error


@virtual
async def test_with_a_limit_they_are_let_in_a_few_at_a_time() -> None:
    scene = Scene(1, hold=30.0, limit=2)
    scene.services[0].fails(UpstreamConnectFailure("refused")).fails(UpstreamConnectFailure("refused"))
    calls = [scene.ask() for _ in range(6)]
    await asyncio.sleep(0.2)
    assert scene.active == [2]
    assert await bodies(calls) == [b"0"] * 6
    assert 3 < scene.loop.time() < 3.2


@virtual
async def test_once_an_endpoint_is_up_only_room_is_waited_for_and_not_for_longer_than_the_queue_timeout() -> None:
    for queue_timeout, served in ((0.0, 6), (2.5, 3)):
        scene = Scene(0, hold=3.0, limit=1, queue_timeout=queue_timeout)
        begun = scene.loop.time()
        calls = [scene.ask() for _ in range(6)]
        await asyncio.sleep(2.9)
        scene.cluster.replace([scene.another()])
        await asyncio.wait(calls)
        found = [call.exception() for call in calls]
        assert found[:served] == [None] * served
        assert all(isinstance(error, QueueTimeout) for error in found[served:])
        assert scene.loop.time() - begun == pytest.approx(2.9 + served)


@virtual
async def test_who_waits_for_room_waits_for_an_endpoint_when_there_is_none_any_more() -> None:
    scene = Scene(1, hold=3.0, limit=1)
    first, second = scene.ask(), scene.ask()
    await asyncio.sleep(0.5)
    scene.endpoints[0].healthy = False
    scene.cluster.changed()
    assert (await first).body == b"0"
    assert not second.done()
    with pytest.raises(NoHealthyUpstream):
        await second
    assert scene.loop.time() == pytest.approx(3.0)


@virtual
async def test_nobody_is_held_longer_than_configured_however_often_the_connection_fails() -> None:
    scene = Scene(1, hold=3.0)
    scene.services[0].always(UpstreamConnectFailure("refused"))  # and yet it can be reached
    with pytest.raises(NoHealthyUpstream) as caught:
        await scene.cluster(ask())
    assert scene.loop.time() == pytest.approx(3.0)
    assert (caught.value.detail, caught.value.retry_after) == ("iris: still waiting after 3 s", 1)
    assert len(scene.services[0].requests) <= 5
    assert scene.dropped("timeout") == 1
    scene.cluster.close()


@virtual
async def test_a_held_request_goes_elsewhere_if_it_can_and_no_watch_hears_of_it() -> None:
    told: list[int] = []
    scene = Scene(2, hold=3.0, watches=(lambda endpoint, *_: told.append(scene.endpoints.index(endpoint)),))
    scene.up = False
    scene.services[0].always(UpstreamConnectFailure("refused"))
    assert await bodies([scene.ask() for _ in range(4)]) == [b"1"] * 4
    assert told == [1] * 4
    assert scene.cluster.describe()[0]["reachable"] is False
    assert scene.counter("gateway_cold_starts_total") == 0
    scene.cluster.close()


@virtual
async def test_without_hold_a_failed_connection_is_the_callers_affair() -> None:
    told: list[GatewayError | None] = []
    scene = Scene(1, watches=(lambda _endpoint, _answer, error, _seconds: told.append(error),))
    scene.services[0].fails(UpstreamConnectFailure("refused"))
    with pytest.raises(UpstreamConnectFailure):
        await scene.cluster(ask())
    assert len(told) == 1
    assert (scene.endpoints[0].reachable, scene.asked) == (True, [])


@virtual
async def test_requests_wait_for_a_name_to_be_resolved() -> None:
    scene = Scene(0, hold=30.0)
    calls = [scene.ask() for _ in range(3)]
    await asyncio.sleep(2)
    scene.cluster.replace([scene.another()])
    assert await bodies(calls) == [b"0"] * 3
    assert scene.loop.time() == 3


@virtual
async def test_nobody_tries_to_reach_an_endpoint_that_is_gone() -> None:
    scene = Scene(2, hold=30.0)
    scene.up = False
    scene.services[0].fails(UpstreamConnectFailure("refused"))
    scene.services[1].fails(UpstreamConnectFailure("refused"), after=2.0)
    calls = [scene.ask(), scene.ask()]
    await asyncio.sleep(1)
    asked = len(scene.asked)
    assert set(scene.asked) == {scene.endpoints[0]}
    scene.cluster.replace([scene.another()])
    assert await bodies(calls) == [b"1", b"2"]
    await asyncio.sleep(60)
    assert len(scene.asked) == asked
    assert all(endpoint.reachable for endpoint in scene.endpoints)


@virtual
async def test_a_reload_that_ends_the_holding_sends_away_who_waits() -> None:
    scene = Scene(0, hold=30.0)
    call = scene.ask()
    await turns()
    scene.cluster.configure(Settings(picker=LeastRequest()))
    with pytest.raises(NoHealthyUpstream):
        await call


# Endpoints and settings come and go.


@virtual
async def test_calls_end_where_they_began_when_endpoints_are_replaced() -> None:
    scene = Scene(2, limit=1)
    calls = [scene.ask() for _ in range(4)]
    await asyncio.sleep(0.5)
    old = scene.endpoints[0]
    scene.endpoints = [scene.endpoints[1], scene.another()]
    scene.cluster.replace(scene.endpoints)
    await turns()
    assert (old.active, scene.active) == (1, [1, 1])
    assert await bodies(calls) == [b"0", b"1", b"2", b"1"]
    assert (old.active, scene.active) == (0, [0, 0])
    assert await bodies([scene.ask() for _ in range(2)]) == [b"1", b"2"]
    assert scene.endpoints[1].since == 0.5
    assert scene.endpoints[0].since == -inf
    assert scene.gauge("gateway_upstream_endpoints") == 2


@virtual
async def test_other_limits_apply_at_once_to_those_who_wait() -> None:
    scene = Scene(1, limit=1)
    calls = [scene.ask() for _ in range(6)]
    await turns()
    scene.cluster.configure(Settings(picker=LeastRequest(), limit=4))
    await turns()
    assert scene.active == [4]
    scene.cluster.configure(Settings(picker=LeastRequest(), limit=2))
    assert scene.active == [4]
    await asyncio.sleep(1.5)
    assert scene.active == [2]
    assert await bodies(calls) == [b"0"] * 6
    scene.cluster.configure(Settings(picker=LeastRequest()))
    assert scene.gauge("gateway_queue_capacity") == 0
    calls = [scene.ask() for _ in range(9)]
    await turns()
    assert scene.active == [9]
    await bodies(calls)


@virtual
async def test_affinity_holds_in_a_cluster() -> None:
    scene = Scene(4)
    scene.cluster.configure(Settings(picker=ConsistentHash(header_key("x-user"))))
    users = [ask(headers=[(b"x-user", b"%d" % index)]) for index in range(20)]
    first = [(await scene.cluster(user)).body for user in users]
    assert [(await scene.cluster(user)).body for user in users] == first
    assert len(set(first)) > 1


# Readiness, the admin site, metrics.


@virtual
async def test_it_is_ready_when_somebody_can_be_reached() -> None:
    scene = Scene(2)
    assert await scene.cluster.ready()
    assert len(scene.asked) == 1
    scene.up = False
    assert not await scene.cluster.ready()
    assert len(scene.asked) == 3
    scene.cluster.replace([])
    scene.up = True
    assert not await scene.cluster.ready()


@virtual
async def test_where_checks_tell_nobody_is_asked() -> None:
    scene = Scene(2, checked=True)
    scene.up = False
    assert await scene.cluster.ready()
    for endpoint in scene.endpoints:
        endpoint.healthy = False
    scene.cluster.changed()
    assert not await scene.cluster.ready()
    assert not scene.asked


@virtual
async def test_what_only_requests_can_wake_is_ready_for_them() -> None:
    scene = Scene(0, hold=5.0)
    assert await scene.cluster.ready()


@virtual
async def test_its_state_for_the_admin_site_and_in_its_repr() -> None:
    scene = Scene(1, limit=1)
    scene.endpoints[0].address = "10.0.0.1"
    call = scene.ask()
    await turns()
    assert scene.cluster.describe() == [
        {
            "backend": "iris",
            "url": "http://h0",
            "address": "10.0.0.1",
            "healthy": True,
            "ejected": False,
            "reachable": True,
            "active": 1,
        }
    ]
    assert repr(scene.cluster) == "<Cluster iris 0/1 calls=1 <Line iris 0/100>>"
    await call


@virtual
async def test_all_metrics_are_there_from_the_start_and_two_clusters_of_a_name_add_up() -> None:
    scene = Scene(2, limit=1)
    names = {series.name for series in scene.registry._cells}
    assert names == {
        "gateway_upstream_endpoints",
        "gateway_upstream_healthy",
        "gateway_upstream_panic_total",
        "gateway_queue_depth",
        "gateway_queue_capacity",
        "gateway_queue_wait_seconds",
        "gateway_queue_dropped_total",
        "gateway_cold_starts_total",
        "gateway_cold_start_seconds",
    }
    heir = Cluster("iris", scene.endpoints[:1], scene.settings, scene.registry, scene.reach)
    gauges = ("gateway_upstream_endpoints", "gateway_upstream_healthy", "gateway_queue_capacity")
    assert [scene.gauge(name) for name in gauges] == [3, 3, 200]
    scene.cluster.close()
    assert [scene.gauge(name) for name in gauges] == [1, 1, 100]
    heir.close()
    assert [scene.gauge(name) for name in gauges] == [0, 0, 0]


# Whatever happens.

Event = tuple[str, int, int]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "call", "cancel", "pass", "flag", "limit", "replace"]),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(EVENTS, st.sampled_from([0.0, 2.0]))
def test_no_place_is_ever_lost_and_nobody_waits_beside_one(events: list[Event], hold: float) -> None:
    async def scenario() -> None:
        scene = Scene(3, limit=1, hold=hold)
        calls: list[asyncio.Task[Response]] = []
        every = list(scene.endpoints)

        def act(what: str, which: int, how: int) -> None:
            endpoint = every[which % len(every)]
            if what == "call":
                if how == 3:
                    scene.services[which % len(every)].fails(UpstreamConnectFailure("refused"), after=0.1)
                calls.append(scene.ask(deadline=scene.loop.time() + 1 + which))
            elif what == "cancel" and calls:
                calls[which % len(calls)].cancel()
            elif what == "flag":
                endpoint.healthy, endpoint.ejected = how > 0, how > 1
                endpoint.on_trial = endpoint.ejected and how > 2
                scene.cluster.changed()
            elif what == "limit":
                scene.cluster.configure(Settings(picker=LeastRequest(), limit=how, hold=hold, panic_threshold=which))
            elif what == "replace":
                scene.endpoints = [one for index, one in enumerate(every) if index != which]
                scene.cluster.replace(scene.endpoints)

        for what, which, how in events:
            act(what, which, how)
            await (asyncio.sleep(which / 2) if what == "pass" else asyncio.sleep(0))
            if scene.cluster._line.waiters:
                assert not scene.cluster._open
            assert all(one.active >= 0 for one in every)
        await asyncio.sleep(60)
        assert all(call.done() for call in calls)
        for call in calls:
            assert call.cancelled() or isinstance(call.exception(), GatewayError) or call.result().status == 200
        assert [one.active for one in every] == [0, 0, 0]
        assert (scene.cluster._calls, scene.gauge("gateway_queue_depth")) == (0, 0)
        scene.cluster.close()

    run(scenario())


class TestAStream:
    @virtual
    async def test_is_a_call_until_its_end(self) -> None:
        scene = Scene(1, limit=1, max_requests=1)
        scene.services[0].does(streamed())
        first = await scene.cluster(ask())
        assert scene.endpoints[0].active == 1
        with pytest.raises(UpstreamOverflow):
            await scene.cluster(ask())
        stream_of(first).connect(MockSink())
        stream_of(first).end()
        assert scene.endpoints[0].active == 0
        assert (await scene.cluster(ask())).body == b"0"

    @virtual
    async def test_lets_in_who_waits_when_it_ends(self) -> None:
        scene = Scene(1, limit=1)
        scene.services[0].does(streamed())
        first = await scene.cluster(ask())
        second = asyncio.ensure_future(scene.cluster(ask()))
        await asyncio.sleep(5.0)
        assert not second.done()
        stream_of(first).cancel()
        assert (await second).body == b"0"

    @pytest.mark.parametrize(
        ("error", "told"),
        [(None, [(200, None, 2.0)]), (UpstreamReset("gone"), [(None, "upstream_reset", 2.0)]), (ClientClosed(""), [])],
    )
    def test_tells_the_watches_at_its_end_how_it_went_and_how_long_it_took_to_begin(
        self, error: GatewayError | None, told: list[tuple[int | None, str | None, float]]
    ) -> None:
        found = []

        def watch(_: Endpoint, answer: Response | None, error: GatewayError | None, seconds: float) -> None:
            found.append((answer and answer.status, error and error.code, seconds))

        @virtual
        async def check() -> None:
            scene = Scene(1, watches=(watch,))
            scene.services[0].does(streamed(), after=2.0)
            response = await scene.cluster(ask())
            await asyncio.sleep(3.0)
            assert found == []
            stream_of(response).cancel(error)
            assert found == told

        check()


@virtual
async def test_a_traced_request_that_waits_has_a_span_of_it_however_the_wait_ends() -> None:
    spans = Spans()
    scene = Scene(1, limit=1, queue_timeout=2.0)

    def traced() -> asyncio.Task[Response]:
        request = ask()
        spans.tracer().begin(request)
        return scene.loop.create_task(scene.cluster.call(request, []))

    scene.services[0].answers(after=1.0).answers(after=5.0)
    calls = [traced() for _ in range(4)]
    await turns()
    calls[3].cancel()
    with pytest.raises(QueueTimeout):
        await calls[2]
    await asyncio.wait(calls)
    assert [span.name for span in spans] == ["queue.wait"] * 3
    given_up, served, late = spans
    assert given_up.attributes == {"gateway.backend": "iris", "gateway.cancelled": True}
    assert (served.attributes, served.error) == ({"gateway.backend": "iris"}, None)
    assert late.attributes == {"gateway.backend": "iris", "error.type": "queue_timeout"}
    assert scene.active == [0]
