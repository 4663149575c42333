from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.schema import HeaderRules
from gateway.errors import DeadlineExceeded
from gateway.http.wire import HOP_BY_HOP, NOT_FORWARDED, encode_fields, field_lines
from gateway.layers.forward import Address, Allowed, ContentTypeJson, Forward, forward, rules
from gateway.layers.forwarded import forwarded
from gateway.layers.pace import Pace
from gateway.message import REPRESENTATION, Encoded, Headers, Request
from gateway.service import Service
from tests.support.clock import run, virtual
from tests.support.service import MockService, answer, ask, fields

NONE = HeaderRules()
AT: Address = (b"POST", b"/v1/models/iris:predict")


def level(*propagate: str, **options: Any) -> HeaderRules:
    return HeaderRules(propagate=propagate or None, **options)


def sent(headers: Headers, *levels: HeaderRules, compat: str = "none") -> Headers:
    """The headers that reach the backend."""
    service = MockService().answers()
    run(_asked(service, ask(headers=headers), rules(compat, *levels)))
    return service.requests[0].headers


async def _asked(service: Service, request: Request, found: tuple[Allowed, Headers]) -> None:
    await forward(*found, AT, inf, tell_time=False)(service)(request)


def names(headers: Headers) -> list[bytes]:
    return [name for name, _ in headers]


CLIENT: Headers = [
    (b"host", b"gateway"),
    (b"user-agent", b"curl"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip"),
    (b"content-type", b"application/json"),
    (b"content-length", b"2"),
    (b"traceparent", b"00-1-2-01"),
    (b"tracestate", b"a=1"),
    (b"tracestate", b"b=2"),
    (b"baggage", b"k=v"),
    (b"x-request-id", b"id-1"),
    (b"authorization", b"Bearer secret"),
    (b"cookie", b"session=1"),
    (b"x-api-key", b"k"),
    (b"x-tenant", b"acme"),
    (b"connection", b"keep-alive"),
    (b"x-forwarded-for", b"1.1.1.1"),
]


# Which headers pass.


@pytest.mark.parametrize("compat", ["none", "kserve"])
def test_what_the_gateway_wants_to_see_passes_unless_the_configuration_says_something_else(compat: str) -> None:
    also = frozenset((b"x-priority",))
    assert rules(compat, HeaderRules(propagate=("^x-tenant$",)), also=also)[0][b"x-priority"]
    assert not rules(compat, HeaderRules(remove=("X-Priority",)), also=also)[0][b"x-priority"]
    allowed, added = rules(compat, HeaderRules(set={"X-Priority": "3"}), also=also)
    assert (allowed[b"x-priority"], added) == (False, [(b"x-priority", b"3")])
    assert not rules(compat, HeaderRules())[0][b"x-priority"]


def test_where_no_rule_says_otherwise_the_usual_ones_pass_in_their_order() -> None:
    passed = sent(CLIENT, NONE, NONE, NONE)
    assert names(passed) == [
        b"accept",
        b"content-type",
        b"traceparent",
        b"tracestate",
        b"tracestate",
        b"baggage",
        b"x-request-id",
    ]
    assert [value for name, value in passed if name == b"tracestate"] == [b"a=1", b"b=2"]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((level("^x-tenant$"), NONE, NONE), [b"content-type", b"x-tenant"]),
        ((level("^x-tenant$"), level("^accept$"), NONE), [b"accept", b"content-type"]),
        ((level("^x-tenant$"), level("^accept$"), level("^baggage$")), [b"content-type", b"baggage"]),
        ((level("^x-tenant$"), NONE, level("^cookie$")), [b"content-type", b"cookie"]),
        ((level("^x-tenant$"), NONE, HeaderRules(propagate=())), [b"content-type"]),
    ],
)
def test_the_nearest_list_wins(levels: tuple[HeaderRules, ...], expected: list[bytes]) -> None:
    assert names(sent(CLIENT, *levels)) == expected


def test_credentials_pass_only_where_listed() -> None:
    assert not {b"authorization", b"cookie", b"x-api-key"} & set(names(sent(CLIENT, NONE)))
    assert b"authorization" in names(sent(CLIENT, level("^authorization$")))
    assert b"cookie" in names(sent(CLIENT, level("cookie")))


def test_patterns_are_searched_for_in_the_name_in_any_case() -> None:
    assert names(sent(CLIENT, level("TENANT"))) == [b"content-type", b"x-tenant"]
    assert names(sent(CLIENT, level("^X-"))) == [b"content-type", *(n for n in names(CLIENT) if n.startswith(b"x-"))]


@pytest.mark.parametrize("compat", ["none", "kserve"])
@pytest.mark.parametrize("name", sorted(NOT_FORWARDED))
def test_no_rule_lets_these_through(name: bytes, compat: str) -> None:
    headers = [(name, b"1"), (b"x-a", b"1")]
    assert sent(headers, level(".*", "", name.decode()), compat=compat) == [(b"x-a", b"1")]


def test_what_is_never_forwarded_has_everything_about_connection_and_framing() -> None:
    assert HOP_BY_HOP < NOT_FORWARDED
    assert {b"connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host"} < NOT_FORWARDED
    assert {b"content-length", b"x-request-timeout-ms"} < NOT_FORWARDED


@pytest.mark.parametrize("name", sorted(REPRESENTATION))
def test_what_describes_the_body_travels_with_it_whatever_the_lists_say(name: bytes) -> None:
    assert sent([(name, b"1")], HeaderRules(propagate=())) == [(name, b"1")]


def test_nothing_is_invented() -> None:
    assert sent([], NONE, NONE, NONE) == []
    assert sent([], level(".*")) == []


@given(st.lists(st.sampled_from([*sorted(NOT_FORWARDED), b"x-a", b"accept"])), st.text("abcenot-.|", max_size=6))
def test_what_passes_is_a_part_of_what_came_in_in_the_same_order(chosen: list[bytes], pattern: str) -> None:
    allowed, _ = rules("none", level(pattern))
    passed = [name for name in chosen if allowed[name]]
    assert not NOT_FORWARDED & set(passed)
    rest = iter(chosen)
    assert all(name in rest for name in passed)


def test_however_many_names_clients_make_up_few_are_remembered() -> None:
    allowed, _ = rules("none", level("^x-[0-9]+$"))
    for number in range(3000):
        assert allowed[b"x-%d" % number]
        assert not allowed[b"y-%d" % number]
    assert len(allowed) == 1024


# Headers that are set and removed.


def test_set_headers_replace_the_clients() -> None:
    headers = sent(CLIENT, level(".*", set={"X-Tenant": "fixed", "authorization": "Bearer ours"}))
    assert [value for name, value in headers if name == b"x-tenant"] == [b"fixed"]
    assert [value for name, value in headers if name == b"authorization"] == [b"Bearer ours"]
    assert headers[-2:] == [(b"x-tenant", b"fixed"), (b"authorization", b"Bearer ours")]


def test_removed_headers_do_not_pass_in_any_case_of_letters() -> None:
    headers = sent(CLIENT, level(".*", remove=("X-TENANT", "Content-Type")))
    assert not {b"x-tenant", b"content-type"} & set(names(headers))


def test_levels_add_up_and_the_nearest_value_wins() -> None:
    server, backend = level(set={"a": "server", "b": "server"}), level(set={"B": "backend", "c": "backend"})
    assert sent([], server, NONE, backend) == [(b"a", b"server"), (b"b", b"backend"), (b"c", b"backend")]


def test_a_nearer_level_takes_away_what_another_adds() -> None:
    server, backend = level(set={"a": "1", "b": "1"}), level(remove=("A",))
    assert sent([(b"a", b"clients")], server, backend) == [(b"b", b"1")]
    assert sent([], level(remove=("a",)), level(set={"a": "2"})) == [(b"a", b"2")]


def test_values_are_sent_as_the_file_has_them() -> None:
    assert sent([], level(set={"x-city": "Zürich →"})) == [(b"x-city", "Zürich →".encode())]


# KServe's rules.


@pytest.mark.parametrize(
    ("pattern", "passed"),
    [
        ("Test-Header-*", [b"test-header", b"test-header-1", b"x-test-header-9"]),
        ("Auth*", [b"authorization", b"x-author"]),
        ("auth", []),
        ("X-Request-Id", [b"x-request-id"]),
        ("x-request-id", []),
        ("(?i)x-request-id", [b"x-request-id"]),
        ("^X-", [b"x-author", b"x-request-id", b"x-test-header-9"]),
        ("Content-Type", [b"content-type"]),
        ("-9$", [b"x-test-header-9"]),
    ],
)
def test_kserve_matches_case_in_the_canonical_name(pattern: str, passed: list[bytes]) -> None:
    client = [b"authorization", b"x-author", b"test-header", b"test-header-1", b"x-test-header-9"]
    client += [b"x-request-id", b"content-type"]
    found = names(sent([(name, b"1") for name in client], level(pattern), compat="kserve"))
    assert sorted(found) == sorted(passed)


def test_kserve_passes_nothing_unless_told_not_even_what_describes_the_body() -> None:
    assert sent(CLIENT, NONE, NONE, NONE, compat="kserve") == []


def test_kserves_empty_pattern_matches_everything_that_may_pass() -> None:
    passed = sent(CLIENT, HeaderRules(propagate=("",)), compat="kserve")
    assert passed == [field for field in CLIENT if field[0] not in NOT_FORWARDED]


@virtual
async def test_kserve_says_json_unless_a_content_type_came_through() -> None:
    service = MockService().answers().answers()
    for propagate in (), ("Content-Type",):
        passing = forward(*rules("kserve", HeaderRules(propagate=propagate)), AT, inf, tell_time=False)
        await passing(ContentTypeJson(service))(ask(headers=[(b"content-type", b"text/csv")]))
    bare, propagated = service.requests
    assert bare.headers == [(b"content-type", b"application/json")]
    assert propagated.headers == [(b"content-type", b"text/csv")]


# Where it goes, and how long it may take.


@pytest.mark.parametrize(
    ("address", "method", "target"),
    [
        ((b"POST", b"/predict?x=1"), b"POST", b"/predict?x=1"),
        (b"", b"PUT", b"/a%20b?q=1"),
        (b"/prefix", b"PUT", b"/prefix/a%20b?q=1"),
    ],
)
def test_method_and_target_are_the_addresss_or_the_clients(address: Any, method: bytes, target: bytes) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService().answers()
        request = Request(b"PUT", b"/a%20b?q=1", [], b"body")
        await forward(*rules("none"), address, inf)(service)(request)
        (call,) = service.requests
        assert (call.method, call.target, call.body) == (method, target, b"body")

    scenario()


@pytest.mark.parametrize(
    ("clients", "timeout", "deadline", "told"),
    [
        (inf, 2.5, 102.5, b"2500"),
        (101.25, 2.5, 101.25, b"1250"),
        (100.0625, 2.5, 100.0625, b"62"),
        (200.0, inf, 200.0, b"100000"),
        (inf, inf, inf, None),
    ],
)
def test_a_backend_is_told_how_many_milliseconds_are_left(
    clients: float, timeout: float, deadline: float, told: bytes | None
) -> None:
    @virtual
    async def scenario() -> None:
        await asyncio.sleep(100)
        service = MockService().answers()
        request = ask(deadline=clients, headers=[(b"x-request-timeout-ms", b"999999")])
        await forward(*rules("none", level(".*")), AT, timeout)(service)(request)
        (call,) = service.requests
        assert call.deadline == deadline
        assert [value for name, value in fields(call)] == ([] if told is None else [told])

    scenario()


@virtual
async def test_without_time_there_is_no_call() -> None:
    await asyncio.sleep(100)
    with pytest.raises(DeadlineExceeded):
        await forward(*rules("none"), AT, 5.0)(MockService())(ask(deadline=100.0))


@virtual
async def test_a_call_is_not_made_when_half_of_them_take_longer_than_there_is() -> None:
    service = MockService()
    pace = Pace("iris", asyncio.get_running_loop().time)
    call = forward(*rules("none"), AT, 30.0, pace=pace)(service)
    for _ in range(20):
        service.answers(after=1.0)
        await call(ask())
    with pytest.raises(DeadlineExceeded) as caught:
        await call(ask(deadline=asyncio.get_running_loop().time() + 0.5))
    assert caught.value.detail.startswith("500 ms were left, and half of the calls of iris take longer than")
    assert len(service.requests) == 20
    service.answers(after=1.0)
    await call(ask(deadline=asyncio.get_running_loop().time() + 1.5))
    assert len(service.requests) == 21


@virtual
async def test_of_many_calls_at_once_one_is_timed() -> None:
    service = MockService(futures=True).always(answer())
    pace = Pace("iris", asyncio.get_running_loop().time)
    call = forward(*rules("none"), AT, 30.0, pace=pace)(service)
    calls = [call(ask()) for _ in range(5)]
    assert [asyncio.isfuture(each) for each in calls] == [False, True, True, True, True]
    for each in calls:
        await each


@virtual
async def test_the_clients_request_is_left_as_it_was_however_many_steps_send_it_on() -> None:
    service = MockService().answers().answers()
    allowed, added = rules("none", level(".*", set={"x-a": "1"}))
    call = forward(allowed, added, AT, inf)(forwarded(["10.0.0.0/8"])(service))
    request = ask(headers=[(b"x-forwarded-for", b"1.1.1.1")], deadline=1000.0)
    request.peer = b"10.0.0.1"
    before = list(request.headers)
    for _ in range(2):
        await call(request)
    assert request.headers == before
    assert [request.target, request.deadline] == [b"/v1/models/iris:predict", 1000.0]
    assert service.requests[0].headers == service.requests[1].headers
    assert (b"x-forwarded-for", b"1.1.1.1, 10.0.0.1") in service.requests[1].headers


@virtual
async def test_it_hands_on_what_the_service_returns() -> None:
    service = MockService(futures=True).answers(b"[]")
    call = forward(*rules("none"), AT, inf)(service)(ask())
    assert asyncio.isfuture(call)
    assert (await call).body == b"[]"


def known(headers: Headers) -> Request:
    """A request whose head came before."""
    request = ask(headers=headers)
    request.headers = headers
    request.encoded = Encoded(headers, encode_fields(headers))
    return request


@virtual
async def test_known_headers_are_filtered_once_and_with_the_same_result() -> None:
    asked: list[bytes] = []

    def rule(name: bytes) -> bool:
        asked.append(name)
        return name != b"cookie"

    service = MockService().answers().answers().answers()
    call = forward(Allowed(rule), [(b"x-key", b"k")], AT, inf, tell_time=False)(service)
    first = known([(b"accept", b"*/*"), (b"cookie", b"c")])
    again = first.derive(first.deadline)
    fresh = ask(headers=list(first.headers))
    for request in (first, again, fresh):
        await call(request)
    one, two, three = service.requests
    assert one.headers == three.headers == [(b"accept", b"*/*"), (b"x-key", b"k")]
    assert two.headers is one.headers
    assert field_lines(one) == field_lines(two) == field_lines(three) == b"accept: */*\r\nx-key: k\r\n"
    assert asked == [b"x-request-id", b"accept", b"cookie"]


@virtual
async def test_headers_that_a_node_has_replaced_are_known_no_more() -> None:
    service = MockService().answers()
    request = known([(b"accept", b"a")])
    request.headers = [(b"accept", b"b")]
    await forward(*rules("none", level(".*")), AT, inf, tell_time=False)(service)(request)
    assert field_lines(service.requests[0]) == b"accept: b\r\n"


@virtual
async def test_what_is_known_is_bounded() -> None:
    service = MockService().always(answer())
    call = forward(*rules("none", level(".*")), AT, inf, tell_time=False)(service)
    for number in range(300):
        await call(known([(b"accept", b"%d" % number)]))
        assert field_lines(service.requests[-1]) == b"accept: %d\r\n" % number
    assert isinstance(call, Forward)
    assert len(call._passed) <= 64


@pytest.mark.parametrize(("patterns", "goes"), [((".*",), True), (("accept",), False), ((), True)])
@virtual
async def test_the_id_that_the_gateway_made_goes_where_ids_may_go(patterns: tuple[str, ...], goes: bool) -> None:
    service = MockService().answers()
    request = ask()
    request.stamp = b"x-request-id: made\r\n"
    await forward(*rules("none", level(*patterns)), AT, 2.5)(service)(request)
    expected = [(b"x-request-id", b"made")] * goes + [(b"x-request-timeout-ms", b"2500")]
    assert fields(service.requests[0]) == expected
