from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.api.readiness import Needs, Reachable
from tests.support.clock import run


def leaf(ready: bool, asked: list[bool] | None = None) -> Callable[[], Awaitable[bool]]:
    async def reachable() -> bool:
        if asked is not None:
            asked.append(ready)
        return ready

    return reachable


def all_of(*parts: Needs | Reachable) -> Needs:
    return Needs(True, parts)


def any_of(*parts: Needs | Reachable) -> Needs:
    return Needs(False, parts)


UP, DOWN = leaf(True), leaf(False)


@pytest.mark.parametrize(
    ("needs", "ready"),
    [
        (all_of(UP, UP), True),
        (all_of(UP, DOWN), False),
        (any_of(DOWN, UP), True),
        (any_of(DOWN, DOWN), False),
        (all_of(UP, any_of(DOWN, UP)), True),
        (all_of(UP, any_of(DOWN, DOWN)), False),
        (any_of(all_of(UP, DOWN), all_of(UP)), True),
        (all_of(), True),
        (any_of(), False),
    ],
)
def test_ready(needs: Needs, ready: bool) -> None:
    assert run(needs.ready()) is ready  # type: ignore[arg-type]


def test_as_few_are_asked_as_the_answer_takes() -> None:
    asked: list[bool] = []
    assert run(any_of(leaf(False, asked), leaf(True, asked), leaf(True, asked)).ready())
    assert not run(all_of(leaf(True, asked), leaf(False, asked), leaf(False, asked)).ready())
    assert asked == [False, True, True, False]
