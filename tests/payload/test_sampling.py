from hypothesis import given
from hypothesis import strategies as st

from gateway.config.payload import PayloadLog
from gateway.payload.sampling import position, sampling


def by_id(rate: float) -> PayloadLog:
    return PayloadLog(sink="s", sample_rate=rate, sample_by="requestId")


def test_all_need_no_decision() -> None:
    assert sampling(PayloadLog(sink="s")) is None
    assert sampling(by_id(1.0)) is None


def test_at_random() -> None:
    draws = iter([0.1, 0.29, 0.3, 0.9])
    sampled = sampling(PayloadLog(sink="s", sample_rate=0.3), lambda: next(draws))
    assert sampled is not None
    assert [sampled(b"same") for _ in range(4)] == [True, True, False, False]


def test_by_the_hash_of_the_request_id_the_share_is_right() -> None:
    sampled = sampling(by_id(0.25))
    assert sampled is not None
    share = sum(sampled(b"request-%d" % number) for number in range(4000)) / 4000
    assert 0.22 < share < 0.28


def test_the_hash_is_the_same_in_every_release() -> None:
    assert position(b"id-1") == 6534366926336042706


@given(st.binary(max_size=40), st.floats(0, 0.999), st.floats(0, 0.999))
def test_what_a_smaller_share_has_a_larger_one_has_too(request_id: bytes, one: float, other: float) -> None:
    few, many = (sampling(by_id(rate)) for rate in sorted((one, other)))
    assert few is not None
    assert many is not None
    assert many(request_id) or not few(request_id)


def test_none_at_all() -> None:
    sampled = sampling(by_id(0.0))
    assert sampled is not None
    assert not any(sampled(b"%d" % number) for number in range(100))
