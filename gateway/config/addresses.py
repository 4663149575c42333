"""Addresses and header fields as the file may write them: what is wrong with one, in words, or None."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset(
    (
        *("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "x-request-timeout-ms"),
    )
)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*)")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")


def bad_listen(text: str) -> str | None:
    """A listening address: ``host:port``, ``[v6]:port``, ``:port`` or ``unix:/path``; port 0 takes any free one."""
    if text.startswith("unix:"):
        return None if text.startswith("unix:/") and len(text) > 6 else "a unix socket is written unix:/path"
    host, colon, port = text.rpartition(":")
    if not colon:
        meant = f"; did you mean ':{text}'?" if text.isdecimal() else f"; did you mean '{text}:8080'?"
        return f"'{text}' is no address: write host:port, [v6]:port, :port or unix:/path{meant}"
    if not (port.isascii() and port.isdecimal() and int(port[:6]) <= 65535):
        return f"'{port}' is no port: write a number from 0 to 65535"
    return _bad_host(host) if host else None


def _bad_host(host: str) -> str | None:
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return f"'{host}' is no IPv6 address"
        return None
    if ":" in host:
        return f"an IPv6 address goes in brackets; did you mean '[{host}]'?"
    return None if _HOST.fullmatch(host) else f"'{host}' is no host name"


def bad_backend_url(url: str) -> str | None:
    """A backend: ``http(s)://host[:port][/prefix]`` or ``unix:/path``."""
    if url.startswith("unix:"):
        return bad_listen(url)
    if (problem := bad_url(url)) is not None:
        return problem
    return "the URL of a backend has no query" if "?" in url else None


def bad_url(url: str) -> str | None:
    """An absolute ``http`` or ``https`` URL (RFC 9110 section 4.2), as one can be called."""
    if not url.isascii() or re.search(r"[\x00-\x20\x7f\\\"<>^`{|}]", url):
        return f"'{url}' is no URL: it holds a character that must be percent-encoded"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"'{url}' is no URL: {error}"
    if "#" in url:
        return "a URL that is called has no fragment"
    if parts.scheme not in ("http", "https"):
        meant = "" if "://" in url else f"; did you mean 'http://{url}'?"
        return f"'{url}' is no http or https URL{meant}"
    return _bad_authority(parts, port)


def _bad_authority(parts: SplitResult, port: int | None) -> str | None:
    if not parts.hostname:
        return "the URL names no host"
    if "@" in parts.netloc:
        return "a URL must not carry credentials; send them with headers.set"
    if port == 0 or parts.netloc.endswith(":"):
        return "the URL's port must be a number from 1 to 65535"
    return None if parts.netloc.startswith("[") else _bad_host(parts.hostname)


def bad_path(path: str) -> str | None:
    """The path of a ``raw`` backend, with a query if need be."""
    if not path.startswith("/"):
        return f"a path starts with '/'; did you mean '/{path}'?"
    return "a path holds no blanks, control characters or '#'" if re.search(r"[^!-~]|#", path) else None


def bad_model(name: str) -> str | None:
    """A model's name, which becomes one segment of the backend's path (RFC 3986 section 3.3)."""
    if _SEGMENT.fullmatch(name) and name not in (".", ".."):
        return None
    return f"'{name}' cannot be a model's name: it would not be one segment of a path"


def bad_graph(name: str) -> str | None:
    """A graph's name, which stands in clients' paths: unreserved characters only (RFC 3986 section 2.3)."""
    if _UNRESERVED.fullmatch(name) and name not in (".", ".."):
        return None
    return f"'{name}' cannot be a graph's name: use letters, digits, '-', '.', '_' and '~' only"


def bad_name(name: str) -> str | None:
    """A name of a node, step or backend: it is shown in headers and metrics."""
    if not name:
        return "a name must not be empty"
    return "a name must not hold control characters" if re.search(r"[\x00-\x1f\x7f]", name) else None


def bad_header_name(name: str) -> str | None:
    """A field name (RFC 9110 section 5.1) of which a call does not already have one."""
    if not _TOKEN.fullmatch(name):
        return f"'{name}' is no header name"
    return f"the gateway writes {name} itself" if name.lower() in _OURS else None


def bad_header_value(value: str) -> str | None:
    """A field value (RFC 9110 section 5.5)."""
    return "a header's value must not hold control characters" if _CONTROL.search(value) else None


def bad_pattern(pattern: str) -> str | None:
    """A regular expression, which may have to match header names as text and as bytes."""
    try:
        re.compile(pattern)
        re.compile(pattern.encode())
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        return f"'{pattern}' is no regular expression: {error}"
    return None


def bad_network(network: str) -> str | None:
    """A network in CIDR notation, or a lone address."""
    try:
        ipaddress.ip_network(network, strict=False)
    except ValueError:
        return f"'{network}' is no network; write one such as 10.0.0.0/8 or fd00::/8"
    return None


def prefix(url: str) -> str:
    """The path of a backend's URL, without a slash at its end."""
    return "" if url.startswith("unix:") else urlsplit(url).path.rstrip("/")
