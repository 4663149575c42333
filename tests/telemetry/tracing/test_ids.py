from __future__ import annotations

import re
from itertools import islice

import pytest

from gateway.telemetry.tracing.ids import Digits, lines, roots
from gateway.telemetry.tracing.sampler import Sampler, bound


def test_digits_are_never_handed_out_twice() -> None:
    digits = Digits()
    drawn = [digits(count) for count in (16, 32) * 500]
    assert {len(one) for one in drawn} == {16, 32}
    assert len(set(drawn)) == len(drawn)
    assert re.fullmatch(b"[0-9a-f]*", b"".join(drawn))


def test_each_line_has_its_own_trace_in_every_place() -> None:
    ids = b"?" * 32 + b"-" + b"?" * 16
    made = lines(b"a: " + ids + b"\r\nb: " + ids + b"\r\n", Digits()(16 * 256))
    matches = [re.fullmatch(rb"a: ([0-9a-f]{32}-[0-9a-f]{16})\r\nb: \1\r\n", line) for line in made]
    assert all(matches)
    assert len({match[1][16:32] for match in matches if match}) == len(made)


def test_batches_differ() -> None:
    drawn = roots(b"?" * 48, bound(0.0))
    one, other = ([line[:16] for line in islice(drawn, 256) if line] for _ in range(2))
    assert len({*one}) == len({*other}) == len({*one} & {*other}) + 1 == 1


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_a_root_has_lines_unless_it_is_to_be_traced(ratio: float) -> None:
    drawn = list(islice(roots(b"trace " + b"?" * 32, bound(ratio)), 20_000))
    told = [line for line in drawn if line is not None]
    sampler = Sampler(bound(ratio), by_parent=False)
    assert not any(sampler(None, line[6:]) for line in told)
    assert len(set(told)) == len(told)
    assert (len(drawn) - len(told)) / len(drawn) == pytest.approx(ratio, abs=0.02)
    assert (len(told) == len(drawn)) == (ratio == 0.0)
