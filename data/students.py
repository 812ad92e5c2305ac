"""The pseudonyms of a frame's students, and the split that each one is in for ever."""

import re

import numpy as np
import pandas as pd

from data.cells import to_ids
from data.contract import Contract
from data.ids import canonical_text, pseudonym_maker, record_id, split_position

NAMES = re.compile(
    r"^(?:id|uuid)$|(?:student|pupil|learner|person|matriculation)[\w\s-]*(?:id|code|key|nr|no|number|uuid)$"
    r"|^(?:student|pupil|learner)$",
    re.IGNORECASE,
)
"""Names of columns that say who a student is."""
FEW = 7
"""Different values up to which a column of such a name may say something else: yes and no, or a level."""
ONE_ROW = "rows of one student may not stand on both sides of the split: keep one row of each"


def names_students(name: str) -> bool:
    """Tell whether a column's name says that it holds who a student is."""
    return NAMES.search(name.strip()) is not None


def count_again(cells: pd.Series) -> int:
    """Count the rows whose student has an earlier row, by raw cells of a column; 0 where it is a code."""
    ids = to_ids(cells, whole=False).dropna()
    return int(ids.duplicated().sum()) if ids.nunique() > FEW else 0


def pseudonyms(frame: pd.DataFrame, contract: Contract, key: str) -> np.ndarray:
    """Return each row's pseudonym (text); a row whose id is missing has an empty one."""
    make = pseudonym_maker(key)
    return np.array([make(student) if student else "" for student in student_ids(frame, contract)], object)


def student_ids(frame: pd.DataFrame, contract: Contract) -> list[str]:
    """Return each row's id: the contract's, or the SHA-256 of the canonical row where it has none.

    An audit column that a roster does not have is that of empty cells.
    """
    if contract.id is not None:
        return ["" if value is None else value for value in frame[contract.id.name]]
    nothing = pd.Series(None, frame.index, dtype=object)
    asked = [frame.get(column.name, nothing).astype(object) for column in contract.asked]
    columns = [[canonical_text(value) for value in cells] for cells in asked]
    return [record_id(list(values)) for values in zip(*columns, strict=True)]


def splits(pseudonyms_: np.ndarray, test_share: float) -> np.ndarray:
    """Return "train" or "test" for each pseudonym, by its hash alone."""
    positions = np.array([split_position(text) if text else 0.0 for text in pseudonyms_])
    return np.where(positions < test_share, "test", "train")
