from __future__ import annotations

import itertools

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from gateway.config import load
from gateway.demo import v1
from gateway.demo.models import BadInput, check_rows, train
from gateway.demo.show import configuration
from gateway.demo.tour import INFER, PREDICT, Tour

MODELS = train()


class Site:
    """What the gateway of demo.yaml does, in miniature; ``wrong`` names the one thing that it does badly."""

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong
        self.turns = itertools.cycle(["logistic"] * 9 + ["forest"])
        self.predictions = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [web.post(PREDICT, self.predict), web.post(INFER, self.infer), web.get("/metrics", self.metrics)]
        )
        return app

    async def predict(self, request: web.Request) -> web.Response:
        self.predictions += 1
        model = next(self.turns)
        status, document = self.answer(model, (await request.json())["instances"])
        headers = {"x-gateway-route": "root=nobody" if self.wrong == "route" else f"root={model}"}
        return web.json_response(document, status=status, headers=headers)

    def answer(self, model: str, rows: object) -> tuple[int, object]:
        try:
            labels = MODELS[model].labels(check_rows(rows))
        except BadInput as error:
            return 400, {"error": "no" if self.wrong == "error" else str(error)}
        return 200, {"predictions": ["tulip"] if self.wrong == "prediction" else labels}

    async def infer(self, request: web.Request) -> web.Response:
        (tensor,) = (await request.json())["inputs"]
        labels = {name: model.labels([tensor["data"]]) for name, model in MODELS.items()}
        if self.wrong == "ensemble":
            del labels["forest"]
        return web.json_response({name: {"outputs": [{"data": data}]} for name, data in labels.items()})

    async def metrics(self, request: web.Request) -> web.Response:
        count = 0 if self.wrong == "metrics" else self.predictions
        return web.Response(text=f'gateway_requests_total{{graph="iris"}} {count}\ngateway_other 1\n')


async def give(aiohttp_server: AiohttpServer, wrong: str) -> list[str]:
    site = await aiohttp_server(Site(wrong).app())
    direct = await aiohttp_server(v1.app(MODELS))
    url = str(site.make_url("/")).rstrip("/")
    config = load([str(configuration())], {})
    return await Tour(config, MODELS, url, url, str(direct.make_url("/")).rstrip("/")).give()


async def test_the_tour_shows_the_graph_three_commands_their_answers_and_a_metric(
    aiohttp_server: AiohttpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await give(aiohttp_server, wrong="") == []
    shown = capsys.readouterr().out
    assert shown.count("$ curl -d '") == 3
    assert "Splitter" in shown
    assert '{"predictions": ["versicolor"]}' in shown
    assert "row 0 has 2 features" in shown
    assert 'gateway_requests_total{graph="iris"} 152' in shown


@pytest.mark.parametrize("wrong", ["prediction", "route", "ensemble", "error", "metrics"])
async def test_what_is_not_as_the_models_say_it_is_told(aiohttp_server: AiohttpServer, wrong: str) -> None:
    complaints = await give(aiohttp_server, wrong)
    assert complaints
    assert all(wrong in complaint or wrong == "route" for complaint in complaints)
