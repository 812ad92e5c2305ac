"""The counts behind a fairness audit, and the same of students drawn again.

Each rate is a quotient of counts, so drawing the counts of the cells that a student can be in is
drawing students, however many there are.
"""

from typing import NamedTuple

import numpy as np

from data.card_audit import ACCURACY, CALLED, FALSE_ALARMS, FOUND, GAP, MISSED, RIGHT

# fairlearn's own bootstrap computes every metric of every group anew, in Python: 25 ms a resample of 500
# students with four groups and four metrics, so half a minute for what takes a tenth of a second here.
REPEATS = 1_000
BINS = 20  # of the forecast risk; the rest of its spread is the model's own and no matter of luck
RATES = (CALLED, FOUND, MISSED, FALSE_ALARMS, RIGHT, ACCURACY, GAP)


class Students(NamedTuple):
    """Test students (n,) as the audit sees them."""

    risk: np.ndarray
    """Forecast probability of the classes at risk."""
    called: np.ndarray
    """Whether they are called at risk."""
    true: np.ndarray
    """Whether they ended so."""
    right: np.ndarray
    """Whether the likeliest class was the true one."""

    def cells(self) -> np.ndarray:
        """Return each student's cell (n,): what was said and came of them, and about which risk."""
        bins = np.minimum((self.risk * BINS).astype(int), BINS - 1)
        return np.asarray(((self.called * 2 + self.true) * 2 + self.right) * BINS + bins)


class Counted(NamedTuple):
    """The parts of each rate by name: of `below[name]` students, `above[name]`; each (…, groups)."""

    above: dict[str, np.ndarray]
    below: dict[str, np.ndarray]

    def values(self, name: str, least: int = 1) -> np.ndarray:
        """Return a rate (…, groups); NaN where fewer than `least` students are behind it."""
        below = self.below[name]
        return np.where(below >= least, self.above[name] / np.maximum(below, 1), np.nan)

    def only(self, groups: np.ndarray) -> "Counted":
        """Return the parts of some groups alone, which are true in (groups,)."""
        return Counted(*({name: values[..., groups] for name, values in part.items()} for part in self))


def table_of(students: Students, groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (groups, cells) from each student's group (n,), and the mean risk in each."""
    width = 8 * BINS
    place = groups * width + students.cells()
    table = np.bincount(place, minlength=count * width)
    mean_risk = np.bincount(place, students.risk, minlength=count * width) / np.maximum(table, 1)
    return table.reshape(count, width), mean_risk.reshape(count, width)


def counted(table: np.ndarray, mean_risk: np.ndarray) -> Counted:
    """Return the parts of every rate from counts (…, groups, cells)."""
    split = table.reshape(*table.shape[:-1], 2, 2, 2, BINS).sum(axis=-1)  # called, true, right
    students, called = split.sum(axis=(-3, -2, -1)), split[..., 1, :, :].sum(axis=(-2, -1))
    true, both = split[..., :, 1, :].sum(axis=(-2, -1)), split[..., 1, 1, :].sum(axis=-1)
    above = {
        CALLED: called,
        FOUND: both,
        MISSED: true - both,
        FALSE_ALARMS: called - both,
        RIGHT: both,
        ACCURACY: split[..., 1].sum(axis=(-2, -1)),
        GAP: (table * mean_risk).sum(axis=-1) - true,
    }
    below = {
        CALLED: students,
        FOUND: true,
        MISSED: true,
        FALSE_ALARMS: students - true,
        RIGHT: called,
        ACCURACY: students,
        GAP: students,
    }
    return Counted(above, below)


def resampled(table: np.ndarray, mean_risk: np.ndarray, rng: np.random.Generator) -> Counted:
    """Return the parts of every rate (repeats, groups) of students drawn again with replacement."""
    drawn = rng.multinomial(table.sum(), table.ravel() / table.sum(), size=REPEATS)
    return counted(drawn.reshape(REPEATS, *table.shape), mean_risk)
