"""Whether grades follow from records as before; labels that cannot be right."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohorts import leaving_exam
from data.cohorts.grades import generate, true_probabilities
from data.contract.columns import Target
from data.contract.contract import Contract, load_contract
from data.errors import Stopped
from data.rows.frames import parse, target_index
from flows.drift import Drift, OnDrift, stop_on_drift
from flows.drift_gate.relation import (
    Judged,
    Subgroup,
    group_finding,
    label_fault,
    label_noise_losses,
    loss_finding,
    own_fault,
    residual_finding,
    risk_backwards,
    subgroups,
)
from flows.drift_gate.verdict import _judged
from flows.registry.promotion import against_champion
from flows.training.ordinal import row_losses
from tests.flows.gates.conftest import Ask

MANY = 5_000


@pytest.fixture(scope="module")
def target(contract: Contract) -> Target:
    return contract.target


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    return generate(1_000, seed=4)


@pytest.fixture(scope="module")
def truth(cohort: pd.DataFrame) -> np.ndarray:
    return true_probabilities(cohort)


@pytest.fixture(scope="module")
def y(cohort: pd.DataFrame) -> np.ndarray:
    return cohort["GradeClass"].to_numpy(dtype=int)


def whole(n: int, share: float = 1.0) -> Subgroup:
    return Subgroup("all rows", np.ones(n, dtype=bool), share)


def test_classes_that_follow_from_the_features_pass(truth: np.ndarray, y: np.ndarray, target: Target) -> None:
    assert loss_finding(truth, y, MANY, 0.005).verdict == "pass"
    assert residual_finding(truth, y, [whole(1_000)], MANY, target, 0.01).verdict == "pass"


def test_random_classes_cost_more_than_the_champion_expects(truth: np.ndarray, y: np.ndarray) -> None:
    wrong = y.copy()
    wrong[:90] = np.random.default_rng(1).integers(0, 5, 90)
    found = loss_finding(truth, wrong, MANY, 0.005)
    assert found.verdict == "drift"
    assert "where the champion expects" in found.words


def test_classes_copied_from_the_forecast_cost_too_little_and_that_is_drift(truth: np.ndarray) -> None:
    assert loss_finding(truth, truth.argmax(axis=1), MANY, 0.005).verdict == "drift"


def test_one_impossible_label_is_no_drift(truth: np.ndarray, y: np.ndarray) -> None:
    slipped = y.copy()
    slipped[truth[:, 4].argmax()] = 0
    assert loss_finding(truth, slipped, MANY, 0.005).verdict == "pass"


def test_a_champion_of_few_rows_is_allowed_a_larger_error(
    truth: np.ndarray, y: np.ndarray, target: Target
) -> None:
    biased = np.clip(y - (np.arange(1_000) % 10 == 0), 0, 4)
    strict = residual_finding(truth, biased, [whole(1_000)], MANY, target, 0.01)
    lenient = residual_finding(truth, biased, [whole(1_000)], 40, target, 0.01)
    assert strict.verdict == "drift"
    assert lenient.verdict == "pass"
    few, many = (loss_finding(truth, biased, rows, 0.005).score for rows in (100, MANY))
    assert few is not None
    assert many is not None
    assert few > many


def test_a_subgroup_that_the_champion_hardly_knew_is_allowed_a_larger_error(
    truth: np.ndarray, y: np.ndarray, target: Target
) -> None:
    biased = np.clip(y - (np.arange(1_000) % 10 == 0), 0, 4)
    rare = residual_finding(truth, biased, [whole(1_000, share=0.0001)], MANY, target, 0.01)
    assert rare.verdict == "pass"


def test_an_effect_that_is_gone_is_found_in_its_subgroup(contract: Contract, target: Target) -> None:
    before = parse(generate(2_392, 1), contract)
    raw = generate(400, 8, "tutoring-void")
    now = parse(raw, contract)
    y, truth = raw["GradeClass"].to_numpy(dtype=int), true_probabilities(raw)
    found = residual_finding(truth, y, subgroups(now, before, contract), 2_392, target, 0.01)
    assert found.verdict == "drift"
    assert found.words.startswith("Tutoring = Yes: 0.")
    assert "classes worse than forecast" in found.words


def test_of_unordered_classes_each_share_is_judged(truth: np.ndarray, y: np.ndarray, target: Target) -> None:
    unordered = target.model_copy(update={"ordered": False})
    swapped = np.where(y == 0, 1, y)
    found = residual_finding(truth, swapped, [whole(1_000)], MANY, unordered, 0.01)
    assert found.verdict == "drift"
    assert "points less often than forecast" in found.words
    assert residual_finding(truth, y, [whole(1_000)], MANY, unordered, 0.01).verdict == "pass"


def test_subgroups_are_the_codes_and_the_quarters_of_the_reference(contract: Contract) -> None:
    before, now = parse(generate(2_000, 1), contract), parse(generate(400, 2, "absences"), contract)
    found = {group.name: group for group in subgroups(now, before, contract)}
    quarters = [group for name, group in found.items() if name.startswith("Absences")]
    assert len(quarters) == 4
    assert sum(group.rows.sum() for group in quarters) == 400
    assert sum(group.share for group in quarters) == pytest.approx(1)
    assert quarters[0].rows.mean() < quarters[0].share
    assert not any(name.startswith(("Gender", "Ethnicity")) for name in found)


ROWS, CLASSES = 400, 4


def sure(classes: np.ndarray, share: float = 0.94) -> np.ndarray:
    """Forecasts that give one class a share and split the rest."""
    found = np.full((len(classes), CLASSES), (1 - share) / (CLASSES - 1))
    found[np.arange(len(classes)), classes] = share
    return found


@pytest.fixture
def drawn() -> np.ndarray:
    return np.random.default_rng(3).integers(0, CLASSES, ROWS)


def mixed_up(classes: np.ndarray, share: float) -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.where(rng.random(len(classes)) < share, rng.integers(0, CLASSES, len(classes)), classes)


def judged(challenger: np.ndarray, champion: np.ndarray) -> bool:
    return against_champion(challenger, champion, margin=0.01, new_students=0, seed=1).promoted


def test_a_model_that_only_learned_to_doubt_wins_until_the_champion_doubts_too(drawn: np.ndarray) -> None:
    y = mixed_up(drawn, 0.6)
    champion = sure(drawn)
    challenger = 0.4 * sure(drawn) + 0.6 / CLASSES
    assert judged(row_losses(challenger, y), row_losses(champion, y))
    losses, doubt = label_noise_losses(champion, y)
    assert 0.4 < doubt < 0.6  # some of what is drawn blindly is right by chance
    assert not judged(row_losses(challenger, y), losses)


def test_a_model_that_learned_a_changed_relation_wins_all_the_same(drawn: np.ndarray) -> None:
    changed = np.where(np.arange(ROWS) % 3 == 0, (drawn + 1) % CLASSES, drawn)
    losses, _ = label_noise_losses(sure(drawn, 0.8), changed)
    assert judged(row_losses(sure(changed, 0.8), changed), losses)


def test_where_a_champion_is_as_sure_as_it_may_be_there_is_no_doubt(drawn: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    champion = rng.dirichlet(np.ones(CLASSES), 4_000)
    y = (champion.cumsum(axis=1) > rng.random((4_000, 1))).argmax(axis=1)
    losses, doubt = label_noise_losses(champion, y)
    assert doubt < 0.03
    assert losses.mean() == pytest.approx(row_losses(champion, y).mean(), abs=0.002)


def test_doubt_never_makes_a_champion_worse(drawn: np.ndarray) -> None:
    for share in (0.0, 0.2, 0.9):
        y = mixed_up(drawn, share)
        losses, _ = label_noise_losses(sure(drawn), y)
        assert losses.mean() <= row_losses(sure(drawn), y).mean() + 1e-9


def test_without_rows_there_is_nothing_to_doubt() -> None:
    losses, doubt = label_noise_losses(np.zeros((0, CLASSES)), np.zeros(0, dtype=int))
    assert (len(losses), doubt) == (0, 0.0)


BATCH = 500
SHIFTS = [
    (None, None),
    ("absences", 6.0),
    ("prior-shift", 0.1),
    ("tutoring-void", 1.0),
    ("tutoring-void", -2.0),
    ("grading-inflation", 0.3),
    ("grading-inflation", 1.0),
    ("grading-inflation", -1.0),
]


@pytest.fixture(scope="module")
def known() -> tuple[np.ndarray, np.ndarray]:
    """What a champion that knows the rule says of new students, and their classes."""
    raw = generate(BATCH, seed=31)
    return true_probabilities(raw), raw["GradeClass"].to_numpy(dtype=int)


def exchanged(y: np.ndarray, places: list[int], share: float) -> np.ndarray:
    """Write the label places[k] for k, of a share of the students."""
    return np.where(np.random.default_rng(2).random(len(y)) < share, np.array(places)[y], y)


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize(
    ("places", "told"),
    [
        ([4, 1, 2, 3, 0], "A stands for F, F stands for A"),
        ([0, 2, 1, 3, 4], "B stands for C, C stands for B"),
        ([0, 1, 2, 4, 3], "D stands for F, F stands for D"),
        ([4, 3, 2, 1, 0], "A stands for F, B stands for D, D stands for B, F stands for A"),
        ([1, 2, 3, 4, 0], "A stands for F, B stands for A, C stands for B, D stands for C, F stands for D"),
    ],
)
def test_exchanged_classes_are_named_even_where_only_half_of_the_students_have_them(
    known: tuple[np.ndarray, np.ndarray], contract: Contract, places: list[int], told: str, share: float
) -> None:
    probabilities, y = known
    assert told in label_fault(probabilities, exchanged(y, places, share), contract.target)


@pytest.mark.parametrize(("scenario", "strength"), SHIFTS)
@pytest.mark.parametrize("base", [0.0, 0.001])
def test_a_changed_world_is_no_fault_of_its_labels(
    contract: Contract, scenario: str | None, strength: float | None, base: float
) -> None:
    raw = generate(BATCH, 41, scenario, strength)
    y, known = raw["GradeClass"].to_numpy(dtype=int), true_probabilities(raw)
    assert label_fault(base + (1 - CLASSES * base) * known, y, contract.target) == ""


def test_a_noisier_world_is_no_fault_of_its_labels(
    known: tuple[np.ndarray, np.ndarray], contract: Contract
) -> None:
    weaker = known[0] ** 0.4
    weaker /= weaker.sum(axis=1, keepdims=True)
    y = (weaker.cumsum(axis=1) > np.random.default_rng(6).random((BATCH, 1))).argmax(axis=1)
    assert label_fault(known[0], y, contract.target) == ""


def test_labels_without_relation_are_a_fault_unless_the_champion_knows_no_more_than_the_shares(
    known: tuple[np.ndarray, np.ndarray], contract: Contract
) -> None:
    blind = np.random.default_rng(7).permutation(known[1])
    assert "have nothing to do with what the champion knows" in label_fault(known[0], blind, contract.target)
    shares = np.tile(np.bincount(known[1], minlength=5) / BATCH, (BATCH, 1))
    assert label_fault(shares, known[1], contract.target) == ""


def test_risk_that_orders_the_students_backwards_is_a_fault(
    known: tuple[np.ndarray, np.ndarray], contract: Contract
) -> None:
    probabilities, y = known
    assert "backwards" in risk_backwards(probabilities, 4 - y, contract.target)
    assert risk_backwards(probabilities, y, contract.target) == ""


def test_a_handful_of_rows_blames_nobody(known: tuple[np.ndarray, np.ndarray], contract: Contract) -> None:
    assert label_fault(known[0][:29], 4 - known[1][:29], contract.target) == ""


def test_the_gate_names_labels_that_cannot_be_right(ask: Ask) -> None:
    raw = generate(400, seed=32).assign(GPA=np.nan)
    raw["GradeClass"] = raw["GradeClass"].map({0: 0, 1: 4, 2: 2, 3: 3, 4: 1}).astype(float)
    verdict = ask(raw)
    assert verdict.label_fault.endswith("B stands for F, F stands for B")
    assert f"relation: labels: {verdict.label_fault}." in verdict.reasons


@pytest.mark.parametrize("on_drift", ["stop", "retrain", "warn"])
def test_labels_that_cannot_be_right_stop_the_run_whatever_was_told(on_drift: OnDrift) -> None:
    fault = "classes look exchanged, for 100% of their students: B stands for F, F stands for B"
    found = Drift(verdict="drift", reasons=(), champion="3", report=Path("d.html"), label_fault=fault)
    with pytest.raises(Stopped, match=r"B stands for F.*Nothing was trained\. Mend the labels .*champion 3"):
        stop_on_drift(found, on_drift)


@pytest.fixture(scope="module")
def leaving() -> Contract:
    return load_contract("leaving_exam")


def seen_by(contract: Contract, rows: int, seed: int, scenario: str | None = None) -> Judged:
    """Students of the leaving examination as a champion sees them that knows its rule without a scenario."""
    raw = leaving_exam.generate(rows, seed=seed, scenario=scenario)
    frame = parse(raw, contract)
    return Judged(frame, leaving_exam.true_probabilities(raw), target_index(frame, contract))


def test_what_became_harder_for_one_audited_group_alone_is_found_and_named(leaving: Contract) -> None:
    before = seen_by(leaving, 1_200, 1)
    found = group_finding(seen_by(leaving, 300, 2, "harder-for-villages"), before, leaving, 0.005)
    assert found.verdict == "drift"
    assert found.words.startswith("lives_in = ")
    assert "than before, beside the others (" in found.words


def test_what_became_harder_for_everybody_is_no_change_of_a_group(leaving: Contract) -> None:
    before = seen_by(leaving, 1_200, 1)
    alarms = [
        group_finding(seen_by(leaving, 300, seed, "harder-paper"), before, leaving, 0.005).verdict
        for seed in range(20, 32)
    ]
    assert alarms.count("drift") <= 1


def test_a_group_that_was_always_worse_than_forecast_is_no_drift(leaving: Contract) -> None:
    before, now = (
        seen_by(leaving, rows, seed, "harder-for-villages") for rows, seed in ((1_200, 1), (300, 2))
    )
    assert group_finding(now, before, leaving, 0.005).verdict == "pass"


def test_groups_of_new_students_rarely_alarm(leaving: Contract) -> None:
    before = seen_by(leaving, 1_200, 1)
    alarms = [
        group_finding(seen_by(leaving, 300, seed), before, leaving, 0.05).verdict == "drift"
        for seed in range(100, 140)
    ]
    assert sum(alarms) <= 7, "two of forty are to be expected, and more where schools differ anew each year"


def test_groups_of_few_students_are_not_judged(leaving: Contract) -> None:
    few = seen_by(leaving, 30, 1)
    assert group_finding(few, few, leaving, 0.005).verdict == "not tested"


def test_a_champion_that_does_not_fit_its_own_students_is_no_reference(leaving: Contract) -> None:
    students = seen_by(leaving, 800, 3)
    wrong = np.roll(students.probabilities, 1, axis=1)  # each class in the place of the next
    assert own_fault(students, 800, leaving, 0.001) == ""
    misfit = Judged(students.frame, wrong, students.y)
    assert "classes better than forecast" in own_fault(misfit, 800, leaving, 0.001)
    found = _judged(misfit, misfit, subgroups(students.frame, students.frame, leaving), 800, leaving)
    assert [one.verdict for one in found[:2]] == ["not tested", "not tested"]
    assert found[0].words.startswith("the champion does not fit the students it learned from")
