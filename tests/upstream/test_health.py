from __future__ import annotations

import asyncio
import logging
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.backend import HealthCheck
from gateway.errors import UpstreamConnectFailure, UpstreamOverflow, UpstreamTimeout
from gateway.http.origin import Origin
from gateway.message import Request, Response
from gateway.telemetry.metrics import Registry, read
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import HealthChecks, Verdict
from tests.support.clock import virtual
from tests.support.service import MockService, answer

REFUSED = UpstreamConnectFailure("connect to http://127.0.0.1:1 failed: refused")


class Backend:
    """Endpoints that are checked; with a chance of 0.5 nothing is random, the first check comes after 0.5 s."""

    def __init__(self, count: int = 1, chance: float = 0.5, futures: bool = False, **config: object) -> None:
        self.services = [MockService(futures=futures) for _ in range(count)]
        self.endpoints = [Endpoint(Origin("127.0.0.1", port), service) for port, service in enumerate(self.services, 1)]
        self.changes = 0
        self.registry = Registry.private()
        self.checks = HealthChecks(
            "iris",
            HealthCheck(**config),  # type: ignore[arg-type]
            b"/v2/health/ready",
            [(b"authorization", b"Bearer x")],
            self._changed,
            self.registry,
            chance=lambda: chance,
        )

    def _changed(self) -> None:
        self.changes += 1

    def begin(self) -> None:
        self.checks.replace(self.endpoints)

    @property
    def healthy(self) -> list[bool]:
        return [endpoint.healthy for endpoint in self.endpoints]

    @property
    def results(self) -> tuple[float, float]:
        """Successes and failures."""
        counted = {series.labels: cells[0] for series, cells in read(self.registry.segment)}
        assert counted.keys() == {("iris", "success"), ("iris", "failure")}
        return counted["iris", "success"], counted["iris", "failure"]


def rounds(*results: bool, healthy: int = 1, unhealthy: int = 3) -> list[bool]:
    """What an endpoint counts as after each result."""
    config = HealthCheck(healthy_threshold=healthy, unhealthy_threshold=unhealthy)
    verdict, state, states = Verdict(), True, []
    for result in results:
        state = verdict.healthy(state, result, config)
        states.append(state)
    return states


@pytest.mark.parametrize(
    ("results", "states"),
    [
        ("+", "+"),
        ("-", "-"),
        ("+---", "+++-"),
        ("+--+--+", "+++++++"),
        ("-+", "-+"),
        ("-+---", "-+++-"),
        ("+---+--+", "+++-++++"),
    ],
)
def test_thresholds(results: str, states: str) -> None:
    assert rounds(*[result == "+" for result in results]) == [state == "+" for state in states]


def test_several_successes_may_be_needed_except_at_first() -> None:
    assert rounds(True, False, healthy=2, unhealthy=1) == [True, False]
    assert rounds(False, True, False, True, True, healthy=2, unhealthy=1) == [False, False, False, False, True]


@given(st.lists(st.booleans(), min_size=1), st.integers(1, 4), st.integers(1, 4))
def test_only_a_whole_row_turns_it(results: list[bool], healthy: int, unhealthy: int) -> None:
    states = rounds(*results, healthy=healthy, unhealthy=unhealthy)
    assert states[0] == results[0]
    for at in range(1, len(states)):
        needed = healthy if results[at] else unhealthy
        against = at + 1 >= needed and set(results[at + 1 - needed : at + 1]) == {results[at]}
        before = states[max(0, at - needed) : at]
        turned = against and len(before) == needed and set(before) == {not results[at]}
        assert states[at] == (results[at] if turned else states[at - 1])


@virtual
@pytest.mark.parametrize("futures", [False, True])
async def test_each_is_asked_at_every_interval(futures: bool) -> None:
    backend = Backend(futures=futures, interval=10.0, timeout=2.0)
    backend.services[0].always(answer())
    backend.begin()
    await asyncio.sleep(25.0)
    requests = backend.services[0].requests
    assert [request.deadline for request in requests] == [2.5, 12.5, 22.5]
    assert requests[0] == Request(b"GET", b"/v2/health/ready", [(b"authorization", b"Bearer x")], deadline=2.5)
    assert backend.results == (3.0, 0.0)
    assert (backend.healthy, backend.changes) == ([True], 0)
    assert backend.endpoints[0].active == 0
    backend.checks.close()


@virtual
@pytest.mark.parametrize(("chance", "times"), [(0.0, [0.0, 9.0, 18.0]), (0.75, [0.75, 11.25, 21.75])])
async def test_intervals_vary_by_a_tenth(chance: float, times: list[float]) -> None:
    backend = Backend(chance=chance, interval=10.0, timeout=1.0)
    backend.services[0].always(answer())
    backend.begin()
    await asyncio.sleep(25.0)
    assert [request.deadline - 1.0 for request in backend.services[0].requests] == pytest.approx(times)


@virtual
async def test_the_first_checks_are_spread_but_soon() -> None:
    chances = cycle([0.1, 0.5, 0.9])
    backend = Backend(3, timeout=1.0)
    backend.checks._chance = lambda: next(chances)
    for service in backend.services:
        service.always(answer())
    backend.begin()
    await asyncio.sleep(1.0)
    assert [service.requests[0].deadline - 1.0 for service in backend.services] == pytest.approx([0.1, 0.5, 0.9])


@virtual
async def test_the_first_checks_of_a_short_interval_come_within_it() -> None:
    backend = Backend(interval=0.1, timeout=1.0)
    backend.services[0].always(answer())
    backend.begin()
    await asyncio.sleep(0.06)
    assert [request.deadline for request in backend.services[0].requests] == [1.05]


@virtual
async def test_the_first_failure_makes_it_unhealthy_and_a_success_well() -> None:
    backend = Backend(2, interval=10.0)
    backend.services[0].fails(REFUSED).always(answer())
    backend.services[1].always(answer())
    backend.begin()
    assert backend.healthy == [True, True]
    await asyncio.sleep(1.0)
    assert (backend.healthy, backend.changes) == ([False, True], 1)
    await asyncio.sleep(10.0)
    assert (backend.healthy, backend.changes) == ([True, True], 2)
    assert backend.endpoints[0].since == 10.5
    assert backend.results == (3.0, 1.0)


@virtual
async def test_later_failures_need_a_row() -> None:
    backend = Backend(interval=10.0, unhealthy_threshold=3)
    backend.services[0].answers().always(UpstreamTimeout("late"))
    backend.begin()
    await asyncio.sleep(21.0)
    assert backend.healthy == [True]
    await asyncio.sleep(10.0)
    assert backend.healthy == [False]


@virtual
async def test_an_endpoint_that_has_no_connection_to_spare_is_not_ill() -> None:
    backend = Backend()
    backend.services[0].always(UpstreamOverflow("1 connections are open already"))
    backend.begin()
    await asyncio.sleep(60)
    assert len(backend.services[0].requests) == 6
    assert backend.healthy == [True]
    assert backend.results == (0, 0)
    backend.checks.close()


@virtual
async def test_expected_statuses() -> None:
    backend = Backend(4, expected_statuses=(200, 204))
    for service, status in zip(backend.services, (200, 204, 404, 302), strict=True):
        service.answers(b'{"ready": false}', status)
    backend.begin()
    await asyncio.sleep(1.0)
    assert backend.healthy == [True, True, False, False]


@virtual
async def test_each_turn_is_a_line_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    backend = Backend(2, interval=10.0)
    backend.services[0].fails(REFUSED).always(answer())
    backend.services[1].always(answer(status=503))
    backend.begin()
    await asyncio.sleep(25.0)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"backend iris: http://127.0.0.1:1 is unhealthy: {REFUSED.detail}"),
        ("WARNING", "backend iris: http://127.0.0.1:2 is unhealthy: status 503"),
        ("INFO", "backend iris: http://127.0.0.1:1 is healthy: it passed its checks"),
    ]


@virtual
async def test_a_slow_answer_holds_up_nobody_else() -> None:
    backend = Backend(2, interval=1.0, timeout=60.0)
    backend.services[0].answers(after=50.0)
    backend.services[1].always(answer())
    backend.begin()
    await asyncio.sleep(10.0)
    assert [len(service.requests) for service in backend.services] == [1, 10]


@virtual
async def test_those_that_stay_are_checked_on_and_those_that_leave_are_not() -> None:
    backend = Backend(3, interval=10.0)
    staying, leaving, coming = backend.services
    staying.always(answer())
    leaving.hangs()
    coming.always(REFUSED)
    backend.checks.replace(backend.endpoints[:2])
    await asyncio.sleep(5.0)
    backend.checks.replace([backend.endpoints[2], backend.endpoints[0]])
    await asyncio.sleep(1.0)
    assert leaving.cancelled == 1
    assert backend.healthy == [True, True, False]
    await asyncio.sleep(5.0)
    assert [len(service.requests) for service in backend.services] == [2, 1, 1]


@virtual
async def test_a_row_goes_on_when_others_come() -> None:
    backend = Backend(2, interval=10.0, unhealthy_threshold=3)
    backend.services[0].answers().always(REFUSED)
    backend.services[1].always(answer())
    backend.checks.replace(backend.endpoints[:1])
    await asyncio.sleep(11.0)
    backend.begin()
    assert backend.healthy == [True, True]
    await asyncio.sleep(10.0)
    assert backend.healthy == [True, True], "two failures in a row"
    await asyncio.sleep(10.0)
    assert backend.healthy == [False, True]


@virtual
async def test_a_new_configuration_asks_soon_and_remembers() -> None:
    backend = Backend(interval=1000.0, unhealthy_threshold=2)
    asked: list[tuple[bytes, float]] = []

    def reply(request: Request) -> Response:
        asked.append((request.target, request.deadline))
        return answer(status=200 if len(asked) == 1 else 500)

    backend.services[0].does(reply).does(reply).does(reply)
    backend.begin()
    await asyncio.sleep(1.0)
    same = HealthCheck(interval=1000.0, unhealthy_threshold=2)
    backend.checks.configure(same, b"/v2/health/ready", [(b"authorization", b"Bearer x")])
    await asyncio.sleep(1.0)
    assert asked == [(b"/v2/health/ready", 1.5)]
    backend.checks.configure(HealthCheck(interval=10.0, timeout=2.0, unhealthy_threshold=2), b"/", [])
    await asyncio.sleep(1.0)
    assert asked[1:] == [(b"/", 4.5)]
    assert backend.healthy == [True], "it was known to be well, so one failure does not decide"
    await asyncio.sleep(10.0)
    assert backend.healthy == [False]


@virtual
async def test_the_end_of_checking_stops_every_call_and_counts_all_as_well() -> None:
    backend = Backend(2, interval=10.0)
    backend.services[0].always(REFUSED)
    backend.services[1].hangs()
    backend.begin()
    await asyncio.sleep(1.0)
    assert backend.healthy == [False, True]
    backend.checks.close()
    assert (backend.healthy, backend.changes) == ([True, True], 2)
    assert backend.endpoints[0].since == 1.0
    await asyncio.sleep(100.0)
    assert backend.services[1].cancelled == 1
    assert len(backend.services[0].requests) == 1
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("health")] == []


@virtual
async def test_repr_tells_who_is_unhealthy() -> None:
    backend = Backend(2)
    backend.services[0].always(answer())
    backend.services[1].always(REFUSED)
    backend.begin()
    await asyncio.sleep(1.0)
    assert repr(backend.checks) == "<HealthChecks iris unhealthy=['http://127.0.0.1:2']>"
