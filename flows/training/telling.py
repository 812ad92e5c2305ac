"""What people are told of a training: how, of whom, what is never said, what else was as good."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from data.bundle.bundle import TITLES, WORSE, comparison_of, comparison_sentence
from data.bundle.manifest import FamilyName
from flows.training.data import LatentKind, TrainingData, with_head
from flows.training.metrics import best_of_families
from flows.training.ordinal import Head, floor_of
from flows.training.pool import FIRST, Chosen, in_words

WORTH_TELLING = 0.001  # a share of outliers

DESCRIPTIONS: dict[LatentKind, str] = {
    "score": "It was trained on the score, with cut points fitted near the bounds of the classes.",
    "ordinal": "No score to train on: the ordinal objective learned the cut points.",
    "softmax": "The classes have no order: one margin a class, and softmax.",
}


DENSE_ONES: dict[FamilyName, str] = {
    "logistic": "A multinomial logistic regression on standardised features.",
    "linear": "A linear model of the score, on standardised features; cut points were fitted to it.",
    "neural": "A small neural network on standardised features.",
}


def describe_training(family: FamilyName, kind: LatentKind, data: TrainingData) -> str:
    """Say how a model was trained."""
    orderless = (
        " It makes no use of the order of the classes, nor of known directions." if data.ordered else ""
    )
    if family in DENSE_ONES:
        return DENSE_ONES[family] + ("" if family == "linear" else orderless)
    if family == "xgboost":
        return _describe_boosting(kind, data, orderless)
    latent = _describe_boosting(kind, data, orderless)
    if kind == "ordinal":
        latent = "Its latent is the log odds of the first class."
    elif kind == "softmax" and data.ordered:
        latent = f"A margin a class.{orderless}"
    return f"CatBoost, its trees rewritten as XGBoost's. {latent}"


def _describe_boosting(kind: LatentKind, data: TrainingData, orderless: str) -> str:
    if kind == "softmax" and data.ordered:
        return f"One margin a class, and softmax.{orderless}"
    if kind == "ordinal" and data.score is not None:
        return "The ordinal objective learned the cut points; it makes no use of the score."
    return DESCRIPTIONS[kind]


def params_of(members: Sequence[Chosen]) -> dict[str, Any]:
    """Return the parameters of the chosen candidate, or those of a pool's members under their names."""
    if len(members) == 1:
        return dict(members[0].params)
    told = {one.out_of_fold.family: {**one.params, "rounds": one.out_of_fold.rounds} for one in members}
    lines: dict[str, Any] = {
        str(family): ", ".join(f"{k} {v}" for k, v in own.items()) for family, own in told.items()
    }
    return {"pool": in_words(members), **lines}


def kind_of(chosen: Chosen, data: TrainingData) -> LatentKind:
    """Return what a chosen candidate's latent is."""
    return with_head(data, chosen.params).kind if chosen.out_of_fold.cuts.shape[1] else "softmax"


def describe_members(members: Sequence[Chosen], data: TrainingData) -> list[str]:
    """Say how the chosen candidate was trained, or each of those that are pooled and its share."""
    said = [describe_training(one.out_of_fold.family, kind_of(one, data), data) for one in members]
    if len(members) == 1:
        return said
    names = [TITLES[one.out_of_fold.family] for one in members]
    told = [f"{name}: {how}" for name, how in zip(names, said, strict=True)]
    return [f"Pooled, each by its share of the forecast: {in_words(members)}.", *told]


def describe_sample(tuned: int, rows: int) -> list[str]:
    """Say where a sample was searched on."""
    if tuned == rows:
        return []
    return [f"Tuned on a stratified sample of {tuned:,} rows, refitted on all {rows:,}."]


def describe_head(head: Head, shares: np.ndarray, data: TrainingData) -> list[str]:
    """Say what no forecast goes beyond, and which classes are never the likeliest, out of fold (n, K)."""
    floor = floor_of(data.students_in_all, data.classes)
    least = (
        f"No class is given less than {floor:.3%}: {data.students_in_all:,} students support nothing surer."
    )
    said = [least]
    if head.outliers > WORTH_TELLING:
        said.append(
            f"Each forecast allows for {head.outliers:.1%} of the students to end in any class, whatever "
            "their record says."
        )
    named = np.bincount(shares.argmax(axis=1), minlength=data.classes)
    never = [label for label, times in zip(data.labels, named, strict=True) if not times]
    if never:
        said.append(
            f"Never the likeliest class of a student: {', '.join(never)}. It counts in the probabilities and "
            "in the grade sets all the same."
        )
    return said


def describe_search(missing: int, settings: int, budget: float | None) -> tuple[str, ...]:
    """Say where the time was over before all candidates had been tried."""
    if not missing or budget is None:
        return ()
    said = f"The search's budget of {budget:g} s was over: {missing} of {settings} settings of the grid were "
    return (f"{said}not tried, so that another run may choose differently.",)


def describe_leaderboard(leaderboard: pd.DataFrame) -> list[str]:
    """Compare each family's best candidate with XGBoost's, if there are others; name what is not worse."""
    best = best_of_families(leaderboard)
    best = best[best["family"] != "pool"] if len(best) else best
    best = best.assign(model="The best candidate of the family " + best["family"].map(TITLES))
    own = best.loc[best["family"] == FIRST, "cv_log_loss"]
    others = best[best["family"] != FIRST] if len(own) else best[:0]
    sentences = [
        _beside_reference(name, loss, own.iloc[0])
        for name, loss in zip(others["model"], others["cv_log_loss"], strict=True)
    ]
    baselines = leaderboard[leaderboard["family"].isna()]
    return sentences + [
        comparison_sentence(row["model"], row["difference"], row["low"], row["high"])
        for models in (best, baselines)
        for row in models.dropna(subset="low").to_dict("records")
        if comparison_of(row["low"], row["high"]) != WORSE
    ]


def _beside_reference(name: str, loss: float, own: float) -> str:
    side = "below" if loss < own else "above"
    return (
        f"{name} has a cross-validated log loss of {loss:.4f}, {abs(loss - own):.4f} {side} "
        f"XGBoost's best ({own:.4f})."
    )
