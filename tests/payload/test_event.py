import msgspec

from gateway.payload.event import Event, decode, encode

EVENT = Event("response", "x-1", 1.5, "g", body=b"\x00\xff", size=9, headers=[("a", "b")], status=200)


def test_it_survives_the_spool() -> None:
    assert decode(encode(EVENT)) == EVENT


def test_an_older_spool_can_be_read() -> None:
    assert decode(msgspec.msgpack.encode(["request", "x-1", 1.5, "g"])) == Event("request", "x-1", 1.5, "g")


def test_a_body_that_is_shorter_than_it_was_is_truncated() -> None:
    assert EVENT.truncated
    assert not Event("request", "x", 0.0, "g", body=b"ab", size=2).truncated
