"""Students that nobody is: records to show, drawn column by column, of whom no student has the like.

A bundle's examples stand in forms, in the API's description and in whatever a bundle is baked into, so
they may not be anybody's. Drawing each column by itself loses what ties them together; it is the point.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from data.columns import Column, Kind
from data.contract import Contract
from data.features import feature_space
from data.frames import matrix, parse
from data.records import typical_value

BINS = 10  # of a number's values, with as many students in each
SPARE = 3  # draws for each record that is wanted: some are a student's
FINENESS = 100  # steps that a number's values are rounded to, at least


def made_up(
    sample: pd.DataFrame, students: Iterable[pd.DataFrame], contract: Contract, count: int, seed: int = 0
) -> pd.DataFrame:
    """Return up to so many made-up students, as parsed: features alone.

    Where the contract has so few possible records that each is some student's, those that most students
    share are returned, which are no one student's either.

    Args:
        sample: sound rows as parsed, for what each column's values are.
        students: all rows as parsed, in parts, of whom none may be met.
        contract: of both.
        count: how many are wanted.
        seed: of the draws.
    """
    dice = np.random.default_rng(seed)
    drawn = {c.name: _draw(c, sample[c.name], SPARE * count, dice) for c in contract.features}
    frame = parse(pd.DataFrame(drawn, dtype=object), contract, labelled=False)
    met = _times_met(frame, students, contract, [_step(c, sample[c.name]) for c in contract.features])
    nobody = np.flatnonzero(met == 0)
    chosen = nobody if len(nobody) else np.argsort(-met, kind="stable")
    return frame.iloc[chosen[:count]].reset_index(drop=True)


def _draw(column: Column, values: pd.Series, count: int, dice: np.random.Generator) -> list[object]:
    """Draw values by their shares; a number anywhere within a tenth of them."""
    known = values.dropna()
    missing = dice.random(count) < values.isna().mean() if len(values) else np.zeros(count, dtype=bool)
    if known.empty:
        return [None if column.nullable else typical_value(column)] * count
    if column.coded:
        codes = list(column.codes)
        drawn = [codes[place] for place in dice.choice(known.cat.codes.to_numpy(), count)]
    else:
        drawn = _numbers(column, known.to_numpy(float), count, dice)
    return [None if gone else value for gone, value in zip(missing, drawn, strict=True)]


def _numbers(column: Column, known: np.ndarray, count: int, dice: np.random.Generator) -> list[object]:
    edges = np.quantile(known, np.linspace(0, 1, BINS + 1))
    bins = dice.integers(BINS, size=count)
    drawn = dice.uniform(edges[bins], edges[bins + 1])
    if column.kind is Kind.INTEGER:
        return [int(value) for value in np.round(drawn)]
    step = _step(column, pd.Series(known))
    rounded = np.round(drawn / step) * step if step else drawn
    # Twelve digits take away what the multiplication leaves behind the last one.
    return [float(f"{value:.12g}") for value in np.clip(rounded, *column.limits)]


def _step(column: Column, values: pd.Series) -> float:
    """Return what a number is rounded to: a power of ten, at least a hundred to its range; else 0."""
    if column.coded or column.kind is Kind.INTEGER or values.dropna().empty:
        return 0.0
    span = float(values.max() - values.min())
    return float(10.0 ** np.floor(np.log10(span / FINENESS))) if span > 0 else 0.0


def _times_met(
    drawn: pd.DataFrame, students: Iterable[pd.DataFrame], contract: Contract, steps: list[float]
) -> np.ndarray:
    """Count the students who have each drawn record, numbers being alike that round alike."""
    wanted = matrix(drawn, contract)
    groups = feature_space(contract).groups
    slack = np.array([step / 2 for step, group in zip(steps, groups, strict=True) for _ in group])
    met = np.zeros(len(wanted), dtype=int)
    for part in students:
        rows = matrix(part, contract)
        met += [_alike(rows, record, slack) for record in wanted]
    return met


def _alike(rows: np.ndarray, record: np.ndarray, slack: np.ndarray) -> int:
    """Count the rows (n, columns) that are like a record, a column after the other: soon few are left."""
    for place, value in enumerate(record):
        column = rows[:, place]
        rows = rows[np.isnan(column) if np.isnan(value) else np.abs(column - value) <= slack[place]]
        if not len(rows):
            break
    return len(rows)
