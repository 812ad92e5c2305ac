"""How early a forecast is worth something: a model of dated records, checkpoint by checkpoint.

On one day a student has one row, so rows are students there; people who are several students (in two
courses) are drawn together wherever something is resampled.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd

from data.bundle.answers import risk_of, risky
from data.bundle.card import CardEstimate, ComparedModel, DayFigures, DayGroup, DayRule, Share
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.contract.expressions import to_sql
from data.rows.frames import nearest, students_of
from data.words import percent
from flows.reports.evidence import Evidence, members
from flows.reports.fairness import share_of
from flows.reports.style import ACCENT, INK, MAIN, SOFT, new_figure
from flows.training.baselines import logistic, majority
from flows.training.data import TrainingData
from flows.training.metrics import (
    calibration_interval,
    chance_error,
    evaluate,
    intervals,
    paired_bootstrap,
    roc_auc,
)
from flows.training.ordinal import row_losses
from flows.training.rows import training_data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIRST = 0.1  # of the students: those who are seen first


def day_figures(
    evidence: Evidence,
    learned_from: Callable[[], pd.DataFrame],
    members_of: np.ndarray,
    truth: np.ndarray | None = None,
) -> tuple[DayFigures, ...]:
    """Return how good a model is at each checkpoint; nothing where records have no dates.

    Rows of other days, as a log of weekly forecasts has them, count at the checkpoint that is nearest.

    Args:
        evidence: of the model, on its test split.
        learned_from: gives training rows as parsed, for the baselines: they too are fitted day by day.
        members_of: which classes are in each test row's grade set (n, K), bool.
        truth: the true probabilities (n, K), where they are known.
    """
    if (dated := evidence.contract.dated) is None:
        return ()
    rows = learned_from()
    days, theirs = (nearest(frame[AS_OF].to_numpy(), dated.checkpoints) for frame in (evidence.frame, rows))
    return tuple(
        _day(int(day), evidence, np.flatnonzero(days == day), rows[theirs == day], members_of, truth)
        for day in np.unique(days)
    )


def _day(
    day: int,
    evidence: Evidence,
    rows: np.ndarray,
    learned_from: pd.DataFrame,
    members_of: np.ndarray,
    truth: np.ndarray | None,
) -> DayFigures:
    contract, frame, y = evidence.contract, evidence.frame.iloc[rows], evidence.y[rows]
    shares, target, students = evidence.probabilities[rows], evidence.contract.target, students_of(frame)
    risk, true = risk_of(shares, target), risky(target)[y]
    ends = intervals(shares, y, 0, students=students)
    same_day = training_data(learned_from, contract)
    return DayFigures(
        as_of=day,
        n=len(rows),
        at_risk=share_of(true),
        accuracy=share_of(shares.argmax(axis=1) == y),
        log_loss=_estimate(float(row_losses(shares, y).mean()), *ends["log_loss"]),
        auc=_area(risk, true),
        recall_first=share_of(_first(risk, len(rows))[true]),
        ece_at_risk=_estimate(chance_error(risk, true), *calibration_interval(risk, true, students=students)),
        sets_by_class=tuple(
            share_of(members_of[rows][y == k, k], label) for k, label in enumerate(target.labels)
        ),
        baselines=tuple(_baselines(same_day, frame, contract, shares, y)),
        rule=_rule(contract.dated.early_warning if contract.dated else None, frame, risk, true),
        groups=tuple(_groups(frame, contract, risk, true, shares.argmax(axis=1) == y)),
        limit=None if truth is None else evaluate(truth[rows], y)["log_loss"],
    )


def _estimate(value: float, low: float, high: float) -> CardEstimate:
    return CardEstimate(value=value, low=low, high=high)


def _area(risk: np.ndarray, true: np.ndarray) -> CardEstimate:
    """Return how well those at risk are told from the others, with its 95 % interval.

    Its standard error is that of Hanley and McNeil 1982, "The meaning and use of the area under a receiver
    operating characteristic curve".
    """
    area, up, down = roc_auc(risk, true), int(true.sum()), int((~true).sum())
    if not up or not down:
        return CardEstimate(value=None)
    both, pair = area / (2 - area), 2 * area * area / (1 + area)
    variance = area * (1 - area) + (up - 1) * (both - area**2) + (down - 1) * (pair - area**2)
    reach = 1.96 * float(np.sqrt(variance / (up * down)))
    return _estimate(area, max(area - reach, 0.0), min(area + reach, 1.0))


def _first(risk: np.ndarray, of: int) -> np.ndarray:
    """Return who (n,) is among the tenth with the highest risk, of ties those that come first."""
    return _highest(risk, max(1, round(FIRST * of)))


def _highest(risk: np.ndarray, count: int) -> np.ndarray:
    chosen = np.zeros(len(risk), dtype=bool)
    chosen[np.argsort(-risk, kind="stable")[:count]] = True
    return chosen


def _baselines(
    same_day: TrainingData, frame: pd.DataFrame, contract: Contract, shares: np.ndarray, y: np.ndarray
) -> Iterator[ComparedModel]:
    """Yield what knows less, fitted to the training rows of the day: class shares, the rule of thumb."""
    X = training_data(frame, contract).X
    named = {"majority": majority(same_day, X)}
    if same_day.rule_of_thumb is not None:
        columns = list(same_day.groups[same_day.rule_of_thumb])
        if not np.isnan(same_day.X[:, columns]).all():  # nothing of it is known on the first days
            named[f"{contract.rule_of_thumb} alone"] = logistic(same_day, X, columns)
    own, students = row_losses(shares, y), students_of(frame)
    for name, theirs in named.items():
        gap = paired_bootstrap(row_losses(theirs, y), own, students=students)
        figures = evaluate(theirs, y)
        yield ComparedModel(
            name=name,
            chosen=False,
            log_loss=figures["log_loss"],
            accuracy=figures["accuracy"],
            f1_macro=figures["f1_macro"],
            difference=gap.mean,
            low=gap.low,
            high=gap.high,
        )


def _rule(rule: str | None, frame: pd.DataFrame, risk: np.ndarray, true: np.ndarray) -> DayRule | None:
    """Judge the school's own rule; what it cannot tell, for nothing is known yet, it does not flag."""
    if rule is None:
        return None
    flagged = holds(rule, frame)
    alike = _highest(risk, int(flagged.sum()))
    return DayRule(
        flagged=share_of(flagged),
        recall=share_of(flagged[true]),
        precision=share_of(true[flagged]),
        recall_alike=share_of(alike[true]),
    )


def holds(rule: str, frame: pd.DataFrame) -> np.ndarray:
    """Return for which rows (n,), bool, an expression on columns of numbers holds; missing ones do not."""
    numbers = frame.select_dtypes("number").reset_index(drop=True)
    condition = to_sql(rule, lambda name: '"' + name.replace('"', '""') + '"')
    with duckdb.connect() as connection:
        connection.register("numbers", numbers.astype("float64"))
        asked = f"select coalesce({condition}, false) as holds from numbers"  # noqa: S608  names are quoted
        return connection.execute(asked).df()["holds"].to_numpy(dtype=bool)


def _groups(
    frame: pd.DataFrame, contract: Contract, risk: np.ndarray, true: np.ndarray, right: np.ndarray
) -> Iterator[DayGroup]:
    flagged = risk >= contract.target.call_from
    for column in contract.audited:
        if column.name in frame:
            for label, rows in members(frame[column.name], column):
                yield DayGroup(
                    column=column.name,
                    label=label,
                    recall=share_of(flagged[rows & true]),
                    accuracy=share_of(right[rows]),
                )


def how_early(evidence: Evidence) -> "Figure":
    """Draw how good the model is on each checkpoint, beside what knows less and the school's own rule."""
    days = evidence.days
    drawn = new_figure("How early: on each day, on students of whom the year's end is known", 12, 5)
    loss, found = drawn.subplots(1, 2)
    at = [day.as_of for day in days]
    _band(loss, at, [day.log_loss for day in days], "Gradecast", color=MAIN, marker="o")
    for number, name in enumerate(dict.fromkeys(line.name for day in days for line in day.baselines)):
        known = [(day.as_of, line.log_loss) for day in days for line in day.baselines if line.name == name]
        loss.plot(*zip(*known, strict=True), label=name, color=(SOFT, INK)[number % 2], linestyle="--")
    if any(day.limit is not None for day in days):
        loss.plot(at, [day.limit for day in days], label="best possible", color=ACCENT, linestyle=":")
    loss.set(xlabel="Day", ylabel="Log loss, lower is better", title="How surprised it is by the outcome")
    _band(found, at, [day.recall_first for day in days], "the tenth seen first", color=MAIN, marker="o")
    ruled = [(day.as_of, day.rule) for day in days if day.rule]
    if ruled:
        where = [day for day, _ in ruled]
        _band(found, where, [rule.recall_alike for _, rule in ruled], "as many as the rule", color=INK)
        _band(
            found,
            where,
            [rule.recall for _, rule in ruled],
            "the school's rule",
            color=ACCENT,
            linestyle="--",
        )
    found.set(xlabel="Day", ylim=(0, 1), title="Of those who ended at risk, found among")
    found.yaxis.set_major_formatter(lambda share, _: percent(share))
    for axes in (loss, found):
        axes.legend(loc="best")
        axes.set_xticks(at)
    return drawn


def _band(
    axes: "Axes", at: Sequence[int], found: Sequence[CardEstimate | Share], label: str, **style: Any
) -> None:
    """Draw figures as a line with their 95 % intervals around it."""
    values = [one.share if isinstance(one, Share) else one.value for one in found]
    known = [(x, value, one.low, one.high) for x, value, one in zip(at, values, found, strict=True)]
    rows = np.array([row for row in known if None not in row], dtype=float).reshape(-1, 4)
    axes.plot(rows[:, 0], rows[:, 1], label=label, linewidth=2, **style)
    axes.fill_between(rows[:, 0], rows[:, 2], rows[:, 3], alpha=0.15, color=style["color"], linewidth=0)
