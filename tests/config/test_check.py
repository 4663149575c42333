from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import examine

Errors = Callable[..., list[str]]


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("listen: []", "1:10: server.listen: at least one address is needed"),
        ("listen: [':80', '80']", "server.listen[1]: '80' is no address"),
        ("listen: [':80', ':80']", "server.listen[1]: ':80' is in the list twice"),
        ("trustedProxies: [x]", "server.trustedProxies[0]: 'x' is no network"),
        ("limits: {maxHeaderBytes: 0}", "server.limits.maxHeaderBytes: must be at least 1"),
        ("timeouts: {request: 0s}", "server.timeouts.request: must be at least 1ms"),
        ("headers: {propagate: ['[']}", "server.headers.propagate[0]: '[' is no regular expression"),
        ("headers: {remove: ['a b']}", "server.headers.remove[0]: 'a b' is no header name"),
        ("headers: {set: {X-A: a, x-a: b}}", "server.headers.set.x-a: header names differ in more than case"),
        ('headers: {set: {a: "x\\r\\ny"}}', "server.headers.set.a: a header's value must not hold control characters"),
    ],
)
def test_the_server(errors: Errors, text: str, error: str) -> None:
    assert error in only(errors(f"server: {{{text}}}"))


def test_no_limit_on_waiting_for_clients_is_fine(read: Callable[..., object]) -> None:
    read("server: {timeouts: {header: 0s, body: 0s, idle: 0s}, drain: {delay: 0s, timeout: 0s}}")


def test_the_admin_site(errors: Errors) -> None:
    assert only(errors("admin: {listen: '9901'}")).startswith("1:17: admin.listen: '9901' is no address")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("url: a:80", "1:21: backends.a.url: 'a:80' is no http or https URL; did you mean 'http://a:80'?"),
        ("url: 'http://a', path: /x", "backends.a.path: only a backend with protocol: raw has a path"),
        ("url: 'http://a', protocol: raw, path: x", "backends.a.path: a path starts with '/'"),
        ("url: 'http://a', model: b/c", "backends.a.model: 'b/c' cannot be a model's name"),
        ("url: 'http://a', timeouts: {connect: 0s}", "backends.a.timeouts.connect: must be at least 1ms"),
        ("url: 'http://a', tls: {}", "backends.a.tls: tls needs an https URL"),
        (
            "url: 'https://a', tls: {certFile: x}",
            "backends.a.tls: certFile and keyFile go together: 'keyFile' is missing",
        ),
        ("url: 'https://a', tls: {keyFile: x}", "'certFile' is missing"),
    ],
)
def test_backends(errors: Errors, text: str, error: str) -> None:
    assert error in only(errors(f"backends: {{a: {{{text}}}}}"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "backends.a.fault: a fault needs a 'delay' or an 'abort'"),
        ("{abort: {status: 200}}", "backends.a.fault.abort.status: an error has a status from 400 to 599"),
        ("{abort: {status: 600}}", "backends.a.fault.abort.status: expected a whole number from 200 to 599"),
        ("{delay: {duration: 1s, percentage: 101}}", "expected a whole number from 0 to 100, got the number 101"),
        ("{delay: {percentage: 5}}", "backends.a.fault.delay.duration: the key 'duration' is missing"),
    ],
)
def test_faults(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "f.yaml").write_text(f"backends: {{a: {{url: 'http://a', fault: {text}}}}}")
    _, report = examine([str(tmp_path / "f.yaml")], {}, faults=True)
    assert error in only([str(found) for found in report.errors])


def test_a_backend_that_cannot_lend_its_name_to_the_model(errors: Errors) -> None:
    found = only(errors("backends: {a/b: {url: 'http://a'}, c/d: {url: 'http://a', protocol: raw}}"))
    assert "backends.a/b: 'a/b' cannot be a model's name: give the backend a 'model'" in found


def test_names_that_cannot_be_shown(errors: Errors) -> None:
    assert only(errors('backends: {"a\\nb": {url: "http://a", model: m}}')).endswith(
        "backends.a\\nb: a name must not hold control characters"
    )


def test_a_default_graph_that_is_not_there(errors: Errors) -> None:
    text = """
        defaultGraph: irsi
        backends: {b: {url: http://a}}
        graphs: {iris: {nodes: {root: {routerType: Sequence, steps: [{backend: b}]}}}}
    """
    assert only(errors(text)) == "1:15: defaultGraph: there is no graph 'irsi'; did you mean 'iris'?"


def test_graphs(errors: Errors) -> None:
    found = errors("""
        backends: {iris: {url: http://a}}
        graphs:
          a/b:
            timeout: 0s
            serviceTimeout: 0s
            explain: {backend: irs}
            headers: {set: {'': x}}
            nodes: {root: {routerType: Sequence, steps: [{backend: iris}]}}
    """)
    assert [error.partition(" ")[2] for error in found] == [
        "graphs.a/b: 'a/b' cannot be a graph's name: use letters, digits, '-', '.', '_' and '~' only",
        "graphs.a/b.timeout: must be at least 1ms: with 0 no request could succeed",
        "graphs.a/b.serviceTimeout: must be at least 1ms: with 0 no request could succeed",
        "graphs.a/b.explain.backend: there is no backend 'irs'; did you mean 'iris'?",
        "graphs.a/b.headers.set.: '' is no header name",
    ]


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("http://{namespace}/", "the template must hold {name}"),
        ("{name}.example", "is no http or https URL"),
        ("http://{name}.{nspace}/", "percent-encoded"),
    ],
)
def test_the_template_of_services(errors: Errors, template: str, error: str) -> None:
    assert error in only(errors(f"serviceUrlTemplate: '{template}'"))
