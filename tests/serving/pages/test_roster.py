"""The page of a class, by its forms alone: what it shows, what it refuses, what it keeps."""

import base64
import html
import io
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from flask.testing import FlaskClient

from data.contract.contract import Contract
from data.log.entries import read_entry
from data.rows.ids import PUBLIC_KEY, pseudonym
from serving.app import create_app
from serving.cells import RowReader
from serving.pages.roster_file import MOST_UNPACKED
from serving.settings import PredictorSettings
from tests.contract.workbooks import write_xlsx
from tests.serving.pages.rosters import csv_of, field, listed, send, shown, students, text_of, token_of

Entry = dict[str, Any]


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
    assert "we keep nothing of it" in page
    assert "GPA" not in page


def test_the_template_is_read_and_its_example_is_no_student(
    client: FlaskClient, grade_class: Contract
) -> None:
    template = client.get("/roster/template.csv")
    assert template.mimetype == "text/csv"
    header, student = template.get_data(as_text=True).strip().splitlines()
    assert header.removeprefix("\ufeff").split(",") == ["StudentID", *(c.name for c in grade_class.asked)]
    assert len(student.split(",")) == len(header.split(","))
    told = text_of(send(client, file=template.data).text)
    assert "Row 2 is the template’s example and was left out." in told
    assert "No student to show" in told
    one = template.data + student.replace("1", "2", 1).encode()
    assert "1 student forecast" in text_of(send(client, file=one).text)


def test_a_class_is_shown_most_at_risk_first_with_its_names(client: FlaskClient) -> None:
    frame = students()
    page = send(client, file=csv_of(frame)).text
    found = risks(client, frame)
    order = [found[student] for student in shown(page)]
    assert order == pytest.approx(sorted(found.values(), reverse=True), abs=2e-6)
    assert all(name in page for name in frame["Name"])
    assert page.count("<h3>Why this forecast") == len(frame)


def so_far(part: float = 0.25, count: int = 12) -> pd.DataFrame:
    """A class as it stands part of the way through the year."""
    frame = students(count)
    return frame.assign(Absences=[str(int(int(days) * part)) for days in frame["Absences"]])


def risk_by_student(client: FlaskClient, **form: Any) -> dict[str, float]:
    """Each student's risk, as the page's script is told it."""
    table = orjson.loads(send(client, "/roster/data", **form).data)
    return dict(zip(table["id"], table["risk"], strict=True))


def test_a_class_in_november_has_the_risks_that_the_api_gives(client: FlaskClient) -> None:
    frame = so_far()
    asked = client.post("/predict/batch?elapsed=0.25", data=csv_of(frame), content_type="text/csv")
    answered = pd.read_csv(io.BytesIO(asked.data), dtype={"StudentID": str})
    wanted = dict(zip(answered["StudentID"], answered["at_risk"], strict=True))
    page = send(client, file=csv_of(frame), elapsed="25").text
    assert risk_by_student(client, file=csv_of(frame), elapsed="25") == pytest.approx(wanted, abs=1e-5)
    assert shown(page) == sorted(wanted, key=lambda student: -wanted[student])
    assert "25% of the period has passed" in page
    carried, passed = field(page, "carried"), field(page, "elapsed")
    assert risk_by_student(client, carried=carried, elapsed=passed) == pytest.approx(wanted, abs=1e-5)
    assert "so far, about" in send(client, "/roster/row", carried=carried, elapsed=passed, row="2").text
    told = frame.assign(elapsed="0.25")
    assert risk_by_student(client, file=csv_of(told), elapsed="") == pytest.approx(wanted, abs=1e-5)
    assert "from now on" in page
    assert not re.search(r"Absences:\s*(?:<[^>]*>\s*)*\d+[^<]*→", page), "what was missed is not undone"


def test_at_the_years_end_a_class_is_as_if_nothing_were_said(client: FlaskClient) -> None:
    frame = csv_of(students())
    plain = risk_by_student(client, file=frame)
    assert risk_by_student(client, file=frame, elapsed="100") == plain
    assert "from now on" not in send(client, file=frame, elapsed="").text


@pytest.mark.parametrize("text", ["0", "0.25", "-5", "150", "half"])
def test_what_is_no_part_of_the_period_is_said_before_anything_is_forecast(
    client: FlaskClient, text: str
) -> None:
    answer = send(client, file=csv_of(students(3)), elapsed=text)
    assert answer.status_code == 422
    assert "Nothing was forecast" in answer.text
    assert "How much of the period has passed" in answer.text
    assert "Give a number from 1 to 100 (%)." in answer.text


def test_a_note_in_november_is_kept_beside_the_forecast_of_that_day(
    client: FlaskClient, spooled: list[Entry]
) -> None:
    frame = csv_of(so_far(count=3))
    for elapsed in ("25", ""):
        send(client, "/overrides", file=frame, elapsed=elapsed, note="agree:2")
    november, _, june, _ = spooled
    assert november["record"] == {**june["record"], "elapsed": 0.25}
    assert november["prediction_id"] != june["prediction_id"]
    assert november["at_risk"] >= june["at_risk"]


def test_the_rows_travel_with_the_page_and_come_back_in_another_order(client: FlaskClient) -> None:
    frame = students()
    carried = field(send(client, file=csv_of(frame)).text, "carried")
    page = send(client, carried=carried, order="file").text
    assert shown(page) == list(frame["StudentID"])
    assert field(page, "carried") == carried


def test_who_cannot_be_forecast_is_on_top_by_name_with_what_is_wrong(client: FlaskClient) -> None:
    frame = students(6)
    frame.loc[1, "Absences"], frame.loc[3, "Sports"], frame.loc[3, "Age"] = "many", "", "40"
    told = text_of(send(client, file=csv_of(frame)).text)
    assert "4 students forecast, 2 not forecast" in told
    assert "Look at these yourself. 2 students could not be forecast: Ben 1 1002 , Dana 3 1004" in told
    for said in ("“many” is not a number.", "Nothing is given.", "“40” is out of range.", "0 to 30 (days)"):
        assert said in told
    assert told.index("Look at these yourself") < told.index("I can see")


@pytest.mark.parametrize(
    ("column", "text"), [("Gender", "Non-binary"), ("Ethnicity", "?!"), ("StudentID", "K-17")]
)
def test_nobody_is_dropped_for_a_cell_of_which_no_forecast_depends(
    client: FlaskClient, column: str, text: str
) -> None:
    frame = students(6)
    plain = shown(send(client, file=csv_of(frame)).text)
    frame.loc[2, column] = text
    page = send(client, file=csv_of(frame)).text
    assert "6 students forecast" in text_of(page)
    assert "Look at these yourself" not in page
    assert "1 cell could not be read and counts as empty; no forecast depends on it" in text_of(page)
    assert shown(page) == plain or text == "K-17"
    assert "K-17" in page or text != "K-17", "the id as the file has it"


def test_two_rows_of_one_student_number_are_said_so(client: FlaskClient) -> None:
    frame = students(6)
    frame.loc[4, "StudentID"] = "1002"
    told = text_of(send(client, file=csv_of(frame)).text)
    assert "Student number 1002 stands in rows 3 and 6. Each row is forecast by itself." in told


@pytest.mark.parametrize(
    ("empty", "told"),
    [
        ([""], "Row 5: The row has 15 cells, the header 14."),
        ([], "Row 4: The row has 15 cells, the header 14."),
    ],
)
def test_an_empty_line_is_a_row_and_one_with_a_cell_too_many_is_as_wrong_when_it_comes_back(
    client: FlaskClient, empty: list[str], told: str
) -> None:
    lines = csv_of(students(4)).decode().splitlines()
    lines[3] = f"1,{lines[3]}"
    first = send(client, file="\n".join([*lines[:2], *empty, *lines[2:]]).encode()).text
    again = send(client, carried=field(first, "carried")).text
    for page in (first, again):
        assert "3 students forecast" in text_of(page)
        assert told in text_of(page)


def test_a_file_without_a_sound_row_says_what_to_do(client: FlaskClient) -> None:
    frame = students(2)
    frame["Age"] = "old"
    told = text_of(send(client, file=csv_of(frame)).text)
    assert "2 students could not be forecast: Ada 0 1001 , Ben 1 1002" in told
    assert "no rows below them" in send(client, file=csv_of(frame.head(0))).text


def compressed(text: bytes) -> dict[str, str]:
    return {"carried": base64.urlsafe_b64encode(lzma.compress(text)).decode()}


CHANGED = "Choose the file again"


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({}, 400, "Choose the file with your class first"),
        ({"file": b""}, 400, "the file is empty"),
        ({"file": b"PK\x03\x04\xff\xfe"}, 400, "CSV UTF-8"),
        ({"file": b"StudentID,Age\n1,17\n"}, 422, "the file has no such column"),
        ({"carried": "x"}, 400, CHANGED),
        ({"carried": "AAAA"}, 400, CHANGED),
        (compressed(b"no roster"), 400, CHANGED),
        (compressed(b" " * (MOST_UNPACKED + 1_000_000)), 400, CHANGED),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_class_is_refused_with_a_remedy(
    client: FlaskClient, form: dict[str, Any], status: int, said: str
) -> None:
    response = send(client, **form)
    assert response.status_code == status
    assert said in response.text
    assert 'role="alert"' in response.text
    assert 'id="file"' in response.text, "another can be chosen at once"


def test_too_many_rows_are_refused_and_the_api_is_named(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.pages.roster_rows.MOST_ROWS", 5)
    response = send(client, file=csv_of(students(6)))
    assert response.status_code == 413
    assert "POST /predict/batch" in response.text


def test_the_list_has_as_many_as_can_be_seen_and_says_what_to_expect(client: FlaskClient) -> None:
    page = send(client, file=csv_of(students(20)), seats="5").text
    assert len(listed(page)) == 5
    assert re.search("5 on your list. (All 5 are expected to finish with D or F|About [0-9]+)", text_of(page))
    assert "but are not on it." in text_of(page)
    whole = send(client, file=csv_of(students(20)), seats="none").text
    assert listed(whole) == []
    assert "of the class are expected to finish with D or F" in text_of(whole)


def real_rows(count: int = 400) -> pd.DataFrame:
    """Rows of the published data set, as they stand in its file."""
    path = Path(__file__).parents[4] / "shared" / "data" / "grade_class.csv"
    if not path.exists():
        pytest.skip(f"the published data set is not at {path}")
    return pd.read_csv(path, dtype=str).drop(columns=["GPA", "GradeClass"]).head(count)


def test_of_students_with_the_same_risk_those_further_down_the_latent_score_are_listed(
    client: FlaskClient,
) -> None:
    frame = real_rows()
    file, bundle = csv_of(frame), client.application.extensions["predictor"].get().bundle
    table = send(client, "/roster/data", file=file).get_json()
    assert table["risk"].count(max(table["risk"])) > 40, "more are surely at risk than there are seats"
    cells, names = frame.to_numpy().tolist(), list(map(str, frame.columns))
    latent = bundle.latent(bundle.matrix(RowReader(names, bundle.contract).read(cells)[0]))
    order = np.argsort(table["turn"])
    assert latent[order] == pytest.approx(np.sort(latent), abs=1e-6)
    rows = [str(table["number"][place]) for place in order]
    assert listed(send(client, file=file, seats="40").text) == rows[:25], "of the first page"
    marked = send(client, "/roster/download", file=file, seats="40").text.splitlines()[1:]
    assert [",yes," in line for line in marked] == [True] * 40 + [False] * (len(frame) - 40)


def test_ticks_of_a_page_change_the_list_and_nothing_else(client: FlaskClient) -> None:
    first = send(client, file=csv_of(students(20)), seats="3").text
    carried, seen, was = (field(first, name) for name in ("carried", "seen", "was"))
    rows = listed(first)
    assert was.split(",") == rows
    other = next(row for row in seen.split(",") if row not in rows)
    form: dict[str, Any] = {"carried": carried, "seats": "3", "seen": seen, "was": was}
    page = send(client, **form, on=[rows[0], rows[1], other]).text
    assert set(listed(page)) == {rows[0], rows[1], other}
    assert (field(page, "added"), field(page, "skipped")) == (other, rows[2])
    assert "1 added by you, 1 left for another week." in text_of(page)
    now: dict[str, Any] = {
        "seen": field(page, "seen"),
        "was": field(page, "was"),
        "added": other,
        "skipped": rows[2],
    }
    later = send(client, carried=carried, seats="3", on=now["was"].split(","), sort="name", **now).text
    assert set(listed(later)) == {rows[0], rows[1], other}


def test_sorting_searching_and_filtering_leave_the_list_as_it_is(client: FlaskClient) -> None:
    frame = students(20)
    file = csv_of(frame)
    table = send(client, "/roster/data", file=file).get_json()
    rows = {str(table["number"][table["turn"].index(turn)]) for turn in range(5)}
    views: list[dict[str, Any]] = [{}, {"sort": "name"}, {"sort": "-risk"}, {"order": "file"}]
    for view in views:
        assert set(listed(send(client, file=file, seats="5", **view).text)) == rows
    assert set(listed(send(client, file=file, seats="5", find="dana").text)) < rows
    views += [{"find": "ada"}, {"only": "at-risk"}, {"label": "B"}]
    counts = {send(client, "/roster/counts", file=file, seats="5", **view).text for view in views}
    assert len(counts) == 1, "nor is anybody counted who is not shown"


def test_the_mark_is_beside_whom_the_threshold_flags(client: FlaskClient) -> None:
    table = send(client, "/roster/data", file=csv_of(students(40))).get_json()
    assert table["flagged"] == [risk >= 0.5 for risk in table["risk"]]


def test_a_row_says_of_help_what_its_details_say(client: FlaskClient) -> None:
    file = csv_of(students(40, seed=11))
    table = send(client, "/roster/data", file=file).get_json()
    assert any(table["step"])
    for number, step, flagged in zip(table["number"], table["step"], table["flagged"], strict=True):
        details = send(client, "/roster/row", file=file, row=str(number)).text
        if step:
            assert '<ul class="ways">' in details, (number, step)
        elif not flagged and '<ul class="ways">' not in details:
            assert "No change is needed" in details


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
    seen = table[table["this_week"] == "yes"]
    assert len(seen) == 4
    assert seen["at_risk"].min() >= table[table["this_week"] == "no"]["at_risk"].max(), "whatever the order"
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
    assert table["id"] == list(frame["StudentID"])
    assert table["name"] == list(frame["Name"])
    assert table["risk"] == pytest.approx([found[student] for student in table["id"]], abs=2e-6)
    assert {len(column) for column in table.values()} == {15}


def test_a_row_opens_to_reasons_and_suggestions(client: FlaskClient) -> None:
    response = send(client, "/roster/row", file=csv_of(students(5)), row="4")
    assert "Why this forecast" in response.text
    assert 'value="agree:4"' in response.text
    assert send(client, "/roster/row", file=csv_of(students(5)), row="9").status_code == 422


def test_uploaded_classes_are_not_kept(client: FlaskClient, spooled: list[Entry]) -> None:
    file = csv_of(students(5))
    for path in ("/roster", "/roster/data", "/roster/counts", "/roster/download"):
        assert send(client, path, file=file, seats="2").status_code == 200
    assert send(client, "/roster/row", file=file, row="2").status_code == 200
    assert spooled == []


def test_generated_students_can_be_tried_where_the_model_learned_from_such(client: FlaskClient) -> None:
    assert "generated students" in client.get("/roster").text
    assert "20\xa0students forecast" in send(client, example="yes").text


# What a teacher notes on a class's forecasts, and which classes are kept at all


def noted_in(page: str) -> dict[str, list[str]]:
    """What a page carries of notes."""
    return dict(json.loads(html.unescape(field(page, "noted"))))


def test_a_note_is_kept_beside_its_forecast_and_shown(client: FlaskClient, spooled: list[Entry]) -> None:
    frame = students(6)
    carried = field(send(client, file=csv_of(frame)).text, "carried")
    note: dict[str, Any] = {"note": "disagree:4", "reason-4": "She was ill in spring.", "name-4": "R. Okafor"}
    page = send(client, "/overrides", carried=carried, **note).text
    assert "Noted: you disagree with the forecast for Chidi 2 1003." in page
    assert noted_in(page) == {"4": ["disagree", "She was ill in spring.", "R. Okafor"]}
    told = send(client, "/roster/download", carried=carried, noted=json.dumps(noted_in(page))).text
    assert "disagree,She was ill in spring.,R. Okafor" in told
    forecast, override = spooled
    assert forecast["via"] == "roster"
    assert forecast["student"] == pseudonym(frame["StudentID"][2], PUBLIC_KEY)
    assert frame["Name"][2] not in str(spooled)
    assert override["prediction_id"] == forecast["prediction_id"]
    assert (override["verdict"], override["reason"]) == ("disagree", "She was ill in spring.")
    assert override["name"] == "R. Okafor"


def test_a_second_thought_is_about_the_same_forecast(client: FlaskClient, spooled: list[Entry]) -> None:
    for note in ("agree:2", "disagree:2"):
        send(client, "/overrides", file=csv_of(students(3)), note=note)
    kinds = [read_entry(orjson.dumps(entry))["kind"] for entry in spooled]
    assert kinds == ["prediction", "override"] * 2, "as the log takes them"
    assert len({entry["prediction_id"] for entry in spooled}) == 1
    assert [entry["verdict"] for entry in spooled if entry["kind"] == "override"] == ["agree", "disagree"]


def test_earlier_notes_stay_on_the_page(client: FlaskClient, spooled: list[Entry]) -> None:
    page = send(
        client, "/overrides", file=csv_of(students(5)), note="agree:3", noted='{"2": ["disagree", "", ""]}'
    ).text
    assert "You disagree" in page
    assert "You agree" in page
    assert noted_in(page) == {"2": ["disagree", "", ""], "3": ["agree", "", ""]}


def test_the_script_is_told_without_a_page(client: FlaskClient, spooled: list[Entry]) -> None:
    headers = {"Accept": "application/json"}
    response = send(client, "/overrides", file=csv_of(students(3)), note="agree:3", headers=headers)
    assert response.get_json() == {"noted": ["agree", "", ""]}
    assert len(spooled) == 2


@pytest.mark.parametrize(
    ("note", "status"),
    [
        ({"note": "perhaps:2"}, 400),
        ({"note": "agree"}, 400),
        ({"note": "agree:99"}, 422),
        ({"note": "agree:2", "reason-2": "ill\0"}, 400),
    ],
)
def test_a_note_on_nobody_or_with_no_text_in_it_is_refused(
    client: FlaskClient, spooled: list[Entry], note: dict[str, str], status: int
) -> None:
    for headers in ({}, {"Accept": "application/json"}):
        answer = send(client, "/overrides", file=csv_of(students(3)), headers=headers, **note)
        assert answer.status_code == status
    assert spooled == []


def test_a_note_that_cannot_be_written_down_is_not_said_to_be(client: FlaskClient, full_disk: None) -> None:
    assert send(client, "/overrides", file=csv_of(students(3)), note="agree:2").status_code == 503


def judged(client: FlaskClient, student: dict[str, Any]) -> dict[str, str]:
    """The form to judge a forecast by, as the page of one student has it."""
    asked = {name: str(value) for name, value in student.items()}
    page = client.post("/", data={"csrf_token": token_of(client), **asked}).text
    names = ("csrf_token", "prediction_id", "proof")
    return {"verdict": "agree", "reason": "", "name": "", **{name: field(page, name) for name in names}}


def test_a_forecast_of_the_page_is_noted_by_its_id(
    client: FlaskClient, spooled: list[Entry], student: dict[str, Any]
) -> None:
    assert "Noted: you agree" in client.post("/overrides", data=judged(client, student)).text
    asked, override = spooled
    assert override["prediction_id"] == asked["prediction_id"]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"prediction_id": "7"}, 400),
        ({"verdict": "perhaps"}, 400),
        ({"prediction_id": "0" * 32}, 422),
        ({"proof": "0" * 32}, 422),
        ({"proof": "é"}, 422),
        ({"reason": "ill\0"}, 400),
        ({"name": "R.\0"}, 400),
    ],
)
def test_a_note_on_no_forecast_of_ours_or_with_no_text_in_it_is_refused(
    client: FlaskClient, spooled: list[Entry], student: dict[str, Any], wrong: dict[str, str], status: int
) -> None:
    form = judged(client, student)
    assert client.post("/overrides", data={**form, **wrong}).status_code == status
    assert [entry["kind"] for entry in spooled] == ["prediction"]


def test_where_classes_are_kept_the_page_says_so_and_one_is_kept_once_however_often_it_is_looked_at(
    synced: PredictorSettings, settings_for: Callable[..., PredictorSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = create_app(settings_for(GRADECAST_HOME=synced.home, GRADECAST_LOG_ROSTERS="true")).test_client()
    spooled = list[Entry]()
    monkeypatch.setattr(keeping.application.extensions["spool"], "append", spooled.extend)
    assert "keep the forecasts of uploaded classes" in keeping.get("/roster").text
    frame = students(4)
    page = send(keeping, file=csv_of(frame)).text
    assert [entry["student"] for entry in spooled] == [
        pseudonym(student, PUBLIC_KEY) for student in frame["StudentID"]
    ]
    assert {entry["via"] for entry in spooled} == {"roster"}
    send(keeping, carried=field(page, "carried"), order="unsure")
    assert len(spooled) == 4
    send(keeping, file=csv_of(frame))
    assert len({entry["prediction_id"] for entry in spooled}) == 4


def test_a_german_export_and_a_workbook_show_the_same_class_and_how_they_were_read(
    client: FlaskClient, tmp_path: Path
) -> None:
    frame = students()
    plain = send(client, file=csv_of(frame)).text
    german = frame.assign(StudyTimeWeekly=frame["StudyTimeWeekly"].str.replace(".", ","))
    text = f"Klasse 7b – Übersicht\n\n{german.to_csv(index=False, sep=';')};;;\n"
    page = send(client, file=text.encode("cp1252")).text
    assert shown(page) == shown(plain)
    assert "How the file was read" in page
    assert "in which it says &#39;Übersicht&#39;" in page
    assert "numbers are written with a decimal comma" in page
    again = send(client, carried=field(page, "carried"), sort="name").text
    assert "numbers are written with a decimal comma" in again
    assert "in which it says" in again, "the notes travel with the page"
    lines = [list(frame.columns), *frame.to_numpy().tolist()]
    book = write_xlsx(tmp_path / "class.xlsx", {"7b": lines, "8a": lines[:4]}).read_bytes()
    assert "Name one, FILE#SHEET in a command: 7b, 8a" in send(client, file=book).text
    assert shown(send(client, file=book, sheet="7b").text) == shown(plain)
