"""A model as users have them: it knows handwritten digits by their 64 pixels. The servers read this file as well."""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

TREES = 200


def trained() -> RandomForestClassifier:
    """The same forest every time."""
    digits = load_digits()
    return RandomForestClassifier(n_estimators=TREES, random_state=0).fit(digits.data, digits.target)
