from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import pytest

from gateway.errors import BadRequest, GatewayError, UpstreamReset
from gateway.http.heads import request_head
from gateway.http.origin import Origin, split
from gateway.layers.forward import Allowed
from gateway.layers.trace import trace, trace_attempts, trace_node, withhold
from gateway.message import Record, Request, Response
from gateway.service import Service, stack
from gateway.telemetry.tracing.context import Propagation
from gateway.telemetry.tracing.tracer import Tracer
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask
from tests.support.spans import Spans
from tests.support.streams import stream_of, streamed

ORIGIN = split("http://models:9000")[0]
TRACEPARENT = re.compile(rb"traceparent: 00-[0-9a-f]{32}-([0-9a-f]{16})-0([01])\r\n")


def edge(service: Service, tracer: Tracer) -> Service:
    return trace(tracer, "iris", "https", lambda target: None)(service)


def whole(service: Service, spans: Spans, node: str = "root") -> Service:
    """Edge, node and attempt around ``service``."""
    return edge(stack(trace_node("iris", node, "Switch"), trace_attempts("b", ORIGIN), service=service), spans.tracer())


async def test_the_server_span() -> None:
    spans = Spans()
    request = ask(headers=[(b"user-agent", b"curl")])
    request.target, request.peer = b"/secret-4711?q=1", b"192.0.2.1"
    await edge(MockService().answers(status=404), spans.tracer())(request)
    (span,) = spans
    assert (span.name, span.kind, span.error, span.parent) == ("POST iris", "server", None, b"")
    assert span.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 404,
        "http.route": "iris",
        "url.scheme": "https",
        "url.path": "/secret-4711",
        "client.address": "192.0.2.1",
        "network.peer.address": "192.0.2.1",
        "user_agent.original": "curl",
        "gateway.graph": "iris",
        "gateway.request_id": "id-1",
    }


async def test_the_route_is_the_template_where_there_is_one() -> None:
    spans = Spans()
    service = trace(spans.tracer(), "iris", "http", lambda target: "/v1/models/{model}:predict")
    await service(MockService().answers())(ask())
    assert (spans[0].name, spans[0].attributes["http.route"]) == (
        "POST /v1/models/{model}:predict",
        "/v1/models/{model}:predict",
    )


async def test_a_method_that_nobody_knows_names_no_span() -> None:
    spans = Spans()
    request = ask()
    request.method = b"BREW"
    await whole(MockService().answers(), spans)(request)
    attempt, _, server = spans
    assert (attempt.name, server.name) == ("HTTP", "HTTP iris")
    for span in (attempt, server):
        assert span.attributes["http.request.method"] == "_OTHER"
        assert span.attributes["http.request.method_original"] == "BREW"


@pytest.mark.parametrize(
    ("end", "errors", "status"),
    [
        (answer(status=200), [False, False, False], 200),
        (answer(status=404), [True, False, False], 404),
        (answer(status=500), [True, True, True], 500),
        (BadRequest("what"), [True, False, False], 400),
        (UpstreamReset("gone"), [True, True, True], 502),
    ],
)
async def test_who_calls_what_an_error(end: object, errors: list[bool], status: int) -> None:
    spans = Spans()
    with suppress(GatewayError):
        await whole(MockService().does(end), spans)(ask())  # type: ignore[arg-type]
    assert [span.kind for span in spans] == ["client", "internal", "server"]
    assert [span.error is not None for span in spans] == errors
    assert spans[-1].attributes["http.response.status_code"] == status


async def test_a_bug_is_an_error() -> None:
    def broken(request: Request) -> object:
        raise KeyError("x")

    spans = Spans()
    with pytest.raises(KeyError):
        await whole(broken, spans)(ask())  # type: ignore[arg-type]
    assert [span.attributes["error.type"] for span in spans] == ["KeyError"] * 3


@virtual
async def test_to_be_given_up_ends_all_spans_and_is_no_error() -> None:
    spans = Spans()
    task = asyncio.ensure_future(whole(MockService().hangs(), spans)(ask()))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [span.attributes["gateway.cancelled"] for span in spans] == [True] * 3
    assert [span.error for span in spans] == [None] * 3


async def test_a_node_says_how_it_was_reached_and_which_way_it_went() -> None:
    def route(request: Request) -> Service:
        request.route += [b"other=a", b"canary=iris-v2"]
        request.at = ("canary", "iris-v2")
        return answer()  # type: ignore[return-value]

    spans = Spans()
    request = ask()
    request.at, request.route = ("root", "first"), [b"canary=before"]
    await whole(MockService().does(route), spans, "canary")(request)  # type: ignore[arg-type]
    node = spans[1]
    assert node.name == "node canary"
    assert node.attributes == {
        "gateway.graph": "iris",
        "gateway.node": "canary",
        "gateway.type": "Switch",
        "gateway.step": "first",
        "gateway.branch": "iris-v2",
    }


async def test_a_node_gives_the_request_back_as_it_was() -> None:
    spans = Spans()
    request = ask()
    span = spans.tracer().begin(request)
    service = trace_node("iris", "root", "Sequence")(MockService().answers().fails(UpstreamReset("gone")))
    await service(request)
    assert request.trace is span
    with pytest.raises(UpstreamReset):
        await service(request)
    assert request.trace is span


async def test_each_attempt_is_what_its_backend_is_told() -> None:
    spans, service = Spans(), MockService().answers(status=503).answers()
    layer = trace_attempts("b", ORIGIN, "10.0.0.1")(service)
    request = ask()
    span = spans.tracer().begin(request)
    await layer(request)
    request.stamp += b"x-gateway-attempt-count: 2\r\n"
    await layer(request)
    assert span is not None
    assert [one.parent for one in spans] == [span.id] * 2
    assert [TRACEPARENT.findall(call.stamp) for call in service.requests] == [[(one.id, b"1")] for one in spans]
    first, second = (one.attributes for one in spans)
    assert first == {
        "gateway.backend": "b",
        "server.address": "models",
        "server.port": 9000,
        "network.peer.address": "10.0.0.1",
        "url.full": "http://models:9000/v1/models/iris:predict",
        "http.request.method": "POST",
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert second["http.request.resend_count"] == 1
    assert "error.type" not in second


async def test_a_unix_socket_has_no_port() -> None:
    spans = Spans()
    request = ask()
    spans.tracer().begin(request)
    await trace_attempts("b", Origin("localhost", 0, socket="/run/m.sock"))(MockService().answers())(request)
    attributes = spans[0].attributes
    assert (attributes["server.address"], attributes["url.full"]) == (
        "/run/m.sock",
        "http://localhost/v1/models/iris:predict",
    )
    assert "server.port" not in attributes


async def test_what_is_not_sampled_passes_as_it_is() -> None:
    spans, service = Spans(), MockService(futures=True).answers()
    layers = trace_node("iris", "root", "Sequence"), trace_attempts("b", ORIGIN)
    request = ask()
    call = edge(stack(*layers, service=service), spans.tracer(0.0))(request)
    assert asyncio.isfuture(call)
    await call
    assert spans == []
    assert TRACEPARENT.findall(service.requests[0].stamp)[0][1] == b"0"


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ({b"x-request-id"}, b"x-request-id: 1\r\nx-request-timeout-ms: 5\r\n"),
        ({b"traceparent"}, b"traceparent: t\r\nb3: t\r\nx-b3-sampled: 1\r\nx-request-timeout-ms: 5\r\n"),
    ],
)
async def test_a_backend_is_told_only_what_is_listed(listed: set[bytes], kept: bytes) -> None:
    layer = withhold(Allowed(lambda name: name in listed))
    service = MockService().answers()
    request = ask()
    request.stamp = b"x-request-id: 1\r\ntraceparent: t\r\nb3: t\r\nx-b3-sampled: 1\r\nx-request-timeout-ms: 5\r\n"
    assert layer is not None
    await layer(service)(request)
    assert service.requests[0].stamp == kept


@pytest.mark.parametrize("listed", [True, False])
def test_there_is_nothing_to_withhold_where_both_or_none_are_listed(listed: bool) -> None:
    assert withhold(Allowed(lambda name: listed)) is None


async def test_nothing_is_told_where_nothing_is_to_be_propagated() -> None:
    spans, service = Spans(), MockService().answers()
    tracer = spans.tracer(propagation=Propagation(["none"]))
    await edge(trace_attempts("b", ORIGIN)(service), tracer)(ask())
    assert service.requests[0].stamp == b""
    assert len(spans) == 2


@pytest.mark.parametrize(("error", "kind"), [(None, None), (UpstreamReset("gone"), "upstream_reset")])
async def test_a_streamed_answer_is_spanned_to_its_end(error: GatewayError | None, kind: str | None) -> None:
    spans = Spans()
    call = stack(trace_attempts("b", ORIGIN), service=MockService().does(streamed()))
    request = ask()
    request.record = Record()
    response = await edge(call, spans.tracer())(request)
    assert list(spans) == []
    stream_of(response).cancel(error)
    attempt, server = spans
    assert (attempt.kind, server.kind) == ("client", "server")
    assert (attempt.attributes.get("error.type"), server.attributes.get("error.type")) == (kind, kind)
    assert server.attributes["http.response.status_code"] == 200
    assert request.record.trace_id == server.trace_id


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
async def test_a_head_that_is_known_is_traced_as_any_other(ratio: float) -> None:
    spans = Spans()
    service = edge(trace_attempts("b", ORIGIN)(always), spans.tracer(ratio))
    told: list[bytes] = []
    for _ in range(400):
        request = ask()
        request.encoded = request_head(request.method, request.target, request.headers, 2)
        await service(request)
        told += [decision for _, decision in TRACEPARENT.findall(request.stamp)]
    traced = [span for span in spans if span.kind == "server"]
    assert len(told) == 400
    assert told.count(b"1") == len(traced) == len(spans) / 2
    assert abs(len(traced) - 400 * ratio) <= 80 * (0.0 < ratio < 1.0)
    assert len({span.trace_id for span in traced}) == len(traced)
    assert all(span.attributes["gateway.request_id"] == "id-1" for span in traced)


async def always(request: Request) -> Response:
    return Response(200, [])
