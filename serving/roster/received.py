"""The roster that a form brings: a file that was chosen, or the rows that travelled with the page."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import BinaryIO, NamedTuple, cast

from flask import current_app, request

from data.contract import Contract
from data.manifest import EXAMPLES, verified
from serving.api import ready_predictor
from serving.pages.shell import GENERATED
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
    return str(predictor.bundle.manifest.training.get("source", "")).startswith(GENERATED)


def example_sheet(predictor: Predictor) -> Sheet:
    """Return the bundle's own examples as a roster."""
    bundle = predictor.bundle
    examples = json.loads(verified(bundle.folder / EXAMPLES, bundle.manifest))
    header = [column.name for column in bundle.contract.asked]
    rows = [[str(example["record"].get(name, "")) for name in header] for example in examples]
    return _sheet([header, *rows])


def template_of(predictor: Predictor) -> bytes:
    """Return a CSV to fill in: the columns to give, and one line that shows how they are written."""
    contract = predictor.bundle.contract
    columns = [*([contract.id] if contract.id else []), *contract.asked]
    cells = []
    for column in columns:
        low, high = column.limits
        middle = (low + high) / 2 if column.max is not None and column.min is not None else max(low, 1)
        cells.append(next(iter(column.codes.values())) if column.codes else f"{middle:.0f}")
    sheet = _sheet([["a"]])
    return BOM + "".join(f"{line}\r\n" for line in sheet.joined([[c.name for c in columns], cells])).encode()


def _sheet(rows: list[list[str]]) -> Sheet:
    return Sheet(io.BytesIO("\n".join(map(",".join, rows)).encode()))
