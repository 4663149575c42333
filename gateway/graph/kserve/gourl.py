"""What Go's net/url and net/http refuse in the URL of a step, in their words (go1.26). No URL is taken apart here."""

from __future__ import annotations

import re

from .gojson import quoted

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_USERINFO = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_PORT = re.compile(r"(?::[0-9]*)?")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_HOST_ESCAPE = re.compile(r"%(?![89A-Fa-f][0-9A-Fa-f]|25).{0,2}")
_NO_HOST_CHARACTER = re.compile(r"[\x00-\x20#/?@\\^`{|}]")


def refusal(url: str) -> tuple[str, str] | None:
    """What was tried, ``parse`` or ``Post``, and why it failed; None for a URL that can be called."""
    if _CONTROL.search(url):
        return "parse", "net/url: invalid control character in URL"
    scheme = _SCHEME.match(url)
    rest, fragment = url[scheme.end() if scheme else 0 :].partition("#")[::2]
    hierarchy = rest.partition("?")[0]
    if scheme is None and not url.startswith("/") and ":" in hierarchy.partition("/")[0]:
        first = "first path segment in URL cannot contain colon"
        return "parse", "missing protocol scheme" if url.startswith(":") else first
    authority, slash, path = hierarchy[2:].partition("/") if hierarchy.startswith("//") else ("", "", hierarchy)
    wrong = _wrong_authority(authority) or _wrong_escape(_ESCAPE, slash + path) or _wrong_escape(_ESCAPE, fragment)
    if wrong:
        return "parse", wrong
    name = scheme[1].lower() if scheme else ""
    if name not in ("http", "https"):
        return "Post", f"unsupported protocol scheme {quoted(name)}"
    host = authority.rpartition("@")[2]
    return ("Post", "http: no Host in request URL") if not host or host.startswith(":") else None


def _wrong_authority(authority: str) -> str:
    userinfo, _, host = authority.rpartition("@")
    if not _USERINFO.fullmatch(userinfo):
        return "net/url: invalid userinfo"
    if host.startswith("["):
        _, bracket, port = host.rpartition("]")
        if not bracket:
            return "missing ']' in host"
    else:
        _, colon, port = host.partition(":")
        port = colon + port
    if not _PORT.fullmatch(port):
        return f"invalid port {quoted(port)} after host"
    if (bad := _NO_HOST_CHARACTER.search(host)) is not None:
        return f"invalid character {quoted(bad[0])} in host name"
    return _wrong_escape(_HOST_ESCAPE, host)


def _wrong_escape(wrong: re.Pattern[str], text: str) -> str:
    found = wrong.search(text)
    return f"invalid URL escape {quoted(found[0])}" if found else ""
