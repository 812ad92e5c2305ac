"""The card says how a model forecasts, whichever its family."""

from dataclasses import replace

import pytest

from data.contract import Contract
from data.manifest import FamilyName
from data.model_words import effect_unit, method
from flows.reports.card import model_card
from tests.flows.reports.evidences import grade_evidence


@pytest.mark.parametrize(
    ("family", "head", "words"),
    [
        ("xgboost", "probit", "One XGBoost booster predicts a latent score"),
        ("catboost", "probit", "One CatBoost model predicts a latent score"),
        ("catboost", "softmax", "One CatBoost model gives a margin for each class"),
        ("logistic", "softmax", "One logistic regression gives a margin for each class"),
        ("neural", "softmax", "One small neural network gives a margin for each class"),
    ],
)
def test_the_card_says_how_a_model_forecasts(
    family: FamilyName, head: str, words: str, grade_class: Contract
) -> None:
    evidence = grade_evidence(grade_class, 100)
    card = model_card(replace(evidence, params={**evidence.params, "family": family, "kind": head}), {})

    assert words in method(family, head)
    assert words in card
    assert ("Held to their known direction" in card) == (head == "probit")


def test_reasons_are_in_the_scores_unit_only_of_a_model_that_knows_the_score() -> None:
    assert effect_unit("grade points", "probit", ordered=True) == "grade points"
    assert effect_unit("grade points", "softmax", ordered=True) == "log odds"
    assert effect_unit("points", "softmax", ordered=False) == "points"
