"""A generated cohort is asked for by an address; a mistake in it is answered in words."""

import pandas as pd
import pytest

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.errors import BadInput
from tests.contract.files import read_records


def test_an_address_gives_the_cohort_that_it_asks_for(grade_class: Contract) -> None:
    records = read_records("cohort://20?seed=3&scenario=absences&strength=2", grade_class)
    pd.testing.assert_frame_equal(records.frame, cohort.generate(20, seed=3, scenario="absences", strength=2))
    assert records.generated is not None
    assert records.generated.model_dump() == {"rows": 20, "seed": 3, "scenario": "absences", "strength": 2}


def test_the_same_address_has_the_same_digest_and_another_seed_another(grade_class: Contract) -> None:
    digests = [read_records(f"cohort://20?seed={seed}", grade_class).sha256 for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("cohort://", "rows: this should be a valid integer"),
        ("cohort://many", "rows: this should be a valid integer"),
        ("cohort://0", "rows: this should be greater than or equal to 1"),
        ("cohort://-5", "rows: this should be greater than or equal to 1"),
        ("cohort://1.5", "rows: this should be a valid integer"),
        ("cohort://99999999999", "rows: this should be less than or equal to 20000000"),
        ("cohort://9?seed=x", "seed: this should be a valid integer"),
        ("cohort://9?seed=-1", "seed: this should be greater than or equal to 0"),
        ("cohort://9?rows=3", "something in it that is not understood"),
        ("cohort://9?size=3", "size: Extra inputs are not permitted"),
        ("cohort://9?seed", "bad query field: 'seed'"),
        ("cohort://9?seed=1&seed=2", "something in it that is not understood"),
        ("cohort://9/seed=1", "something in it that is not understood"),
        ("cohort:9", "something in it that is not understood"),
        ("cohort://9?scenario=flood", "no scenario 'flood'; there are absences, new-category,"),
        ("cohort://9?strength=1", "a strength needs a scenario"),
        ("cohort://9?scenario=absences&strength=nan", "strength: this should be a finite number"),
        ("cohort://9?scenario=absences&strength=1e9", "absences cannot be that strong"),
        ("cohort://9?scenario=missing-at-random&strength=2", "missing-at-random cannot be that strong"),
        ("cohort://9?scenario=prior-shift&strength=1", "prior-shift cannot be that strong"),
    ],
)
def test_a_mistake_in_an_address_is_named_with_how_to_write_it(
    address: str, says: str, grade_class: Contract
) -> None:
    with pytest.raises(BadInput) as refusal:
        read_records(address, grade_class)
    assert str(refusal.value).startswith(f"{address}: ")
    assert says in str(refusal.value)
    assert str(refusal.value).endswith(" Write cohort://ROWS?seed=N&scenario=NAME&strength=X.")


def test_another_contract_has_no_generated_cohort(pass_fail: Contract) -> None:
    with pytest.raises(BadInput, match="there is no generated cohort for the contract pass_fail"):
        read_records("cohort://9", pass_fail)
