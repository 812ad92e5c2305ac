"""POST /outcomes: the grades that came later, spooled like forecasts: no request waits for a database."""

import io
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, request

from data.contract.columns import repeated
from data.contract.contract import Contract
from data.log.entries import outcome_entries
from data.log.spool import SpoolError
from data.rows.notation import Notation
from data.rows.outcomes import (
    GRADE,
    PREDICTION_ID,
    Outcome,
    from_cells,
    outcome_columns,
    outcome_reader,
)
from data.rows.spreadsheets import FIRST_ROW
from serving.api import parse_json, ready_predictor
from serving.batch import CHUNK, CSV_TYPES, FORM, WORKBOOK_TYPES
from serving.problems import FieldErrors, Problem
from serving.settings import PredictorSettings
from serving.sheet import Sheet

MOST_ROWS = 100_000  # of a CSV, which is taken whole or not at all, and so is held in memory

outcomes = Blueprint("outcomes", __name__)


@outcomes.post("/outcomes")
def report() -> Response:
    """Take outcomes in JSON (one or a list), CSV or a sheet (body or `file`), all of them or none."""
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
    elif request.mimetype in (*CSV_TYPES, *WORKBOOK_TYPES, FORM):
        yield from _rows(contract)
    else:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send outcomes as application/json, text/csv or a workbook."
        )


def _file() -> io.BytesIO:
    """Return the file of the request, which is taken whole and so is held in memory."""
    file = request.files.get("file")
    if request.mimetype == FORM and file is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "The form has no `file`.")
    return io.BytesIO(file.read() if file else request.get_data())


def _rows(contract: Contract) -> Iterator[tuple[dict[str, int], Any]]:
    """Yield the rows of a CSV or a sheet with their number, and those columns that are an outcome's.

    It is read as POST /predict/batch reads one: encoding, delimiter, titles above the header, numbers.
    """
    settings: PredictorSettings = current_app.extensions["settings"]
    known = outcome_columns(contract)
    file = _file()
    if not file.getbuffer().nbytes:
        _check_header([], contract)
    sheet = Sheet(file, request.args.get("sheet", ""), settings.uploads)
    header = known.named(sheet.header)
    _check_header(header, contract)
    notations = sheet.settled(known).notations
    number = FIRST_ROW
    for chunk in sheet.chunks(CHUNK, blank=True):
        for cells in chunk:
            if any(cells):
                yield {"row": number}, from_cells(_plain(header, cells, number, notations), contract)
            number += 1


def _plain(
    header: list[str], cells: Sequence[str], number: int, notations: Mapping[str, Notation]
) -> dict[str, str]:
    """Return a row's cells by column, with numbers as programs write them; raises Problem 400."""
    if len(cells) != len(header):
        wrong = f"Row {number} has {len(cells)} cells, the header {len(header)}."
        raise Problem(HTTPStatus.BAD_REQUEST, wrong)
    row = dict(zip(header, cells, strict=True))
    return row | {name: one.plain(row[name]) for name, one in notations.items() if name in row}


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
