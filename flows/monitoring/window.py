"""A window of the log: what was asked, what was answered, the grades that came, and how good it all was."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
import pandas as pd
import sqlalchemy as sa
from mlflow import MlflowClient
from scipy import stats

from data.bundle.answers import risk_of, risky
from data.bundle.card import ENOUGH
from data.contract.columns import ELAPSED, PSEUDONYM
from data.contract.contract import Contract
from data.errors import Stopped
from data.log.reading import Measurement, read_log
from data.rows.frames import matrix, parse, target_index
from data.statistics import Proportion, closest_interval, count_distribution, proportion_ci, shift_sd
from flows.drift_gate import LEAST_ROWS, TOO_FEW_ROWS
from flows.registry.store import CHALLENGER, Champion, load_version, version_of_alias
from flows.reports.evidence import members
from flows.training.metrics import calibration_interval, chance_error, paired_bootstrap, top_label
from flows.training.ordinal import row_losses

CANARY = "canary"
REACH = timedelta(days=400)
"""How long before the window's end a forecast may have been asked for: a school year, and some weeks."""
SOURCE = "prediction log"


@dataclass(frozen=True)
class Window:
    """A stretch of time: [since, until)."""

    since: datetime
    until: datetime

    @classmethod
    def of_days(cls, days: float, until: datetime) -> Self:
        """Return the days before a moment."""
        return cls(until - timedelta(days=days), until)

    def __contains__(self, moment: object) -> bool:
        """Tell whether a moment is in the window."""
        return isinstance(moment, datetime) and self.since <= moment < self.until


@dataclass(frozen=True)
class Forecasts:
    """Forecasts as they were asked for and answered, oldest first.

    `frame` holds the records as parsed, with pseudonym (None where no id was given), target and score, the
    latter two missing while no grade has come; `probabilities` (n, K) are those that were answered. `about`
    has prediction_id, at, model_version, outcome_at, via, and elapsed: how much of the period had passed. All
    have the index 0 … n - 1.
    """

    frame: pd.DataFrame
    probabilities: np.ndarray
    about: pd.DataFrame

    def __len__(self) -> int:
        """Return the number of forecasts."""
        return len(self.frame)

    def take(self, chosen: np.ndarray) -> "Forecasts":
        """Return the forecasts of a mask (n,)."""
        return self.take_order(np.flatnonzero(chosen))

    def take_order(self, some: np.ndarray) -> "Forecasts":
        """Return the forecasts at some positions, in their order."""
        frame, about = (part.iloc[some].reset_index(drop=True) for part in (self.frame, self.about))
        return replace(self, frame=frame, probabilities=self.probabilities[some], about=about)

    def classes(self, contract: Contract) -> np.ndarray:
        """Return the class index (n,) that each came to be, -1 while that is not known."""
        return target_index(self.frame, contract)

    def settled(self, window: Window) -> "Forecasts":
        """Return those whose grade came in a window."""
        return self.take(np.array([at in window for at in self.about["outcome_at"]], dtype=bool))

    def asked(self, window: Window) -> "Forecasts":
        """Return those that were asked for in a window."""
        return self.take(np.array([at in window for at in self.about["at"]], dtype=bool))

    def whole(self) -> "Forecasts":
        """Return those of the whole period: what had been counted before is not what a model learns from."""
        return self.take((self.about[ELAPSED] >= 1).to_numpy(dtype=bool))

    def is_newest(self) -> np.ndarray:
        """Return which rows (n,) are the newest of their student; those without an id are all."""
        students = self.frame[PSEUDONYM]
        return (students.isna() | ~students.duplicated(keep="last")).to_numpy(dtype=bool)

    def newest(self) -> "Forecasts":
        """Return the newest of each student; of those without an id all."""
        return self.take(self.is_newest())


def read_forecasts(engine: sa.Engine, contract: Contract, until: datetime) -> Forecasts:
    """Read the forecasts of the year before a moment, with the grades that had come by then; no canary's.

    Answers of other classes than the contract's are left out. Raises BadInput for a record that is none of
    this contract.
    """
    labels = set(contract.target.labels)
    rows = [
        row
        for row in read_log(engine, contract.name, since=until - REACH, until=until)
        if row["via"] != CANARY and row["probabilities"].keys() == labels
    ]
    known = [
        row if row["outcome_at"] is None or row["outcome_at"] < until else _unsettled(row) for row in rows
    ]
    return forecasts_of(known, contract)


def forecasts_of(rows: list[dict[str, Any]], contract: Contract) -> Forecasts:
    """Return rows of `read_log` as forecasts."""
    labels = contract.target.labels
    told = ["prediction_id", "at", "model_version", "outcome_at", "via"]
    probabilities = [[row["probabilities"][label] for label in labels] for row in rows]
    about = pd.DataFrame([{name: row[name] for name in told} for row in rows], columns=told, dtype=object)
    ahead = bool(contract.accumulating)
    about[ELAPSED] = [row["record"].get(ELAPSED, 1.0) if ahead else 1.0 for row in rows]
    return Forecasts(
        frame=_frame(rows, contract),
        probabilities=np.array(probabilities, dtype=float).reshape(-1, len(labels)),
        about=about,
    )


def _unsettled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "outcome": None, "outcome_index": None, "score": None, "outcome_at": None}


def _frame(rows: list[dict[str, Any]], contract: Contract) -> pd.DataFrame:
    """Parse the records, and put pseudonym, score and class beside them."""
    asked = [column.name for column in contract.asked]
    raw = pd.DataFrame([row["record"] for row in rows], columns=asked, dtype=object)
    frame = parse(raw, contract, labelled=False, partial=True, file=SOURCE)
    if contract.score is not None:
        frame[contract.score.name] = _numbers(row["score"] for row in rows)
    frame[contract.target.column] = _classes([row["outcome"] for row in rows], contract)
    frame[PSEUDONYM] = pd.Series([row["student"] for row in rows], dtype=object)
    return frame


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _classes(outcomes: list[str | None], contract: Contract) -> "pd.Categorical[Any]":
    place = {label: number for number, label in enumerate(contract.target.labels)}
    codes = [place.get(outcome, -1) if outcome else -1 for outcome in outcomes]
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(contract.target.classes)))


LEVEL = 0.90
EXACT_ROWS = 1_000
"""Up to here counts are told apart; beyond, the normal law is as good."""
MOST_EXACT = 5_000
"""No champion is taken for better calibrated than one of so many rows, as in the relation gates."""


def estimate_accuracy(probabilities: np.ndarray, trained_rows: int) -> Proportion:
    """Estimate the share of right forecasts without any outcome: the mean of the top probabilities.

    The 90 % interval is for the accuracy that these rows will turn out to have. It holds the luck of the
    rows and the champion's calibration error, taken as that of a logistic intercept.

    Args:
        probabilities: of the classes (n, K), n > 0.
        trained_rows: on which that intercept is fitted.
    """
    sure = probabilities.max(axis=1).astype(float)
    low, high = interval_of_share(sure, trained_rows)
    mean = float(sure.mean())  # a share that no whole count of the rows gives may lie beside both ends
    return Proportion(mean, min(low, mean), max(high, mean), len(sure))


def interval_of_share(chances: np.ndarray, trained_rows: int) -> tuple[float, float]:
    """Return the 90 % interval of the share of events that will come, of chances (n,) from 0 to 1."""
    n, rows = len(chances), min(trained_rows, MOST_EXACT)
    if n > EXACT_ROWS:
        widened = float((chances * (1 - chances)).sum()) * (1 + n / rows)
        reach = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(widened) / n
        mean = float(chances.mean())
        return max(mean - reach, 0.0), min(mean + reach, 1.0)
    low, high = closest_interval(count_distribution(chances, shift_sd(chances, rows, parameters=1)))
    return low / n, high / n


RESAMPLES, DRAWS_AT_ONCE = 1_000, 2_000_000


def estimated(asked: Forecasts, trained_rows: int, verdict: str) -> Iterator[Measurement]:
    """Yield the accuracy estimated of the forecasts, without any grade; `verdict` says if to trust it."""
    if len(asked) < LEAST_ROWS:
        yield Measurement("estimated_accuracy", None, len(asked), verdict=TOO_FEW_ROWS)
        return
    found = estimate_accuracy(asked.probabilities, trained_rows)
    yield _with_interval("estimated_accuracy", found, verdict)


def realised(settled: Forecasts, contract: Contract, trained_rows: int) -> Iterator[Measurement]:
    """Yield how good the forecasts turned out to be, and what they themselves had led to expect.

    Log loss in nats; calibration errors as in training. All with 90 % intervals, over the rows.
    """
    settled = settled.take(settled.classes(contract) >= 0)
    names = ("realised_accuracy", "realised_log_loss", "calibration_error", "calibration_error_at_risk")
    if len(settled) < LEAST_ROWS:
        yield from (Measurement(name, None, len(settled), verdict=TOO_FEW_ROWS) for name in names)
        return
    y, shares = settled.classes(contract), settled.probabilities
    losses, n = row_losses(shares, y), len(y)
    yield share_measured("realised_accuracy", shares.argmax(axis=1) == y)
    yield _with_interval("expected_accuracy", estimate_accuracy(shares, trained_rows))
    yield mean_measured("realised_log_loss", losses)
    yield Measurement("expected_log_loss", float(stats.entropy(shares, axis=1).mean()), n)
    yield calibration_measured("calibration_error", *top_label(shares, y))
    target = contract.target
    yield calibration_measured("calibration_error_at_risk", risk_of(shares, target), risky(target)[y])


def by_group(settled: Forecasts, contract: Contract) -> Iterator[Measurement]:
    """Yield the share of wrong classes in each group of the audit columns, of those with rows enough."""
    settled = settled.take(settled.classes(contract) >= 0)
    wrong = settled.probabilities.argmax(axis=1) != settled.classes(contract)
    for column in contract.audited:
        if settled.frame[column.name].notna().sum() == 0:
            continue
        for name, rows in members(settled.frame[column.name], column):
            about, found = f"{column.name}={name}", wrong[rows]
            if len(found) >= ENOUGH:
                yield share_measured("group_error", found, about)
            else:
                yield Measurement("group_error", None, len(found), about=about, verdict=TOO_FEW_ROWS)


def answered(asked: Forecasts, contract: Contract) -> Iterator[Measurement]:
    """Yield the share of each class among the forecasts, their at-risk share, and how many have a grade."""
    n = len(asked)
    if not n:
        return
    top = asked.probabilities.argmax(axis=1)
    for place, label in enumerate(contract.target.labels):
        yield share_measured("class_share", top == place, label)
    yield Measurement("at_risk_share", float(risk_of(asked.probabilities, contract.target).mean()), n)
    yield Measurement("labelled_share", float((asked.classes(contract) >= 0).mean()), n)


def mean_measured(name: str, values: np.ndarray) -> Measurement:
    """Return a mean of two rows and more with its bootstrap interval."""
    at_once = max(1, DRAWS_AT_ONCE // len(values))
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=at_once,
        confidence_level=LEVEL,
        method="percentile",
        rng=0,
    )
    mean, (low, high) = float(values.mean()), found.confidence_interval
    return Measurement(name, mean, len(values), min(float(low), mean), max(float(high), mean))


def calibration_measured(name: str, said: np.ndarray, came: np.ndarray) -> Measurement:
    """Return how far chances (n,) were from how often what they are of came (n,), with its interval."""
    low, high = calibration_interval(said, came, level=100 * LEVEL)
    return Measurement(name, chance_error(said, came), len(said), low, high)


def share_measured(name: str, hits: np.ndarray, about: str = "") -> Measurement:
    """Return a share of true values (n,) with its interval."""
    return _with_interval(name, proportion_ci(hits, LEVEL), about=about)


def _with_interval(name: str, found: Proportion, verdict: str = "", about: str = "") -> Measurement:
    return Measurement(name, found.share, found.n, found.low, found.high, about, verdict)


ENDS = (5.0, 95.0)


def load_challenger(client: MlflowClient, contract: Contract) -> Champion | None:
    """Load the challenger that answers the same records; None where there is none, or it cannot be read."""
    version = version_of_alias(client, contract.model_name, CHALLENGER)
    if version is None:
        return None
    try:
        found = load_version(client, contract.model_name, str(version.version))
    except Stopped:  # nothing depends on it
        return None
    known = {column.name: column.codes for column in contract.asked}
    theirs = found.bundle.contract
    same = all(known.get(column.name) == column.codes for column in theirs.features)
    return found if same and theirs.target.classes == contract.target.classes else None


def compare_shadow(
    asked: Forecasts,
    settled: Forecasts,
    champion: Champion,
    challenger: Champion,
    contract: Contract,
) -> Iterator[Measurement]:
    """Yield how often both forecast the same class, and on students new to both who is nearer the grades.

    `shadow_difference` is the challenger's log loss less the champion's, in nats, by a paired bootstrap.
    """
    if len(asked) >= LEAST_ROWS:
        tops = [_answers(model, asked).argmax(axis=1) for model in (champion, challenger)]
        yield share_measured("shadow_agreement", tops[0] == tops[1], challenger.version)
    students = settled.frame[PSEUDONYM]
    new = ~(champion.has_seen(students) | challenger.has_seen(students))
    both = settled.take(new & (settled.classes(contract) >= 0))
    if len(both) < LEAST_ROWS:
        yield Measurement(
            "shadow_difference", None, len(both), about=challenger.version, verdict=TOO_FEW_ROWS
        )
        return
    y = both.classes(contract)
    losses = [row_losses(_answers(model, both), y) for model in (challenger, champion)]
    gap = paired_bootstrap(losses[0], losses[1], level=ENDS)
    verdict = "better" if gap.high < 0 else "worse" if gap.low > 0 else "no difference"
    yield Measurement("shadow_difference", gap.mean, len(y), gap.low, gap.high, challenger.version, verdict)


def _answers(model: Champion, forecasts: Forecasts) -> np.ndarray:
    return model.bundle.probabilities(matrix(forecasts.frame, model.bundle.contract))
