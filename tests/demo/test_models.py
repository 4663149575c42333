from __future__ import annotations

import pytest

from gateway.demo.models import BadInput, Classifier, check_rows, flowers, train

MODELS = train()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_models_have_learned_something(model: Classifier) -> None:
    assert model.labels([[5.1, 3.5, 1.4, 0.2], [6.8, 2.8, 4.8, 1.4]]) == ["setosa", "versicolor"]
    truth = [model.species[index // 50] for index in range(150)]
    right = sum(said == true for said, true in zip(model.labels(flowers()), truth, strict=True))
    assert right / 150 > 0.95


def test_training_gives_the_same_models_every_time() -> None:
    again = train()
    for name, model in MODELS.items():
        assert model.probabilities(flowers()) == again[name].probabilities(flowers())


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_probabilities_add_up(model: Classifier) -> None:
    for row in model.probabilities(flowers()):
        assert sum(row) == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (None, "non-empty list"),
        ([], "non-empty list"),
        ([1, 2, 3, 4], "row 0 is not a list"),
        ([[1, 2, 3, 4], [1, 2]], "row 1 has 2 features"),
        ([[1, 2, 3, "4"]], "not a float32 number"),
        ([[1, 2, 3, True]], "not a float32 number"),
        ([[1, 2, 3, float("nan")]], "not a float32 number"),
        ([[1e300, 2, 3, 4]], "not a float32 number"),
        ([[10**400, 2, 3, 4]], "not a float32 number"),
    ],
)
def test_what_is_not_four_numbers_a_row_is_refused(rows: object, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        check_rows(rows)
