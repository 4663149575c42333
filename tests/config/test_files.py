import json
import logging
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigErrors, examine, load
from gateway.config.schema import Backend, Config, Graph, Node, Step
from gateway.config.shape import shape

ONE = "backends: {a: {url: http://a}}\ngraphs: {g: {nodes: {root: {routerType: Sequence, steps: [{backend: b}]}}}}\n"
TWO = "backends: {b: {url: http://b}}\nserver: {workers: 2}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def errors(*paths: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(paths, {})
    return list(map(str, caught.value.errors))


def test_files_make_one_configuration() -> None:
    Path("one.yaml").write_text(ONE)
    Path("two.yaml").write_text(TWO)
    config = load(["one.yaml", "two.yaml"], {})
    assert (list(config.backends), list(config.graphs), config.server.workers) == (["a", "b"], ["g"], 2)


def test_so_do_documents_of_one_file() -> None:
    Path("all.yaml").write_text(f"---\n{ONE}---\n# nothing\n---\n{TWO}...\n")
    assert list(load(["all.yaml"], {}).backends) == ["a", "b"]


def test_a_directory_stands_for_its_files() -> None:
    Path("conf.d/more").mkdir(parents=True)
    Path("conf.d/b.yaml").write_text(ONE)
    Path("conf.d/a.yml").write_text(TWO)
    Path("conf.d/c.txt").write_text("nonsense: [")
    assert list(load(["conf.d"], {}).backends) == ["b", "a"]


def test_errors_of_all_files_at_once() -> None:
    Path("one.yaml").write_text("x: 1\n" + ONE)
    Path("two.yaml").write_text("y: 2\n")
    assert errors("one.yaml", "two.yaml") == [
        "one.yaml:1:1: x: unknown key",
        "one.yaml:3:69: graphs.g.nodes.root.steps[0].backend: there is no backend 'b'",
        "two.yaml:1:1: y: unknown key",
    ]


def test_the_same_name_twice_names_both_places() -> None:
    Path("one.yaml").write_text("backends:\n  a: {url: http://a}\nadmin: {}\n")
    Path("two.yaml").write_text("admin: {}\nbackends:\n\n  a: {url: http://b}\n")
    assert errors("one.yaml", "two.yaml") == [
        "two.yaml:1:1: admin: duplicate key; first at one.yaml:3:1",
        "two.yaml:4:3: backends.a: duplicate key; first at one.yaml:2:3",
    ]


def test_a_key_twice_in_one_document_is_none_to_merge() -> None:
    Path("one.yaml").write_text("backends: {}\nbackends: []\n")
    assert errors("one.yaml") == ["one.yaml:2:1: backends: duplicate key; first at one.yaml:1:1"]


def test_what_cannot_be_read() -> None:
    Path("empty").mkdir()
    Path("list.yaml").write_text("- a\n")
    assert errors("none.yaml", "empty", "list.yaml") == [
        "none.yaml:1:1: cannot be read: No such file or directory",
        "empty:1:1: cannot be read: the directory holds no *.yaml or *.yml",
        "list.yaml:1:1: expected a mapping, got a list",
    ]


def test_names_in_a_file_that_cannot_be_read_are_not_missed() -> None:
    Path("one.yaml").write_text(ONE)
    Path("two.yaml").write_text("backends: {b: ")
    (error,) = errors("one.yaml", "two.yaml")
    assert error.startswith("two.yaml:2:1: not valid YAML: ")


def test_a_syntax_error_does_not_hide_the_errors_of_other_files() -> None:
    Path("one.yaml").write_text("server: {workers: 0}\n")
    Path("two.yaml").write_text("a: b: c")
    assert [error.partition(" ")[0] for error in errors("one.yaml", "two.yaml")] == ["one.yaml:1:19:", "two.yaml:1:5:"]


def test_the_environment_is_the_one_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("N", "7")
    Path("one.yaml").write_text("server:\n  workers: ${N}\n")
    assert load(["one.yaml"], {"N": "3"}).server.workers == 3


def test_warnings_are_logged_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    Path("one.yaml").write_text("server: {}\n")
    with caplog.at_level(logging.WARNING):
        load(["one.yaml"], {})
    assert caplog.messages == ["one.yaml:1:1: there are no graphs: every request will be answered with 404"]
    assert [str(warning) for warning in examine(["one.yaml"], {})[1].warnings] == caplog.messages


def test_a_thousand_nodes_are_read_in_no_time() -> None:
    import time

    lines = ["backends: {b: {url: http://b}}", "graphs:", "  g:", "    nodes:"]
    lines.append(
        f"      root: {{routerType: Ensemble, steps: [{', '.join(f'{{nodeName: n{i}}}' for i in range(1000))}]}}"
    )
    for i in range(1000):
        lines += [f"      n{i}:", "        routerType: Sequence", "        steps:"]
        lines += ["        - {name: x, backend: b}", "        - {backend: b, data: $response, timeout: 1s}"]
    Path("big.yaml").write_text("\n".join(lines))
    start = time.process_time()
    assert len(load(["big.yaml"], {}).graphs["g"].nodes) == 1001
    assert time.process_time() - start < 0.9


KEYS = [
    *shape(Config).by_name,
    *shape(Graph).by_name,
    *shape(Node).by_name,
    *shape(Step).by_name,
    *shape(Backend).by_name,
]
WORDS = [
    "root",
    "a",
    "g",
    "Splitter",
    "Sequence",
    "kserve",
    "v1",
    "v2",
    "1s",
    "$response",
    "http://a",
    "${A}",
    ":1",
    "",
]
STEPS = st.fixed_dictionaries(
    {},
    optional={
        "nodeName": st.sampled_from(["root", "a", "g", ""]),
        "backend": st.sampled_from(["a", "b"]),
        "weight": st.integers(-1, 100),
        "condition": st.sampled_from(["a", "a ="]),
        "data": st.sampled_from(["$response", 5]),
    },
)
NODES = st.fixed_dictionaries(
    {"routerType": st.sampled_from(["Sequence", "Switch", "Ensemble", "Splitter", "x"])},
    optional={"steps": st.lists(STEPS, max_size=3)},
)
LIKELY = st.fixed_dictionaries(
    {
        "graphs": st.fixed_dictionaries(
            {"g": st.fixed_dictionaries({"nodes": st.dictionaries(st.sampled_from(["root", "a", "g"]), NODES)})}
        )
    },
    optional={"backends": st.just({"a": {"url": "http://a"}})},
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS + WORDS), inner, max_size=4),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4) | LIKELY)
def test_whatever_a_file_says_is_either_a_configuration_or_an_error(document: dict[str, object]) -> None:
    Path("any.yaml").write_text(json.dumps(document))
    config, report = examine(["any.yaml"], {})
    assert all(error.file == "any.yaml" and error.line == 1 for error in report.errors)
    if not report.errors:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config
