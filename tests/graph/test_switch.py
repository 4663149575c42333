from __future__ import annotations

import pytest

from gateway.errors import NoRouteMatched, UnsupportedMediaType
from gateway.graph.step import Condition
from gateway.graph.switch import Switch
from gateway.message import Request
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask
from tests.support.steps import step


def has(key: str) -> Condition:
    return lambda found: isinstance(found, dict) and key in found


@virtual
async def test_the_first_condition_that_holds_wins() -> None:
    services = [MockService().always(answer(name)) for name in (b"a", b"b", b"c")]
    switch = Switch([step(s, index=i, condition=has(k)) for i, (s, k) in enumerate(zip(services, "abb", strict=True))])
    request = ask(b'{"b": 1}')
    assert (await switch(request)).body == b"b"
    assert request.route == [b"n=1"]
    assert services[1].requests[0].body == b'{"b": 1}'
    assert [len(service.requests) for service in services] == [0, 1, 0]


@pytest.mark.parametrize("body", [b"{}", b"hello", b"", b"[" * 2000 + b"]" * 2000])
def test_the_default_step_takes_the_rest(body: bytes) -> None:
    @virtual
    async def scenario() -> None:
        default = MockService().answers()
        await Switch([step(MockService(), condition=has("a")), step(default, index=1)])(ask(body))
        assert default.bodies == [body]

    scenario()


@pytest.mark.parametrize("body", [b"{}", b"hello", b""])
def test_none_holds(body: bytes) -> None:
    request = ask(body)
    with pytest.raises(NoRouteMatched) as caught:
        Switch([step(MockService(), condition=has("a"))])(request)
    assert (caught.value.node, caught.value.status, request.route) == ("n", 404, [])


def test_no_steps_no_route() -> None:
    with pytest.raises(NoRouteMatched):
        Switch([])(ask())


def test_a_body_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        Switch([step(MockService(), condition=has("a"))])(ask(b"x", [(b"content-encoding", b"br")]))
    assert caught.value.node == "n"


@virtual
async def test_the_body_is_parsed_once_for_all_switches() -> None:
    seen: list[object] = []

    def note(found: object) -> bool:
        seen.append(found)
        return True

    inner = Switch([step(MockService().answers(), condition=note)])
    await Switch([step(inner, condition=note)])(ask(b"[1]"))
    assert seen[0] is seen[1]


@virtual
async def test_a_step_may_tighten_the_deadline() -> None:
    service = MockService().answers()
    request: Request = ask(deadline=9.0)
    await Switch([step(service, timeout=0.5)])(request)
    assert service.requests[0].deadline == 0.5
