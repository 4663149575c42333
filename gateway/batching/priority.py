"""Priorities: how urgent a request says that it is, and what this is worth in the queue.

Levels count from 1, the most urgent, as in Triton's schedule-policy extension:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_schedule_policy.md

The rule: the gateway acts on it and takes it out of the request, so that requests of all levels can share a call.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.formats import text
from gateway.formats.spliced import JSON_LENGTH
from gateway.formats.tensor import parameters
from gateway.message import UNPARSED, Request, header

HEADER: Final = b"x-priority"

_PARAMETER: Final = "priority"
_level = msgspec.json.Decoder(int).decode


class Priorities:
    """``default``: the level of a request that names none of the ``levels``. ``step``: seconds from one to the next.

    ``in_body``: bodies are those of the v2 protocol, and may name a level, too.
    """

    def __init__(self, levels: int, default: int, step: float, in_body: bool) -> None:
        self._levels = levels
        self._default = default
        self._step = step
        self._in_body = in_body

    def behind(self, request: Request) -> float:
        """Seconds by which it may come later than the most urgent requests would have to, and be sent as soon.

        So nobody who comes later than that is sent before it: it does not wait for ever. A header is believed before a
        body, for it may be the configuration's.
        """
        said = _header(request)
        in_body = _parameter(request) if self._in_body else 0
        level = said or in_body
        return self._step * ((level if 0 < level <= self._levels else self._default) - 1)


def _header(request: Request) -> int:
    value = header(request.headers, HEADER)
    if value is None:
        return 0
    request.headers = [field for field in request.headers if field[0] != HEADER]
    return int(value) if value.isdigit() and len(value) < 10 else 0


def _parameter(request: Request) -> int:
    """The parameter of a v2 body; 0 where there is none that can be read, and the body is as it was then."""
    if b'"priority"' not in request.body:
        return 0
    written = header(request.headers, JSON_LENGTH)
    end = len(request.body) if written is None else int(written) if written.isdigit() and len(written) < 20 else -1
    if not 0 <= end <= len(request.body):
        return 0
    try:
        top = text.members(request.body[:end])
        said = parameters(top)
        level = _level(said.pop(_PARAMETER))
    except (ValueError, KeyError, RecursionError):
        return 0
    _replace(request, top, said, end)
    return level


def _replace(request: Request, top: text.Members, said: text.Members, end: int) -> None:
    """Write the body without it; all the rest stays as it was, digit for digit."""
    if said:
        top["parameters"] = msgspec.Raw(text.encode(said))
    else:
        del top["parameters"]
    json = text.encode(top)
    request.body = json + request.body[end:]
    request.document = UNPARSED
    length = b"%d" % len(json)
    request.headers = [(name, length if name == JSON_LENGTH else value) for name, value in request.headers]
