from gateway.config.report import ConfigError, ConfigErrors, Place, Report, dotted, suggestion


def test_an_error_is_one_line_that_editors_can_jump_to() -> None:
    assert str(ConfigError("a.yaml", 3, 5, "server.listen", "wrong")) == "a.yaml:3:5: server.listen: wrong"
    assert str(ConfigError("a.yaml", 1, 1, "", "no\nfile\x00")) == "a.yaml:1:1: no\\nfile\\x00"


def test_errors_are_one_line_each() -> None:
    errors = [ConfigError("a", 1, 1, "", "x"), ConfigError("a", 2, 1, "", "y")]
    assert str(ConfigErrors(errors)) == "a:1:1: x\na:2:1: y"
    assert ConfigErrors(errors).errors == errors


def test_paths() -> None:
    assert dotted(("graphs", "iris", "nodes", "root", "steps", 0, "weight")) == "graphs.iris.nodes.root.steps[0].weight"


def test_suggestions_are_near_or_none() -> None:
    assert suggestion("backned", ["backend", "data"]) == "; did you mean 'backend'?"
    assert suggestion("max_body_bytes", ["maxBodyBytes"]) == "; did you mean 'maxBodyBytes'?"
    assert suggestion("SEQUENCE", ["Sequence"]) == "; did you mean 'Sequence'?"
    assert suggestion("retry", ["url", "path"]) == ""


def test_a_place_is_that_of_the_nearest_mapping_known() -> None:
    report = Report("f")
    report.mark(("a",), Place("f", 2, 1))
    assert report.place(("a", "b", 0)) == Place("f", 2, 1)
    assert report.place(("b",)) == Place("f", 1, 1)


def test_what_could_not_be_read_is_not_judged() -> None:
    report = Report("f")
    report.error(("a", "b"), "wrong type")
    report.conflict(("a", "b"), "same")
    report.conflict(("a", "b", "c"), "inside")
    report.conflict(("a",), "misses the key that b was meant to be")
    report.conflict(("x",), "elsewhere")
    assert [error.message for error in report.errors] == ["wrong type", "elsewhere"]


def test_a_place_may_conflict_twice_but_says_each_thing_once() -> None:
    report = Report("f")
    for message in ("no target", "no weight", "no weight"):
        report.conflict(("step",), message)
    assert [error.message for error in report.errors] == ["no target", "no weight"]


def test_the_order_is_that_of_the_files_lines() -> None:
    report = Report("f")
    report.files = ["b", "a"]
    for place in (Place("b", 9, 1), Place("b", 2, 7), Place("a", 1, 1), Place("b", 2, 3)):
        report.error((), str(place), place)
    report.sort()
    assert [error.message for error in report.errors] == ["b:2:3", "b:2:7", "b:9:1", "a:1:1"]
