from __future__ import annotations

import re

import pytest

from gateway.http.heads import request_head
from gateway.message import Headers, Request
from gateway.telemetry.tracing.context import Propagation
from tests.support.service import ask
from tests.support.spans import Spans

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
YES: Headers = [(b"traceparent", b"00-%b-%b-01" % (TRACE, SPAN)), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
NO: Headers = [(b"traceparent", b"00-%b-%b-00" % (TRACE, SPAN)), (b"tracestate", b"a=1")]
LINE = re.compile(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])\r\n")


def known() -> Request:
    """A request whose head was seen before."""
    request = ask()
    request.encoded = request_head(request.method, request.target, request.headers, 2)
    return request


def told(request: Request) -> tuple[bytes, bytes, bytes]:
    match = LINE.fullmatch(request.stamp)
    assert match is not None
    return match[1], match[2], match[3]


@pytest.mark.parametrize("make", [ask, known])
def test_a_root_that_is_traced(make: type[Request]) -> None:
    request = make()
    span = Spans().tracer().begin(request)
    assert span is request.trace is not None
    assert told(request) == (span.trace_id, span.id, b"01")
    assert (span.parent, span.remote, span.recording.state) == (b"", False, b"")


@pytest.mark.parametrize("make", [ask, known])
def test_a_root_that_is_not_traced_tells_backends_so(make: type[Request]) -> None:
    request = make()
    assert Spans().tracer(0.0).begin(request) is None
    assert request.trace is None
    assert told(request)[2] == b"00"


@pytest.mark.parametrize("make", [ask, known])
def test_the_share_of_roots_that_are_traced(make: type[Request]) -> None:
    tracer = Spans().tracer(0.25)
    taken = [span for _ in range(4000) if (span := tracer.begin(make())) is not None]
    assert 800 < len(taken) < 1200
    assert all(span.trace_id[16:] < b"4" + b"0" * 15 for span in taken)
    assert len({span.trace_id for span in taken}) == len({span.trace_id[:16] for span in taken}) == len(taken)


def test_a_caller_that_is_traced_is_the_parent() -> None:
    request = ask(headers=[*YES, (b"accept", b"*/*"), (b"baggage", b"user=7")])
    span = Spans().tracer(0.0).begin(request)
    assert span is not None
    assert (span.trace_id, span.parent, span.remote, span.recording.state) == (TRACE, SPAN, True, b"a=1,b=2")
    assert request.headers == [(b"accept", b"*/*"), (b"baggage", b"user=7"), (b"tracestate", b"a=1,b=2")]
    assert told(request) == (TRACE, span.id, b"01")


def test_what_a_caller_has_decided_against_goes_on_as_it_is() -> None:
    request = ask(headers=NO)
    assert Spans().tracer().begin(request) is None
    assert (request.headers, request.stamp) == (NO, b"")


def test_a_caller_that_is_not_believed_may_be_overruled() -> None:
    request = ask(headers=NO)
    span = Spans().tracer(by_parent=False).begin(request)
    assert span is not None
    assert (span.trace_id, span.parent) == (TRACE, SPAN)
    request = ask(headers=YES)
    assert Spans().tracer(0.0, by_parent=False).begin(request) is None
    assert told(request)[::2] == (TRACE, b"00")
    assert told(request)[1] != SPAN
    assert request.headers == [(b"tracestate", b"a=1,b=2")]


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_traceparent_that_is_none_takes_the_tracestate_with_it(ratio: float) -> None:
    request = ask(headers=[(b"traceparent", b"00-nonsense"), (b"tracestate", b"a=1"), (b"baggage", b"user=7")])
    span = Spans().tracer(ratio).begin(request)
    assert (span is not None) == bool(ratio)
    assert request.headers == [(b"baggage", b"user=7")]
    assert told(request)[0] != TRACE


def test_the_random_flag_is_passed_on() -> None:
    request = ask(headers=[(b"traceparent", b"00-%b-%b-03" % (TRACE, SPAN))])
    Spans().tracer().begin(request)
    assert request.stamp.endswith(b"-03\r\n")


@pytest.mark.parametrize("make", [ask, known])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_nothing_is_told_where_nothing_is_to_be_propagated(make: type[Request], ratio: float) -> None:
    request = make()
    span = Spans().tracer(ratio, propagation=Propagation(["none"])).begin(request)
    assert request.stamp == b""
    assert (span is not None) == bool(ratio)


B3: Headers = [(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN), (b"x-b3-parentspanid", b"1" * 16)]


def test_a_caller_that_speaks_b3_is_the_parent_and_its_headers_give_way() -> None:
    request = ask(headers=[*B3, (b"x-b3-flags", b"1"), (b"accept", b"*/*")])
    span = Spans().tracer(0.0, propagation=Propagation(["b3multi"])).begin(request)
    assert span is not None
    assert (span.trace_id, span.parent, request.headers) == (TRACE, SPAN, [(b"accept", b"*/*")])
    assert request.stamp == b"x-b3-traceid: %b\r\nx-b3-spanid: %b\r\nx-b3-flags: 1\r\n" % (TRACE, span.id)


def test_what_a_caller_that_speaks_b3_has_decided_against_is_told_again() -> None:
    request = ask(headers=[*B3, (b"x-b3-sampled", b"0"), (b"accept", b"*/*")])
    assert Spans().tracer(propagation=Propagation(["b3multi"])).begin(request) is None
    assert request.headers == [(b"accept", b"*/*")]  # which no default list lets through otherwise
    assert request.stamp == b"x-b3-traceid: %b\r\nx-b3-spanid: %b\r\nx-b3-sampled: 0\r\n" % (TRACE, SPAN)


def test_a_root_is_told_in_several_headers() -> None:
    request = ask()
    assert Spans().tracer(0.0, propagation=Propagation(["b3multi"])).begin(request) is None
    assert re.fullmatch(
        rb"x-b3-traceid: [0-9a-f]{32}\r\nx-b3-spanid: [0-9a-f]{16}\r\nx-b3-sampled: 0\r\n", request.stamp
    )
