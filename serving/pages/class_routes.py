"""The routes of a class: upload, show, note, download."""

import io
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from flask import Response, current_app, request

from data.bundle import card_text as card_words
from data.contract.contract import Contract
from data.log.entries import Verdict, override_entry, prediction_entries
from data.rows.records import Record, typical_value
from serving.api import ready_predictor, write_down
from serving.pages.class_choice import (
    Choice,
    ClassForecasts,
    Shown,
    answers_to_log,
    choose,
    forecast,
    page_of,
    page_size,
    read_choice,
)
from serving.pages.class_upload import MOST_ROWS, UploadedClass, pack, read_one, read_roster, unpack
from serving.pages.class_view import (
    BLANK,
    also_of,
    class_bar,
    class_parts,
    counts_shown,
    csv_of,
    details_of,
    json_of,
    lines_of,
    names_of,
    table_of,
)
from serving.pages.layout import is_ours, page_blueprint, render
from serving.pages.words import compared
from serving.predictor import Predictor
from serving.problems import Problem
from serving.settings import Settings
from serving.sheet import BOM, Sheet

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


PATIENCE = 5.0  # seconds to wait for one's turn


class GivenClass(NamedTuple):
    """A form's roster with its forecasts, and what was chosen of it."""

    predictor: Predictor
    roster: UploadedClass
    forecasts: ClassForecasts
    choice: Choice
    shown: Shown
    noted: Noted

    @property
    def contract(self) -> Contract:
        """The contract of the model that answers."""
        return self.predictor.bundle.contract


@contextmanager
def one_of_few() -> Iterator[None]:
    """Let no more whole files be answered at once than workers can; raises Problem 503."""
    turns = current_app.extensions["batches"]
    if not turns.acquire(timeout=PATIENCE):
        detail = "Several classes are being forecast at this moment. Try again in half a minute."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, (), {"Retry-After": "30"})
    try:
        yield
    finally:
        turns.release()


def received() -> GivenClass:
    """Read and forecast the form's roster; raises Problem."""
    predictor = ready_predictor(current_app.extensions["predictor"])
    contract = predictor.bundle.contract
    roster = read_roster(received_sheet(predictor), contract)
    forecasts = forecast(predictor, roster.records)
    choice = read_choice(request.form, contract.target.labels)
    names, also = names_of(roster, contract), also_of(roster, contract)
    shown = choose(choice, forecasts, contract.target, names, also)
    return GivenClass(predictor, roster, forecasts, choice, shown, read_noted(request.form.get("noted", "")))


def received_sheet(predictor: Predictor) -> Sheet:
    """Return the form's roster, unread; raises Problem 400 where it brings none."""
    upload = request.files.get("file")
    if upload is not None and upload.filename:
        return Sheet(cast(BinaryIO, upload.stream))
    if request.form.get("carried"):
        return unpack(request.form["carried"])
    if request.form.get("example") and has_example(predictor):
        return example_sheet(predictor)
    raise Problem(HTTPStatus.BAD_REQUEST, "No file came along. Choose the CSV with your class first.")


def was_uploaded() -> bool:
    """Tell whether the form brought a file, and not the rows of its page or the example."""
    upload = request.files.get("file")
    return upload is not None and bool(upload.filename)


def has_example(predictor: Predictor) -> bool:
    """Tell whether there are students to try the page with: generated ones, never somebody's."""
    return predictor.bundle.manifest.generated


def example_sheet(predictor: Predictor) -> Sheet:
    """Return the bundle's own examples as a roster."""
    bundle = predictor.bundle
    header = [column.name for column in bundle.contract.features]
    rows = [[_cell(record[name]) for name in header] for record in bundle.shown]
    return _sheet([header, *rows])


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def template_of(predictor: Predictor) -> bytes:
    """Return a CSV to fill in: the columns to give, and one line that shows how they are written."""
    contract = predictor.bundle.contract
    columns = [*([contract.id] if contract.id else []), *contract.asked]
    cells = []
    for column in columns:
        coded = next(iter(column.codes.values()), None)
        cells.append(coded or f"{typical_value(column):.0f}")
    sheet = _sheet([["a"]])
    return BOM + "".join(f"{line}\r\n" for line in sheet.joined([[c.name for c in columns], cells])).encode()


def _sheet(rows: list[list[str]]) -> Sheet:
    return Sheet(io.BytesIO("\n".join(map(",".join, rows)).encode()))


MOST_TROUBLES = 50  # shown on the page


def upload_page(problem: Problem | None = None) -> Response:
    """Return the page that asks for a class, with what was wrong with the last one."""
    predictor = ready_predictor(current_app.extensions["predictor"])
    threading.Thread(target=warm, args=(predictor,), daemon=True).start()
    values: dict[str, Any] = {
        "contract": predictor.bundle.contract,
        "most": MOST_ROWS,
        "example": has_example(predictor),
    }
    values |= {"counts": predictor.counts_warning, "said": card_words}
    return render("roster.html", problem.status if problem else HTTPStatus.OK, problem=problem, **values)


def warm(predictor: Predictor) -> None:
    """Have the booster read while a person looks for the file: the first time it takes a second."""
    bundle = predictor.bundle
    bundle.explain(np.zeros((1, len(bundle.space.names)), dtype=np.float32))


def class_page(given: GivenClass, said: str) -> Response:
    """Return the page of a class, with what has just been done."""
    predictor, contract = given.predictor, given.contract
    places, page, pages = page_of(given.choice, given.shown)
    records = [given.roster.records[place] for place in places]
    lines = lines_of(places.tolist(), given.roster, given.forecasts, given.shown, contract)
    parts = class_parts(given.forecasts, predictor.bundle)
    values: dict[str, Any] = {
        "said": said,
        "contract": contract,
        "given": given,
        "lines": lines,
        "records": records,
        "details": details_of(predictor, records, [line.number for line in lines]),
        "page": page,
        "pages": pages,
        "size": page_size(len(given.roster.records)),
        "parts": parts,
        "bar": class_bar(parts, contract),
        "counts": counts_shown(given.forecasts, given.shown, predictor.bundle),
        "carried": pack(given.roster.header, given.roster.rows, given.roster.delimiter, contract),
        "noted": write_noted(given.noted),
        "compared": compared(predictor.bundle.scale),
        "told_of_counts": predictor.counts_warning,
        "blank": BLANK,
        "troubles": given.roster.troubles[:MOST_TROUBLES],
        "form": request.form,
    }
    return render("roster_class.html", HTTPStatus.OK, **values)


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


def _write_down(given: GivenClass) -> None:
    """Log a roster where the settings allow it; raises Problem 503."""
    settings: Settings = current_app.extensions["settings"]
    current_app.extensions["metrics"].scored(len(given.roster.records), given.roster.bad)
    if settings.log_rosters:
        records, contract = given.roster.records, given.contract
        answers = answers_to_log(given.predictor, records, settings.id_key)
        entries = prediction_entries(records, answers, contract, settings.id_key, "roster")
        write_down(current_app.extensions["spool"], entries)
