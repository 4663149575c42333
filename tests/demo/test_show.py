from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo import show
from gateway.demo.trouble import Trouble


def test_in_a_checkout_the_file_is_the_one_under_config() -> None:
    assert show.configuration() == Path(show.__file__).parents[2] / "config" / "demo.yaml"
    assert show.configuration().exists()


def test_trouble_is_one_line_and_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def troubled(once: bool) -> int:
        raise Trouble("port 8080 is taken")

    monkeypatch.setattr(show, "_show", troubled)
    assert show.run(once=False) == 1
    assert capsys.readouterr().err == "gateway demo: port 8080 is taken\n"


@pytest.mark.parametrize(("once", "code"), [(False, 0), (True, 1)])
def test_an_interrupt_is_a_fine_end_unless_it_cuts_the_tour_short(
    monkeypatch: pytest.MonkeyPatch, once: bool, code: int
) -> None:
    async def interrupted(once: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(show, "_show", interrupted)
    assert show.run(once=once) == code
