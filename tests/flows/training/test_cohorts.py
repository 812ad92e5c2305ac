"""A later cohort is unlike earlier ones: forecasts of it are no surer than those showed that they may be."""

from dataclasses import replace

import numpy as np
import pytest

from data.bundle.answers import grade_sets
from data.bundle.bundle import open_session
from data.bundle.reasons import Tempering, noise_of
from flows.training.cohorts import (
    HeldCohorts,
    cautious_thresholds,
    cohort_folds,
    describe_tempering,
    fit_tempering,
)
from flows.training.data import TrainingData
from flows.training.families import refit_booster
from flows.training.metrics import calibrate
from flows.training.onnx_export import TOLERANCE, export, parity
from tests.flows.training.students import make_students

CLASSES = 4


def cohorts_of(count: int, spread: float, seed: int, rows: int = 800) -> list[HeldCohorts]:
    """Generate cohorts and forecasts that are right on average: each cohort has a shift of its own."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        margins = 1.2 * rng.standard_t(5, size=(rows, CLASSES))
        truth = shares_of(margins + spread * rng.normal(size=CLASSES) * (1 + rng.normal(size=(rows, 1)) / 4))
        y = (truth.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
        made.append(HeldCohorts(np.full(rows, number), np.zeros(rows, int), y, shares_of(margins)))
    return made


def shares_of(margins: np.ndarray) -> np.ndarray:
    raised = np.exp(margins - margins.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def together(cohorts: list[HeldCohorts]) -> HeldCohorts:
    names = ("cohort", "as_of", "y", "probabilities")
    return HeldCohorts(*(np.concatenate([getattr(one, name) for one in cohorts]) for name in names))


def too_sure(cohort: HeldCohorts, probabilities: np.ndarray) -> float:
    return float(probabilities.max(axis=1).mean() - (probabilities.argmax(axis=1) == cohort.y).mean())


def test_forecasts_of_new_cohorts_claim_no_more_than_comes_true() -> None:
    tempering = fit_tempering(together(cohorts_of(4, 1.0, seed=1)), column=0)
    assert tempering is not None
    new = cohorts_of(60, 1.0, seed=2)
    before = [too_sure(one, one.probabilities) for one in new]
    after = [too_sure(one, tempering.apply(one.probabilities, one.as_of)) for one in new]
    assert np.mean(before) > 0.04
    assert -0.04 < np.mean(after) < 0.01


def test_where_cohorts_are_alike_nothing_is_made_less_sure() -> None:
    found = [fit_tempering(together(cohorts_of(4, 0.0, seed=seed)), column=0) for seed in range(20)]
    temperatures = [1.0 if one is None else 1 / one.sharpness[0] for one in found]
    assert np.mean(temperatures) < 1.07
    assert max(temperatures) < 1.15


def test_grade_sets_of_new_cohorts_hold_the_class_nearly_as_often_as_promised() -> None:
    earlier, new = cohorts_of(5, 0.8, seed=3), cohorts_of(60, 0.8, seed=4)
    known = together(cohorts_of(5, 0.0, seed=5))  # of students held out, whose cohort the model knew
    usual = calibrate(known.probabilities, known.y).least
    cautious = cautious_thresholds(usual, earlier)

    def share_held(least: tuple[float, ...]) -> float:
        sets = [(grade_sets(one.probabilities, least), one.y) for one in new]
        return float(np.mean([min(s[y == k, k].mean() for k in range(CLASSES)) for s, y in sets]))

    assert all(low <= own for low, own in zip(cautious, usual, strict=True))
    assert share_held(usual) < 0.84
    assert share_held(cautious) >= 0.87


def test_a_cohort_says_nothing_of_a_class_that_it_hardly_has() -> None:
    few = cohorts_of(2, 0.0, seed=5, rows=120)
    assert cautious_thresholds((0.1,) * CLASSES, few) == (0.1,) * CLASSES


def dated(cohorts: list[str], students: list[int] | None = None) -> TrainingData:
    whose = np.arange(len(cohorts)) if students is None else np.array(students)
    days = np.zeros(len(cohorts), int)
    return replace(make_students(len(cohorts)), students=whose, as_of=days, cohorts=np.array(cohorts))


def test_whoever_is_in_the_cohort_held_out_is_in_no_training_row() -> None:
    names = ["2023", "2024", "", "2022"] * 30
    data = dated(names, [n // 2 for n in range(120)])
    folds = cohort_folds(data)
    assert data.cohorts is not None
    assert data.students is not None
    assert [set(data.cohorts[held]) for _, held in folds] == [{"2022"}, {"2023"}, {"2024"}]
    for rest, held in folds:
        assert not set(data.students[rest]) & set(data.students[held])


@pytest.mark.parametrize("names", [["2024"], ["2024", ""]], ids=["one", "one and unknown"])
def test_one_cohort_alone_says_nothing_of_another(names: list[str]) -> None:
    data = dated(names * (60 // len(names)))
    assert cohort_folds(data) == []
    assert HeldCohorts.of(data, [], []) is None


@pytest.mark.parametrize("days", [(0, 30, 90), (30,)], ids=str)
def test_the_graph_answers_as_sure_as_it_may_on_any_day(days: tuple[int, ...]) -> None:
    data = make_students(kind="softmax")
    fitted = refit_booster(data, {"max_depth": 2, "learning_rate": 0.3}, 20, seed=1)
    X = np.tile(data.X[:1], (9, 1))
    X[:, 0] = [-10, 0, 10, 29, 30, 45, 89, 90, 400]
    tempering = Tempering(days, (0.5, 0.8, 1.0)[: len(days)], column=0)
    link = fitted.link(1.0)
    session = open_session(export(fitted.model, link, tempering).SerializeToString())

    assert parity(fitted.model, link, session, X, tempering) <= TOLERANCE
    assert parity(fitted.model, link, session, X) > TOLERANCE
    noise = noise_of({"kind": "softmax", "sigma": 1.0, "tempering": vars(tempering)}, X)
    known = (1 / np.array([0.5, 0.5, 0.6, 0.79, 0.8, 0.85, 0.9967, 1, 1])) if len(days) > 1 else 2.0
    assert noise == pytest.approx(known, abs=1e-3)


def test_the_card_says_how_much_less_sure_and_why() -> None:
    (sentence,) = describe_tempering(Tempering((0, 30), (0.8, 1.0), column=0))
    assert sentence.endswith("Forecasts are made as uncertain: temperature 1.25 on day 0.")
    assert describe_tempering(None) == []
