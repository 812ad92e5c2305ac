"""The decision to promote: on row losses, within limits; and whom a challenger is compared on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from data.bundle.bundle import Bundle
from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.rows.frames import matrix
from flows.process import process_records
from flows.registry.bundling import Submission
from flows.registry.decisions import PromotionVerdict
from flows.registry.promotion import (
    Limits,
    against_champion,
    audit_masks,
    first_champion,
    group_limits,
    latency_limits,
    limited,
    rows_to_compare,
    size_limits,
)
from flows.registry.store import Lineage, lineage_of, load_champion
from flows.settings import Settings
from tests.flows.registry.desk import NAME, Desk

ROWS = np.random.default_rng(1).uniform(0.1, 0.9, 300)
"""Log losses of the champion."""
NOISE = np.random.default_rng(2).normal(0, 0.01, 300)


EQUAL = NOISE - NOISE.mean()


@pytest.mark.parametrize(
    ("advantage", "promoted", "reason"),
    [
        (0.5 + NOISE, True, "the first champion: log loss"),
        (EQUAL, False, "no better than the class shares alone"),
    ],
)
def test_a_first_model_is_champion_if_it_beats_the_class_shares(
    advantage: np.ndarray, promoted: bool, reason: str
) -> None:
    verdict = first_champion(ROWS, ROWS + advantage, seed=0)
    assert verdict.promoted is promoted
    assert verdict.reason.startswith(reason)


WIDE = np.random.default_rng(3).normal(0, 1, 300)


@pytest.mark.parametrize(
    ("loss", "new_students", "promoted", "reason"),
    [
        (NOISE - 0.05, 0, True, "better: log loss -0.05"),
        (EQUAL, 0, False, "not better, and learned from no new student"),
        (EQUAL, 40, True, "not worse, and learned from 40 students more"),
        (NOISE + 0.02, 0, False, "may be worse by more than 0.01"),
        (NOISE + 0.02, 4_000, False, "may be worse by more than 0.01"),
        (WIDE, 99, False, "may be worse by more than 0.01"),
    ],
)
def test_a_challenger_is_promoted_if_it_is_better_or_not_worse_and_knows_new_students(
    loss: np.ndarray, new_students: int, promoted: bool, reason: str
) -> None:
    first, again = (
        against_champion(ROWS + loss, ROWS, margin=0.01, new_students=new_students, seed=0) for _ in range(2)
    )
    assert first.promoted is promoted
    assert first.reason.startswith(reason)
    assert first == again


@pytest.mark.parametrize("rows", [0, 29])
def test_too_few_rows_decide_nothing(rows: int) -> None:
    few = ROWS[:rows]
    for verdict in (
        first_champion(few, few + 1, seed=0),
        against_champion(few - 1, few, margin=0.01, new_students=9, seed=0),
    ):
        assert not verdict.promoted
        assert f"too few held-out students to judge: {rows}, of 30 needed" in verdict.reason


RNG = np.random.default_rng(5)
THEIRS = RNG.uniform(0.1, 0.9, 400)
BETTER = THEIRS - 0.05 + RNG.normal(0, 0.02, 400)
HALVES = {"Gender=Female": np.arange(400) < 200, "Gender=Male": np.arange(400) >= 200}


def test_a_group_that_is_worse_off_is_an_objection_however_good_the_whole() -> None:
    own = np.where(HALVES["Gender=Female"], BETTER + 0.15, BETTER - 0.15)
    found = group_limits(own, THEIRS, HALVES, seed=0)
    assert len(found.objections) == 1
    assert found.objections[0].startswith("Gender=Female is worse off by 0.")
    assert found.figures["groups"] == 2
    assert found.figures["group_difference Gender=Male"] == pytest.approx(-0.2, abs=0.01)


def test_groups_that_gain_or_stay_as_they_were_are_no_objection() -> None:
    assert group_limits(BETTER, THEIRS, HALVES, seed=0).objections == ()
    assert group_limits(THEIRS, THEIRS, HALVES, seed=0).objections == ()


def test_what_luck_does_to_equals_is_seldom_an_objection() -> None:
    """At 5 % shared out among six groups, about 5 % of equal challengers are kept back."""
    rng, kept = np.random.default_rng(6), 0
    groups = {f"Age={k}": np.arange(600) % 6 == k for k in range(6)}
    for seed in range(30):
        theirs = rng.uniform(0.1, 0.9, 600)
        kept += bool(group_limits(theirs + rng.normal(0, 0.2, 600), theirs, groups, seed).objections)
    assert kept <= 6


def test_groups_with_too_few_held_out_students_are_not_judged(
    submission: Submission, grade_class: Contract
) -> None:
    test = submission.split("test")
    masks = audit_masks(test, grade_class)
    assert {name.partition("=")[0] for name in masks} <= {column.name for column in grade_class.audit}
    assert all(rows.sum() >= 30 for rows in masks.values())
    assert audit_masks(test.head(29), grade_class) == {}


def test_an_objection_turns_a_promotion_and_its_figures_are_kept() -> None:
    won = PromotionVerdict(True, "better: log loss -0.05", {"rows": 100})
    objecting = Limits(("it is slow",), {"latency_us": 900}), Limits(("it is large",), {"mb": 3})
    kept = limited(won, *objecting)
    assert not kept.promoted
    assert kept.reason == "it is slow; it is large; otherwise better: log loss -0.05"
    assert kept.figures == {"rows": 100, "latency_us": 900, "mb": 3}
    lost = limited(PromotionVerdict(False, "may be worse", {}), *objecting)
    assert (lost.promoted, lost.reason, lost.figures["mb"]) == (False, "may be worse", 3)
    assert limited(won, Limits((), {"mb": 3})).promoted


def test_a_bundle_that_is_too_large_is_an_objection(bundle_folder: Path) -> None:
    found = size_limits(bundle_folder, 0.01)
    assert found.objections[0].startswith("its bundle has 0.")
    size = sum(path.stat().st_size for path in bundle_folder.iterdir())
    assert found.figures == {"bundle_megabytes": size / 1e6}
    assert size_limits(bundle_folder, 100).objections == ()


def test_a_slow_model_is_an_objection_where_anybody_would_notice(
    submission: Submission, bundle_folder: Path, grade_class: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, rows = Bundle.load(bundle_folder), matrix(submission.evidence.frame, grade_class)
    quick = latency_limits(bundle, bundle, rows, rows, ratio=1e-6)
    assert quick.objections == ()
    assert 0 < quick.figures["latency_us"] < 1e6
    monkeypatch.setattr("flows.registry.promotion.NOBODY_NOTICES", 0.0)
    slow = latency_limits(bundle, bundle, rows, rows, ratio=1e-6)
    assert "µs for a record, more than 1e-06 times the champion's" in slow.objections[0]


def test_a_challenger_that_is_too_large_stays_challenger_and_every_figure_is_kept(
    weak: Submission, submission: Submission, desk: Desk
) -> None:
    desk.seat(weak)
    kept = desk.register(submission, bundle_megabytes=0.01)
    figures = kept.figures
    assert {"difference", "rows", "groups", "latency_us", "champion_latency_us", "bundle_megabytes"} <= set(
        figures
    )
    assert figures["champion"] == 1
    assert any(name.startswith("group_difference Gender=") for name in figures)
    assert all(name in desk.tags("2")["figures"] for name in figures)
    assert not kept.promoted
    assert "more than 0.01; otherwise better" in kept.reason
    assert desk.aliases() == {"champion": "1", "challenger": "2"}
    assert desk.history()[-1] == ("rejected", "2", "1", "pipeline")


def test_after_an_alarm_only_students_whom_the_champion_never_met_are_compared_on(
    submission: Submission, of_more_students: Submission, desk: Desk
) -> None:
    desk.seat(submission)
    champion = load_champion(desk.client, NAME)
    assert champion is not None
    old, new = submission.split("test"), of_more_students.split("test")
    new = new[~new["pseudonym"].isin(old["pseudonym"])]
    both, met = pd.concat([old, new]), np.arange(len(old) + len(new)) < len(old)
    assert rows_to_compare(champion, of_more_students, both).all()
    assert (rows_to_compare(champion, replace(of_more_students, must_win=True), both) == ~met).all()
    few = both.head(len(old) + 29)
    assert rows_to_compare(champion, replace(of_more_students, must_win=True), few).all()


def test_a_student_who_comes_again_with_another_record_has_not_been_met(
    submission: Submission, desk: Desk, grade_class: Contract
) -> None:
    desk.seat(submission)
    champion = load_champion(desk.client, NAME)
    assert champion is not None
    rows = submission.split("test").head(3)
    assert champion.lineage.has_met(rows, grade_class).all()
    again = rows.assign(Absences=[rows["Absences"].iloc[0] + 1, *rows["Absences"].iloc[1:]])
    assert champion.lineage.has_met(again, grade_class).tolist() == [False, True, True]


def test_rows_that_were_set_aside_are_met_too_and_a_lineage_of_before_does_not_claim_to_know_them(
    settings: Settings, grade_class: Contract, tmp_path: Path
) -> None:
    raw = cohort.generate(300, 17)
    raw.loc[:19, "Ethnicity"] = 9
    raw.loc[20:29, "Absences"] = 400
    raw.to_csv(tmp_path / "some.csv", index=False)
    processed = process_records(str(tmp_path / "some.csv"), grade_class, settings)
    tables = [lineage_of(block, grade_class) for block in processed.all_blocks(grade_class)]
    pyarrow.parquet.write_table(pa.concat_tables(tables), tmp_path / "lineage.parquet")
    lineage, rows = Lineage.read(tmp_path / "lineage.parquet"), processed.sample(grade_class, 300)
    assert (rows["quarantine"] != "").sum() == 30
    assert lineage.whole
    assert lineage.has_met(rows, grade_class).all()
    assert len(lineage.trained) == processed.train_rows
    changed = rows.assign(Age=rows["Age"] + 1)
    assert not lineage.has_met(changed, grade_class).any()
    pd.concat(table.to_pandas() for table in tables).to_parquet(tmp_path / "before.parquet")
    assert not Lineage.read(tmp_path / "before.parquet").whole
