"""What a teacher says to a forecast: agree or disagree, and why; written down beside the forecast itself."""

import re
from collections.abc import Mapping
from http import HTTPStatus

from flask import current_app

from data.log_entries import Verdict, override_entry, prediction_entries
from data.records import Record
from serving.api import write_down
from serving.pages.sessions import is_ours
from serving.predictor import Predictor
from serving.problems import Problem
from serving.roster.forecasts import answers_to_log
from serving.settings import Settings

HEX = re.compile(r"[0-9a-f]{32}")
VERDICTS: dict[str, Verdict] = {"agree": "agree", "disagree": "disagree"}
NOTED = re.compile(r"(\d{1,6}):(agree|disagree)")
PRESSED = re.compile(r"(agree|disagree):(\d{1,6})")

Noted = dict[int, str]


def read_noted(text: str) -> Noted:
    """Return what was noted on this page before: a verdict by the number of the row."""
    return {int(number): verdict for number, verdict in NOTED.findall(text)}


def write_noted(noted: Noted) -> str:
    """Return what was noted as a form's text."""
    return ",".join(f"{number}:{verdict}" for number, verdict in noted.items())


def pressed(form: Mapping[str, str]) -> tuple[int, Verdict]:
    """Return whose row a button was of and what it said; raises Problem 400 where it was none of ours."""
    found = PRESSED.fullmatch(form.get("note", ""))
    if found is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "Say agree or disagree to one student's forecast.")
    return int(found[2]), VERDICTS[found[1]]


def note_of_roster(
    predictor: Predictor, record: Record, verdict: Verdict, form: Mapping[str, str], number: int
) -> None:
    """Write down a verdict on the student of a roster's row, and the forecast that it is about.

    Raises Problem 400 for what is no text, 503 where it cannot be written down.
    """
    reason, name = _said(form, f"reason-{number}"), _said(form, "name")
    settings: Settings = current_app.extensions["settings"]
    contract = predictor.bundle.contract
    (answer,) = answers = answers_to_log(predictor, [record], settings.id_key)
    entries = prediction_entries([record], answers, contract, settings.id_key, "roster")
    noted = override_entry(answer["prediction_id"], contract, verdict, reason, name)
    write_down(current_app.extensions["spool"], [*entries, noted])


def note_of_forecast(predictor: Predictor, form: Mapping[str, str]) -> Verdict:
    """Write down a verdict on a forecast of the page of one student; raises Problem 400, 422 or 503."""
    verdict = VERDICTS.get(form.get("verdict", ""))
    prediction_id = form.get("prediction_id", "")
    if verdict is None or not HEX.fullmatch(prediction_id):
        raise Problem(HTTPStatus.BAD_REQUEST, "Say agree or disagree to one forecast, by its id.")
    if not is_ours(prediction_id, form.get("proof", "")):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "No forecast was given here under this id.")
    reason, name = _said(form, "reason"), _said(form, "name")
    noted = override_entry(prediction_id, predictor.bundle.contract, verdict, reason, name)
    write_down(current_app.extensions["spool"], [noted])
    return verdict


def _said(form: Mapping[str, str], field: str) -> str:
    """Return what was typed into a field; raises Problem 400 for what no database takes as text."""
    text = form.get(field, "")
    if "\0" in text:
        raise Problem(HTTPStatus.BAD_REQUEST, "The reason or the name is not text. Type it again.")
    return text
