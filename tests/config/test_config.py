"""The package's own interface."""

import subprocess
import sys

import pytest

import gateway.config


@pytest.mark.parametrize("name", gateway.config.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(gateway.config, name).__name__ == name


def test_no_other_is() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = gateway.config.nonsense


def test_the_structs_alone_cost_no_yaml() -> None:
    code = "import sys, gateway.config.schema; sys.exit('yaml' in sys.modules or 'jmespath' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
