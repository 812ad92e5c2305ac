"""POST /predict/batch: a CSV in, the same rows out."""

import contextlib
import csv
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from data.contract.contract import Contract
from data.log.entries import prediction_entries, read_entry
from serving.app import create_app
from serving.cells import RowReader
from serving.problems import Problem
from serving.scoring import DigitsWriter, Scorer
from serving.settings import PredictorSettings
from serving.sheet import Sheet
from tests.contract.workbooks import write_xlsx
from tests.serving.running import running, wait_until

Student = dict[str, Any]
Row = dict[str, str]
ADDED = [
    "grade_class",
    "grade_class_index",
    *(f"probability_{label}" for label in "ABCDF"),
    "at_risk",
    "grade_set",
    "model_version",
    "prediction_id",
    "error",
]


def sheet(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


MEGABYTE = 1_000_000


def peak_of(action: Callable[[], object]) -> int:
    """Return how many bytes Python took at most while something was done."""
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def ask(client: FlaskClient, text: str | bytes, kind: str = "text/csv") -> TestResponse:
    return client.post("/predict/batch", data=text, content_type=kind)


def rows_of(answer: TestResponse, delimiter: str = ",") -> list[Row]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), delimiter=delimiter))


def logged(home: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((home / "spool").glob("*.jsonl")):
        yield from map(json.loads, path.read_text().splitlines())


def test_rows_come_back_in_order_with_the_forecasts_that_json_gives(
    client: FlaskClient, student: Student
) -> None:
    students = [{**student, "Absences": days} for days in (29, 0, 14)]
    answer = ask(client, sheet(students))
    rows = rows_of(answer)
    assert list(rows[0]) == [*student, *ADDED]
    assert [row["Absences"] for row in rows] == ["29", "0", "14"]
    assert (answer.headers["X-Row-Count"], answer.headers["X-Error-Count"]) == ("3", "0")
    for row, expected in zip(rows, client.post("/predict", json=students).get_json(), strict=True):
        assert (row["grade_class"], row["model_version"]) == (expected["grade_class"], "local")
        assert int(row["grade_class_index"]) == expected["grade_class_index"]
        assert row["grade_set"].split("|") == expected["grade_set"]
        assert float(row["at_risk"]) == pytest.approx(expected["at_risk"], abs=1e-6)
        shares = [float(row[f"probability_{label}"]) for label in "ABCDF"]
        assert shares == pytest.approx(list(expected["probabilities"].values()), abs=1e-6)
        assert row["error"] == ""


def test_a_bad_row_gets_its_error_and_the_others_are_answered(client: FlaskClient, student: Student) -> None:
    broken = {**student, "Age": "17.5", "Absences": "many", "ParentalSupport": "Some", "Music": ""}
    answer = ask(client, sheet([student, broken, {**student, "StudyTimeWeekly": "inf"}, student]))
    rows = rows_of(answer)
    assert answer.headers["X-Error-Count"] == "2"
    assert [row["error"] for row in rows] == [
        "",
        "Age: not a whole number; Absences: not a number; ParentalSupport: unknown code; Music: missing",
        "StudyTimeWeekly: not finite",
        "",
    ]
    assert all((row["grade_class"] == "") == bool(row["error"]) for row in rows)
    assert rows[1]["Absences"] == "many"


def test_a_row_of_another_length_gets_an_error_and_shifts_no_column(
    client: FlaskClient, student: Student
) -> None:
    lines = sheet([student, student, student]).splitlines()
    lines[1], lines[2] = lines[1].rpartition(",")[0], f"{lines[2]},7"
    rows = rows_of(ask(client, "\n".join(lines)))
    assert [row["error"] for row in rows] == [
        "the row has 9 cells, the header 10",
        "the row has 11 cells, the header 10",
        "",
    ]
    assert [row["Age"] for row in rows] == ["17"] * 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\r\n\r\n"])
def test_delimiters_and_marks_of_spreadsheets_are_understood_and_kept(
    client: FlaskClient, student: Student, delimiter: str, start: str
) -> None:
    answer = ask(client, start + sheet([{"Name": "Zoë, or Ö", **student}], delimiter))
    assert answer.data.startswith(b"\xef\xbb\xbf") == (start == "\ufeff")
    answer.data = answer.data.removeprefix(b"\xef\xbb\xbf")
    (row,) = rows_of(answer, delimiter)
    assert (row["Name"], row["error"]) == ("Zoë, or Ö", "")


def test_labels_and_other_ways_to_write_a_value_are_understood(client: FlaskClient, student: Student) -> None:
    written = {
        **student,
        "ParentalSupport": "moderate",
        "Tutoring": "TRUE",
        "Absences": "21.0",
        "Age": " 17 ",
    }
    rows = rows_of(ask(client, sheet([student, written])))
    assert rows[0]["probability_A"] == rows[1]["probability_A"]
    assert rows[1]["error"] == ""


def test_columns_that_are_not_asked_for_are_passed_through_and_not_used(
    client: FlaskClient, student: Student
) -> None:
    more = {"Name": "Ann", "GPA": "not a number", "GradeClass": "9", "Gender": "", "StudentID": "007"}
    plain, extended = (
        rows_of(ask(client, sheet([{**student}]))),
        rows_of(ask(client, sheet([student | more]))),
    )
    assert extended[0]["probability_F"] == plain[0]["probability_F"]
    assert {name: extended[0][name] for name in more} == more


def test_cells_that_a_spreadsheet_would_run_are_neutralised_and_no_others(
    client: FlaskClient, student: Student
) -> None:
    run, plain = ["=1+1", "@SUM(A1)", "=\n1"], ["-1", "-1,5", "a=b", "", "'=1", "x"]
    rows = rows_of(ask(client, sheet([{"Note": cell, "=Head": "x", **student} for cell in run + plain])))
    assert [row["Note"] for row in rows] == [*(f"'{cell}" for cell in run), *plain]
    assert "'=Head" in rows[0]


def test_a_missing_feature_a_repeated_and_a_taken_column_are_422_for_the_file(
    client: FlaskClient, student: Student
) -> None:
    del student["Music"]
    text = sheet([student]).replace("Sports", "Sports,Name,Name,error").replace("\n1", "\n,,,1")
    answer = ask(client, text)
    assert answer.status_code == 422
    assert {error["field"] for error in answer.get_json()["errors"]} == {"Music", "Name", "error"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "header"),
        (b"\n\n \n", "header"),
        (b"\xff\xfeA\x00g\x00e", "UTF-16"),
        (b"PK\x03\x04\xff\xff", "workbook"),
        (b"Age,Name\n17,\xc3\xa9\n17,\xe9\n", "UTF-8 above this row"),
        (b"Age,Name\n17,\x81\n", "neither UTF-8 nor Windows-1252"),
        (b"Age,Name\n17," + b"\x00" * 99, "no text"),
        (b'Age,Name\n17,"open\n', "end of data"),
        (b'Age,Name\n17,"a"b\n', "line 2"),
    ],
)
def test_a_file_that_is_no_csv_is_400(client: FlaskClient, student: Student, body: bytes, says: str) -> None:
    whole = body.replace(b"Age,", f"{','.join(list(student)[1:])},Age,".encode()).replace(
        b"\n17", b"\n" + b"1," * 9 + b"17"
    )
    answer = ask(client, whole)
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert says in answer.get_json()["detail"]


def test_a_file_without_rows_is_answered_with_its_header(client: FlaskClient, student: Student) -> None:
    answer = ask(client, ",".join(student))
    assert (answer.headers["X-Row-Count"], answer.headers["X-Error-Count"]) == ("0", "0")
    assert answer.text.splitlines() == [",".join([*student, *ADDED])]


def test_an_uploaded_file_is_answered_like_a_body(client: FlaskClient, student: Student) -> None:
    upload = {"file": (io.BytesIO(sheet([student]).encode()), "class.csv")}
    (row,) = rows_of(client.post("/predict/batch", data=upload))
    assert row["grade_class"]


def test_a_file_larger_than_allowed_is_413(
    synced: PredictorSettings, settings_for: Callable[..., PredictorSettings], student: Student
) -> None:
    small = settings_for(GRADECAST_HOME=synced.home, GRADECAST_MAX_BATCH_BYTES=1_000)
    assert ask(create_app(small).test_client(), sheet([student] * 100)).status_code == 413


def test_every_answered_row_is_in_the_log_before_it_is_sent_and_no_bad_one(
    synced: PredictorSettings,
    settings_for: Callable[..., PredictorSettings],
    student: Student,
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "bundle").symlink_to(synced.bundles.parent.absolute())
    client = create_app(settings_for(GRADECAST_HOME=home)).test_client()
    named = [{"StudentID": number, **student} for number in range(1, 2_501)]
    named[7]["Age"] = 99
    rows = rows_of(ask(client, sheet(named)))
    entries = list(logged(home))
    assert [entry["prediction_id"] for entry in entries] == [
        row["prediction_id"] for row in rows if not row["error"]
    ]
    assert len({entry["student"] for entry in entries}) == 2_499
    assert all("StudentID" not in entry["record"] for entry in entries)
    assert entries[0]["record"] == student
    assert entries[0]["grade_class"] == rows[0]["grade_class"]


def test_files_past_what_can_be_answered_at_once_are_shed(client: FlaskClient, student: Student) -> None:
    places = client.application.extensions["batches"]
    while places.acquire(blocking=False):
        pass
    answer = ask(client, sheet([student]))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    places.release()
    for _ in range(3):
        assert ask(client, sheet([student])).text


def test_a_contract_with_text_codes_and_no_ids_is_answered_too(
    pass_fail: Contract, real_courses: Path
) -> None:
    with real_courses.open(encoding="utf-8") as file:
        header, *rows = csv.reader(file, delimiter=";")
    records, errors = RowReader(header, pass_fail).read(rows)
    assert not any(errors)
    assert set(records[0]) == {column.name for column in pass_fail.asked}


CELLS = st.text(max_size=6) | st.sampled_from(["", "1", "17", "2.5", "High", "nan", "-1", "1e999", '"', "=1"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_cell_is_a_server_error_and_every_one_comes_back(
    client: FlaskClient, student: Student, data: st.DataObject
) -> None:
    names = ["Note", *student]
    rows = [
        dict(zip(names, data.draw(st.lists(CELLS, min_size=11, max_size=11)), strict=True)) for _ in range(3)
    ]
    text = sheet(rows)
    if any("\x00" in cell for row in rows for cell in row.values()):
        return
    rows = [row for row in rows if any(row.values())]  # the others are left out
    answer = ask(client, text.encode("utf-8", "replace"))
    assert answer.status_code == 200
    for given_row, row in zip(rows, rows_of(answer), strict=True):
        assert row["Note"].removeprefix("'") == given_row["Note"].encode(
            "utf-8", "replace"
        ).decode().removeprefix("'")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary() | st.text().map(str.encode))
def test_no_file_is_a_server_error(client: FlaskClient, body: bytes) -> None:
    assert ask(client, body).status_code in {200, 400, 422}


def test_a_thousand_at_a_time_say_what_one_at_a_time_says(
    synced: PredictorSettings, client: FlaskClient, student: Student, grade_class: Contract
) -> None:
    predictor = client.application.extensions["predictor"].get()
    records = [{**student, "Absences": days, "StudentID": str(days)} for days in range(30)]
    scorer = Scorer(predictor, ",", synced.id_key)
    scored = scorer.score(records, scorer.shares(records))
    answers = predictor.predict(records)
    logged_alone = prediction_entries(records, answers, grade_class, synced.id_key, via="batch")
    for line, entry in zip(scored.lines.splitlines(), logged_alone, strict=True):
        one: dict[str, Any] = {**read_entry(line)}
        other: dict[str, Any] = {**read_entry(orjson.dumps(entry))}
        assert one.keys() == other.keys()
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
        assert one["at_risk"] == pytest.approx(other["at_risk"], abs=1e-6)
        for field in one.keys() - {"at", "prediction_id", "probabilities", "at_risk"}:
            assert one[field] == other[field], field
    assert scored.classes == [answer["grade_class"] for answer in answers]


def hostile_files(header: list[str]) -> dict[str, tuple[bytes, bytes, int, int]]:
    """Files that are small for what they would take: how each begins, what goes on, how often, megabytes."""
    begin = ",".join(header).encode() + b"\n"
    wide = ",".join([*header, *(f"c{number}" for number in range(4_900))]).encode() + b"\n"
    return {
        "a line without an end": (begin, b"1234567890" * 1_000, 3_000, 5),
        "a row without an end": (begin, b'"a\n",' * 2_000, 700, 60),
        "commas": (begin, b"," * 999_999 + b"\n", 7, 60),
        "rows with long cells": (begin, (b"x" * 100_000 + b",") * 5 + b"\n", 20, 10),
        "a wide header and short rows": (wide, b"1\n" * 1_000, 10, 5),
        "texts that are never the same": (begin, b"", 0, 13),
        "empty lines": (begin, b"\n" * 10_000, 50, 6),
    }


@pytest.mark.parametrize("kind", list(hostile_files([])))
def test_memory_does_not_grow_with_what_is_in_a_file(
    tmp_path: Path, grade_class: Contract, kind: str
) -> None:
    header = [column.name for column in grade_class.features]
    begin, more, times, megabytes = hostile_files(header)[kind]
    path = tmp_path / "roster.csv"
    with path.open("wb") as file:
        file.write(begin)
        for number in range(times or 5_000):
            file.write(more or ",".join(f"{name}{number:0200d}" for name in header).encode() + b"\n")

    def read() -> None:
        with path.open("rb") as file, contextlib.suppress(Problem):
            rows = Sheet(file)
            reader = RowReader(rows.header, grade_class)
            for chunk in rows.chunks(2_000):
                reader.read(chunk)

    assert peak_of(read) < megabytes * MEGABYTE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a,b\n" + b"x" * 1_100_000 + b"\n1,2\n", "line 2 is longer than 1,000,000 bytes"),
        (b"a,b\n1,2\r" + b"x" * 1_100_000, "longer than 1,000,000 bytes"),
        (b"a,b\n" + b'"x\n",' * 400_000, "a row is longer than 1,000,000 letters"),
        (b",".join(b"c%d" % number for number in range(5_001)), "it has 5,001 columns"),
    ],
)
def test_a_line_or_a_row_that_is_none_is_refused_and_named(text: bytes, says: str) -> None:
    with pytest.raises(Problem, match=says) as refused:
        list(Sheet(io.BytesIO(text)).chunks(2_000))
    assert refused.value.status == 400


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_rows_are_the_same_in_long_lists_and_short_ones(end: str) -> None:
    rows = [["a", "b"], *([str(number), "x" * (number % 7 * 20_000)] for number in range(300))]
    text = end.join([end, *(f'"{one}",{two}' for one, two in rows), end, ""])
    sheet_of = Sheet(io.BytesIO(text.encode()))
    chunks = list(sheet_of.chunks(2_000))
    assert [row for chunk in chunks for row in chunk] == rows[1:]
    assert len(chunks) > 5
    blank = [row for chunk in sheet_of.chunks(7, blank=True) for row in chunk]
    assert blank[:300] == rows[1:]
    assert blank[300:] == [[]] * len(blank[300:])


def test_a_file_waits_on_the_disk_of_the_state_folder(
    synced: PredictorSettings,
    settings_for: Callable[..., PredictorSettings],
    student: Student,
    tmp_path: Path,
) -> None:
    (tmp_path / "bundle").symlink_to(synced.home / "bundle")
    settings = settings_for(GRADECAST_HOME=tmp_path, GRADECAST_MODEL_URI=synced.model_uri)
    client = create_app(settings).test_client()
    text = sheet([student] * 4_000).encode()  # more than is kept in memory
    (tmp_path / "uploads").write_text("a file is where the folder should be")
    refused = client.post("/predict/batch", data={"file": (io.BytesIO(text), "a.csv")})
    assert refused.status_code == 503
    (tmp_path / "uploads").unlink()
    answer = client.post("/predict/batch", data={"file": (io.BytesIO(text), "a.csv")})
    assert len(rows_of(answer)) == 4_000
    assert list((tmp_path / "uploads").iterdir()) == [], "nothing of it is left"


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_file_near_the_limit_is_answered_in_little_memory(
    tmp_path: Path, bundle_folder: Path, student: Student
) -> None:
    line = (",".join(map(str, student.values())) + "\n").encode()
    block = line * 50_000
    times = 950 * MEGABYTE // len(block)
    with running(tmp_path, GRADECAST_MODEL_URI=bundle_folder, WEB_CONCURRENCY=1) as server:
        wait_until(lambda: server.ready()[0] == 200, "it is ready")
        connection = server.connect()
        connection.putrequest("POST", "/predict/batch")
        connection.putheader("Content-Type", "text/csv")
        begin = (",".join(student) + "\n").encode()
        connection.putheader("Content-Length", str(len(begin) + times * len(block)))
        connection.endheaders(begin)
        for _ in range(times):
            connection.send(block)
        connection.sock.settimeout(1_800)
        answer = connection.getresponse()
        assert answer.status == 200
        while answer.read(1 << 20):
            pass
        connection.close()
        (worker,) = server.workers()
        status = Path(f"/proc/{worker}/status").read_text()
        peak = int(next(words.split()[1] for words in status.splitlines() if words.startswith("VmHWM")))
    assert peak < 400_000, "kB"


def test_numbers_stand_between_their_texts_to_six_digits() -> None:
    numbers = np.array([[0.0, 0.1234564], [1.0, 0.9999996], [5e-7, 0.000001]])
    assert DigitsWriter(["<", ";", ">"]).write(numbers) == [
        "<0.000000;0.123456>",
        "<1.000000;1.000000>",
        "<0.000000;0.000001>",
    ]


def test_texts_of_any_script_are_kept() -> None:
    assert DigitsWriter(["Ä\u4e2d:", "é"]).write(np.array([[0.5], [0.25]])) == [
        "Ä\u4e2d:0.500000é",
        "Ä\u4e2d:0.250000é",
    ]


def test_they_are_what_python_writes() -> None:
    numbers = np.random.default_rng(3).random((500, 3)).astype(np.float32)
    for text, row in zip(DigitsWriter(["", " ", " ", ""]).write(numbers), numbers, strict=True):
        assert list(map(float, text.split())) == pytest.approx(row.tolist(), abs=5.1e-7)


def german(rows: list[Student]) -> bytes:
    """Return rows as a German spreadsheet exports them."""
    lines = [["Klasse 7b – Übersicht"], [], list(rows[0])]
    lines += [[str(cell).replace(".", ",") for cell in row.values()] for row in rows]
    lines += [[""] * len(rows[0])] * 3
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows(lines)
    return text.getvalue().encode("cp1252")


def test_a_workbook_and_a_german_export_are_answered_as_the_plain_file_is(
    client: FlaskClient, student: Student, tmp_path: Path
) -> None:
    students = [{**student, "StudyTimeWeekly": hours} for hours in (3.5, 7.25, 12)]
    plain = [row["probability_A"] for row in rows_of(ask(client, sheet(students)))]
    book = write_xlsx(
        tmp_path / "class.xlsx",
        {"Info": [["7b"]], "Marks": [list(students[0]), *(list(row.values()) for row in students)]},
    )
    uploaded = client.post("/predict/batch", data={"file": (io.BytesIO(book.read_bytes()), "class.xlsx")})
    assert json.loads(uploaded.headers["X-Assumptions"]) == ["the sheet 'Marks' of the workbook was read"]
    assert [row["probability_A"] for row in csv.DictReader(io.StringIO(uploaded.text[1:]))] == plain
    answer = ask(client, german(students))
    said = json.loads(answer.headers["X-Assumptions"])
    assert "in which it says 'Übersicht'" in said[0]
    assert said[-1] == "column StudyTimeWeekly: numbers are written with a decimal comma; '3,5' is 3.5"
    assert answer.headers["X-Row-Count"] == "3"
    back = list(csv.DictReader(io.StringIO(answer.text[1:]), delimiter=";"))
    assert [row["probability_A"] for row in back] == plain
    assert [row["StudyTimeWeekly"] for row in back] == ["3,5", "7,25", "12"], "as they came"


def test_what_could_be_two_numbers_is_asked_for_before_anything_is_forecast(
    client: FlaskClient, student: Student
) -> None:
    unclear = {"StudentID": "1.000", **student, "StudyTimeWeekly": 5}
    answer = ask(client, sheet([unclear], ";"))
    assert answer.status_code == 422
    says = "'1.000' could be 1.000 or 1000, and nothing in the file decides which"
    assert answer.get_json()["errors"] == [{"field": "StudentID", "message": says}]
    decided = ask(client, sheet([unclear, {**unclear, "StudentID": "2", "StudyTimeWeekly": "7,5"}], ";"))
    assert [row["error"] for row in rows_of(decided, ";")] == ["", ""]


def test_a_sheet_of_what_is_no_workbook_is_refused(client: FlaskClient, student: Student) -> None:
    asked = {"data": sheet([student]), "content_type": "text/csv"}
    answer = client.post("/predict/batch?sheet=Marks", **asked)
    assert answer.status_code == 400
    assert "it is no workbook and has no sheets" in answer.get_json()["detail"]
