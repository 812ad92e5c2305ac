"""Parsed frames on disk: coded columns as the text of their codes, so that they parse back as they were."""

from pathlib import Path

import pandas as pd

from data.columns import OWN
from data.contract import Contract
from data.frames import parse


def as_stored(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose category columns hold text."""
    coded = {
        name: _text(frame[name])
        for name in frame.columns
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    return frame.assign(**coded)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a parsed frame as Parquet."""
    as_stored(frame).to_parquet(path, index=False)


def read_frame(
    path: Path, contract: Contract, filters: list[tuple[str, str, str]] | None = None
) -> pd.DataFrame:
    """Read a parsed frame, with the columns of ours that it has, from Parquet (rows filtered) or CSV."""
    if path.suffix == ".csv":
        stored = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    else:
        stored = pd.read_parquet(path, filters=filters)
    own = {name: stored[name].fillna("").to_numpy() for name in OWN if name in stored}
    return parse(stored, contract, partial=True, file=path).assign(**own)


def _text(series: pd.Series) -> pd.Series:
    return series.cat.rename_categories([str(category) for category in series.cat.categories])
