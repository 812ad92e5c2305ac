"""Whether a challenger becomes champion: better on new students, fair, fast and small enough."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from data.bundle.bundle import Bundle
from data.bundle.card import ENOUGH
from data.contract.contract import Contract
from data.rows.frames import matrix, target_index
from flows.drift_gate.labels import doubting_losses, label_fault
from flows.registry.bundling import Submission
from flows.registry.decisions import REPLACES
from flows.registry.store import CHAMPION, Champion, load_champion, load_version, version_of_alias
from flows.reports.evidence import members
from flows.reports.screen import GROUP
from flows.training.ordinal import row_losses
from flows.training.uncertainty import Difference, paired_bootstrap


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
    if len(losses) < ENOUGH:
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
    if len(challenger) < ENOUGH:
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
    reason = f"too few held-out students to judge: {rows}, of {ENOUGH} needed"
    return Verdict(False, reason, {"rows": rows})


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
    return {name: rows for name, rows in masks.items() if rows.sum() >= ENOUGH}


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


def judge(client: MlflowClient, submission: Submission, version: ModelVersion) -> Verdict:
    """Compare a submission with the champion on test rows that the champion was not trained on.

    It must beat the class shares there in any case: on random grades it would beat a sound champion.
    """
    champion = rival(client, submission.contract.model_name, version)
    test = submission.split("test")
    y = target_index(test, submission.contract)
    own = row_losses(submission.evidence.probabilities, y)
    seed = submission.settings.seed
    floor = first_champion(own, -np.log(np.maximum(_shares(submission), 1e-12))[y], seed)
    size = size_limits(submission.bundle, submission.settings.bundle_megabytes)
    if champion is not None and champion.bundle.manifest.fingerprint == submission.trained.fingerprint:
        return size.applied(_again(champion))
    if champion is None or not _comparable(champion, submission) or not floor.promoted:
        return size.applied(floor)
    rows = rows_to_compare(champion, submission, test)
    answers = champion.bundle.probabilities(matrix(test[rows], champion.bundle.contract))
    fault = label_fault(answers, y[rows], submission.contract.target)
    if fault:
        return size.applied(Verdict(False, f"its labels cannot be right: {fault}", {"rows": int(rows.sum())}))
    theirs = row_losses(answers, y[rows])
    margin = submission.settings.promotion_margin
    if submission.must_win:
        verdict = _after_alarm(own[rows], answers, y[rows], margin, seed)
    else:
        new = sum(int((~champion.has_seen(block["pseudonym"])).sum()) for block in submission.blocks("train"))
        verdict = against_champion(own[rows], theirs, margin=margin, new_students=new, seed=seed)
    if len(theirs) < ENOUGH:
        return size.applied(verdict)
    groups = group_limits(own[rows], theirs, audit_masks(test[rows], submission.contract), seed)
    rival_ = Limits((), {"champion": float(champion.version)})
    return together(rival_, groups, _latency(champion, submission, test[rows]), size).applied(verdict)


def _again(champion: Champion) -> Verdict:
    """Promote the champion's own model in a newer bundle: what it forecasts is the same."""
    reason = f"the model of version {champion.version}, with its contract and card as they are now"
    return Verdict(True, reason, {"champion": float(champion.version)})


def rows_to_compare(champion: Champion, submission: Submission, test: pd.DataFrame) -> np.ndarray:
    """Tell which test rows (n,) to compare on: those whose students the champion was not trained on.

    After a drift alarm those alone that it never met, for it is their batch that raised the alarm; with
    too few of them, all the others too: the challenger must win in either case.
    """
    unseen = ~champion.has_seen(test["pseudonym"])
    if not submission.must_win:
        return unseen
    batch = unseen & ~champion.lineage.has_met(test, submission.contract)
    return batch if batch.sum() >= ENOUGH else unseen


def _after_alarm(own: np.ndarray, answers: np.ndarray, y: np.ndarray, margin: float, seed: int) -> Verdict:
    """Judge by what was learned of the students: being less sure, as mixed-up grades teach, is not enough.

    New students count for nothing: they are those that raised the alarm.
    """
    theirs, doubt = doubting_losses(answers, y)
    verdict = against_champion(own, theirs, margin=margin, new_students=0, seed=seed)
    reason = f"{verdict.reason}, given a doubt of {doubt:.0%} that suits these grades"
    return Verdict(verdict.promoted, reason, verdict.figures | {"doubt": doubt})


def _latency(champion: Champion, submission: Submission, rows: pd.DataFrame) -> Limits:
    own, theirs = Bundle.load(submission.bundle), champion.bundle
    mine, champions = matrix(rows, own.contract), matrix(rows, theirs.contract)
    return latency_limits(own, theirs, mine, champions, submission.settings.latency_ratio)


def rival(client: MlflowClient, name: str, version: ModelVersion) -> Champion | None:
    """Load the champion that a version has to beat, or return None where there is none.

    A run that was killed while it promoted may have left the version itself as champion: its rival is
    the one that it replaced.
    """
    champion = version_of_alias(client, name, CHAMPION)
    if champion is None or str(champion.version) != str(version.version):
        return load_champion(client, name)
    replaced = version.tags.get(REPLACES)
    return load_version(client, name, replaced) if replaced else None


def _shares(submission: Submission) -> np.ndarray:
    """Return the share of each class among the training rows (K,)."""
    contract, classes = submission.contract, len(submission.contract.target.labels)
    blocks = submission.blocks("train")
    counts = sum(np.bincount(target_index(block, contract), minlength=classes) for block in blocks)
    return np.asarray(counts) / np.sum(counts)


def _comparable(champion: Champion, submission: Submission) -> bool:
    """Whether the champion can answer the same records: same classes, no column that is gone."""
    theirs, ours = champion.bundle.contract, submission.contract
    names = {column.name: column.codes for column in ours.asked}
    known = all(names.get(column.name) == column.codes for column in theirs.features)
    return theirs.target.classes == ours.target.classes and known
