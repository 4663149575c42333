from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.schema import Fallback, FallbackResponse, Graph, Node, Step
from gateway.config.walk import backends, cycle, depth, ends, reachable, tails, upwards


def graph(**nodes: str) -> Graph:
    """``graph(root="a b")``: root has steps to a and to b."""
    return Graph(
        nodes={
            name: Node(router_type="Sequence", steps=tuple(Step(node_name=child) for child in children.split()))
            for name, children in nodes.items()
        }
    )


def test_reachable_in_the_order_of_the_steps() -> None:
    assert reachable(graph(root="b a", a="c", b="c", c="", x="a")) == ["root", "b", "c", "a"]


def test_depth_is_the_longest_way() -> None:
    assert depth(graph(root="a c", a="b", b="c", c="")) == 4
    assert depth(graph(root="nowhere")) == 1


def test_a_ladder_of_shared_nodes_is_walked_once() -> None:
    rungs = {f"n{i}": f"n{i + 1} n{i + 1} m{i}" for i in range(200)} | {f"m{i}": f"n{i + 1}" for i in range(200)}
    assert depth(graph(root="n0", **rungs, n200="")) == 402


def test_a_fallback_is_a_way_like_any_other() -> None:
    steps = (
        Step(backend="a", fallback=Fallback(node_name="x")),
        Step(node_name="y", fallback=Fallback(backend="b")),
        Step(backend="c", fallback=Fallback(response=FallbackResponse())),
    )
    drawn = Graph(
        nodes={
            "root": Node(router_type="Sequence", steps=steps),
            "x": Node(router_type="Sequence", steps=(Step(service_url="http://x", fallback=Fallback(node_name="y")),)),
            "y": Node(router_type="Sequence", steps=(Step(backend="d"),)),
        }
    )
    assert reachable(drawn) == ["root", "x", "y"]
    assert upwards(drawn) == ["y", "x", "root"]
    assert depth(drawn) == 3
    assert backends(drawn, reachable(drawn)) == ["a", "b", "c", "d"]


def test_the_answer_of_which_steps_is_the_nodes_as_it_is() -> None:
    steps = (Step(backend="a"), Step(backend="b"))
    found = {
        kind: [ends(Node(router_type=kind, steps=steps), index) for index in (0, 1)]
        for kind in ("Sequence", "Switch", "Ensemble", "Splitter")
    }
    assert found == {
        "Sequence": [False, True],
        "Switch": [True, True],
        "Ensemble": [False, False],
        "Splitter": [True, True],
    }


def test_a_node_may_be_in_tail_position_here_and_not_there() -> None:
    drawn = graph(root="a b", a="c", b="c", c="d", d="")
    assert tails(drawn, True) == {
        "root": {True},
        "a": {False},
        "b": {True},
        "c": {True, False},
        "d": {True, False},
    }
    assert set().union(*tails(drawn, False).values()) == {False}


def test_what_a_step_falls_back_to_is_where_the_step_is() -> None:
    last = Step(backend="a", fallback=Fallback(node_name="x"))
    nodes = {
        "root": Node(router_type="Sequence", steps=(Step(backend="b", fallback=Fallback(node_name="y")), last)),
        "x": Node(router_type="Sequence", steps=()),
        "y": Node(router_type="Sequence", steps=()),
    }
    assert tails(Graph(nodes=nodes), True) == {"root": {True}, "x": {True}, "y": {False}}


def test_cycles() -> None:
    assert cycle(graph(root="a", a="b", b="")) is None
    assert cycle(graph(root="root")) == ["root", "root"]
    assert cycle(graph(root="a", a="b", b="c", c="a")) == ["a", "b", "c", "a"]
    assert cycle(graph(root="", x="y", y="x")) == ["x", "y", "x"]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.text("abcdef", max_size=4), min_size=1))
def test_a_cycle_is_one_and_is_found_when_there_is_one(nodes: dict[str, str]) -> None:
    drawn = graph(**{name: " ".join(children) for name, children in nodes.items()})
    found = cycle(drawn)
    if found is None:
        order: list[str] = []
        while len(order) < len(nodes):  # Kahn: without a cycle some node always has all of its children behind it
            order.append(next(n for n in nodes if n not in order and not set(nodes[n]) & set(nodes) - set(order)))
    else:
        assert found[0] == found[-1]
        assert all(child in nodes[name] for name, child in pairwise(found))
