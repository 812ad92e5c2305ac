"""The card says how a model forecasts, whichever its family."""

from dataclasses import replace

import pytest

from data.bundle.bundle import method
from data.bundle.manifest import FamilyName
from data.contract.contract import Contract
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
