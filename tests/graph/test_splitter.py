from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import NoHealthyUpstream
from gateway.graph.splitter import Splitter
from tests.support.clock import run, virtual
from tests.support.service import MockService, answer, ask
from tests.support.steps import step


def splitter(weights: list[int], point: float) -> tuple[Splitter, list[MockService]]:
    services = [MockService().always(answer()) for _ in weights]
    built = [step(s, index=i, weight=w) for i, (s, w) in enumerate(zip(services, weights, strict=True))]
    return Splitter(built, random=lambda: point), services


@virtual
async def test_it_calls_the_drawn_step_and_says_so() -> None:
    split, (stable, canary) = splitter([90, 10], 0.95)
    request = ask(b"not json")
    assert (await split(request)).ok
    assert request.route == [b"n=1"]
    assert canary.requests[0].at == ("n", "")
    assert not stable.requests


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any))
def test_shares_are_exactly_weight_by_sum(weights: list[int]) -> None:
    total, taken = sum(weights), Counter[bytes]()

    async def draw_every_slot_once() -> None:
        for slot in range(total):
            request = ask()
            await splitter(weights, (slot + 0.5) / total)[0](request)
            taken.update(request.route)

    run(draw_every_slot_once())
    assert {index: taken[b"n=%d" % index] for index in range(len(weights))} == dict(enumerate(weights))


@given(st.lists(st.integers(0, 10**18), min_size=1, max_size=5).filter(any), st.floats(0, 1, exclude_max=True))
def test_any_draw_takes_a_step_with_a_weight(weights: list[int], point: float) -> None:
    split, services = splitter(weights, point)
    run(_ask(split))
    [chosen] = [index for index, service in enumerate(services) if service.requests]
    assert weights[chosen] > 0
    below, above = Fraction(sum(weights[:chosen]), sum(weights)), Fraction(sum(weights[: chosen + 1]), sum(weights))
    assert float(below) - 1e-9 <= point <= float(above) + 1e-9


async def _ask(split: Splitter) -> None:
    await split(ask())


@pytest.mark.parametrize("point", [0.0, 0.5, 1 - 2**-53])
def test_weight_zero_is_never_taken(point: float) -> None:
    split, services = splitter([0, 3, 0], point)
    run(_ask(split))
    assert [len(service.requests) for service in services] == [0, 1, 0]


@pytest.mark.parametrize("weights", [[], [0, 0]])
def test_somebody_must_have_a_weight(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weight"):
        splitter(weights, 0.5)


def test_the_default_draw_takes_every_branch() -> None:
    async def scenario() -> list[int]:
        services = [MockService().always(answer()) for _ in range(2)]
        split = Splitter([step(service, index=index, weight=1) for index, service in enumerate(services)])
        for _ in range(200):
            await split(ask())
        return [len(service.requests) for service in services]

    assert all(run(scenario()))


@virtual
async def test_failures_and_bad_answers_pass_through() -> None:
    failing = MockService().fails(NoHealthyUpstream("down")).answers(b"busy", 429)
    split = Splitter([step(failing, weight=1)])
    with pytest.raises(NoHealthyUpstream):
        await split(ask())
    assert (await split(ask())).status == 429


@virtual
async def test_a_step_may_tighten_the_deadline() -> None:
    service = MockService().answers()
    await Splitter([step(service, weight=1, timeout=0.5)])(ask(deadline=9.0))
    assert service.requests[0].deadline == 0.5
