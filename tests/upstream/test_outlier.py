from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.backend import OutlierDetection
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    NoHealthyUpstream,
    Overloaded,
    UpstreamConnectFailure,
    UpstreamProtocolError,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamUnusable,
)
from gateway.http.origin import Origin
from gateway.telemetry.metrics import Registry, read
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.outlier import BLAMED, QUIET, TYPES, Outliers
from tests.support.service import MockService, answer

LOCAL, GATEWAY, ANY = TYPES
Outcome = int | GatewayError
RESET = UpstreamReset("reset")


class Alarm:
    """One timer that was set."""

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Time:
    """A clock and its timers; ``early``: seconds by which these go off too soon."""

    def __init__(self, early: float = 0.0) -> None:
        self.now = 1000.0
        self.early = early
        self.alarms: list[Alarm] = []

    def later(self, delay: float, call: Callable[[], None]) -> Alarm:
        assert delay >= 0
        self.alarms.append(Alarm(self.now + delay, call))
        return self.alarms[-1]

    @property
    def pending(self) -> list[Alarm]:
        self.alarms = [alarm for alarm in self.alarms if not alarm.cancelled]
        return self.alarms

    def passes(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [alarm for alarm in self.pending if alarm.due - self.early <= end]:
            alarm = min(due, key=lambda alarm: alarm.due)
            self.alarms.remove(alarm)
            self.now = max(self.now, alarm.due - self.early)
            alarm.call()
        self.now = end


class Backend:
    """Some endpoints, and what watches them."""

    def __init__(self, count: int = 4, chance: float = 0.0, early: float = 0.0, **config: float) -> None:
        self.time = Time(early)
        self.changes = 0
        self.registry = Registry.private()
        self.outliers = Outliers(
            "iris",
            OutlierDetection(**config),  # type: ignore[arg-type]
            self._changed,
            self.registry,
            clock=lambda: self.time.now,
            later=self.time.later,
            chance=lambda: chance,
        )
        self.endpoints = [endpoint(port) for port in range(1, count + 1)]
        self.outliers.replace(self.endpoints)

    def _changed(self) -> None:
        self.changes += 1

    def ends(self, one: Endpoint, *outcomes: Outcome, seconds: float = 0.1) -> None:
        """Calls of ``one`` end so."""
        for outcome in outcomes:
            if isinstance(outcome, int):
                self.outliers(one, answer(status=outcome), None, seconds)
            else:
                self.outliers(one, None, outcome, seconds)

    def fails(self, one: Endpoint) -> None:
        """Often enough to be ejected, with the defaults."""
        self.ends(one, 500, 500, 500, 500, 500)

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        return {series.labels: cells[0] for series, cells in read(self.registry.segment) if series.name == name}

    @property
    def found(self) -> dict[tuple[str, str], float]:
        """The detections there were, by type and whether they were enforced."""
        series = self.counted("gateway_upstream_ejections_total")
        return {(kind, enforced): count for (_, kind, enforced), count in series.items() if count}

    @property
    def out(self) -> list[bool]:
        assert self.counted("gateway_upstream_ejected") == {("iris",): sum(one.ejected for one in self.endpoints)}
        return [one.ejected for one in self.endpoints]


def endpoint(port: int) -> Endpoint:
    return Endpoint(Origin("127.0.0.1", port), MockService())


@pytest.mark.parametrize(
    ("config", "outcomes", "found"),
    [
        ({}, [500] * 4, None),
        ({}, [500] * 5, ANY),
        ({}, [500, 501, 502, 503, 599], ANY),
        ({}, [500, 500, 500, 500, 200, 500], None),
        ({}, [500, 500, 500, 500, 404, 500], None),
        ({}, [RESET] * 5, LOCAL),
        ({}, [RESET, RESET, RESET, RESET, 500], ANY),
        ({"consecutive_5xx_errors": 0}, [RESET, RESET, RESET, RESET, 500, RESET], None),
        ({"consecutive_5xx_errors": 0}, [500] * 50, None),
        ({"consecutive_local_origin_failures": 0}, [RESET] * 5, ANY),
        ({"consecutive_gateway_errors": 2}, [500, 501, 502], None),
        ({"consecutive_gateway_errors": 2}, [502, 200, 503, 500, 504], None),
        ({"consecutive_gateway_errors": 2}, [502, 503], GATEWAY),
        ({"consecutive_gateway_errors": 2}, [504, RESET], GATEWAY),
        ({"consecutive_5xx_errors": 1}, [500], ANY),
        ({"consecutive_5xx_errors": 0, "consecutive_local_origin_failures": 0}, [RESET] * 50, None),
    ],
)
def test_rows_of_failures(config: dict[str, Any], outcomes: list[Outcome], found: str | None) -> None:
    backend = Backend(**config)
    backend.ends(backend.endpoints[0], *outcomes)
    assert backend.found == ({} if found is None else {(found, "true"): 1.0})
    assert backend.out == [found is not None, False, False, False]
    assert backend.changes == (found is not None)


def test_every_series_exists_from_the_start() -> None:
    backend = Backend()
    assert backend.counted("gateway_upstream_ejected") == {("iris",): 0.0}
    assert backend.counted("gateway_upstream_ejections_total") == {
        ("iris", kind, enforced): 0.0 for kind in TYPES for enforced in ("true", "false")
    }


@pytest.mark.parametrize("error", [DeadlineExceeded(), Overloaded(), NoHealthyUpstream()])
def test_what_is_not_the_endpoints_doing_does_not_count(error: GatewayError) -> None:
    backend = Backend()
    backend.ends(backend.endpoints[0], *[error] * 50)
    backend.ends(backend.endpoints[0], 500, 500, 500, 500, error, 500)
    assert backend.found == {(ANY, "true"): 1.0}, "nor does it end a row"


@pytest.mark.parametrize(
    "error",
    [UpstreamConnectFailure(), UpstreamProtocolError(), UpstreamReset(), UpstreamTimeout(), UpstreamUnusable()],
)
def test_errors_that_count(error: GatewayError) -> None:
    assert isinstance(error, BLAMED)
    backend = Backend()
    backend.ends(backend.endpoints[0], *[error] * 5)
    assert backend.found == {(LOCAL, "true"): 1.0}


def test_what_ends_while_it_is_out_changes_nothing() -> None:
    backend = Backend()
    one = backend.endpoints[0]
    backend.fails(one)
    backend.fails(one)
    backend.ends(one, 200)
    assert backend.out == [True, False, False, False]
    assert backend.found == {(ANY, "true"): 1.0}


def test_a_call_tries_it_again_and_succeeds() -> None:
    backend = Backend()
    one = backend.endpoints[0]
    backend.fails(one)
    backend.time.passes(29.9)
    assert (one.ejected, one.on_trial) == (True, False)
    backend.time.passes(0.2)
    assert (one.ejected, one.on_trial, backend.changes) == (True, True, 2)
    backend.time.passes(3.0)
    backend.ends(one, 200)
    assert (one.ejected, one.on_trial, one.since, backend.changes) == (False, False, backend.time.now, 3)
    assert backend.out == [False] * 4
    assert not backend.time.pending


def test_a_call_tries_it_again_and_fails() -> None:
    backend = Backend(consecutive_local_origin_failures=0)
    one = backend.endpoints[0]
    backend.fails(one)
    backend.time.passes(31.0)
    backend.ends(one, RESET)
    assert (one.ejected, one.on_trial) == (True, False)
    assert backend.out == [True, False, False, False]
    assert backend.found == {(ANY, "true"): 2.0}
    backend.time.passes(59.0)
    assert not one.on_trial
    backend.time.passes(2.0)
    assert one.on_trial


def test_the_trial_ends_well_when_what_fails_is_not_counted() -> None:
    backend = Backend(consecutive_5xx_errors=0)
    one = backend.endpoints[0]
    backend.ends(one, *[RESET] * 5)
    backend.time.passes(31.0)
    backend.ends(one, 500)
    assert backend.out == [False] * 4


def test_a_trial_without_a_verdict_goes_on() -> None:
    backend = Backend()
    one = backend.endpoints[0]
    backend.fails(one)
    backend.time.passes(31.0)
    backend.ends(one, DeadlineExceeded())
    assert (one.ejected, one.on_trial) == (True, True)


@pytest.mark.parametrize("outcome", [200, UpstreamTimeout()])
def test_a_call_from_before_the_ejection_does_not_decide_the_trial(outcome: Outcome) -> None:
    backend = Backend()
    one = backend.endpoints[0]
    backend.fails(one)
    backend.time.passes(31.0)
    backend.ends(one, outcome, seconds=31.1)
    assert (one.ejected, one.on_trial) == (True, True)
    backend.ends(one, outcome, seconds=30.9)
    assert not one.on_trial


def trial_after(backend: Backend, one: Endpoint) -> float:
    """Seconds until it is on trial."""
    started = backend.time.now
    (alarm,) = backend.time.pending
    backend.time.passes(alarm.due - started)
    assert one.on_trial
    return round(backend.time.now - started, 6)


def test_each_ejection_is_longer_up_to_the_longest() -> None:
    backend = Backend(max_ejection_time=100.0)
    one = backend.endpoints[0]
    backend.fails(one)
    times = []
    for _ in range(5):
        times.append(trial_after(backend, one))
        backend.ends(one, 500)
    assert times == [30.0, 60.0, 90.0, 100.0, 100.0]


def test_good_times_are_held_to_its_credit() -> None:
    backend = Backend()
    one = backend.endpoints[0]
    backend.fails(one)
    for expected in (30.0, 60.0, 90.0):
        assert trial_after(backend, one) == expected
        backend.ends(one, 500)
    assert trial_after(backend, one) == 120.0
    backend.ends(one, 200)
    backend.time.passes(65.0)  # two times the base: two of four are forgotten
    backend.fails(one)
    assert trial_after(backend, one) == 90.0
    backend.ends(one, 200)
    backend.time.passes(10_000.0)
    backend.fails(one)
    assert trial_after(backend, one) == 30.0


def test_an_ejection_is_up_to_a_tenth_longer() -> None:
    backend = Backend(chance=0.5, max_ejection_time=30.0)
    backend.fails(backend.endpoints[0])
    assert trial_after(backend, backend.endpoints[0]) == 31.5


def test_no_time_at_all_is_a_trial_at_once() -> None:
    backend = Backend(base_ejection_time=0.0)
    one = backend.endpoints[0]
    backend.fails(one)
    assert trial_after(backend, one) == 0.0
    backend.ends(one, 500, seconds=0.0)
    assert trial_after(backend, one) == 0.0


def test_one_timer_serves_all_and_may_be_early() -> None:
    backend = Backend(count=6, early=0.001)
    first, second, third = backend.endpoints[:3]
    backend.fails(first)
    backend.time.passes(10.0)
    backend.fails(second)
    assert len(backend.time.pending) == 1
    backend.time.passes(20.0)
    assert (first.on_trial, second.on_trial) == (True, False)
    backend.ends(first, 500)  # 60 s: the second one's 10 come first
    backend.fails(third)
    assert len(backend.time.pending) == 1
    backend.time.passes(10.0)
    assert (first.on_trial, second.on_trial, third.on_trial) == (False, True, False)
    backend.time.passes(20.0)
    assert (first.on_trial, second.on_trial, third.on_trial) == (False, True, True)
    backend.time.passes(30.0)
    assert first.on_trial
    assert not backend.time.pending


def test_a_shorter_ejection_sets_the_timer_forward() -> None:
    backend = Backend()
    first, second = backend.endpoints[:2]
    backend.fails(first)
    backend.time.passes(30.0)
    backend.ends(first, 500)
    backend.time.passes(1.0)
    backend.fails(second)
    assert len(backend.time.pending) == 1
    assert trial_after(backend, second) == 30.0


def test_no_more_are_out_than_the_share_allows() -> None:
    backend = Backend(count=5, max_ejection_percent=50)
    for one in backend.endpoints:
        backend.fails(one)
    assert backend.out == [True, True, False, False, False]
    assert backend.found == {(ANY, "true"): 2.0, (ANY, "false"): 3.0}


def test_one_may_always_be_out() -> None:
    backend = Backend(count=5, max_ejection_percent=0)
    for one in backend.endpoints:
        backend.fails(one)
    assert backend.out == [True, False, False, False, False]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_last_one_stays(count: int) -> None:
    backend = Backend(count=count, max_ejection_percent=100)
    for one in backend.endpoints:
        backend.fails(one)
    assert backend.out == [True] * (count - 1) + [False]


def test_one_that_is_unhealthy_is_no_reason_to_do_without_another() -> None:
    backend = Backend(count=2)
    backend.endpoints[1].healthy = False
    backend.fails(backend.endpoints[0])
    assert backend.out == [False, False]
    assert backend.found == {(ANY, "false"): 1.0}


def test_a_failed_trial_lets_it_in_when_nothing_else_is_left() -> None:
    backend = Backend(count=2)
    one, other = backend.endpoints
    backend.fails(one)
    backend.time.passes(31.0)
    other.healthy = False
    backend.ends(one, 500)
    assert (one.ejected, one.on_trial, backend.changes) == (False, False, 3)
    assert backend.found == {(ANY, "true"): 1.0, (ANY, "false"): 1.0}


def test_the_last_ones_failures_are_logged_but_not_each(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend(count=1)
    (one,) = backend.endpoints
    for _ in range(10):
        backend.fails(one)
    backend.time.passes(QUIET)
    backend.fails(one)
    assert backend.found == {(ANY, "false"): 11.0}
    line = "backend iris: http://127.0.0.1:1 fails (consecutive_5xx), but too few others are left"
    assert caplog.messages == [line, line]


def test_every_change_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    backend = Backend(chance=0.5)
    one = backend.endpoints[0]
    backend.ends(one, *[RESET] * 5)
    backend.time.passes(40.0)
    backend.ends(one, 200)
    assert caplog.messages == [
        "backend iris: http://127.0.0.1:1 is left out for 31.5 s: consecutive_local_origin_failures",
        "backend iris: http://127.0.0.1:1 takes calls again: it answers again",
    ]


def test_what_stays_keeps_its_state_and_what_leaves_is_forgotten() -> None:
    backend = Backend(count=6)
    one, gone = backend.endpoints[:2]
    backend.fails(one)
    backend.fails(gone)
    backend.ends(backend.endpoints[2], 500, 500, 500, 500)
    backend.endpoints.remove(gone)
    backend.endpoints.append(endpoint(9))
    backend.outliers.replace(backend.endpoints)
    assert backend.out == [True, False, False, False, False, False]
    backend.ends(gone, 500, 500, 500, 500, 500)
    assert backend.out == [True, False, False, False, False, False]
    backend.ends(backend.endpoints[1], 500)
    assert backend.out == [True, True, False, False, False, False], "its row went on"
    backend.time.passes(31.0)
    assert one.on_trial


def test_those_who_are_out_come_back_when_others_leave() -> None:
    backend = Backend(count=6)
    first, second, third = backend.endpoints[:3]
    for one in (first, second, third):
        backend.fails(one)
        backend.time.passes(1.0)
    backend.endpoints[:] = [first, second, third, backend.endpoints[3]]
    changes = backend.changes
    backend.outliers.replace(backend.endpoints)
    assert backend.out == [False, True, True, False], "half of four; the first would have been back first"
    assert (first.since, backend.changes) == (backend.time.now, changes + 1)
    backend.endpoints[:] = [third]
    backend.outliers.replace(backend.endpoints)
    assert backend.out == [False]
    backend.time.passes(100.0)
    assert not third.on_trial


def test_a_new_configuration_is_obeyed_and_forgets_nothing() -> None:
    backend = Backend(count=6)
    for one in backend.endpoints[:3]:
        backend.fails(one)
    backend.ends(backend.endpoints[5], 500, 500)
    backend.outliers.configure(OutlierDetection(consecutive_5xx_errors=3, max_ejection_percent=40))
    assert sum(backend.out) == 2
    backend.time.passes(31.0)
    backend.ends(backend.endpoints[1], 200)
    backend.ends(backend.endpoints[2], 200)
    backend.ends(backend.endpoints[5], 500)
    assert backend.out == [False] * 5 + [True]


def test_the_end_of_detection_lets_everyone_in() -> None:
    backend = Backend()
    backend.fails(backend.endpoints[0])
    backend.fails(backend.endpoints[1])
    backend.time.passes(31.0)
    backend.outliers.close()
    assert backend.out == [False] * 4
    assert not any(one.on_trial for one in backend.endpoints)
    assert not backend.time.pending
    assert backend.changes == 4


def test_repr_tells_who_is_out() -> None:
    backend = Backend()
    backend.fails(backend.endpoints[1])
    assert repr(backend.outliers) == "<Outliers iris ejected=['http://127.0.0.1:2']>"


class Series(Backend):
    """Anything that may happen, in any order; what must hold is checked after each step."""

    def step(self, kind: str, which: int, outcome: Outcome, seconds: float) -> None:
        one = self.endpoints[which % len(self.endpoints)]
        if kind == "end":
            if one.usable or one.on_trial:
                self.ends(one, outcome, seconds=seconds)
        elif kind == "pass":
            self.time.passes(seconds)
        elif kind == "join":
            self.endpoints.append(endpoint(100 + len(self.endpoints)))
            self.outliers.replace(self.endpoints)
        elif kind == "leave" and len(self.endpoints) > 1:
            self.endpoints.remove(one)
            self.outliers.replace(self.endpoints)

    def check(self, percent: int) -> None:
        out = sum(self.out)
        assert out < len(self.endpoints)
        assert out <= max(1, len(self.endpoints) * percent // 100)
        assert all(one.ejected for one in self.endpoints if one.on_trial)
        assert len(self.time.pending) <= 1


OUTCOMES = st.sampled_from([200, 404, 500, 500, 503, RESET, RESET, UpstreamTimeout(), DeadlineExceeded()])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["end"] * 8 + ["pass", "pass", "join", "leave"]),
        st.integers(0, 5),
        OUTCOMES,
        st.floats(0, 120, allow_nan=False),
    ),
    max_size=80,
)


@given(
    steps=STEPS,
    count=st.integers(1, 6),
    limits=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    times=st.tuples(st.floats(0, 60), st.floats(0, 300)),
    percent=st.integers(0, 100),
    chance=st.floats(0, 1, exclude_max=True),
    early=st.sampled_from([0.0, 0.001]),
)
def test_whatever_happens_enough_stay_and_every_ejection_ends(
    steps: list[tuple[str, int, Outcome, float]],
    count: int,
    limits: tuple[int, int, int],
    times: tuple[float, float],
    percent: int,
    chance: float,
    early: float,
) -> None:
    backend = Series(
        count,
        chance,
        early,
        consecutive_5xx_errors=limits[0],
        consecutive_gateway_errors=limits[1],
        consecutive_local_origin_failures=limits[2],
        base_ejection_time=times[0],
        max_ejection_time=times[1],
        max_ejection_percent=percent,
    )
    for step in steps:
        backend.step(*step)
        backend.check(percent)
    backend.time.passes(times[1] * 1.1 + 0.01)
    assert all(one.on_trial for one in backend.endpoints if one.ejected)
    for one in backend.endpoints:
        backend.ends(one, 200, seconds=0.0)
    assert not any(backend.out)
    assert backend.time.pending == []
