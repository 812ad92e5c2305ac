"""What is counted for Prometheus, in each worker.

| name | what |
|---|---|
| `gradecast_requests_total{route,status}` | requests answered; a route that is not ours is `other` |
| `gradecast_request_seconds{route,status}` | histogram of how long they took |
| `gradecast_predictions_total{grade_class}` | forecasts by likeliest class |
| `gradecast_at_risk_total` | sum of the forecasts' at-risk probabilities: students expected at risk |
| `gradecast_at_risk_share` | that sum by the number of forecasts, since the start |
| | these three in tens for who brings no key |
| `gradecast_batch_rows_total{result}` | rows of batches, `answered` or `refused` |
| `gradecast_model_info{model,version}` | 1 for the model that answers |
| `gradecast_model_age_seconds` | seconds since it was made |
| `gradecast_reloads_total{result}` | switches of the model, `ok` or `refused` |
| `gradecast_measured_…{contract,version,about}` | what the monitor measured last: SHOWN below |
| `gradecast_log_backlog_files`, `…_bytes`, `…_seconds` | what the log does not have yet, its age |
"""

import logging
import os
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, request
from prometheus_client import CollectorRegistry, Counter, Histogram, mmap_dict, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from data.bundle.manifest import BundleError
from data.durable import write_whole
from data.log.spool import backlog
from serving.health import read_status
from serving.metrics_files import FOLDER, ROOM, read_folder, reserve
from serving.predictor import CurrentPredictor
from serving.problems import Problem
from serving.security import ApiKey, bearer_of
from serving.settings import PredictorSettings

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


log = logging.getLogger("gradecast.metrics")
_in_a_file: Any = mmap_dict.MmapedDict
_kept_in: Any = values


class CountsFile(_in_a_file):  # type: ignore[misc]  # it has no types
    """A file of counts that has its place on the disk before it is written to.

    Where the disk is full, a worker counts on in its memory, of which /metrics does not tell.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            reserve(Path(filename), ROOM)
            super().__init__(filename, read_mode)
        except OSError as error:
            log.warning("the disk has no room for what this worker counts: %s", error)
            super().__init__(_in_memory(b""))

    def _init_value(self, key: str) -> None:
        most = self._used + len(key.encode()) + 32  # with length, padding, value and time
        if most > self._capacity:
            try:
                reserve(Path(self._fname), 2 * self._capacity)
            except OSError:
                used = bytes(self._m[: self._used])
                self.close()
                super().__init__(_in_memory(used + bytes(self._capacity)))
        super()._init_value(key)


def _in_memory(content: bytes) -> str:
    """Return the name of a file in memory that has some content; it is there for as long as this process."""
    descriptor = os.memfd_create("counts")
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"


_kept_in.MmapedDict = CountsFile  # there is no other way to name a class of one's own


class Metrics:
    """One worker's counters."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        labels = ("route", "status")
        self._requests = Counter("gradecast_requests", "Requests answered", labels, registry=own)
        self._seconds = Histogram(
            "gradecast_request_seconds", "Seconds that a request took", labels, buckets=BUCKETS, registry=own
        )
        self._of_route: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._classes = Counter(
            "gradecast_predictions", "Forecasts by likeliest class", ("grade_class",), registry=own
        )
        self._at_risk = Counter("gradecast_at_risk", "Students expected at risk", registry=own)
        self._rows = Counter("gradecast_batch_rows", "Rows of batches", ("result",), registry=own)

    def answered(self, route: str, status: str, seconds: float) -> None:
        """Count one answered request."""
        children = self._of_route.get((route, status))
        if children is None:
            children = self._requests.labels(route, status), self._seconds.labels(route, status)
            self._of_route[route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def predicted(self, classes: Iterable[str], at_risk: float) -> None:
        """Count forecasts by their likeliest classes, and the sum of their at-risk probabilities."""
        for label, count in Tally(classes).items():
            self._classes.labels(label).inc(count)
        self._at_risk.inc(at_risk)

    def scored(self, answered: int, refused: int) -> None:
        """Count the rows of a batch."""
        self._rows.labels("answered").inc(answered)
        self._rows.labels("refused").inc(refused)


FILE = "measured.json"
ASKED = "asked"
"""Name of a figure that nobody measured: a version of a model waits for a person since then."""
BOUNDS = ("value", "low", "high")
SHOWN = {
    "drift_share": "Share of columns that drifted",
    "drift": "p-value or distance of a column, or of what was answered",
    "relation": "p-value of the relation between records and grades",
    "at_risk_share": "Mean at-risk probability",
    "estimated_accuracy": "Accuracy estimated without grades",
    "realised_accuracy": "Accuracy on the grades that came",
    "realised_log_loss": "Log loss on the grades that came, in nats",
    "expected_log_loss": "Log loss that the probabilities themselves expect, in nats",
    "calibration_error": "Top-label calibration error",
    "calibration_error_at_risk": "Calibration error of being at risk",
    "group_error": "Share of wrong forecasts in a group",
    "labelled_share": "Share of forecasts whose grade has come",
    "override_share": "Share of a verdict among what teachers noted",
}
VERDICTS = {"pass": 0.0, "drift": 1.0, "loss": 1.0}
JUDGED = ("drift_share", "drift", "relation")
LABELS = ("contract", "version", "about")


class MeasuredFigure(BaseModel):
    """One row of `measurements`."""

    model_config = ConfigDict(frozen=True)

    contract: str
    model_version: str
    at: AwareDatetime
    name: str
    about: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str = ""

    @property
    def labels(self) -> tuple[str, str, str]:
        """What the figure's labels say."""
        return self.contract, self.model_version, self.about


_figures = TypeAdapter(list[MeasuredFigure])


def write_measured(home: Path, figures: list[MeasuredFigure]) -> None:
    """Put figures in the place of those before, in one step."""
    write_whole(home / FILE, orjson.dumps([figure.model_dump() for figure in figures]))


def read_measured(home: Path) -> list[MeasuredFigure]:
    """Return the figures that were written last; none where there is nothing readable."""
    try:
        return _figures.validate_json((home / FILE).read_bytes())
    except (OSError, ValidationError):
        return []


def families_of(figures: list[MeasuredFigure], now: datetime | None = None) -> Iterator[Metric]:
    """Yield the gauges of figures; what is not measured has none."""
    now = now or datetime.now(UTC)
    asked = [figure for figure in figures if figure.name == ASKED]
    figures = [figure for figure in figures if figure.name != ASKED]
    if asked:
        text = "Seconds since a person was asked whether a version may become the champion"
        yield _gauge("approval_waiting_seconds", text, ("model", "version"), _ages(asked, now))
    for name, text in SHOWN.items():
        bounds = _bounds([figure for figure in figures if figure.name == name])
        family = _gauge(f"measured_{name}", text, (*LABELS, "bound"), bounds)
        if family.samples:
            yield family
    if figures:
        text = "1 where the verdict is drift or loss"
        yield _gauge("measured_drifted", text, (*LABELS, "name"), _verdicts(figures))
        yield _gauge(
            "measured_age_seconds", "Seconds since the monitor measured", LABELS[:2], _ages(figures, now)
        )


def _gauge(
    name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    """Return a gauge of these values, each with what its labels say."""
    family = GaugeMetricFamily(f"gradecast_{name}", text, labels=labels)
    for said, value in values:
        family.add_metric(said, value)
    return family


def _bounds(figures: list[MeasuredFigure]) -> Iterator[tuple[Sequence[str], float]]:
    for figure in figures:
        for bound in BOUNDS:
            if (value := getattr(figure, bound)) is not None:
                yield (*figure.labels, bound), value


def _verdicts(figures: list[MeasuredFigure]) -> Iterator[tuple[Sequence[str], float]]:
    """Yield 1 for drift or loss, 0 for pass; the verdict about nothing is that on the whole."""
    for figure in figures:
        if figure.name in JUDGED and figure.verdict in VERDICTS:
            yield (*figure.labels, figure.name), VERDICTS[figure.verdict]


def _ages(figures: list[MeasuredFigure], now: datetime) -> Iterator[tuple[Sequence[str], float]]:
    """Yield the seconds since the newest figures of each contract and version."""
    newest = {figure.labels[:2]: figure.at for figure in sorted(figures, key=lambda figure: figure.at)}
    return ((said, (now - at).total_seconds()) for said, at in newest.items())


OF_STUDENTS = ("gradecast_at_risk", "gradecast_predictions")
TEN = 10.0

exposition = Blueprint("exposition", __name__)


class _Families(list[Metric]):
    """What prometheus_client takes for a registry: something to collect from."""

    def collect(self) -> Iterable[Metric]:
        return self


@exposition.get("/metrics")
def show_metrics() -> Response:
    """Show everything that is counted, in Prometheus' text format.

    Who brings no key is told of forecasts in tens: asking after each would tell what a student's was.
    """
    settings: PredictorSettings = current_app.extensions["settings"]
    counted = _Families(_counts(current_app.extensions["metrics"]))
    if not _brings_key():
        _coarsen(counted)
    told = [
        *_model(current_app.extensions["predictor"]),
        _reloads(settings.bundles),
        *_backlog(settings.home),
    ]
    told += families_of(read_measured(settings.home))
    families = _Families([*counted, _share(counted), *told])
    return Response(generate_latest(families), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _counts(metrics: Metrics) -> Iterable[Metric]:
    """Return the counts of all workers, or under another server than Gunicorn those of this process."""
    folder = os.environ.get(FOLDER)
    return read_folder(Path(folder)) if folder else metrics.registry.collect()


def _brings_key() -> bool:
    """Tell whether the key came along, which nobody must bring here; raises Problem 401 for a wrong one."""
    api_key: ApiKey | None = current_app.extensions["api_key"]
    key = bearer_of(request.environ.get("HTTP_AUTHORIZATION", ""))
    if api_key is None or key is None:
        return False
    if not api_key.accepts(key, request.environ.get("REMOTE_ADDR", "")):
        raise Problem(HTTPStatus.UNAUTHORIZED, "This is not the key. Bring it, or none.")
    return True


def _coarsen(counted: Iterable[Metric]) -> None:
    """Count forecasts, and students at risk, in tens."""
    for family in counted:
        if family.name in OF_STUDENTS:
            totals = (sample for sample in family.samples if sample.name.endswith("_total"))
            family.samples = [total._replace(value=total.value // TEN * TEN) for total in totals]


def _share(counted: Iterable[Metric]) -> Metric:
    sums = dict.fromkeys(OF_STUDENTS, 0.0)
    for family in counted:
        if family.name in sums:
            sums[family.name] += sum(s.value for s in family.samples if s.name.endswith("_total"))
    at_risk, forecasts = (sums[name] for name in OF_STUDENTS)
    share = min(at_risk / forecasts, 1.0) if forecasts else 0.0
    return GaugeMetricFamily("gradecast_at_risk_share", "Mean at-risk probability since the start", share)


def _model(current: CurrentPredictor) -> Iterator[Metric]:
    try:
        predictor = current.get()
    except BundleError:
        return
    about = predictor.bundle.contract.model_name, predictor.version
    made = datetime.fromisoformat(predictor.bundle.manifest.created)
    seconds = (datetime.now(UTC) - (made if made.tzinfo else made.replace(tzinfo=UTC))).total_seconds()
    yield _gauge("model_info", "The model that answers", ("model", "version"), [(about, 1)])
    yield GaugeMetricFamily("gradecast_model_age_seconds", "Seconds since the model was made", seconds)


def _reloads(bundles: Path) -> Metric:
    status = read_status(bundles)
    family = CounterMetricFamily("gradecast_reloads", "Switches of the model", labels=("result",))
    family.add_metric(("ok",), status.ok)
    family.add_metric(("refused",), status.refused)
    return family


def _backlog(home: Path) -> Iterator[Metric]:
    waiting = backlog(home)
    yield GaugeMetricFamily("gradecast_log_backlog_files", "Spool files not drained yet", waiting.files)
    yield GaugeMetricFamily("gradecast_log_backlog_bytes", "Their bytes", waiting.bytes)
    yield GaugeMetricFamily("gradecast_log_backlog_seconds", "Age of the oldest", waiting.oldest_seconds)
