"""The page of a class: upload, show, note, download."""

import hmac
import io
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, BinaryIO, cast

import numpy as np
import orjson
from flask import Response, current_app, request
from pydantic import TypeAdapter, ValidationError

from data.bundle import card_text
from data.contract.columns import ELAPSED
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.log.entries import Verdict, override_entry, prediction_entries
from data.rows.records import Record, settle_elapsed
from serving.api import JSON, check_passed_column, write_down
from serving.pages.layout import is_ours, page_blueprint, predictor_now, render
from serving.pages.mending import Misfit, read_mends, to_mend
from serving.pages.roster_file import example_sheet, pack, template_of, unpack
from serving.pages.roster_list import read_choice
from serving.pages.roster_rows import MOST_ROWS, all_rows, read_one, read_roster
from serving.pages.roster_table import BLANK, ClassList, Noted, details_of, draw_expected
from serving.pages.show import compared
from serving.pages.student import PERCENT, Field, fields, meeting_sheet, read_form
from serving.predictor import Predictor
from serving.problems import Problem, unavailable
from serving.settings import PredictorSettings
from serving.sheet import Sheet

ID_DIGITS = 32
HEX = re.compile(r"[0-9a-f]{32}")
VERDICTS: dict[str, Verdict] = {"agree": "agree", "disagree": "disagree"}
PRESSED = re.compile(r"(agree|disagree):(\d{1,6})")
PATIENCE = 5.0  # seconds to wait for one's turn
MOST_UNREAD = 30  # students who are named on the page, and cells that can be mended there
MOST_CALLED = 80  # letters of what a class is called

Notes = dict[int, Noted]
"""By the number of the row: what was noted on this page before."""

NOTES = TypeAdapter(dict[int, tuple[Verdict, str, str]])

roster = page_blueprint("roster")


@roster.get("/roster")
def show_upload() -> Response:
    """Ask for a class."""
    return _upload_page()


@roster.post("/roster")
def show_class() -> Response:
    """Show a class that was uploaded, or that travelled with the page."""
    try:
        with one_of_few():
            given = received()
            if _uploaded() is not None:
                _write_down(given)
            return _class_page(given, _noted())
    except Misfit as misfit:
        return _headings_page(misfit)
    except Problem as problem:
        if problem.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            return _upload_page(problem)
        raise


@roster.post("/roster/data")
def send_table() -> Response:
    """Send all students of the form's roster as columns, for the page's script to order by itself."""
    with one_of_few():
        return _json(received().table())


@roster.post("/roster/row")
def send_row() -> Response:
    """Send what one student's row opens to."""
    predictor = predictor_now()
    number = request.form.get("row", type=int) or 0
    record, _ = received_one(predictor, number)
    (detail,) = details_of(predictor, [record], [number]).values()
    bundle = predictor.bundle
    about = compared(bundle.scale)
    return render(
        "roster_row.html",
        detail=detail,
        record=record,
        contract=bundle.contract,
        compared=about,
        form=request.form,
    )


@roster.post("/roster/sheet")
def show_sheet() -> Response:
    """Show a sheet to print for a meeting about the student of one row."""
    predictor = predictor_now()
    record, name = received_one(predictor, request.form.get("row", type=int) or 0)
    return meeting_sheet(predictor, record, name)


@roster.post("/roster/counts")
def send_counts() -> Response:
    """Send what is to be expected of a list that the page's script made."""
    with one_of_few():
        given = received()
    return render("roster_counts.html", counts=given.counts(), contract=given.contract, choice=given.choice)


@roster.post("/roster/download")
def send_csv() -> Response:
    """Send the chosen students as a CSV."""
    with one_of_few():
        return _csv(received().csv(_noted()), "forecasts.csv")


@roster.get("/roster/template.csv")
def send_template() -> Response:
    """Send a CSV to fill in."""
    return _csv(template_of(predictor_now().bundle.contract), "class.csv")


@roster.post("/overrides")
def take_override() -> Response:
    """Take a verdict on a forecast, of a roster's student or of one that the log has."""
    predictor = predictor_now()
    if "prediction_id" in request.form:
        return render("noted.html", verdict=note_of_forecast(predictor, request.form))
    number, verdict = pressed(request.form)
    if request.accept_mimetypes.best == JSON:  # the page's script, which has the rest of the page already
        record, _ = received_one(predictor, number)
        noted = note_of_roster(predictor, record, verdict, request.form, number)
        return _json({"noted": list(noted)})
    with one_of_few():
        given = received()
        if number not in given.file.numbers:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Row {number} of the file is no student's.")
        place = given.file.numbers.index(number)
        noted = note_of_roster(given.predictor, given.file.records[place], verdict, request.form, number)
        said = f"Noted: you {verdict} with the forecast for {given.names[place]}."
        return _class_page(given, {**_noted(), number: noted}, said)


@contextmanager
def one_of_few() -> Iterator[None]:
    """Let no more whole files be answered at once than workers can; raises Problem 503."""
    turns = current_app.extensions["batches"]
    if not turns.acquire(timeout=PATIENCE):
        detail = "Several classes are being forecast at this moment. Try again in half a minute."
        raise unavailable(detail, 30)
    try:
        yield
    finally:
        turns.release()


def received() -> ClassList:
    """Read and forecast the form's roster; raises Problem."""
    predictor, form = predictor_now(), request.form
    contract, passed = predictor.bundle.contract, read_passed(form, predictor.bundle.contract)
    sheet = received_sheet(predictor)
    check_passed_column(sheet.header, predictor.bundle)
    file = read_roster(sheet, contract, read_mends(form), form.get("beside", ""))
    settle_elapsed(file.records, contract, passed)
    return ClassList(predictor, file, read_choice(form, contract.target.labels, form.getlist("on")))


def received_one(predictor: Predictor, number: int) -> tuple[Record, str]:
    """Return the record of one row of the form's roster, and what the student is called; raises Problem."""
    contract, form = predictor.bundle.contract, request.form
    record, name = read_one(received_sheet(predictor), contract, number, read_mends(form))
    settle_elapsed([record], contract, read_passed(form, contract))
    return record, name


def read_passed(form: Mapping[str, str], contract: Contract) -> float | None:
    """Return how much of the period has passed, as the form says it in hundredths; raises Problem 422."""
    text = form.get(ELAPSED, "") if contract.accumulating else ""
    record, faults = read_form([PERCENT], {ELAPSED: text})
    if faults:
        fault = {"field": PERCENT.title, "message": faults[ELAPSED]}
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Nothing was forecast yet.", [fault])
    return record[ELAPSED] / 100 if ELAPSED in record else None


def received_sheet(predictor: Predictor) -> Sheet:
    """Return the form's roster, unread; raises Problem 400 where it brings none."""
    upload = _uploaded()
    settings: PredictorSettings = current_app.extensions["settings"]
    if upload is not None:
        return Sheet(upload, request.form.get("sheet", ""), settings.uploads)
    if request.form.get("carried"):
        return unpack(request.form["carried"])
    if request.form.get("pasted", "").strip():
        return Sheet(io.BytesIO(request.form["pasted"].encode()), "", settings.uploads)
    if request.form.get("example") and predictor.bundle.manifest.generated:  # never somebody's
        return example_sheet(predictor.bundle)
    raise Problem(
        HTTPStatus.BAD_REQUEST,
        "No file came along. Choose the file with your class first, or paste its rows.",
    )


def _uploaded() -> BinaryIO | None:
    """Return the file that the form brought, and not the rows of its page or the example."""
    upload = request.files.get("file")
    return cast(BinaryIO, upload.stream) if upload is not None and upload.filename else None


def _noted() -> Notes:
    """Return what was noted on the form's page before; what is none of ours was not noted."""
    try:
        said = NOTES.validate_json(request.form.get("noted") or "{}")
    except ValidationError:
        return {}
    return {number: Noted(*noted) for number, noted in said.items()}


def _upload_page(problem: Problem | None = None) -> Response:
    """Return the page that asks for a class, with what was wrong with the last one."""
    predictor = predictor_now()
    threading.Thread(target=warm, args=(predictor,), daemon=True).start()
    return render(
        "roster.html",
        problem.status if problem else HTTPStatus.OK,
        problem=problem,
        contract=predictor.bundle.contract,
        most=MOST_ROWS,
        example=predictor.bundle.manifest.generated,
        counts=predictor.counts_hint,
        passed=_passed_field(predictor.bundle.contract),
        text=card_text,
        form=request.form,
    )


def _headings_page(misfit: Misfit) -> Response:
    """Return the page that asks which headings are meant for the columns that a file lacks."""
    contract, sheet = predictor_now().bundle.contract, misfit.sheet
    rows = all_rows(sheet)
    return render(
        "roster_headings.html",
        misfit.status,
        contract=contract,
        misfit=misfit,
        samples=misfit.samples(rows),
        carried=pack(sheet.header, rows, sheet.delimiter, contract, sheet.notes),
        mends=read_mends(request.form).fields,
        called=_called(),
        form=request.form,
    )


def _passed_field(contract: Contract) -> list[Field]:
    """Return the field that asks how much of the period has passed, where it is needed."""
    return fields([PERCENT] if contract.accumulating else [], contract, request.form.to_dict(), {})


def warm(predictor: Predictor) -> None:
    """Have the booster read while a person looks for the file: the first time it takes a second."""
    bundle = predictor.bundle
    bundle.explain(np.zeros((1, len(bundle.space.names)), dtype=np.float32))


def told_days(records: Sequence[Record], contract: Contract) -> str:
    """Say for which day, or between which days, the forecasts of a list are; nothing without days."""
    days = sorted({record[AS_OF] for record in records}) if contract.dated else []
    if len(days) > 1:
        return f"as of their days, {days[0]} to {days[-1]}"
    return f"as of day {days[0]}" if days else ""


def _class_page(given: ClassList, noted: Notes, said: str = "") -> Response:
    """Return the page of a class, with what has just been done."""
    predictor, contract, file = given.predictor, given.contract, given.file
    places, page, pages = given.page()
    lines, records = given.lines(places.tolist()), [file.records[place] for place in places]
    expected = given.expected()
    return render(
        "roster_class.html",
        said=said,
        contract=contract,
        given=given,
        lines=lines,
        records=records,
        details=details_of(predictor, records, [line.number for line in lines]),
        page=page,
        pages=pages,
        expected=expected,
        bar=draw_expected(expected, contract.target),
        counts=given.counts(),
        choice=given.choice,
        noted=noted,
        compared=compared(predictor.bundle.scale),
        blank=BLANK,
        form=request.form,
        **_about_file(given),
    )


def _about_file(given: ClassList) -> dict[str, Any]:
    """Return what the page of a class says of its file, and what travels with it."""
    contract, file = given.contract, given.file
    return {
        "as_of": told_days(file.records, contract),
        "carried": pack(file.header, file.rows, file.delimiter, contract, file.notes),
        "mends": read_mends(request.form).fields,
        "told_of_counts": "" if contract.accumulating else given.predictor.counts_hint,
        "passed": read_passed(request.form, contract),
        "unread": file.unread[:MOST_UNREAD],
        "to_mend": to_mend(file.unread, contract)[:MOST_UNREAD],
        "called": _called(),
        "today": datetime.now(UTC).date(),
        "pairs": lambda texts: [(text, text) for text in texts],
    }


def _called() -> str:
    """Return what the class is called: as the form says, else by its file."""
    upload = request.files.get("file")
    by_file = (upload.filename or "").rsplit(".", 1)[0] if upload is not None else ""
    return (request.form.get("called") or by_file)[:MOST_CALLED]


def _write_down(given: ClassList) -> None:
    """Count a roster, and log it where the settings allow it; raises Problem 503."""
    settings: PredictorSettings = current_app.extensions["settings"]
    records = given.file.records
    current_app.extensions["metrics"].scored(len(records), len(given.file.unread))
    if settings.log_rosters:
        answers = answers_to_log(given.predictor, records, settings.id_key)
        entries = prediction_entries(records, answers, given.contract, settings.id_key, "roster")
        write_down(current_app.extensions["spool"], entries)


def answers_to_log(predictor: Predictor, records: list[Record], key: str) -> list[dict[str, Any]]:
    """Return the answers of records as the log wants them, each under its id of today.

    The id follows from record, version and day: a class that is looked at twice is kept once.
    """
    bundle, today = predictor.bundle, datetime.now(UTC).date().isoformat()
    elapsed = bundle.elapsed(records)
    shares = bundle.probabilities(bundle.matrix(records), elapsed) if records else None
    answers = [] if shares is None else bundle.answers(shares, elapsed)
    for answer, record in zip(answers, records, strict=True):
        said = [bundle.contract.name, predictor.version, today, record]
        text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        prediction_id = hmac.digest(key.encode(), text, "sha256").hex()[:ID_DIGITS]
        answer |= {"model_version": predictor.version, "prediction_id": prediction_id}
    return answers


def pressed(form: Mapping[str, str]) -> tuple[int, Verdict]:
    """Return whose row a button was of and what it said; raises Problem 400 where it was none of ours."""
    found = PRESSED.fullmatch(form.get("note", ""))
    if found is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "Say agree or disagree to one student's forecast.")
    return int(found[2]), VERDICTS[found[1]]


def note_of_roster(
    predictor: Predictor, record: Record, verdict: Verdict, form: Mapping[str, str], number: int
) -> Noted:
    """Write down a verdict on the student of a roster's row, and the forecast that it is about; return it.

    Raises Problem 400 for what is no text, 503 where it cannot be written down.
    """
    reason, name = _text(form, f"reason-{number}"), _text(form, f"name-{number}")
    settings: PredictorSettings = current_app.extensions["settings"]
    contract = predictor.bundle.contract
    (answer,) = answers = answers_to_log(predictor, [record], settings.id_key)
    entries = prediction_entries([record], answers, contract, settings.id_key, "roster")
    noted = override_entry(answer["prediction_id"], contract, verdict, reason, name)
    write_down(current_app.extensions["spool"], [*entries, noted])
    return Noted(verdict, reason, name)


def note_of_forecast(predictor: Predictor, form: Mapping[str, str]) -> Verdict:
    """Write down a verdict on a forecast of the page of one student; raises Problem 400, 422 or 503."""
    verdict = VERDICTS.get(form.get("verdict", ""))
    prediction_id = form.get("prediction_id", "")
    if verdict is None or not HEX.fullmatch(prediction_id):
        raise Problem(HTTPStatus.BAD_REQUEST, "Say agree or disagree to one forecast, by its id.")
    if not is_ours(prediction_id, form.get("proof", "")):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "No forecast was given here under this id.")
    reason, name = _text(form, "reason"), _text(form, "name")
    noted = override_entry(prediction_id, predictor.bundle.contract, verdict, reason, name)
    write_down(current_app.extensions["spool"], [noted])
    return verdict


def _text(form: Mapping[str, str], field: str) -> str:
    """Return what was typed into a field; raises Problem 400 for what no database takes as text."""
    text = form.get(field, "")
    if "\0" in text:
        raise Problem(HTTPStatus.BAD_REQUEST, "The reason or the name is not text. Type it again.")
    return text


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), mimetype=JSON)


def _csv(body: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, mimetype="text/csv", headers=headers)
