"""A virtual environment for each server and client: what they need excludes what the others need."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path
from platform import python_version

HERE = Path(__file__).parent
HOMES = HERE.parents[1] / ".venvs"


class Unavailable(Exception):
    """Something cannot be had on this machine; the text says why."""


def python(name: str) -> str:
    """The interpreter that has what ``NAME.txt`` lists, installed on first use and when that file changes.

    Raises Unavailable.
    """
    wanted = (HERE / f"{name}.txt").read_text()
    home = HOMES / name
    interpreter, installed = str(home / "bin/python"), home / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted:
        _install(home, interpreter, name)
        installed.write_text(wanted)
    return interpreter


def _install(home: Path, interpreter: str, name: str) -> None:
    venv.create(home, clear=True, with_pip=True)
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    done = subprocess.run([*pip, "-r", str(HERE / f"{name}.txt")], capture_output=True, text=True)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1]
        raise Unavailable(f"{name} cannot be installed for Python {python_version()}: {why}")
