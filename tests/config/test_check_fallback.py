from collections.abc import Callable

import pytest

from gateway.config import Config
from gateway.config.schema import Fallback, FallbackResponse

Read = Callable[..., Config]
Errors = Callable[..., list[str]]

STEP = "graphs.g.nodes.root.steps[0].fallback"


def config(fallback: str, more: str = "", x: str = "backend: b") -> str:
    return f"""\
backends:
  a: {{url: http://a}}
  b: {{url: http://b}}
  two: {{url: http://c, protocol: v2}}
graphs:
  g:
{more}
    nodes:
      root: {{routerType: Sequence, steps: [{{backend: a, fallback: {fallback}}}]}}
      x: {{routerType: Sequence, steps: [{{{x}}}]}}
"""


@pytest.mark.parametrize(
    ("fallback", "error"),
    [
        ("{}", f"{STEP}: a fallback has exactly one of backend, nodeName and response"),
        ("{backend: b, nodeName: x}", f"{STEP}: a fallback has exactly one of backend, nodeName and response"),
        ("{backend: bb}", f"{STEP}.backend: there is no backend 'bb'"),
        ("{nodeName: y}", f"{STEP}.nodeName: there is no node 'y'"),
        ("{nodeName: root}", f"{STEP}.nodeName: the nodes form a cycle: root -> root"),
        ("{serviceUrl: 'http://x'}", f"{STEP}.serviceUrl: unknown key"),
        ("{response: {status: 100}}", f"{STEP}.response.status: expected a whole number"),
        ("{response: {status: 204, body: ''}}", f"{STEP}.response.body: an answer with status 204 has no body"),
        ("{response: {headers: {a b: c}}}", f"{STEP}.response.headers.a b: 'a b' is no header name"),
        ("{response: {headers: {connection: c}}}", f"{STEP}.response.headers.connection: the gateway writes"),
        ('{response: {headers: {a: "\\n"}}}', f"{STEP}.response.headers.a: a header's value must not hold"),
        ("{response: {body: [1, {a: .inf}]}}", f"{STEP}.response.body[1].a: JSON has no number .inf"),
        ("{response: {body: {a: 1, a: 2}}}", f"{STEP}.response.body.a: duplicate key"),
        ("{response: {body: '${NOWHERE}'}}", f"{STEP}.response.body: the environment variable NOWHERE is not set"),
        ("{backend: two}", "graphs.g: its backends speak v1 and v2: write protocol"),
    ],
)
def test_what_cannot_work(errors: Errors, fallback: str, error: str) -> None:
    (found,) = errors(config(fallback))
    assert found.partition(" ")[2].startswith(error)


def test_a_cycle_through_a_fallback(errors: Errors) -> None:
    (found,) = errors(config("{nodeName: x}", x="nodeName: root"))
    assert found.endswith("graphs.g.nodes.x.steps[0].nodeName: the nodes form a cycle: root -> x -> root")
    (found,) = errors(config("{nodeName: x}", x="backend: b, fallback: {nodeName: root}"))
    assert found.endswith("graphs.g.nodes.x.steps[0].fallback.nodeName: the nodes form a cycle: root -> x -> root")


def test_kserves_router_has_none(errors: Errors) -> None:
    (found,) = errors(config("{backend: b}", "    compat: kserve"))
    assert found.partition(" ")[2].startswith(f"{STEP}: KServe's router knows no fallback")


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        ("{backend: b}", Fallback(backend="b")),
        ("{nodeName: x}", Fallback(node_name="x")),
        ("{response: {}}", Fallback(response=FallbackResponse())),
        ("{response: {status: 503, body: '1'}}", Fallback(response=FallbackResponse(status=503, body="1"))),
        (
            "{response: {headers: {X-A: b}, body: {a: [1, 2.5, true, null, yes, '3', '${N}', 0x10]}}}",
            Fallback(
                response=FallbackResponse(headers={"X-A": "b"}, body={"a": [1, 2.5, True, None, "yes", "3", "7", 16]})
            ),
        ),
    ],
)
def test_what_is_well_formed(read: Read, fallback: str, expected: Fallback) -> None:
    assert read(config(fallback), N="7").graphs["g"].nodes["root"].steps[0].fallback == expected


def test_a_node_that_only_a_fallback_leads_to_is_not_forgotten(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    read(config("{nodeName: x}"))
    assert caplog.messages == []
