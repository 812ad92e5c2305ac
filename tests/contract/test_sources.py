"""Records are read from whatever holds them; what cannot be read is answered with one readable message."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.frames import parse
from tests.contract.files import ROWS, TEXT, read_records, refusal_of
from tests.contract.tiny import students


def test_csv_and_parquet_of_the_same_records_are_parsed_to_the_same(tiny: Contract, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    count = 5_000
    wide = students(
        count,
        Hours=rng.uniform(-1, 1, count) * 10.0 ** rng.integers(-300, 300, count),
        Days=rng.integers(-(2**53), 2**53, count),
        Sleep=np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
        Job=rng.choice(["shop", "Farm", "zoo", "other"], count),
        Level=rng.choice(np.array([1, 2, 3, None], dtype=object), count),
        Student=rng.permutation(count) + 10**15,
    )
    wide.to_csv(tmp_path / "wide.csv", index=False)
    wide.to_parquet(tmp_path / "wide.parquet")
    frames = [parse(read_records(str(path), tiny).frame, tiny) for path in sorted(tmp_path.iterdir())]
    pd.testing.assert_frame_equal(frames[0], frames[1], check_exact=True)
    np.testing.assert_array_equal(frames[0]["Hours"], wide["Hours"])


def test_a_parquet_file_keeps_the_columns_that_were_an_index(tiny: Contract, tmp_path: Path) -> None:
    path = tmp_path / "roster.parquet"
    ROWS.assign(Student=[7, 3, 9, 1]).set_index("Student").to_parquet(path)
    assert parse(read_records(str(path), tiny).frame, tiny)["Student"].tolist() == ["7", "3", "9", "1"]


@pytest.mark.parametrize("content", [b"", b"PAR1", TEXT.encode()], ids=["empty", "cut", "a CSV"])
def test_a_parquet_file_that_is_none_is_refused(content: bytes, tiny: Contract, tmp_path: Path) -> None:
    says = refusal_of(tmp_path / "roster.parquet", content, tiny)
    assert says in (
        "roster.parquet: this is not a Parquet file. Write it again.",
        "roster.parquet: the file is empty. Give one with a header and students in it.",
    )


def test_a_parquet_file_cut_short_or_overwritten_is_refused(tiny: Contract, tmp_path: Path) -> None:
    path = tmp_path / "whole.parquet"
    ROWS.to_parquet(path)
    whole = path.read_bytes()
    damaged = [whole[:-9], whole[: len(whole) // 2], whole[:4] + bytes(200) + whole[204:]]
    damaged.append(whole.replace(b"Hours", b"Hour\xff"))
    for content in damaged:
        assert "this is not a Parquet file" in refusal_of(tmp_path / "roster.parquet", content, tiny)


def test_a_parquet_file_without_rows_or_with_a_column_missing_or_twice_is_refused(
    tiny: Contract, tmp_path: Path
) -> None:
    path = tmp_path / "roster.parquet"
    ROWS.iloc[:0].to_parquet(path)
    with pytest.raises(BadInput, match="the file has a header and no rows"):
        read_records(str(path), tiny)
    ROWS.drop(columns="Days").to_parquet(path)
    with pytest.raises(BadInput, match="missing column Days"):
        read_records(str(path), tiny)
    table = pa.Table.from_pandas(ROWS)
    pyarrow.parquet.write_table(table.append_column("Days", table["Days"]), path)
    with pytest.raises(BadInput, match="the column 'Days' is there twice"):
        read_records(str(path), tiny)


@pytest.mark.parametrize("name", ["roster.xls", "roster", "roster.json", "roster.csv.gz"])
def test_another_kind_of_file_is_refused_with_the_kinds_that_can_be_read(
    name: str, tiny: Contract, tmp_path: Path
) -> None:
    says = refusal_of(tmp_path / name, TEXT, tiny)
    assert says.endswith(
        "not a kind of file that can be read. Give one of: .csv .tsv .txt .xlsx .ods .parquet."
    )


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (
            "nowhere.csv",
            "nowhere.csv: there is no such file. Check the path; it is taken from where you are.",
        ),
        ("", "there is no such file"),
        ("file:///nowhere/at%20all.csv", "/nowhere/at all.csv: there is no such file."),
        ("https://example.org/roster.csv", "nothing here reads https://. Give a path, a database's table,"),
    ],
)
def test_what_is_not_there_is_refused(uri: str, says: str, tiny: Contract) -> None:
    with pytest.raises(BadInput) as refusal:
        read_records(uri, tiny)
    assert says in str(refusal.value)


def test_a_folder_without_files_that_can_be_read_is_refused(tiny: Contract, tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_text("no records")
    with pytest.raises(
        BadInput, match=r"no file in this folder can be read\. It takes files ending in: \.csv"
    ):
        read_records(str(tmp_path), tiny)


def test_a_file_can_be_given_as_an_address(tiny: Contract, tmp_path: Path) -> None:
    path = tmp_path / "our school.csv"
    path.write_text(TEXT, encoding="utf-8")
    assert len(read_records(path.as_uri(), tiny).frame) == 4


def test_the_digest_is_that_of_the_file_or_of_all_of_several(tiny: Contract, tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    for path in (first, second):
        path.write_text(TEXT, encoding="utf-8")
    assert read_records(str(first), tiny).sha256 == read_records(str(second), tiny).sha256
    both = read_records(str(tmp_path), tiny).sha256
    second.write_text(TEXT.replace("12.25", "12.26"), encoding="utf-8")
    assert read_records(str(first), tiny).sha256 != read_records(str(second), tiny).sha256
    assert read_records(str(tmp_path), tiny).sha256 != both
