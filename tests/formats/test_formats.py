from __future__ import annotations

import pytest

from gateway.formats import format_of
from gateway.formats.paths import Paths
from gateway.formats.v1 import V1
from gateway.formats.v2 import V2


def test_the_protocol_decides() -> None:
    assert isinstance(format_of("v1"), V1)
    assert isinstance(format_of("v2"), V2)


@pytest.mark.parametrize("protocol", ["v1", "v2", "raw"])
def test_unless_the_configuration_says_where_rows_are(protocol: str) -> None:
    assert isinstance(format_of(protocol, "text", "predictions"), Paths)


@pytest.mark.parametrize("paths", [(), ("text",), (None, "predictions"), ("a..b", "c"), ("a", "")])
def test_what_cannot_be(paths: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        format_of("raw", *paths)
