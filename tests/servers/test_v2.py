"""v2, with tensors as JSON and as binary data."""

from __future__ import annotations

import json
from random import Random

import pytest
from sklearn.datasets import load_digits

from tests.support.loopback import Port

from .asked import Asked, framed, infer, kind
from .compared import batches, batching, check_shared, same
from .signatures import MODELS, MOST

pytestmark = pytest.mark.servers

all_servers = pytest.mark.parametrize("server", ["kserve", "mlserver", "triton"], indirect=True)
binary_servers = pytest.mark.parametrize("server", ["kserve", "triton"], indirect=True)
seeds = pytest.mark.parametrize("seed", range(4))


@all_servers
@seeds
@pytest.mark.parametrize("model", sorted(MODELS.keys() - {"half", "roots"}))
async def test_json(server: Port, model: str, seed: int) -> None:
    random = Random(f"{model} {seed}")
    kinds = [kind(random, model, binary=False) for _ in range(2)]
    async with batching(server, **{model: "v2"}) as gateway:
        await same(server, gateway, [infer(random, random.choice(kinds)) for _ in range(24)])
        check_shared(gateway, 24)


@binary_servers
@seeds
@pytest.mark.parametrize("model", sorted(MODELS.keys() - {"roots"}))
async def test_binary(server: Port, model: str, seed: int) -> None:
    random = Random(f"{model} {seed}")
    kinds = [kind(random, model, binary=True) for _ in range(2)]
    async with batching(server, **{model: "v2"}) as gateway:
        await same(server, gateway, [infer(random, random.choice(kinds)) for _ in range(24)])
        check_shared(gateway, 24)


@all_servers
async def test_json_and_models_at_random(server: Port) -> None:
    """Requests to several models and of many kinds, all at once."""
    random = Random(0)
    models = sorted(MODELS.keys() - {"half", "roots"})
    kinds = [kind(random, random.choice(models), binary=False) for _ in range(10)]
    async with batching(server, **dict.fromkeys(models, "v2")) as gateway:
        await same(server, gateway, [infer(random, random.choice(kinds)) for _ in range(100)])
        check_shared(gateway, 100)


@binary_servers
async def test_bytes_that_are_no_text(server: Port) -> None:
    blobs = [b"\x02\0\0\0\xff%c" % n for n in range(12)]
    bodies = [_text(blob, {"parameters": {"binary_data_output": True}}) for blob in blobs]
    async with batching(server, text="v2") as gateway:
        await same(server, gateway, bodies)


def _text(blob: bytes, rest: dict[str, object]) -> Asked:
    tensor = {"name": "x", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(blob)}}
    return framed("text", {**rest, "inputs": [tensor]}, blob)


@binary_servers
async def test_tensors_without_any_elements(server: Port) -> None:
    tensor = {"name": "x", "datatype": "FP16", "shape": [2, 0], "parameters": {"binary_data_size": 0}}
    asked = [framed("half", {"inputs": [tensor], "parameters": {"binary_data_output": True}}, b"")] * 12
    async with batching(server, half="v2") as gateway:
        await same(server, gateway, asked)


@all_servers
async def test_more_rows_than_a_server_takes(server: Port) -> None:
    """They go alone, and the server says what it thinks of them."""
    tensor = {"name": "x", "datatype": "FP64", "shape": [MOST + 1, 1], "data": [1.0] * (MOST + 1)}
    async with batching(server, roots="v2") as gateway:
        await same(server, gateway, [Asked("/v2/models/roots/infer", json.dumps({"inputs": [tensor]}).encode())] * 3)
        assert batches(gateway) == (0, 0)


async def test_a_forest(mlserver: Port) -> None:
    """MLServer's own runtime for scikit-learn: what it says of an image does not depend on the images beside it."""
    asked = []
    for n, row in enumerate(load_digits().data[:48]):
        tensor = {"name": "pixels", "datatype": "FP64", "shape": [1, 64], "data": row.tolist()}
        outputs = [{"name": ("predict", "predict_proba")[n % 2]}]
        body = json.dumps({"id": str(n), "inputs": [tensor], "outputs": outputs}).encode()
        asked.append(Asked("/v2/models/forest/infer", body))
    async with batching(mlserver, forest="v2") as gateway:
        await same(mlserver, gateway, asked)
        check_shared(gateway, 48)
