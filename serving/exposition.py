"""GET /metrics: the workers' counts, and what the disk says of model, reloads and log."""

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Response, current_app, request
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from data.manifest import BundleError
from data.spool import backlog
from serving.measured import families_of, read_measured
from serving.metrics import Metrics
from serving.metrics_files import FOLDER, read_folder
from serving.predictor import CurrentPredictor
from serving.problems import Problem
from serving.security import Door, bearer_of
from serving.settings import Settings
from serving.status import read_status

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
    settings: Settings = current_app.extensions["settings"]
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
    door: Door | None = current_app.extensions["door"]
    key = bearer_of(request.environ.get("HTTP_AUTHORIZATION", ""))
    if door is None or key is None:
        return False
    if not door.opens(key, request.environ.get("REMOTE_ADDR", "")):
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
    info = GaugeMetricFamily("gradecast_model_info", "The model that answers", labels=("model", "version"))
    info.add_metric((predictor.bundle.contract.model_name, predictor.version), 1)
    made = datetime.fromisoformat(predictor.bundle.manifest.created)
    seconds = (datetime.now(UTC) - (made if made.tzinfo else made.replace(tzinfo=UTC))).total_seconds()
    yield info
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
