from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.formats import text
from gateway.formats.template import GAP, Template
from tests.formats.servers import Number, dumps

scalars = st.sampled_from(("1e400", "9007199254740993")).map(Number) | st.booleans() | st.none() | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def test_gaps_are_filled_in_the_order_of_the_text() -> None:
    template = Template(text.encode({"id": GAP, "kept": Raw(b"1e400"), "rows": [GAP, GAP]}))
    assert template.filled([Raw(b'"a"'), b"[1]", b"2"]) == b'{"id":"a","kept":1e400,"rows":[[1],2]}'
    assert template.filled([b"0", b"1.0", b"2"]) == b'{"id":0,"kept":1e400,"rows":[1.0,2]}'


def test_a_text_without_gaps_is_itself() -> None:
    assert Template(b"{}").filled([]) == b"{}"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_values_as_gaps(count: int) -> None:
    with pytest.raises(ValueError):
        Template(text.encode([GAP, GAP])).filled([b"1"] * count)


@given(values, values)
def test_nothing_that_was_checked_is_taken_for_a_gap(kept: object, filled: object) -> None:
    members = text.members(dumps({"\0": kept, "kept": kept}))
    template = Template(text.encode({**members, "gap": GAP}))
    assert template.filled([dumps(filled)]) == dumps({"\0": kept, "kept": kept, "gap": filled})
