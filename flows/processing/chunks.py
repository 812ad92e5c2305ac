"""One chunk of records examined: parsed, judged, split."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from data.contract.columns import PSEUDONYM
from data.contract.contract import Contract
from data.rows.frames import parse, pseudonyms, splits
from data.rows.quarantine import quarantine, reasons_by_row
from data.rows.spreadsheets import FIRST_ROW
from data.sources.storage import stored_table


@dataclass(frozen=True)
class Terms:
    """What all chunks of a source are examined by: `source` is told to people, `key` hashes the ids."""

    contract: Contract
    source: str
    key: str
    test_share: float


class Piece(NamedTuple):
    """A chunk that was examined: the position of its first row in the source, rows as they are stored.

    faults: what is wrong with them, each row as the source counts it.
    """

    first: int
    table: pa.Table
    faults: pd.DataFrame


def counted(frames: Iterable[pd.DataFrame]) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each chunk with the position in the source of its first row."""
    first = 0
    for frame in frames:
        yield first, frame
        first += len(frame)


def examine_rows(raw: pd.DataFrame, first: int, terms: Terms) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows as parsed, with pseudonym, split and reasons of quarantine; and the table of faults.

    `first` is the position in the source of the first row: the index goes on from there.
    """
    contract = terms.contract
    given = raw.get(PSEUDONYM)  # of rows of the log, which have no ids
    row = first + FIRST_ROW
    frame = parse(raw, contract, file=terms.source, partial=given is not None, first_row=row)
    frame = frame if given is None else frame.assign(**{PSEUDONYM: given.to_numpy()})
    frame.index = pd.RangeIndex(first, first + len(raw))
    _, faults = quarantine(frame, contract)
    names = pseudonyms(frame, contract, terms.key) if given is None else frame[PSEUDONYM].to_numpy()
    reasons = reasons_by_row(faults).reindex(frame.index + FIRST_ROW, fill_value="").to_numpy()
    return frame.assign(pseudonym=names, split=splits(names, terms.test_share), quarantine=reasons), faults


def examine_piece(raw: pd.DataFrame, first: int, terms: Terms) -> Piece:
    """Examine a chunk and return it as it is stored."""
    frame, faults = examine_rows(raw, first, terms)
    return Piece(first, stored_table(frame), faults.assign(value=faults["value"].astype(str)))
