"""The drift stage: what is compared with what, and what the verdict leads to."""

from pathlib import Path

import pandas as pd
import pytest

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.errors import Stopped
from flows.drift import Drift, check_drift, stop_on_drift
from flows.process import process_records
from flows.registry.bundling import Submission
from flows.registry.registration import Registered
from flows.settings import Settings

FOUND = Drift(verdict="drift", reasons=("Absences has drifted.",), champion="3", report=Path("drift.html"))


def test_without_a_champion_there_is_no_reference_and_a_report_of_the_splits(
    submission: Submission, tmp_path: Path
) -> None:
    found, _ = check_drift(submission.processed, "grade_class", Settings(home=tmp_path))
    assert (found.verdict, found.champion) == ("no reference", None)
    assert "</html>" in found.report.read_text(encoding="utf-8")


@pytest.mark.usefixtures("registered")
def test_new_students_like_the_old_ones_pass_and_others_drift(
    settings: Settings, grade_class: Contract
) -> None:
    alike, changed = (
        process_records(f"cohort://300?seed={seed}", grade_class, settings)
        for seed in ("51", "52&scenario=absences&strength=6")
    )
    assert check_drift(alike, "grade_class", settings)[0].verdict == "pass"
    found, _ = check_drift(changed, "grade_class", settings)
    assert found.verdict == "drift"
    assert any("Absences" in reason for reason in found.reasons)


def test_the_champions_own_records_are_no_new_batch(
    registered: Registered, submission: Submission, settings: Settings
) -> None:
    found, verdict = check_drift(submission.processed, "grade_class", settings)
    assert (found.verdict, found.champion) == ("pass", registered.version)
    assert {finding.verdict for finding in verdict.relation} == {"no labels"}


def grown(path: Path, new: pd.DataFrame) -> str:
    """Write the champion's own records and new ones below them, as an export that grows holds them."""
    pd.concat([cohort.generate(600, 2392), new]).to_csv(path, index=False)
    return str(path)


@pytest.mark.usefixtures("registered")
def test_what_changed_in_new_rows_is_found_below_many_more_old_ones(
    settings: Settings, grade_class: Contract, tmp_path: Path
) -> None:
    new = cohort.generate(200, 53, "absences", 4.0, first_id=60_001)
    processed = process_records(grown(tmp_path / "grown.csv", new), grade_class, settings)
    found, verdict = check_drift(processed, "grade_class", settings)
    assert (found.verdict, verdict.rows) == ("drift", 200)
    assert any(reason.startswith("Absences: mean") for reason in found.reasons)
    assert found.note == "Of the 800 rows the drift gate tested the 200 new to the champion."


@pytest.mark.usefixtures("registered")
def test_a_few_new_rows_are_tested_with_the_old_ones_and_stop_nothing(
    settings: Settings, grade_class: Contract, tmp_path: Path
) -> None:
    new = cohort.generate(29, 54, first_id=60_001)
    processed = process_records(grown(tmp_path / "grown.csv", new), grade_class, settings)
    found, verdict = check_drift(processed, "grade_class", settings)
    assert (found.verdict, verdict.rows, found.note) == ("pass", 629, "")


@pytest.mark.parametrize("on_drift", ["retrain", "warn"])
def test_drift_lets_the_run_go_on_when_told_to(on_drift: str) -> None:
    stop_on_drift(FOUND, on_drift)  # type: ignore[arg-type]


def test_drift_stops_the_run_with_reasons_report_and_remedy() -> None:
    with pytest.raises(
        Stopped, match=r"champion 3: Absences has drifted\. .*See drift\.html\..*--on-drift retrain"
    ):
        stop_on_drift(FOUND, "stop")


@pytest.mark.parametrize("on_drift", ["stop", "retrain", "warn"])
def test_too_few_rows_stop_the_run_whatever_was_told(on_drift: str) -> None:
    few = FOUND.model_copy(update={"verdict": "too few rows", "reasons": ("The batch has 12 rows.",)})
    with pytest.raises(Stopped, match=r"12 rows\. Nothing was trained"):
        stop_on_drift(few, on_drift)  # type: ignore[arg-type]
