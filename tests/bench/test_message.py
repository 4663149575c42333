from __future__ import annotations

import pytest
from message import whole


@pytest.mark.parametrize("missing", range(1, 5))
def test_a_message_is_whole_when_all_of_its_body_is_there(missing: int) -> None:
    head, body = b"POST / HTTP/1.1\r\nContent-Length: 4", b"body"
    sent = head + b"\r\n\r\n" + body
    assert whole(sent) == (head, body)
    assert whole(sent[:-missing]) is None
    assert whole(head) is None


def test_without_a_length_there_is_no_body() -> None:
    assert whole(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") == (b"GET / HTTP/1.1\r\nhost: a", b"")
