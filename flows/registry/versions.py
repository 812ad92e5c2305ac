"""Judge a registered version and move the aliases, so that a killed run can be taken up again."""

import json

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from data.frames import matrix, target_index
from flows.registry.champion import Champion, load_champion, load_version
from flows.registry.promotion import Verdict, against_champion, first_champion
from flows.registry.store import CHALLENGER, CHAMPION, PREVIOUS, move_alias, version_of_alias
from flows.registry.submission import Submission
from flows.training.heads import row_losses


def recorded_verdict(version: ModelVersion) -> Verdict | None:
    """Return the verdict that was recorded on a version, or None when it was never judged."""
    tags = version.tags
    if "reason" not in tags:
        return None
    return Verdict(tags["promoted"] == "true", tags["reason"], json.loads(tags["figures"]))


def as_of_now(client: MlflowClient, name: str, version: str, verdict: Verdict) -> Verdict:
    """Return a verdict as it still holds: a version that was promoted may have been replaced since."""
    champion = version_of_alias(client, name, CHAMPION)
    if not verdict.promoted or champion is None or str(champion.version) == version:
        return verdict
    reason = f"it was champion once, and version {champion.version} has replaced it"
    return Verdict(False, reason, verdict.figures)


def judge(client: MlflowClient, submission: Submission, version: ModelVersion) -> Verdict:
    """Compare a submission with the champion on test rows that the champion was not trained on.

    It must beat the class shares there in any case: on random grades it would beat a sound champion.
    """
    contract, settings = submission.contract, submission.settings
    champion = rival(client, contract.model_name, version)
    test = submission.split("test")
    y = target_index(test, contract)
    own = row_losses(submission.evidence.probabilities, y)
    floor = first_champion(own, -np.log(np.maximum(_shares(submission), 1e-12))[y], settings.seed)
    if champion is None or not _comparable(champion, submission) or not floor.promoted:
        return floor
    unseen = ~champion.has_seen(test["pseudonym"])
    rows = test[unseen]
    theirs = row_losses(champion.bundle.probabilities(matrix(rows, champion.bundle.contract)), y[unseen])
    new_students = int((~champion.has_seen(submission.split("train")["pseudonym"])).sum())
    new_students = 0 if submission.must_win else new_students
    return against_champion(
        own[unseen], theirs, margin=settings.promotion_margin, new_students=new_students, seed=settings.seed
    )


def rival(client: MlflowClient, name: str, version: ModelVersion) -> Champion | None:
    """Load the champion that a version has to beat, or return None where there is none.

    A run that was killed while it promoted may have left the version itself as champion: its rival is
    the one that it replaced.
    """
    champion = version_of_alias(client, name, CHAMPION)
    if champion is None or str(champion.version) != str(version.version):
        return load_champion(client, name)
    replaced = version.tags.get("replaces")
    return load_version(client, name, replaced) if replaced else None


def settle(client: MlflowClient, name: str, version: str, verdict: Verdict) -> None:
    """Move the aliases by a verdict, then record it on the version.

    In an order that a kill cannot spoil: the champion moves in one step, and the verdict is written
    last, so that a version without one is judged again.
    """
    if verdict.promoted:
        former = version_of_alias(client, name, CHAMPION)
        if former is not None and str(former.version) != version:
            client.set_model_version_tag(name, version, "replaces", str(former.version))
            move_alias(client, name, PREVIOUS, str(former.version))
        move_alias(client, name, CHAMPION, version)
        challenger = version_of_alias(client, name, CHALLENGER)
        if challenger is not None and str(challenger.version) == version:
            move_alias(client, name, CHALLENGER, None)
    else:
        move_alias(client, name, CHALLENGER, version)
    tags = {"promoted": str(verdict.promoted).lower(), "figures": json.dumps(verdict.figures)}
    for key, value in {**tags, "reason": verdict.reason}.items():
        client.set_model_version_tag(name, version, key, value)
    client.update_model_version(name, version, description=verdict.reason)


def _shares(submission: Submission) -> np.ndarray:
    """Return the share of each class among the training rows (K,)."""
    classes = target_index(submission.split("train"), submission.contract)
    return np.bincount(classes, minlength=len(submission.contract.target.labels)) / len(classes)


def _comparable(champion: Champion, submission: Submission) -> bool:
    """Whether the champion can answer the same records: same classes, no column that is gone."""
    theirs, ours = champion.bundle.contract, submission.contract
    names = {column.name: column.codes for column in ours.asked}
    known = all(names.get(column.name) == column.codes for column in theirs.features)
    return theirs.target.classes == ours.target.classes and known
