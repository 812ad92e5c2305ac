"""A missing value of every kind of column goes through every stage, and is a value of its own all the way."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from data.bundle.bundle import Bundle
from data.contract.contract import Contract, load_contract
from data.rows.frames import matrix
from flows.drift import check_drift
from flows.evaluate import gather_evidence
from flows.process import process_records
from flows.registry.bundling import Submission
from flows.registry.registration import register_submission
from flows.reports.fairness import fairness_audits
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid
from serving.app import create_app
from serving.settings import PredictorSettings
from serving.suggestions import suggest
from serving.sync.bring import sync
from tests.serving.pages.rosters import send

YAML = """\
name: holes
title: A contract of which every feature may be missing
target:
  column: Grade
  title: Grade
  classes: {0: A, 1: B, 2: C}
  at_risk: [C]
  at_least: {A: 3.0, B: 2.0}
  costs: {missed: 2, false_alarm: 1}
rule_of_thumb: Hours
columns:
  Student: {title: Student, role: id, kind: integer, min: 1}
  Group: {title: Group, role: audit, kind: nominal, codes: {n: North, s: South}}
  Hours: {title: Hours, kind: number, min: 0, max: 20, nullable: true, effect: raises, actionable: true}
  Trips: {title: Trips, kind: integer, min: 0, max: 9, nullable: true, actionable: true}
  Award: {title: Award, kind: boolean, nullable: true, actionable: true}
  Level: {title: Level, kind: ordinal, nullable: true, audited: true, codes: {1: Low, 2: Mid, 3: High}}
  Lunch: {title: Lunch, kind: nominal, nullable: true, codes: {h: Home, s: School, o: Outside}}
  Points: {title: Points, role: score, kind: number, min: 0, max: 4, unit: points}
"""
FEATURES = ["Hours", "Trips", "Award", "Level", "Lunch"]
FULL = {"Hours": 9.5, "Trips": 4, "Award": 1, "Level": 2, "Lunch": "s"}
EMPTY = dict.fromkeys(FEATURES)


def students(rows: int, seed: int, missing: float = 0.2) -> pd.DataFrame:
    """Students whose points hang on every column, and on what is missing."""
    rng = np.random.default_rng(seed)
    level, lunch = rng.integers(1, 4, rows), rng.choice(["h", "s", "o"], rows)
    frame = pd.DataFrame(
        {
            "Student": np.arange(rows) + 10_000 * seed + 1,
            "Group": rng.choice(["n", "s"], rows),
            "Hours": rng.uniform(0, 20, rows).round(1),
            "Trips": rng.integers(0, 10, rows),
            "Award": rng.integers(0, 2, rows),
            "Level": level,
            "Lunch": lunch,
        }
    )
    gone = pd.DataFrame(rng.random((rows, len(FEATURES))) < missing, columns=FEATURES)
    points = 0.4 + 0.08 * frame["Hours"] + 0.03 * frame["Trips"] + 0.3 * frame["Award"] + 0.25 * level
    points += 0.4 * (lunch == "h") - 0.9 * gone["Hours"] - 0.3 * gone["Lunch"] + rng.normal(0, 0.2, rows)
    frame[FEATURES] = frame[FEATURES].astype(object).mask(gone)
    points = points.clip(0, 4)
    return frame.assign(Points=points, Grade=np.where(points >= 3, 0, np.where(points >= 2, 1, 2)))


@dataclass(frozen=True)
class Trained:
    """A registered model of the contract with holes, and a predictor of it."""

    submission: Submission
    contract: str
    settings: Settings
    client: FlaskClient

    @property
    def bundle(self) -> Bundle:
        return Bundle.load(self.submission.bundle)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small_grid: Grid) -> Trained:
    home = tmp_path_factory.mktemp("holes")
    path, file = home / "holes.yaml", home / "students.csv"
    path.write_text(YAML, encoding="utf-8")
    students(700, seed=1).to_csv(file, index=False)
    settings = Settings(home=home, folds=3, jobs=1, tracking_uri="")
    contract = load_contract(path)
    processed = process_records(str(file), contract, settings)
    model = train_model(processed, contract, small_grid, settings)
    evidence = gather_evidence(model, processed, contract, settings)
    submission = Submission(model, processed, str(path), evidence, settings)
    register_submission(submission)
    variables = {"GRADECAST_HOME": str(home / "serving"), "GRADECAST_MODEL_URI": str(submission.bundle)}
    serving = PredictorSettings.from_environment(variables)
    sync(serving)
    return Trained(submission, str(path), settings, create_app(serving).test_client())


def asked(client: FlaskClient, record: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/predict?explain=true", json=record)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def test_rows_with_holes_are_clean_and_keep_them(trained: Trained) -> None:
    processed, contract = trained.submission.processed, trained.submission.contract
    assert (processed.rows, processed.clean) == (700, 700)
    frame = processed.split(contract, "train")
    assert all(0.1 < frame[name].isna().mean() < 0.3 for name in FEATURES)
    assert np.isnan(matrix(frame, contract)).mean() > 0.1


def test_a_missing_value_says_something_to_the_model_and_the_baselines_fill_it_in(trained: Trained) -> None:
    board = trained.submission.evidence.leaderboard.set_index("name")
    assert {"majority", "Hours alone", "logistic regression", "CatBoost, usual settings"} < set(board.index)
    assert board["log_loss"].notna().all()
    losses = board["log_loss"].to_dict()
    assert losses["Hours alone"] < losses["majority"] - 0.1
    assert losses["gradecast"] < losses["Hours alone"] - 0.1


def test_the_gate_lets_holes_pass_and_stops_at_many_more_of_them(trained: Trained, tmp_path: Path) -> None:
    verdicts = {}
    for missing in (0.2, 0.5):
        file = tmp_path / f"{missing}.csv"
        students(400, seed=2, missing=missing).to_csv(file, index=False)
        processed = process_records(str(file), trained.submission.contract, trained.settings)
        verdicts[missing], _ = check_drift(processed, trained.contract, trained.settings)
    assert verdicts[0.2].verdict == "pass", verdicts[0.2].reasons
    assert verdicts[0.5].verdict == "drift"
    assert any("missing" in reason for reason in verdicts[0.5].reasons)


def test_null_an_empty_cell_and_the_bundle_give_one_answer(trained: Trained) -> None:
    records = [FULL, EMPTY, *({**FULL, name: None} for name in FEATURES)]
    bundle = trained.bundle
    expected = bundle.probabilities(bundle.matrix([bundle.record.validate_python(r) for r in records]))
    singly = [list(asked(trained.client, record)["probabilities"].values()) for record in records]
    assert np.allclose(singly, expected, atol=1e-6)
    text = io.StringIO()
    csv.DictWriter(text, FEATURES).writeheader()
    csv.DictWriter(text, FEATURES).writerows(records)
    answer = trained.client.post("/predict/batch", data=text.getvalue(), content_type="text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    saying = [place for place, record in enumerate(records) if record != EMPTY]  # nothing is nobody
    assert [row["error"] for row in rows] == [""] * len(saying)
    together = [[float(row[f"probability_{label}"]) for label in "ABC"] for row in rows]
    assert np.allclose(together, expected[saying], atol=1e-6)
    assert len({tuple(np.round(row, 6)) for row in singly}) > 4, "holes are told apart"


def test_a_hole_has_its_reason_and_no_suggestion_fills_it(trained: Trained) -> None:
    answer = asked(trained.client, {**FULL, "Hours": None})
    reason = next(reason for reason in answer["reasons"] if reason["feature"] == "Hours")
    assert reason["value"] is None
    assert reason["effect"] < -0.2
    bundle = trained.bundle
    found = suggest(bundle, bundle.record.validate_python({**FULL, "Hours": None, "Trips": None}))
    assert all(set(suggestion.changes).isdisjoint({"Hours", "Trips"}) for suggestion in found)


def test_a_feature_that_is_left_out_is_refused_though_it_may_be_null(trained: Trained) -> None:
    answer = trained.client.post("/predict", json=dict.fromkeys(FEATURES[1:]))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == ["Hours"]


def test_a_class_with_holes_is_shown_and_each_student_opened(trained: Trained) -> None:
    frame = students(12, seed=3).drop(columns=["Points", "Grade"])
    page = send(trained.client, file=frame.to_csv(index=False).encode())
    assert page.status_code == 200
    assert "12\xa0students forecast" in page.text


def test_what_is_missing_is_in_no_group_of_the_audit_and_is_changed_to_each_code(trained: Trained) -> None:
    group, level = fairness_audits(trained.submission.evidence)
    rows = trained.submission.processed.test_rows
    assert sum(g.wrong.n for g in group.groups) == rows
    assert sum(g.wrong.n for g in level.groups) < rows
    assert (level.column, level.counterfactuals.feature) == ("Level", True)
    assert level.counterfactuals.most > 0.05


def test_the_contract_is_read_as_it_was_written(trained: Trained) -> None:
    contract: Contract = trained.bundle.contract
    assert all(column.nullable for column in contract.features)
    assert contract.target.call_from == pytest.approx(1 / 3)
