from __future__ import annotations

import pytest

from gateway.http.origin import Origin, split


@pytest.mark.parametrize(
    ("url", "origin", "target", "authority"),
    [
        ("http://a", Origin("a", 80), "", b"a"),
        ("http://a:80/", Origin("a", 80), "/", b"a"),
        ("http://a:9000/v1?x=y", Origin("a", 9000), "/v1?x=y", b"a:9000"),
        ("https://a", Origin("a", 443, tls=True), "", b"a"),
        ("https://a:80", Origin("a", 80, tls=True), "", b"a:80"),
        ("http://A.Example:1/B", Origin("a.example", 1), "/B", b"a.example:1"),
        ("http://[::1]:9000/x", Origin("::1", 9000), "/x", b"[::1]:9000"),
        ("unix:/run/model.sock", Origin("localhost", 0, socket="/run/model.sock"), "", b"localhost"),
    ],
)
def test_split(url: str, origin: Origin, target: str, authority: bytes) -> None:
    assert split(url) == (origin, target)
    assert origin.authority == authority


@pytest.mark.parametrize("url", ["http://a:9000", "https://a", "http://[::1]:9000", "unix:/run/model.sock"])
def test_an_origin_reads_as_its_url(url: str) -> None:
    assert str(split(url)[0]) == url


def test_a_port_that_is_none() -> None:
    with pytest.raises(ValueError, match="Port"):
        split("http://a:b/")
