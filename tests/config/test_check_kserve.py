"""The cases of KServe's own inference_graph_validation_test.go, with their messages."""

import pytest

from gateway.config.check_kserve import check_kserve
from gateway.config.report import Report
from gateway.config.schema import Node, RouterType, Step


def complaints(name: str, nodes: dict[str, Node], *, admission: bool = True) -> list[str]:
    report = Report("f")
    check_kserve(name, nodes, ("graphs", name), report, admission=admission)
    return [error.message for error in report.errors]


def root(kind: RouterType, *steps: Step) -> dict[str, Node]:
    return {"root": Node(router_type=kind, steps=steps)}


def to(service: str, weight: int | None = None, name: str = "") -> Step:
    return Step(backend=service, weight=weight, name=name)


SUM = (
    "InferenceGraph[foo-bar] Node[root] splitter node: the sum of traffic weights for all routing targets should be 100"
)


def test_a_simple_splitter() -> None:
    assert complaints("foo-bar", root("Splitter", to("a", 80), to("b", 20))) == []


@pytest.mark.parametrize("name", ["Abc-123", "4abc-3", "-abc-3", "abc-3-", "abc.123", "abc 123"])
def test_names(name: str) -> None:
    assert complaints(name, root("Sequence", to("a"))) == [
        f'The InferenceGraph "{name}" is invalid: a InferenceGraph name must consist of lower case alphanumeric '
        "characters or '-', and must start with alphabetical character. "
        '(e.g. "my-name" or "abc-123", regex used for validation '
        "is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    ]


def test_weights_that_do_not_add_up() -> None:
    assert complaints("foo-bar", root("Splitter", to("a", 80), to("b", 30))) == [SUM]
    assert complaints("foo-bar", root("Splitter")) == [SUM]


def test_a_missing_weight() -> None:
    assert complaints("foo-bar", root("Splitter", to("test"))) == [
        "InferenceGraph[foo-bar] Node[root] Route[test] missing the 'Weight'"
    ]


def test_a_missing_target() -> None:
    assert complaints("foo-bar", root("Splitter", Step(weight=100))) == [
        'Step 0 ("") in node "root" of InferenceGraph "foo-bar" does not specify an inference target'
    ]


def test_more_than_one_target() -> None:
    both = Step(name="step", backend="service", node_name="test", weight=100)
    assert complaints("foo-bar", root("Splitter", both)) == [
        'Step 0 ("step") in node "root" of InferenceGraph "foo-bar" specifies more than one of nodeName, serviceName, '
        "serviceUrl"
    ]


def test_two_steps_of_a_name() -> None:
    steps = (to("a", 80, "step1"), to("b", 20, "step1"), to("c", 0), to("d", 0))
    assert complaints("foo-bar", root("Splitter", *steps)) == [
        'Node "root" of InferenceGraph "foo-bar" contains more than one step with name "step1"'
    ]


def test_the_router_itself_asks_for_less() -> None:
    assert complaints("A", root("Splitter", to("a", 80, "x"), to("b", 30, "x")), admission=False) == []
    assert len(complaints("a", root("Splitter", Step()), admission=False)) == 2
