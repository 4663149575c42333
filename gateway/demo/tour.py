"""The guided tour: requests really made, their answers as they came, and what is wrong with them, if anything."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from gateway.config.schema import Config
from gateway.draw import text

from .models import Classifier, flowers

FLOWER: Final = [6.8, 2.8, 4.8, 1.4]
PREDICT: Final = "/v1/models/iris:predict"
INFER: Final = "/v2/models/iris-v2/infer"


@dataclass(frozen=True)
class Answer:
    """What came back; ``route`` is the model that a Splitter chose, or empty."""

    status: int
    body: bytes
    route: str

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)


class Tour:
    """One walk through the demo. ``data``, ``admin`` and ``direct`` (the v1 model server) are URLs."""

    def __init__(self, config: Config, models: dict[str, Classifier], data: str, admin: str, direct: str) -> None:
        self._config = config
        self._models = models
        self._data = data
        self._admin = admin
        self._direct = direct
        self._wrong: list[str] = []

    async def give(self) -> list[str]:
        """Print the tour. Gives what was not as the models say it, one line each."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as client:
            self._client = client
            _say("Two models, trained just now on the iris data, and the gateway in front of them:", "")
            _say(text(self._config).rstrip())
            await self._canary()
            await self._ensemble()
            await self._error()
            await self._all_flowers()
            await self._metrics()
        return self._wrong

    async def _canary(self) -> None:
        _say("", "1. A canary release: of ten requests one goes to the new model.", "")
        answer = await self._show(PREDICT, {"instances": [FLOWER]})
        _say(f"   x-gateway-route says which model it was: {answer.route}")
        self._check_prediction(answer, FLOWER)

    async def _ensemble(self) -> None:
        _say("", "2. Both models at once, over the Open Inference Protocol.", "")
        tensor = {"name": "measurements", "shape": [1, 4], "datatype": "FP64", "data": FLOWER}
        answer = await self._show(INFER, {"inputs": [tensor], "outputs": [{"name": "species"}]})
        expected = {name: model.labels([FLOWER]) for name, model in self._models.items()}
        said = (
            {name: one["outputs"][0]["data"] for name, one in answer.document.items()} if answer.status == 200 else {}
        )
        self._check("the ensemble", said, expected)

    async def _error(self) -> None:
        _say("", "3. Two numbers are too few. The model's own error comes back as it is.", "")
        body = {"instances": [FLOWER[:2]]}
        answer = await self._show(PREDICT, body)
        direct = await self._post(f"{self._direct}/v1/models/{_model(answer)}:predict", body)
        self._check("the error", (answer.status, answer.body), (400, direct.body))

    async def _all_flowers(self) -> None:
        chosen: Counter[str] = Counter()
        for flower in flowers():
            answer = await self._post(self._data + PREDICT, {"instances": [flower]})
            self._check_prediction(answer, flower)
            chosen[_model(answer)] += 1
        shares = ", ".join(f"{count} by {model}" for model, count in chosen.most_common())
        _say("", f"Then all {chosen.total()} flowers of the data set, one request each; answered: {shares}.")

    async def _metrics(self) -> None:
        async with self._client.get(self._admin + "/metrics") as answer:
            lines = (await answer.text()).splitlines()
        counted = [line for line in lines if line.startswith("gateway_requests_total{") and 'graph="iris"' in line]
        _say(
            "",
            f"All of it has been counted at {self._admin}/metrics, such as:",
            "",
            *(f"   {line}" for line in counted),
        )
        # One of the canary, one of the error, then one for each flower.
        self._check("the metrics", sum(float(line.split()[-1]) for line in counted), 2 + len(flowers()))

    async def _show(self, path: str, body: object) -> Answer:
        answer = await self._post(self._data + path, body)
        quoted = shlex.quote(orjson.dumps(body).decode())
        _say(f"   $ curl -d {quoted} {self._data.removeprefix('http://')}{path}", f"   {answer.body.decode()}")
        return answer

    async def _post(self, url: str, body: object) -> Answer:
        # The content type that curl -d sends.
        headers = {"content-type": "application/x-www-form-urlencoded"}
        async with self._client.post(url, data=orjson.dumps(body), headers=headers) as answer:
            return Answer(answer.status, await answer.read(), answer.headers.get("x-gateway-route", ""))

    def _check_prediction(self, answer: Answer, flower: list[float]) -> None:
        model = self._models.get(_model(answer))
        expected = {"predictions": model.labels([flower])} if model else f"the answer of one of {list(self._models)}"
        self._check(f"the prediction for {flower}", answer.document, expected)

    def _check(self, what: str, said: object, expected: object) -> None:
        if said != expected:
            self._wrong.append(f"{what}: the gateway says {said}, expected is {expected}")


def _model(answer: Answer) -> str:
    """The model that the Splitter chose: the last word of ``root=forest``."""
    return answer.route.rpartition("=")[2]


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)
