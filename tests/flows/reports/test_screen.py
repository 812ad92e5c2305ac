"""The end screen fits, says why, and is plain text where there is no terminal."""

from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console

from flows.reports.screen import Summary, show_summary
from tests.flows.reports.evidences import leaderboard

FIGURES = {
    "accuracy": 0.823,
    "f1_macro": 0.721,
    "qwk": 0.935,
    "log_loss": 0.387,
    "ece": 0.025,
    "roc_auc_ovr": 0.967,
}
SUMMARY = Summary(
    title="Final grade class, A to F",
    model="grade-class",
    source="records.csv",
    rows=2392,
    clean=2224,
    train_rows=1789,
    test_rows=435,
    quarantined={"missing": 2, "label contradicts score": 168},
    drift="no reference",
    drift_reasons=("There is no champion to compare with.",),
    outcome="champion",
    reason="the first champion: log loss 0.387 against 1.261 of the class shares alone, on 435 students",
    promoted=True,
    version="1",
    leaderboard=leaderboard(-0.12, -0.06),
    metrics={f"test_{name}": value for name, value in FIGURES.items()},
    intervals={"test_accuracy": (0.79, 0.85)},
    next_steps=(("Serve it", "make serve"), ("See the runs", ".venv/bin/mlflow ui")),
)
LONG = (
    "a reason that goes on for longer than anyone would want to read on one line of a screen, and then some"
)


def shown(summary: Summary, width: int = 100, *, terminal: bool = False) -> str:
    out = StringIO()
    show_summary(Console(file=out, width=width, height=40, force_terminal=terminal), summary)
    return out.getvalue()


def test_the_screen_says_what_came_in_what_came_out_and_why() -> None:
    text = shown(SUMMARY)
    for part in (
        "2,392; 2,224 clean: 1,789 to train, 435 to test",
        "168 rows: label contradicts score 168, missing 2",
        "There is no champion to compare with.",
        "grade-class, version 1: champion",
        "make serve",
    ):
        assert part in text
    assert "0.790 to 0.850" in text
    (logistic,) = [line for line in text.splitlines() if line.startswith("logistic regression")]
    assert logistic.endswith("better by 0.090 (0.060 to 0.120)")


@pytest.mark.parametrize("width", [100, 200])
def test_the_fullest_screen_fits_a_hundred_by_forty_characters(width: int) -> None:
    full = replace(
        SUMMARY,
        source="/a/very/long/path" * 20,
        generated=True,
        drift="drift",
        drift_reasons=("one reason",) * 9,
        reason=LONG,
        notes=(LONG,) * 5,
        bayes={"accuracy": 0.827, "log_loss": 0.384},
        metrics={**SUMMARY.metrics, "test_accuracy_published": 0.77},
    )
    lines = shown(full, width).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100


def test_the_limit_of_a_generated_cohort_stands_beside_the_figures() -> None:
    text = shown(replace(SUMMARY, generated=True, bayes={"accuracy": 0.827}))
    assert "generated students, not real ones" in text
    accuracy = next(line for line in text.splitlines() if line.startswith("Accuracy"))
    assert accuracy.split()[-1] == "0.827"


def test_a_stopped_run_shows_what_is_known() -> None:
    stopped = replace(SUMMARY, leaderboard=None, metrics={}, version=None, promoted=False, outcome="stopped")
    text = shown(stopped)
    assert "grade-class, no new version: stopped" in text
    assert "log loss  " not in text


def test_there_are_control_characters_on_a_terminal_alone() -> None:
    assert "\x1b[" in shown(SUMMARY, terminal=True)
    assert all(character.isprintable() or character == "\n" for character in shown(SUMMARY))


def test_markup_in_a_reason_is_shown_as_it_is() -> None:
    assert "log loss -0.01 [-0.02, +0.00]" in shown(replace(SUMMARY, reason="log loss -0.01 [-0.02, +0.00]"))


def test_a_stdout_that_knows_no_unicode_does_not_fail() -> None:
    out = TextIOWrapper(BytesIO(), encoding="ascii", errors="replace")
    show_summary(Console(file=out, width=100), SUMMARY)
