"""Judge a registered version and move the aliases, so that a killed run can be taken up again."""

import json

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from data.frames import matrix, target_index
from flows.registry.champion import Champion, load_champion
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


def judge(client: MlflowClient, submission: Submission) -> Verdict:
    """Compare a submission with the champion on test rows that the champion was not trained on."""
    contract, settings = submission.contract, submission.settings
    champion = load_champion(client, contract.model_name)
    test = submission.split("test")
    y = target_index(test, contract)
    own = row_losses(submission.evidence.probabilities, y)
    if champion is None or not _comparable(champion, submission):
        counts = submission.split("train")[contract.target.column].cat.codes.value_counts()
        shares = counts.reindex(range(len(contract.target.labels)), fill_value=0).to_numpy() / counts.sum()
        return first_champion(own, -np.log(np.maximum(shares, 1e-12))[y], settings.seed)
    unseen = ~champion.has_seen(test["pseudonym"])
    rows = test[unseen]
    theirs = row_losses(champion.bundle.probabilities(matrix(rows, champion.bundle.contract)), y[unseen])
    new_students = int((~champion.has_seen(submission.split("train")["pseudonym"])).sum())
    new_students = 0 if submission.must_win else new_students
    return against_champion(
        own[unseen], theirs, margin=settings.promotion_margin, new_students=new_students, seed=settings.seed
    )


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


def _comparable(champion: Champion, submission: Submission) -> bool:
    """Whether the champion can answer the same records: same classes, no column that is gone."""
    theirs, ours = champion.bundle.contract, submission.contract
    names = {column.name: column.codes for column in ours.asked}
    known = all(names.get(column.name) == column.codes for column in theirs.features)
    return theirs.target.classes == ours.target.classes and known

