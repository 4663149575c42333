import pytest

from gateway.batching.blame import can_be_a_row, parts
from gateway.message import Response


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, False), (304, False), (400, True), (403, False), (404, False), (413, True), (422, True), (429, False)],
)
def test_what_a_row_can_do(status: int, verdict: bool) -> None:
    assert can_be_a_row(Response(status, [])) is verdict


def test_what_a_row_can_do_to_a_server() -> None:
    assert [status for status in range(500, 600) if not can_be_a_row(Response(status, []))] == [502, 503, 504]


def test_halves_or_each_alone() -> None:
    assert parts([1, 2, 3], "bisect") == [[1], [2, 3]]
    assert parts([1, 2, 3], "individual") == [[1], [2], [3]]
