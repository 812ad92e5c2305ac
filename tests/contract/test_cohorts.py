"""The generated cohorts beside the default one keep their contracts, and their truth is the truth."""

import numpy as np
import pytest

from data.cohorts.addresses import GENERATORS
from data.contract.contract import FOLDER, load_contract
from data.errors import BadInput
from data.rows.frames import parse, target_index
from data.rows.quarantine import quarantine
from tests.contract.files import read_records

OTHERS = sorted(set(GENERATORS) - {"grade_class"})
MANY = 40_000


def test_every_contract_but_the_one_with_real_data_has_a_cohort() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} - set(GENERATORS) == {"pass_fail"}


@pytest.mark.parametrize("name", OTHERS)
def test_a_cohort_keeps_its_contract(name: str) -> None:
    contract = load_contract(name)
    records = read_records("cohort://500?seed=4", contract)
    clean, faults = quarantine(parse(records.frame, contract), contract)
    assert (len(clean), len(faults), records.undeclared) == (500, 0, ())
    assert set(target_index(clean, contract)) == set(range(len(contract.target.classes)))


@pytest.mark.parametrize("name", OTHERS)
def test_the_true_probabilities_are_those_that_the_classes_were_drawn_with(name: str) -> None:
    contract = load_contract(name)
    raw = GENERATORS[name].generate(MANY, seed=5)
    y = target_index(parse(raw, contract), contract)
    truth = GENERATORS[name].true_probabilities(raw)
    assert truth.sum(axis=1) == pytest.approx(1)
    for place, share in enumerate(np.bincount(y) / MANY):
        assert truth[:, place].mean() == pytest.approx(share, abs=0.008)
        for tenth in np.array_split(np.argsort(truth[:, place]), 10):
            assert truth[tenth, place].mean() == pytest.approx((y[tenth] == place).mean(), abs=0.03)


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_seed_gives_the_same_students_and_another_seed_others(name: str) -> None:
    generate = GENERATORS[name].generate
    assert generate(30, seed=3).equals(generate(30, seed=3))
    assert not generate(30, seed=3).equals(generate(30, seed=4))


@pytest.mark.parametrize("name", OTHERS)
def test_a_scenario_of_another_contract_is_refused_in_words(name: str) -> None:
    with pytest.raises(BadInput, match="no scenario 'absences'; there are none for this contract"):
        read_records("cohort://9?scenario=absences", load_contract(name))
    with pytest.raises(ValueError, match="no drift scenarios"):
        GENERATORS[name].generate(9, 1, "absences")
