"""The challenger in the champion's shadow: it is asked what was asked, and both are compared."""

from collections.abc import Iterator

import numpy as np
from mlflow import MlflowClient

from data.columns import PSEUDONYM
from data.contract import Contract
from data.errors import Stopped
from data.frames import matrix
from data.measurements import Measurement
from flows.gates.findings import LEAST_ROWS, TOO_FEW_ROWS
from flows.monitoring.quality import share_of
from flows.monitoring.window import Forecasts
from flows.registry.champion import Champion, load_version
from flows.registry.store import CHALLENGER, version_of_alias
from flows.training.bootstrap import paired_bootstrap
from flows.training.heads import row_losses

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
        found = share_of(tops[0] == tops[1])
        yield Measurement(
            "shadow_agreement", found.value, found.rows, found.low, found.high, challenger.version
        )
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
