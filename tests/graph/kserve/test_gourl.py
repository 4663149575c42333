"""The expected words are what a Go program printed: url.Parse, then http.Client.Do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.kserve.gourl import refusal


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://single-1.default.{$your-domain}/switch", 'invalid character "{" in host name'),
        ("http://a b/", 'invalid character " " in host name'),
        ("http://h\\x/", 'invalid character "\\\\" in host name'),
        ("http://a|b/", 'invalid character "|" in host name'),
        ("http://a/%zz", 'invalid URL escape "%zz"'),
        ("http://a/x%2", 'invalid URL escape "%2"'),
        ("http://a%zz/", 'invalid URL escape "%zz"'),
        ("http://a%41/", 'invalid URL escape "%41"'),
        ("http://a/#%zz", 'invalid URL escape "%zz"'),
        ("http://a:port/", 'invalid port ":port" after host'),
        ("http://a:b:c/x", 'invalid port ":b:c" after host'),
        ("http://[::1]:80x/x", 'invalid port ":80x" after host'),
        ("http://[::1/x", "missing ']' in host"),
        ("http://u{:p@h/x", "net/url: invalid userinfo"),
        ("127.0.0.1:80/x", "first path segment in URL cannot contain colon"),
        ("1http://x", "first path segment in URL cannot contain colon"),
        ("://x", "missing protocol scheme"),
        ("http://a/\n", "net/url: invalid control character in URL"),
    ],
)
def test_what_cannot_be_parsed(url: str, cause: str) -> None:
    assert refusal(url) == ("parse", cause)


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("", 'unsupported protocol scheme ""'),
        ("foo", 'unsupported protocol scheme ""'),
        ("/foo", 'unsupported protocol scheme ""'),
        ("ftp://x/y", 'unsupported protocol scheme "ftp"'),
        ("unix:/x", 'unsupported protocol scheme "unix"'),
        ("localhost:8080/x", 'unsupported protocol scheme "localhost"'),
        ("http:///x", "http: no Host in request URL"),
        ("http:/x", "http: no Host in request URL"),
        ("http:x", "http: no Host in request URL"),
        ("http://h@/x", "http: no Host in request URL"),
    ],
)
def test_what_cannot_be_called(url: str, cause: str) -> None:
    assert refusal(url) == ("Post", cause)


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "http://a/",
        "HTTP://a/y",
        "https://a:8443/x?y=%zz#z",
        "http://a:/",
        "http://[::1]:80/x",
        "http://[fe80::1%25en0]/x",
        "http://u:p@h/x",
        "http://h/{x} y|z",
        "http://h?x={1}",
        "http://h/%2F",
        "http://ä/ä",
        "http://a%C3%A4/",
    ],
)
def test_what_can(url: str) -> None:
    assert refusal(url) is None


@given(st.text("htp:/@[]?#%0a{ "))
def test_any_text_has_a_verdict(url: str) -> None:
    assert refusal(url) is None or refusal(url)[0] in ("parse", "Post")  # type: ignore[index]
