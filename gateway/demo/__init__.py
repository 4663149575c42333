"""``gateway demo``: two real models, the gateway in front of them and a short tour. Only this needs scikit-learn."""

from __future__ import annotations

import importlib.util
import sys


def main(once: bool) -> int:
    """Show the tour, then serve until Ctrl-C or TERM; with ``once`` end after the tour. Gives the exit code.

    1: something is missing or in the way, or with ``once`` the gateway's answers are not the models' own.
    """
    if importlib.util.find_spec("sklearn") is None:
        print("gateway demo: scikit-learn is missing: pip install 'inference-gateway[demo]'", file=sys.stderr)
        return 1
    from .show import run

    return run(once)
