"""Processed records in several row groups: read whole, in blocks, as a sample, and with their faults."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.rows.frames import target_index
from flows.process import process_records
from flows.processing.processed import FAULTS, PARSED, QUARANTINE, Processed
from flows.settings import Settings


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of five hundred students; the number of absences of forty of them is out of range."""
    frame = cohort.generate(500, seed=6)
    frame.loc[100:139, "Absences"] = 99
    frame["StudentID"] = frame["StudentID"].replace(frame["StudentID"][450], frame["StudentID"][2])
    path = tmp_path_factory.mktemp("source") / "students.csv"
    frame.to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def in_chunks(source: str, tmp_path_factory: pytest.TempPathFactory, grade_class: Contract) -> Processed:
    """The file, processed in chunks of sixty rows."""
    settings = Settings(home=tmp_path_factory.mktemp("chunks"), jobs=1)
    return process_records(source, grade_class, settings, chunk_rows=60)


def same_files(first: Processed, second: Processed) -> None:
    """What is written is the same, whatever the chunks and whoever did them."""
    for name in (PARSED, FAULTS):
        one, two = (pd.read_parquet(processed.folder / name) for processed in (first, second))
        pd.testing.assert_frame_equal(one, two, check_categorical=False)
    texts = [(processed.folder / QUARANTINE).read_bytes() for processed in (first, second)]
    assert texts[0] == texts[1]
    shared = {"folder", "source", "reused"}
    assert first.model_dump(exclude=shared) == second.model_dump(exclude=shared)


@pytest.mark.parametrize(("jobs", "rows"), [(1, 500), (2, 70)])
def test_chunks_and_processes_change_nothing_of_what_is_written(
    in_chunks: Processed, source: str, tmp_path: Path, grade_class: Contract, jobs: int, rows: int
) -> None:
    settings = Settings(home=tmp_path, jobs=jobs)
    same_files(in_chunks, process_records(source, grade_class, settings, chunk_rows=rows))
    assert in_chunks.quarantined == {"out of range": 40, "duplicate id": 1}


def test_blocks_hold_the_clean_rows_of_a_split_in_their_order(
    in_chunks: Processed, grade_class: Contract
) -> None:
    for name in ("train", "test"):
        whole = in_chunks.split(grade_class, name)
        blocks = list(in_chunks.blocks(grade_class, name))
        assert len(blocks) == 9
        assert [p for block in blocks for p in block["pseudonym"]] == whole["pseudonym"].tolist()
        classes = np.concatenate([target_index(block, grade_class) for block in blocks])
        assert classes.tolist() == target_index(whole, grade_class).tolist()


def test_one_split_is_read_with_its_quarantined_rows(in_chunks: Processed, grade_class: Contract) -> None:
    whole = in_chunks.parsed(grade_class)
    test = in_chunks.parsed(grade_class, "test")
    assert test["pseudonym"].tolist() == whole.loc[whole["split"] == "test", "pseudonym"].tolist()


def test_a_sample_keeps_the_shares_of_classes_and_of_bad_rows(
    in_chunks: Processed, grade_class: Contract
) -> None:
    whole, sample = in_chunks.parsed(grade_class), in_chunks.sample(grade_class, 100)
    assert abs(len(sample) - 100) <= 5
    assert abs((sample["quarantine"] != "").sum() - 8) <= 2
    pd.testing.assert_frame_equal(sample, whole.loc[sample.index], check_categorical=False)
    shares = [frame["GradeClass"].value_counts(normalize=True) for frame in (whole, sample)]
    assert (shares[0] - shares[1]).abs().max() < 0.02
    assert sample.index.equals(in_chunks.sample(grade_class, 100).index)
    assert not sample.index.equals(in_chunks.sample(grade_class, 100, seed=1).index)


def test_of_few_rows_a_sample_is_all_that_are_asked_for(in_chunks: Processed, grade_class: Contract) -> None:
    clean = in_chunks.sample(grade_class, 500, "train", clean=True)
    split = in_chunks.split(grade_class, "train")
    pd.testing.assert_frame_equal(clean.reset_index(drop=True), split, check_categorical=False)


def test_faults_of_a_sample_are_those_of_its_rows(in_chunks: Processed, grade_class: Contract) -> None:
    assert in_chunks.faults()["row"].tolist() == [*range(102, 142), 452]
    sample = in_chunks.sample(grade_class, 100)
    rows = in_chunks.faults(sample.index)["row"]
    assert set(rows) == set(sample.index[sample["quarantine"] != ""] + 2)
