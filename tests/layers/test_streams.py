"""What the layers do with an answer that is still on its way when they hand it on."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.config import backend as config
from gateway.errors import ClientClosed, GatewayError, Overloaded, UpstreamReset
from gateway.layers.admit import Allowance, admit
from gateway.layers.budget import Budget
from gateway.layers.fallback import fallback
from gateway.layers.hedge import Hedge
from gateway.layers.observe import observe_backend, observe_graph
from gateway.layers.quantile import Latency
from gateway.layers.recover import Recover
from gateway.layers.retry import retry, retry_budget
from gateway.message import Response
from gateway.telemetry.metrics import Registry
from tests.layers.test_observe import Numbers, clock, seconds
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask
from tests.support.streams import MockSink, MockSource, stream_of, streamed


def finished(response: Response, error: GatewayError | None = None) -> None:
    """The stream of ``response`` comes to its end."""
    stream = stream_of(response)
    stream.connect(MockSink())
    if error is None:
        stream.end()
    else:
        stream.fail(error)


class TestObserve:
    @virtual
    async def test_is_in_flight_and_timed_to_the_last_byte(self) -> None:
        numbers = Numbers()
        response = await observe_graph(numbers.registry, "iris", clock())(MockService().does(streamed(), after=1.0))(
            ask()
        )
        await asyncio.sleep(2.0)
        assert numbers.of("gateway_requests_in_flight") == {("iris",): 1.0}
        assert numbers.of("gateway_requests_total") == {("iris", "200", "success"): 0.0}
        finished(response)
        assert numbers.of("gateway_requests_in_flight") == {("iris",): 0.0}
        assert numbers.of("gateway_requests_total") == {("iris", "200", "success"): 1.0}
        assert seconds(numbers, "gateway_request_duration_seconds") == 3.0

    @pytest.mark.parametrize(
        ("error", "code", "outcome", "upstream"),
        [
            (UpstreamReset("gone"), "502", "upstream_reset", "upstream_reset"),
            (ClientClosed("left"), "499", "client_closed_request", "cancelled"),
        ],
    )
    def test_counts_what_it_came_to_and_not_what_its_head_promised(
        self, error: GatewayError, code: str, outcome: str, upstream: str
    ) -> None:
        @virtual
        async def check() -> None:
            numbers = Numbers()
            inner = observe_backend(numbers.registry, "a", clock())(MockService().does(streamed()))
            finished(await observe_graph(numbers.registry, "iris", clock())(inner)(ask()), error)
            assert numbers.of("gateway_requests_total") == {
                ("iris", "200", "success"): 0.0,
                ("iris", code, outcome): 1.0,
            }
            assert numbers.of("gateway_upstream_requests_total") == {("a", "200"): 0.0, ("a", upstream): 1.0}
            assert numbers.of("gateway_upstream_active_requests") == {("a",): 0.0}

        check()


class TestAdmit:
    @virtual
    async def test_holds_the_place_until_the_end(self) -> None:
        service = admit(Allowance(1, Registry.private()))(MockService().does(streamed()).answers())
        first = await service(ask())
        with pytest.raises(Overloaded):
            await service(ask())
        finished(first)
        assert (await service(ask())).status == 200


class TestRecover:
    @virtual
    async def test_stamps_it_and_is_not_idle_before_its_end(self) -> None:
        recover = Recover(MockService().does(streamed()))
        idle = asyncio.Event()
        response = await recover(ask())
        recover.when_idle(idle.set)
        assert response.stamp == b"x-request-id: id-1\r\n"
        assert (recover.in_flight, idle.is_set()) == (1, False)
        finished(response)
        assert (recover.in_flight, idle.is_set()) == (0, True)

    def test_says_in_the_log_which_one_broke_off(self, caplog: pytest.LogCaptureFixture) -> None:
        @virtual
        async def check() -> None:
            finished(await Recover(MockService().does(streamed()))(ask()), UpstreamReset("gone"))

        check()
        assert caplog.messages == ["the answer to request id-1 broke off: upstream_reset: gone"]

    def test_does_not_warn_of_clients_that_leave(self, caplog: pytest.LogCaptureFixture) -> None:
        @virtual
        async def check() -> None:
            stream_of(await Recover(MockService().does(streamed()))(ask())).cancel(ClientClosed("left"))

        with caplog.at_level(logging.INFO):
            check()
        assert [record.levelno for record in caplog.records] == [logging.INFO]


class TestWhoDropsAnAnswer:
    """Has the backend stop."""

    @virtual
    async def test_fallback(self) -> None:
        source = MockSource()
        service = fallback(MockService().answers(b"other"), b"m", None)(
            MockService().does(streamed(503, source=source))
        )
        assert (await service(ask())).body == b"other"
        assert source.said == ["cancel"]

    @virtual
    async def test_retry(self) -> None:
        source, policy = MockSource(), config.Retry(retry_on=("503",))
        layer = retry(Registry.private(), "a", policy, retry_budget(policy, 1))
        assert layer is not None
        assert (await layer(MockService().does(streamed(503, source=source)).answers(b"again"))(ask())).body == b"again"
        assert source.said == ["cancel"]

    @virtual
    async def test_retry_but_not_one_that_it_passes_on(self) -> None:
        source, policy = MockSource(), config.Retry(retry_on=("503",))
        layer = retry(Registry.private(), "a", policy, retry_budget(policy, 1))
        assert layer is not None
        response = await layer(MockService().answers(status=503).does(streamed(503, source=source)))(ask())
        assert response.stream is not None
        assert source.said == []

    @virtual
    async def test_hedge_of_the_slower_call(self) -> None:
        for first, second, taken in ((503, 200, 1), (503, 503, 0)):
            sources = MockSource(), MockSource()
            service = MockService(futures=True)
            service.does(streamed(first, source=sources[0]), after=2.0).does(
                streamed(second, source=sources[1]), after=3.0
            )
            time = asyncio.get_running_loop().time
            hedge = Hedge(service, lambda: 1.0, Latency(time), Budget(100, 10, time), Registry.private(), "a")
            response = await hedge(ask(deadline=time() + 100))
            assert response.status == (first, second)[taken]
            assert sources[taken].said == []
            assert sources[1 - taken].said == ["cancel"]

    @virtual
    async def test_hedge_that_is_called_off(self) -> None:
        source, time = MockSource(), asyncio.get_running_loop().time
        first: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        hedge = Hedge(lambda _: first, lambda: 1.0, Latency(time), Budget(100, 10, time), Registry.private(), "a")
        call = asyncio.ensure_future(hedge(ask(deadline=time() + 100)))
        await asyncio.sleep(0.5)
        first.set_result(streamed(source=source))  # in the very moment in which the client leaves
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert source.said == ["cancel"]


@virtual
async def test_what_does_not_stream_is_handed_on_as_ever() -> None:
    service = admit(Allowance(1, Registry.private()))(MockService().does(answer(b"[1]")))
    assert (await Recover(service)(ask())).body == b"[1]"
