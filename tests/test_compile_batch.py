"""Batching, compiled into a gateway on real sockets: what the model server is sent, and what each client gets."""

from __future__ import annotations

import asyncio
import os
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from gateway.app import App
from gateway.compile import compile_app
from gateway.config.backend import Backend, Retry
from gateway.config.batch import Batch
from gateway.config.schema import Config, Explain, Graph, HeaderRules, Node, Step
from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing import start_export, start_tracing
from tests.support.collector import collector
from tests.support.counted import total, until
from tests.support.loopback import Answer, Call, Reply, Running, Stub, serving, stub

PREDICT = "/v1/models/g:predict"


def graph(**options: Any) -> Graph:
    steps = (Step(backend="b", dependency="Hard"),)
    return Graph(nodes={"root": Node(router_type="Sequence", steps=steps)}, **options)


@asynccontextmanager
async def batching(reply: Reply, batch: Batch | None = None, **options: Any) -> AsyncIterator[tuple[Running, Stub]]:
    """A gateway that batches before one model server, whose first call is held up so that the others gather."""
    async with stub(reply) as model:
        backend = Backend(url=model.url, batch=batch or Batch(), **options)
        async with serving(Config(backends={"b": backend}, graphs={"g": graph()})) as gateway:
            yield gateway, model


def slowly(answer: Callable[[Call], bytes | web.Response], seconds: float = 0.1) -> Reply:
    async def reply(call: Call) -> web.Response:
        await asyncio.sleep(seconds)
        found = answer(call)
        return found if isinstance(found, web.Response) else web.Response(body=found)

    return reply


def negated(call: Call) -> bytes:
    return orjson.dumps({"predictions": [-row for row in call.json["instances"]]})


async def gathered(gateway: Running, model: Stub, *calls: Callable[[], Any]) -> list[Answer]:
    """The first call keeps the model server busy while the others come."""
    first = asyncio.create_task(calls[0]())
    await model.arrived.acquire()
    return await asyncio.gather(first, *(call() for call in calls[1:]))


async def queued(gateway: Running, count: int) -> None:
    """Wait until so many requests wait."""
    await until(lambda: total(gateway.registry, "gateway_batch_queue_depth") >= count)


async def reloaded(gateway: Running, config: Config) -> App:
    """The next generation, when the one before has ended."""
    new = compile_app(config, gateway.leases, gateway.registry)
    new.begin()
    gateway.server.app = new
    await gateway.app.retire()
    return new


def predict(gateway: Running, *rows: Any, headers: tuple[tuple[str, str], ...] = ()) -> Callable[[], Any]:
    return lambda: gateway.post(PREDICT, orjson.dumps({"instances": rows}), *headers)


async def test_v1_rows_share_a_call_and_everyone_gets_its_own() -> None:
    async with batching(slowly(negated)) as (gateway, model):
        answers = await gathered(gateway, model, *(predict(gateway, n, n + 100) for n in range(5)))
        assert [answer.json for answer in answers] == [{"predictions": [-n, -n - 100]} for n in range(5)]
        assert sorted(len(call.json["instances"]) for call in model.calls) == [2, 8]
        assert total(gateway.registry, "gateway_upstream_requests_total", backend="b", code="200") == 5
        assert len({answer.header("x-request-id") for answer in answers}) == 5
        assert len({call.all("x-request-id")[0] for call in model.calls}) == 2
        assert all(len(call.all("x-request-id")) == 1 for call in model.calls)


async def test_numbers_keep_their_digits() -> None:
    def reply(call: Call) -> bytes:
        return b'{"predictions":' + call.body.partition(b'"instances":')[2]

    numbers = [b"9007199254740993", b"1e400", b"0.1000000000000000055511151231257827"]
    async with batching(slowly(reply)) as (gateway, model):
        calls = [lambda n=n: gateway.post(PREDICT, b'{"instances":[%b]}' % n) for n in numbers]  # type: ignore[misc]
        answers = await gathered(gateway, model, *calls)
        assert len(model.calls) == 2
        assert all(number in answer.body for number, answer in zip(numbers, answers, strict=True))


async def test_a_bad_row_among_many_is_its_owners_trouble_only() -> None:
    def reply(call: Call) -> bytes | web.Response:
        rows = call.json["instances"]
        if "bad" in rows:
            return web.Response(status=400, body=orjson.dumps({"error": len(rows)}))
        return negated(call)

    async with batching(slowly(reply, 0.02)) as (gateway, model):
        calls = [predict(gateway, "bad" if n == 13 else n) for n in range(33)]
        answers = await gathered(gateway, model, *calls)
        assert [answer.status for answer in answers] == [400 if n == 13 else 200 for n in range(33)]
        assert answers[13].json == {"error": 1}
        assert [answers[n].json["predictions"] for n in (0, 12, 14, 32)] == [[0], [-12], [-14], [-32]]


async def test_credentials_never_share_a_call() -> None:
    headers = HeaderRules(propagate=("^authorization$",))
    for rules in (headers, HeaderRules()):
        async with batching(slowly(negated), headers=rules) as (gateway, model):
            calls = [predict(gateway, n, headers=(("authorization", f"Bearer {n % 2}"),)) for n in range(7)]
            answers = await gathered(gateway, model, *calls)
            assert [answer.json["predictions"] for answer in answers] == [[-n] for n in range(7)]
            assert [sorted(call.json["instances"]) for call in model.calls[:1]] == [[0]]
            assert sorted(sorted(call.json["instances"]) for call in model.calls[1:]) == [[1, 3, 5], [2, 4, 6]]
            for call in model.calls if rules is headers else ():
                assert call.all("authorization") == [f"Bearer {call.json['instances'][0] % 2}"]


async def test_v2_tensors_share_a_call_and_ids_come_back() -> None:
    def reply(call: Call) -> bytes:
        (tensor,) = call.json["inputs"]
        out = {"name": "y", "datatype": "FP64", "shape": tensor["shape"], "data": [-x for x in tensor["data"]]}
        return orjson.dumps({"model_name": "m", "id": call.json.get("id"), "outputs": [out]})

    def infer(n: int) -> Callable[[], Any]:
        tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [n, n + 0.5]}
        body = orjson.dumps({"id": f"id-{n}", "inputs": [tensor]})
        return lambda: gateway.post("/v2/models/g/infer", body)

    async with batching(slowly(reply), protocol="v2") as (gateway, model):
        answers = await gathered(gateway, model, *(infer(n) for n in range(4)))
        assert [call.json["inputs"][0]["shape"] for call in model.calls] == [[1, 2], [3, 2]]
        for n, answer in enumerate(answers):
            assert answer.json["outputs"][0]["data"] == [-n, -n - 0.5]
            assert (answer.json["outputs"][0]["shape"], answer.json["id"]) == ([1, 2], f"id-{n}")


async def test_v2_binary_tensors_share_a_call() -> None:
    length = "inference-header-content-length"

    def framed(head: dict[str, Any], data: bytes) -> tuple[str, bytes]:
        text = orjson.dumps(head)
        return str(len(text)), text + data

    def reply(call: Call) -> web.Response:
        (size,) = map(int, call.all(length))
        (tensor,) = orjson.loads(call.body[:size])["inputs"]
        data = call.body[size:]
        output = {"name": "y", "datatype": "FP32", "shape": tensor["shape"]}
        output["parameters"] = {"binary_data_size": len(data)}
        said, body = framed({"model_name": "m", "outputs": [output]}, data)
        return web.Response(body=body, headers={length: said, "content-type": "application/octet-stream"})

    def infer(n: int) -> Callable[[], Any]:
        data = struct.pack("<2f", n, n + 0.5)
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": len(data)}}
        said, body = framed({"inputs": [tensor], "parameters": {"binary_data_output": True}}, data)
        return lambda: gateway.post("/v2/models/g/infer", body, (length, said))

    async with batching(slowly(reply), protocol="v2") as (gateway, model):
        answers = await gathered(gateway, model, *(infer(n) for n in range(4)))
        assert len(model.calls) == 2
        for n, answer in enumerate(answers):
            assert answer.body.endswith(b"}" + struct.pack("<2f", n, n + 0.5))
            assert int(answer.header(length) or 0) == len(answer.body) - 8


async def test_rows_at_a_path_of_ones_own() -> None:
    def reply(call: Call) -> bytes:
        return orjson.dumps({"status": "ok", "predictions": [text.upper() for text in call.json["text"]]})

    policy = Batch(rows_path="text", predictions_path="predictions")
    async with batching(slowly(reply), policy, protocol="raw", path="/model/predict") as (gateway, model):
        calls = [lambda n=n: gateway.post("/any", b'{"text":["%b"]}' % n) for n in (b"a", b"b", b"c")]  # type: ignore[misc]
        answers = await gathered(gateway, model, *calls)
        assert [answer.json["predictions"] for answer in answers] == [["A"], ["B"], ["C"]]
        assert [call.json["text"] for call in model.calls] == [["a"], ["b", "c"]]


async def test_what_cannot_be_merged_passes_through_byte_for_byte() -> None:
    async with batching(lambda call: call.body) as (gateway, model):
        for body in (b"", b"{", b'{"instances": []}', b'{"instances": 7 }'):
            assert (await gateway.post(PREDICT, body)).body == body
        assert model.bodies == [b"", b"{", b'{"instances": []}', b'{"instances": 7 }']
        assert total(gateway.registry, "gateway_batch_bypassed_total", backend="b") == 4


async def test_a_batch_is_retried_as_one() -> None:
    failed = 0

    def reply(call: Call) -> bytes | web.Response:
        nonlocal failed
        if len(call.json["instances"]) > 1 and not failed:
            failed += 1
            return web.Response(status=503)
        return negated(call)

    async with batching(slowly(reply), retry=Retry(retry_on=("503",))) as (gateway, model):
        answers = await gathered(gateway, model, *(predict(gateway, n) for n in range(4)))
        assert [answer.json["predictions"] for answer in answers] == [[-n] for n in range(4)]
        assert [len(call.json["instances"]) for call in model.calls] == [1, 3, 3]
        assert total(gateway.registry, "gateway_upstream_retries_total", backend="b") == 1


async def test_graphs_share_the_calls_of_a_backend_and_explanations_are_not_batched() -> None:
    async with stub(slowly(lambda call: negated(call) if call.target.endswith("predict") else b"why")) as model:
        config = Config(
            backends={"b": Backend(url=model.url, batch=Batch())},
            graphs={"g": graph(), "h": graph(explain=Explain(backend="b"))},
        )
        async with serving(config) as gateway:
            first = asyncio.create_task(gateway.post(PREDICT, b'{"instances":[1]}'))
            await model.arrived.acquire()
            paths = PREDICT, "/v1/models/h:predict"
            others = [
                asyncio.create_task(gateway.post(path, b'{"instances":[%d]}' % n)) for n, path in enumerate(paths)
            ]
            why = await gateway.post("/v1/models/h:explain", b'{"instances":[1]}')
            assert (why.body, (await first).json) == (b"why", {"predictions": [-1]})
            assert [(await other).json["predictions"] for other in others] == [[0], [-1]]
            assert sorted(model.calls[-1].json["instances"]) == [0, 1]
            assert total(gateway.registry, "gateway_batch_keys", backend="b") == 1
            assert total(gateway.registry, "gateway_batch_bypassed_total") == 0


async def test_a_client_that_leaves_harms_nobody() -> None:
    async with batching(slowly(negated, 0.3)) as (gateway, model):
        first = asyncio.create_task(predict(gateway, 0)())
        await model.arrived.acquire()
        others = [asyncio.create_task(predict(gateway, n)()) for n in (1, 2, 3)]
        await asyncio.sleep(0.02)
        others[1].cancel()
        answers = await asyncio.gather(first, others[0], others[2])
        assert [answer.json["predictions"] for answer in answers] == [[0], [-1], [-3]]
        assert [call.json["instances"] for call in model.calls] == [[0], [1, 3]]


async def test_a_batch_has_a_span_linked_to_all_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stub(slowly(negated)) as model, collector() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
        export = start_export(os.environ, Registry.private())
        tracer = start_tracing(os.environ, Registry.private(), lambda count, spans: export.take(count, spans) is None)
        config = Config(backends={"b": Backend(url=model.url, batch=Batch())}, graphs={"g": graph()})
        async with serving(config, tracer) as gateway:
            unsampled = ("traceparent", f"00-{'a' * 32}-{'b' * 16}-00")
            calls = [predict(gateway, n, headers=(unsampled,) if n == 1 else ()) for n in range(4)]
            await gathered(gateway, model, *calls)
        tracer.flush()
        await asyncio.to_thread(export.close, 5.0)
    (span,) = traces.named("batch b")
    assert (span.attributes["gateway.batch.rows"], span.attributes["gateway.batch.requests"]) == (3, 3)
    waits = [wait for wait in traces.named("batch.wait") if wait.links]
    members = {f"{wait.trace_id}-{wait.parent}" for wait in waits}
    assert set(span.links) == members
    assert members == {f"{node.trace_id}-{node.id}" for node in traces.named("node root")[1:]}
    assert [wait.links for wait in waits] == [[f"{span.trace_id}-{span.id}"]] * 2
    assert f"{span.trace_id}-{span.parent}" in members
    (attempt,) = [other for other in traces.named("POST") if other.parent == span.id]
    assert model.calls[1].all("traceparent") == [f"00-{attempt.trace_id}-{attempt.id}-01"]


async def test_priorities_are_read_wherever_they_are_said_and_end_here() -> None:
    rules = HeaderRules(set={"x-priority": "3"})
    async with stub(slowly(negated)) as model:
        policy = Batch(max_batch_size=1, priority_levels=3, promote_after=60.0)
        config = Config(
            backends={"b": Backend(url=model.url, batch=policy, headers=HeaderRules(propagate=("^x-tenant$",)))},
            graphs={"g": graph(), "bulk": graph(headers=rules)},
        )
        async with serving(config) as gateway:
            first = asyncio.create_task(predict(gateway, 0)())
            await model.arrived.acquire()
            calls = [
                gateway.post("/v1/models/bulk:predict", b'{"instances":[4]}', ("x-priority", "1")),
                predict(gateway, 3, headers=(("x-priority", "3"),))(),
                predict(gateway, 2)(),
                predict(gateway, 1, headers=(("x-priority", "1"),))(),
            ]
            tasks = []
            for number, call in enumerate(calls, 1):
                tasks.append(asyncio.create_task(call))
                await queued(gateway, number)
            assert [(await task).status for task in (first, *tasks)] == [200] * 5
            found = [call.json["instances"][0] for call in model.calls]
            assert (found[:3], sorted(found[3:])) == ([0, 1, 2], [3, 4])
            assert not any(call.all("x-priority") for call in model.calls)


async def test_v2_requests_of_all_priorities_share_a_call() -> None:
    def reply(call: Call) -> bytes:
        (tensor,) = call.json["inputs"]
        assert "parameters" not in call.json
        return orjson.dumps({"model_name": "m", "outputs": [{**tensor, "name": "y"}]})

    def infer(n: int) -> Callable[[], Any]:
        tensor = {"name": "x", "datatype": "FP64", "shape": [1], "data": [n]}
        said = {"parameters": {"priority": n}} if n else {}
        return lambda: gateway.post("/v2/models/g/infer", orjson.dumps({**said, "inputs": [tensor]}))

    async with batching(slowly(reply), Batch(priority_levels=3), protocol="v2") as (gateway, model):
        answers = await gathered(gateway, model, *(infer(n) for n in range(4)))
        assert [answer.json["outputs"][0]["data"] for answer in answers] == [[n] for n in range(4)]
        assert [call.json["inputs"][0]["shape"] for call in model.calls] == [[1], [3]]
        assert model.calls[1].json["inputs"][0]["data"] == [1, 2, 3]


async def test_answers_tell_how_large_their_call_was() -> None:
    async with batching(slowly(negated), Batch(report_size=True)) as (gateway, model):
        answers = await gathered(gateway, model, *(predict(gateway, n, n) for n in range(3)))
        assert [answer.header("x-gateway-batch-size") for answer in answers] == ["2", "4", "4"]


async def test_a_drain_serves_all_who_wait() -> None:
    async with batching(slowly(negated), Batch(max_batch_size=2)) as (gateway, _):
        tasks = [asyncio.create_task(predict(gateway, n)()) for n in range(5)]
        await queued(gateway, 3)
        assert await gateway.server.drain(10.0)
        assert [(await task).json["predictions"] for task in tasks] == [[-n] for n in range(5)]


async def test_a_full_queue_says_when_to_come_again() -> None:
    async with batching(slowly(negated), Batch(max_queue=1)) as (gateway, model):
        first = asyncio.create_task(predict(gateway, 0)())
        await model.arrived.acquire()
        waiting = asyncio.create_task(predict(gateway, 1)())
        await queued(gateway, 1)
        refused = await predict(gateway, 2)()
        assert (refused.status, refused.json["code"], refused.header("retry-after")) == (503, "upstream_overflow", "1")
        assert [(await task).status for task in (first, waiting)] == [200, 200]


async def test_whatever_comes_at_once_nobody_gets_a_row_of_somebody_elses() -> None:
    dice = random.Random(11)

    def kind(value: Any) -> Any:
        return [kind(part) for part in value] if isinstance(value, list) else type(value).__name__

    def mirrored(call: Call) -> bytes:
        instances = call.json["instances"]
        assert all(kind(row) == kind(instances[0]) for row in instances)
        assert len({flat(row)[0] // 1000 % 5 for row in instances}) == 1  # one caller's credentials
        return orjson.dumps({"predictions": instances})

    def flat(row: Any) -> list[Any]:
        return [value for part in row for value in flat(part)] if isinstance(row, list) else [row]

    def row(number: int, width: int, deep: bool) -> list[Any]:
        values: list[Any] = [number, *(number + n for n in range(1, width))]
        return [values] if deep else values

    async def caller(number: int) -> None:
        width, deep = dice.randint(1, 10), dice.random() < 0.5
        rows = [row(number * 1000, width, deep) for _ in range(dice.randint(1, 3))]
        headers = ("authorization", f"Bearer {number % 5}")
        await asyncio.sleep(dice.random() / 5)
        answer = await gateway.post(PREDICT, orjson.dumps({"instances": rows}), headers)
        assert (answer.status, answer.json) == (200, {"predictions": rows})

    async with batching(slowly(mirrored, 0.002), Batch(max_batch_size=8)) as (gateway, model):
        await asyncio.gather(*(caller(number) for number in range(300)))
        assert len(model.calls) < 300
        await until(lambda: not total(gateway.registry, "gateway_batch_in_flight"))
        assert total(gateway.registry, "gateway_batch_queue_depth") == 0


async def test_who_waits_when_the_configuration_changes_is_served_by_the_old_one() -> None:
    async with stub(slowly(negated)) as model:
        config = Config(backends={"b": Backend(url=model.url, batch=Batch())}, graphs={"g": graph()})
        async with serving(config) as gateway:
            first = asyncio.create_task(predict(gateway, 1)())
            await model.arrived.acquire()
            waiting = asyncio.create_task(predict(gateway, 2)())
            await queued(gateway, 1)
            new = await reloaded(gateway, config)
            assert [(await call).json["predictions"] for call in (first, waiting)] == [[-1], [-2]]
            await new.retire()


async def test_a_reload_keeps_what_was_learnt() -> None:
    def wrong(call: Call) -> bytes:
        rows = call.json["instances"]
        return orjson.dumps({"predictions": rows if len(rows) == 1 else []})

    async with stub(slowly(wrong, 0.05)) as model:
        config = Config(backends={"b": Backend(url=model.url, batch=Batch())}, graphs={"g": graph()})
        async with serving(config) as gateway:
            for _ in range(3):
                await gathered(gateway, model, *(predict(gateway, n) for n in range(3)))
                while not model.arrived.locked():
                    await model.arrived.acquire()
            assert total(gateway.registry, "gateway_batch_rests_total") == 1
            new = await reloaded(gateway, config)
            answers = await asyncio.gather(*(predict(gateway, n)() for n in range(3)))
            assert [answer.json["predictions"] for answer in answers] == [[0], [1], [2]]
            assert total(gateway.registry, "gateway_batch_bypassed_total", reason="resting") == 3
            assert total(gateway.registry, "gateway_batch_mismatches_total") == 3
            await new.retire()
