import json
import logging
from collections.abc import Callable

import pytest

from gateway.config import Config, ConfigErrors
from gateway.config.kserve import ROUTER_GRAPH, from_graph_json

Read = Callable[..., Config]
Errors = Callable[..., list[str]]

HEAD = """\
apiVersion: serving.kserve.io/v1alpha1
kind: InferenceGraph
metadata: {name: dog-breed, namespace: zoo, labels: {a: b}}
"""


def test_a_manifest_becomes_a_graph(read: Read) -> None:
    config = read(
        HEAD
        + """\
spec:
  timeout: 5
  minReplicas: 1
  nodes:
    root:
      routerType: Sequence
      steps:
      - {name: s, serviceName: coarse, data: $request, dependency: Hard}
      - {nodeName: more, data: $response, condition: '[@this].#(predictions.0=="dog")'}
    more:
      routerType: Splitter
      steps:
      - {serviceUrl: 'http://x/y', weight: 60, mapPredictionsToInstances: true}
      - {serviceName: known, weight: 40}
status: {url: x}
---
backends: {known: {url: http://known}}
"""
    )
    graph = config.graphs["dog-breed"]
    assert (graph.compat, graph.condition_language) == ("kserve", "gjson")
    assert (graph.timeout, graph.service_timeout) == (60.0, None)
    coarse, nested = graph.nodes["root"].steps
    assert coarse.service_url == "http://coarse.zoo.svc.cluster.local/v1/models/coarse:predict"
    assert (coarse.dependency, coarse.data, coarse.condition) == ("Hard", "$request", None)
    assert (nested.node_name, nested.data) == ("more", "$response")
    url, known = graph.nodes["more"].steps
    assert (url.service_url, url.weight, url.map_predictions_to_instances) == ("http://x/y", 60, True)
    assert (known.backend, known.service_url) == ("known", None)


def test_timeouts_and_the_template(read: Read) -> None:
    config = read(
        "serviceUrlTemplate: 'http://proxy/{namespace}/{name}/'\n---\n"
        "apiVersion: serving.kserve.io/v1\nkind: InferenceGraph\nmetadata: {name: g}\nspec:\n"
        "  routerTimeouts: {serverWrite: 30, serviceClient: 10}\n"
        "  nodes: {root: {routerType: Sequence, steps: [{serviceName: s}]}}\n"
    )
    graph = config.graphs["g"]
    assert (graph.timeout, graph.service_timeout) == (30.0, 10.0)
    assert graph.nodes["root"].steps[0].service_url == "http://proxy/default/s/v1/models/s:predict"


def test_mistakes_in_a_manifest(errors: Errors) -> None:
    found = errors(
        HEAD
        + """\
spec:
  nodes:
    root:
      routerType: Sequense
      steps: [{weight: x}]
    a: {routerType: Splitter, steps: [{serviceName: s}, {nodeName: b, weight: 1}]}
    b: {routerType: Ensemble, steps: [{nodeName: a}, {nodeName: rot}]}
    c: {routerType: Sequence}
"""
    )
    assert found == [
        "7:19: graphs.dog-breed.nodes.root.routerType: expected Ensemble, Sequence, Splitter or Switch, got "
        "'Sequense'; did you mean 'Sequence'?",
        "8:24: graphs.dog-breed.nodes.root.steps[0].weight: expected a whole number of at least 0, got 'x'",
        "9:39: graphs.dog-breed.nodes.a.steps[0]: InferenceGraph[dog-breed] Node[a] Route[s] missing the 'Weight'",
        "10:50: graphs.dog-breed.nodes.b.steps[0].nodeName: the nodes form a cycle: a -> b -> a",
        "10:65: graphs.dog-breed.nodes.b.steps[1].nodeName: there is no node 'rot'; did you mean 'root'?",
        "11:5: graphs.dog-breed.nodes.c: a Sequence without steps has no answer",
    ]


def test_no_root_in_kserves_words(errors: Errors) -> None:
    (error,) = errors(HEAD + "spec: {nodes: {}}")
    assert error.endswith(
        "root node not found, InferenceGraph needs a node with name 'root' as the root node of the graph"
    )


def test_a_manifest_needs_a_name_and_a_spec(errors: Errors) -> None:
    assert errors("apiVersion: serving.kserve.io/v1alpha1\nkind: InferenceGraph\n")[:2] == [
        "1:1: metadata.name: the key 'name' is missing",
        "1:1: graphs..nodes: the key 'nodes' is missing",
    ]


def test_other_objects_are_refused(errors: Errors) -> None:
    refused = "kind: of all Kubernetes objects only KServe's InferenceGraph is read here"
    assert errors("apiVersion: v1\nkind: ConfigMap\n") == [f"2:7: {refused}"]
    assert errors("apiVersion: example.com/v1\nkind: InferenceGraph\n") == [f"2:7: {refused}"]


def test_two_graphs_of_a_name(errors: Errors) -> None:
    spec = "spec: {nodes: {root: {routerType: Ensemble}}}\n"
    assert errors(HEAD + spec + "---\n" + HEAD + spec) == [
        "8:18: graphs.dog-breed: duplicate key; first at c.yaml:3:18"
    ]


def spec(root: object, **more: object) -> str:
    return json.dumps({"nodes": {"root": root}, "resources": {}, **more})


def single(**step: object) -> dict[str, object]:
    return {"routerType": "Sequence", "steps": [{"serviceUrl": "http://a/", **step}]}


def test_the_routers_argument() -> None:
    config = from_graph_json(spec(single()), {})
    assert config.router
    assert config.default_graph == ROUTER_GRAPH
    assert config.server.listen == ("0.0.0.0:8080",)
    assert (config.server.drain.delay, config.server.drain.timeout) == (30.0, 30.0)
    graph = config.graphs[ROUTER_GRAPH]
    assert (graph.compat, graph.timeout, graph.headers.propagate) == ("kserve", 60.0, ())
    assert graph.nodes["root"].steps[0].service_url == "http://a/"


def test_router_timeouts() -> None:
    given = {"serverRead": 1, "serverWrite": 2, "serverIdle": 3, "serviceClient": 4}
    config = from_graph_json(spec(single(), routerTimeouts=given), {})
    times = config.server.timeouts
    assert (times.header, times.body, times.idle) == (1.0, 1.0, 3.0)
    assert (config.graphs[ROUTER_GRAPH].timeout, config.graphs[ROUTER_GRAPH].service_timeout) == (2.0, 4.0)
    none = from_graph_json(spec(single(), routerTimeouts=dict.fromkeys(given, 0)), {})
    times = none.server.timeouts
    assert (times.header, times.body, times.idle) == (0.0, 0.0, 0.0)
    assert (none.graphs[ROUTER_GRAPH].timeout, none.graphs[ROUTER_GRAPH].service_timeout) == (0.0, 0.0)


def test_json_as_go_reads_it() -> None:
    text = """{"NODES": {"root": {"RouterType": "Splitter", "unknown": [1.5e3], "steps": [
        {"SERVICEURL": "http://a/", "weight": 1, "Weight": 30, "condition": "", "dependency": null, "name": "x"},
        {"nodeName": "", "serviceUrl": "http://b/", "serviceName": "b", "weight": 50, "name": "x"},
        {"nodeName": "Root", "serviceUrl": "http://c/", "weight": 1}]},
        "Root": {"routerType": "Ensemble"}}}"""
    steps = from_graph_json(text, {}).graphs[ROUTER_GRAPH].nodes["root"].steps
    assert [step.weight for step in steps] == [30, 50, 1]
    assert (steps[0].condition, steps[0].dependency) == (None, "Soft")
    assert (steps[1].service_url, steps[1].backend) == ("http://b/", None)
    assert (steps[2].node_name, steps[2].service_url) == ("Root", None)


def test_nothing_is_substituted() -> None:
    graph = from_graph_json(spec(single(condition="${HOME}")), {"HOME": "x"}).graphs[ROUTER_GRAPH]
    assert graph.nodes["root"].steps[0].condition == "${HOME}"


def test_a_malformed_url_is_found_out_on_the_way() -> None:
    url = "http://single-1.default.{$your-domain}/switch"
    step = from_graph_json(spec(single(serviceUrl=url)), {}).graphs[ROUTER_GRAPH].nodes["root"].steps[0]
    assert step.service_url == url


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "--graph-json:1:2: not valid JSON: "),
        ('{"nodes": NaN}', "--graph-json:1:1: not valid JSON: NaN is no JSON number"),
        ("[" * 100_000, "--graph-json:1:1: not valid JSON: "),
        ("[]", "--graph-json:1:1: graphs.graph: expected a mapping, got a list"),
        ("{}", "the key 'nodes' is missing"),
        (spec({"routerType": "Foo"}), "graphs.graph.nodes.root.routerType: expected Ensemble, Sequence, Splitter or"),
        (spec({}), "the key 'routerType' is missing"),
        (spec(single(weight="1")), "weight: expected a whole number of at least 0, got '1'"),
        (spec(single(weight=1.0)), "weight: expected a whole number of at least 0, got the number 1.0"),
        (spec(single(weight=-1)), "weight: expected a whole number of at least 0, got the number -1"),
        (spec(single(name=5)), "name: expected text, got the number 5"),
        (spec(single(mapPredictionsToInstances="true")), "expected true or false, got 'true'"),
        (
            spec(single(serviceUrl="")),
            'Step 0 ("") in node "root" of InferenceGraph "graph" does not specify an inference',
        ),
        (spec(single(), routerTimeouts={"serverRead": "60"}), "serverRead: expected a whole number, got '60'"),
        (spec({"routerType": "Sequence", "steps": []}), "a Sequence without steps has no answer"),
        (spec(single(nodeName="root")), "the nodes form a cycle: root -> root"),
        (spec({"routerType": "Splitter", "steps": [{"serviceUrl": "http://a"}]}), "missing the 'Weight'"),
    ],
)
def test_what_no_router_could_run(text: str, complaint: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        from_graph_json(text, {})
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        ("Authorization", ("Authorization",)),
        ("Test-Header-*,Auth*", ("Test-Header-*", "Auth*")),
        ("a, b", ("a", " b")),
        ("", ("",)),
    ],
)
def test_propagated_headers(value: str, patterns: tuple[str, ...]) -> None:
    config = from_graph_json(spec(single()), {"PROPAGATE_HEADERS": value})
    assert config.graphs[ROUTER_GRAPH].headers.propagate == patterns


def test_invalid_patterns_are_logged_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"PROPAGATE_HEADERS": "Test-Header-[0-9,Auth*,*Trace-Id*"}
    with caplog.at_level(logging.WARNING):
        config = from_graph_json(spec(single()), environ)
    assert config.graphs[ROUTER_GRAPH].headers.propagate == ("Auth*",)
    assert len(caplog.messages) == 2
