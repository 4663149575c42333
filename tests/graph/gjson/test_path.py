from __future__ import annotations

from gateway.graph.gjson.path import Compiler
from gateway.graph.gjson.text import MISSING


def test_a_piece_of_a_path_is_read_once() -> None:
    compiler = Compiler()
    assert compiler.path("a.b") is compiler.path("a.b")
    assert compiler.component("b") is compiler.component("b")


def test_a_program_does_not_grow_with_the_documents_it_meets() -> None:
    """Every level may be an object or an array; what follows is the same text either way, and is kept once."""
    compiler = Compiler()
    path = compiler.path(".".join("0" * 8))
    for kinds in range(256):
        document: object = 1
        for level in range(8):
            document = [document] if kinds >> level & 1 else {"0": document}
        assert path(document) == 1
    assert len(compiler._components) == 8


def test_what_follows_a_multipath_without_a_separator_takes_its_place() -> None:
    path = Compiler().path
    assert path("[a]b")({"a": 1, "b": 2}) == 2
    assert path("[a")({"": 3}) == 3
    assert path("@this x")({"a": 1}) is MISSING
