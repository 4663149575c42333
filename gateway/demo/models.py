"""Two real classifiers for the demo, trained on the spot. Nothing is downloaded: scikit-learn brings the iris data."""

from __future__ import annotations

from typing import Any, Final

from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

FEATURES: Final = ("sepal length", "sepal width", "petal length", "petal width")
"""What a row holds, in centimetres."""

LARGEST: Final = 3.4e38
"""The trees work on float32."""

Rows = list[list[float]]


class BadInput(ValueError):
    """The client sent what the model cannot take; both protocols answer 400."""


class Classifier:
    """A trained model: rows of four measurements in, one species a row out."""

    def __init__(self, name: str, estimator: Any, species: list[str]) -> None:
        self.name = name
        self.species = species
        self._estimator = estimator

    def probabilities(self, rows: Rows) -> list[list[float]]:
        """One row of probabilities for each of ``rows``, in the order of ``species``."""
        return [[float(p) for p in row] for row in self._estimator.predict_proba(rows)]

    def labels(self, rows: Rows) -> list[str]:
        """The likeliest species for each of ``rows``."""
        return [self.species[row.index(max(row))] for row in self.probabilities(rows)]


def train() -> dict[str, Classifier]:
    """A logistic regression and a random forest, by name; the same ones every time."""
    flowers = load_iris()
    species = [str(name) for name in flowers.target_names]
    estimators = {
        "logistic": LogisticRegression(max_iter=1000),
        "forest": RandomForestClassifier(n_estimators=20, random_state=0),
    }
    return {
        name: Classifier(name, estimator.fit(flowers.data, flowers.target), species)
        for name, estimator in estimators.items()
    }


def flowers() -> Rows:
    """The 150 measured flowers of the iris data."""
    return [[float(value) for value in row] for row in load_iris().data]


def check_rows(rows: object) -> Rows:
    """``rows`` itself, if it is a non-empty list of rows of four numbers. Raises BadInput."""
    if not isinstance(rows, list) or not rows:
        raise BadInput("expected a non-empty list of rows")
    for index, row in enumerate(rows):
        _check_row(index, row)
    return rows


def _check_row(index: int, row: object) -> None:
    if not isinstance(row, list):
        raise BadInput(f"row {index} is not a list of numbers")
    if len(row) != len(FEATURES):
        raise BadInput(f"row {index} has {len(row)} features, the model takes {len(FEATURES)}: {', '.join(FEATURES)}")
    if not all(_is_number(value) for value in row):
        raise BadInput(f"row {index} holds something that is not a float32 number")


def _is_number(value: object) -> bool:
    # bool is an int to Python, but true is not a number in JSON. NaN is not less than anything.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
