"""What the monitor measured last, as gauges: from a file that the drainer, which has the database, renews.

A figure of the table `measurements` is `gradecast_measured_<name>{contract,version,about,bound}`: `about`
names the column, class or group, and is empty for the whole; `bound` is value, or low or high of the
90 % interval.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from data.durable import write_whole

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


class Figure(BaseModel):
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


_figures = TypeAdapter(list[Figure])


def write_measured(home: Path, figures: list[Figure]) -> None:
    """Put figures in the place of those before, in one step."""
    write_whole(home / FILE, orjson.dumps([figure.model_dump() for figure in figures]))


def read_measured(home: Path) -> list[Figure]:
    """Return the figures that were written last; none where there is nothing readable."""
    try:
        return _figures.validate_json((home / FILE).read_bytes())
    except (OSError, ValidationError):
        return []


def families_of(figures: list[Figure], now: datetime | None = None) -> Iterator[Metric]:
    """Yield the gauges of figures; what is not measured has none."""
    now = now or datetime.now(UTC)
    asked = [figure for figure in figures if figure.name == ASKED]
    figures = [figure for figure in figures if figure.name != ASKED]
    if asked:
        yield _waiting(asked, now)
    for name, text in SHOWN.items():
        family = GaugeMetricFamily(f"gradecast_measured_{name}", text, labels=(*LABELS, "bound"))
        for figure in figures:
            if figure.name == name:
                _add(family, figure)
        if family.samples:
            yield family
    if figures:
        yield _drifted(figures)
        yield _age(figures, now)


def _waiting(asked: list[Figure], now: datetime) -> Metric:
    family = GaugeMetricFamily(
        "gradecast_approval_waiting_seconds",
        "Seconds since a person was asked whether a version may become the champion",
        labels=("model", "version"),
    )
    for figure in asked:
        family.add_metric((figure.contract, figure.model_version), (now - figure.at).total_seconds())
    return family


def _add(family: GaugeMetricFamily, figure: Figure) -> None:
    for bound in BOUNDS:
        value = getattr(figure, bound)
        if value is not None:
            family.add_metric((*_labels(figure), bound), value)


def _drifted(figures: list[Figure]) -> Metric:
    """The verdicts: 1 for drift or loss, 0 for pass; the one about nothing is that on the whole."""
    family = GaugeMetricFamily(
        "gradecast_measured_drifted", "1 where the verdict is drift or loss", labels=(*LABELS, "name")
    )
    for figure in figures:
        if figure.name in JUDGED and figure.verdict in VERDICTS:
            family.add_metric((*_labels(figure), figure.name), VERDICTS[figure.verdict])
    return family


def _age(figures: list[Figure], now: datetime) -> Metric:
    newest: dict[tuple[str, str], datetime] = {}
    for figure in figures:
        key = figure.contract, figure.model_version
        newest[key] = max(newest.get(key, figure.at), figure.at)
    family = GaugeMetricFamily(
        "gradecast_measured_age_seconds", "Seconds since the monitor measured", labels=LABELS[:2]
    )
    for key, at in newest.items():
        family.add_metric(key, (now - at).total_seconds())
    return family


def _labels(figure: Figure) -> tuple[str, str, str]:
    return figure.contract, figure.model_version, figure.about
