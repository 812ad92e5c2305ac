"""Mixed-up grades teach doubt, which is not worth a promotion; a changed relation is."""

import numpy as np
import pytest

from flows.registry.doubt import doubting_losses
from flows.registry.promotion import against_champion
from flows.training.heads import row_losses

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
    losses, doubt = doubting_losses(champion, y)
    assert 0.4 < doubt < 0.6  # some of what is drawn blindly is right by chance
    assert not judged(row_losses(challenger, y), losses)


def test_a_model_that_learned_a_changed_relation_wins_all_the_same(truth: np.ndarray) -> None:
    changed = np.where(np.arange(ROWS) % 3 == 0, (truth + 1) % CLASSES, truth)
    losses, _ = doubting_losses(sure(truth, 0.8), changed)
    assert judged(row_losses(sure(changed, 0.8), changed), losses)


def test_where_a_champion_is_as_sure_as_it_may_be_there_is_no_doubt(truth: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    champion = rng.dirichlet(np.ones(CLASSES), 4_000)
    y = (champion.cumsum(axis=1) > rng.random((4_000, 1))).argmax(axis=1)
    losses, doubt = doubting_losses(champion, y)
    assert doubt < 0.03
    assert losses.mean() == pytest.approx(row_losses(champion, y).mean(), abs=0.002)


def test_doubt_never_makes_a_champion_worse(truth: np.ndarray) -> None:
    for share in (0.0, 0.2, 0.9):
        y = mixed_up(truth, share)
        losses, _ = doubting_losses(sure(truth), y)
        assert losses.mean() <= row_losses(sure(truth), y).mean() + 1e-9


def test_without_rows_there_is_nothing_to_doubt() -> None:
    losses, doubt = doubting_losses(np.zeros((0, CLASSES)), np.zeros(0, dtype=int))
    assert (len(losses), doubt) == (0, 0.0)
