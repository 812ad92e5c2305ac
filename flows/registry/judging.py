"""Judge a registered version against the champion, on held-out rows that neither was trained on."""

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from data.bundle import Bundle
from data.frames import matrix, target_index
from flows.gates.labels import doubting_losses, label_fault
from flows.registry.champion import Champion, load_champion, load_version
from flows.registry.decisions import REPLACES
from flows.registry.limits import (
    Limits,
    audit_masks,
    group_limits,
    latency_limits,
    size_limits,
    together,
)
from flows.registry.promotion import ENOUGH_ROWS, Verdict, against_champion, first_champion
from flows.registry.store import CHAMPION, version_of_alias
from flows.registry.submission import Submission
from flows.training.heads import row_losses


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
    if len(theirs) < ENOUGH_ROWS:
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
    return batch if batch.sum() >= ENOUGH_ROWS else unseen


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
