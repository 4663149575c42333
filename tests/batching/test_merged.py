from __future__ import annotations

from gateway.batching.merged import alike, merged
from gateway.formats.format import Member
from gateway.message import UNPARSED, Encoded, Record, Request
from gateway.telemetry.tracing.span import Recording, Span
from tests.support.toy import Toy, rows


def span(trace: bytes) -> Span:
    lines = b"traceparent: %b\r\n" % trace
    recording = Recording(trace, b"", lambda id: id, lines, lambda: b"", lambda _: None, 0)
    return Span(recording, trace, b"", "server", "server", 0, {})


def member(request: Request) -> Member:
    return Toy().member(request)


def test_the_call_is_nobodys_but_the_batchs() -> None:
    first, second = rows(1, deadline=5.0), rows(2, deadline=7.0)
    first.record = Record()
    first.streams = first.hurried = True
    first.document = {"rows": [1]}
    first.encoded = Encoded(first.headers, b"")
    first.affinity = second.affinity = b"k"
    call = merged(Toy(), [member(first), member(second)], lambda: b"new", 0.0)
    assert call.body == b'{"kind": "a", "rows": [1, 2]}'
    assert (call.deadline, call.affinity) == (7.0, b"k")
    assert (call.record, call.encoded, call.document) == (None, None, UNPARSED)
    assert (call.streams, call.hurried) == (False, False)
    assert first.body == b'{"kind": "a", "rows": [1]}'


def test_its_trace_is_the_first_among_theirs() -> None:
    requests = [rows(n) for n in range(3)]
    for request, trace in zip(requests[1:], (b"one", b"two"), strict=True):
        request.trace = span(trace)
        request.stamp = b"traceparent: %b\r\n" % trace
    call = merged(Toy(), [member(request) for request in requests], lambda: b"new", 0.0)
    assert call.trace is requests[1].trace
    assert call.stamp == b"traceparent: one\r\n"  # for the attempt to put its own in place of


def test_what_makes_two_requests_alike() -> None:
    plain = rows(1)
    assert alike(plain) == alike(rows(2, headers=[(b"baggage", b"x"), (b"inference-header-content-length", b"7")]))
    different = [rows(1) for _ in range(5)]
    different[0].target = b"/other"
    different[1].method = b"PUT"
    different[2].affinity = b"x"
    different[3].apart = ((b"cookie", b"x"),)
    different[4].headers = [(b"content-encoding", b"gzip")]
    assert len({alike(request) for request in [plain, *different]}) == 6
