from pathlib import Path

from gateway.config.reference import reference


def test_the_documentation_is_up_to_date() -> None:
    committed = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert committed.read_text() == reference(), "run: gateway schema --markdown > docs/configuration.md"


def test_rows() -> None:
    rows = reference().splitlines()
    assert "| `maxBodyBytes` | size | `64MiB` | The largest request body; beyond it 413. |" in rows
    assert "| `backend` or `serviceName` | text |  | Call this backend. |" in rows
    assert "## `graphs.<name>.nodes.<name>.steps[]`" in rows
    assert all(row.count(" | ") == 3 for row in rows if row.startswith("| `"))
