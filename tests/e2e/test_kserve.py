"""KServe's InferenceGraph router from the outside: its own tests first, then the rest of what it does.

Expected: kserve/kserve cmd/router/main.go and main_test.go, whose test each scenario is named after.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from gateway.config.kserve import from_graph_json
from gateway.config.report import ConfigErrors
from tests.support.loopback import Answer, Port, Reply, Running, Stub, after, closed_port, serving, stub
from tests.support.running import RunningGateway, start

pytestmark = pytest.mark.e2e

Json = dict[str, Any]


def node(kind: str, *steps: Json) -> Json:
    return {"routerType": kind, "steps": list(steps)}


def spec(nodes: Json, **rest: Any) -> str:
    """What KServe's controller hands over, with what the router ignores."""
    return orjson.dumps({"nodes": nodes, "resources": {}, **rest}).decode()


@asynccontextmanager
async def router(
    environ: Mapping[str, str] | None = None, timeouts: Json | None = None, **nodes: Json
) -> AsyncIterator[Running]:
    rest = {} if timeouts is None else {"routerTimeouts": timeouts}
    async with serving(from_graph_json(spec(nodes, **rest), environ or {})) as gateway:
        yield gateway


@asynccontextmanager
async def models(*replies: Reply) -> AsyncIterator[list[Stub]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(stub(reply)) for reply in replies]


def status(code: int, body: bytes, **headers: str) -> Reply:
    return lambda call: web.Response(status=code, body=body, headers=headers)


def failed(answer: Answer, cause: str, code: int = 500) -> None:
    """It is the router's error with that cause."""
    assert (answer.status, answer.json) == (code, {"error": "Failed to process request", "cause": cause})
    assert answer.header("content-type") == "application/json"
    assert list(answer.json) == ["error", "cause"]
    assert not answer.body.endswith(b"\n")


# KServe's own tests, in its order.


def chainer(m1: str, m2: str) -> Json:
    return node(
        "Sequence",
        {"name": "model1", "serviceUrl": m1, "mapPredictionsToInstances": True},
        {"name": "model2", "serviceUrl": m2, "data": "$response"},
    )


def says(key: str, value: bytes) -> Reply:
    """A model that insists on its input having ``key``."""
    return lambda call: value if key in call.json else web.Response(status=400)


async def test_simple_model_chainer() -> None:
    replies = says("instances", b'{"predictions":"1"}'), says("predictions", b'{"predictions":"2"}')
    async with models(*replies) as (m1, m2), router(root=chainer(m1.url, m2.url)) as gateway:
        answer = await gateway.post("/", b'{"predictions":["test","test2"]}', ("authorization", "Bearer Token"))
    assert (answer.status, answer.body) == (200, b'{"predictions":"2"}')
    assert answer.header("content-type") == "application/json"
    assert m1.bodies == [b'{"instances":["test","test2"]}']
    assert m2.bodies == [b'{"predictions":"1"}']


async def test_simple_model_ensemble() -> None:
    async with models(b'{"predictions":"1"}', b'{"predictions":"2"}') as (m1, m2):
        root = node("Ensemble", {"name": "model1", "serviceUrl": m1.url}, {"name": "model2", "serviceUrl": m2.url})
        async with router(root=root) as gateway:
            answer = await gateway.post("/", b'{"instances":["test","test2"]}')
    assert (answer.status, answer.body) == (200, b'{"model1":{"predictions":"1"},"model2":{"predictions":"2"}}')
    assert m1.bodies == m2.bodies == [b'{"instances":["test","test2"]}']


def labelled(label: str, *score: float) -> bytes:
    return orjson.dumps({"predictions": [{"label": label, "score": score}]})


async def test_inference_graph_with_condition() -> None:
    replies = (
        labelled("cat", 0.1, 0.9),
        labelled("dog", 0.8, 0.2),
        labelled("beagle", 0.1, 0.9),
        labelled("poodle", 0.8, 0.2),
    )
    async with models(*replies) as (m1, m2, m3, m4):
        nodes = {
            "root": node(
                "Sequence",
                {"name": "step1", "nodeName": "animal-categorize"},
                {"name": "step2", "nodeName": "breed-categorize", "condition": 'predictions.#(label=="dog")'},
            ),
            "animal-categorize": node(
                "Switch",
                {"name": "model1", "serviceUrl": m1.url, "condition": 'instances.#(modelId=="1")'},
                {"name": "model2", "serviceUrl": m2.url, "condition": 'instances.#(modelId=="2")'},
            ),
            "breed-categorize": node(
                "Ensemble", {"name": "model3", "serviceUrl": m3.url}, {"name": "model4", "serviceUrl": m4.url}
            ),
        }
        async with router(**nodes) as gateway:
            answer = await gateway.post("/", b'{"instances":[{"modelId":"2"}]}')
    assert answer.status == 200
    assert answer.json == {
        "model3": {"predictions": [{"label": "beagle", "score": [0.1, 0.9]}]},
        "model4": {"predictions": [{"label": "poodle", "score": [0.8, 0.2]}]},
    }
    assert m1.calls == []
    assert m2.bodies == m3.bodies == m4.bodies == [b'{"instances":[{"modelId":"2"}]}']


def unmet(m1: str) -> Json:
    second = {"name": "step2", "serviceUrl": "http://dummy", "condition": 'predictions.#(label=="dog")'}
    return node("Sequence", {"name": "step1", "serviceUrl": m1}, second)


async def test_inference_graph_sequence_with_unmet_condition() -> None:
    async with stub(labelled("cat", 0.8, 0.2)) as m1, router(root=unmet(m1.url)) as gateway:
        answer = await gateway.post("/", b'{"instances":[{"modelId":"1"}]}')
    assert (answer.status, answer.body) == (200, labelled("cat", 0.8, 0.2))


TOKEN = ("authorization", "Bearer Token")


async def arriving(patterns: str | None, *headers: tuple[str, str]) -> list[tuple[str, str]]:
    """The headers that a step is called with, without those of the connection."""
    environ = {} if patterns is None else {"PROPAGATE_HEADERS": patterns}
    async with (
        stub(b'{"predictions":"1"}') as m1,
        router(environ, root=node("Sequence", {"serviceUrl": m1.url})) as gateway,
    ):
        answer = await gateway.post("/", b'{"instances":["test","test2"]}', *headers)
        assert (answer.status, answer.body) == (200, b'{"predictions":"1"}')
    (call,) = m1.calls
    assert (call.method, call.target, call.body) == ("POST", "/", b'{"instances":["test","test2"]}')
    return [field for field in call.headers if field[0] not in ("host", "content-length", "content-type")]


async def test_call_service_when_none_headers_to_propagate_is_empty() -> None:
    assert await arriving(None, TOKEN, ("test-header-key", "Test-Header-Value")) == []


async def test_call_service_when_1_header_to_propagate() -> None:
    found = await arriving("Test-Header-Key", TOKEN, ("test-header-key", "Test-Header-Value"))
    assert found == [("test-header-key", "Test-Header-Value")]


async def test_call_service_when_multiple_headers_to_propagate() -> None:
    found = await arriving("Test-Header-Key,Authorization", TOKEN, ("test-header-key", "Test-Header-Value"))
    assert found == [TOKEN, ("test-header-key", "Test-Header-Value")]


async def test_malformed_url() -> None:
    url = "http://single-1.default.{$your-domain}/switch"
    async with router(root=node("Sequence", {"serviceUrl": url})) as gateway:
        failed(await gateway.post("/", b""), f'parse "{url}": invalid character "{{" in host name')


NUMBERED = [(f"test-header-{number}", f"Test-Header-{number}") for number in (1, 2, 3)]


async def test_call_service_when_multiple_headers_to_propagate_using_patterns() -> None:
    assert await arriving("Test-Header-*,Auth*", TOKEN, *NUMBERED) == [TOKEN, *NUMBERED]


async def test_call_service_when_multiple_headers_to_propagate_using_invalid_pattern() -> None:
    assert await arriving("Test-Header-[0-9,Auth*", TOKEN, *NUMBERED) == [TOKEN]


@pytest.mark.parametrize(
    ("seconds", "delay", "answered"),
    [(None, 0.001, True), (1, 1.0, False), (2, 0.5, True)],
    ids=["default", "timeout", "success"],
)
async def test_server_timeout(seconds: int | None, delay: float, answered: bool) -> None:
    timeouts = None if seconds is None else dict.fromkeys(("serverRead", "serverWrite", "serverIdle"), seconds)
    async with models(after(delay, b'{"predictions":"1"}'), after(delay, b'{"predictions":"2"}')) as (m1, m2):
        root = node(
            "Sequence",
            {"name": "model1", "serviceUrl": m1.url},
            {"name": "model2", "serviceUrl": m2.url, "data": "$response"},
        )
        async with router(timeouts=timeouts, root=root) as gateway:
            if answered:
                answer = await gateway.post("/", b"")
                assert (answer.status, answer.body) == (200, b'{"predictions":"2"}')
                assert m2.bodies == [b'{"predictions":"1"}']
            else:
                with pytest.raises(EOFError):
                    await gateway.post("/", b"")


@pytest.mark.parametrize(("first", "second"), [(20, 80), (30, 70)])
async def test_pickup_route_never_returns_nil(first: int, second: int) -> None:
    """TestPickupRouteNeverReturnsNil, ...AlwaysReturnsRouteForAllRandValues, TestCryptoRandIntUpperBoundWithFix."""
    async with models(b'"a"', b'"b"') as (m1, m2):
        root = node("Splitter", {"serviceUrl": m1.url, "weight": first}, {"serviceUrl": m2.url, "weight": second})
        async with router(root=root) as gateway:
            found = Counter([(await gateway.post("/")).body for _ in range(600)])
    assert sum(found.values()) == found[b'"a"'] + found[b'"b"'] == 600
    assert abs(found[b'"a"'] / 600 - first / 100) < 0.1  # five standard deviations


# The HTTP surface.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("target", ["/", "/v1/models/x:predict?a=b", "/v2", "/v2/health/live", "/readyz/", "/metrics"])
async def test_every_path_and_method_is_the_graph_and_neither_goes_on(method: str, target: str) -> None:
    async with stub(b"[1]") as m1, router(root=node("Sequence", {"serviceUrl": f"{m1.url}/exactly?here"})) as gateway:
        assert (await gateway.call(method, target, b"in")).body == b"[1]"
    (call,) = m1.calls
    assert (call.method, call.target, call.body) == ("POST", "/exactly?here", b"in")


async def test_readyz_never_asks_the_services() -> None:
    async with router(root=node("Sequence", {"serviceUrl": closed_port()})) as gateway:
        ready = await gateway.get("/readyz")
        assert (ready.status, ready.body, ready.header("content-type")) == (200, b"", None)
        gateway.leases.ready = False
        down = await gateway.get("/readyz")
    assert (down.status, down.body, down.header("content-type")) == (
        503,
        b"shutting down\n",
        "text/plain; charset=utf-8",
    )


async def test_unclean_paths_are_moved() -> None:
    async with router(root=node("Ensemble")) as gateway:
        for target, clean in (("//a", "/a"), ("/../", "/"), ("/a/./b?x=1", "/a/b?x=1")):
            answer = await gateway.get(target)
            assert (answer.status, answer.header("location")) == (301, clean)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', "application/json"),
        (b"[]", "application/json"),
        (b'"x"', "application/json"),
        (b"1", "application/json"),
        (b" null\n", "application/json"),
        (b"hello", "text/plain; charset=utf-8"),
        (b"{", "text/plain; charset=utf-8"),
        (b"<html><p>", "text/html; charset=utf-8"),
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\x00\x01", "application/octet-stream"),
        (b"", None),
    ],
)
async def test_an_answer_has_its_status_and_a_content_type_after_its_body(body: bytes, expected: str | None) -> None:
    reply = status(418, body, **{"Content-Type": "text/x-own", "X-Header": "1"})
    async with stub(reply) as m1, router(root=node("Sequence", {"serviceUrl": m1.url})) as gateway:
        answer = await gateway.post("/")
    assert (answer.status, answer.body, answer.header("content-type")) == (418, body, expected)
    assert {name for name, _ in answer.headers} <= {"content-type", "x-request-id"}


async def test_errors_are_safe_inside_html() -> None:
    async with stub(b"<&>") as m1, router(root=node("Ensemble", {"serviceUrl": m1.url})) as gateway:
        answer = await gateway.post("/")
    cause = rb"invalid character '\u003c' looking for beginning of value"
    assert answer.body == b'{"error":"Failed to process request","cause":"' + cause + b'"}'


# Calls.


async def test_a_service_that_is_not_there() -> None:
    url = closed_port()
    async with router(root=node("Sequence", {"serviceUrl": f"{url}/x"})) as gateway:
        answer = await gateway.post("/")
    failed(answer, f'Post "{url}/x": dial tcp {url.removeprefix("http://")}: connect: connection refused')


async def test_a_service_that_takes_too_long() -> None:
    async with stub(after(30.0)) as m1:
        root = node("Sequence", {"serviceUrl": m1.url})
        async with router(timeouts={"serviceClient": 1}, root=root) as gateway:
            answer = await gateway.post("/")
            await m1.cancelled.wait()
    words = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    failed(answer, f'Post "{m1.url}": {words}')


async def test_every_call_is_json_unless_a_content_type_is_propagated() -> None:
    client = ("content-type", "text/csv")
    for patterns, expected in (
        (None, "application/json"),
        ("Content-Type", "text/csv"),
        ("Accept", "application/json"),
    ):
        environ = {} if patterns is None else {"PROPAGATE_HEADERS": patterns}
        async with stub() as m1, router(environ, root=node("Sequence", {"serviceUrl": m1.url})) as gateway:
            await gateway.post("/", b"a,b", client)
        assert m1.calls[0].all("content-type") == [expected]


EVERYTHING = ["authorization", "x-author", "x-author", "x-request-id", "x-forwarded-for"]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("authorization", []),
        ("(?i)AUTHOR", ["authorization", "x-author", "x-author"]),
        ("X-Request-Id", ["x-request-id"]),
        ("Auth*", ["authorization", "x-author", "x-author"]),
        ("*Trace-Id*", []),
        ("*Trace-Id*,^X-Author$", ["x-author", "x-author"]),
        (" X-Author", []),
        ("", EVERYTHING),
        ("nothing,", EVERYTHING),
    ],
)
async def test_patterns(patterns: str, names: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "gateway")
    client = [TOKEN, ("x-author", "1"), ("x-author", "2"), ("x-request-id", "id-1"), ("x-forwarded-for", "::1")]
    assert [name for name, _ in await arriving(patterns, *client)] == names


async def test_headers_go_to_every_step_of_every_node() -> None:
    async with models(b"{}", b"{}") as (m1, m2):
        nodes = {
            "root": node("Sequence", {"serviceUrl": m1.url}, {"nodeName": "inner", "data": "$response"}),
            "inner": node("Ensemble", {"serviceUrl": m2.url}),
        }
        async with router({"PROPAGATE_HEADERS": "Authorization"}, **nodes) as gateway:
            await gateway.post("/", b"{}", TOKEN)
    assert m1.calls[0].all("authorization") == m2.calls[0].all("authorization") == ["Bearer Token"]


async def test_a_compressed_answer_is_undone() -> None:
    reply = status(200, gzip.compress(b'{"a":1}'), **{"Content-Encoding": "gzip"})
    async with stub(reply) as m1, router(root=node("Ensemble", {"name": "m", "serviceUrl": m1.url})) as gateway:
        answer = await gateway.post("/")
    assert (answer.body, answer.header("content-encoding")) == (b'{"m":{"a":1}}', None)


# Sequence.


async def sequence(body: bytes, replies: list[Reply], *steps: Json) -> tuple[Answer, list[list[bytes]]]:
    """The answer, and what each step was sent."""
    async with models(*replies) as called:
        urls = [{"serviceUrl": model.url} for model in called]
        async with router(
            root=node("Sequence", *(url | step for url, step in zip(urls, steps, strict=True)))
        ) as gateway:
            return await gateway.post("/", body), [model.bodies for model in called]


@pytest.mark.parametrize(
    ("data", "expected"), [("", b"in"), ("$request", b"in"), ("$response", b"one"), ("$response.predictions", b"in")]
)
async def test_only_response_itself_means_the_previous_answer(data: str, expected: bytes) -> None:
    _, (_, second) = await sequence(b"in", [b"one", b"two"], {}, {"data": data})
    assert second == [expected]


async def test_the_first_step_has_no_previous_answer() -> None:
    _, (first,) = await sequence(b"in", [b"one"], {"data": "$response"})
    assert first == [b"in"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"predictions":[1,2],"id":"x"}', b'{"instances":[1,2]}'),
        (b'{"Predictions":[1]}', b'{"instances":[1]}'),
        (b'{"predictions":[9007199254740993]}', b'{"instances":[9007199254740993]}'),
        (b'{"predictions":[1],"instances":[2]}', b'{"instances":[1]}'),
        (b'{"predictions":[]}', b'{"predictions":[]}'),
        (b'{"predictions":"x"}', b'{"predictions":"x"}'),
        (b'{"instances":[1]}', b'{"instances":[1]}'),
        (b"not json", b"not json"),
        (b"", b""),
    ],
)
async def test_map_predictions_to_instances(body: bytes, expected: bytes) -> None:
    _, (first,) = await sequence(body, [b"{}"], {"mapPredictionsToInstances": True})
    assert first == [expected]
    _, (_, second) = await sequence(b"{}", [body, b"{}"], {}, {"data": "$response", "mapPredictionsToInstances": True})
    assert second == [expected]


async def test_a_condition_that_holds_leads_on_and_one_that_does_not_ends_with_200() -> None:
    for found, calls, code in ((b'{"a":null}', 1, 201), (b'{"b":1}', 0, 200)):
        replies = [status(404, found), status(201, b'"end"')]
        answer, (_, second) = await sequence(b"{}", replies, {}, {"condition": "a"})
        assert (answer.status, len(second)) == (code, calls)
        assert answer.body == (b'"end"' if calls else found)


@pytest.mark.parametrize("body", [b"no json", b""])
async def test_a_condition_on_an_answer_that_is_no_json(body: bytes) -> None:
    answer, (_, second) = await sequence(b"{}", [body, b"{}"], {}, {"condition": "a"})
    failed(answer, "invalid response")
    assert second == []


async def test_a_condition_of_the_first_step_has_no_answer_to_be_tested_on() -> None:
    answer, (first,) = await sequence(b'{"a":1}', [b"{}"], {"condition": "a"})
    failed(answer, "invalid response")
    assert first == []


@pytest.mark.parametrize(
    ("dependency", "code", "expected", "calls"),
    [
        ("Hard", 404, (404, b'"one"'), 0),
        ("Hard", 302, (302, b'"one"'), 0),
        ("Hard", 204, (200, b'"two"'), 1),
        ("Soft", 500, (200, b'"two"'), 1),
        ("", 500, (200, b'"two"'), 1),
    ],
)
async def test_hard_and_soft(dependency: str, code: int, expected: tuple[int, bytes], calls: int) -> None:
    reply = status(code, b"" if code == 204 else b'"one"')
    answer, (_, second) = await sequence(b"{}", [reply, b'"two"'], {"dependency": dependency}, {})
    assert (answer.status, answer.body, len(second)) == (*expected, calls)


async def test_a_soft_failure_of_the_last_step_is_the_answer_and_response_is_a_failed_one_too() -> None:
    answer, (_, second) = await sequence(b"in", [status(500, b"bad"), status(404, b"no")], {}, {"data": "$response"})
    assert (answer.status, answer.body, second) == (404, b"no", [b"bad"])


async def test_soft_does_not_tolerate_a_step_without_an_answer() -> None:
    url = closed_port()
    async with stub() as m2:
        root = node("Sequence", {"serviceUrl": url, "dependency": "Soft"}, {"serviceUrl": m2.url})
        async with router(root=root) as gateway:
            answer = await gateway.post("/")
    failed(answer, f'Post "{url}": dial tcp {url.removeprefix("http://")}: connect: connection refused')
    assert m2.calls == []


async def test_the_weaknesses_that_are_configuration_errors_here() -> None:
    step = {"nodeName": "root"}
    for nodes, message in (
        ({"root": node("Sequence", step)}, "cycle"),
        ({"root": node("Sequence")}, "without steps"),
        ({"other": node("Ensemble")}, "root node not found"),
        ({"root": node("Splitter", {"serviceUrl": "http://a"})}, "missing the 'Weight'"),
    ):
        with pytest.raises(ConfigErrors) as caught:
            from_graph_json(spec(nodes), {})
        assert any(message in str(error) for error in caught.value.errors), caught.value.errors


# Switch and Splitter.

NO_ROUTE = "None of the routes matched with the switch condition"


async def test_a_switch_takes_the_first_that_matches() -> None:
    async with models(b'"1"', b'"2"', b'"3"') as (m1, m2, m3):
        root = node(
            "Switch",
            {"serviceUrl": m1.url, "condition": "a"},
            {"serviceUrl": m2.url, "condition": '[@this].#(source=="client")'},
            {"serviceUrl": m3.url},
        )
        async with router(root=root) as gateway:
            for body, expected in (
                (b'{"a":false}', b'"1"'),
                (b'{"source":"client"}', b'"2"'),
                (b'{"a":1,"source":"client"}', b'"1"'),
            ):
                assert (await gateway.post("/", body)).body == expected
            for body in (b'{"b":1}', b"no json", b""):
                failed(await gateway.post("/", body), NO_ROUTE, 404)
    assert m3.calls == []


async def test_a_nested_switch_without_a_match_is_a_500() -> None:
    inner = node("Switch", {"serviceUrl": closed_port(), "condition": "a"})
    for kind in ("Sequence", "Ensemble", "Splitter", "Switch"):
        outer = node(kind, {"nodeName": "inner", "weight": 100, "condition": "@this" if kind == "Switch" else ""})
        async with router(root=outer, inner=inner) as gateway:
            failed(await gateway.post("/", b"{}"), NO_ROUTE, 500)


async def test_a_switchs_choice_passes_through() -> None:
    async with stub(status(404, b"gone")) as m1:
        root = node("Switch", {"serviceUrl": m1.url, "condition": "@this", "dependency": "Hard", "data": "$response"})
        async with router(root=root) as gateway:
            answer = await gateway.post("/", b'{"predictions": [1]}')
    assert (answer.status, answer.body, m1.bodies) == (404, b"gone", [b'{"predictions": [1]}'])


async def test_weights_that_do_not_sum_up_leave_a_gap() -> None:
    async with stub(b'"a"') as m1:
        for weights, outcomes in (((0, 0), {500}), ((50, 0), {200, 500}), ((100, 50), {200})):
            steps = [{"serviceUrl": m1.url, "weight": weight, "condition": "never"} for weight in weights]
            async with router(root=node("Splitter", *steps)) as gateway:
                answers = [await gateway.post("/") for _ in range(40)]
            assert {answer.status for answer in answers} == outcomes
            for answer in answers:
                if answer.status == 500:
                    failed(answer, "no route was selected by the splitter")


# Ensemble.


async def ensemble(replies: list[Reply], *steps: Json) -> Answer:
    async with models(*replies) as called:
        urls = [{"serviceUrl": model.url} for model in called]
        async with router(
            root=node("Ensemble", *(url | step for url, step in zip(urls, steps, strict=True)))
        ) as gateway:
            return await gateway.post("/")


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b"1.5", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        (b'"x"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (b"true", "json: cannot unmarshal bool into Go value of type map[string]interface {}"),
        (b"", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b"{}x", "invalid character 'x' after top-level value"),
    ],
)
async def test_every_answer_must_be_an_object(body: bytes, cause: str) -> None:
    failed(await ensemble([b"{}", body], {"name": "a"}, {"name": "b", "dependency": "Soft"}), cause)


async def test_names_are_sorted_indices_stand_in_and_the_last_of_a_name_wins() -> None:
    replies: list[Reply] = [b'{"n":0}', b'{"n":1}', b"null", b'{"n":3}', b'{"n":4}']
    answer = await ensemble(replies, {"name": "z"}, {}, {"name": "a"}, {"name": "z"}, {"name": "1"})
    assert answer.body == b'{"1":{"n":4},"a":null,"z":{"n":3}}'


async def test_integers_keep_their_digits() -> None:
    big = b'{"id":9007199254740993123456789,"x":0.10000000000000000055511151231257827}'
    assert (await ensemble([big], {"name": "m"})).body == b'{"m":%b}' % big


async def test_the_first_hard_failure_in_step_order_is_the_answer() -> None:
    hard = {"dependency": "Hard"}
    slowly = after(0.2, b"{}")
    bad, worse = status(404, b'{"e": 1}'), status(500, b'{"e": 2}')
    answer = await ensemble([slowly, worse, bad], hard, {}, hard)
    assert (answer.status, answer.json) == (404, {"e": 1})
    answer = await ensemble([slowly, worse, bad], hard, hard, hard)
    assert (answer.status, answer.json) == (500, {"e": 2})


async def test_soft_failures_are_members_like_any_other() -> None:
    answer = await ensemble([status(500, b'{"e":1}'), b"{}"], {"name": "a"}, {"name": "b"})
    assert (answer.status, answer.body) == (200, b'{"a":{"e":1},"b":{}}')


async def test_no_steps_are_an_empty_object() -> None:
    answer = await ensemble([])
    assert (answer.status, answer.body) == (200, b"{}")


async def test_a_soft_step_without_an_answer_is_an_error_at_once_and_the_rest_is_called_off() -> None:
    url = closed_port()
    async with stub(after(30.0)) as slow:
        root = node("Ensemble", {"serviceUrl": slow.url}, {"serviceUrl": url, "dependency": "Soft"})
        async with router(root=root) as gateway:
            answer = await gateway.post("/")
            await slow.cancelled.wait()
    failed(answer, f'Post "{url}": dial tcp {url.removeprefix("http://")}: connect: connection refused')


async def test_a_client_that_goes_away_calls_its_steps_off() -> None:
    async with stub(after(30.0)) as slow, router(root=node("Sequence", {"serviceUrl": slow.url})) as gateway:
        task = asyncio.create_task(gateway.post("/"))
        await slow.arrived.acquire()
        task.cancel()
        await slow.cancelled.wait()


# The process, in place of KServe's.


@asynccontextmanager
async def process(nodes: Json, **timeouts: int) -> AsyncIterator[tuple[RunningGateway, Port]]:
    listen = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--workers", "1")
    gateway = await start("--graph-json", spec(nodes, routerTimeouts=timeouts), *listen)
    try:
        await gateway.up()
        yield gateway, Port(int(gateway.data.rpartition(":")[2]))
    finally:
        await gateway.close()


async def test_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPAGATE_HEADERS", "Test-Header-*,Auth*")
    async with models(b'{"predictions":"1"}', b'{"predictions":"2"}', after(1.0)) as (m1, m2, slow):
        nodes = {
            "root": node(
                "Switch",
                {"nodeName": "unmet", "condition": "unmet"},
                {"serviceUrl": slow.url, "condition": "slow"},
                {"nodeName": "chain", "condition": "@this"},
            ),
            "chain": chainer(m1.url, m2.url),
            "unmet": unmet(m1.url),
        }
        async with process(nodes, serverWrite=1) as (gateway, port):
            assert (await port.get("/readyz")).status == 200
            answer = await port.post("/", b'{"predictions":["test","test2"]}', TOKEN, ("x-other", "1"))
            assert (answer.status, answer.body) == (200, b'{"predictions":"2"}')
            assert m1.calls[0].json == {"instances": ["test", "test2"]}
            assert m1.calls[0].all("authorization") == m2.calls[0].all("authorization") == ["Bearer Token"]
            assert m1.calls[0].all("x-other") == []
            answer = await port.post("/", b'{"unmet":1}')
            assert (answer.status, answer.body) == (200, b'{"predictions":"1"}')
            with pytest.raises(EOFError):
                await port.post("/", b'{"slow":1}')
            gateway.signal(signal.SIGTERM)
            await gateway.logs(" draining ")
            ready = await port.get("/readyz")
            assert (ready.status, ready.body) == (503, b"shutting down\n")
            assert (await port.post("/", b'{"unmet":1}')).status == 200
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() in (0, 3)
            with pytest.raises(ConnectionRefusedError):
                await port.get("/readyz")


async def test_a_spec_that_is_no_json_ends_the_process() -> None:
    gateway = await start("--graph-json", "{")
    assert await gateway.ended() == 1
