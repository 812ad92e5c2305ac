"""Decide whether a challenger becomes the champion, on rows that neither was trained on."""

from dataclasses import dataclass

import numpy as np

from flows.training.bootstrap import Difference, paired_bootstrap

ENOUGH_ROWS = 30


@dataclass(frozen=True)
class Verdict:
    """Whether to promote, why in one sentence, and the figures it rests on."""

    promoted: bool
    reason: str
    figures: dict[str, float]


def first_champion(losses: np.ndarray, majority: np.ndarray, seed: int) -> Verdict:
    """Judge the first model of its line against the forecast that knows the class shares alone.

    Both arguments are the log loss of each held-out row (n,).
    """
    if len(losses) < ENOUGH_ROWS:
        return _too_few(len(losses))
    difference = paired_bootstrap(losses, majority, seed=seed)
    figures = {
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "rows": len(losses),
    }
    gain = f"log loss {losses.mean():.3f} against {majority.mean():.3f} of the class shares alone"
    if difference.high < 0:
        return Verdict(True, f"the first champion: {gain}, on {len(losses)} held-out students", figures)
    return Verdict(False, f"no better than the class shares alone: {gain}", figures)


def against_champion(
    challenger: np.ndarray, champion: np.ndarray, *, margin: float, new_students: int, seed: int
) -> Verdict:
    """Judge a challenger against the champion by a paired bootstrap of log loss on the same rows (n,).

    Promoted when it is not worse by more than `margin`, and is better or has learned from students
    whom the champion had not seen.
    """
    if len(challenger) < ENOUGH_ROWS:
        return _too_few(len(challenger))
    gap = paired_bootstrap(challenger, champion, seed=seed)
    rows = len(challenger)
    figures = _figures(gap, rows) | {"margin": margin, "new_students": new_students}
    span = f"{gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
    compared = f"log loss {span} against the champion on {rows} held-out students"
    if gap.high > margin:
        return Verdict(False, f"may be worse by more than {margin:g}: {compared}", figures)
    if gap.high < 0:
        return Verdict(True, f"better: {compared}", figures)
    if new_students:
        return Verdict(True, f"not worse, and learned from {new_students} students more: {compared}", figures)
    return Verdict(False, f"not better, and learned from no new student: {compared}", figures)


def _figures(gap: Difference, rows: int) -> dict[str, float]:
    return {"difference": gap.mean, "low": gap.low, "high": gap.high, "rows": rows}


def _too_few(rows: int) -> Verdict:
    reason = f"too few held-out students to judge: {rows}, of {ENOUGH_ROWS} needed"
    return Verdict(False, reason, {"rows": rows})
