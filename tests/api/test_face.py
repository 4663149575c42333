from __future__ import annotations

import pytest

from gateway.api.face import fixed, json_answer, missing, nothing
from gateway.errors import GraphNotFound
from tests.support.clock import virtual
from tests.support.service import ask


def test_a_json_answer() -> None:
    response = json_answer({"ü": [1, 2.5, None]}, 503)
    assert response.status == 503
    assert response.headers == [(b"content-type", b"application/json")]
    assert response.body == '{"ü":[1,2.5,null]}'.encode()


@virtual
async def test_a_fixed_answer_is_a_new_message_each_time() -> None:
    service = fixed({"live": True})
    one, two = await service(ask()), await service(ask())
    assert one.body == two.body == b'{"live":true}'
    assert one.headers is not two.headers


@virtual
async def test_missing_is_a_404_with_the_reason() -> None:
    with pytest.raises(GraphNotFound, match="no such thing"):
        await missing("no such thing")(ask())


@virtual
async def test_nothing_is_a_404_for_every_usual_method() -> None:
    for service in nothing("gone").values():
        with pytest.raises(GraphNotFound, match="gone"):
            await service(ask())
