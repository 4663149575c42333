"""``python ask_kserve.py URL``: what KServe's own client gets there, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from signatures import MODELS, REFUSING

MODEL = "mixed"


def asked(number: int, binary: bool) -> InferRequest:
    """As many rows as ``number`` modulo 3, and one."""
    rows = number % 3 + 1
    values = {
        "pixels": np.linspace(-number, number, rows * 6, dtype=np.float32).reshape(rows, 2, 3),
        "label": np.array([[f"é {number}"], [""], ["a"]][:rows], dtype=np.object_),
        "count": np.full((rows, 1), 2**63 - 1 - number),
    }
    tensors = [tensor(name, MODELS[MODEL][name][0], array, binary) for name, array in values.items()]
    return InferRequest(MODEL, tensors, request_id=str(number), parameters={"binary_data_output": binary})


def tensor(name: str, datatype: str, array: np.ndarray, binary: bool) -> InferInput:
    found = InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


async def told(client: InferenceRESTClient, url: str, request: InferRequest) -> Any:
    """An answer, or what the client raises in its place, without the URL."""
    try:
        answer = await client.infer(url, request, model_name=request.model_name)
    except httpx.HTTPStatusError as error:
        return str(error).partition(" for url ")[0]
    arrays = [(one.name, one.as_numpy()) for one in answer.outputs]
    return [answer.id, [[name, str(array.dtype), array.shape, array.tolist()] for name, array in arrays]]


async def v2(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    said: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, MODEL),
    }
    for binary in (False, True):
        said[f"{binary}"] = await asyncio.gather(*(told(client, url, asked(number, binary)) for number in range(12)))
    roots = [tensor("x", "FP64", np.array([[value]]), True) for value in (1.0, 4.0, -2.5, 9.0)]
    requests = [InferRequest(REFUSING, [root], request_id=str(number)) for number, root in enumerate(roots)]
    said["refused"] = await asyncio.gather(*(told(client, url, request) for request in requests))
    return said


async def v1(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    bodies = [{"instances": [[number, 2**53 + number]] * (number % 3 + 1)} for number in range(12)]
    answers = await asyncio.gather(*(client.infer(url, body, model_name="rows") for body in bodies))
    return {"model": await client.is_model_ready(url, "rows"), "answers": answers}


async def main(url: str) -> None:
    json.dump({"v1": await v1(url), "v2": await v2(url)}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
