"""A model server whose answers tell whose they are: each row comes back negated, with the credentials of its call.

So what a caller must get is known beforehand, byte for byte: the answer to its request, had it come alone. It reads and
writes bodies with a JSON reader of its own, and not by the gateway's rules.
"""

from __future__ import annotations

import gzip
from hashlib import sha256
from struct import unpack_from
from typing import Any, NamedTuple

from tests.formats.servers import Number, dumps, loads
from tests.support.loopback import Call, Fields

LENGTH = "inference-header-content-length"

CREDENTIALS = ("authorization", "x-tenant")
"""Headers that come back with every row."""

BAD_NUMBER, BAD_TEXT = Number("666.0666"), "poison"
"""A call that has one of them in it fails, as a whole."""

_INVERSE = bytes(range(255, -1, -1))


class Reply(NamedTuple):
    """What a caller gets."""

    status: int
    headers: Fields
    """Those that describe the body."""
    body: bytes


def reply(call: Call) -> Reply:
    """To a call of protocol v1, or of v2 if its target ends with ``/infer``."""
    said = dict(call.headers)
    body = gzip.decompress(call.body) if said.get("content-encoding") == "gzip" else call.body
    who = " ".join(said.get(name, "nobody") for name in CREDENTIALS)
    if BAD_NUMBER.encode() in body or BAD_TEXT.encode() in body:
        return _error(who, body)
    if not call.target.endswith("/infer"):
        return Reply(200, [("content-type", "application/json")], dumps(_predicted(loads(body), who)))
    return _inferred(body, int(said[LENGTH]) if LENGTH in said else len(body), who)


def _error(who: str, body: bytes) -> Reply:
    digest = sha256(body)
    status = (400, 422, 500)[digest.digest()[0] % 3]
    return Reply(status, [("content-type", "application/json")], dumps({"error": f"{who}: {digest.hexdigest()}"}))


def negated(value: Any) -> Any:
    """Numbers with the other sign and all of their digits, texts backwards."""
    if isinstance(value, Number):
        return Number(value.removeprefix("-") if value.startswith("-") else f"-{value}")
    if isinstance(value, list):
        return [negated(part) for part in value]
    if isinstance(value, dict):
        return {name: negated(part) for name, part in value.items()}
    return value[::-1] if isinstance(value, str) else not value


def _predicted(asked: dict[str, Any], who: str) -> dict[str, Any]:
    said = {"signature": asked.get("signature_name", "none")}
    if "instances" in asked:
        return said | {"predictions": [{"is": negated(row), "of": who} for row in asked["instances"]]}
    inputs = asked["inputs"]
    if isinstance(inputs, list):  # KServe's answer to columns
        return said | {"predictions": [[negated(row), who] for row in inputs]}
    rows = len(next(iter(inputs.values())))
    return {"outputs": negated(inputs) | {"of": [who] * rows}} | said


def _inferred(body: bytes, end: int, who: str) -> Reply:
    asked, blob = loads(body[:end]), body[end:]
    outputs, blobs = [], []
    for tensor in asked["inputs"]:
        output = {"name": f"not {tensor['name']}", "datatype": tensor["datatype"], "shape": tensor["shape"]}
        if "data" in tensor:
            output["data"] = negated(tensor["data"])
        else:
            size = int(tensor["parameters"]["binary_data_size"])
            blobs.append(_inverted(tensor["datatype"], blob[:size]))
            blob = blob[size:]
            output["parameters"] = {"binary_data_size": size}
        outputs.append(output)
    rows = int(asked["inputs"][0]["shape"][0])
    outputs.append({"name": "of", "datatype": "BYTES", "shape": [rows], "data": [who] * rows})
    json = dumps({"model_name": "mirror", **_kept(asked), "outputs": outputs})
    if not blobs:
        return Reply(200, [("content-type", "application/json")], json)
    headers = [("content-type", "application/octet-stream"), (LENGTH, str(len(json)))]
    return Reply(200, headers, json + b"".join(blobs))


def _kept(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: asked[name] for name in ("id", "parameters") if name in asked}


def _inverted(datatype: str, blob: bytes) -> bytes:
    """Bits flipped; of type BYTES: each element backwards."""
    if datatype != "BYTES":
        return blob.translate(_INVERSE)
    found, at = b"", 0
    while at < len(blob):
        end = at + 4 + int(unpack_from("<I", blob, at)[0])
        found += blob[at : at + 4] + blob[at + 4 : end][::-1]
        at = end
    return found
