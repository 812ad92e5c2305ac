"""The parts of the model card that rest on the test split's figures."""

import numpy as np

from data.card_sentences import risk_errors_sentence
from flows.reports.artifacts import leaderboard_table, metrics_table
from flows.reports.card_fairness import TOO_FEW
from flows.reports.card_json import risk_errors
from flows.reports.evidence import Evidence
from flows.reports.groups import found_and_right, set_coverage
from flows.reports.leaderboard import compared_sentence
from flows.reports.markdown import section, table
from flows.reports.shares import Share, luck_of_calibration
from flows.reports.wording import NOTHING, count, figure, listed, percent, plural, span
from flows.training.conformal import LEVEL
from flows.training.metrics import FEW


def quality(evidence: Evidence) -> str:
    """Give the test figures beside the limit of the data, then the baselines on the same folds."""
    found, right = found_and_right(evidence)
    at_risk = listed(evidence.contract.target.at_risk)
    return section(
        "How good it is",
        f"On {plural(len(evidence.y), 'test student')} whom it had never seen, scored once. "
        "Intervals are 95 % bootstrap intervals over those students; those of calibration errors hold at "
        "least 95 %.",
        metrics_table(evidence),
        _limit(evidence),
        f"At risk means {at_risk}. Of the {plural(found.n, 'student')} who ended at risk, {_told(found)} had "
        f"been called so; of the {count(right.n)} called at risk, {_told(right)} ended so.",
        "### Beside simpler and usual models",
        "Cross-validated on the training split, the same folds for each.",
        leaderboard_table(evidence.leaderboard),
        compared_sentence(evidence.leaderboard),
    )


def _limit(evidence: Evidence) -> str:
    best, own = evidence.bayes or {}, evidence.metrics.get("test_accuracy")
    if "accuracy" not in best or own is None:
        return ""
    return (
        "These students were generated, so the limit of the data is known. The very rule that made them has "
        f"an accuracy of {figure(best['accuracy'])} on them, and no model can be expected to do better. This "
        f"one reaches {percent(own / best['accuracy'], 1)} of it."
    )


def _told(share: Share) -> str:
    if not share.n:
        return NOTHING
    if share.n < FEW:
        return f"{round(share.share * share.n)} ({TOO_FEW} for a share)"
    return f"{percent(share.share)} ({percent(share.low)} to {percent(share.high)})"


def each_class(evidence: Evidence) -> str:
    """Give precision, recall and F1 of each class, where it has rows enough."""
    rows = np.bincount(evidence.y, minlength=len(evidence.contract.target.labels))
    lines = []
    for label, n in zip(evidence.contract.target.labels, rows.tolist(), strict=True):
        figures = [
            figure(evidence.metrics.get(f"test_{name}_{label}")) for name in ("precision", "recall", "f1")
        ]
        lines.append([label, count(n), *(figures if n >= FEW else [TOO_FEW] * 3)])
    return section(
        "Each class",
        table(["Class", "test rows", "precision", "recall", "F1"], lines),
        f"Nothing is said of a class with fewer than {FEW} test rows." if rows.min() < FEW else "",
    )


def calibration(evidence: Evidence) -> str:
    """Say how far the risk, and then the probabilities, can be taken at their word, and where judged."""
    pooled, test = evidence.metrics.get("cv_ece"), evidence.metrics.get("test_ece")
    luck = luck_of_calibration(evidence.probabilities)
    judged = (
        f"**Judged on the pooled out-of-fold forecasts of the training split: {figure(pooled)}.**"
        if pooled is not None
        else "No out-of-fold figure was kept for this model."
    )
    return section(
        "How far the probabilities can be trusted",
        "A calibration error is the mean distance between forecast chances and how often that came "
        "true (10 bins of equal width). 0 is perfect.",
        f"**Being at risk**, which is what is acted on. {risk_errors_sentence(risk_errors(evidence))}",
        "**How sure it was of its likeliest class.**",
        judged,
        f"On the test split it is {figure(test)} ({span(evidence.intervals.get('test_ece'))}). A perfectly "
        f"calibrated model would show about {figure(luck)} on so few students by luck alone.",
    )


def grade_sets(evidence: Evidence) -> str:
    """Give how often the set of plausible classes held the true one, class by class."""
    sizes = np.array([len(members) for members in evidence.sets])
    lines = [
        [label, count(share.n), *_of_share(share, FEW, "")] for label, share in set_coverage(evidence).items()
    ]
    return section(
        "Sets of plausible classes",
        "Beside the one most probable class, each forecast gives the set of classes that are plausible. It "
        f"is built to hold the true one for at least {percent(LEVEL)} of the students of each class.",
        table(["Class", "test rows", "held the truth", "95 % interval"], lines),
        f"A set holds {sizes.mean():.1f} classes on average; {percent((sizes == 1).mean())} of them name one."
        if len(sizes)
        else "",
    )


def _of_share(share: Share, enough: int, otherwise: str) -> list[str]:
    if share.n < enough:
        return [TOO_FEW, otherwise]
    return [percent(share.share), f"{percent(share.low)} to {percent(share.high)}"]
