from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.buffers import UNCOUNTED, Buffers, Claim


def test_a_claim_holds_what_it_has_grown_to_until_nobody_has_it() -> None:
    buffers = Buffers(100.0)
    claim = Claim(buffers)
    assert claim.grow(30)
    assert claim.grow(70)
    assert buffers.used == 70
    del claim
    assert buffers.used == 0


def test_what_has_no_room_is_refused_and_leaves_things_as_they_were() -> None:
    buffers = Buffers(100.0)
    first, second = Claim(buffers), Claim(buffers)
    assert first.grow(60)
    assert second.grow(40)
    assert not second.grow(41)
    assert (buffers.used, buffers.refused) == (100, 1)
    del first
    assert second.grow(100)


def test_what_is_announced_must_fit_unless_it_is_small() -> None:
    buffers = Buffers(1.0)
    assert buffers.fits(UNCOUNTED)
    assert not buffers.fits(UNCOUNTED + 1)
    assert (buffers.used, buffers.refused) == (0, 1)


def test_without_a_limit_everything_fits() -> None:
    assert Buffers().fits(1 << 60)


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(0, 200))
def test_never_more_than_the_limit_and_nothing_is_left_behind(sizes: list[int], limit: int) -> None:
    buffers = Buffers(limit)
    claims = [Claim(buffers) for _ in sizes]
    held = [size for claim, size in zip(claims, sizes, strict=True) if claim.grow(size)]
    assert buffers.used == sum(held) <= limit
    assert buffers.refused == len(sizes) - len(held)
    claims.clear()
    del claims
    assert buffers.used == 0
