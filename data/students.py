"""The pseudonyms of a frame's students, and the split that each one is in for ever."""

import numpy as np
import pandas as pd

from data.contract import Contract
from data.ids import canonical_text, pseudonym_maker, record_id, split_position


def pseudonyms(frame: pd.DataFrame, contract: Contract, key: str) -> np.ndarray:
    """Return each row's pseudonym (text); a row whose id is missing has an empty one."""
    make = pseudonym_maker(key)
    return np.array([make(student) if student else "" for student in student_ids(frame, contract)], object)


def student_ids(frame: pd.DataFrame, contract: Contract) -> list[str]:
    """Return each row's id: the contract's, or the SHA-256 of the canonical row where it has none."""
    if contract.id is not None:
        return ["" if value is None else value for value in frame[contract.id.name]]
    columns = [
        [canonical_text(value) for value in frame[column.name].astype(object)] for column in contract.asked
    ]
    return [record_id(list(values)) for values in zip(*columns, strict=True)]


def splits(pseudonyms_: np.ndarray, test_share: float) -> np.ndarray:
    """Return "train" or "test" for each pseudonym, by its hash alone."""
    positions = np.array([split_position(text) if text else 0.0 for text in pseudonyms_])
    return np.where(positions < test_share, "test", "train")
