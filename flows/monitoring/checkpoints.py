"""Forecasts of many days: each compared with what the champion learned of that time of the year.

What is known of a student grows from day to day, so that a batch of one day differs from a reference of all
days without any drift. A batch between two checkpoints is compared with three references: the rows of the
checkpoint before it, those of the one after it, and both mixed by how near they are. A column has drifted
where it differs from all three, unless its mean is between those of the first two: a count on day 75 may
differ from that on day 60 and from that on day 90.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.log.reading import Measurement
from data.rows.frames import nearest
from flows.drift_gate import DRIFT, PASS, Finding
from flows.drift_gate.samples import Reference
from flows.drift_gate.verdict import DriftVerdict, gate
from flows.monitoring.window import Forecasts, estimated, realised

AT = "at_checkpoint_"
"""Before the name of a measurement of one checkpoint; it is about the day."""
MEASURED = ("estimated_accuracy", "realised_accuracy", "realised_log_loss", "calibration_error_at_risk")


def days_of(frame: pd.DataFrame) -> np.ndarray:
    """Return the day (n,) that each row is of; of one that says none, the median of the others."""
    days = frame[AS_OF].to_numpy(dtype=float)
    known = days[np.isfinite(days)]
    return np.where(np.isfinite(days), days, np.median(known) if len(known) else 0.0)


def newest_by_checkpoint(forecasts: Forecasts, contract: Contract) -> Forecasts:
    """Return the newest forecast of each student and nearest checkpoint; without days, of each student."""
    if contract.dated is None or not len(forecasts):
        return forecasts.newest()
    found = nearest(days_of(forecasts.frame), contract.dated.checkpoints)
    kept = [
        np.flatnonzero(found == day)[forecasts.take(found == day).is_newest()] for day in np.unique(found)
    ]
    return forecasts.take_order(np.sort(np.concatenate(kept)))


def references(reference: Reference, days: np.ndarray, contract: Contract) -> list[Reference]:
    """Return what rows of some days (n,) are compared with: one reference, or three between checkpoints."""
    dated = contract.dated
    if dated is None:
        return [reference]
    at = np.array(dated.checkpoints)
    inside = np.clip(days, at[0], at[-1])
    before = at[np.searchsorted(at, inside, side="right") - 1]
    after = at[np.searchsorted(at, inside, side="left")]
    if (before == after).all():
        return [_with_shares(reference, dict(zip(*_shares(before), strict=True)))]
    late = np.divide(inside - before, after - before, out=np.zeros(len(days)), where=after > before)
    mixed = _shares(np.concatenate([before, after]), np.concatenate([1 - late, late]))
    each = (_shares(before), _shares(after), mixed)
    return [_with_shares(reference, dict(zip(*found, strict=True))) for found in each]


def _shares(days: np.ndarray, weights: np.ndarray | None = None) -> tuple[list[int], list[float]]:
    names, place = np.unique(days, return_inverse=True)
    found = np.bincount(place, weights)
    return names.tolist(), (found / found.sum()).tolist()


def _with_shares(reference: Reference, shares: dict[int, float]) -> Reference:
    """Return as many rows as there are whose days have these shares, drawn in their order."""
    days, rng = days_of(reference.sample), np.random.default_rng(0)
    rows = {day: np.flatnonzero(days == day) for day, share in shares.items() if share > 0}
    most = min((len(found) / shares[day] for day, found in rows.items()), default=0.0)
    drawn = [rng.choice(found, round(most * shares[day]), replace=False) for day, found in rows.items()]
    return Reference(
        reference.sample.iloc[np.sort(np.concatenate(drawn)).astype(int)], reference.trained_rows
    )


def without_day(contract: Contract) -> Contract:
    """Return a contract without its day, which is the calendar's and cannot drift."""
    kept = {name: column for name, column in contract.columns.items() if name != AS_OF}
    return contract.model_copy(update={"columns": kept}) if contract.dated else contract


def judge_columns(
    frame: pd.DataFrame, bad: pd.DataFrame, against: Sequence[Reference], contract: Contract
) -> DriftVerdict:
    """Judge what was asked against each of its references; a column has drifted that did against all."""
    timeless = without_day(contract)
    found = [gate(frame, bad, reference, None, None, timeless) for reference in against]
    first = found[0]
    if len(found) == 1 or not all(each.columns for each in found):
        return next((each for each in found if not each.columns), first)
    numbers = [column.name for column in timeless.asked if not column.coded and column.name in frame]
    means = {name: [frame[name].mean(), *(one.sample[name].mean() for one in against)] for name in numbers}
    columns = tuple(
        mildest(each, means.get(each[0].name)) for each in zip(*(one.columns for one in found), strict=True)
    )
    reasons = tuple(each.sentence for each in columns if each.verdict == DRIFT)
    return first.model_copy(
        update={"overall": DRIFT if reasons else PASS, "columns": columns, "reasons": reasons}
    )


def mildest(found: Sequence[Finding], means: Sequence[float] | None = None) -> Finding:
    """Return what is found of a column; `means` are those now, at the checkpoint before and at that after."""
    mild = next((each for each in found if each.verdict != DRIFT), None)
    if mild is None and means is not None and len(means) > 2 and between(*means[:3]):
        words = f"mean {means[0]:.3g}, between {means[1]:.3g} and {means[2]:.3g} of the checkpoints beside it"
        mild = found[-1].model_copy(update={"verdict": PASS, "words": words})
    return mild or found[-1]


def between(now: float, before: float, after: float) -> bool:
    """Tell whether a number is between two others, or is one of them."""
    return bool(min(before, after) <= now <= max(before, after))


def by_checkpoint(
    asked: Forecasts, settled: Forecasts, contract: Contract, trained: int, trust: str
) -> Iterator[Measurement]:
    """Yield the estimated and the realised quality at each checkpoint that a forecast is nearest to.

    The newest forecast of each student and checkpoint counts: the rows of one figure are of as many students.
    """
    if contract.dated is None:
        return
    for day in contract.dated.checkpoints:
        ours, graded = (
            found.take(nearest(days_of(found.frame), contract.dated.checkpoints) == day).newest()
            for found in (asked, settled)
        )
        figures = [
            *(estimated(ours, trained, trust) if len(ours) else ()),
            *(realised(graded, contract, trained) if len(graded) else ()),
        ]
        for figure in figures:
            if figure.name in MEASURED:
                yield figure._replace(name=f"{AT}{figure.name}", about=str(day))
