"""A parsed frame on disk is read back as it was."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.contract.contract import FOLDER, Contract, load_contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from data.sources.storage import as_stored, read_frame
from tests.contract.files import write_frame
from tests.contract.tiny import contract_of, rows_of, students

CONTRACTS = [*(load_contract(path) for path in sorted(FOLDER.glob("*.yaml"))), contract_of()]
each_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
one_folder = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@each_contract
@one_folder
@given(data=st.data())
def test_a_frame_stored_and_read_is_the_same_frame(
    contract: Contract, data: st.DataObject, tmp_path: Path
) -> None:
    frame = parse(pd.DataFrame(data.draw(rows_of(contract)), dtype=object), contract)
    write_frame(frame, tmp_path / "rows.parquet")
    as_stored(frame).to_csv(tmp_path / "rows.csv", index=False)
    for path in (tmp_path / "rows.parquet", tmp_path / "rows.csv"):
        pd.testing.assert_frame_equal(read_frame(path, contract), frame, check_exact=True)


def test_unknown_codes_missing_and_infinite_values_come_back(tiny: Contract, tmp_path: Path) -> None:
    raw = students(
        4,
        Job=["zoo", None, "shop", "7.0"],
        Hours=[np.inf, -np.inf, np.nan, 0.1 + 0.2],
        Student=["007", "x-1", None, "2.5"],
        Grade=["A", "E", None, 2],
    )
    frame = parse(raw, tiny)
    for path in (tmp_path / "rows.parquet", tmp_path / "rows.csv"):
        write_frame(frame, path) if path.suffix == ".parquet" else as_stored(frame).to_csv(path, index=False)
        found = read_frame(path, tiny)
        pd.testing.assert_frame_equal(found, frame, check_exact=True)
        pd.testing.assert_frame_equal(quarantine(found, tiny)[1], quarantine(frame, tiny)[1])


def test_the_columns_of_ours_travel_with_the_frame(tiny: Contract, tmp_path: Path) -> None:
    frame = parse(students(2), tiny).assign(
        pseudonym=["a", "b"], quarantine=["", "Days: missing"], split="train"
    )
    path = tmp_path / "rows.parquet"
    write_frame(frame, path)
    found = read_frame(path, tiny)
    assert found[["pseudonym", "quarantine", "split"]].to_numpy().tolist() == [
        ["a", "", "train"],
        ["b", "Days: missing", "train"],
    ]


def test_part_of_a_frame_can_be_stored_too(tiny: Contract, tmp_path: Path) -> None:
    frame = parse(students(3), tiny).drop(columns=["Student", "Points"])
    as_stored(frame).to_csv(tmp_path / "reference.csv", index=False)
    pd.testing.assert_frame_equal(read_frame(tmp_path / "reference.csv", tiny), frame)


def test_storing_changes_nothing_of_the_frame(tiny: Contract, tmp_path: Path) -> None:
    frame = parse(students(3, Job=["zoo", None, "shop"]), tiny)
    before = frame.copy(deep=True)
    write_frame(frame, tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(frame, before)
