"""v1: KServe's Python server."""

from __future__ import annotations

import json
from random import Random

import pytest
from sklearn.datasets import load_digits

from tests.support.loopback import Port

from .asked import Asked, predict
from .compared import batching, check_shared, same

pytestmark = pytest.mark.servers

ROWS = (0, "", [0, 0, 0], [[0, 0], [0, 0]], {"a": 0, "b": [0, ""], "é": {"b64": "AAAA"}})


@pytest.mark.parametrize("row", ROWS, ids=json.dumps)
async def test_rows(kserve: Port, row: object) -> None:
    random = Random(str(row))
    async with batching(kserve, rows="v1") as gateway:
        await same(kserve, gateway, [predict(random, "rows", row) for _ in range(24)])
        check_shared(gateway, 24)


async def test_rows_of_several_kinds_at_once(kserve: Port) -> None:
    random = Random(0)
    async with batching(kserve, rows="v1") as gateway:
        await same(kserve, gateway, [predict(random, "rows", random.choice(ROWS)) for _ in range(60)])
        check_shared(gateway, 60)


async def test_columns(kserve: Port) -> None:
    """Which this server answers with predictions."""
    bodies = [json.dumps({"inputs": [[n, n + 1]] * (n % 3 + 1)}).encode() for n in range(24)]
    async with batching(kserve, rows="v1") as gateway:
        await same(kserve, gateway, [Asked("/v1/models/rows:predict", body) for body in bodies])
        check_shared(gateway, 24)


async def test_a_forest(kserve: Port) -> None:
    """What it says of an image does not depend on the images beside it, to the last digit."""
    digits = load_digits().data.tolist()
    bodies = [json.dumps({"instances": digits[n : n + n % 3 + 1]}).encode() for n in range(0, 96, 3)]
    async with batching(kserve, forest="v1") as gateway:
        await same(kserve, gateway, [Asked("/v1/models/forest:predict", body) for body in bodies])
        check_shared(gateway, len(bodies))
