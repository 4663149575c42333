"""What all formats have in common, shown with v1."""

from __future__ import annotations

import gzip

import msgspec
import pytest

from gateway.formats.format import Mismatch, Unmergeable
from gateway.formats.v1 import V1
from gateway.message import Encoded, Headers, Request, Response
from tests.formats.cases import JSON, merged, post

FORMAT = V1()
BODY = b'{"instances": [1]}'


def test_a_lone_request_and_its_answer_stay_as_they_are() -> None:
    request = post(gzip.compress(b' {"instances" : [1,2]}'), headers=[*JSON, (b"content-encoding", b"gzip")])
    call, members = merged(FORMAT, request)
    assert call == request
    assert call is not request
    answer = Response(200, [(b"etag", b"1"), (b"set-cookie", b"a=b")], b"anything")
    assert FORMAT.split(answer, members) == [answer]


def test_a_call_is_the_first_request_but_for_its_body() -> None:
    headers: Headers = [*JSON, (b"x-tenant", b"a")]
    first = Request(b"POST", b"/v1/models/m:predict?q", headers, BODY, 5.0, b"id-1", peer=b"::1", stamp=b"a: b\r\n")
    first.encoded = Encoded(headers, b"")
    first.document = {"instances": [1]}
    call, _ = merged(FORMAT, first, post(BODY, b"/v1/models/m:predict?q"))
    again = first.derive(5.0)
    again.body = b'{"instances":[1,1]}'
    assert call == msgspec.structs.replace(again, document=call.document)
    assert repr(call.document) == "UNPARSED"
    assert call.headers is headers


def test_no_call_of_several_streams() -> None:
    request = post(BODY)
    request.streams = True
    assert merged(FORMAT, request)[0].streams
    assert not merged(FORMAT, request, request)[0].streams


def test_compressed_requests_share_a_plain_call() -> None:
    request = post(gzip.compress(BODY), headers=[*JSON, (b"content-encoding", b"gzip")])
    call, members = merged(FORMAT, request, request)
    assert (call.headers, call.body) == (JSON, b'{"instances":[1,1]}')
    assert members[0].key != FORMAT.member(post(BODY)).key


def test_a_compressed_answer_is_split_plain() -> None:
    _, members = merged(FORMAT, post(BODY), post(BODY))
    coded: Headers = [*JSON, (b"content-encoding", b"gzip"), (b"content-length", b"9")]
    shares = FORMAT.split(Response(200, coded, gzip.compress(b'{"predictions": [1, 2]}')), members)
    assert [(share.headers, share.body) for share in shares] == [
        (JSON, b'{"predictions":[1]}'),
        (JSON, b'{"predictions":[2]}'),
    ]


def test_shares_have_the_answers_status_and_headers_but_no_cookie_no_id_and_nothing_about_its_bytes() -> None:
    _, members = merged(FORMAT, post(BODY), post(BODY))
    kept: Headers = [*JSON, (b"x-model", b"7")]
    about_its_bytes = (b"etag", b"date", b"digest", b"content-digest", b"repr-digest", b"content-length")
    lost = (*about_its_bytes, b"set-cookie", b"ce-id", b"ce-requestid")
    answer = Response(201, kept + [(name, b"1") for name in lost], b'{"predictions": [1, 2]}', stamp=b"a: b\r\n")
    answer.claim = object()
    for share in FORMAT.split(answer, members):
        assert (share.status, share.headers, share.stamp) == (201, kept, b"a: b\r\n")
        assert share.claim is answer.claim


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-type", b"application/json; charset=utf-8")],
        [],
        [*JSON, (b"accept", b"application/json")],
    ],
)
def test_other_types_of_content_are_other_calls(headers: Headers) -> None:
    assert FORMAT.member(post(BODY, headers=headers)).key != FORMAT.member(post(BODY)).key


def test_other_headers_are_somebody_elses_business() -> None:
    traced: Headers = [(b"traceparent", b"00"), *JSON]
    assert FORMAT.member(post(BODY, headers=traced)).key == FORMAT.member(post(BODY)).key


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request(b"GET", b"/v1/models/m:predict", []), "method"),
        (post(BODY, headers=[(b"accept", b"*/*, Text/Event-Stream")]), "streaming"),
        (post(BODY, headers=[(b"content-encoding", b"br")]), "encoding"),
        (post(BODY, headers=[(b"content-encoding", b"gzip")]), "encoding"),
        (post(b'{"instances": ["%b"]}' % (b"a" * (4 << 20))), "large"),
        (post(gzip.compress(b" " * (5 << 20), 1), headers=[(b"content-encoding", b"gzip")]), "large"),
        (post(b'{"instances": ["\xff"]}'), "malformed"),
        (post(b'{"instances": [' + b"[" * 2000 + b"]" * 2000 + b"]}"), "malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_looked_at(request_: Request, reason: str) -> None:
    with pytest.raises(Unmergeable) as caught:
        FORMAT.member(request_)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"content-encoding", b"br")], b'{"predictions": [1, 2]}'),
        ([(b"content-encoding", b"gzip")], b'{"predictions": [1, 2]}'),
        ([], b'{"predictions": ["\xff", 2]}'),
        ([], b'{"predictions": [NaN, 2]}'),
        ([], b'{"predictions": [' + b"[" * 2000 + b"]" * 2000 + b", 2]}"),
        ([], b""),
    ],
)
def test_answers_that_cannot_be_read(headers: Headers, body: bytes) -> None:
    _, members = merged(FORMAT, post(BODY), post(BODY))
    with pytest.raises(Mismatch, match="cannot be read"):
        FORMAT.split(Response(200, headers, body), members)
