"""How good the forecasts are: estimated without grades, measured with them, the challenger in the shadow."""

from collections.abc import Iterator

import numpy as np
from mlflow import MlflowClient
from scipy import stats

from data.bundle.answers import risk_of, risky
from data.bundle.card import ENOUGH
from data.contract.columns import PSEUDONYM
from data.contract.contract import Contract
from data.errors import Stopped
from data.log.reading import Measurement
from data.rows.frames import matrix
from data.statistics import Proportion, closest_interval, count_distribution, proportion_ci, shift_sd
from flows.drift_gate import LEAST_ROWS, TOO_FEW_ROWS
from flows.monitoring.window import Forecasts
from flows.registry.store import CHALLENGER, Champion, load_version, version_of_alias
from flows.reports.evidence import members
from flows.training.metrics import calibration_interval, chance_error, paired_bootstrap, top_label
from flows.training.ordinal import row_losses

LEVEL = 0.90
EXACT_ROWS = 1_000
"""Up to here counts are told apart; beyond, the normal law is as good."""
MOST_EXACT = 5_000
"""No champion is taken for better calibrated than one of so many rows, as in the relation gates."""


def estimate_accuracy(probabilities: np.ndarray, trained_rows: int) -> Proportion:
    """Estimate the share of right forecasts from (n, K) probabilities, n > 0, without any outcome.

    The 90 % interval is for the accuracy that these rows will turn out to have. It holds the luck of the
    rows and the champion's calibration error, taken as that of a logistic intercept fitted on `trained_rows`.
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
    yield _with_interval("realised_accuracy", proportion_ci(shares.argmax(axis=1) == y, LEVEL))
    yield _with_interval("expected_accuracy", estimate_accuracy(shares, trained_rows))
    yield mean_measured("realised_log_loss", losses)
    yield Measurement("expected_log_loss", expected_log_loss(shares), n)
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
                yield _with_interval("group_error", proportion_ci(found, LEVEL), about=about)
            else:
                yield Measurement("group_error", None, len(found), about=about, verdict=TOO_FEW_ROWS)


def answered(asked: Forecasts, contract: Contract) -> Iterator[Measurement]:
    """Yield the share of each class among the forecasts, their at-risk share, and how many have a grade."""
    n = len(asked)
    if not n:
        return
    top = asked.probabilities.argmax(axis=1)
    for place, label in enumerate(contract.target.labels):
        yield _with_interval("class_share", proportion_ci(top == place, LEVEL), about=label)
    yield Measurement("at_risk_share", float(risk_of(asked.probabilities, contract.target).mean()), n)
    yield Measurement("labelled_share", float((asked.classes(contract) >= 0).mean()), n)


def expected_log_loss(probabilities: np.ndarray) -> float:
    """Return the mean log loss that probabilities (n, K) lead to expect: their entropy, in nats."""
    return float(stats.entropy(probabilities, axis=1).mean())


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
    asked: Forecasts, settled: Forecasts, champion: Champion, challenger: Champion, contract: Contract
) -> Iterator[Measurement]:
    """Yield how often both forecast the same class, and on students new to both who is nearer the grades.

    `shadow_difference` is the challenger's log loss less the champion's, in nats, by a paired bootstrap.
    """
    if len(asked) >= LEAST_ROWS:
        tops = [_answers(model, asked).argmax(axis=1) for model in (champion, challenger)]
        found = proportion_ci(tops[0] == tops[1], LEVEL)
        yield Measurement("shadow_agreement", found.share, found.n, found.low, found.high, challenger.version)
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
