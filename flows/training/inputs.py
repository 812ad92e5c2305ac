"""From a clean frame and its contract to what the training core is given."""

import pandas as pd

from data.contract import Contract
from data.features import feature_space
from data.frames import matrix, target_index
from flows.training.data import TrainingData


def training_data(frame: pd.DataFrame, contract: Contract) -> TrainingData:
    """Return a clean, labelled frame as arrays.

    The score is there only if the contract lets it be trained on and no row lacks it.
    """
    space, target, score = feature_space(contract), contract.target, contract.score
    if score is not None and not (target.train_on_score and frame[score.name].notna().all()):
        score = None
    thumb = contract.rule_of_thumb
    return TrainingData(
        X=matrix(frame, contract),
        y=target_index(frame, contract),
        score=None if score is None else frame[score.name].to_numpy(),
        names=space.names,
        monotone=space.monotone,
        groups=space.groups,
        labels=target.labels,
        ordered=target.ordered,
        bounds=target.bounds,
        rule_of_thumb=space.columns.index(thumb) if thumb else None,
    )
