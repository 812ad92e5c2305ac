"""What a teacher notes on a class's forecasts, and which classes are kept at all."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from data.log.entries import read_entry
from data.log.spool import SpoolError
from data.rows.ids import PUBLIC_KEY, pseudonym
from serving.app import create_app
from serving.settings import Settings
from tests.serving.pages.rosters import csv_of, field, send, students, token_of

Entry = dict[str, Any]


@pytest.fixture
def spooled(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    return watch(client, monkeypatch)


def watch(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """What a client's predictor writes down."""
    entries: list[Entry] = []
    monkeypatch.setattr(client.application.extensions["spool"], "append", entries.extend)
    return entries


def test_a_note_is_kept_beside_its_forecast_and_shown(client: FlaskClient, spooled: list[Entry]) -> None:
    frame = students(6)
    carried = field(send(client, file=csv_of(frame)).text, "carried")
    note: dict[str, Any] = {"note": "disagree:4", "reason-4": "She was ill in spring.", "name": "R. Okafor"}
    page = send(client, "/overrides", carried=carried, **note).text
    assert "Noted: you disagree with the forecast in row 4." in page
    assert field(page, "noted") == "4:disagree"
    forecast, override = spooled
    assert forecast["via"] == "roster"
    assert forecast["student"] == pseudonym(frame["StudentID"][2], PUBLIC_KEY)
    assert frame["Name"][2] not in str(spooled)
    assert override["prediction_id"] == forecast["prediction_id"]
    assert (override["verdict"], override["reason"]) == ("disagree", "She was ill in spring.")
    assert override["name"] == "R. Okafor"


def test_what_is_written_down_can_be_drained(client: FlaskClient, spooled: list[Entry]) -> None:
    send(client, "/overrides", file=csv_of(students(3)), note="agree:2")
    assert [read_entry(orjson.dumps(entry))["kind"] for entry in spooled] == ["prediction", "override"]


def test_a_second_thought_is_about_the_same_forecast(client: FlaskClient, spooled: list[Entry]) -> None:
    file = csv_of(students(3))
    for note in ("agree:2", "disagree:2"):
        send(client, "/overrides", file=file, note=note)
    assert len({entry["prediction_id"] for entry in spooled}) == 1
    assert [entry["verdict"] for entry in spooled if entry["kind"] == "override"] == ["agree", "disagree"]


def test_earlier_notes_stay_on_the_page(client: FlaskClient, spooled: list[Entry]) -> None:
    page = send(client, "/overrides", file=csv_of(students(5)), note="agree:3", noted="2:disagree").text
    assert "You disagree" in page
    assert "You agree" in page
    assert field(page, "noted") == "2:disagree,3:agree"


def test_the_script_is_told_without_a_page(client: FlaskClient, spooled: list[Entry]) -> None:
    headers = {"Accept": "application/json"}
    response = send(client, "/overrides", file=csv_of(students(3)), note="agree:3", headers=headers)
    assert response.get_json() == {"noted": "agree"}
    assert len(spooled) == 2


@pytest.mark.parametrize(("note", "status"), [("perhaps:2", 400), ("agree", 400), ("agree:99", 422)])
def test_a_note_on_nobody_is_refused(
    client: FlaskClient, spooled: list[Entry], note: str, status: int
) -> None:
    assert send(client, "/overrides", file=csv_of(students(3)), note=note).status_code == status
    assert spooled == []


def test_a_note_that_cannot_be_written_down_is_not_said_to_be(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(entries: object) -> None:
        raise SpoolError("no space left")

    monkeypatch.setattr(client.application.extensions["spool"], "append", refuse)
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


def test_a_note_on_a_roster_with_no_text_in_it_is_refused(client: FlaskClient, spooled: list[Entry]) -> None:
    note = {"note": "agree:2", "reason-2": "ill\0"}
    for headers in ({}, {"Accept": "application/json"}):
        assert send(client, "/overrides", csv_of(students(3)), headers=headers, **note).status_code == 400
    assert spooled == []


@pytest.fixture
def keeping(synced: Settings, settings_for: Callable[..., Settings]) -> FlaskClient:
    """A client of a predictor that keeps the forecasts of classes."""
    return create_app(settings_for(GRADECAST_HOME=synced.home, GRADECAST_LOG_ROSTERS="true")).test_client()


def test_where_classes_are_kept_the_page_says_so(keeping: FlaskClient) -> None:
    assert "keep the forecasts of uploaded classes" in keeping.get("/roster").text


def test_a_class_is_kept_once_however_often_it_is_looked_at(
    keeping: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled = watch(keeping, monkeypatch)
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
