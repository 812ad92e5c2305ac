"""What each feature of parsed rows tells of the class alone; of dated records, on each day by itself."""

from dataclasses import replace

import pandas as pd

from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.contract.leakage import LeakageScore, leakage_score
from data.rows.frames import matrix, target_index
from data.rows.records import feature_space


def each_alone(frame: pd.DataFrame, contract: Contract) -> list[LeakageScore]:
    """Measure each feature, the most telling first; of clean, labelled rows, each of a student."""
    features, y, space = matrix(frame, contract), target_index(frame, contract), feature_space(contract)
    found = [
        leakage_score(name, features[:, list(places)], y, contract.target.labels)
        for name, places in zip(space.columns, space.groups, strict=True)
    ]
    return sorted(found, key=lambda score: -score.explained)


def leakage_by_day(frame: pd.DataFrame, contract: Contract) -> list[LeakageScore]:
    """Measure each feature of snapshots on the day on which it tells most, the most telling first.

    A student is there once on a day, so that no tree is judged on rows of a student that it was fitted to;
    and what is known too early is not lost among the days on which it may be known.
    """
    found: dict[str, LeakageScore] = {}
    for day, rows in frame.groupby(AS_OF):
        for score in each_alone(rows, contract):
            told = replace(score, day=int(str(day).removesuffix(".0")))
            best = found.get(score.column)
            if best is None or _told(score) > _told(best):
                found[score.column] = told
    return sorted(found.values(), key=lambda score: -score.explained)


def _told(score: LeakageScore) -> tuple[bool, float]:
    return score.gives_away, score.explained
