"""A model server that speaks KServe's v1 protocol.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from __future__ import annotations

from aiohttp import web

from .models import BadInput, Classifier, check_rows
from .servers import MODELS, application, json_object, model


def app(models: dict[str, Classifier]) -> web.Application:
    """The server of ``models``."""
    return application(
        models,
        [
            web.get("/v1/models", _names),
            web.get("/v1/models/{model}", _ready),
            web.post("/v1/models/{model}:predict", _predict),
        ],
    )


async def _names(request: web.Request) -> web.Response:
    models = request.app[MODELS]
    return web.json_response({"models": list(models)})


async def _ready(request: web.Request) -> web.Response:
    return web.json_response({"name": model(request).name, "ready": True})


async def _predict(request: web.Request) -> web.Response:
    """``{"instances": [[4 numbers], ...]}`` to ``{"predictions": ["<species>", ...]}``."""
    classifier = model(request)
    body = await json_object(request)
    if "instances" not in body:
        raise BadInput('the body has no "instances"')
    return web.json_response({"predictions": classifier.labels(check_rows(body["instances"]))})
