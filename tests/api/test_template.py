from __future__ import annotations

import pytest

from gateway.api.template import template


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/v1/models/iris:predict", "/v1/models/{model}:predict"),
        (b"/v1/models/iris:explain?x=1", "/v1/models/{model}:explain"),
        (b"/v1/models/iris/versions/3:predict", "/v1/models/{model}/versions/{version}:predict"),
        (b"/v1/models/iris", "/v1/models/{model}"),
        (b"/v2/models/iris/infer", "/v2/models/{model}/infer"),
        (b"/v2/models/a%2Fb/versions/1/infer", "/v2/models/{model}/versions/{version}/infer"),
        (b"/", None),
        (b"/v1/chat/completions", None),
        (b"/v2/models/iris/infer/secret-4711", None),
        (b"/v1/models/a/b:predict", None),
    ],
)
def test_templates(target: bytes, expected: str | None) -> None:
    assert template(target) == expected
