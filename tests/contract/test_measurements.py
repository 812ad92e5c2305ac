"""What the monitor measured: kept for reports, dashboards and /metrics."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from data.log.reading import Frame, Measurement, latest_measurements, read_measurements, write_measurements

START = datetime(2026, 9, 1, tzinfo=UTC)


def month(number: int, version: str = "1") -> Frame:
    start = START + timedelta(days=30 * number)
    return Frame("grade_class", version, start, start + timedelta(days=30))


def values(rows: list[dict[str, object]]) -> list[object]:
    return [row["value"] for row in rows]


def test_nothing_measured_is_nothing_read(log: sa.Engine) -> None:
    assert read_measurements(log, "grade_class") == latest_measurements(log, "grade_class") == []


def test_a_figure_is_read_as_it_was_measured(log: sa.Engine) -> None:
    figure = Measurement("group_error", 0.2, 40, 0.1, 0.3, "Gender=Male", "pass")
    write_measurements(log, month(0), [figure])
    (row,) = read_measurements(log, "grade_class")
    assert {name: row[name] for name in Measurement._fields} == figure._asdict()
    assert Frame(*(row[name] for name in Frame._fields)) == month(0)


def test_figures_come_by_the_end_of_their_window_and_can_be_asked_for_by_name(log: sa.Engine) -> None:
    for number in (2, 0, 1):
        figures = [Measurement("at_risk_share", float(number), 9), Measurement("drift_share", None, 9)]
        write_measurements(log, month(number), figures)
    assert values(read_measurements(log, "grade_class", names=["at_risk_share"])) == [0.0, 1.0, 2.0]
    before = month(1).until
    assert values(read_measurements(log, "grade_class", names=["at_risk_share"], before=before)) == [0.0, 1.0]
    assert read_measurements(log, "pass_fail") == []


def test_a_window_that_is_measured_again_has_its_newest_figures(log: sa.Engine) -> None:
    wanted = Measurement("retraining_wanted", 600.0, 300, about="a set", verdict="wanted")
    write_measurements(log, month(0), [Measurement("drift", 0.5, 9, about=c) for c in "ab"])
    write_measurements(log, month(0), [wanted])
    write_measurements(log, month(0), [Measurement("drift", 0.1, 9, about="a")])
    rows = read_measurements(log, "grade_class")
    assert [(row["name"], row["about"], row["value"]) for row in rows] == [
        ("retraining_wanted", "a set", 600.0),
        ("drift", "a", 0.1),
    ]


def test_the_latest_are_those_of_the_window_that_was_measured_last(log: sa.Engine) -> None:
    write_measurements(log, month(1), [Measurement("at_risk_share", 1.0, 9)])
    write_measurements(log, month(0, "2"), [Measurement("at_risk_share", 2.0, 9), Measurement("x", 3.0, 9)])
    assert values(latest_measurements(log, "grade_class")) == [2.0, 3.0]
