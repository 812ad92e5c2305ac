"""What is known of a trained model: test split, groups, counterfactuals, leaderboard."""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from data.bundle.answers import risk_of, risky
from data.bundle.bundle import ALIKE, BETTER, TITLES, comparison_of
from data.bundle.card import ComparedModel, Counterfactuals, DayFigures
from data.bundle.reasons import Scale
from data.contract.columns import Column
from data.contract.contract import Contract
from data.rows.frames import labelled
from data.words import count
from flows.training.metrics import BESIDE, OURS, best_of_families, chosen_of


@dataclass(frozen=True, eq=False)
class Evidence:
    """A trained model's figures on its test split, and how it came about; one is equal to itself alone.

    Classes are in the contract's order (best first where ordered), rows those of the test split.
    """

    contract: Contract
    y: np.ndarray
    """Class index of each test row, int64 (n,); 0 is the best class."""
    probabilities: np.ndarray
    """Of the test rows, (n, K)."""
    metrics: dict[str, float | None]
    """By registry name: `test_accuracy`, `cv_log_loss`, `test_precision_A` …; None where too few rows."""
    intervals: dict[str, tuple[float, float]]
    """95 % bootstrap intervals, by the same names."""
    leaderboard: pd.DataFrame
    """The chosen model, named `gradecast`, and the baselines on the same folds, lowest log loss first:
    name, log_loss, accuracy, f1_macro, and difference, low, high: its log loss less the chosen one's."""
    candidates: pd.DataFrame
    """One row a candidate of the grid: its parameters, rounds, cv_log_loss, cv_log_loss_std."""
    effects: np.ndarray
    """Of the reasons (first test rows, contract features), as `scale` has them."""
    scale: Scale
    """The unit of the effects, and what a positive one speaks for."""
    frame: pd.DataFrame
    """The test split as parsed: features and audit columns."""
    sets: list[list[str]]
    """The grade set of each test row, as labels."""
    counterfactuals: dict[str, Counterfactuals]
    """By audited column: what becomes of the forecasts when it alone is changed."""
    pooled: tuple[np.ndarray, np.ndarray]
    """The out-of-fold forecasts of the training split (m, K) and its classes (m,)."""
    bayes: dict[str, float] | None
    """On generated cohorts: the best possible accuracy, f1_macro and log_loss on the same rows."""
    params: dict[str, object]
    """The chosen candidate: parameters, rounds, head."""
    notes: tuple[str, ...]
    """Plain sentences a reader should know, such as what was tuned on a sample."""
    days: tuple[DayFigures, ...] = field(default=(), kw_only=True)
    """How good it is on each checkpoint, of dated records."""
    data: dict[str, object]
    """source, sha256, rows, clean, train_rows, test_rows, quarantined (reason: count), generated,
    date, git_commit, fingerprint."""


PARTS = 3  # a number is audited in thirds


def members(series: pd.Series, column: Column) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each group of an audit column and which rows (n,) are in it: codes, or thirds."""
    named = (
        labelled(series, column.codes, "unknown: {}".format) if column.coded else _in_parts(series, column)
    )
    for name in named.cat.categories:
        rows = (named == name).to_numpy()
        if rows.any():
            yield str(name), rows


def _in_parts(series: pd.Series, column: Column) -> pd.Series:
    """Return a number's thirds, each by a name that says which values are in it: `20 to 22 years`."""
    parts = pd.qcut(series, PARTS, duplicates="drop")
    if parts.cat.categories.empty:  # of one number there are no parts
        return parts
    ends = [float(part.right) for part in parts.cat.categories[:-1]]
    names = _range_names(ends, column)
    if len(set(names)) < len(names):  # numbers that are alike to four digits
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    return parts.cat.rename_categories(names)


def _range_names(ends: Sequence[float], column: Column) -> list[str]:
    """Name the ranges that end at these numbers, and the last one, which is open."""
    unit = f" {column.unit}" if column.unit else ""
    if not ends:
        return ["all"]
    if column.whole:
        lasts = [math.floor(end) for end in ends]
        spans = [(low + 1, high) for low, high in pairwise(lasts)]
        between = [f"{low:,}{unit}" if low == high else f"{low:,} to {high:,}{unit}" for low, high in spans]
        return [f"up to {lasts[0]:,}{unit}", *between, f"{lasts[-1] + 1:,}{unit} or more"]
    between = [f"over {low:.4g}, up to {high:.4g}{unit}" for low, high in pairwise(ends)]
    return [f"up to {ends[0]:.4g}{unit}", *between, f"over {ends[-1]:.4g}{unit}"]


def risks(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return each test row's forecast probability (n,) of the at-risk classes, and whether it is in one."""
    target = evidence.contract.target
    return risk_of(evidence.probabilities, target), risky(target)[evidence.y]


FIGURES = {
    "test_accuracy": "Accuracy",
    "test_f1_macro": "Macro F1",
    "test_qwk": "Quadratic kappa",
    "test_log_loss": "Log loss",
    "test_ece_at_risk": "Calibration error of being at risk",
    "test_ece": "Calibration error of the likeliest class",
    "test_roc_auc_ovr": "ROC AUC, each against the rest",
    "test_accuracy_published": "Accuracy on labels as published",
}
"""Registry names of the figures shown, in their order, and what people call them."""


def reasons_of(quarantined: Mapping[str, int]) -> str:
    """Return the reasons of quarantine with their counts, most frequent first."""
    ranked = sorted(quarantined.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason} {count(number)}" for reason, number in ranked) or "none"


SHOWN = "Gradecast"


def chosen_and_baselines(board: pd.DataFrame) -> pd.DataFrame:
    """Return the best candidate, the best of each other family and the baselines, lowest log loss first.

    From the columns model, family, cv_log_loss, cv_accuracy, cv_f1_macro, difference, low and high to name,
    log_loss, accuracy, f1_macro and the same three.
    """
    candidates = board["model"] == OURS
    best = chosen_of(board[candidates])
    families = best_of_families(board[candidates])
    others = families.drop(best.index, errors="ignore")
    others = others.assign(model=[f"{TITLES[name]}, tuned" for name in others.get("family", ())])
    rows = pd.concat([best, others, board[~candidates]]).sort_values("cv_log_loss")
    names = {"model": "name", "cv_log_loss": "log_loss", "cv_accuracy": "accuracy", "cv_f1_macro": "f1_macro"}
    return rows.rename(columns=names)[[*names.values(), *BESIDE]].reset_index(drop=True)


def lines_of(leaderboard: pd.DataFrame) -> list[ComparedModel]:
    """Return the lines of a leaderboard with name, log_loss, accuracy, f1_macro, difference, low, high."""
    return [_line(row) for row in leaderboard.to_dict("records")]


def _line(row: dict[Hashable, Any]) -> ComparedModel:
    chosen = row["name"] == OURS
    known = {name: row[name] for name in BESIDE if not chosen and pd.notna(row[name])}
    alike = bool(known) and comparison_of(known["low"], known["high"]) == ALIKE
    figures = {name: row[name] for name in ("log_loss", "accuracy", "f1_macro")}
    name = SHOWN if chosen else str(row["name"])
    return ComparedModel(name=name, chosen=chosen, as_good=alike, **figures, **known)


def compared_sentence(lines: Sequence[ComparedModel]) -> str:
    """Say plainly which models are better than the chosen one, and which cannot be told apart from it."""
    if len(lines) < 2:
        return "No baseline was trained beside it."
    better, alike = ([line for line in lines if line.comparison == kind] for kind in (BETTER, ALIKE))
    if not better and not alike:
        return "Each of the others is worse: the interval of its log loss less this one's is above 0."
    said = [f"**{line.name} is better** than the model chosen, {_by(line)}." for line in better]
    said += [f"**{line.name} cannot be told apart** from it, {_by(line)}." for line in alike]
    return " ".join(
        [*said, "Where a simpler model is no worse, nothing in these figures speaks against using it."]
    )


def _by(line: ComparedModel) -> str:
    difference, low, high = line.difference or 0.0, line.low or 0.0, line.high or 0.0
    return f"by a log loss that differs by {difference:+.4f} (95 %: {low:+.4f} to {high:+.4f})"


ROWS = 5_000
Forecast = Callable[[pd.DataFrame], np.ndarray]


def counterfactuals_of(
    frame: pd.DataFrame, contract: Contract, forecast: Forecast
) -> dict[str, Counterfactuals]:
    """Return the flips of each audited column of a parsed frame, whose first 5,000 rows are asked.

    `forecast` gives the class probabilities (n, K) of a frame. A column that is no feature flips nothing
    by construction; it is asked all the same.
    """
    asked = frame.head(ROWS)
    before = forecast(asked)
    columns = [column for column in contract.audited if column.name in asked]
    return {column.name: _flips(asked, column, contract, before, forecast) for column in columns}


def _flips(
    asked: pd.DataFrame, column: Column, contract: Contract, before: np.ndarray, forecast: Forecast
) -> Counterfactuals:
    target = contract.target
    risk = risk_of(before, target)
    classes, calls, most = np.zeros(len(asked), dtype=bool), np.zeros(len(asked), dtype=bool), 0.0
    for changed in variants(asked[column.name], column):
        after = forecast(asked.assign(**{column.name: changed}))
        other = risk_of(after, target)
        classes |= after.argmax(axis=1) != before.argmax(axis=1)
        calls |= (other >= target.call_from) != (risk >= target.call_from)
        most = max(most, float(np.abs(other - risk).max()))
    return Counterfactuals(
        feature=column in contract.features,
        n=len(asked),
        classes=float(classes.mean()),
        flagged=float(calls.mean()),
        most=most,
    )


def variants(values: pd.Series, column: Column) -> Iterator[pd.Series]:
    """Yield the column with everyone at each of its codes, or at the middle of each third."""
    if column.coded:
        for code in column.codes:
            yield pd.Series(code, index=values.index).astype(values.dtype)
        return
    middles = values.quantile((np.arange(PARTS) + 0.5) / PARTS)
    for middle in (middles.round() if column.whole else middles).unique():
        yield pd.Series(middle, index=values.index)
