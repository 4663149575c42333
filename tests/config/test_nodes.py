import pytest

from gateway.config.nodes import MappingNode, ScalarNode, SequenceNode, described, is_null
from gateway.config.report import Place

PLACE = Place("f")


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null(text: str) -> None:
    assert is_null(ScalarNode(text, True, PLACE))
    assert not is_null(ScalarNode(text, False, PLACE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing"),
        ("5", "the number 5"),
        ("-1.5e3", "the number -1.5e3"),
        (".inf", "the number .inf"),
        ("true", "the truth value true"),
        ("yes", "'yes'"),
        ("iris", "'iris'"),
    ],
)
def test_scalars_described(text: str, words: str) -> None:
    assert described(ScalarNode(text, True, PLACE)) == words


def test_others_described() -> None:
    assert described(MappingNode([], PLACE)) == "a mapping"
    assert described(SequenceNode([], PLACE)) == "a list"
    assert described(ScalarNode("5", False, PLACE)) == "'5'"
