"""POST /predict/batch: a CSV or a sheet in, the same rows in the same order out, forecasts beside them.

The file is read twice. The first pass only checks, so that a file that cannot be read is refused as a
whole and the number of bad rows is known for the header; the second answers and streams, two
thousand rows at a time, written down before they are sent. The file itself waits on disk, and a line, a row
and a list of rows have limits: memory does not grow with the file, whatever is in it.
"""

import io
import json
import shutil
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from http import HTTPStatus
from itertools import chain
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import orjson
from flask import Blueprint, Response, current_app, request

from data.contract.columns import ELAPSED
from data.contract.dated import AS_OF
from data.log.spool import Spool
from data.rows.records import Record, settle_elapsed
from serving.api import check_passed_column, read_elapsed, ready_predictor, write_down
from serving.cells import RowReader
from serving.days import check_days, read_day, settle_day
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.problems import Problem, unavailable
from serving.receiving import UploadFile
from serving.scoring import Scorer, added_columns
from serving.settings import BATCH, PredictorSettings
from serving.sheet import BOM, LINE_END, Row, Sheet, check_header, quoted

CSV_TYPES = ("text/csv", "application/csv")
FORM = "multipart/form-data"
WORKBOOK_TYPES = (
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.spreadsheet",
)
CHUNK = 2_000  # rows
MOST_ASSUMED = 20  # sentences in the header of an answer
ROWS, BAD_ROWS, ASSUMED = "X-Row-Count", "X-Error-Count", "X-Assumptions"

batch = Blueprint("batch", __name__)


@batch.post(BATCH)
def predict_batch() -> Response:
    """Forecast every row of a CSV or a sheet, sent as the body or as the form's `file`."""
    extensions = current_app.extensions
    settings: PredictorSettings = extensions["settings"]
    predictor = ready_predictor(extensions["predictor"])
    with ExitStack() as resources:
        if not extensions["batches"].acquire(blocking=False):
            raise unavailable("As many files are being answered as can be; ask again in half a minute.", 30)
        resources.callback(extensions["batches"].release)
        received = resources.enter_context(_received(settings))
        sheet = Sheet(received, request.args.get("sheet", ""), settings.uploads)
        elapsed = read_elapsed(request.values.get(ELAPSED), predictor.bundle)
        day = read_day(request.values.get(AS_OF), predictor.bundle.contract)
        scoring = Scoring(
            sheet, predictor, settings, extensions["spool"], extensions["metrics"], elapsed, day
        )
        counts = scoring.count()
        pieces = scoring.pieces(resources.pop_all())
        first = next(pieces) + next(pieces, b"")  # while it can still be refused, as by a full disk
        response = Response(chain([first], pieces), mimetype="text/csv", headers=counts)
        response.call_on_close(pieces.close)
        return response


class PendingChunk(NamedTuple):
    """Rows, the records of the sound ones, what is wrong with each, and the sound ones' probabilities."""

    rows: list[Row]
    records: list[Record]
    errors: list[str]
    shares: Future[np.ndarray]


class Scoring:
    """One file on its way through one model."""

    def __init__(
        self,
        sheet: Sheet,
        predictor: Predictor,
        settings: PredictorSettings,
        spool: Spool,
        metrics: Metrics,
        elapsed: float | None = None,
        day: int | None = None,
    ) -> None:
        """Check the header; raises Problem 422.

        `elapsed` is for rows that do not say it themselves; so is `day`, which the answer then adds.
        """
        self._contract, self._elapsed, self._day = predictor.bundle.contract, elapsed, day
        check_passed_column(sheet.header, predictor.bundle)
        told = [AS_OF] if day is not None and AS_OF not in sheet.header else []
        self._before = f"{day}{sheet.delimiter}" if told else ""
        self._added = added_columns(self._contract.target.labels, *told)
        check_header(sheet.header, self._contract, self._added, told)
        self._sheet = sheet
        self._spool, self._metrics = spool, metrics
        self._scorer = Scorer(predictor, sheet.delimiter, settings.id_key)
        self._settled = sheet.settled(self._contract)
        self._reader = RowReader(sheet.header, self._contract, self._settled.notations)

    def count(self) -> dict[str, str]:
        """Read the file to its end and return the headers that say how many rows there are, and bad ones."""
        rows = bad = 0
        for chunk in self._sheet.chunks(CHUNK):
            rows += len(chunk)
            check_days(self._sheet.header, chunk, self._day, self._contract)
            bad += sum(map(bool, self._reader.errors(chunk)))
        counts = {ROWS: str(rows), BAD_ROWS: str(bad)}
        if assumed := [*self._sheet.notes, *self._settled.notes]:
            counts[ASSUMED] = json.dumps(assumed[:MOST_ASSUMED])
        return counts

    def pieces(self, resources: ExitStack) -> Generator[bytes]:
        """Yield the answer, the header and then the rows, and let the resources go at its end."""
        start = BOM if self._sheet.bom else b""
        with resources, closing(self._sheet.chunks(CHUNK)) as chunks:
            yield start + self._lines([self._sheet.header], [self._sheet.delimiter.join(self._added)])
            # The model needs no interpreter: it answers one chunk while the one before it is written.
            with ThreadPoolExecutor(1) as beside:
                read: deque[PendingChunk] = deque()
                for chunk in chunks:
                    records, errors = self._reader.read(chunk)
                    settle_elapsed(records, self._contract, self._elapsed)
                    settle_day(records, self._day)
                    read.append(
                        PendingChunk(chunk, records, errors, beside.submit(self._scorer.shares, records))
                    )
                    if len(read) > 1:
                        yield self._answer(read.popleft())
                while read:
                    yield self._answer(read.popleft())

    def _answer(self, read: PendingChunk) -> bytes:
        chunk, records, errors, shares = read
        scored = self._scorer.score(records, shares.result())
        if scored.lines:
            write_down(self._spool, [orjson.Fragment(scored.lines)])
        self._metrics.scored(len(records), len(chunk) - len(records))
        self._metrics.predicted(scored.classes, scored.at_risk)
        answers = [f"{self._before}{cells}" for cells in scored.cells] if self._before else scored.cells
        if len(records) == len(chunk):
            return self._lines(chunk, answers)
        width, delimiter, cells = len(self._sheet.header), self._sheet.delimiter, iter(answers)
        empty = delimiter * (len(self._added) - 1)
        added = [empty + quoted(error, delimiter) if error else next(cells) for error in errors]
        return self._lines([[*row[:width], *[""] * (width - len(row))] for row in chunk], added)

    def _lines(self, rows: list[Row], added: list[str]) -> bytes:
        """Return rows with what is added to them."""
        between, pairs = self._sheet.delimiter, zip(self._sheet.joined(rows), added, strict=True)
        return "".join([f"{row}{between}{more}{LINE_END}" for row, more in pairs]).encode()


def _received(settings: PredictorSettings) -> BinaryIO:
    """Return the whole file, which can be read twice; raises Problem 400, 413, 415 or 503."""
    request.max_content_length = settings.body_limit(BATCH)
    if request.mimetype == FORM:
        upload = request.files.get("file")
        if upload is None:
            raise Problem(HTTPStatus.BAD_REQUEST, "The form has no `file`.")
        # The request closes what it has when the answer begins, and the file is read until it ends.
        stream, upload.stream = upload.stream, io.BytesIO()
        return cast(BinaryIO, stream)
    if request.mimetype not in (*CSV_TYPES, *WORKBOOK_TYPES):
        detail = (
            "Send the file as text/csv or as a workbook's type, or as `file` of a multipart/form-data form."
        )
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    stream = request.stream  # which looks at the length
    body: BinaryIO = request.environ["wsgi.input"]
    if body.seekable():  # a file that has come in whole, and may be read in place
        return body
    with ExitStack() as ours:
        file = cast(BinaryIO, ours.enter_context(UploadFile(settings.uploads)))
        shutil.copyfileobj(stream, file)
        ours.pop_all()
    return file
