"""A CSV is read alike however it is written; a bad one is answered with one readable message."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.contract.contract import Contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from tests.contract.files import LINES, ROWS, TEXT, read, read_records, refusal_of

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
    "pipes": TEXT.replace(",", "|"),
    "decimal commas": TEXT.replace(",", ";").replace(".", ","),
    "quoted decimal commas": "\n".join(
        ",".join(f'"{cell.replace(".", ",")}"' for cell in line.split(",")) for line in LINES
    ),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16 without a mark": TEXT.encode("utf-16-be"),
    "Latin-1": "\n".join(f"{line},Zoë" for line in LINES).encode("latin-1"),
    "a title above the header": f"Our school\n\n{TEXT}",
    "two padded titles above it": f"Our school{',' * 14}\nof 2025{',' * 14}\n{TEXT}",
    "rows without anything in them": f"{LINES[0]}\n{',' * 14}\n{TEXT.partition(chr(10))[2]}{',' * 14}\n",
    "empty columns behind the last": "\n".join([LINES[0], *(f"{line},," for line in LINES[1:])]),
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
    "two encodings": (
        f"{TEXT}{LINES[1]}ä".encode() + f"\n{LINES[2]}ä\n".encode("latin-1"),
        "roster.csv, row 7: the text is UTF-8 above this row, and not in it. Save it as CSV UTF-8.",
    ),
    "no text": (TEXT.encode() + b"\x00\n" * 50, "roster.csv, row 6: it is no text. Save it as CSV UTF-8."),
    "a workbook's beginning": (b"PK\x03\x04 and no more", "roster.csv: it cannot be read as a workbook: "),
    "a number that could be two": (
        re.sub(r"\.\d+", "", TEXT.replace(",", ";")).replace(";7;2;", ";1.234;2;"),
        "roster.csv, column Sleep: '1.234' could be 1.234 or 1234, and nothing in the file decides which.",
    ),
    "decimal commas between commas": (
        TEXT.replace("12.25", "12,25"),
        "roster.csv, row 4: the header has 16 cells, this row 17. Give every row the same cells",
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
        "roster.csv, row 3: the header has 16 cells, this row 17. Give every row the same cells, and quote",
    ),
    "a row too short": (
        TEXT.replace(LINES[4], LINES[4].rsplit(",", 2)[0]),
        "roster.csv, row 5: the header has 16 cells, this row 14. Give every row the same cells, and quote",
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


def test_a_heading_that_nearly_fits_is_asked_about(tiny: Contract, tmp_path: Path) -> None:
    says = refusal_of(tmp_path / "roster.csv", TEXT.replace("Days", "Dayz").replace("Hours", "_hours"), tiny)
    assert says.endswith(
        "Did you mean Hours by '_hours'? Then rename it. Did you mean Days by 'Dayz'? Then rename it."
    )


def test_a_broken_row_is_counted_with_the_quoted_line_ends_before_it(tiny: Contract, tmp_path: Path) -> None:
    lines = [f"{LINES[0]},note", f'{LINES[1]},"two\nlines"', f"{LINES[2]},x", LINES[3]]
    says = refusal_of(tmp_path / "roster.csv", "\n".join(lines), tiny)
    assert says.startswith("roster.csv, row 4: the header has 17 cells, this row 16.")


def test_an_extra_column_is_left_out_and_reported(tiny: Contract, tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    ROWS.assign(note="a, b", Sport=1).to_csv(path, index=False)
    records = read_records(str(path), tiny)
    assert records.undeclared == ("note", "Sport")
    assert not {"note", "Sport", "Early"} & set(records.frame.columns)


@pytest.mark.parametrize("name", ["roster.tsv", "roster.txt", "ROSTER.CSV"])
def test_text_files_go_by_several_suffixes(name: str, tiny: Contract, tmp_path: Path) -> None:
    assert len(read(tmp_path / name, TEXT, tiny)) == 4


@pytest.mark.parametrize("mark", ["NONE", "-", "?", "#N/A", "k. A.", " n/a ", "Null", "–"])
def test_marks_of_nothing_are_missing_in_any_case_unless_they_are_a_label(
    mark: str, tiny: Contract, tmp_path: Path
) -> None:
    rows = [LINES[1].replace("1,0.1,", f"1,{mark},", 1), LINES[2].replace(",2,shop", f",{mark},shop")]
    content = "\n".join([LINES[0], *rows, LINES[2].replace(",2,Farm", f",{mark},{mark}")])
    frame = read(tmp_path / "roster.csv", content, tiny)
    assert frame["Hours"].isna().tolist() == [True, False, False]
    assert frame["Job"].isna().tolist() == [False, False, True]
    helps = frame["Help"].astype(object).tolist()
    assert helps[2] == 0 if mark == "NONE" else frame["Help"].isna().tolist() == [False, False, True]


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
