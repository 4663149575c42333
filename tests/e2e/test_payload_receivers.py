"""What receivers read of a running gateway's events: the CloudEvents library in each content mode, and a detector that
was written for KServe's logger."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest

from tests.support.loopback import closed_port
from tests.support.receiver import Call, Receiver, receiving
from tests.support.running import Model, RunningGateway, Serve

http = pytest.importorskip("cloudevents.core.bindings.http", reason="pip install -e '.[test]'")
formats = pytest.importorskip("cloudevents.core.formats.json")
marshaller = pytest.importorskip("cloudevents.v1.sdk.marshaller")
v1 = pytest.importorskip("cloudevents.v1.sdk.event.v1")

pytestmark = pytest.mark.e2e
Models = tuple[Model, Model]
ASKED = {"instances": [[6.8, 2.8]], "who": 'caf\u00e9 "100 %"'}
ANSWERED = {"predictions": ["one"]}
OURS = "io.gateway.inference."
KSERVES = "org.kubeflow.serving.inference."


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def configured(model: Model, receiver: Receiver, more: str) -> str:
    """A graph that is logged, and its step, too; and one whose model server is not there."""
    return f"""
server: {{listen: "127.0.0.1:0", workers: 1, drain: {{delay: 0s, timeout: 30s}}}}
admin: {{listen: "127.0.0.1:0"}}
backends:
  m: {{url: "{model.url}"}}
  nobody: {{url: "{closed_port()}"}}
graphs:
  m:
    payloadLog: {{sink: s, headers: [x-tenant]}}
    nodes:
      root: {{routerType: Sequence, steps: [{{name: classify, backend: m, payloadLog: {{sink: s}}}}]}}
  broken:
    payloadLog: {{sink: s}}
    nodes: {{root: {{routerType: Sequence, steps: [{{name: classify, backend: nobody, dependency: Hard}}]}}}}
payloadLog: {{sinks: {{s: {{type: http, url: "{receiver.url}", {more}}}}}}}
"""


async def traffic(gateway: RunningGateway, **headers: str) -> None:
    """A request that is answered and one that fails: six events."""
    given = {"x-request-id": "id-1", "x-tenant": '"5 %", b', **headers}
    async with aiohttp.ClientSession(headers=given) as session:
        for graph, status in (("m", 200), ("broken", 503)):
            async with session.post(f"{gateway.data}/v1/models/{graph}:predict", json=ASKED) as answer:
                assert answer.status == status


def read(call: Call) -> list[Any]:
    """The events of a call, as the library reads them."""
    if call.headers["content-type"].startswith("application/cloudevents-batch+json"):
        return [formats.JSONFormat().read(None, json.dumps(one)) for one in json.loads(call.body)]
    return [http.from_http_event(http.HTTPMessage(headers=call.headers, body=call.body))]


@pytest.mark.parametrize("mode", ["binary", "structured", "batched"])
async def test_the_library_reads_what_passed(serve: Serve, models: Models, receiver: Receiver, mode: str) -> None:
    gateway = await serve(configured(models[0], receiver, f"contentMode: {mode}"))
    await traffic(gateway)
    events: list[Any] = []
    async with asyncio.timeout(30):
        while len(events) < 6:
            await asyncio.sleep(0.02)
            events = [event for call in list(receiver.taken) for event in read(call)]
    found = [(one.get_type(), one.get_extension("graph"), one.get_extension("step")) for one in events]
    assert found == [
        (f"{OURS}request.v1", "m", None),
        (f"{OURS}request.v1", "m", "classify"),
        (f"{OURS}response.v1", "m", "classify"),
        (f"{OURS}response.v1", "m", None),
        (f"{OURS}request.v1", "broken", None),
        (f"{OURS}error.v1", "broken", None),
    ]
    assert [one.get_data() for one in events[:5]] == [ASKED, ASKED, ANSWERED, ANSWERED, ASKED]
    error = events[5]
    assert (error.get_extension("code"), str(error.get_extension("status"))) == ("upstream_connect_failure", "503")
    assert _json(error.get_data())["requestId"] == "id-1"
    assert {one.get_extension("correlationid") for one in events} >= {"id-1"}
    assert len({one.get_id() for one in events}) == 6
    assert events[3].get_extension("causationid") == events[0].get_id()
    assert json.loads(events[0].get_extension("metadata")) == {"x-tenant": ['"5 %", b']}


def _json(data: Any) -> Any:
    """In binary mode the library hands out what it does not take for JSON as it came."""
    return json.loads(data) if isinstance(data, (bytes, str)) else data


class Detector:
    """As KServe's alibi-detect server: it reads events with the CloudEvents SDK, and v1 JSON in them; pairs by id."""

    def __init__(self) -> None:
        self.pairs: dict[str, dict[str, Any]] = {}
        self.identities: set[tuple[str, ...]] = set()

    def __call__(self, call: Call) -> None:
        event = marshaller.NewDefaultHTTPMarshaller().FromRequest(v1.Event(), call.headers, call.body, json.loads)
        if not event.EventType().startswith(KSERVES):
            return
        own = event.Extensions()
        self.identities.add(tuple(own[name] for name in ("namespace", "component", "endpoint")))
        json.loads(unquote(own["metadata"]))
        kind = event.EventType().removeprefix(KSERVES)
        self.pairs.setdefault(f"{own['inferenceservicename']} {event.EventID()}", {})[kind] = event.Data()


async def test_a_detector_of_kserves_events(serve: Serve, models: Models, receiver: Receiver) -> None:
    more = "dialect: kserve, kserve: {namespace: team, component: predictor, endpoint: canary}"
    gateway = await serve(configured(models[0], receiver, more))
    await traffic(gateway, **{"ce-id": "theirs"})
    await traffic(gateway)
    async with asyncio.timeout(30):
        while len(receiver.taken) < 12:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    detector = Detector()
    for call in receiver.taken:
        detector(call)
    assert detector.identities == {("team", "predictor", "canary")}
    both = {"request": ASKED, "response": ANSWERED}
    assert detector.pairs["m theirs"] == both
    assert detector.pairs["broken theirs"] == {"request": ASKED}
    # Without a ce-id of the client's each place has an id of its own, for both of its events.
    assert sorted(name.split(" ")[0] for name, pair in detector.pairs.items() if pair == both) == [
        "classify",
        "classify",
        "m",
        "m",
    ]
