"""How good the forecasts were: estimated while no grade has come, realised where it has."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from data.contract import Contract
from data.measurements import Measurement
from flows.gates.findings import LEAST_ROWS, TOO_FEW_ROWS
from flows.monitoring.estimate import LEVEL, Estimate, estimate_accuracy
from flows.monitoring.window import Forecasts
from flows.reports.groups import ENOUGH_ROWS, members
from flows.training.heads import row_losses
from flows.training.metrics import calibration_error

RESAMPLES, ERROR_RESAMPLES, DRAWS_AT_ONCE = 1_000, 200, 2_000_000


def estimated(asked: Forecasts, trained_rows: int, verdict: str) -> Iterator[Measurement]:
    """Yield the accuracy estimated of the forecasts, without any grade; `verdict` says if to trust it."""
    if len(asked) < LEAST_ROWS:
        yield Measurement("estimated_accuracy", None, len(asked), verdict=TOO_FEW_ROWS)
        return
    found = estimate_accuracy(asked.probabilities, trained_rows)
    yield _with_interval("estimated_accuracy", found, verdict)


def realised(settled: Forecasts, contract: Contract, trained_rows: int) -> Iterator[Measurement]:
    """Yield how good the forecasts turned out to be, and what they themselves had led to expect.

    Log loss in nats; calibration error as in training. All with 90 % intervals, over the rows.
    """
    settled = settled.take(settled.classes(contract) >= 0)
    names = ("realised_accuracy", "realised_log_loss", "calibration_error")
    if len(settled) < LEAST_ROWS:
        yield from (Measurement(name, None, len(settled), verdict=TOO_FEW_ROWS) for name in names)
        return
    y, shares = settled.classes(contract), settled.probabilities
    losses, n = row_losses(shares, y), len(y)
    yield _with_interval("realised_accuracy", share_of(shares.argmax(axis=1) == y))
    yield _with_interval("expected_accuracy", estimate_accuracy(shares, trained_rows))
    low, high = _ends_of_mean(losses)
    yield Measurement("realised_log_loss", float(losses.mean()), n, low, high)
    yield Measurement("expected_log_loss", expected_log_loss(shares), n)
    yield _calibration(shares, y)


def by_group(settled: Forecasts, contract: Contract) -> Iterator[Measurement]:
    """Yield the share of wrong classes in each group of the audit columns, of those with rows enough."""
    settled = settled.take(settled.classes(contract) >= 0)
    wrong = settled.probabilities.argmax(axis=1) != settled.classes(contract)
    for column in contract.audited:
        if settled.frame[column.name].notna().sum() == 0:
            continue
        for name, rows in members(settled.frame[column.name], column):
            about, found = f"{column.name}={name}", wrong[rows]
            if len(found) >= ENOUGH_ROWS:
                yield _with_interval("group_error", share_of(found), about=about)
            else:
                yield Measurement("group_error", None, len(found), about=about, verdict=TOO_FEW_ROWS)


def answered(asked: Forecasts, contract: Contract) -> Iterator[Measurement]:
    """Yield the share of each class among the forecasts, their at-risk share, and how many have a grade."""
    n = len(asked)
    if not n:
        return
    top = asked.probabilities.argmax(axis=1)
    for place, label in enumerate(contract.target.labels):
        yield _with_interval("class_share", share_of(top == place), about=label)
    risky = [label in contract.target.at_risk for label in contract.target.labels]
    yield Measurement("at_risk_share", float(asked.probabilities[:, risky].sum(axis=1).mean()), n)
    yield Measurement("labelled_share", float((asked.classes(contract) >= 0).mean()), n)


def expected_log_loss(probabilities: np.ndarray) -> float:
    """Return the mean log loss that probabilities (n, K) lead to expect: their entropy, in nats."""
    return float(stats.entropy(probabilities, axis=1).mean())


def share_of(hits: np.ndarray) -> Estimate:
    """Return the share of true values (n,), n > 0, with its 90 % Wilson interval."""
    ends = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL, method="wilson")
    return Estimate(float(hits.mean()), float(ends.low), float(ends.high), len(hits))


def _ends_of_mean(values: np.ndarray) -> tuple[float, float]:
    """Return the bootstrap interval of a mean."""
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
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _calibration(shares: np.ndarray, y: np.ndarray) -> Measurement:
    def error(rows: np.ndarray) -> float:
        return calibration_error(shares[rows], y[rows])

    rng = np.random.default_rng(0)
    errors = [error(rng.integers(0, len(y), len(y))) for _ in range(ERROR_RESAMPLES)]
    low, high = np.quantile(errors, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measurement("calibration_error", error(np.arange(len(y))), len(y), float(low), float(high))


def _with_interval(name: str, found: Estimate, verdict: str = "", about: str = "") -> Measurement:
    return Measurement(name, found.value, found.rows, found.low, found.high, about, verdict)
