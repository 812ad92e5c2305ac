"""The roster that a form brings: a file that was chosen, or the rows that travelled with the page."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import BinaryIO, NamedTuple, cast

from flask import current_app, request

from data.contract import Contract
from data.records import typical_value
from serving.api import ready_predictor
from serving.predictor import Predictor
from serving.problems import Problem
from serving.roster.carrying import unpack
from serving.roster.choice import Choice, Shown, choose, read_choice
from serving.roster.forecasts import Forecasts, forecast
from serving.roster.noting import Noted, read_noted
from serving.roster.reading import Roster, read_roster
from serving.roster.view import also_of, names_of
from serving.sheet import BOM, Sheet

PATIENCE = 5.0  # seconds to wait for one's turn


class Received(NamedTuple):
    """A form's roster with its forecasts, and what was chosen of it."""

    predictor: Predictor
    roster: Roster
    forecasts: Forecasts
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


def received() -> Received:
    """Read and forecast the form's roster; raises Problem."""
    predictor = ready_predictor(current_app.extensions["predictor"])
    contract = predictor.bundle.contract
    roster = read_roster(received_sheet(predictor), contract)
    forecasts = forecast(predictor, roster.records)
    choice = read_choice(request.form, contract.target.labels)
    names, also = names_of(roster, contract), also_of(roster, contract)
    shown = choose(choice, forecasts, contract.target, names, also)
    return Received(predictor, roster, forecasts, choice, shown, read_noted(request.form.get("noted", "")))


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
