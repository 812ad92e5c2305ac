"""What the monitor measured, on /metrics: from the table, through the drainer's file, to the gauges."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from prometheus_client.metrics_core import Metric

from data.log.database import open_log
from data.log.history import Decision, append
from data.log.reading import Frame, Measurement, write_measurements
from serving.app import create_app
from serving.drain import Drainer, measured_last
from serving.metrics import FILE, families_of, read_measured
from serving.settings import Settings

END = datetime(2026, 11, 1, tzinfo=UTC)
FOUND = [
    Measurement("drift_share", 0.25, 300, verdict="drift"),
    Measurement("drift", 0.0001, 300, about="Absences", verdict="drift"),
    Measurement("drift", 0.4, 300, about="Age", verdict="pass"),
    Measurement("estimated_accuracy", 0.8, 300, 0.77, 0.83),
    Measurement("realised_accuracy", None, 3, verdict="too few rows"),
]


def window(version: str = "3", until: datetime = END, contract: str = "grade_class") -> Frame:
    return Frame(contract, version, until - timedelta(days=30), until)


@pytest.fixture
def log(tmp_path: Path) -> sa.Engine:
    """A log in the home that `home_settings` names."""
    return open_log(f"sqlite:///{tmp_path / 'predictions.db'}")


@pytest.fixture
def home_settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"GRADECAST_HOME": str(tmp_path)})


def gauges(families: list[Metric]) -> dict[tuple[str, str, str], float]:
    """Values by name, what they are about, and bound."""
    return {
        (sample.name, sample.labels.get("about", ""), sample.labels.get("bound", "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_drainer_brings_what_was_measured_to_metrics(log: sa.Engine, home_settings: Settings) -> None:
    write_measurements(log, window(), FOUND)
    assert Drainer(home_settings).try_once()
    text = create_app(home_settings).test_client().get("/metrics").text
    labels = 'about="",bound="low",contract="grade_class",version="3"'
    assert f"gradecast_measured_estimated_accuracy{{{labels}}} 0.77" in text
    about = 'about="Absences",contract="grade_class",name="drift",version="3"'
    assert f"gradecast_measured_drifted{{{about}}} 1.0" in text


def test_figures_are_told_with_their_bounds_and_verdicts(log: sa.Engine) -> None:
    write_measurements(log, window(), FOUND)
    told = gauges(list(families_of(measured_last(log), datetime.now(UTC) + timedelta(hours=1))))
    assert told["gradecast_measured_estimated_accuracy", "", "value"] == 0.8
    assert told["gradecast_measured_estimated_accuracy", "", "high"] == 0.83
    assert told["gradecast_measured_drift", "Age", "value"] == 0.4
    assert told["gradecast_measured_drifted", "", ""] == 1
    assert told["gradecast_measured_drifted", "Age", ""] == 0
    assert told["gradecast_measured_age_seconds", "", ""] == pytest.approx(3_600, abs=60)


def test_a_version_that_waits_for_a_person_is_told_until_something_is_decided(log: sa.Engine) -> None:
    asked = Decision(
        model="grade-class", event="asked", version="4", champion="3", by="pipeline", reason="better", at=END
    )
    append(log, asked)
    told = list(families_of(measured_last(log), END + timedelta(hours=2)))
    assert [(sample.name, sample.labels, sample.value) for family in told for sample in family.samples] == [
        ("gradecast_approval_waiting_seconds", {"model": "grade-class", "version": "4"}, 7_200)
    ]
    write_measurements(log, window(), FOUND)
    later = list(families_of(measured_last(log), datetime.now(UTC) + timedelta(hours=1)))
    assert gauges(later)["gradecast_measured_age_seconds", "", ""] == pytest.approx(3_600, abs=60)
    append(log, asked.model_copy(update={"event": "rejected", "at": END + timedelta(hours=3)}))
    assert "gradecast_approval_waiting_seconds" not in {each.name for each in families_of(measured_last(log))}


def test_what_could_not_be_measured_is_not_told(log: sa.Engine) -> None:
    write_measurements(log, window(), FOUND)
    assert not [name for name, _, _ in gauges(list(families_of(measured_last(log)))) if "realised" in name]


def test_the_last_measurement_of_each_contract_counts(log: sa.Engine) -> None:
    write_measurements(log, window(), FOUND)
    write_measurements(log, window(contract="pass_fail"), FOUND)
    later = window("4", END + timedelta(days=1))
    write_measurements(log, later, [Measurement("drift_share", 0.0, 300, verdict="pass")])
    figures = measured_last(log)
    versions = {figure.contract: figure.model_version for figure in figures}
    assert versions == {"grade_class": "4", "pass_fail": "3"}
    assert [figure.name for figure in figures if figure.contract == "grade_class"] == ["drift_share"]


def test_a_log_that_was_never_monitored_tells_nothing(log: sa.Engine, home_settings: Settings) -> None:
    assert measured_last(log) == []
    assert Drainer(home_settings).try_once()
    assert "gradecast_measured" not in create_app(home_settings).test_client().get("/metrics").text


def test_a_file_that_cannot_be_read_leaves_metrics_as_they_are(
    home_settings: Settings, client_without_model: FlaskClient
) -> None:
    (home_settings.home / FILE).write_text("{")
    assert read_measured(home_settings.home) == []
    assert client_without_model.get("/metrics").status_code == 200
