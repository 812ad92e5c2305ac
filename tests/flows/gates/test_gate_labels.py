"""Labels that cannot be right are told from a changed world; the doubt that mixed-up grades teach."""

from pathlib import Path

import numpy as np
import pytest

from data.cohorts.grades import generate, true_probabilities
from data.contract.contract import Contract
from data.errors import Stopped
from flows.drift import Drift, OnDrift, stop_on_drift
from flows.drift_gate.relation import label_fault, label_noise_losses, risk_backwards
from flows.registry.promotion import against_champion
from flows.training.ordinal import row_losses
from tests.flows.gates.conftest import Ask

ROWS, CLASSES = 400, 4


def sure(classes: np.ndarray, share: float = 0.94) -> np.ndarray:
    """Forecasts that give one class a share and split the rest."""
    found = np.full((len(classes), CLASSES), (1 - share) / (CLASSES - 1))
    found[np.arange(len(classes)), classes] = share
    return found


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(3).integers(0, CLASSES, ROWS)


def mixed_up(classes: np.ndarray, share: float) -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.where(rng.random(len(classes)) < share, rng.integers(0, CLASSES, len(classes)), classes)


def judged(challenger: np.ndarray, champion: np.ndarray) -> bool:
    return against_champion(challenger, champion, margin=0.01, new_students=0, seed=1).promoted


def test_a_model_that_only_learned_to_doubt_wins_until_the_champion_doubts_too(truth: np.ndarray) -> None:
    y = mixed_up(truth, 0.6)
    champion = sure(truth)
    challenger = 0.4 * sure(truth) + 0.6 / CLASSES
    assert judged(row_losses(challenger, y), row_losses(champion, y))
    losses, doubt = label_noise_losses(champion, y)
    assert 0.4 < doubt < 0.6  # some of what is drawn blindly is right by chance
    assert not judged(row_losses(challenger, y), losses)


def test_a_model_that_learned_a_changed_relation_wins_all_the_same(truth: np.ndarray) -> None:
    changed = np.where(np.arange(ROWS) % 3 == 0, (truth + 1) % CLASSES, truth)
    losses, _ = label_noise_losses(sure(truth, 0.8), changed)
    assert judged(row_losses(sure(changed, 0.8), changed), losses)


def test_where_a_champion_is_as_sure_as_it_may_be_there_is_no_doubt(truth: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    champion = rng.dirichlet(np.ones(CLASSES), 4_000)
    y = (champion.cumsum(axis=1) > rng.random((4_000, 1))).argmax(axis=1)
    losses, doubt = label_noise_losses(champion, y)
    assert doubt < 0.03
    assert losses.mean() == pytest.approx(row_losses(champion, y).mean(), abs=0.002)


def test_doubt_never_makes_a_champion_worse(truth: np.ndarray) -> None:
    for share in (0.0, 0.2, 0.9):
        y = mixed_up(truth, share)
        losses, _ = label_noise_losses(sure(truth), y)
        assert losses.mean() <= row_losses(sure(truth), y).mean() + 1e-9


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


@pytest.mark.parametrize("seed", [41, 42])
@pytest.mark.parametrize(("scenario", "strength"), SHIFTS)
def test_a_changed_world_is_no_fault_of_its_labels(
    contract: Contract, scenario: str | None, strength: float | None, seed: int
) -> None:
    raw = generate(BATCH, seed, scenario, strength)
    y = raw["GradeClass"].to_numpy(dtype=int)
    assert label_fault(true_probabilities(raw), y, contract.target) == ""


def test_a_noisier_world_is_no_fault_of_its_labels(
    known: tuple[np.ndarray, np.ndarray], contract: Contract
) -> None:
    weaker = known[0] ** 0.4
    weaker /= weaker.sum(axis=1, keepdims=True)
    y = (weaker.cumsum(axis=1) > np.random.default_rng(6).random((BATCH, 1))).argmax(axis=1)
    assert label_fault(known[0], y, contract.target) == ""


def test_labels_that_have_nothing_to_do_with_the_forecasts_are_a_fault(
    known: tuple[np.ndarray, np.ndarray], contract: Contract
) -> None:
    blind = np.random.default_rng(7).permutation(known[1])
    assert "have nothing to do with what the champion knows" in label_fault(known[0], blind, contract.target)


def test_a_champion_that_knows_no_more_than_the_shares_cannot_blame_the_labels(
    known: tuple[np.ndarray, np.ndarray], contract: Contract
) -> None:
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
