import logging
from collections.abc import Callable
from textwrap import indent

import pytest

from gateway.config import Config

Read = Callable[..., Config]
Errors = Callable[..., list[str]]

BACKENDS = """\
backends:
  a: {url: http://a}
  b: {url: http://b}
  two: {url: http://c, protocol: v2}
  raw: {url: http://d, protocol: raw}
graphs:
  g:
"""


def graph(nodes: str, more: str = "") -> str:
    return BACKENDS + more + "    nodes:\n" + indent(nodes, "      ")


def told(found: list[str]) -> list[str]:
    """Without the places."""
    return [error.partition(" graphs.g.")[2] for error in found]


def root(steps: str, kind: str = "Sequence") -> str:
    return graph(f"root: {{routerType: {kind}, steps: [{steps}]}}\n")


@pytest.mark.parametrize(
    ("kind", "steps", "error"),
    [
        ("Sequence", "", "nodes.root: a node needs at least one step"),
        ("Sequence", "{name: x}", "nodes.root.steps[0]: a step needs one of nodeName, backend and serviceUrl"),
        (
            "Sequence",
            "{backend: a, serviceUrl: 'http://x'}",
            "nodes.root.steps[0]: a step has exactly one of nodeName, backend and serviceUrl; "
            "this one has backend and serviceUrl",
        ),
        ("Sequence", "{backend: tow}", "nodes.root.steps[0].backend: there is no backend 'tow'"),
        ("Sequence", "{backend: rwa}", "nodes.root.steps[0].backend: there is no backend 'rwa'"),
        ("Sequence", "{nodeName: rot}", "nodes.root.steps[0].nodeName: there is no node 'rot'; did you mean 'root'?"),
        ("Sequence", "{backend: ''}", "nodes.root.steps[0].backend: there is no backend ''"),
        ("Sequence", "{serviceUrl: 'x'}", "nodes.root.steps[0].serviceUrl: 'x' is no http or https URL"),
        ("Sequence", "{backend: a, weight: 1}", "nodes.root.steps[0].weight: only a step of a Splitter has a weight"),
        ("Sequence", "{backend: a, timeout: 0s}", "nodes.root.steps[0].timeout: must be at least 1ms"),
        (
            "Sequence",
            "{backend: a, data: $response}",
            "nodes.root.steps[0].data: the first step has no previous answer",
        ),
        (
            "Sequence",
            "{backend: a, data: $respons}",
            "nodes.root.steps[0].data: expected $request or $response, got '$respons'; did you mean '$response'?",
        ),
        (
            "Sequence",
            "{backend: a, onUnmet: skip}",
            "nodes.root.steps[0].onUnmet: only a step of a Sequence with a cond",
        ),
        (
            "Sequence",
            "{backend: a, name: x}, {backend: b, name: x}",
            "nodes.root.steps[1].name: another step of the node is already called 'x'",
        ),
        ("Sequence", "{backend: a, condition: 'a ='}", "nodes.root.steps[0].condition: "),
        (
            "Sequence",
            '{backend: a, name: "x\\ny"}',
            "nodes.root.steps[0].name: a name must not hold control characters",
        ),
        ("Switch", "{backend: a}, {backend: b}", "nodes.root.steps[0]: a step without a condition is the default"),
        (
            "Switch",
            "{backend: a, condition: x, onUnmet: skip}",
            "nodes.root.steps[0].onUnmet: only a step of a Sequence",
        ),
        ("Switch", "{backend: a, data: $response}", "nodes.root.steps[0].data: only a step of a Sequence has data"),
        (
            "Ensemble",
            "{backend: a, mapPredictionsToInstances: true}",
            "nodes.root.steps[0].mapPredictionsToInstances: only a step of a Sequence",
        ),
        (
            "Ensemble",
            "{backend: a, condition: x}",
            "nodes.root.steps[0].condition: only a step of a Sequence or a Switch",
        ),
        ("Ensemble", "{backend: a, name: '1'}, {backend: b}", "nodes.root.steps[1].name: another step of the node"),
        (
            "Splitter",
            "{backend: a}, {backend: b, weight: 1}",
            "nodes.root.steps[0]: a step of a Splitter needs a 'weight'",
        ),
        ("Splitter", "{backend: a, weight: 0}", "nodes.root: at least one weight of a Splitter must be more than 0"),
        ("Splitter", "{backend: a, weight: 1, condition: x}", "nodes.root.steps[0].condition: only a step of"),
    ],
)
def test_rules_of_steps(errors: Errors, kind: str, steps: str, error: str) -> None:
    (found,) = told(errors(root(steps, kind)))
    assert found.startswith(error)


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("Sequence", "{backend: a, condition: x, onUnmet: skip}, {backend: b, data: $response}"),
        ("Sequence", "{backend: a}, {backend: a}, {serviceUrl: 'http://x/y?z'}"),
        ("Switch", "{backend: a, condition: x}, {backend: b}"),
        ("Ensemble", "{backend: a, name: '0'}, {backend: b, dependency: Hard}"),
        ("Splitter", "{backend: a, weight: 0}, {backend: b, weight: 3}"),
    ],
)
def test_what_is_well_formed(read: Read, kind: str, steps: str) -> None:
    assert len(read(root(steps, kind)).graphs["g"].nodes["root"].steps) > 1


def test_no_second_error_comes_of_a_first(errors: Errors) -> None:
    assert told(errors(root("{backend: a, weight: 1}", "Spliter"))) == [
        "nodes.root.routerType: expected Ensemble, Sequence, Splitter or Switch, got 'Spliter'; "
        "did you mean 'Splitter'?"
    ]
    assert told(errors(root("{backned: a}"))) == ["nodes.root.steps[0].backned: unknown key; did you mean 'backend'?"]


def test_a_graph_needs_a_root(errors: Errors) -> None:
    found = told(errors(graph("rot: {routerType: Sequence, steps: [{backend: a}]}\n")))
    assert found == ["nodes: a graph needs a node called 'root'; did you mean 'rot'?"]


def test_a_cycle_is_told_in_full(errors: Errors) -> None:
    found = told(
        errors(
            graph("""\
root: {routerType: Sequence, steps: [{nodeName: x}]}
x: {routerType: Sequence, steps: [{backend: a}, {nodeName: y}]}
y: {routerType: Sequence, steps: [{nodeName: x}]}
""")
        )
    )
    assert found == ["nodes.y.steps[0].nodeName: the nodes form a cycle: x -> y -> x"]


def chain(length: int) -> str:
    nodes = [f"n{i}: {{routerType: Sequence, steps: [{{nodeName: n{i + 1}}}]}}" for i in range(length - 2)]
    nodes.append(f"n{length - 2}: {{routerType: Sequence, steps: [{{backend: a}}]}}")
    return graph("root: {routerType: Sequence, steps: [{nodeName: n0}]}\n" + "\n".join(nodes) + "\n")


def test_depth_has_a_limit(read: Read, errors: Errors) -> None:
    assert len(read(chain(250)).graphs["g"].nodes) == 250
    assert told(errors(chain(251))) == ["nodes: the nodes are nested deeper than 250"]
    assert told(errors(chain(3000))) == ["nodes: the nodes are nested deeper than 250"]


def test_a_node_that_nothing_leads_to_is_a_warning(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read(
            graph(
                "root: {routerType: Sequence, steps: [{backend: a}]}\nx: {routerType: Sequence, steps: [{backend: b}]}"
            )
        )
    assert caplog.messages == ["c.yaml:10:7: graphs.g.nodes.x: no step leads to this node"]


def test_backends_that_disagree_on_the_protocol(read: Read, errors: Errors) -> None:
    mixed = "root: {routerType: Ensemble, steps: [{backend: a}, {backend: two}, {backend: raw}]}\n"
    assert errors(graph(mixed)) == [
        "7:3: graphs.g: its backends speak v1 and v2: write protocol: v1, v2 or both, the API that clients are to use"
    ]
    assert read(graph(mixed, "    protocol: both\n")).graphs["g"].protocol == "both"
    read(root("{backend: a}, {backend: raw}"))


def test_conditions_in_the_language_that_the_graph_names(read: Read, errors: Errors) -> None:
    gjson = 'root: {routerType: Switch, steps: [{backend: a, condition: "a.#(b==1)"}]}\n'
    assert read(graph(gjson, "    conditionLanguage: gjson\n")).graphs["g"].condition_language == "gjson"
    (error,) = told(errors(graph(gjson)))
    assert error.startswith("nodes.root.steps[0].condition: ")
