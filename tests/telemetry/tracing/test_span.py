from __future__ import annotations

import asyncio
import time

from gateway.errors import BadRequest, UpstreamReset
from gateway.telemetry.tracing.span import Span
from tests.support.service import ask
from tests.support.spans import Spans


def begun(spans: Spans) -> Span:
    span = spans.tracer().begin(ask())
    assert span is not None
    return span


def test_a_child_is_of_the_same_trace_and_lies_within() -> None:
    spans = Spans()
    before = time.time_ns()
    span = begun(spans)
    child = span.child("node root", {"gateway.node": "root"})
    child.finish()
    span.finish()
    assert spans == [child, span]
    assert (child.trace_id, child.parent) == (span.trace_id, span.id)
    assert child.id != span.id
    assert span.start <= child.start <= child.end <= span.end
    assert abs(span.start - before) < 1e9
    assert child.lines == b"traceparent: 00-%b-%b-01\r\n" % (span.trace_id, child.id)


def test_answers_are_errors_from_a_status_on() -> None:
    span = begun(Spans())
    span.answered(499, 500)
    assert (span.error, span.attributes) == (None, {})
    span.answered(500, 500)
    assert (span.error, span.attributes) == ("", {"error.type": "500"})


def test_failures() -> None:
    ours, theirs, bug = (begun(Spans()) for _ in range(3))
    ours.failed(UpstreamReset("gone"), 500)
    theirs.failed(BadRequest("what"), 500)
    bug.failed(KeyError("x"), 500)
    assert (ours.error, ours.attributes) == ("gone", {"error.type": "upstream_reset"})
    assert (theirs.error, theirs.attributes) == (None, {})
    assert (bug.error, bug.attributes) == ("'x'", {"error.type": "KeyError"})


def test_to_be_given_up_is_no_error() -> None:
    for end in (asyncio.CancelledError(), GeneratorExit()):
        span = begun(Spans())
        span.failed(end, 400)
        assert (span.error, span.attributes) == (None, {"gateway.cancelled": True})
