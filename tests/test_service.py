from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable

import pytest

from gateway import service
from gateway.errors import NoHealthyUpstream
from gateway.message import Request, Response
from gateway.service import Layer, Service, begin, called, spawn, stack
from tests.support.clock import virtual
from tests.support.service import MockService, ask


def named(name: bytes) -> Layer:
    def layer(inner: Service) -> Service:
        def call(request: Request) -> Awaitable[Response]:
            request.body += name
            return inner(request)

        return call

    return layer


@virtual
async def test_the_first_layer_of_a_stack_is_the_outermost_and_none_is_no_layer() -> None:
    innermost = MockService().answers()
    await stack(named(b"a"), None, named(b"b"), None, named(b"c"), service=innermost)(ask(b""))
    assert innermost.bodies == [b"abc"]


def test_a_stack_without_layers_is_the_service_itself() -> None:
    innermost = MockService()
    assert stack(service=innermost) == stack(None, service=innermost) == called(innermost)


def test_what_is_called_is_a_method_unless_callers_know_more_of_it() -> None:
    class Known(MockService):
        def call(self, request: Request, tried: list[object]) -> None: ...

    async def function(request: Request) -> Response:
        return Response(200, [])

    service, known = MockService(), Known()
    assert called(service) == service.__call__ != service
    assert called(called(service)) == called(service)
    assert called(function) is function
    assert called(known) is known


@virtual
async def test_a_spawned_task_is_kept_until_it_ends() -> None:
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(10)
        done.set()

    spawn(work(), "some work")
    gc.collect()
    await done.wait()
    await asyncio.sleep(0)
    assert not service._tasks


async def fail() -> None:
    await asyncio.sleep(1)
    raise ZeroDivisionError("broken")


def test_its_failure_is_logged_under_its_name(caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def scenario() -> None:
        spawn(fail(), "some work")
        await asyncio.sleep(2)

    with caplog.at_level(logging.ERROR, "gateway"):
        scenario()
    (record,) = caplog.records
    assert record.getMessage() == "task some work failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_the_failure_of_an_awaited_task_is_its_waiters(caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def scenario() -> None:
        with pytest.raises(ZeroDivisionError):
            await spawn(fail(), awaited=True)

    scenario()
    assert not caplog.records


def test_a_cancelled_task_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def scenario() -> None:
        task = spawn(fail(), "some work")
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait([task])

    scenario()
    assert not caplog.records
    assert not service._tasks


@virtual
async def test_a_call_begun_is_a_future_whatever_it_returns_or_raises_at_once() -> None:
    async def coroutine(request: Request) -> Response:
        return Response(201, [])

    def refuses(request: Request) -> asyncio.Future[Response]:
        raise NoHealthyUpstream("nobody")

    ready: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    assert begin(lambda request: ready, ask()) is ready
    assert (await begin(coroutine, ask())).status == 201
    with pytest.raises(NoHealthyUpstream):
        await begin(refuses, ask())
