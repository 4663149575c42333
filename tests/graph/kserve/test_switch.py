from __future__ import annotations

import pytest

from gateway.graph.kserve.errors import NoRoute, RouterError
from gateway.graph.kserve.switch import KServeSwitch
from gateway.graph.step import Condition
from tests.support.clock import run, virtual
from tests.support.service import MockService, ask
from tests.support.steps import step


def has(key: str) -> Condition:
    return lambda found: isinstance(found, dict) and key in found


@virtual
async def test_the_first_condition_that_holds_wins_and_the_input_passes_unchanged() -> None:
    taken = MockService().answers(b"no", 418)
    built = [
        step(MockService(), condition=has("a")),
        step(taken, index=1, condition=has("b"), hard=True, use_response=True, map_predictions=True),
        step(MockService(), index=2, condition=has("b")),
    ]
    request = ask(b'{"b": 1, "predictions": [1]}')
    result = await KServeSwitch(built)(request)
    assert (result.status, result.body, request.route) == (418, b"no", [b"n=1"])
    assert taken.bodies == [b'{"b": 1, "predictions": [1]}']


@pytest.mark.parametrize("body", [b"{}", b"", b"hello"])
def test_there_is_no_default(body: bytes) -> None:
    request = ask(body)
    with pytest.raises(NoRoute) as caught:
        run(KServeSwitch([step(MockService(), condition=has("a")), step(MockService())])(request))
    assert (caught.value.status, caught.value.node, request.route) == (404, "n", [])


@pytest.mark.parametrize("body", [b'{"a": "\\ud800"}', b'{"a": "\xff"}', b'{"a": 1e999}'])
def test_json_is_what_go_calls_json(body: bytes) -> None:
    assert run(KServeSwitch([step(MockService().answers(), condition=has("a"))])(ask(body))).ok


def test_no_route_in_a_nested_switch_is_a_500() -> None:
    inner = KServeSwitch([step(MockService(), condition=has("b"))])
    with pytest.raises(RouterError) as caught:
        run(KServeSwitch([step(inner, condition=has("a"))])(ask(b'{"a": 1}')))
    assert (caught.value.status, caught.value.cause) == (500, NoRoute().cause)
