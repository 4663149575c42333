"""A model server that speaks the Open Inference Protocol (v2), with JSON tensors.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

import gateway

from .models import FEATURES, BadInput, Classifier
from .servers import application, json_object, model
from .tensors import measurements

VERSION = "1"
_MODEL = "/v2/models/{model}"


def app(models: dict[str, Classifier]) -> web.Application:
    """The server of ``models``, each of which has the one version ``1``."""
    per_model = [("", web.get, _metadata), ("/ready", web.get, _ready), ("/infer", web.post, _infer)]
    return application(
        models,
        [
            web.get("/v2", _server),
            web.get("/v2/health/live", _live),
            web.get("/v2/health/ready", _server_ready),
            *(route(_MODEL + path, answer) for path, route, answer in per_model),
            *(route(_MODEL + "/versions/{version}" + path, answer) for path, route, answer in per_model),
        ],
    )


def _versioned(request: web.Request) -> Classifier:
    classifier = model(request)
    version = request.match_info.get("version", VERSION)
    if version != VERSION:
        raise web.HTTPNotFound(text=f"Model {classifier.name} has no version {version}.")
    return classifier


async def _server(request: web.Request) -> web.Response:
    return web.json_response({"name": "iris-demo", "version": gateway.__version__, "extensions": []})


async def _live(request: web.Request) -> web.Response:
    return web.json_response({"live": True})


async def _server_ready(request: web.Request) -> web.Response:
    return web.json_response({"ready": True})


async def _ready(request: web.Request) -> web.Response:
    return web.json_response({"name": _versioned(request).name, "ready": True})


async def _metadata(request: web.Request) -> web.Response:
    classifier = _versioned(request)
    return web.json_response(
        {
            "name": classifier.name,
            "versions": [VERSION],
            "platform": "sklearn",
            "inputs": [{"name": "measurements", "datatype": "FP64", "shape": [-1, len(FEATURES)]}],
            "outputs": [
                {"name": "species", "datatype": "BYTES", "shape": [-1]},
                {"name": "probability", "datatype": "FP64", "shape": [-1, len(classifier.species)]},
            ],
        }
    )


async def _infer(request: web.Request) -> web.Response:
    classifier = _versioned(request)
    body = await json_object(request)
    answer: dict[str, Any] = {"model_name": classifier.name, "model_version": VERSION}
    if "id" in body:
        answer["id"] = _identity(body["id"])
    outputs = _outputs(classifier, measurements(body.get("inputs")))
    answer["outputs"] = [outputs[name] for name in _wanted(body.get("outputs"), list(outputs))]
    return web.json_response(answer)


def _identity(value: object) -> str:
    if not isinstance(value, str):
        raise BadInput("id is not a string")
    return value


def _outputs(classifier: Classifier, rows: list[list[float]]) -> dict[str, Any]:
    probabilities = classifier.probabilities(rows)
    flat = [value for row in probabilities for value in row]
    shape = [len(rows), len(classifier.species)]
    return {
        "species": {"name": "species", "datatype": "BYTES", "shape": [len(rows)], "data": classifier.labels(rows)},
        "probability": {"name": "probability", "datatype": "FP64", "shape": shape, "data": flat},
    }


def _wanted(requested: object, available: list[str]) -> list[str]:
    """The names of the outputs that the request asks for; those of all where it does not say."""
    if requested is None:
        return available
    if not isinstance(requested, list) or not all(isinstance(output, dict) for output in requested):
        raise BadInput("outputs is not a list of objects")
    names = [output.get("name") for output in requested]
    for name in names:
        if name not in available:
            raise BadInput(f"no output {name!r}; there are {', '.join(available)}")
    return names or available
