"""A seeded sample of processed rows that keeps the share of each class and of sound rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet


def stratified(
    path: Path, target: str, rows: int, *, split: str | None = None, clean: bool = False, seed: int = 0
) -> np.ndarray:
    """Return the ascending positions of about so many rows, or of all that are asked for if no more.

    Each stratum, a class of sound or of quarantined rows, keeps its share, and has a row at least.
    """
    strata = _strata(path, target, split, clean)
    asked = np.flatnonzero(strata >= 0)
    if len(asked) <= rows:
        return asked
    rng = np.random.default_rng(seed)
    chosen = []
    for stratum in np.unique(strata[asked]):
        members = np.flatnonzero(strata == stratum)
        size = max(1, round(rows * len(members) / len(asked)))
        chosen.append(rng.choice(members, size, replace=False))
    return np.sort(np.concatenate(chosen))


def seeded_places(count: int, rows: int, seed: int = 0) -> np.ndarray:
    """Return the ascending places of so many rows drawn of `count`, or of all if there are no more."""
    if count <= rows:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, rows, replace=False))


def _strata(path: Path, target: str, split: str | None, clean: bool) -> np.ndarray:
    """Return each row's stratum, -1 for one that is not asked for."""
    found = []
    with pyarrow.parquet.ParquetFile(path, read_dictionary=["split", "quarantine"]) as file:
        classes: dict[str | None, int] = {}
        for group in range(file.num_row_groups):
            part = file.read_row_group(group, columns=[target, "split", "quarantine"])
            codes = _codes(part[target], classes)
            sound = _is(part["quarantine"], "")
            asked = sound if clean else np.ones(len(part), dtype=bool)
            asked = asked if split is None else asked & _is(part["split"], split)
            found.append(np.where(asked, 2 * codes + sound, -1).astype(np.int32))
    return np.concatenate(found)


def _codes(column: pa.ChunkedArray, known: dict[str | None, int]) -> np.ndarray:
    """Return the place of each text among all texts met so far, missing ones at a place of their own."""
    encoded = column.combine_chunks()
    table = [known.setdefault(text, len(known)) for text in (*encoded.dictionary.to_pylist(), None)]
    places = encoded.indices.fill_null(len(table) - 1).to_numpy()
    return np.array(table)[places]


def _is(column: pa.ChunkedArray, text: str) -> np.ndarray:
    encoded = column.combine_chunks()
    same = np.array([value == text for value in encoded.dictionary.to_pylist()] or [False])
    return same[encoded.indices.to_numpy()]
