"""Records are read from whatever holds them; what cannot be read is answered with one readable message."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from data.contract import Contract
from data.errors import BadInput
from data.frames import parse
from data.quarantine import quarantine
from data.sources import read_records
from tests.contract.tiny import students

ROWS = students(
    4, Hours=[0.1, 4.5, 12.25, 20.0], Job=["shop", "Farm", "other", "zoo"], Sleep=[7.5, None, 8, 9.1]
)
TEXT = ROWS.to_csv(index=False)
LINES = TEXT.splitlines()


def read(path: Path, content: str | bytes, contract: Contract) -> pd.DataFrame:
    """Write a file, read its records and parse them."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    records = read_records(str(path), contract)
    return parse(records.frame, contract, file=records.uri)


def refusal_of(path: Path, content: str | bytes, contract: Contract) -> str:
    """Return what is said of a file that cannot be read, without the folder that it is in."""
    with pytest.raises(BadInput) as refusal:
        read(path, content, contract)
    return str(refusal.value).replace(f"{path.parent}/", "")


GOOD = {
    "commas": TEXT,
    "semicolons": TEXT.replace(",", ";"),
    "tabs": TEXT.replace(",", "\t"),
    "a byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "Windows line ends": TEXT.replace("\n", "\r\n"),
    "old Macintosh line ends": TEXT.replace("\n", "\r"),
    "no last line end": TEXT.rstrip("\n"),
    "empty lines before and after": f"\n\n{TEXT}\n\n",
    "quoted cells": "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in LINES),
    "spaces around cells": TEXT.replace(",", " , "),
    "columns without a name": "\n".join(f"{line},," for line in LINES),
    "labels": TEXT.replace(",shop,", ",Shop,"),
    "numbers as floats": TEXT.replace(",3,1,2,", ",3.0,1.0,2.0,"),
}


@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_a_csv_is_read_alike_however_it_is_written(
    content: str | bytes, tiny: Contract, tmp_path: Path
) -> None:
    expected = parse(ROWS, tiny)
    pd.testing.assert_frame_equal(read(tmp_path / "roster.csv", content, tiny), expected)


BAD = {
    "an empty file": ("", "roster.csv: the file is empty. Give one with a header and students in it."),
    "empty lines alone": (
        "\n \n",
        "roster.csv: the file is empty. Give one with a header and students in it.",
    ),
    "a header alone": (
        f"{LINES[0]}\n",
        "roster.csv: the file has a header and no rows. Give one with students",
    ),
    "half a line": (LINES[0], "roster.csv: the file has a header and no rows. Give one with students in it."),
    "a header above empty lines": (f"{LINES[0]}\n\n\n", "roster.csv: the file has a header and no rows."),
    "Latin-1": (
        f"{TEXT}9,{'ä' * 3}\n".encode("latin-1"),
        "roster.csv, row 6: not UTF-8 text. Save the file as UTF-8 (CSV UTF-8 in a spreadsheet).",
    ),
    "UTF-16": (TEXT.encode("utf-16"), "roster.csv, row 1: not UTF-8 text. Save the file as UTF-8"),
    "decimal commas": (
        TEXT.replace(",", ";").replace(".", ","),
        "roster.csv, row 2, column Hours: '0,1' is not a number. Write decimals with a point",
    ),
    "decimal commas between commas": (
        TEXT.replace("12.25", "12,25"),
        "roster.csv, row 4: the header has 15 cells, this row 16. Give every row the same cells",
    ),
    "text in a number": (
        TEXT.replace("12.25", "many"),
        "roster.csv, row 4, column Hours: 'many' is not a number. Put a number there, or leave",
    ),
    "a missing column": (
        TEXT.replace("Days", "days"),
        "roster.csv: missing column Days. The contract tiny asks for it; found: Group, Hours, days,",
    ),
    "another table": (
        "a,b\n1,2\n",
        "roster.csv: missing columns Student, Group, Hours, Days, Club, Help, Job,",
    ),
    "a title above the header": (f"Our school\n{TEXT}", "roster.csv: missing columns Student, Group, Hours,"),
    "a column twice": (
        TEXT.replace("Early", "Days"),
        "roster.csv, row 1: the column 'Days' is there twice. Keep one of them.",
    ),
    "an undeclared column twice": (
        "\n".join(f"{line},note,note" for line in LINES),
        "roster.csv, row 1: the column 'note' is there twice. Keep one of them.",
    ),
    "a row too long": (
        TEXT.replace(LINES[2], f"{LINES[2]},9"),
        "roster.csv, row 3: the header has 15 cells, this row 16. Give every row the same cells, and quote",
    ),
    "a row too short": (
        TEXT.replace(LINES[4], LINES[4].rsplit(",", 2)[0]),
        "roster.csv, row 5: the header has 15 cells, this row 13. Give every row the same cells, and quote",
    ),
    "a quote that does not end": (
        TEXT.replace(LINES[2], f'"{LINES[2]}'),
        "roster.csv, row 3: a quoted cell does not end. Close the quotes of this row, or leave them out.",
    ),
}


@pytest.mark.parametrize(("content", "says"), BAD.values(), ids=BAD)
def test_a_bad_csv_is_answered_with_file_row_column_and_remedy(
    content: str | bytes, says: str, tiny: Contract, tmp_path: Path
) -> None:
    assert refusal_of(tmp_path / "roster.csv", content, tiny).startswith(says)


def test_a_broken_row_is_counted_with_the_quoted_line_ends_before_it(tiny: Contract, tmp_path: Path) -> None:
    lines = [f"{LINES[0]},note", f'{LINES[1]},"two\nlines"', f"{LINES[2]},x", LINES[3]]
    says = refusal_of(tmp_path / "roster.csv", "\n".join(lines), tiny)
    assert says.startswith("roster.csv, row 4: the header has 16 cells, this row 15.")


def test_an_extra_column_is_left_out_and_reported(tiny: Contract, tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    ROWS.assign(note="a, b", Sport=1).to_csv(path, index=False)
    records = read_records(str(path), tiny)
    assert records.undeclared == ("note", "Sport")
    assert not {"note", "Sport", "Early"} & set(records.frame.columns)


@pytest.mark.parametrize("name", ["roster.tsv", "roster.txt", "ROSTER.CSV"])
def test_text_files_go_by_several_suffixes(name: str, tiny: Contract, tmp_path: Path) -> None:
    assert len(read(tmp_path / name, TEXT, tiny)) == 4


def test_missing_not_a_number_and_infinite_cells_are_told_apart(tiny: Contract, tmp_path: Path) -> None:
    cells = ["nan", "NaN", "NA", "", "null", "N/A", "inf", "-inf", "Infinity", "1e999", "+4.5", "4.50"]
    header = LINES[0]
    rows = [LINES[1].replace("1,0.1,", f"1,{cell},", 1) for cell in cells]
    frame = read(tmp_path / "roster.csv", "\n".join([header, *rows]), tiny)
    assert frame["Hours"].isna().tolist() == [True] * 6 + [False] * 6
    assert frame["Hours"].tolist()[6:] == [np.inf, -np.inf, np.inf, np.inf, 4.5, 4.5]
    _, faults = quarantine(frame, tiny)
    hours = faults[faults["column"] == "Hours"]
    assert hours["reason"].tolist() == ["missing"] * 6 + ["not finite"] * 4


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
    for content in (whole[:-9], whole[: len(whole) // 2], whole[:4] + bytes(200) + whole[204:]):
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


@pytest.mark.parametrize("name", ["roster.xlsx", "roster", "roster.json", "roster.csv.gz"])
def test_another_kind_of_file_is_refused_with_the_kinds_that_can_be_read(
    name: str, tiny: Contract, tmp_path: Path
) -> None:
    says = refusal_of(tmp_path / name, TEXT, tiny)
    assert says.endswith("not a kind of file that can be read. Give one of: .csv .tsv .txt .parquet.")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (
            "nowhere.csv",
            "nowhere.csv: there is no such file. Check the path; it is taken from where you are.",
        ),
        ("", "there is no such file"),
        ("file:///nowhere/at%20all.csv", "/nowhere/at all.csv: there is no such file."),
        ("https://example.org/roster.csv", "nothing here reads https://. Give the path of a file."),
        ("s3://school/roster.csv", "nothing here reads s3://. Give the path of a file."),
    ],
)
def test_what_is_not_there_is_refused(uri: str, says: str, tiny: Contract) -> None:
    with pytest.raises(BadInput) as refusal:
        read_records(uri, tiny)
    assert says in str(refusal.value)


def test_a_directory_is_refused(tiny: Contract, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"this is a directory\. Give the file in it\."):
        read_records(str(tmp_path), tiny)


def test_a_file_can_be_given_as_an_address(tiny: Contract, tmp_path: Path) -> None:
    path = tmp_path / "our school.csv"
    path.write_text(TEXT, encoding="utf-8")
    assert len(read_records(path.as_uri(), tiny).frame) == 4


def test_records_to_score_need_their_features_alone(tiny: Contract, tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    ROWS.drop(columns=["Student", "Group", "Points", "Grade"]).to_csv(path, index=False)
    assert len(read_records(str(path), tiny, labelled=False).frame) == 4
    with pytest.raises(BadInput, match="missing columns Student, Group, Points, Grade"):
        read_records(str(path), tiny)


def test_the_digest_is_that_of_the_file(tiny: Contract, tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(TEXT, encoding="utf-8")
    second.write_text(TEXT, encoding="utf-8")
    assert read_records(str(first), tiny).sha256 == read_records(str(second), tiny).sha256
    second.write_text(TEXT.replace("12.25", "12.26"), encoding="utf-8")
    assert read_records(str(first), tiny).sha256 != read_records(str(second), tiny).sha256
