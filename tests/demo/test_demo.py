from __future__ import annotations

import importlib.util

import pytest

from gateway.demo import main


def test_without_scikit_learn_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(once=True) == 1
    assert "pip install 'inference-gateway[demo]'" in capsys.readouterr().err
