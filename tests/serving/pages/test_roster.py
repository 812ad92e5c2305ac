"""The page of a class, by its forms alone: what it shows, what it refuses, and that it keeps nothing."""

import base64
import gzip
import io
import lzma
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from flask.testing import FlaskClient

from data.contract.contract import Contract
from serving.app import create_app
from serving.pages.roster_file import MOST_UNPACKED
from serving.settings import Settings
from tests.serving.pages.rosters import csv_of, field, listed, send, shown, students

Entry = dict[str, Any]


@pytest.fixture
def spooled(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """What is written down."""
    entries: list[Entry] = []
    monkeypatch.setattr(client.application.extensions["spool"], "append", entries.extend)
    return entries


def risks(client: FlaskClient, frame: pd.DataFrame) -> dict[str, float]:
    """Each student's risk, as the API has it."""
    response = client.post("/predict/batch", data=csv_of(frame), content_type="text/csv")
    answered = pd.read_csv(io.BytesIO(response.data), dtype={"StudentID": str})
    return dict(zip(answered["StudentID"], answered["at_risk"], strict=True))


def test_the_page_asks_for_every_column_and_says_that_nothing_is_kept(
    client: FlaskClient, grade_class: Contract
) -> None:
    page = client.get("/roster").text
    assert all(f"<code>{column.name}</code>" in page for column in grade_class.asked)
    assert "Nothing of it is kept" in page
    assert "GPA" not in page


def test_the_template_can_be_sent_as_it_is(client: FlaskClient, grade_class: Contract) -> None:
    template = client.get("/roster/template.csv")
    assert template.mimetype == "text/csv"
    header, student = template.get_data(as_text=True).strip().splitlines()
    assert header.removeprefix("\ufeff").split(",") == ["StudentID", *(c.name for c in grade_class.asked)]
    assert len(student.split(",")) == len(header.split(","))
    assert "1\xa0student forecast" in send(client, file=template.data).text


def test_a_class_is_shown_most_at_risk_first_with_its_names(client: FlaskClient) -> None:
    frame = students()
    page = send(client, file=csv_of(frame)).text
    found = risks(client, frame)
    assert shown(page) == sorted(found, key=lambda student: -found[student])
    assert all(name in page for name in frame["Name"])
    assert page.count("What it rests on") == len(frame)


def test_the_rows_travel_with_the_page_and_come_back_in_another_order(client: FlaskClient) -> None:
    frame = students()
    carried = field(send(client, file=csv_of(frame)).text, "carried")
    page = send(client, carried=carried, order="file").text
    assert shown(page) == list(frame["StudentID"])
    assert field(page, "carried") == carried


def test_rows_with_problems_are_named_by_row_and_column_and_the_others_forecast(client: FlaskClient) -> None:
    frame = students(6)
    frame.loc[1, "Absences"], frame.loc[3, "Sports"], frame.loc[3, "Age"] = "many", "", "40"
    page = send(client, file=csv_of(frame)).text
    assert "4\xa0students forecast" in page
    assert "2\xa0rows" in page
    for said in ("“many” is not a number.", "Nothing is given.", "“40” is out of range.", "0 to 30 (days)"):
        assert said in page
    assert '<th scope="row" class="number">3</th><td>Absences' in page
    assert '<th scope="row" class="number">5</th><td>Sports' in page


def test_an_empty_line_is_a_row_as_a_spreadsheet_counts(client: FlaskClient) -> None:
    lines = csv_of(students(4)).decode().splitlines()
    lines[3] = f"1,{lines[3]}"
    first = send(client, file="\n".join([*lines[:2], "", *lines[2:]]).encode()).text
    again = send(client, carried=field(first, "carried")).text
    for page in (first, again):
        assert "3\xa0students forecast" in page
        assert '<th scope="row" class="number">5</th><td>The whole row' in page


def test_a_row_with_a_cell_too_many_is_as_wrong_when_it_comes_back(client: FlaskClient) -> None:
    lines = csv_of(students(4)).decode().splitlines()
    lines[2] = f"1,{lines[2]}"
    first = send(client, file="\n".join(lines).encode()).text
    again = send(client, carried=field(first, "carried")).text
    for page in (first, again):
        assert "3\xa0students forecast" in page
        assert "The row has 15 cells, the header 14." in page


def test_a_file_without_a_sound_row_says_what_to_do(client: FlaskClient) -> None:
    frame = students(2)
    frame["Age"] = "old"
    assert "No row of the file could be read" in send(client, file=csv_of(frame)).text
    assert "no rows below them" in send(client, file=csv_of(frame.head(0))).text


@pytest.mark.parametrize(
    ("file", "status", "said"),
    [
        (None, 400, "Choose the CSV with your class first"),
        (b"", 400, "has no header"),
        (b"PK\x03\x04\xff\xfe", 400, "CSV UTF-8"),
        (b"StudentID,Age\n1,17\n", 422, "the file has no such column"),
    ],
)
def test_a_file_that_is_no_class_is_refused_with_a_remedy(
    client: FlaskClient, file: bytes | None, status: int, said: str
) -> None:
    response = send(client, file=file)
    assert response.status_code == status
    assert said in response.text
    assert 'role="alert"' in response.text
    assert 'id="file"' in response.text, "another can be chosen at once"


def test_too_many_rows_are_refused_and_the_api_is_named(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.pages.roster_file.MOST_ROWS", 5)
    response = send(client, file=csv_of(students(6)))
    assert response.status_code == 413
    assert "POST /predict/batch" in response.text


@pytest.mark.parametrize(
    "carried",
    [
        "x",
        "AAAA",
        base64.urlsafe_b64encode(lzma.compress(b"no roster")).decode(),
        base64.urlsafe_b64encode(lzma.compress(b" " * (MOST_UNPACKED + 1_000_000))).decode(),
    ],
)
def test_rows_that_come_back_changed_are_refused(client: FlaskClient, carried: str) -> None:
    response = send(client, carried=carried)
    assert response.status_code == 400
    assert "Choose the file again" in response.text


def test_a_form_of_another_site_is_not_taken(client: FlaskClient) -> None:
    for path in (
        "/roster",
        "/roster/data",
        "/roster/row",
        "/roster/counts",
        "/roster/download",
        "/overrides",
    ):
        response = client.post(path, data={"file": (io.BytesIO(csv_of(students(2))), "class.csv")})
        assert response.status_code == 400


def test_without_a_model_the_page_says_so(client_without_model: FlaskClient) -> None:
    response = client_without_model.get("/roster")
    assert response.status_code == 503
    assert "no model" in response.text


def test_where_a_key_is_wanted_the_page_is_behind_the_door(
    synced: Settings, settings_for: Callable[..., Settings]
) -> None:
    client = create_app(settings_for(GRADECAST_HOME=synced.home, GRADECAST_API_KEY="a key")).test_client()
    assert client.get("/roster").location == "/login?next=%2Froster"


def test_the_list_has_as_many_as_can_be_seen_and_says_what_to_expect(client: FlaskClient) -> None:
    page = send(client, file=csv_of(students(20)), seats="5").text
    assert len(listed(page)) == 5
    assert "False alarms" in page
    assert "Left out" in page
    assert "would not end with D or F" in page


def test_without_a_list_the_whole_class_is_counted(client: FlaskClient) -> None:
    page = send(client, file=csv_of(students(20)), seats="none").text
    assert listed(page) == []
    assert "are expected to end with D or F" in page


def test_filters_and_search_narrow_what_is_shown(client: FlaskClient) -> None:
    frame = students(20)
    file, found = csv_of(frame), risks(client, frame)
    high = {student for student, risk in found.items() if risk >= 0.5}
    assert set(shown(send(client, file=file, only="at-risk").text)) == high
    assert shown(send(client, file=file, find="ada 5").text) == [frame["StudentID"][5]]
    assert "Nobody fits these filters" in send(client, file=file, find="nobody at all").text
    only_f = send(client, file=file, label="F").text
    assert 0 < len(shown(only_f)) < 20


def test_a_large_class_comes_a_page_at_a_time(client: FlaskClient) -> None:
    file = csv_of(students(60))
    first, last = send(client, file=file).text, send(client, file=file, page="3").text
    assert (len(shown(first)), len(shown(last))) == (25, 10)
    assert "Page 1 of 3" in first
    assert shown(send(client, file=file, page="99").text) == shown(last)


def test_a_class_too_large_to_travel_asks_for_the_file_again(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.pages.roster_file.MOST_CARRIED", 10)
    page = send(client, file=csv_of(students(30))).text
    assert "too large to travel with the page" in page
    assert field(page, "carried") == ""


def test_the_download_is_in_the_pages_order_with_the_files_own_columns(client: FlaskClient) -> None:
    frame = students(10)
    frame.loc[0, "Name"] = "=1+1"
    carried = field(send(client, file=csv_of(frame)).text, "carried")
    page = send(client, carried=carried, order="unsure", seats="4")
    response = send(client, "/roster/download", carried=carried, order="unsure", seats="4")
    assert response.headers["Content-Disposition"].startswith("attachment")
    table = pd.read_csv(io.BytesIO(response.data), dtype={"StudentID": str})
    assert list(table["StudentID"]) == shown(page.text)
    assert list(table["this_week"]) == ["yes"] * 4 + ["no"] * 6
    assert list(table.columns[:14]) == list(frame.columns)
    assert "'=1+1" in set(table["Name"]), "a spreadsheet would run it"
    found = risks(client, frame)
    told = dict(zip(table["StudentID"], table["at_risk"], strict=True))
    assert told == pytest.approx({student: found[student] for student in told}, abs=2e-6)


def test_a_downloaded_file_can_be_uploaded_again(client: FlaskClient) -> None:
    downloaded = send(client, "/roster/download", file=csv_of(students(5))).data
    assert "5\xa0students forecast" in send(client, file=downloaded).text
    again = pd.read_csv(io.BytesIO(send(client, "/roster/download", file=downloaded).data))
    assert list(again.columns).count("at_risk") == 1


def test_the_script_is_sent_what_the_page_shows(client: FlaskClient) -> None:
    frame = students(15)
    table = send(client, "/roster/data", file=csv_of(frame)).get_json()
    found = risks(client, frame)
    assert table["name"] == list(frame["StudentID"])
    assert table["also"] == list(frame["Name"])
    assert table["risk"] == pytest.approx([found[student] for student in table["name"]], abs=2e-6)
    assert {len(column) for column in table.values()} == {15}


def test_a_row_opens_to_reasons_and_suggestions(client: FlaskClient) -> None:
    response = send(client, "/roster/row", file=csv_of(students(5)), row="4")
    assert "What it rests on" in response.text
    assert 'value="agree:4"' in response.text
    assert send(client, "/roster/row", file=csv_of(students(5)), row="9").status_code == 422


def test_answers_are_compressed_for_browsers_that_take_it(client: FlaskClient) -> None:
    plain = client.get("/roster")
    packed = client.get("/roster", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(plain.data) / 2
    assert b"Whom to see first" in gzip.decompress(packed.data)


def test_uploaded_classes_are_not_kept(client: FlaskClient, spooled: list[Entry]) -> None:
    file = csv_of(students(5))
    for path in ("/roster", "/roster/data", "/roster/counts", "/roster/download"):
        assert send(client, path, file=file, seats="2").status_code == 200
    assert send(client, "/roster/row", file=file, row="2").status_code == 200
    assert spooled == []


def test_generated_students_can_be_tried_where_the_model_learned_from_such(client: FlaskClient) -> None:
    assert "generated students" in client.get("/roster").text
    assert "20\xa0students forecast" in send(client, example="yes").text
