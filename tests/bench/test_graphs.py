from __future__ import annotations

import pytest
from graphs import Nodes, sized


def met(nodes: Nodes, name: str = "root") -> set[str]:
    """The nodes that a request can come to, by steps of a weight other than 0."""
    steps = nodes[name]["steps"]  # type: ignore[index]
    ahead = (step["nodeName"] for step in steps if "nodeName" in step and step.get("weight") != 0)
    return {name}.union(*(met(nodes, node) for node in ahead))


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_a_request_meets_three_nodes_of_a_graph_of_any_size(size: int) -> None:
    nodes = sized(size)((1,))
    assert len(nodes) == size
    assert met(nodes) == {"root", "middle", "inner"}


def test_the_least_graph_has_one_node() -> None:
    assert set(sized(1)((1,))) == {"root"}
