"""Nodes in nodes in nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import pytest

from gateway.config.check_graph import DEEPEST
from gateway.errors import NoHealthyUpstream
from gateway.graph.ensemble import Ensemble
from gateway.graph.sequence import Sequence
from gateway.graph.splitter import Splitter
from gateway.graph.switch import Switch
from gateway.layers.fallback import fallback
from gateway.message import Request, Response
from gateway.service import Service
from tests.support.clock import run, virtual
from tests.support.service import MockService, ask
from tests.support.steps import step

DEPTH = 200
KINDS = [Sequence, Switch, Ensemble, Splitter]


def nested(kinds: list[Callable[..., Service]], leaf: Service) -> Service:
    for level in range(DEPTH):
        leaf = kinds[level % len(kinds)]([step(leaf, weight=1, hard=True)])
    return leaf


async def answer_of(graph: Service, request: Request) -> Response:
    return await graph(request)


@pytest.mark.parametrize("kinds", [KINDS, *([kind] for kind in KINDS)], ids=["all", *(kind.__name__ for kind in KINDS)])
def test_a_graph_200_nodes_deep_works(kinds: list[Callable[..., Service]]) -> None:
    found = orjson.loads(run(answer_of(nested(kinds, MockService().answers(b'{"a":1}')), ask())).body)
    while "0" in found:
        found = found["0"]
    assert found == {"a": 1}


@pytest.mark.parametrize("kinds", [KINDS, *([kind] for kind in KINDS)], ids=["all", *(kind.__name__ for kind in KINDS)])
def test_a_failure_travels_up_200_nodes(kinds: list[Callable[..., Service]]) -> None:
    with pytest.raises(NoHealthyUpstream):
        run(answer_of(nested(kinds, MockService().fails(NoHealthyUpstream("down"), after=1.0)), ask()))


@virtual
async def test_a_failure_that_no_fallback_mends_travels_up_as_many_nodes_as_a_graph_may_have() -> None:
    leaf: Service = MockService().always(NoHealthyUpstream("down"), after=1.0)
    for _ in range(DEEPEST):
        leaf = fallback(MockService().fails(NoHealthyUpstream("down too")), b"n=0~fallback", 9.0)(
            Sequence([step(leaf)])
        )
    with pytest.raises(NoHealthyUpstream, match="down too"):
        await leaf(ask())


@virtual
async def test_a_cancellation_travels_down_200_nodes() -> None:
    service = MockService().hangs()
    task = asyncio.create_task(answer_of(nested(KINDS, service), ask()))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(1)
    assert service.cancelled == 1


@virtual
async def test_the_route_lists_every_choice_on_the_way() -> None:
    canary = Splitter([step(MockService().answers(), "v2", weight=1)])
    request = ask()
    await Sequence([step(Switch([step(canary, "canary")]))])(request)
    assert request.route == [b"n=canary", b"n=v2"]
