from __future__ import annotations

import pytest

from gateway.errors import DeadlineExceeded, UpstreamTimeout
from gateway.graph.step import Node, Step
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask
from tests.support.steps import step, steps


@virtual
async def test_a_step_says_who_sent_the_request_and_copies_nothing_else() -> None:
    request, seen = ask(), []
    service = MockService().does(lambda request: seen.append(request) or answer())  # type: ignore[func-returns-value]
    await step(service, "classify").call(request)
    assert seen[0] is request
    assert request.at == ("n", "classify")


@pytest.mark.parametrize(("deadline", "expected"), [(9.0, 2.0), (1.0, 1.0)])
def test_a_timeout_only_ever_tightens_the_deadline(deadline: float, expected: float) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService().answers()
        request = ask(deadline=deadline)
        await step(service, timeout=2.0).call(request)
        assert service.requests[0].deadline == expected
        assert request.deadline == deadline

    scenario()


def test_without_a_condition_a_step_always_holds_and_reads_nothing() -> None:
    request = ask(b"\xff", [(b"content-encoding", b"br")])
    assert step(MockService()).holds(request)


def test_a_condition_sees_the_parsed_body() -> None:
    taken = step(MockService(), condition=lambda found: found == {"a": 1})
    assert taken.holds(ask(b'{"a":1}'))
    assert taken.holds(answer(b'{"a": 1}'))
    assert not taken.holds(ask(b'{"a":2}'))


def test_what_is_not_json_meets_no_condition() -> None:
    assert not step(MockService(), condition=lambda found: True).holds(ask(b"hello"))


@virtual
async def test_in_time_until_the_deadline() -> None:
    classify = step(MockService(), "classify")
    classify.in_time(ask(deadline=0.1))
    with pytest.raises(DeadlineExceeded) as caught:
        classify.in_time(ask(deadline=0.0))
    assert (caught.value.node, caught.value.step) == ("n", "classify")


def test_a_node_shows_its_name_and_its_steps() -> None:
    assert repr(Node([step(MockService(), "a"), step(MockService(), index=1)])) == "Node(n: a, 1)"
    assert repr(Node(steps())) == "Node(: )"


@virtual
async def test_a_step_that_is_counted_counts_its_calls_whatever_becomes_of_them() -> None:
    cells = memoryview(bytearray(8)).cast("d")
    service = MockService().answers(b"[1]").fails(UpstreamTimeout("late"))
    at = ("root", "a")
    taken = Step(node="root", index=0, name="a", key="a", label=b"root=a", at=at, service=service, taken=cells)
    assert (await taken.call(ask())).body == b"[1]"
    with pytest.raises(UpstreamTimeout):
        await taken.call(ask())
    assert cells[0] == 2.0
