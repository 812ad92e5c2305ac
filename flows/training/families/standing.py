"""Where each family stands: its best candidate beside the chosen one, and beside XGBoost's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from data.manifest import FamilyName
from data.model_words import TITLES, WORSE, standing_of, standing_sentence
from flows.training.bootstrap import beside_chosen
from flows.training.curves import FitResult, OutOfFold

REFERENCE: FamilyName = "xgboost"


def candidate_rows(results: Sequence[FitResult], best: OutOfFold, y: np.ndarray) -> list[dict[str, Any]]:
    """Return all candidates as rows of the leaderboard.

    The best of each family but the chosen one's has its difference to the chosen one; other rows have none.
    """
    chosen = best.probabilities()
    leaders: dict[str, FitResult] = {}
    for result in sorted(results, key=lambda one: one.best.log_loss, reverse=True):
        leaders[result.best.family] = result
    leaders.pop(best.family, None)
    rows = []
    for result in results:
        leads = leaders.get(result.best.family) is result
        top = min(result.rows, key=lambda row: row["cv_log_loss"]) if leads else None
        beside = beside_chosen(result.best.probabilities(), chosen, y) if leads else {}
        rows += [{**row, **beside} if row is top else row for row in result.rows]
    return rows


def best_of_families(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each family's best candidate, lowest log loss first."""
    if "family" not in leaderboard:
        return leaderboard[:0]
    candidates = leaderboard.dropna(subset="family").sort_values("cv_log_loss", kind="stable")
    return candidates.drop_duplicates("family")


def compared(leaderboard: pd.DataFrame) -> list[str]:
    """Say by how much each family's best candidate is better or worse than XGBoost's, if there are others."""
    best = best_of_families(leaderboard).set_index("family")
    others = best.drop(REFERENCE, errors="ignore")
    said = []
    if REFERENCE in best.index:
        own = best["cv_log_loss"][REFERENCE]
        said += [_beside(name, loss, own) for name, loss in others["cv_log_loss"].items()]
    return said + not_worse(best.rename(index=lambda name: f"The {_of(name)}"))


def not_worse(rivals: pd.DataFrame) -> list[str]:
    """Say of each model (by the index) that is not worse than the chosen one what it is beside it."""
    if "low" not in rivals:
        return []
    return [
        standing_sentence(str(name), row["difference"], row["low"], row["high"])
        for name, row in rivals.dropna(subset=["low"]).iterrows()
        if standing_of(row["low"], row["high"]) != WORSE
    ]


def _beside(family: Any, loss: float, own: float) -> str:
    side = "below" if loss < own else "above"
    return (
        f"The {_of(family)} has a cross-validated log loss of {loss:.4f}, {abs(loss - own):.4f} {side} "
        f"XGBoost's best ({own:.4f})."
    )


def _of(family: Any) -> str:
    return f"best candidate of the family {TITLES[family]}"
