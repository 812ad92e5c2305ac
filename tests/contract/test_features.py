"""What reaches the model: the features, as their codes say, and nothing that gives the outcome away."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.contract.columns import Role
from data.contract.contract import FOLDER, Contract, load_contract
from data.rows.frames import matrix, parse
from data.rows.kinds import rule_of
from data.rows.records import feature_space
from tests.contract.tiny import STUDENT, contract_of, rows_of, students

CONTRACTS = [*(load_contract(path) for path in sorted(FOLDER.glob("*.yaml"))), contract_of()]
HIDDEN = (Role.ID, Role.AUDIT, Role.LEAK, Role.SCORE)
each_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)


@each_contract
def test_leaks_score_id_audit_columns_and_target_are_no_feature(contract: Contract) -> None:
    hidden = {column.name for column in contract.columns.values() if column.role in HIDDEN}
    space = feature_space(contract)
    assert not (hidden | {contract.target.column}) & set(space.columns)
    assert not (hidden | {contract.target.column}) & {name.split("=")[0] for name in space.names}


@each_contract
def test_leaks_are_not_even_parsed(contract: Contract) -> None:
    raw = pd.DataFrame({name: [None] for name in [*contract.columns, contract.target.column]})
    leaks = {column.name for column in contract.leaks}
    assert not leaks & set(parse(raw, contract, partial=True).columns)
    assert not leaks & contract.readable


@each_contract
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_matrix_is_the_same_whatever_leaks_score_id_audit_and_target_say(
    contract: Contract, data: st.DataObject
) -> None:
    raw = pd.DataFrame(data.draw(rows_of(contract)))
    shuffled = data.draw(st.permutations(range(len(raw))))
    hidden = [c.name for c in contract.columns.values() if c.role in HIDDEN and c.name in raw]
    changed = raw.assign(
        **{name: raw[name].to_numpy()[shuffled] for name in [*hidden, contract.target.column]}
    )
    changed = changed.assign(**{column.name: data.draw(st.floats(0, 20)) for column in contract.leaks})
    before, after = (matrix(parse(frame, contract), contract) for frame in (raw, changed))
    np.testing.assert_array_equal(before, after)


@each_contract
def test_names_directions_and_groups_speak_of_the_same_columns(contract: Contract) -> None:
    space = feature_space(contract)
    assert len(space.names) == len(set(space.names)) == len(space.monotone)
    assert [place for group in space.groups for place in group] == list(range(len(space.names)))
    assert space.columns == tuple(column.name for column in contract.features)
    for column, group in zip(contract.features, space.groups, strict=True):
        assert {space.monotone[place] for place in group} == {
            {"raises": 1, "lowers": -1}.get(str(column.effect), 0)
        }


def test_each_kind_has_its_own_floats(tiny: Contract) -> None:
    values = dict(zip(feature_space(tiny).names, matrix(parse(students(1), tiny), tiny)[0], strict=True))
    assert values == {
        "Hours": 4.5, "Days": 3, "Club": 1, "Help": 2, "Job=farm": 0, "Job=shop": 1, "Job=other": 0,
        "Born": np.float32((date(2025, 9, 1) - date(2010, 5, 31)).days / 365.25),
        "Sleep": 7.5, "Trips": 2, "Award": 1, "Level": 1, "Lunch=h": 1, "Lunch=s": 0,
    }  # fmt: skip


def test_a_missing_value_is_nan_in_every_float_column_of_its_feature(tiny: Contract) -> None:
    gone = {name: [None, STUDENT[name]] for name in ("Sleep", "Trips", "Award", "Level", "Lunch")}
    values = matrix(parse(students(2, **gone), tiny), tiny)
    assert values.dtype == np.float32
    assert np.isnan(values[0]).tolist() == [False] * 8 + [True] * 6
    assert not np.isnan(values[1]).any()


def test_true_and_false_mean_the_text_codes_of_a_boolean(pass_fail: Contract) -> None:
    assert [rule_of(pass_fail.columns["paid"]).read(value) for value in (True, "false")] == ["yes", "no"]


@each_contract
def test_every_code_and_label_of_a_contract_means_its_code(contract: Contract) -> None:
    for column in contract.columns.values():
        for code, label in column.codes.items():
            for text in (code, str(code), label, label.upper(), f" {label} "):
                assert rule_of(column).read(text) == code
