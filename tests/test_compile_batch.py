"""Batching, compiled into a gateway on real sockets: what the model server is sent, and what each client gets."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from gateway.compile import compile_app
from gateway.config.backend import Backend, Retry
from gateway.config.batch import Batch
from gateway.config.schema import Config, Explain, Graph, HeaderRules, Node, Step
from tests.support.counted import total, until
from tests.support.loopback import Answer, Call, Reply, Running, Stub, serving, stub
from tests.support.spans import Spans

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


async def test_graphs_share_the_slots_of_a_backend_and_explanations_are_not_batched() -> None:
    async with stub(slowly(lambda call: negated(call) if call.target.endswith("predict") else b"why")) as model:
        config = Config(
            backends={"b": Backend(url=model.url, batch=Batch())},
            graphs={"g": graph(), "h": graph(explain=Explain(backend="b"))},
        )
        async with serving(config) as gateway:
            first = asyncio.create_task(gateway.post(PREDICT, b'{"instances":[1]}'))
            await model.arrived.acquire()
            why = await gateway.post("/v1/models/h:explain", b'{"instances":[1]}')
            other = asyncio.create_task(gateway.post("/v1/models/h:predict", b'{"instances":[2]}'))
            assert (why.body, (await first).json, (await other).json["predictions"]) == (
                b"why",
                {"predictions": [-1]},
                [-2],
            )
            assert total(gateway.registry, "gateway_batch_keys", backend="b") == 2
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


async def test_a_batch_has_a_span_linked_to_all_its_members() -> None:
    spans = Spans()
    async with stub(slowly(negated)) as model:
        config = Config(backends={"b": Backend(url=model.url, batch=Batch())}, graphs={"g": graph()})
        async with serving(config, spans.tracer()) as gateway:
            await gathered(gateway, model, *(predict(gateway, n) for n in range(3)))
    (span,) = [span for span in spans if span.name == "batch"]
    assert (span.attributes["gateway.batch.rows"], len(span.links)) == (2, 1)
    assert {span.trace_id, span.links[0].trace_id} < {span.trace_id for span in spans if span.kind == "server"}
    (attempt,) = [other for other in spans if other.parent == span.id]
    assert model.calls[1].all("traceparent") == [f"00-{attempt.trace_id.decode()}-{attempt.id.decode()}-01"]


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
            await until(lambda: total(gateway.registry, "gateway_batch_queue_depth") == 1)
            old, new = gateway.app, compile_app(config, gateway.leases, gateway.registry)
            new.begin()
            gateway.server.app = new
            await old.retire()
            assert [(await call).json["predictions"] for call in (first, waiting)] == [[-1], [-2]]
            await new.retire()
