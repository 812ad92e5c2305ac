"""Score the test split once, and gather the evidence that the card, the plots and the verdict rest on."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.bundle.answers import grade_sets, risk_of, risky
from data.bundle.bundle import open_session
from data.bundle.manifest import MODEL
from data.bundle.models import read_model
from data.bundle.population import Population
from data.bundle.reasons import column_effects, scale_of
from data.cohorts.addresses import DATED_GENERATORS, GENERATORS, CohortPlan
from data.cohorts.part_way import as_generated
from data.contract.columns import PSEUDONYM, Target
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.rows.frames import matrix, pseudonyms, students_of, target_index
from flows.processing.processed import Processed
from flows.reports.by_day import day_figures
from flows.reports.evidence import Evidence, chosen_and_baselines, counterfactuals_of
from flows.reports.figures import flagging_metrics
from flows.runtime.workspace import git_commit
from flows.settings import Settings
from flows.training.data import TUNING_ROWS
from flows.training.metrics import (
    calibration_error,
    calibration_interval,
    calibration_line,
    chance_error,
    chosen_of,
    evaluate,
    evaluate_classes,
    intervals,
)
from flows.training.trained import Trained

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LABEL_FAULT = "label contradicts score"
EFFECT_ROWS = 20_000
AT_RISK_ERRORS = ("test_ece_at_risk", "cv_ece_at_risk")


def gather_evidence(
    trained: Trained, processed: Processed, contract: Contract, settings: Settings
) -> Evidence:
    """Score the test split and return everything that is known of a trained model.

    Raises RuntimeError when the ONNX model and the booster disagree by more than 1e-5.
    """
    frame = processed.split(contract, "test")
    session = open_session(trained.folder / MODEL)
    probabilities = _probabilities(session, matrix(frame, contract))
    truth = true_probabilities(frame, processed, contract, settings.id_key)
    inside = grade_sets(probabilities, thresholds_of(trained, frame, contract), contract.target.ordered)
    y, labels, students = target_index(frame, contract), np.array(contract.target.labels), students_of(frame)
    metrics = all_metrics(trained, processed, contract, session, probabilities, y, students)
    evidence = Evidence(
        contract=contract,
        y=y,
        probabilities=probabilities,
        metrics=metrics,
        intervals=intervals(probabilities, y, settings.seed, "test_", students) | at_risk_intervals(metrics),
        **_of_model(trained, frame, contract),
        frame=frame,
        sets=[labels[row].tolist() for row in inside],
        counterfactuals=counterfactuals_of(
            frame, contract, lambda asked: _probabilities(session, matrix(asked, contract))
        ),
        bayes=bayes_limit(truth, y),
        data=_about_data(processed),
    )
    days = day_figures(evidence, lambda: learned_from(processed, contract), inside, truth)
    return replace(evidence, days=days)


def _of_model(trained: Trained, frame: pd.DataFrame, contract: Contract) -> dict[str, Any]:
    """Return what the evidence has of the model itself: how it was found, what it goes by."""
    head = {name: value for name, value in trained.head.items() if name != "reasons"}
    model, some = read_model(trained.folder), matrix(frame.head(EFFECT_ROWS), contract)
    return {
        "leaderboard": chosen_and_baselines(trained.leaderboard()),
        "candidates": trained.candidates(),
        "effects": column_effects(model, some, contract, trained.kind, trained.head),
        "scale": scale_of(contract.target, trained.kind, trained.head),
        "pooled": trained.out_of_fold(),
        "params": {"family": trained.family, **trained.params, "rounds": trained.rounds, **head},
        "notes": trained.notes,
    }


def thresholds_of(trained: Trained, frame: pd.DataFrame, contract: Contract) -> np.ndarray:
    """Return the thresholds of the grade sets: (K,), or of dated records those of each row's day (n, K)."""
    days = trained.day_sets(contract.dated.checkpoints) if contract.dated else ()
    if not days:
        return np.array(trained.set_thresholds)
    return Population(days=days).thresholds(trained.set_thresholds, frame[AS_OF].to_numpy())


def learned_from(processed: Processed, contract: Contract) -> pd.DataFrame:
    """Return the clean training rows, of many a sample."""
    return processed.sample(contract, TUNING_ROWS, "train", clean=True)


def _about_data(processed: Processed) -> dict[str, object]:
    about = processed.model_dump(mode="json", exclude={"folder", "reused", "undeclared", "assumed"})
    return {**about, "date": datetime.now(UTC).date().isoformat(), "git_commit": git_commit()}


def _probabilities(session: "InferenceSession", features: np.ndarray) -> np.ndarray:
    shares = session.run(["probabilities"], {"features": features})[0].astype(np.float64)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def all_metrics(
    trained: Trained,
    processed: Processed,
    contract: Contract,
    session: "InferenceSession",
    probabilities: np.ndarray,
    y: np.ndarray,
    students: np.ndarray | None = None,
) -> dict[str, float | None]:
    """Return every metric under its fixed name; None where there are too few rows for one."""
    found: dict[str, float | None] = {**evaluate(probabilities, y, "test_")}
    for label, figures in evaluate_classes(probabilities, y, contract.target.labels).items():
        found |= {f"test_{name}_{label}": value for name, value in figures.items() if name != "n"}
    target = contract.target
    found |= flagging_metrics(risk_of(probabilities, target), risky(target)[y], target)
    if not target.ordered:
        found.pop("test_qwk")  # near misses have no meaning there
    pooled, classes = trained.out_of_fold()
    best = chosen_of(trained.candidates()).iloc[0]
    found["cv_log_loss"] = float(best["cv_log_loss"])
    found["cv_accuracy"] = float(best["cv_accuracy"])
    found["cv_ece"] = calibration_error(pooled, classes)
    found |= calibration_figures(probabilities, y, target, "test_", students)
    found |= calibration_figures(pooled, classes, target, "cv_", trained.out_of_fold_rows().get("students"))
    found["test_accuracy_published"] = published_accuracy(processed, contract, session)
    return {name: None if value is None or value != value else value for name, value in found.items()}


def calibration_figures(
    probabilities: np.ndarray,
    y: np.ndarray,
    target: Target,
    prefix: str,
    students: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Return calibration error, slope and intercept of being at risk, with 95 % intervals, and the rows."""
    risk, came = risk_of(probabilities, target), risky(target)[y]
    low, high = calibration_interval(risk, came, seed, students=students)
    found = {"": chance_error(risk, came), "_low": low, "_high": high, "_n": float(len(y))}
    told = {f"{prefix}ece_at_risk{name}": value for name, value in found.items()}
    for name, ends in calibration_line(risk, came, students).items():
        told |= dict(zip((f"{prefix}risk_{name}{end}" for end in ("", "_low", "_high")), ends, strict=True))
    return told


def at_risk_intervals(metrics: Mapping[str, float | None]) -> dict[str, tuple[float, float]]:
    """Return the intervals that stand among the metrics."""
    ends = {name: (metrics.get(f"{name}_low"), metrics.get(f"{name}_high")) for name in AT_RISK_ERRORS}
    return {name: (low, high) for name, (low, high) in ends.items() if low is not None and high is not None}


def published_accuracy(processed: Processed, contract: Contract, session: "InferenceSession") -> float | None:
    """Return the accuracy on the test students with their labels as published, contradictions included."""
    frame = processed.parsed(contract, "test")
    rows = frame[frame["quarantine"].isin(["", f"{contract.target.column}: {LABEL_FAULT}"])]
    if rows.empty:
        return None
    answered = session.run(["probabilities"], {"features": matrix(rows, contract)})[0].argmax(axis=1)
    return float((answered == target_index(rows, contract)).mean())


def bayes_limit(truth: np.ndarray | None, y: np.ndarray) -> dict[str, float] | None:
    """Return what the true probabilities (n, K) themselves reach on these rows; None for real data."""
    if truth is None:
        return None
    best = evaluate(truth, y)
    return {name: best[name] for name in ("accuracy", "f1_macro", "log_loss")}


def true_probabilities(
    frame: pd.DataFrame, processed: Processed, contract: Contract, key: str
) -> np.ndarray | None:
    """Return what the generating rule says of each row (n, K); None for real data. `key` hashes the ids."""
    plan = processed.generated
    if plan is None or plan.scenario == "label-tail":
        return None
    if processed.contract in DATED_GENERATORS:
        return _truth_on_days(frame, plan, contract, key)
    return GENERATORS[processed.contract].true_probabilities(as_generated(frame), **plan.drift)


def _truth_on_days(frame: pd.DataFrame, plan: CohortPlan, contract: Contract, key: str) -> np.ndarray:
    """Return the true class probabilities of snapshots, (n, K), from the tables that they were taken of."""
    generator = DATED_GENERATORS[contract.name]
    tables = generator.tables(plan.rows, plan.seed, **plan.drift)
    truth = np.zeros((len(frame), len(contract.target.labels)))
    for day in frame[AS_OF].unique():
        found = generator.true_probabilities(tables, int(day), **plan.drift)
        who = pseudonyms(found.index.to_frame(), contract, key)
        rows = (frame[AS_OF] == day).to_numpy()
        truth[rows] = found.set_axis(pd.Index(who)).loc[frame.loc[rows, PSEUDONYM]].to_numpy()
    return truth
