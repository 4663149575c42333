from typing import Any

import orjson
import pytest

from gateway.config.payload import KServeIdentity, Sink
from gateway.payload.dialect import CloudEvent, dialect
from gateway.payload.event import Event
from tests.support import events


def speak(event: Event, **sink: Any) -> CloudEvent:
    return dialect(Sink(type="stdout", **sink))(event)


def event(kind: Any, **fields: Any) -> Event:
    return events.event(kind, time=1700000000.25, graph="iris", body=b"{}", size=2, **fields)


def test_ours_of_a_request() -> None:
    assert speak(event("request", traceparent="00-a-b-01", content_type="application/json")) == (
        {
            "specversion": "1.0",
            "id": "x-000000000001-request",
            "type": "io.gateway.inference.request.v1",
            "source": "/graphs/iris",
            "time": "2023-11-14T22:13:20.250000Z",
            "correlationid": "id-1",
            "graph": "iris",
            "traceparent": "00-a-b-01",
        },
        "application/json",
        b"{}",
    )


def test_ours_of_an_answer() -> None:
    answer = event("response", node="root", step="classify", route=b"root=classify", status=200, duration=0.0123)
    said = speak(answer).attributes
    assert said["id"] == "x-000000000001-response"
    assert said["causationid"] == "x-000000000001-request"
    assert (said["node"], said["step"], said["branch"]) == ("root", "classify", "root=classify")
    assert (said["status"], said["durationms"]) == (200, 12)


def test_ours_of_a_failure() -> None:
    said = speak(event("error", status=503, code="no_healthy_upstream")).attributes
    assert said["type"] == "io.gateway.inference.error.v1"
    assert (said["status"], said["code"]) == (503, "no_healthy_upstream")


def test_what_was_cut_sampled_or_headed_says_so() -> None:
    said = speak(events.event(body=b"ab", size=9, sample_rate=0.3, headers=[("a", "1"), ("a", "2")])).attributes
    assert (said["truncated"], said["datasize"], said["sampledrate"]) == (True, 9, 3)
    assert orjson.loads(str(said["metadata"])) == {"a": ["1", "2"]}


def test_a_source_of_ones_own() -> None:
    assert speak(event("request"), source="urn:us").attributes["source"] == "urn:us"


def test_kserves_words() -> None:
    identity = KServeIdentity(namespace="team", component="transformer", endpoint="canary")
    assert speak(event("request"), dialect="kserve", kserve=identity) == (
        {
            "specversion": "1.0",
            "id": "x-000000000001",
            "type": "org.kubeflow.serving.inference.request",
            "source": "/graphs/iris",
            "time": "2023-11-14T22:13:20.250000Z",
            "inferenceservicename": "iris",
            "namespace": "team",
            "component": "transformer",
            "endpoint": "canary",
            "metadata": "{}",
        },
        "application/json",
        b"{}",
    )


def test_in_kserves_words_request_and_answer_have_one_id_and_it_is_the_clients_own() -> None:
    asked, answered = (
        speak(event(kind, given_id="theirs", status=200), dialect="kserve").attributes["id"]
        for kind in ("request", "response")
    )
    assert asked == answered == "theirs"


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [
        ("response", 200, "org.kubeflow.serving.inference.response"),
        ("response", 500, "io.gateway.inference.error.v1"),
        ("error", 503, "io.gateway.inference.error.v1"),
    ],
)
def test_who_waits_for_kserves_answers_gets_none_that_are_failures(kind: Any, status: int, type_: str) -> None:
    assert speak(event(kind, status=status, step="s"), dialect="kserve").attributes["type"] == type_
