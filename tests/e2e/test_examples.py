"""Every example of config/, loaded as it stands, in front of model servers that answer what its comments say."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from aiohttp import web
from msgspec.structs import replace

from gateway.config import load
from gateway.config.payload import PayloadSinks
from gateway.payload.event import decode
from gateway.payload.tail import Tail
from tests.support.loopback import Call, Reply, Running, Stub, serving, status, stub

pytestmark = pytest.mark.e2e

CONFIG = Path(__file__).parents[2] / "config"
Models = dict[str, Stub]


@asynccontextmanager
async def example(name: str, /, path: str = "", **replies: Reply) -> AsyncIterator[tuple[Running, Models]]:
    """The gateway as ``name`` says, and its model servers by the environment variables that it finds them by."""
    async with AsyncExitStack() as stack:
        models = {variable: await stack.enter_async_context(stub(reply)) for variable, reply in replies.items()}
        environ = {variable: model.url + path for variable, model in models.items()}
        yield await stack.enter_async_context(serving(load([str(CONFIG / f"{name}.yaml")], environ))), models


def predicts(*predictions: Any) -> bytes:
    return orjson.dumps({"predictions": predictions})


def targets(model: Stub) -> list[str]:
    return [call.target for call in model.calls]


def posts(model: Stub) -> list[Call]:
    """Without the health checks."""
    return [call for call in model.calls if call.method == "POST"]


async def batching() -> None:
    async def slowly(call: Call) -> web.Response:
        await asyncio.sleep(0.1)
        return web.Response(body=predicts(*(row[0] for row in call.json["instances"])))

    async with example("batching", IRIS_URL=slowly) as (gateway, models):
        bodies = [orjson.dumps({"instances": [[n, 2.8, 4.8, 1.4]]}) for n in range(5)]
        first = asyncio.create_task(gateway.post("/v1/models/iris:predict", bodies[0]))
        await models["IRIS_URL"].arrived.acquire()
        answers = await asyncio.gather(first, *(gateway.post("/v1/models/iris:predict", body) for body in bodies[1:]))
        assert [answer.json for answer in answers] == [{"predictions": [n]} for n in range(5)]
        assert [len(call.json["instances"]) for call in models["IRIS_URL"].calls] == [1, 4]


async def canary() -> None:
    def infer(name: bytes) -> Callable[[Call], bytes]:
        return lambda call: b'{"outputs":["%b"]}' % name

    async with example("canary", IRIS_V1_URL=infer(b"one"), IRIS_V2_URL=infer(b"two")) as (gateway, models):
        ways: Counter[str | None] = Counter()
        for _ in range(200):
            answer = await gateway.post("/v2/models/iris/infer", b'{"inputs":[]}', ("x-tenant", "a"), ("accept", "*/*"))
            ways[answer.header("x-gateway-route")] += 1
            one = answer.header("x-gateway-route") == "root=stable"
            assert answer.json == {"outputs": ["one" if one else "two"]}
        assert set(ways) <= {"root=stable", "root=canary"}
        assert ways["root=canary"] < 50
        for model in models.values():
            assert set(targets(model)) <= {"/v2/models/iris/infer"}
        assert models["IRIS_V1_URL"].calls[0].all("x-tenant") == []
        for call in models["IRIS_V2_URL"].calls:
            assert (call.all("x-tenant"), call.all("accept"), call.all("x-canary")) == (["a"], [], ["true"])


async def demo() -> None:
    async with example("demo", DEMO_V1=predicts("v1"), DEMO_V2=b'{"outputs":[]}') as (gateway, models):
        assert (await gateway.post("/v1/models/iris:predict")).json == {"predictions": ["v1"]}
        assert (await gateway.post("/any/path")).json == {"predictions": ["v1"]}
        answer = await gateway.post("/v2/models/iris-v2/infer")
        assert answer.json == {"logistic": {"outputs": []}, "forest": {"outputs": []}}
        found = sorted(targets(models["DEMO_V2"]))
        assert found == ["/v2/models/forest/infer", "/v2/models/logistic/infer"]


async def ensemble() -> None:
    target = "/v1/models/committee:predict"
    async with example("ensemble", TREES_URL=predicts(1), NETWORK_URL=predicts(2)) as (gateway, models):
        answer = await gateway.post(target, b'{"instances":[[1]]}')
        assert answer.json == {"trees": {"predictions": [1]}, "network": {"predictions": [2]}}
        assert targets(models["TREES_URL"]) == targets(models["NETWORK_URL"]) == ["/v1/models/iris:predict"]
    async with example("ensemble", TREES_URL=predicts(1), NETWORK_URL=status(500, b"oops")) as (gateway, _):
        answer = await gateway.post(target)
        assert (answer.status, answer.json["network"]) == (200, {"error": "oops", "status": 500})
    async with example("ensemble", TREES_URL=status(500, b"oops"), NETWORK_URL=predicts(2)) as (gateway, _):
        answer = await gateway.post(target)
        assert (answer.status, answer.body) == (500, b"oops")


async def image_classifier() -> None:
    image = b'{"instances":[{"image":"i"}]}'
    for kind, label, called in (
        ("animal", "cat", "ANIMALS_URL"),
        ("plant", "rose", "PLANTS_URL"),
        ("stone", None, None),
    ):
        said = predicts({"label": kind, "image": "i"})
        replies = {"KIND_URL": said, "ANIMALS_URL": predicts("cat"), "PLANTS_URL": predicts("rose")}
        async with example("image-classifier", **replies) as (gateway, models):
            answer = await gateway.post("/v1/models/image-classifier:predict", image)
            assert answer.body == (predicts(label) if label else said)
            assert [name for name in replies if image in models[name].bodies] == list(
                filter(None, ("KIND_URL", called))
            )
            answer = await gateway.post("/v1/models/image-classifier-switch:predict", image)
            if label:
                assert answer.body == predicts(label)
            else:
                assert (answer.status, answer.json["code"]) == (404, "no_route_matched")


async def kserve() -> None:
    body = b'{"instances":["image"]}'
    for animal, calls in (("dog", 1), ("cat", 0)):
        replies = {"CAT_OR_DOG_URL": predicts(animal), "BREED_URL": predicts("beagle")}
        async with example("kserve", "/v1/models/m:predict", **replies) as (gateway, models):
            for target in ("/", "/v1/models/dog-breed:predict"):
                answer = await gateway.post(target, body, ("x-request-id", "id-1"), ("authorization", "no"))
                assert (answer.status, answer.json) == (200, {"predictions": ["beagle" if calls else animal]})
            assert models["BREED_URL"].bodies == [body] * (2 * calls)
            (call, _) = models["CAT_OR_DOG_URL"].calls
            assert (call.target, call.all("authorization")) == ("/v1/models/m:predict", [])


async def nested() -> None:
    replies = {"CLEANER_URL": b'{"instances":["clean"]}', "RULES_URL": predicts(0), "BOOSTED_URL": predicts(1)}
    async with example("nested", **replies, DEEP_URL=predicts(1)) as (gateway, models):
        answer = await gateway.post("/v1/models/fraud:predict", b'{"instances":["raw"]}')
        assert answer.json == {"rules": {"predictions": [0]}, "learned": {"predictions": [1]}}
        assert answer.header("x-gateway-route") in ("learned=boosted", "learned=deep")
        assert targets(models["CLEANER_URL"]) == ["/clean"]
        assert models["RULES_URL"].bodies == [b'{"instances":["clean"]}']


async def openai() -> None:
    replies = {"LARGE_1_URL": b'{"by":1}', "LARGE_2_URL": b'{"by":2}', "SMALL_URL": b'{"by":3}'}
    async with example("openai", **replies) as (gateway, models):

        async def chat(model: str, user: str) -> Any:
            asked = orjson.dumps({"model": model, "messages": [], "user": user})
            return (await gateway.post("/v1/chat/completions", asked, ("authorization", "Bearer key"))).json["by"]

        assert await chat("small", "ann") == 3
        by_user = {user: {await chat("large", user) for _ in range(5)} for user in map(str, range(20))}
        assert all(len(found) == 1 for found in by_user.values())
        assert set.union(*by_user.values()) == {1, 2}
        for model in models.values():
            assert {call.target for call in posts(model)} == {"/v1/chat/completions"}
            assert all(call.all("authorization") == ["Bearer key"] for call in posts(model))
        assert (await gateway.get("/v1/models")).json == {"models": ["chat"]}


async def resilient() -> None:
    def failing(call: Call) -> web.Response:
        return web.Response(status=200 if call.method == "GET" else 503)  # its health checks find nothing wrong

    replies: dict[str, Reply] = {"IRIS_1_URL": predicts(1), "IRIS_2_URL": failing, "IRIS_3_URL": predicts(3)}
    async with example("resilient", **replies) as (gateway, models):
        answers = [await gateway.post("/v1/models/iris:predict") for _ in range(100)]
        assert {answer.body for answer in answers} == {predicts(1), predicts(3)}
        assert len(posts(models["IRIS_2_URL"])) == 5, "it is left out after so many failures in a row"
        assert sum(len(posts(model)) for model in models.values()) == 105


async def scale_from_zero() -> None:
    at_once: list[int] = [0]

    async def paint(call: Call) -> web.Response:
        at_once.append(at_once[-1] + 1)
        await asyncio.sleep(0.01)
        at_once.append(at_once[-1] - 1)
        return web.Response(body=predicts("picture"))

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and no listen: connections are refused
        environ = {"PAINTER_URL": f"http://127.0.0.1:{sock.getsockname()[1]}"}
        async with serving(load([str(CONFIG / "scale-from-zero.yaml")], environ)) as gateway:
            waiting = gateway.registry.gauge("gateway_queue_depth", backend="painter").cells
            asking = [asyncio.create_task(gateway.post("/v1/models/painter:predict")) for _ in range(10)]
            while waiting[0] < len(asking):  # noqa: ASYNC110 the gateway tells nobody
                await asyncio.sleep(0)
            async with stub(paint, sock):
                assert {(answer.status, answer.body) for answer in await asyncio.gather(*asking)} == {
                    (200, predicts("picture"))
                }
            assert (max(at_once), waiting[0]) == (4, 0)


async def sequence() -> None:
    async with example("sequence", TOKENIZER_URL=predicts([1, 2]), SENTIMENT_URL=predicts("good")) as (gateway, models):
        answer = await gateway.post("/v1/models/review:predict", b'{"instances":["what a fine day"]}')
        assert answer.json == {"predictions": ["good"]}
        assert models["TOKENIZER_URL"].bodies == [b'{"instances":["what a fine day"]}']
        assert models["SENTIMENT_URL"].bodies == [b'{"instances":[[1,2]]}']


async def payload_log() -> None:
    with TemporaryDirectory() as spool:
        config = load([str(CONFIG / "payload-log.yaml")], {})
        sinks = {
            name: replace(sink, spool=replace(sink.spool, path=spool))
            for name, sink in config.payload_log.sinks.items()
        }
        async with stub(predicts(1)) as model:
            backends = {"iris": replace(config.backends["iris"], url=model.url)}
            placed = replace(config, backends=backends, payload_log=PayloadSinks(sinks=sinks))
            async with serving(placed) as gateway:
                body = b'{"instances":[{"name":"s3cret","x":1}]}'
                answer = await gateway.post("/v1/models/iris:predict", body, ("x-tenant", "a"))
                assert answer.json == {"predictions": [1]}
        lane = Path(spool, "audit", "0")
        async with asyncio.timeout(30):
            while len(records := Tail(lane).read(9, 1 << 20)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    request, response = (decode(record.data) for record in records)
    assert request.body == b'{"instances":[{"name":"[redacted]","x":1}]}'
    assert (request.head.headers, response.status) == ([("x-tenant", "a")], 200)


async def splitter() -> None:
    replies = {"LARGE_URL": predicts("large"), "MEDIUM_URL": predicts("medium"), "SMALL_URL": predicts("small")}
    async with example("splitter", **replies) as (gateway, models):
        for _ in range(100):
            answer = await gateway.post("/v1/models/scorer:predict", b'{"instances":[[1,2]]}')
            assert answer.header("x-gateway-route") == f"root={answer.json['predictions'][0]}"
        assert all({*targets(model)} == {"/v1/models/scorer:predict"} for model in models.values())


async def switch() -> None:
    replies = {"GERMAN_URL": predicts("de"), "FRENCH_URL": predicts("fr"), "ANY_URL": predicts("any")}
    async with example("switch", **replies) as (gateway, models):
        for language, way in (("de", "de"), ("fr", "fr"), ("fr-CA", "fr"), ("en", "any")):
            answer = await gateway.post("/v1/models/translate:predict", orjson.dumps({"language": language}))
            assert answer.json == {"predictions": [way]}
        assert targets(models["ANY_URL"]) == ["/v1/models/polyglot:predict"]


CASES = {
    "batching": batching,
    "canary": canary,
    "demo": demo,
    "ensemble": ensemble,
    "image-classifier": image_classifier,
    "kserve": kserve,
    "nested": nested,
    "openai": openai,
    "resilient": resilient,
    "scale-from-zero": scale_from_zero,
    "payload-log": payload_log,
    "sequence": sequence,
    "splitter": splitter,
    "switch": switch,
}


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda file: file.stem)
async def test_it_does_what_it_says(file: Path) -> None:
    await CASES[file.stem]()
