"""Records read as the pipeline reads them, and four students in a file."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from data.cohorts.addresses import CohortPlan
from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.frames import parse
from data.sources.reading import open_chunks
from data.sources.storage import appended, stored_table
from tests.contract.tiny import students

ROWS = students(
    4, Hours=[0.1, 4.5, 12.25, 20.0], Job=["shop", "Farm", "other", "zoo"], Sleep=[7.5, None, 8, 9.1]
)
TEXT = ROWS.to_csv(index=False)
LINES = TEXT.splitlines()


@dataclass(frozen=True)
class Records:
    """All chunks of a source as one frame, and where it came from."""

    frame: pd.DataFrame
    uri: str
    sha256: str
    undeclared: tuple[str, ...]
    generated: CohortPlan | None


def read_records(uri: str, contract: Contract) -> Records:
    """Read all chunks of a source, by the way that the pipeline takes."""
    with open_chunks(uri, contract) as chunks:
        frame = pd.concat(chunks.read(), ignore_index=True)
        return Records(frame, chunks.uri, chunks.sha256, chunks.undeclared, chunks.generated)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a parsed frame as the pipeline does."""
    with appended(path) as append:
        append(stored_table(frame))


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
