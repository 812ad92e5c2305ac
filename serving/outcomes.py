"""POST /outcomes: the grades that came later, spooled like forecasts: no request waits for a database."""

import csv
import io
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, request

from data.contract.columns import repeated
from data.contract.contract import Contract
from data.log.entries import outcome_entries
from data.log.spool import SpoolError
from data.rows.outcomes import GRADE, PREDICTION_ID, Outcome, from_cells, outcome_reader
from data.rows.spreadsheets import FIRST_ROW, split_header
from serving.api import parse_json, ready_predictor
from serving.problems import FieldErrors, Problem
from serving.settings import PredictorSettings

CSV_TYPES = ("text/csv", "application/csv", "multipart/form-data")
MOST_ROWS = 100_000  # of a CSV, which is taken whole or not at all, and so is held in memory

outcomes = Blueprint("outcomes", __name__)


@outcomes.post("/outcomes")
def report() -> Response:
    """Take outcomes in JSON (one or a list) or CSV (body or `file`), all of them or none."""
    settings: PredictorSettings = current_app.extensions["settings"]
    contract = ready_predictor(current_app.extensions["predictor"]).bundle.contract
    read = outcome_reader(contract)
    accepted: list[Outcome] = []
    faults = FieldErrors()
    for where, raw in _given(contract, settings.max_records):
        outcome, wrong, more = read(raw)
        accepted.append(outcome)
        if len(accepted) > MOST_ROWS:
            detail = f"At most {MOST_ROWS:,} outcomes are taken at once. Send the CSV in parts."
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        faults.add(({**where, **fault} for fault in wrong), more)
    if faults:
        detail = "The contract is broken; no outcome was taken."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, faults)
    try:
        current_app.extensions["spool"].append(outcome_entries(accepted, contract, settings.id_key))
    except SpoolError as error:
        detail = "The outcomes cannot be written down now, and none is taken."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, (), {"Retry-After": "10"}) from error
    body = orjson.dumps({"accepted": len(accepted)})
    return Response(body, HTTPStatus.ACCEPTED, mimetype="application/json")


def _given(contract: Contract, most: int) -> Iterator[tuple[dict[str, int], Any]]:
    """Yield each outcome of the request and where it stands there; raises Problem."""
    if request.is_json:
        parsed = parse_json(request.get_data(), most)
        if not isinstance(parsed, list):
            yield {}, parsed
            return
        if len(parsed) > most:
            detail = f"{len(parsed)} outcomes in one request; at most {most} are taken. Send a CSV, or parts."
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        yield from (({"record": position}, raw) for position, raw in enumerate(parsed))
    elif request.mimetype in CSV_TYPES:
        yield from _rows(_csv_text(), contract)
    else:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send outcomes as application/json or text/csv.")


def _csv_text() -> str:
    file = request.files.get("file")
    if request.mimetype == "multipart/form-data" and file is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "The form has no `file`.")
    try:
        return (file.read() if file else request.get_data()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "The CSV is not UTF-8.") from error


def _rows(text: str, contract: Contract) -> Iterator[tuple[dict[str, int], Any]]:
    """Yield the rows of a CSV with their number; columns that are none of an outcome's are left out."""
    _, delimiter = split_header(text.partition("\n")[0])
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, contract)
        for number, cells in enumerate(rows, start=FIRST_ROW):
            if not any(cells):
                continue
            if len(cells) != len(header):
                wrong = f"Row {number} has {len(cells)} cells, the header {len(header)}."
                raise Problem(HTTPStatus.BAD_REQUEST, wrong)
            yield {"row": number}, from_cells(dict(zip(header, cells, strict=True)), contract)
    except csv.Error as error:
        detail = f"The CSV cannot be read, near line {rows.line_num}: {error}."
        raise Problem(HTTPStatus.BAD_REQUEST, detail) from error


def _check_header(header: list[str], contract: Contract) -> None:
    """Raise Problem where a CSV has no column to join by or none with the class, or has one twice."""
    names = [name for name in header if name]
    whose = [PREDICTION_ID, *([contract.id.name] if contract.id else [])]
    what = [contract.target.column, GRADE, *([contract.score.name] if contract.score else [])]
    faults = [
        {"field": wanted[0], "message": f"the file needs one of the columns {', '.join(wanted)}"}
        for wanted in (whose, what)
        if not set(wanted) & set(names)
    ]
    faults += [{"field": name, "message": "two columns have this name"} for name in repeated(names)]
    if faults:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The file's columns are not those of outcomes.", faults
        )
