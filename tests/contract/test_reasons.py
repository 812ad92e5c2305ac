"""Reasons say what they are about and in which unit, and add up to it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from data.bundle.bundle import method
from data.bundle.manifest import FamilyName
from data.bundle.models import DenseModel, Layer, TreeModel
from data.bundle.reasons import LOG_ODDS, NOISE, RISK, column_effects, effect_in_words, kind_of, scale_of
from data.contract.contract import Contract, load_contract
from data.rows.records import feature_space
from flows.reports.card import model_card
from flows.training.ordinal import OrdinalLink
from tests.flows.reports.evidences import changed, grade_evidence


@pytest.fixture(scope="module")
def after_school() -> Contract:
    return load_contract("after_school")


def latent_of(contract: Contract) -> tuple[TreeModel, np.ndarray]:
    """A booster of one latent that rises with the first column, and the two ends of that column."""
    rows = np.random.default_rng(0).normal(size=(200, len(feature_space(contract).names)))
    booster = xgb.train({"max_depth": 1, "eta": 0.5}, xgb.DMatrix(rows, label=3 * rows[:, 0]), 20)
    ends = np.zeros((2, rows.shape[1]))
    ends[:, 0] = (3, -3)
    return TreeModel.of(booster), ends


def margins_of(contract: Contract, seed: int = 0) -> DenseModel:
    """A model that weighs each class of a contract, its numbers drawn at random."""
    rng, width = np.random.default_rng(seed), len(feature_space(contract).names)
    classes = len(contract.target.labels)
    layer = Layer(
        weights=rng.normal(0, 2, (width, classes)).tolist(), biases=rng.normal(size=classes).tolist()
    )
    return DenseModel(
        fills=(0.0,) * width, marked=(), means=(0.0,) * width, scales=(1.0,) * width, layers=(layer,)
    )


@pytest.mark.parametrize(
    ("kind", "unit"), [("score", "grade points"), ("ordinal", NOISE), ("softmax", LOG_ODDS)]
)
def test_reasons_are_in_the_scores_unit_only_of_a_model_that_learned_the_score(
    kind: str, unit: str, grade_class: Contract
) -> None:
    scale = scale_of(grade_class.target, kind)
    assert (scale.unit, scale.toward, scale.own) == (unit, ("A",), kind != "score")
    assert effect_in_words(scale) == f"in {unit}"


def test_without_an_order_reasons_are_about_being_at_risk(after_school: Contract) -> None:
    scale = scale_of(after_school.target, "softmax")
    assert (scale.unit, scale.toward) == (LOG_ODDS, ("No place",))
    assert effect_in_words(scale) == "in log odds, for and against No place"


@pytest.mark.parametrize("at_risk", [["No place"], ["Apprenticeship", "No place"], ["University"]])
def test_those_of_an_earlier_release_add_up_to_the_log_odds_of_being_at_risk(
    at_risk: list[str], after_school: Contract
) -> None:
    contract, sigma = changed(after_school, at_risk=at_risk), 0.7
    model = margins_of(contract)
    rows = np.random.default_rng(1).normal(size=(300, len(feature_space(contract).names)))

    effects = column_effects(model, rows, contract, "softmax", {"kind": "softmax", "sigma": sigma})

    shares = np.exp(model.latent(np.vstack([rows, 0 * rows[:1]])) / sigma)
    risky = [label in at_risk for label in contract.target.labels]
    log_odds = np.log(shares[:, risky].sum(axis=1) / shares[:, np.invert(risky)].sum(axis=1))
    assert effects.sum(axis=1) == pytest.approx(log_odds[:-1] - log_odds[-1], abs=1e-3)
    assert effects.shape == (300, len(contract.features))


def head_of(
    about: str, levels: list[float], cuts: tuple[float, ...] = (), base: float = 0.01
) -> dict[str, Any]:
    """The head of a bundle with so many classes."""
    told = {"about": about, "levels": levels}
    return {"cuts": cuts, "sigma": 0.7, "base": [base] * len(levels), "reasons": told}


def expected_level(head: dict[str, Any], latent: np.ndarray) -> np.ndarray:
    link = OrdinalLink(
        "probit" if head["cuts"] else "softmax", head["cuts"], head["sigma"], tuple(head["base"])
    )
    return link.probabilities(latent) @ np.array(head["reasons"]["levels"])


@pytest.mark.parametrize("levels", [[0.0, 0.0, 100.0], [0.0, 100.0, 100.0], [15.0, 11.0, 3.0]])
def test_they_lead_from_the_average_student_to_this_one_in_risk_or_points(
    levels: list[float], after_school: Contract
) -> None:
    model, head = margins_of(after_school), head_of("risk", levels)
    rows = np.random.default_rng(1).normal(size=(300, len(feature_space(after_school).names)))

    effects = column_effects(model, rows, after_school, "softmax", head)

    level = expected_level(head, model.latent(np.vstack([rows, 0 * rows[:1]])))
    assert np.ptp(effects.sum(axis=1)) > np.ptp(levels) / 2
    assert effects.sum(axis=1) == pytest.approx(level[:-1] - level[-1], abs=1e-3 * np.ptp(levels))


def test_of_an_ordinal_latent_they_lead_there_too_and_of_the_average_student_they_are_nothing(
    grade_class: Contract,
) -> None:
    model, rows = latent_of(grade_class)
    head = head_of("risk", [0, 0, 0, 100, 100], cuts=(2.0, 1.0, 0.0, -1.0))

    effects = column_effects(model, rows, grade_class, "ordinal", head)

    average = model.contributions(rows)[:1, -1].astype(float)
    level = expected_level(head, np.concatenate([model.latent(rows).astype(float), average]))
    assert effects.sum(axis=1) == pytest.approx(level[:2] - level[2], abs=1e-3)
    assert effects[0, 0] < 0 < effects[1, 0], "a high latent speaks against the risk"


def test_the_head_says_whether_they_are_points_of_a_score_or_of_the_risk(
    grade_class: Contract, after_school: Contract
) -> None:
    risk = scale_of(after_school.target, "softmax", head_of("risk", [0, 0, 100]))
    score = scale_of(grade_class.target, "softmax", head_of("score", [4, 3, 2, 1, 0]))
    assert (risk.unit, risk.toward, risk.own) == (RISK, ("No place",), False)
    assert effect_in_words(risk) == "in percentage points of risk, for and against No place"
    assert (score.unit, score.toward, score.ordered) == ("grade points", ("A",), True)


@pytest.mark.parametrize(("at_risk", "sign"), [("University", 1), ("No place", -1)])
def test_of_two_classes_without_an_order_it_is_the_one_at_risk_that_they_speak_for(
    at_risk: str, sign: int, after_school: Contract
) -> None:
    pair: dict[str, Any] = {"university": "University", "nothing": "No place"}
    contract = changed(after_school, classes=pair, at_risk=[at_risk])
    model, rows = latent_of(contract)

    effects = column_effects(model, rows, contract, "ordinal", {"kind": "probit", "sigma": 1.0})

    assert np.sign(effects[:, 0]).tolist() == [sign, -sign], "the latent itself speaks for the first class"


def test_an_ordinal_latent_is_told_in_units_of_its_noise_and_a_score_in_its_own(
    grade_class: Contract,
) -> None:
    model, rows = latent_of(grade_class)
    parts = model.contributions(rows)[:, 0]
    for kind, wanted in (("score", parts), ("ordinal", parts / 0.5)):
        effects = column_effects(model, rows, grade_class, kind, {"kind": "probit", "sigma": 0.5})
        assert effects[:, 0] == pytest.approx(wanted)


def test_what_the_oldest_bundles_do_not_say_is_told_by_their_head(
    grade_class: Contract, after_school: Contract
) -> None:
    assert kind_of({"kind": "probit"}, {}, grade_class.target) == "score"
    assert kind_of({"kind": "softmax"}, {}, after_school.target) == "softmax"
    assert kind_of({"kind": "probit"}, {"kind": "ordinal"}, grade_class.target) == "ordinal"


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
