"""The challenger in the champion's shadow."""

from dataclasses import replace

import numpy as np
import pytest

from data.log.reading import Measurement
from flows.monitoring.window import compare_shadow
from flows.registry.store import Champion
from tests.flows.monitoring.school import School, month, students


class Flat:
    """A bundle that knows nothing: every class is as likely."""

    def __init__(self, champion: Champion) -> None:
        self.contract = champion.bundle.contract

    def probabilities(self, matrix: np.ndarray) -> np.ndarray:
        return np.full((len(matrix), 5), 0.2)


@pytest.fixture
def challenger(champion: Champion) -> Champion:
    """A version that knows nothing."""
    return replace(champion, version="9", bundle=Flat(champion))  # type: ignore[arg-type]


def compared(school: School, challenger: Champion, champion: Champion) -> dict[str, Measurement]:
    log = school.log()
    return {f.name: f for f in compare_shadow(log, log, champion, challenger, champion.bundle.contract)}


def test_a_worse_challenger_is_worse_on_the_same_students(
    school: School, challenger: Champion, champion: Champion
) -> None:
    school.ask(students(100, 40), month(0))
    found = compared(school, challenger, champion)["shadow_difference"]
    assert (found.about, found.verdict, found.rows) == ("9", "worse", 100)
    assert found.value is not None
    assert found.low is not None
    assert 0 < found.low < found.value


def test_where_no_grades_came_only_their_agreement_is_told(
    school: School, challenger: Champion, champion: Champion
) -> None:
    school.ask(students(100, 40), month(0), graded=False)
    found = compared(school, challenger, champion)
    best = (school.log().probabilities.argmax(axis=1) == 0).mean()
    assert found["shadow_agreement"].value == pytest.approx(best)
    assert (found["shadow_difference"].value, found["shadow_difference"].verdict) == (None, "too few rows")
