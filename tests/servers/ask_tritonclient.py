"""``python ask_tritonclient.py HOST:PORT BINARY CODING...``: what tritonclient gets there, as JSON.

BINARY: whether to ask with binary tensors, too (yes or no). CODING: gzip, deflate or identity, of bodies both ways.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as http
from signatures import MODELS, REFUSING, output

MODEL = "mixed"


def inputs(number: int, binary: bool) -> list[http.InferInput]:
    """As many rows as ``number`` modulo 3, and one."""
    rows = number % 3 + 1
    values = {
        "pixels": np.linspace(-number, number, rows * 6, dtype=np.float32).reshape(rows, 2, 3),
        "label": np.array([[f"é {number}"], [""], ["\0"]][:rows], dtype=np.object_),
        "count": np.full((rows, 1), 2**63 - 1 - number),
    }
    return [tensor(name, MODELS[MODEL][name][0], array, binary) for name, array in values.items()]


def tensor(name: str, datatype: str, array: np.ndarray, binary: bool) -> http.InferInput:
    found = http.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def told(pending: Any) -> Any:
    """An answer, or what the client raises in its place."""
    try:
        result = pending.get_result()
    except http.InferenceServerException as error:
        return [error.status(), error.message()]
    arrays = [(one["name"], result.as_numpy(one["name"])) for one in result.get_response()["outputs"]]
    return [result.get_response()["id"], [[name, str(array.dtype), array.shape, bits(array)] for name, array in arrays]]


def bits(array: np.ndarray) -> Any:
    return [repr(item) for item in array.flat] if array.dtype == np.object_ else array.tobytes().hex()


def inferred(client: http.InferenceServerClient, sent: bool, wanted: bool, coding: str | None) -> list[Any]:
    """The answers to twelve requests that are under way at the same time."""
    outputs = [http.InferRequestedOutput(output(name), binary_data=wanted) for name in MODELS[MODEL]]
    codings = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    pending = [
        client.async_infer(MODEL, inputs(number, sent), outputs=outputs, request_id=str(number), **codings)
        for number in range(12)
    ]
    return [told(one) for one in pending]


def refused(client: http.InferenceServerClient, binary: bool) -> list[Any]:
    """The answers to four requests, one of which the model does not like."""
    values = (1.0, 4.0, -2.5, 9.0)
    asked = [tensor("x", "FP64", np.array([[value]]), binary) for value in values]
    pending = [client.async_infer(REFUSING, [one], request_id=str(number)) for number, one in enumerate(asked)]
    return [told(one) for one in pending] if binary else []


def main(address: str, binary: str, *codings: str) -> None:
    client = http.InferenceServerClient(address, concurrency=12)
    ways = (True, False) if binary == "yes" else (False,)
    said: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models": [client.is_model_ready(name) for name in (MODEL, REFUSING)],
        "metadata": client.get_model_metadata(MODEL),
        "refused": refused(client, binary == "yes"),
    }
    for sent, wanted, coding in itertools.product(ways, ways, codings):
        said[f"{sent} {wanted} {coding}"] = inferred(client, sent, wanted, None if coding == "identity" else coding)
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
