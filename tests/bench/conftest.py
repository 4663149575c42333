"""The bench is a set of scripts beside each other, not a package: its tests import them as run.py does."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench"))
