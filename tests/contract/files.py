"""Four students in a file, and what is said of a file that cannot be read."""

from pathlib import Path

import pandas as pd
import pytest

from data.contract import Contract
from data.errors import BadInput
from data.frames import parse
from data.sources import read_records
from tests.contract.tiny import students

ROWS = students(
    4, Hours=[0.1, 4.5, 12.25, 20.0], Job=["shop", "Farm", "other", "zoo"], Sleep=[7.5, None, 8, 9.1]
)
TEXT = ROWS.to_csv(index=False)
LINES = TEXT.splitlines()


def read(path: Path, content: str | bytes, contract: Contract) -> pd.DataFrame:
    """Write a file, read its records and parse them."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    records = read_records(str(path), contract)
    return parse(records.frame, contract, file=records.uri)


def refusal_of(path: Path, content: str | bytes, contract: Contract) -> str:
    """Return what is said of a file that cannot be read, without the folder that it is in."""
    with pytest.raises(BadInput) as refusal:
        read(path, content, contract)
    return str(refusal.value).replace(f"{path.parent}/", "")
