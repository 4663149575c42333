import pytest

from gateway.config.addresses import (
    bad_backend_url,
    bad_graph,
    bad_header_name,
    bad_header_value,
    bad_listen,
    bad_model,
    bad_name,
    bad_network,
    bad_path,
    bad_pattern,
    bad_url,
)


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:8080", "localhost:0", ":8080", "[::1]:80", "[::]:65535", "unix:/run/gateway.sock", "my_host.local:1"],
)
def test_listening_addresses(text: str) -> None:
    assert bad_listen(text) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("8080", "did you mean ':8080'?"),
        ("localhost", "did you mean 'localhost:8080'?"),
        ("::1:80", "did you mean '[::1]'?"),
        ("[::g]:80", "'[::g]' is no IPv6 address"),
        ("host:http", "'http' is no port"),
        ("host:65536", "'65536' is no port"),
        ("host:٣", "is no port"),
        ("host:", "'' is no port"),
        ("http://host:80", "brackets"),
        ("ho st:80", "'ho st' is no host name"),
        ("unix:run.sock", "a unix socket is written unix:/path"),
        ("unix:/", "a unix socket is written unix:/path"),
    ],
)
def test_no_listening_addresses(text: str, complaint: str) -> None:
    assert complaint in (bad_listen(text) or "")


@pytest.mark.parametrize(
    "url", ["http://a", "https://a.b:8443/", "http://127.0.0.1:1/prefix", "http://[::1]:80/", "unix:/run/x.sock"]
)
def test_backends(url: str) -> None:
    assert bad_backend_url(url) is None


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("a:80", "did you mean 'http://a:80'?"),
        ("ftp://a", "is no http or https URL"),
        ("grpc://a", "is no http or https URL"),
        ("http://", "names no host"),
        ("http:///x", "names no host"),
        ("http://u:p@a/", "credentials"),
        ("http://a/#x", "fragment"),
        ("http://a/#", "fragment"),
        ("http://a:0/", "port"),
        ("http://a:/", "port"),
        ("http://a:99999/", "is no URL"),
        ("http://[::1/", "is no URL"),
        ("http://a b/", "percent-encoded"),
        ("http://a/\r\nx: y", "percent-encoded"),
        ("http://{name}/", "percent-encoded"),
        ("http://ä/", "percent-encoded"),
        ("http://a,b/", "is no host name"),
        ("http://a/?q=1", "no query"),
        ("unix:x", "a unix socket is written"),
    ],
)
def test_no_backends(url: str, complaint: str) -> None:
    assert complaint in (bad_backend_url(url) or "")


def test_a_service_url_may_have_a_query() -> None:
    assert bad_url("http://a/x?y=1") is None


def test_paths() -> None:
    assert bad_path("/predictions/iris?x=1") is None
    assert "did you mean '/x'?" in (bad_path("x") or "")
    assert all(bad_path(path) for path in ("/a b", "/a#b", "/a\r\n", "/ä"))


def test_names_in_paths() -> None:
    assert bad_model("iris:v1@prod") is None
    assert all(bad_model(name) for name in ("a/b", "a b", "", "a?b", "..", "ä", "a%2Fb"))
    assert bad_graph("iris_v1.2~x-y") is None
    assert all(bad_graph(name) for name in ("a/b", "a:b", "", ".", "ä", "a b"))


def test_other_names() -> None:
    assert bad_name("step 1, ä") is None
    assert all(bad_name(name) for name in ("", "a\nb", "a\x7f"))


def test_headers() -> None:
    assert bad_header_name("X-Tenant") is None
    assert all(bad_header_name(name) for name in ("", "a b", "a:", "ä", "a\n"))
    assert all(
        bad_header_name(name) for name in ("Content-Length", "transfer-encoding", "Host", "x-request-timeout-ms")
    )
    assert bad_header_value("a\tb ä") is None
    assert all(bad_header_value(value) for value in ("a\r\nb", "a\0", "a\x7f"))


def test_patterns_and_networks() -> None:
    assert bad_pattern("^x-tenant$") is None
    assert all(bad_pattern(pattern) for pattern in ("(", "*a", "(?u)a", "\udc80", "a{99999999999}"))
    assert bad_network("10.0.0.1/8") is None
    assert bad_network("::1") is None
    assert "10.0.0.0/8" in (bad_network("10.0.0.0/33") or "")
