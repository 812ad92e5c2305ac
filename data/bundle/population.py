"""What a bundle keeps of the students that it learned from, and what a count so far may yet become.

A student's total N of a column that accumulates is known at the period's end alone; before it, the count so
far, n, and how much of the period has passed, e. With the totals of the training students as prior, and
each unit falling into the part that has passed with chance e, whatever the others do,

    P(N | n, e)  ∝  P(N) · C(N, n) · e^n · (1 - e)^(N - n),   N ≥ n,

and a forecast is the mean of the model's forecasts over it: a posterior predictive (Gelman et al. 2013,
"Bayesian Data Analysis", 1.3). Factorials are continued by the gamma function, so that numbers that need
not be whole follow the same law, one unit of theirs weighing as one event.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from data.bundle.manifest import POPULATION, BundleError, Manifest, verified
from data.contract.columns import FLOAT32_MAX
from data.contract.contract import Contract
from data.rows.records import feature_space

POINTS = 32
"""Totals at most on which a student's forecast is the mean."""
NEGLIGIBLE = 1e-4  # of a posterior: the totals beyond the likeliest that are left out
GENERATOR = 13  # of the lattice: its powers modulo 32 go through every odd residue that they can
RANGE = (0.05, 0.95)
"""The quantiles between which similar students are."""
BLOCK = 2_048  # rows at a time
Ask = Callable[[np.ndarray], np.ndarray]


class Part(BaseModel):
    """A part of the file; frozen."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Totals(Part):
    """How the training students' totals of one column are distributed: rising values and their shares."""

    values: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    shares: Annotated[tuple[Annotated[FiniteFloat, Field(gt=0)], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Self:
        if len(self.values) != len(self.shares) or np.any(np.diff(self.values) <= 0) or self.values[0] < 0:
            raise ValueError("totals rise from 0 on, and each has its share")
        return self


class PartWaySets(Part):
    """The thresholds of the grade sets after a part of the period."""

    elapsed: Annotated[float, Field(gt=0, lt=1)]
    thresholds: tuple[FiniteFloat, ...]


class DaySets(Part):
    """The thresholds of the grade sets on a day, of dated records."""

    as_of: int
    thresholds: tuple[FiniteFloat, ...]


class Population(Part):
    """How totals are distributed, between which numbers most students are, and thresholds before the end."""

    format: Literal[1] = 1
    totals: dict[str, Totals] = Field(default_factory=dict)
    ranges: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(default_factory=dict)
    sets: tuple[PartWaySets, ...] = ()
    days: tuple[DaySets, ...] = ()

    def thresholds(self, whole: Sequence[float], elapsed: np.ndarray) -> np.ndarray:
        """Return each student's thresholds (n, K): between those of the parts, and of the end, beside it.

        Args:
            whole: those at the end of the period (K,).
            elapsed: how much of it has passed for each student (n,); of dated records the day.
        """
        at: list[float] = [*(one.elapsed for one in self.sets), 1.0]
        known = np.array([*(one.thresholds for one in self.sets), tuple(whole)])
        if self.days:
            at, known = [one.as_of for one in self.days], np.array([one.thresholds for one in self.days])
        return np.column_stack([np.interp(elapsed, at, column) for column in known.T])


def read_population(folder: Path, manifest: Manifest) -> Population | None:
    """Read the file; None of a bundle of an earlier release. Raises BundleError where it cannot be read."""
    if POPULATION not in manifest.files:
        return None
    try:
        return Population.model_validate_json(verified(folder / POPULATION, manifest))
    except ValidationError as error:
        raise BundleError(f"{folder / POPULATION}: not what a bundle keeps there: {error}") from error


class Points(NamedTuple):
    """Feature rows (m, F) on which forecasts are made, with whose they are (m,) and their weights (m,).

    Each student's weights add up to 1, and the owners rise from 0 on.
    """

    matrix: np.ndarray
    owners: np.ndarray
    weights: np.ndarray

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return each owner's mean (n, d) of values (m, d), of their type."""
        starts = np.flatnonzero(np.diff(self.owners, prepend=-1))
        sums = np.add.reduceat(values.astype(np.float64) * self.weights[:, None], starts, axis=0)
        return np.asarray(sums.astype(values.dtype))


class Accumulation:
    """What the totals of a contract's accumulating columns may yet become, student by student."""

    def __init__(self, totals: Mapping[str, Totals], contract: Contract) -> None:
        space = feature_space(contract)
        groups = dict(zip(space.columns, space.groups, strict=True))
        self.columns = tuple(column for column in contract.accumulating if column.name in totals)
        self.places = [groups[column.name][0] for column in self.columns]
        self._tables = [totals[column.name] for column in self.columns]

    def mean(
        self, ask: Ask, matrix: np.ndarray, elapsed: np.ndarray, limits: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the mean (n, d) of what is said of each student, over what the totals may yet become.

        Args:
            ask: says it (m, d) of feature rows (m, F).
            matrix: feature rows (n, F), n > 0, with the counts so far.
            elapsed: how much of the period has passed for each (n,), above 0; at 1 a row is asked as it is.
            limits: totals (n, C, 2) below and above which it is known that each will not be.
        """
        whole, others = np.flatnonzero(elapsed >= 1), np.flatnonzero(elapsed < 1)
        places = [others[start : start + BLOCK] for start in range(0, len(others), BLOCK)]
        said = []
        for some in places:
            points = self.points(matrix[some], elapsed[some], None if limits is None else limits[some])
            said.append(points.mean(ask(points.matrix)))
        if len(whole):
            said.append(ask(matrix[whole]))
        return np.asarray(np.concatenate(said)[np.argsort(np.concatenate([*places, whole]))])

    def points(self, matrix: np.ndarray, elapsed: np.ndarray, limits: np.ndarray | None = None) -> Points:
        """Return the totals on which each student's forecast is made, as feature rows with weights.

        Of one column whose posterior has few values those are all of it; else they are the points of a
        rank-1 lattice, equally likely, which go through the quantiles of each column evenly (Sloan and Joe
        1994, "Lattice Methods for Multiple Integration"). What is missing stays so.

        Args:
            matrix: feature rows (n, F) with the counts so far.
            elapsed: how much of the period has passed for each (n,), above 0 and below 1.
            limits: totals (n, C, 2) below and above which it is known that each will not be.
        """
        totals = np.empty((len(matrix), POINTS, len(self.columns)))
        weights = np.full((len(matrix), POINTS), 1 / POINTS)
        for place in range(len(self.columns)):
            bounds = None if limits is None else limits[:, place]
            values, chances = self._posterior(place, matrix, elapsed, bounds)
            levels = ((np.arange(POINTS) * GENERATOR**place) % POINTS + 0.5) / POINTS
            totals[..., place] = _quantiles(values, chances, np.broadcast_to(levels, (len(matrix), POINTS)))
            if len(self.columns) == 1:
                _put_exact(totals[..., 0], weights, values, chances)
        owners, chosen = np.nonzero(weights)
        rows = matrix[owners]
        rows[:, self.places] = totals[owners, chosen]
        return Points(rows, owners, weights[owners, chosen])

    def expected(self, matrix: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
        """Return the mean, and the ends of `RANGE`, of each student's totals (n, C, 3)."""
        told = np.empty((len(matrix), len(self.columns), 3))
        for place in range(len(self.columns)):
            values, weights = self._posterior(place, matrix, elapsed, None)
            ends = _quantiles(values, weights, np.broadcast_to(RANGE, (len(matrix), 2)))
            told[:, place] = np.column_stack([(values * weights).sum(axis=1), ends])
        return told

    def _posterior(
        self, place: int, matrix: np.ndarray, elapsed: np.ndarray, bounds: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what one column's totals may be (n, S), rising, and how likely each is (n, S)."""
        table, so_far = self._tables[place], matrix[:, self.places[place]].astype(np.float64)
        asked = np.column_stack([so_far, elapsed, *(() if bounds is None else (bounds,))])
        each, back = np.unique(asked, axis=0, return_inverse=True)
        count, part = each[:, :1], each[:, 1:2]
        values = np.array(table.values)
        left = values - count
        possible = left >= 0
        if bounds is not None:
            possible &= (values >= each[:, 2:3]) & (values <= each[:, 3:4])
        left = np.where(possible, left, 0.0)
        logs = _log_gamma(values + 1) - _log_gamma(left + 1) + left * np.log1p(-part) + np.log(table.shares)
        logs = np.where(possible, logs, -np.inf)
        lost = ~possible.any(axis=1)
        logs[lost] = 0.0
        chances = np.exp(logs - logs.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        spread = np.broadcast_to(values, chances.shape).copy()
        # Beyond all that was seen it goes on at its pace, within the limits; what is missing stays so.
        pace = np.minimum(each[lost, 0] / each[lost, 1], self.columns[place].limits[1])
        pace = pace if bounds is None else np.clip(pace, each[lost, 2], each[lost, 3])
        spread[lost] = (np.round(pace) if self.columns[place].whole else pace)[:, None]
        return spread[back.reshape(-1)], chances[back.reshape(-1)]


def _put_exact(totals: np.ndarray, weights: np.ndarray, values: np.ndarray, chances: np.ndarray) -> None:
    """Put all likely totals with their weights where there are no more than `POINTS` of them.

    Args:
        totals: to be written to (n, POINTS).
        weights: to be written to (n, POINTS).
        values: what the totals may be (n, S).
        chances: how likely each is (n, S).
    """
    size = min(POINTS, values.shape[1])
    order = np.argsort(-chances, axis=1, kind="stable")[:, :size]
    likeliest = np.take_along_axis(chances, order, axis=1)
    held = likeliest.sum(axis=1)
    few = held >= 1 - NEGLIGIBLE
    totals[few, :size] = np.take_along_axis(values, order, axis=1)[few]
    weights[few] = 0.0
    weights[few, :size] = likeliest[few] / held[few, None]


def _quantiles(values: np.ndarray, chances: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the quantiles (n, L) at levels (n, L) of distributions over rising values (n, S)."""
    reached = np.cumsum(chances, axis=1)
    places = (reached[:, None, :] < levels[:, :, None]).sum(axis=2)
    return np.take_along_axis(values, np.minimum(places, values.shape[1] - 1), axis=1)


def _log_gamma(numbers: np.ndarray) -> np.ndarray:
    """Return the logarithm of the gamma function of numbers from 1 on, to 1e-10 of itself or better.

    Stirling's series (Abramowitz and Stegun 1964, 6.1.41), asked seven further up, where it is that good.
    """
    shifted = numbers + 7
    steps = np.log(numbers[..., None] + np.arange(7)).sum(axis=-1)
    inverse = 1 / shifted
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 * (1 / 1260 - inverse**2 / 1680)))
    return (shifted - 0.5) * np.log(shifted) - shifted + 0.5 * np.log(2 * np.pi) + series - steps


MOST_VALUES = 256  # of a table
SPARE = 64  # totals that nobody had, as far as the contract's range


def totals_of(known: np.ndarray, *, whole: bool, most: float) -> Totals:
    """Return the distribution of totals, with one student's weight spread over the whole range.

    So nothing that the contract allows is impossible because nobody of the training students had it.

    Args:
        known: the totals of the training students (m,), m > 0.
        whole: whether they are whole numbers.
        most: the largest that the contract allows; without a limit twice the largest seen is taken.
    """
    top = most if most < FLOAT32_MAX else max(2 * float(known.max()), 1.0)
    levels = (np.arange(MOST_VALUES) + 0.5) / MOST_VALUES
    many = len(np.unique(known)) > MOST_VALUES
    drawn = np.quantile(known, levels, method="inverted_cdf") if many else known
    values, counts = np.unique(drawn, return_counts=True)
    spare = np.linspace(0, top, int(min(SPARE, top + 1)) if whole else SPARE)
    spare = np.unique(np.round(spare)) if whole else spare
    both = np.union1d(values, spare)
    shares = np.zeros(len(both))
    shares[np.searchsorted(both, values)] += counts * (len(known) / len(drawn))
    shares[np.searchsorted(both, spare)] += 1 / len(spare)
    return Totals(values=tuple(both.tolist()), shares=tuple((shares / shares.sum()).tolist()))
