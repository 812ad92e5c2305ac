"""The fairness audit of a model card: what each group of a column meets, and how far groups differ.

Names of rates, each of the test students of a group: `called` at risk; `found`, of those who ended at
risk the ones called so; `missed`, the others of them; `false_alarms`, of those who did not the ones called
so; `right`, of those called at risk the ones who ended so; `accuracy` of the class; `gap`, the mean forecast
risk less the share who ended at risk.
"""

from data.card_shares import Estimate, Part, Share

CALLED, FOUND, MISSED, FALSE_ALARMS, RIGHT = "called", "found", "missed", "false_alarms", "right"
ACCURACY, GAP, ODDS = "accuracy", "gap", "equalized_odds"


class Rate(Estimate):
    """One rate of one group; n is the number of students that it is a share of."""

    name: str
    n: int


class Group(Part):
    """Who is in an audit group: how often the forecast was wrong, its risk, forecast and true, its rates."""

    wrong: Share
    forecast_risk: float
    true_risk: float
    rates: tuple[Rate, ...] = ()

    def rate(self, name: str) -> Rate | None:
        """Return a rate by name; None where this bundle is of the time before there were any."""
        return next((rate for rate in self.rates if rate.name == name), None)


class Difference(Estimate):
    """How far the groups with students enough are apart in one rate: the highest less the lowest.

    `ratio` is the lowest by the highest; `luck` how often equal groups would be as far apart. The
    intervals are of the two groups that are farthest apart. `equalized_odds` is the larger one of
    `found` and `false_alarms`.
    """

    name: str
    ratio: Estimate | None
    luck: float | None


class Flips(Part):
    """What becomes of n test students when the column's value alone is changed to each other one.

    classes, calls: shares for whom one of the others changes the likeliest class, or whether they are
    called at risk; most: the largest change of a risk. `feature`: whether the model sees the column.
    """

    feature: bool
    n: int
    classes: float
    calls: float
    most: float


class Audit(Part):
    """The groups of one audit column; `luck` is how often equal groups would differ as much.

    That is in accuracy, in those found or in false alarms, whichever is the least likely, threefold.
    """

    column: str
    groups: tuple[Group, ...]
    luck: float | None
    differences: tuple[Difference, ...] = ()
    flips: Flips | None = None

    def difference(self, name: str) -> Difference | None:
        """Return a difference by name; None where there is none."""
        return next((found for found in self.differences if found.name == name), None)
