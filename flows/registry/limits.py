"""What a challenger must keep within, however good it is on the whole: groups, time and size."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data.bundle import Bundle
from data.contract import Contract
from flows.registry.promotion import Verdict
from flows.reports.comparison import GROUP
from flows.reports.groups import ENOUGH_ROWS, members
from flows.training.bootstrap import paired_bootstrap

SURE = 0.05
"""Chance of an objection to equals, shared out among all groups (Bonferroni)."""
TIMED_ROWS, WARM_UP = 300, 30
NOBODY_NOTICES = 200e-6
"""Seconds for one record below which a ratio of times objects to nothing: HTTP takes as long."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Objections to a promotion, as parts of a sentence, and the figures they rest on."""

    objections: tuple[str, ...]
    figures: dict[str, float]

    def applied(self, verdict: Verdict) -> Verdict:
        """Return a verdict with these figures, which any objection turns against the challenger."""
        figures = verdict.figures | self.figures
        if not verdict.promoted or not self.objections:
            return Verdict(verdict.promoted, verdict.reason, figures)
        return Verdict(False, f"{'; '.join(self.objections)}; otherwise {verdict.reason}", figures)


def audit_masks(frame: pd.DataFrame, contract: Contract) -> dict[str, np.ndarray]:
    """Return which rows (n,) are in each group of the audit columns, by `column=group`, if rows enough."""
    masks = {
        f"{column.name}={name}": rows
        for column in contract.audited
        for name, rows in members(frame[column.name], column)
    }
    return {name: rows for name, rows in masks.items() if rows.sum() >= ENOUGH_ROWS}


def group_limits(own: np.ndarray, theirs: np.ndarray, masks: Mapping[str, np.ndarray], seed: int) -> Limits:
    """Object to each group that is significantly worse off than under the champion.

    A paired bootstrap of the log loss (n,) within each group: worse when the share of resamples in which
    it is not is below 5 %, shared out among the groups.
    """
    objections, figures = [], {"groups": float(len(masks))}
    for name, rows in masks.items():
        gap = paired_bootstrap(own[rows], theirs[rows], seed=seed)
        figures[f"{GROUP}{name}"] = gap.mean
        if gap.mean > 0 and 1 - gap.above_zero < SURE / len(masks):
            students = int(rows.sum())
            objections.append(
                f"{name} is worse off by {gap.mean:.4f} log loss ({students} held-out students)"
            )
    return Limits(tuple(objections), figures)


def size_limits(folder: Path, megabytes: float) -> Limits:
    """Object to a bundle whose files are larger than so many megabytes together."""
    size = sum(path.stat().st_size for path in folder.iterdir()) / MEGABYTE
    objections = (f"its bundle has {size:.1f} MB, more than {megabytes:g}",) if size > megabytes else ()
    return Limits(objections, {"bundle_megabytes": size})


def latency_limits(
    own: Bundle, theirs: Bundle, rows: np.ndarray, their_rows: np.ndarray, ratio: float
) -> Limits:
    """Object to a model that takes more than `ratio` times the champion's time for one record.

    Both answer the same records in turn, each from its own feature matrix (n, columns).
    """
    mine, champions = np.median(list(_seconds(own, theirs, rows, their_rows)), axis=0).tolist()
    figures = {"latency_us": mine * 1e6, "champion_latency_us": champions * 1e6}
    if mine <= max(ratio * champions, NOBODY_NOTICES):
        return Limits((), figures)
    slower = f"it takes {mine * 1e6:.0f} µs for a record, more than {ratio:g} times the champion's"
    return Limits((f"{slower} {champions * 1e6:.0f} µs",), figures)


def together(*limits: Limits) -> Limits:
    """Return the objections and figures of several."""
    objections = tuple(objection for each in limits for objection in each.objections)
    return Limits(objections, {name: value for each in limits for name, value in each.figures.items()})


def _seconds(
    own: Bundle, theirs: Bundle, rows: np.ndarray, their_rows: np.ndarray
) -> Iterator[tuple[float, float]]:
    """Yield the seconds that both take for one record, in turn: a busy machine slows both."""
    for turn in range(TIMED_ROWS):
        at = turn % len(rows)
        pair = _timed(own, rows[at : at + 1]), _timed(theirs, their_rows[at : at + 1])
        if turn >= WARM_UP:
            yield pair


def _timed(bundle: Bundle, row: np.ndarray) -> float:
    start = time.perf_counter()
    bundle.probabilities(row)
    return time.perf_counter() - start
