"""A file to write configurations to, and what comes of it."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.config import Config, ConfigErrors, load

Read = Callable[..., Config]
Errors = Callable[..., list[str]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Loads a text as ``c.yaml``; keywords are the environment."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str, **environ: str) -> Config:
        Path("c.yaml").write_text(dedent(text).lstrip("\n"))
        return load(["c.yaml"], environ)

    return load_text


@pytest.fixture
def errors(read: Read) -> Errors:
    """The errors of a text, one line each, without the file's name."""

    def errors_of(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigErrors) as caught:
            read(text, **environ)
        return [str(error).removeprefix("c.yaml:") for error in caught.value.errors]

    return errors_of
