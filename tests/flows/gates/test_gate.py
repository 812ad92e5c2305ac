from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.cohorts.grades import generate
from data.contract.contract import Contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from flows.drift_gate import Finding
from flows.drift_gate.samples import Reference
from flows.drift_gate.verdict import Champion, DriftVerdict, charts_of, gate, keep_charts, save_html, table
from tests.flows.gates.conftest import reference_of

Ask = Callable[..., DriftVerdict]
NO_FAULTS = pd.DataFrame({"row": [], "column": [], "value": [], "reason": []})


def batch(rows: int = 300, seed: int = 70, scenario: str | None = None) -> pd.DataFrame:
    return generate(rows, seed, scenario, first_id=50_000)


def finding(verdict: DriftVerdict, name: str) -> Finding:
    return next(found for found in (*verdict.columns, *verdict.relation) if found.name == name)


def test_a_batch_like_the_training_data_passes(ask: Ask) -> None:
    verdict = ask(batch())
    assert verdict.overall == "pass"
    assert verdict.reasons == ()
    assert {found.verdict for found in (*verdict.columns, *verdict.relation)} == {"pass"}


@pytest.mark.parametrize(
    ("scenario", "named", "told"),
    [
        ("absences", "Absences", "mean 14.6 → 17"),
        ("new-category", "quarantined: unknown code", "(Ethnicity)"),
        ("missing-at-random", "quarantined: missing", "(ParentalSupport, StudyTimeWeekly)"),
        ("label-tail", "quarantined: label contradicts score", "(GradeClass)"),
        ("tutoring-void", "relation: residual", "Tutoring = Yes"),
        ("grading-inflation", "relation: residual", "better than forecast"),
        ("prior-shift", "GradeClass", "F 53.9 % → 3"),
    ],
)
def test_each_drift_is_caught_and_told_in_words(
    ask: Ask, scenario: str | None, named: str, told: str
) -> None:
    verdict = ask(batch(scenario=scenario, seed=71))
    assert verdict.overall == "drift"
    assert finding(verdict, named).verdict == "drift"
    assert any(reason.startswith(named) and told in reason for reason in verdict.reasons)


def test_random_labels_are_caught_where_there_is_no_score_to_contradict(ask: Ask) -> None:
    verdict = ask(batch(scenario="label-tail").assign(GPA=np.nan))
    assert finding(verdict, "relation: loss").verdict == "drift"


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_fewer_than_thirty_rows_are_too_few(ask: Ask, rows: int) -> None:
    verdict = ask(batch().head(rows))
    assert verdict.overall == "too few rows"
    assert verdict.reasons == (f"The batch has {rows} rows; 30 are needed.",)


def test_thirty_rows_are_judged(ask: Ask) -> None:
    assert ask(batch(30)).overall == "pass"


def test_without_a_reference_or_with_one_of_few_rows_nothing_is_decided(
    contract: Contract, rule: Champion, reference: Reference
) -> None:
    few = Reference(reference.sample.head(12), 12)
    for known, overall in ((None, "no reference"), (few, "too few rows")):
        assert gate(parse(batch(), contract), NO_FAULTS, known, rule, None, contract).overall == overall


@pytest.mark.parametrize(
    "told",
    [
        {
            "StudyTimeWeekly": (np.nan, "no values"),
            "Gender": (np.nan, "no values"),
            "Tutoring": (1, "→ 100.0 %"),
            "Ethnicity": ("Martian", "unknown Martian"),
        },
        {
            "StudyTimeWeekly": (-np.inf, "no values"),
            "Ethnicity": ([f"name {n}" for n in range(300)], "unknown 0.0 % → 100.0 %"),
        },
        {"StudyTimeWeekly": (10.0, "always 10")},
    ],
)
def test_a_column_of_nothing_of_one_value_or_of_something_else_has_drifted(
    ask: Ask, told: dict[str, tuple[Any, str]]
) -> None:
    verdict = ask(batch().assign(**{column: value for column, (value, _) in told.items()}))
    for column, (_, words) in told.items():
        assert finding(verdict, column).verdict == "drift"
        assert words in finding(verdict, column).words


def test_infinite_and_huge_numbers_are_counted_and_not_lost(ask: Ask) -> None:
    raw = batch()
    raw.loc[raw.index[:30], "StudyTimeWeekly"] = np.inf
    raw.loc[raw.index[30:60], "StudyTimeWeekly"] = 1e308
    verdict = ask(raw)
    for reason in ("not finite", "out of range"):
        assert finding(verdict, f"quarantined: {reason}").verdict == "drift"
        assert "10.0 %" in finding(verdict, f"quarantined: {reason}").words
    assert finding(verdict, "StudyTimeWeekly").verdict == "pass"


@pytest.mark.parametrize(("column", "expected"), [("Absences", "drift"), ("Gender", "not tested")])
def test_a_feature_that_the_batch_lacks_has_drifted_and_an_audit_column_is_not_tested(
    contract: Contract, reference: Reference, column: str, expected: str
) -> None:
    parsed = parse(batch(), contract).drop(columns=column)
    assert finding(gate(parsed, NO_FAULTS, reference, None, None, contract), column).verdict == expected


@pytest.mark.parametrize("seed", range(2))
def test_whatever_a_column_holds_there_is_a_verdict(ask: Ask, seed: int) -> None:
    rng = np.random.default_rng(seed)
    odd = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300, 7.5]
    raw = batch(60, seed).astype(object)
    for column in ("Age", "Gender", "StudyTimeWeekly", "Absences", "ParentalSupport", "GPA", "GradeClass"):
        touched = rng.random(60) < rng.choice([0.1, 0.5, 1.0])
        few = rng.choice(odd, rng.integers(1, 4))
        raw.loc[touched, column] = rng.choice(few, touched.sum())
    assert ask(raw).overall in {"pass", "drift"}


def test_without_labels_the_relation_gates_say_so_and_the_columns_decide(
    contract: Contract, rule: Champion, reference: Reference
) -> None:
    parsed = parse(batch().drop(columns="GradeClass"), contract, labelled=False)
    verdict = gate(parsed, NO_FAULTS, reference, rule, None, contract)
    assert verdict.overall == "pass"
    assert [found.verdict for found in verdict.relation] == ["no labels"] * 3
    assert finding(verdict, "GradeClass").verdict == "no labels"


def test_rows_whose_label_is_still_to_come_are_left_out_of_the_relation_alone(ask: Ask) -> None:
    raw = batch()
    raw.loc[raw.index[:100], "GradeClass"] = np.nan
    verdict = ask(raw)
    assert verdict.overall == "pass"
    assert "(200 rows)" in finding(verdict, "relation: loss").words


def test_rows_that_the_champion_was_trained_on_are_left_out_of_the_relation(ask: Ask) -> None:
    untrained = np.arange(300) >= 250
    assert "(50 rows)" in finding(ask(batch(), untrained=untrained), "relation: loss").words
    assert finding(ask(batch(), untrained=untrained & False), "relation: loss").verdict == "no labels"
    few = np.arange(300) >= 280
    assert finding(ask(batch(), untrained=few), "relation: loss").verdict == "too few rows"


def test_a_champion_that_gives_no_probabilities_fails_the_gate(ask: Ask) -> None:
    verdict = ask(batch(), champion=lambda matrix: np.full((len(matrix), 5), np.nan))
    assert verdict.overall == "drift"
    assert "relation: loss: the champion gave no probabilities." in verdict.reasons


def test_rows_that_were_bad_before_too_are_no_drift(contract: Contract, rule: Champion) -> None:
    parsed = parse(generate(2_392, 1, "label-tail"), contract)
    _, bad = quarantine(parsed, contract)
    reference = reference_of(parsed, bad)
    again = parse(batch(scenario="label-tail"), contract)
    _, worse = quarantine(again, contract)
    verdict = gate(again, worse, reference, rule, None, contract)
    assert finding(verdict, "quarantined: label contradicts score").verdict == "pass"
    assert finding(verdict, "relation: loss").verdict == "pass"


def test_many_rows_are_judged_on_a_sample_and_always_the_same_one(
    contract: Contract, rule: Champion, reference: Reference
) -> None:
    parsed = parse(batch(25_000), contract)
    first, second = (gate(parsed, NO_FAULTS, reference, rule, None, contract) for _ in range(2))
    assert first.columns == second.columns
    assert first.relation == second.relation
    assert first.overall == "pass"
    assert first.rows == 25_000


def test_table_and_report_begin_with_the_verdict_and_the_finding_that_raised_the_alarm(
    ask: Ask, tmp_path: Path
) -> None:
    verdict = ask(generate(400, 8, "tutoring-void"))
    rows = table(verdict)
    assert [row["what"] for row in rows][:2] == ["relation: loss", "relation: residual"]
    assert len(rows) == len(verdict.columns) + len(verdict.relation)
    charts = charts_of(verdict)
    save_html(verdict, tmp_path / "drift.html", "400 rows of a.csv against version 1.", charts=charts)
    text = (tmp_path / "drift.html").read_text(encoding="utf-8")
    start = text[text.index("<body>") :][:4_000]
    assert "<h1>Drift: drift</h1><p>400 rows of a.csv against version 1.</p>" in start
    assert "relation: residual: Tutoring = Yes" in start
    assert "the 3 columns nearest to their limit" in start
    assert "compared" not in verdict.model_dump_json()
    keep_charts(charts, tmp_path, "grade-class")
    keep_charts(charts, tmp_path, "grade-class")
    kept = list((tmp_path / "evidently").rglob("snapshots/*.json"))
    assert len({snapshot.parent for snapshot in kept}) == 1, "a project for a model"
    assert len(kept) == 2


def test_columns_stand_and_are_drawn_in_the_order_of_how_far_they_drifted(ask: Ask) -> None:
    verdict = ask(
        batch(900).assign(Absences=29, Age=lambda frame: frame["Age"].where(frame.index % 9 > 0, 18))
    )
    drifted = [row["what"] for row in table(verdict) if row["verdict"] == "drift"]
    columns = [name for name in drifted if not name.startswith("relation")]
    assert columns[:2] == ["Absences", "Age"]
    drawn = [metric["config"]["column"] for metric in charts_of(verdict).dict()["metrics"]]
    assert drawn == columns


def test_nothing_is_drawn_where_nothing_was_tested(ask: Ask, tmp_path: Path) -> None:
    charts = charts_of(ask(batch(3)))
    keep_charts(charts, tmp_path, "grade-class")
    assert charts is None
    assert not (tmp_path / "evidently").exists()


def test_a_verdict_without_tests_has_a_report_too(ask: Ask, tmp_path: Path) -> None:
    save_html(ask(batch(3)), tmp_path / "drift.html")
    assert "The batch has 3 rows" in (tmp_path / "drift.html").read_text(encoding="utf-8")


def test_the_batch_is_not_changed(ask: Ask, contract: Contract, rule: Champion, reference: Reference) -> None:
    parsed = parse(batch(scenario="new-category"), contract)
    before = parsed.copy(deep=True)
    gate(parsed, quarantine(parsed, contract)[1], reference, rule, None, contract)
    pd.testing.assert_frame_equal(parsed, before)


def test_a_reference_without_a_sound_row_leaves_the_relation_undecided(
    contract: Contract, rule: Champion, reference: Reference
) -> None:
    spoilt = Reference(reference.sample.assign(quarantine="Age: out of range"), 2_392)
    verdict = gate(parse(batch(), contract), NO_FAULTS, spoilt, rule, None, contract)
    assert finding(verdict, "relation: loss").verdict == "too few rows"


def test_text_of_the_records_does_not_become_part_of_the_report(ask: Ask, tmp_path: Path) -> None:
    text = "</script><script>alert(1)</script>"
    save_html(ask(batch().assign(Ethnicity=text)), tmp_path / "drift.html")
    assert text not in (tmp_path / "drift.html").read_text(encoding="utf-8")
