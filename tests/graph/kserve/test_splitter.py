from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.kserve.errors import NoRoute, RouterError
from gateway.graph.kserve.splitter import KServeSplitter
from tests.support.clock import run
from tests.support.service import MockService, answer, ask
from tests.support.steps import step


async def draw_all(weights: list[int]) -> Counter[bytes]:
    """Ask once for each of the hundred points."""
    service, taken = MockService().always(answer()), Counter[bytes]()
    built = [step(service, index=index, weight=weight) for index, weight in enumerate(weights)]
    for point in range(100):
        request = ask()
        try:
            await KServeSplitter(built, random=lambda point=point: (point + 0.5) / 100)(request)  # type: ignore[misc]
        except RouterError as error:
            taken[error.cause.encode()] += 1
        taken.update(request.route)
    return taken


def test_weights_are_per_cent() -> None:
    assert run(draw_all([20, 80])) == {b"n=0": 20, b"n=1": 80}
    assert run(draw_all([0, 30, 70])) == {b"n=1": 30, b"n=2": 70}


def test_what_lacks_a_hundred_is_an_error() -> None:
    assert run(draw_all([20, 30])) == {b"n=0": 20, b"n=1": 30, b"no route was selected by the splitter": 50}
    assert run(draw_all([])) == {b"no route was selected by the splitter": 100}


@given(st.lists(st.integers(0, 120), max_size=5))
def test_a_hundred_points_are_dealt_out_in_step_order(weights: list[int]) -> None:
    taken, left = run(draw_all(weights)), 100
    for index, weight in enumerate(weights):
        assert taken[b"n=%d" % index] == min(weight, left)
        left -= min(weight, left)


@pytest.mark.parametrize("point", [0.0, 1 - 2**-53])
def test_the_ends_of_the_range_are_in_it(point: float) -> None:
    built = [step(MockService().always(answer()), weight=100)]
    assert run(KServeSplitter(built, random=lambda: point)(ask())).ok


def test_errors_of_the_chosen_step_lose_their_status() -> None:
    with pytest.raises(RouterError) as caught:
        run(KServeSplitter([step(MockService().fails(NoRoute()), "s", weight=100)])(ask()))
    assert (caught.value.status, caught.value.step) == (500, "s")
