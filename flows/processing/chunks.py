"""One chunk of records examined: parsed, judged, split; and students who come again in a later one."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from data.contract.columns import OF_COHORT, PERSON, PSEUDONYM
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.rows.frames import parse, pseudonyms, splits
from data.rows.ids import canonical_id, pseudonym_maker
from data.rows.kinds import Reason
from data.rows.quarantine import quarantine, reasons_by_row
from data.rows.spreadsheets import FIRST_ROW
from data.sources.storage import stored_table

QUARANTINE = "quarantine"


class Chunk(NamedTuple):
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


def examine_rows(
    raw: pd.DataFrame, first: int, contract: Contract, source: str, key: str, test_share: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows as parsed, with pseudonym, split and reasons of quarantine; and the table of faults.

    `first` is the position in the source of the first row: the index goes on from there; `source` is told to
    people, `key` hashes the ids.
    """
    given = raw.get(PSEUDONYM)  # of rows of the log, which have no ids
    decided = raw.get("split") if contract.dated else None  # of snapshots, by their cohort
    row = first + FIRST_ROW
    frame = parse(raw, contract, file=source, partial=given is not None, first_row=row)
    frame = frame if given is None else frame.assign(**{PSEUDONYM: given.to_numpy()})
    frame.index = pd.RangeIndex(first, first + len(raw))
    _, faults = quarantine(frame, contract)
    names = pseudonyms(frame, contract, key) if given is None else frame[PSEUDONYM].to_numpy()
    reasons = reasons_by_row(faults).reindex(frame.index + FIRST_ROW, fill_value="").to_numpy()
    several = contract.dated is not None or (contract.id is not None and contract.id.several)
    people = persons(raw, names, None if given is not None else key) if several else {}
    split = splits(people.get(PERSON, names), test_share) if decided is None else decided.to_numpy()
    own = {PSEUDONYM: names, **people, **_cohorts(raw), "split": split, QUARANTINE: reasons}
    return frame.assign(**own), faults


def _cohorts(raw: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return which cohort each row (n,) is of, where that is known of any: "" where it is not."""
    return {OF_COHORT: raw[OF_COHORT].fillna("").to_numpy(dtype=object)} if OF_COHORT in raw else {}


def persons(raw: pd.DataFrame, names: np.ndarray, key: str | None) -> dict[str, np.ndarray]:
    """Return who each row (n,) is of, where one person may be several students: pseudonyms too.

    They are that already, and there is no key, where the rows are of the log.
    """
    if PERSON not in raw:
        return {PERSON: names}
    if key is None:
        return {PERSON: raw[PERSON].to_numpy(dtype=object)}
    make = pseudonym_maker(key)
    return {PERSON: np.array([make(canonical_id(who, whole=False)) for who in raw[PERSON]], dtype=object)}


def examine_chunk(
    raw: pd.DataFrame, first: int, contract: Contract, source: str, key: str, test_share: float
) -> Chunk:
    """Examine a chunk and return it as it is stored."""
    frame, faults = examine_rows(raw, first, contract, source, key, test_share)
    return Chunk(first, stored_table(frame), faults.assign(value=faults["value"].astype(str)))


class SeenIds:
    """The pseudonyms seen so far, in sorted runs that are merged as they grow: n log n for all of n."""

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def repeated(self, pseudonyms: pa.ChunkedArray) -> np.ndarray:
        """Return which rows (n,) have a pseudonym of an earlier call; and take in these. "" is nobody."""
        places, high, low = _halves(pseudonyms)
        found = np.zeros(len(high), dtype=bool)
        for highs, lows in self._runs:
            at = np.minimum(np.searchsorted(highs, high), len(highs) - 1)
            alike = highs[at] == high
            found |= alike & (lows[at] == low)
            for row in np.flatnonzero(alike & ~found):  # hardly ever: of two students with one half in common
                last = np.searchsorted(highs, high[row], side="right")
                found[row] = low[row] in lows[at[row] : last]
        self._take_in(high[~found], low[~found])
        rows = np.zeros(len(pseudonyms), dtype=bool)
        rows[places[found]] = True
        return rows

    def _take_in(self, high: np.ndarray, low: np.ndarray) -> None:
        while self._runs and len(self._runs[-1][0]) <= 2 * len(high):
            highs, lows = self._runs.pop()
            high, low = np.concatenate([highs, high]), np.concatenate([lows, low])
        order = np.argsort(high, kind="stable")
        if len(high):
            self._runs.append((high[order], low[order]))


def _halves(pseudonyms: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the places of the rows that have one, and both halves of each pseudonym, ascending."""
    texts = np.array(pseudonyms.to_pylist(), dtype=object)
    places = np.flatnonzero(texts != "")
    halves = np.frombuffer(bytes.fromhex("".join(texts[places])), dtype=">u8").reshape(-1, 2).astype("u8")
    order = np.argsort(halves[:, 0])
    return places[order], halves[order, 0], halves[order, 1]


def _who_and_when(table: pa.Table) -> pa.ChunkedArray:
    """Return the pseudonyms; of dated records, with the day in place of their last digits."""
    if PERSON not in table.column_names:
        return table[PSEUDONYM]
    days = np.nan_to_num(table[AS_OF].to_numpy(), nan=-1).astype(np.int64) & 0xFFFFFFFF
    names = table[PSEUDONYM].to_pylist()
    both = [f"{name[:24]}{day:08x}" if name else "" for name, day in zip(names, days.tolist(), strict=True)]
    return pa.chunked_array([pa.array(both, pa.string())])


def with_repeats(chunk: Chunk, seen: SeenIds, column: str | None) -> Chunk:
    """Return a chunk in which students of earlier ones are duplicates; `column` holds who they are.

    None for records without ids, which may be alike and yet of two students.
    """
    if column is None:
        return chunk
    known = chunk.faults.loc[chunk.faults["reason"] == Reason.DUPLICATE, "row"] - FIRST_ROW - chunk.first
    places = np.setdiff1d(np.flatnonzero(seen.repeated(_who_and_when(chunk.table))), known)
    if not len(places):
        return chunk
    rows = places + chunk.first + FIRST_ROW
    values = chunk.table[column].take(pa.array(places)).to_pylist()
    repeated = pd.DataFrame({"row": rows, "column": column, "value": values, "reason": str(Reason.DUPLICATE)})
    faults = pd.concat([chunk.faults, repeated], ignore_index=True)
    faults = faults.sort_values(["row", "column"], ignore_index=True)
    reasons = np.array(chunk.table[QUARANTINE].to_pylist(), dtype=object)
    reasons[places] = reasons_by_row(faults[faults["row"].isin(rows)]).to_numpy()
    at = chunk.table.schema.get_field_index(QUARANTINE)
    return Chunk(chunk.first, chunk.table.set_column(at, QUARANTINE, pa.array(reasons, pa.string())), faults)
