"""Students who come again in a later chunk: found by their pseudonyms, 16 bytes a student."""

import numpy as np
import pandas as pd
import pyarrow as pa

from data.contract.columns import PSEUDONYM
from data.rows.kinds import Reason
from data.rows.quarantine import reasons_by_row
from data.rows.spreadsheets import FIRST_ROW
from flows.processing.chunks import Piece

QUARANTINE = "quarantine"


class Met:
    """The pseudonyms met so far, in sorted runs that are merged as they grow: n log n for all of n."""

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def again(self, pseudonyms: pa.ChunkedArray) -> np.ndarray:
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


def with_repeats(piece: Piece, met: Met, column: str | None) -> Piece:
    """Return a piece in which students of earlier pieces are duplicates; `column` holds who they are.

    None for records without ids, which may be alike and yet of two students.
    """
    if column is None:
        return piece
    rows = np.flatnonzero(met.again(piece.table[PSEUDONYM])) + piece.first + FIRST_ROW
    told = piece.faults.loc[piece.faults["reason"] == Reason.DUPLICATE, "row"]
    rows = rows[~np.isin(rows, told)]
    if not len(rows):
        return piece
    places = rows - piece.first - FIRST_ROW
    values = piece.table[column].take(pa.array(places)).to_pylist()
    repeated = pd.DataFrame({"row": rows, "column": column, "value": values, "reason": str(Reason.DUPLICATE)})
    faults = pd.concat([piece.faults, repeated], ignore_index=True)
    faults = faults.sort_values(["row", "column"], ignore_index=True)
    return Piece(piece.first, _marked(piece, faults[faults["row"].isin(rows)], places), faults)


def _marked(piece: Piece, faults: pd.DataFrame, places: np.ndarray) -> pa.Table:
    """Return the table with all the reasons of the rows at these places."""
    reasons = np.array(piece.table[QUARANTINE].to_pylist(), dtype=object)
    reasons[places] = reasons_by_row(faults).to_numpy()
    at = piece.table.schema.get_field_index(QUARANTINE)
    return piece.table.set_column(at, QUARANTINE, pa.array(reasons, pa.string()))
