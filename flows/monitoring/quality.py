"""How good the forecasts were: estimated while no grade has come, realised where it has."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from data.contract import Contract
from data.measurements import Measurement
from flows.gates.findings import LEAST_ROWS, TOO_FEW_ROWS
from flows.monitoring.estimate import LEVEL, Estimate, estimate_accuracy
from flows.monitoring.window import Forecasts
from flows.reports.groups import ENOUGH_ROWS, members, risk_of, risky
from flows.training.bootstrap import calibration_interval
from flows.training.heads import row_losses
from flows.training.metrics import chance_error, of_likeliest

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
    yield _with_interval("realised_accuracy", share_of(shares.argmax(axis=1) == y))
    yield _with_interval("expected_accuracy", estimate_accuracy(shares, trained_rows))
    yield mean_measured("realised_log_loss", losses)
    yield Measurement("expected_log_loss", expected_log_loss(shares), n)
    yield calibration_measured("calibration_error", *of_likeliest(shares, y))
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


def _with_interval(name: str, found: Estimate, verdict: str = "", about: str = "") -> Measurement:
    return Measurement(name, found.value, found.rows, found.low, found.high, about, verdict)
