"""Whether a challenger becomes champion: better on new students, fair, fast and small enough."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from data.bundle.bundle import Bundle
from data.bundle.card import ENOUGH
from data.contract.contract import Contract
from data.rows.frames import matrix, students_of, target_index
from flows.drift_gate.relation import label_fault, label_noise_losses
from flows.registry.bundling import Submission
from flows.registry.decisions import REPLACES, PromotionVerdict
from flows.registry.store import CHAMPION, Champion, load_champion, load_version, version_named
from flows.reports.artifacts import GROUP
from flows.reports.evidence import members
from flows.training.metrics import paired_bootstrap
from flows.training.ordinal import SMALLEST, row_losses

SURE = 0.05
"""Chance of an objection to equals, shared out among all groups (Bonferroni)."""
TIMED_ROWS, WARM_UP = 300, 30
NOBODY_NOTICES = 200e-6
"""Seconds for one record below which a ratio of times objects to nothing: HTTP takes as long."""
MEGABYTE = 1_000_000


def judge(client: MlflowClient, submission: Submission, version: ModelVersion) -> PromotionVerdict:
    """Compare a submission with the champion on test rows that the champion was not trained on.

    It must beat the class shares there in any case: on random grades it would beat a sound champion.
    """
    champion = champion_to_beat(client, submission.contract.model_name, version)
    test = submission.split("test")
    y = target_index(test, submission.contract)
    own = row_losses(submission.evidence.probabilities, y)
    majority = -np.log(np.maximum(_class_shares(submission), SMALLEST))[y]
    floor = first_champion(own, majority, submission.settings.seed, students_of(test))
    size = size_limits(submission.bundle, submission.settings.bundle_megabytes)
    if champion is not None and champion.bundle.manifest.fingerprint == submission.trained.fingerprint:
        return limited(_again(champion), size)
    if champion is None or not _comparable(champion, submission) or not floor.promoted:
        return limited(floor, size)
    rows = rows_to_compare(champion, submission, test)
    return _compared(submission, champion, test[rows], own[rows], size)


def _compared(
    submission: Submission, champion: Champion, test: pd.DataFrame, own: np.ndarray, size: "Limits"
) -> PromotionVerdict:
    """Judge by the log loss (n,) of the challenger, and what the champion answers, on the rows of both."""
    contract, settings = submission.contract, submission.settings
    y = target_index(test, contract)
    answers = champion.bundle.probabilities(matrix(test, champion.bundle.contract))
    fault = label_fault(answers, y, contract.target)
    if fault:
        return limited(
            PromotionVerdict(False, f"its labels cannot be right: {fault}", {"rows": len(y)}), size
        )
    theirs, students = row_losses(answers, y), students_of(test)
    if submission.must_win:
        verdict = _after_alarm(own, answers, y, settings.promotion_margin, settings.seed, students)
    else:
        new = sum(int((~champion.has_seen(block["pseudonym"])).sum()) for block in submission.blocks("train"))
        verdict = against_champion(
            own,
            theirs,
            margin=settings.promotion_margin,
            new_students=new,
            seed=settings.seed,
            students=students,
        )
    if _students(y, students) < ENOUGH:
        return limited(verdict, size)
    groups = group_limits(own, theirs, audit_masks(test, contract), settings.seed, students)
    bundles = Bundle.load(submission.bundle), champion.bundle
    mine, champions = (matrix(test, bundle.contract) for bundle in bundles)
    latency = latency_limits(*bundles, mine, champions, settings.latency_ratio)
    return limited(verdict, Limits((), {"champion": float(champion.version)}), groups, latency, size)


def champion_to_beat(client: MlflowClient, name: str, version: ModelVersion) -> Champion | None:
    """Load the champion that a version has to beat, or return None where there is none.

    A run that was killed while it promoted may have left the version itself as champion: it has to beat
    the one that it replaced.
    """
    if version_named(client, name, CHAMPION) != str(version.version):
        return load_champion(client, name)
    replaced = version.tags.get(REPLACES)
    return load_version(client, name, replaced) if replaced else None


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


def first_champion(
    losses: np.ndarray, majority: np.ndarray, seed: int, students: np.ndarray | None = None
) -> PromotionVerdict:
    """Judge the first model of its line against the forecast that knows the class shares alone.

    Args:
        losses: the model's log loss of each held-out row (n,), in nats.
        majority: that of the class shares of the training rows, on the same rows (n,).
        seed: of the paired bootstrap.
        students: whose each row is (n,), where one may have several.

    Returns:
        Promoted where the 95 % interval of the mean difference is below 0.
    """
    count = _students(losses, students)
    if count < ENOUGH:
        return _too_few(count)
    figures = _difference(losses, majority, seed, students)
    gain = f"log loss {losses.mean():.3f} against {majority.mean():.3f} of the class shares alone"
    if figures["high"] < 0:
        return PromotionVerdict(True, f"the first champion: {gain}, on {count} held-out students", figures)
    return PromotionVerdict(False, f"no better than the class shares alone: {gain}", figures)


def against_champion(
    challenger: np.ndarray,
    champion: np.ndarray,
    *,
    margin: float,
    new_students: int,
    seed: int,
    students: np.ndarray | None = None,
) -> PromotionVerdict:
    """Judge a challenger against the champion by a paired bootstrap, as a test of non-inferiority.

    Args:
        challenger: its log loss of each held-out row (n,), in nats.
        champion: the champion's on the same rows (n,).
        margin: how much worse, in nats, the upper end of the 95 % interval may be.
        new_students: training rows of the challenger that the champion had not seen.
        seed: of the bootstrap.
        students: whose each row is (n,), where one may have several.

    Returns:
        Promoted when it is not worse by more than the margin, and is better or has learned from new
        students.
    """
    rows = _students(challenger, students)
    if rows < ENOUGH:
        return _too_few(rows)
    gap = _difference(challenger, champion, seed, students)
    figures = gap | {"margin": margin, "new_students": new_students}
    span = f"{gap['difference']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"
    compared = f"log loss {span} against the champion on {rows} held-out students"
    if gap["high"] > margin:
        return PromotionVerdict(False, f"may be worse by more than {margin:g}: {compared}", figures)
    if gap["high"] < 0:
        return PromotionVerdict(True, f"better: {compared}", figures)
    if new_students:
        return PromotionVerdict(
            True, f"not worse, and learned from {new_students} students more: {compared}", figures
        )
    return PromotionVerdict(False, f"not better, and learned from no new student: {compared}", figures)


def _difference(
    own: np.ndarray, theirs: np.ndarray, seed: int, students: np.ndarray | None
) -> dict[str, float]:
    gap = paired_bootstrap(own, theirs, seed=seed, students=students)
    return {"difference": gap.mean, "low": gap.low, "high": gap.high, "rows": len(own)}


def _students(rows: np.ndarray, students: np.ndarray | None) -> int:
    """Return of how many students these rows (n,) are."""
    return len(rows) if students is None else len(np.unique(students))


def _too_few(rows: int) -> PromotionVerdict:
    reason = f"too few held-out students to judge: {rows}, of {ENOUGH} needed"
    return PromotionVerdict(False, reason, {"rows": rows})


def _after_alarm(
    own: np.ndarray,
    answers: np.ndarray,
    y: np.ndarray,
    margin: float,
    seed: int,
    students: np.ndarray | None,
) -> PromotionVerdict:
    """Judge by what was learned of the students: being less sure, as mixed-up grades teach, is not enough.

    New students count for nothing: they are those that raised the alarm.
    """
    theirs, label_noise = label_noise_losses(answers, y)
    verdict = against_champion(own, theirs, margin=margin, new_students=0, seed=seed, students=students)
    reason = f"{verdict.reason}, given a doubt of {label_noise:.0%} that suits these grades"
    return PromotionVerdict(verdict.promoted, reason, verdict.figures | {"doubt": label_noise})


def _again(champion: Champion) -> PromotionVerdict:
    """Promote the champion's own model in a newer bundle: what it forecasts is the same."""
    reason = f"the model of version {champion.version}, with its contract and card as they are now"
    return PromotionVerdict(True, reason, {"champion": float(champion.version)})


def _class_shares(submission: Submission) -> np.ndarray:
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


@dataclass(frozen=True)
class Limits:
    """Objections to a promotion, as parts of a sentence, and the figures they rest on."""

    objections: tuple[str, ...]
    figures: dict[str, float]


def limited(verdict: PromotionVerdict, *limits: Limits) -> PromotionVerdict:
    """Return a verdict with the figures of limits; any objection turns it against the challenger."""
    figures = verdict.figures.copy()
    for each in limits:
        figures |= each.figures
    objections = [objection for each in limits for objection in each.objections]
    if not verdict.promoted or not objections:
        return PromotionVerdict(verdict.promoted, verdict.reason, figures)
    return PromotionVerdict(False, f"{'; '.join(objections)}; otherwise {verdict.reason}", figures)


def audit_masks(frame: pd.DataFrame, contract: Contract) -> dict[str, np.ndarray]:
    """Return which rows (n,) are in each group of the audit columns, by `column=group`, if rows enough."""
    masks = {
        f"{column.name}={name}": rows
        for column in contract.audited
        for name, rows in members(frame[column.name], column)
    }
    return {name: rows for name, rows in masks.items() if rows.sum() >= ENOUGH}


def group_limits(
    own: np.ndarray,
    theirs: np.ndarray,
    masks: Mapping[str, np.ndarray],
    seed: int,
    students: np.ndarray | None = None,
) -> Limits:
    """Object to each group that is significantly worse off than under the champion.

    Args:
        own: the challenger's log loss of each row (n,), in nats.
        theirs: the champion's on the same rows (n,).
        masks: which rows (n,), bool, are in each group.
        seed: of the paired bootstrap within each group.
        students: whose each row is (n,), where one may have several.

    Returns:
        An objection to each group that is worse off on average, where the share of resamples in which it
        is not is below 5 % over the number of groups (Bonferroni); and each group's mean difference.
    """
    objections, figures = [], {"groups": float(len(masks))}
    for name, rows in masks.items():
        whose = None if students is None else students[rows]
        gap = paired_bootstrap(own[rows], theirs[rows], seed=seed, students=whose)
        figures[f"{GROUP}{name}"] = gap.mean
        if gap.mean > 0 and 1 - gap.above_zero < SURE / len(masks):
            count = _students(own[rows], whose)
            objections.append(f"{name} is worse off by {gap.mean:.4f} log loss ({count} held-out students)")
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

    Both answer the same records in turn, for a busy machine slows both, each from its own feature
    matrix (n, columns). The times are medians.
    """
    seconds = np.empty((TIMED_ROWS, 2))
    for turn in range(TIMED_ROWS):
        at = turn % len(rows)
        seconds[turn] = _timed(own, rows[at : at + 1]), _timed(theirs, their_rows[at : at + 1])
    mine, champions = np.median(seconds[WARM_UP:], axis=0).tolist()
    figures = {"latency_us": mine * 1e6, "champion_latency_us": champions * 1e6}
    if mine <= max(ratio * champions, NOBODY_NOTICES):
        return Limits((), figures)
    slower = f"it takes {mine * 1e6:.0f} µs for a record, more than {ratio:g} times the champion's"
    return Limits((f"{slower} {champions * 1e6:.0f} µs",), figures)


def _timed(bundle: Bundle, row: np.ndarray) -> float:
    start = time.perf_counter()
    bundle.probabilities(row)
    return time.perf_counter() - start
