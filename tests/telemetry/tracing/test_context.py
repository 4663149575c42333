from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.tracing.context import (
    Parent,
    Propagation,
    join_tracestate,
    parse_b3,
    parse_traceparent,
    propagation,
)

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
GOOD = b"00-%b-%b-01" % (TRACE, SPAN)


def digits(count: int) -> st.SearchStrategy[bytes]:
    return st.text("0123456789abcdef", min_size=count, max_size=count).filter(lambda s: set(s) != {"0"}).map(str.encode)


@given(trace_id=digits(32), span_id=digits(16), sampled=st.booleans(), random=st.booleans())
def test_what_is_told_is_understood(trace_id: bytes, span_id: bytes, sampled: bool, random: bool) -> None:
    standard = Propagation()
    name, value = standard.lines(trace_id, span_id, sampled, random).removesuffix(b"\r\n").split(b": ")
    assert len(value) == 55
    assert standard.parent([(name, value)]) == Parent(trace_id, span_id, sampled, random)


@given(st.binary(max_size=80) | st.text(string.hexdigits + "-", min_size=50, max_size=60).map(str.encode))
def test_nothing_raises_and_only_the_whole_form_is_a_parent(value: bytes) -> None:
    parent = parse_traceparent(value)
    if parent is not None:
        assert value[3:35] == parent.trace_id
        assert value[36:52] == parent.span_id
        assert value == value.lower()


@given(place=st.integers(0, 54), byte=st.sampled_from(b"gG-\x00 \n\xff"))
def test_one_wrong_byte_spoils_it(place: int, byte: int) -> None:
    spoilt = GOOD[:place] + bytes([byte]) + GOOD[place + 1 :]
    assert spoilt == GOOD or parse_traceparent(spoilt) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-what",
        GOOD + b"\n",
        GOOD.upper(),
        b"ff" + GOOD[2:],
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"01" + GOOD[2:] + b"more",
    ],
)
def test_invalid(value: bytes) -> None:
    assert parse_traceparent(value) is None


@pytest.mark.parametrize("value", [b"01" + GOOD[2:], b"cc" + GOOD[2:] + b"-what-comes"])
def test_of_a_version_to_come_the_known_part_counts(value: bytes) -> None:
    assert parse_traceparent(value) == Parent(TRACE, SPAN, True)


@pytest.mark.parametrize(("flags", "sampled"), [(b"00", False), (b"01", True), (b"fe", False), (b"ff", True)])
def test_only_the_last_flag_says_sampled(flags: bytes, sampled: bool) -> None:
    parent = parse_traceparent(GOOD[:-2] + flags)
    assert parent is not None
    assert parent.sampled is sampled


def test_two_of_them_are_none() -> None:
    assert Propagation().parent([(b"traceparent", GOOD), (b"traceparent", GOOD)]) is None


@pytest.mark.parametrize(
    ("values", "joined"),
    [
        ([], b""),
        ([b"a=1", b"b=2 ,\tc=3"], b"a=1,b=2,c=3"),
        ([b"a=1,,b=2,"], b"a=1,b=2"),
        ([b"1t@vendor=x y"], b"1t@vendor=x y"),
        ([b"a=1,a=2"], b""),
        ([b"A=1"], b""),
        ([b"a"], b""),
        ([b"a=1=2"], b""),
        ([b"a=\xe4"], b""),
        ([b",".join(b"k%d=v" % n for n in range(33))], b""),
    ],
)
def test_tracestate(values: list[bytes], joined: bytes) -> None:
    assert join_tracestate(values) == joined


@pytest.mark.parametrize(
    ("value", "parent"),
    [
        (b"%b-%b-1" % (TRACE, SPAN), Parent(TRACE, SPAN, True)),
        (b"%b-%b-d-%b" % (TRACE, SPAN, SPAN), Parent(TRACE, SPAN, True, debug=True)),
        (b"%b-%b-0" % (SPAN, SPAN), Parent(b"0" * 16 + SPAN, SPAN, False)),
        (b"0", None),
        (b"%b-%b" % (TRACE, SPAN), None),
        (b"%b-%b-1" % (b"0" * 32, SPAN), None),
    ],
)
def test_b3(value: bytes, parent: Parent | None) -> None:
    assert parse_b3(value) == parent


def test_the_first_way_that_finds_a_parent_is_believed_and_all_are_told() -> None:
    both = Propagation(["b3", "baggage", "tracecontext"])
    found = [(b"b3", b"nonsense"), (b"traceparent", GOOD)]
    assert both.parent(found) == Parent(TRACE, SPAN, True)
    assert both.lines(TRACE, SPAN, False) == b"b3: %b-%b-0\r\ntraceparent: 00-%b-%b-00\r\n" % (TRACE, SPAN, TRACE, SPAN)


def test_without_any_way_headers_are_nobodys_business() -> None:
    none = Propagation(["none"])
    assert none.found([(b"traceparent", GOOD)]) == []
    assert none.lines(TRACE, SPAN, True) == b""


def test_propagators(caplog: pytest.LogCaptureFixture) -> None:
    ids = b"1" * 32, b"2" * 16
    assert propagation({}).lines(*ids, True).startswith(b"traceparent: ")
    assert propagation({"OTEL_PROPAGATORS": "b3, baggage"}).lines(*ids, True).startswith(b"b3: ")
    assert propagation({"OTEL_PROPAGATORS": "none"}).lines(*ids, True) == b""
    assert not caplog.records
    assert propagation({"OTEL_PROPAGATORS": "B3Multi"}).lines(*ids, True).startswith(b"x-b3-traceid: ")
    assert not caplog.records
    assert propagation({"OTEL_PROPAGATORS": "jaeger,jaeger"}).lines(*ids, True) == b""
    assert caplog.messages == ["OTEL_PROPAGATORS: jaeger is not known here"]


def b3(trace_id: bytes = TRACE, span_id: bytes = SPAN, **more: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of B3; ``more``: by the rest of their names."""
    ids = [(b"x-b3-traceid", trace_id), (b"x-b3-spanid", span_id)]
    return ids + [(b"x-b3-" + name.encode(), value) for name, value in more.items()]


@pytest.mark.parametrize("name", ["b3", "b3multi"])
@pytest.mark.parametrize(
    ("found", "parent"),
    [
        (b3(sampled=b"1"), Parent(TRACE, SPAN, True)),
        (b3(sampled=b"true", parentspanid=SPAN), Parent(TRACE, SPAN, True)),
        (b3(sampled=b"0"), Parent(TRACE, SPAN, False)),
        (b3(sampled=b"false"), Parent(TRACE, SPAN, False)),
        (b3(SPAN, sampled=b"1"), Parent(b"0" * 16 + SPAN, SPAN, True)),
        (b3(flags=b"1"), Parent(TRACE, SPAN, True, debug=True)),
        (b3(flags=b"1", sampled=b"0"), Parent(TRACE, SPAN, True, debug=True)),
        (b3(flags=b"0", sampled=b"0"), Parent(TRACE, SPAN, False)),
        ([*b3(sampled=b"1"), (b"b3", b"%b-%b-0" % (TRACE, SPAN))], Parent(TRACE, SPAN, False)),
        ([*b3(sampled=b"1"), (b"b3", b"nonsense")], Parent(TRACE, SPAN, True)),
        (b3(), None),
        (b3(sampled=b"2"), None),
        (b3(b"", sampled=b"1"), None),
        (b3(TRACE + b"-" + SPAN, b"1", flags=b"1"), None),
        (b3(b"0" * 32, sampled=b"1"), None),
        ([(b"x-b3-sampled", b"0")], None),
        (b3(sampled=b"1") + b3(), None),
        ([], None),
    ],
)
def test_b3_in_several_headers_and_in_either_form(
    name: str, found: list[tuple[bytes, bytes]], parent: Parent | None
) -> None:
    propagation = Propagation([name])
    assert propagation.parent(found) == parent
    assert propagation.found(found) == found
    assert propagation.concerns(found) == bool(found)


@given(trace_id=digits(32), span_id=digits(16), sampled=st.booleans(), debug=st.booleans())
@pytest.mark.parametrize("name", ["b3", "b3multi"])
def test_b3_that_is_told_is_understood(name: str, trace_id: bytes, span_id: bytes, sampled: bool, debug: bool) -> None:
    propagation = Propagation([name])
    lines = propagation.lines(trace_id, span_id, sampled, debug=debug).removesuffix(b"\r\n").split(b"\r\n")
    found = [(key, value) for key, value in (line.split(b": ") for line in lines)]
    assert propagation.parent(found) == Parent(trace_id, span_id, sampled or debug, debug=debug)


@pytest.mark.parametrize(
    ("sampled", "debug", "decision"),
    [(True, False, b"x-b3-sampled: 1"), (False, False, b"x-b3-sampled: 0"), (True, True, b"x-b3-flags: 1")],
)
def test_b3_in_several_headers_as_it_is_told(sampled: bool, debug: bool, decision: bytes) -> None:
    told = b"x-b3-traceid: %b\r\nx-b3-spanid: %b\r\n%b\r\n" % (TRACE, SPAN, decision)
    assert Propagation(["b3multi"]).lines(TRACE, SPAN, sampled, debug=debug) == told


@given(
    trace_id=st.just(b"0" * 32) | digits(32),
    span_id=st.just(b"0" * 16) | digits(16),
    flags=st.integers(0, 255),
    version=st.sampled_from((b"00", b"01", b"ff")),
    more=st.sampled_from((b"", b"-", b"\n")),
)
def test_who_declines_has_a_parent_that_is_not_sampled(
    trace_id: bytes, span_id: bytes, flags: int, version: bytes, more: bytes
) -> None:
    standard = Propagation()
    headers = [(b"accept", b"*/*"), (b"traceparent", b"%b-%b-%b-%02x%b" % (version, trace_id, span_id, flags, more))]
    parent = standard.parent(headers)
    assert standard.declined(headers) == (version == b"00" and parent is not None and not parent.sampled)


def test_only_the_first_way_and_a_single_header_decline() -> None:
    no = (b"traceparent", GOOD[:-1] + b"0")
    assert Propagation(["tracecontext", "b3"]).declined([no])
    assert not Propagation(["b3", "tracecontext"]).declined([no])
    assert not Propagation().declined([no, no])
    assert not Propagation().declined([(b"tracestate", b"a=1")])
