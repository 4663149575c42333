from __future__ import annotations

import pytest

from gateway.errors import UpstreamConnectFailure
from gateway.graph.kserve.errors import RouterError
from gateway.graph.kserve.redirect import Redirects
from gateway.http.origin import Origin
from gateway.message import Headers, Request
from gateway.service import Service
from tests.support.clock import virtual
from tests.support.service import MockService, answer

HOME = Origin("models.example", 80)


class World:
    """Services by origin, each made by the first call that goes there."""

    def __init__(self) -> None:
        self.home = MockService()
        self.away: dict[str, MockService] = {}

    def at(self, origin: str) -> MockService:
        return self.away.setdefault(origin, MockService())

    def elsewhere(self, origin: Origin) -> Service:
        return self.at(str(origin))

    def client(self, *private: bytes, home: Origin = HOME) -> Redirects:
        return Redirects(home, self.home, self.elsewhere, frozenset(private))


def call(*headers: tuple[bytes, bytes]) -> Request:
    return Request(b"POST", b"/a/b?c", [(b"content-type", b"application/json"), *headers], b"in", 7.0)


def to(location: str) -> Headers:
    return [(b"location", location.encode("latin-1"))]


@pytest.mark.parametrize("status", [301, 302, 303])
@virtual
async def test_these_become_a_get_without_the_body_and_what_describes_it(status: int) -> None:
    world = World()
    world.home.answers(b"moved", status, to("/x?y")).answers(b"out")
    result = await world.client()(call((b"x-tenant", b"t"), (b"content-encoding", b"gzip")))
    again = world.home.requests[1]
    assert result.body == b"out"
    assert (again.method, again.target, again.body, again.deadline) == (b"GET", b"/x?y", b"", 7.0)
    assert again.headers == [(b"x-tenant", b"t"), (b"referer", b"http://models.example/a/b?c")]


@pytest.mark.parametrize("status", [307, 308])
@virtual
async def test_these_send_the_same_again(status: int) -> None:
    world = World()
    world.home.answers(b"moved", status, to("x")).answers(b"out", 404)
    result = await world.client()(call())
    again = world.home.requests[1]
    assert (result.status, result.body) == (404, b"out")
    assert (again.method, again.target, again.body) == (b"POST", b"/a/x", b"in")
    assert (b"content-type", b"application/json") in again.headers


@pytest.mark.parametrize(("status", "headers"), [(300, to("/x")), (304, to("/x")), (302, []), (307, to(""))])
@virtual
async def test_an_answer_that_leads_nowhere_is_the_answer(status: int, headers: Headers) -> None:
    world = World()
    world.home.answers(b"?", status, headers)
    result = await world.client()(call())
    assert (result.status, result.body) == (status, b"?")


@pytest.mark.parametrize(
    ("location", "origin", "target"),
    [
        ("http://other:81/p?q#f", "http://other:81", b"/p?q"),
        ("//other", "http://other", b"/"),
        ("https://models.example/a", "https://models.example", b"/a"),
        ("HTTP://other/%41 \xe9", "http://other", b"/%41%20%E9"),
        ("http://other?q", "http://other", b"/?q"),
        ("http://[::1]:8080/", "http://[::1]:8080", b"/"),
    ],
)
@virtual
async def test_to_another_origin(location: str, origin: str, target: bytes) -> None:
    world = World()
    world.home.answers(b"", 308, to(location))
    world.at(origin).answers(b"out")
    assert (await world.client()(call())).body == b"out"
    assert [request.target for request in world.at(origin).requests] == [target]


@virtual
async def test_ten_are_too_many() -> None:
    world = World()
    for _ in range(9):
        world.home.answers(b"", 307, to("/on"))
    world.home.answers(b"out")
    assert (await world.client()(call())).body == b"out"
    for _ in range(10):
        world.home.answers(b"", 307, to("/on"))
    with pytest.raises(RouterError, match=r'^Post "/on": stopped after 10 redirects$'):
        await world.client()(call())
    assert len(world.home.requests) == 20


CREDENTIALS: Headers = [(b"authorization", b"a"), (b"cookie", b"c"), (b"x-key", b"k"), (b"x-tenant", b"t")]


@pytest.mark.parametrize(
    ("location", "goes"),
    [
        ("/x", True),
        ("http://models.example:81/x", True),
        ("http://eu.models.example/x", True),
        ("http://othermodels.example/x", False),
        ("http://example/x", False),
        ("http://[::1]/x", False),
    ],
)
@virtual
async def test_credentials_stay_at_home(location: str, goes: bool) -> None:
    world = World()
    world.home.answers(b"", 307, to(location)).always(answer(b"out"))
    there = MockService().always(answer(b"out"))
    await Redirects(HOME, world.home, lambda origin: there, frozenset((b"x-key",)))(call(*CREDENTIALS))
    request = there.requests[0] if there.requests else world.home.requests[1]
    names = {name for name, _ in request.headers}
    private = {b"authorization", b"cookie", b"x-key"}
    assert b"x-tenant" in names
    assert names & private == (private if goes else set())


@virtual
async def test_credentials_once_left_behind_do_not_come_back() -> None:
    world = World()
    world.home.answers(b"", 307, to("http://other/x")).answers(b"out")
    world.at("http://other").answers(b"", 307, to("http://models.example/back"))
    await world.client()(call((b"authorization", b"a")))
    assert b"authorization" not in {name for name, _ in world.home.requests[1].headers}


@virtual
async def test_the_referer_is_the_last_url_and_never_leaves_tls() -> None:
    world = World()
    home = Origin("models.example", 443, tls=True)
    world.home.answers(b"", 307, to("/b")).answers(b"", 307, to("http://other/c"))
    world.at("http://other").answers(b"out")
    await world.client(home=home)(call((b"referer", b"the client's own")))
    assert (b"referer", b"https://models.example/a/b?c") in world.home.requests[1].headers
    assert not [name for name, _ in world.at("http://other").requests[0].headers if name == b"referer"]


@pytest.mark.parametrize(
    ("location", "cause"),
    [
        ("ftp://x/y", 'Post "ftp://x/y": unsupported protocol scheme "ftp"'),
        (
            "http://a b/",
            'Post "http://models.example/a/b?c": failed to parse Location header "http://a b/": '
            'parse "http://a b/": invalid character " " in host name',
        ),
        ("http:///x", 'Post "http:///x": http: no Host in request URL'),
    ],
)
@virtual
async def test_where_go_does_not_go(location: str, cause: str) -> None:
    world = World()
    world.home.answers(b"", 302, to(location))
    with pytest.raises(RouterError) as caught:
        await world.client()(call())
    assert caught.value.cause == cause


@pytest.mark.parametrize("location", ["http://[/", "http://[::g]/", "http://other:99999/"])
@virtual
async def test_no_location_is_a_bug(location: str) -> None:
    world = World()
    world.home.answers(b"", 302, to(location))
    with pytest.raises(RouterError):
        await world.client()(call())


@virtual
async def test_a_failure_on_the_way_knows_its_url() -> None:
    world = World()
    world.home.answers(b"", 302, to("http://other:81/p")).fails(UpstreamConnectFailure("refused"))
    world.at("http://other:81").fails(UpstreamConnectFailure("refused"))
    with pytest.raises(UpstreamConnectFailure) as caught:
        await world.client()(call())
    assert caught.value.url == "http://other:81/p"
    with pytest.raises(UpstreamConnectFailure) as caught:
        await world.client()(call())
    assert caught.value.url == ""
