"""One bad request among good ones: it gets the server's own words, and they get their answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.support.counted import total
from tests.support.loopback import Answer, Port

from .asked import Asked, Kind, infer, predict
from .compared import batches, batching, same
from .signatures import refusal

pytestmark = pytest.mark.servers

all_servers = pytest.mark.parametrize("server", ["kserve", "mlserver", "triton"], indirect=True)
JSON = Kind("roots", {"x": (2,)}, binary=False, nested=False, rest={}, finite=True)
BINARY = JSON._replace(binary=True, rest={"parameters": {"binary_data_output": True}})


async def among_good_ones(server: Port, kind: Kind, *bad: Asked) -> tuple[list[Answer], float]:
    """The answers to the bad ones, and how many batches were made again in parts."""
    good = [infer(Random(n), kind, n, n + 1) for n in range(20)]
    asked = [*good[:10], *bad, *good[10:]]
    async with batching(server, roots="v2") as gateway:
        answers = await same(server, gateway, asked)
        calls, requests = batches(gateway)
        assert calls < requests
        return answers[10:-10], total(gateway.registry, "gateway_batch_isolations_total")


@all_servers
@pytest.mark.parametrize("count", [1, 2, 5])
async def test_what_the_model_refuses(server: Port, count: int) -> None:
    bad = [infer(Random(n), JSON, 4.0, -n - 1.5) for n in range(count)]
    answers, isolated = await among_good_ones(server, JSON, *bad)
    for n, answer in enumerate(answers):
        assert answer.status >= 400
        assert refusal(-n - 1.5).encode() in answer.body
    assert isolated > 0


@pytest.mark.parametrize("server", ["kserve", "triton"], indirect=True)
async def test_what_the_model_refuses_of_binary_data(server: Port) -> None:
    (answer,), isolated = await among_good_ones(server, BINARY, infer(Random(0), BINARY, 4.0, -2.5))
    assert refusal(-2.5).encode() in answer.body
    assert isolated > 0


def body(**changes: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1.0, 2.0]} | changes
    return json.dumps({"id": "bad", "inputs": [tensor]}).encode()


WRONG = {
    "no number": body(data=[1.0, "two"]),
    "no data for its shape": body(data=[1.0]),
    "another name": body(name="y"),
    "another type": body(datatype="INT32", data=[1, 2]),
    "no such type": body(datatype="FP128"),
    "another rank": body(shape=[1, 1, 2]),
    "no rows": body(shape=[0, 2], data=[]),
    "half in JSON": body(datatype="FP16"),
    "no such output": json.dumps(json.loads(body()) | {"outputs": [{"name": "nowhere"}]}).encode(),
    "no inputs": b'{"id": "bad", "inputs": []}',
    "nothing": b"",
    "no JSON": b'{"id": "bad", "inputs": [',
}


@all_servers
@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_no_good_request(server: Port, wrong: str) -> None:
    await among_good_ones(server, JSON, Asked("/v2/models/roots/infer", WRONG[wrong]))


ROWS: dict[str, Sequence[bytes]] = {
    "no JSON": [b'{"instances": ['],
    "no instances": [b'{"rows": []}'],
    "no list": [b'{"instances": 5}'],
    "no finite numbers": [b'{"instances": [NaN]}', b'{"instances": [Infinity]}'],
    "more digits than it reads": [b'{"instances": [1e400]}', b'{"instances": [123456789012345678901234567890]}'],
}


@pytest.mark.parametrize("wrong", ROWS)
async def test_v1(kserve: Port, wrong: str) -> None:
    random = Random(0)
    bad = [Asked("/v1/models/rows:predict", body) for body in ROWS[wrong]]
    asked = [predict(random, "rows", 0) for _ in range(20)]
    async with batching(kserve, rows="v1") as gateway:
        await same(kserve, gateway, [*asked[:10], *bad, *asked[10:]])
        calls, requests = batches(gateway)
        assert calls < requests
