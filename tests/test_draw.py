from pathlib import Path

import pytest

from gateway import draw
from gateway.config import Config, load
from gateway.config.schema import Backend, Fallback, FallbackResponse, Graph, Node, Step
from gateway.svg import svg

EXAMPLES = Path(__file__).parents[1] / "config"


def example(name: str) -> Config:
    return load([str(EXAMPLES / f"{name}.yaml")], {})


def test_a_tree() -> None:
    assert (
        draw.text(example("nested"))
        == """\
fraud
└── root: Sequence
    ├── clean, Hard: cleaner -> http://127.0.0.1:9001/clean
    └── data: $response: opinions: Ensemble
        ├── rules -> http://127.0.0.1:9002/v1/models/rules:predict
        └── learned: Splitter
            ├── 90%: boosted -> http://127.0.0.1:9003/v1/models/boosted:predict
            └── 10%: deep -> http://127.0.0.1:9004/v1/models/deep:predict
"""
    )


def test_conditions_and_defaults() -> None:
    assert (
        draw.text(example("switch"))
        == """\
translate
└── root: Switch
    ├── if language == 'de': german -> http://127.0.0.1:9001/v1/models/german:predict
    ├── if language == 'fr' || language == 'fr-CA': french -> http://127.0.0.1:9002/v1/models/french:predict
    └── else: any-language -> http://127.0.0.1:9003/v1/models/polyglot:predict
"""
    )


def test_marks_of_graphs_and_steps() -> None:
    text = draw.text(example("image-classifier"))
    assert text.startswith("image-classifier (default)\n")
    assert "if predictions[0].label == 'animal', or skip, Hard: animals -> " in text
    assert "data: $response, predictions to instances, Hard: fine: Switch\n" in text
    assert draw.text(example("kserve")).startswith("dog-breed (kserve)\n")
    assert "network, within 500ms" not in draw.text(example("ensemble"))
    assert "within 500ms: network -> " in draw.text(example("ensemble"))
    assert "57.14%: large" in draw.text(example("splitter"))


def graph(**nodes: str) -> Config:
    """``graph(root="x y")``: steps to nodes, where there are nodes of the name, and else to URLs."""
    built = {
        name: Node(
            router_type="Sequence",
            steps=tuple(
                Step(node_name=target) if target in nodes else Step(service_url=f"http://{target}/")
                for target in targets.split()
            ),
        )
        for name, targets in nodes.items()
    }
    return Config(graphs={"g": Graph(nodes=built)})


def test_a_shared_node_is_drawn_once() -> None:
    text = draw.text(graph(root="x y", x="z", y="z", z="u"))
    assert text.count("http://u/") == 1
    assert text.count("z: Sequence (see above)") == 1


def test_a_deep_graph_is_no_trouble() -> None:
    deep = graph(root="n0", **{f"n{i}": f"n{i + 1}" for i in range(499)}, n499="u")
    assert len(draw.text(deep).splitlines()) == 503
    assert draw.dot(deep).count("->") == 501


def test_addresses_of_backends() -> None:
    backends = {
        "v1": Backend(url="http://a/prefix/"),
        "v2": Backend(url="https://b", protocol="v2", model="m"),
        "raw": Backend(url="http://c", protocol="raw"),
        "unix": Backend(url="unix:/run/x.sock"),
    }
    steps = tuple(Step(backend=name) for name in backends)
    config = Config(backends=backends, graphs={"g": Graph(nodes={"root": Node(router_type="Ensemble", steps=steps)})})
    assert [edge.address for edge in draw.edges(config.graphs["g"], "root", config)] == [
        "http://a/prefix/v1/models/v1:predict",
        "https://b/v2/models/m/infer",
        "http://c/…",
        "unix:/run/x.sock /v1/models/unix:predict",
    ]


def test_of_several_endpoints_the_first_is_shown_and_how_many_there_are() -> None:
    endpoints = ("http://a:1", "http://b:2", "http://c:3")
    steps = (Step(backend="m", fallback=Fallback(backend="n")),)
    config = Config(
        backends={"m": Backend(endpoints=endpoints), "n": Backend(endpoints=endpoints[:1])},
        graphs={"g": Graph(nodes={"root": Node(router_type="Sequence", steps=steps)})},
    )
    shown = "http://a:1/v1/models/m:predict (1 of 3 endpoints)"
    assert f"── m -> {shown}\n" in draw.text(config)
    assert f"m\\n{shown}" in draw.dot(config)
    assert f">{shown}<" in svg(config)
    assert "http://a:1/v1/models/m:predict #40;1 of 3 endpoints#41;" in draw.mermaid(config)
    assert "m fails: n -> http://a:1/v1/models/n:predict\n" in draw.text(config)


def test_mermaid() -> None:
    assert (
        draw.mermaid(example("splitter"))
        == """\
flowchart LR
  subgraph g0["scorer"]
    g0b0{{"root<br/>Splitter"}}
    g0b1(["large<br/>http://127.0.0.1:9001/v1/models/scorer:predict"])
    g0b2(["medium<br/>http://127.0.0.1:9002/v1/models/scorer:predict"])
    g0b3(["small<br/>http://127.0.0.1:9003/v1/models/scorer:predict"])
    g0b0 -->|"57.14%"| g0b1
    g0b0 -->|"28.57%"| g0b2
    g0b0 -->|"14.29%"| g0b3
  end
"""
    )


def test_mermaid_has_no_syntax_in_labels() -> None:
    line = next(line for line in draw.mermaid(example("kserve")).splitlines() if "predictions" in line)
    assert '"if #91;#64;this#93;.#35;#40;predictions.0==#34;dog#34;#41;"' in line.replace("breed, ", "")


def test_dot() -> None:
    text = draw.dot(example("kserve"))
    assert text.startswith("digraph gateway {\n")
    assert r'[label="breed, if [@this].#(predictions.0==\"dog\")"]' in text
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_all_formats_draw_all_examples(name: str) -> None:
    config = example(name)
    for picture in (draw.text(config), draw.mermaid(config), draw.dot(config)):
        assert all(title in picture for title in config.graphs)


def test_fallbacks_are_ways_too() -> None:
    ways = (Fallback(backend="small"), Fallback(node_name="x"), Fallback(response=FallbackResponse(status=503)))
    config = Config(
        backends={name: Backend(url=f"http://{name}") for name in ("large", "small")},
        graphs={
            "g": Graph(
                nodes={
                    "root": Node(
                        router_type="Sequence", steps=tuple(Step(backend="large", fallback=way) for way in ways)
                    ),
                    "x": Node(router_type="Sequence", steps=(Step(name="last", backend="small"),)),
                }
            )
        },
    )
    assert (
        draw.text(config)
        == """\
g
└── root: Sequence
    ├── large -> http://large/v1/models/large:predict
    ├── if large fails: small -> http://small/v1/models/small:predict
    ├── large -> http://large/v1/models/large:predict
    ├── if large fails: x: Sequence
    │   └── last: small -> http://small/v1/models/small:predict
    ├── large -> http://large/v1/models/large:predict
    └── if large fails: answer 503
"""
    )
    assert svg(config).count("answer 503") == 1
