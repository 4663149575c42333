from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.config import Config, load
from gateway.config.schema import Graph, Node, Step
from gateway.svg import svg

EXAMPLES = sorted((Path(__file__).parents[1] / "config").glob("*.yaml"))
SVG = "{http://www.w3.org/2000/svg}"

Box = tuple[float, float, float, float]


def boxes(root: ElementTree.Element) -> list[Box]:
    """Left, top, right, bottom."""
    found = []
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("class") == "box":
            x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_drawn_within_its_frame_and_without_overlap(path: Path) -> None:
    root = ElementTree.fromstring(svg(load([str(path)], {})))
    assert root.tag == f"{SVG}svg"
    drawn = boxes(root)
    assert len(drawn) > 1
    assert not any(overlap(one, other) for one, other in combinations(drawn, 2))
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    assert all(x > 0 and y > 0 and right < width and bottom < height for x, y, right, bottom in drawn)


def test_shared_nodes_do_not_overlap() -> None:
    nodes = {
        "root": Node(router_type="Ensemble", steps=tuple(Step(node_name=name) for name in "abc")),
        **{name: Node(router_type="Sequence", steps=(Step(node_name="end"),)) for name in "abc"},
        "end": Node(router_type="Sequence", steps=(Step(service_url="http://x/"),)),
    }
    drawn = boxes(ElementTree.fromstring(svg(Config(graphs={"g": Graph(nodes=nodes)}))))
    assert len(drawn) == 6
    assert not any(overlap(one, other) for one, other in combinations(drawn, 2))


def test_labels_are_text_and_nothing_is_fetched() -> None:
    step = Step(service_url="http://x/?a=1&b=2", condition='"<script>" == `1`')
    config = Config(graphs={"<g>": Graph(nodes={"root": Node(router_type="Switch", steps=(step,))})})
    root = ElementTree.fromstring(svg(config))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "<g>" in texts
    assert 'if "<script>" == `1`' in texts
    assert not {element.tag.removeprefix(SVG) for element in root.iter()} & {"script", "image", "use", "a"}


def test_no_graphs_are_a_picture_too() -> None:
    assert ElementTree.fromstring(svg(Config())).tag == f"{SVG}svg"
