"""The roster's routes: each reads the form, calls, and shows. None of them keeps what it was given."""

from http import HTTPStatus

from flask import Response, current_app, request

from data.log_entries import Verdict, prediction_entries
from serving.api import ready_predictor, write_down
from serving.pages.shell import page_blueprint, render
from serving.pages.words import compared
from serving.problems import Problem
from serving.roster.download import csv_of
from serving.roster.forecasts import answers_to_log
from serving.roster.noting import note_of_forecast, note_of_roster, pressed
from serving.roster.page import class_page, upload_page
from serving.roster.reading import read_one
from serving.roster.received import (
    Received,
    one_of_few,
    received,
    received_sheet,
    template_of,
    was_uploaded,
)
from serving.roster.sending import json_of, table_of
from serving.roster.view import counts_shown, details_of, lines_of
from serving.settings import Settings

roster = page_blueprint("roster")


@roster.get("/roster")
def show_upload() -> Response:
    """Ask for a class."""
    return upload_page()


@roster.post("/roster")
def show_class() -> Response:
    """Show a class that was uploaded, or that travelled with the page."""
    try:
        with one_of_few():
            given = received()
            if was_uploaded():
                _write_down(given)
            return class_page(given, "")
    except Problem as problem:
        if problem.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            return upload_page(problem)
        raise


@roster.post("/roster/data")
def send_table() -> Response:
    """Send all students of the form's roster as columns, for the page's script to order by itself."""
    with one_of_few():
        given = received()
        everyone = range(len(given.roster.records))
        lines = lines_of(everyone, given.roster, given.forecasts, given.shown, given.contract)
        return json_of(table_of(lines, given.forecasts.tops))


@roster.post("/roster/row")
def send_row() -> Response:
    """Send what one student's row opens to."""
    predictor = ready_predictor(current_app.extensions["predictor"])
    number = request.form.get("row", type=int) or 0
    record = read_one(received_sheet(predictor), predictor.bundle.contract, number)
    (detail,) = details_of(predictor, [record], [number]).values()
    about = {"contract": predictor.bundle.contract, "compared": compared(predictor.bundle.scale)}
    return render("roster_row.html", HTTPStatus.OK, detail=detail, record=record, **about)


@roster.post("/roster/counts")
def send_counts() -> Response:
    """Send what is to be expected of a list that the page's script made."""
    with one_of_few():
        given = received()
    counts = counts_shown(given.forecasts, given.shown, given.predictor.bundle)
    return render("roster_counts.html", counts=counts, choice=given.choice, contract=given.contract)


@roster.post("/roster/download")
def send_csv() -> Response:
    """Send the chosen students as a CSV."""
    with one_of_few():
        given = received()
        body = csv_of(given.roster, given.forecasts, given.shown, given.predictor, given.noted)
    named = {"Content-Disposition": 'attachment; filename="forecasts.csv"'}
    return Response(body, mimetype="text/csv", headers=named)


@roster.get("/roster/template.csv")
def send_template() -> Response:
    """Send a CSV to fill in."""
    predictor = ready_predictor(current_app.extensions["predictor"])
    named = {"Content-Disposition": 'attachment; filename="class.csv"'}
    return Response(template_of(predictor), mimetype="text/csv", headers=named)


@roster.post("/overrides")
def take_override() -> Response:
    """Take a verdict on a forecast, of a roster's student or of one that the log has."""
    if "prediction_id" in request.form:
        verdict = note_of_forecast(ready_predictor(current_app.extensions["predictor"]), request.form)
        return render("noted.html", verdict=verdict)
    number, verdict = pressed(request.form)
    if request.accept_mimetypes.best == "application/json":
        return _note_quickly(number, verdict)
    with one_of_few():
        given = received()
        if number not in given.roster.numbers:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Row {number} of the file is no student's.")
        record = given.roster.records[given.roster.numbers.index(number)]
        note_of_roster(given.predictor, record, verdict, request.form, number)
        given.noted[number] = verdict
        return class_page(given, f"Noted: you {verdict} with the forecast in row {number}.")


def _note_quickly(number: int, verdict: Verdict) -> Response:
    """Note a verdict for the page's script, which has the rest of the page already."""
    predictor = ready_predictor(current_app.extensions["predictor"])
    record = read_one(received_sheet(predictor), predictor.bundle.contract, number)
    note_of_roster(predictor, record, verdict, request.form, number)
    return json_of({"noted": verdict})


def _write_down(given: Received) -> None:
    """Log a roster where the settings allow it; raises Problem 503."""
    settings: Settings = current_app.extensions["settings"]
    current_app.extensions["metrics"].scored(len(given.roster.records), given.roster.bad)
    if settings.log_rosters:
        records, contract = given.roster.records, given.contract
        answers = answers_to_log(given.predictor, records, settings.id_key)
        entries = prediction_entries(records, answers, contract, settings.id_key, "roster")
        write_down(current_app.extensions["spool"], entries)
