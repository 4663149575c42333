import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.substitute import substitute

ENVIRON = {"HOST": "example", "EMPTY": "", "_a1": "x"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("http://${HOST}:80", "http://example:80"),
        ("${HOST}${_a1}", "examplex"),
        ("${NONE:-http://a:1/}", "http://a:1/"),
        ("${HOST:-other}", "example"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${NONE:-}", ""),
        ("$$", "$"),
        ("$${HOST}", "${HOST}"),
        ("$$$$", "$$"),
        ("$request", "$request"),
        ("^x-tenant$", "^x-tenant$"),
        ("$HOST", "$HOST"),
        ("a$", "a$"),
        ("$$${HOST}", "$example"),
    ],
)
def test_fills_in_variables_and_leaves_other_dollars(text: str, filled: str) -> None:
    assert substitute(text, ENVIRON) == filled


def test_a_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"the environment variable NONE is not set"):
        substitute("a ${NONE} b", ENVIRON)


@pytest.mark.parametrize("text", ["${", "${}", "${1}", "${HOST", "${HO ST}", "${HOST:default}"])
def test_an_opening_that_opens_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="begins no variable"):
        substitute(text, ENVIRON)


@settings(deadline=None)
@given(st.text())
def test_doubled_dollars_give_back_any_text(text: str) -> None:
    assert substitute(text.replace("$", "$$"), {}) == text
