"""The figures of a model's card, as they stand in card.json."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.bundle.bundle import ALIKE, WORSE, comparison_of
from data.bundle.manifest import FIGURES, BundleError, Manifest, verified


class CardPart(BaseModel):
    """A part of the figures; frozen. What a bundle of another time says besides is not read.

    card.json keeps the names it has had from the start, as aliases.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)


class Share(CardPart):
    """A share of n students, from 0 to 1, with its 95 % interval; of none there is no share."""

    label: str = ""
    share: float | None
    low: float | None
    high: float | None
    n: int


class CardEstimate(CardPart):
    """A figure with its 90 % interval; nothing where too few students are behind it."""

    value: float | None
    low: float | None = None
    high: float | None = None


ENOUGH = 30
"""Students below which nothing is claimed of a share, a group or a comparison."""
SELECTION_RATE, PRECISION, RECALL = "called", "right", "found"
FALSE_NEGATIVE_RATE, FALSE_POSITIVE_RATE = "missed", "false_alarms"
ACCURACY, CALIBRATION_GAP, EQUALIZED_ODDS = "accuracy", "gap", "equalized_odds"


class Rate(CardEstimate):
    """One rate of one group; n is the number of students that it is a share of."""

    name: str
    n: int


class Group(CardPart):
    """Who is in an audit group: how often the forecast was wrong, its risk, forecast and true, its rates."""

    wrong: Share
    forecast_risk: float
    true_risk: float
    rates: tuple[Rate, ...] = ()

    def rate(self, name: str) -> Rate | None:
        """Return a rate by name; None where this bundle is of the time before there were any."""
        return next((rate for rate in self.rates if rate.name == name), None)


class GroupDifference(CardEstimate):
    """How far the groups with students enough are apart in one rate: the highest less the lowest.

    `ratio` is the lowest by the highest; `p_value` how often equal groups would be as far apart. The
    intervals are of the two groups that are farthest apart. `equalized_odds` is the larger one of
    `found` and `false_alarms`.
    """

    name: str
    ratio: CardEstimate | None
    p_value: float | None = Field(alias="luck")


class Counterfactuals(CardPart):
    """What becomes of n test students when the column's value alone is changed to each other one.

    classes, flagged: shares for whom one of the others changes the likeliest class, or whether they are
    called at risk; most: the largest change of a risk. `feature`: whether the model sees the column.
    """

    feature: bool
    n: int
    classes: float
    flagged: float = Field(alias="calls")
    most: float


class Audit(CardPart):
    """The groups of one audit column; `p_value` is how often equal groups would differ as much.

    That is in accuracy, in those found or in false alarms, whichever is the least likely, threefold.
    """

    column: str
    groups: tuple[Group, ...]
    p_value: float | None = Field(alias="luck")
    differences: tuple[GroupDifference, ...] = ()
    counterfactuals: Counterfactuals | None = Field(default=None, alias="flips")

    def difference(self, name: str) -> GroupDifference | None:
        """Return a difference by name; None where there is none."""
        return next((found for found in self.differences if found.name == name), None)


class Price(CardPart):
    """What calling costs per 100 students, in the contract's unit, with 90 % intervals.

    here: on the test split, at the threshold; pooled: the same on the out-of-fold forecasts of the training
    split; best: there at `best_threshold`, where it would have been least; nobody, everybody: there if none
    or all were called.
    """

    missed: float
    false_alarm: float
    here: CardEstimate
    pooled: CardEstimate
    best: CardEstimate
    best_threshold: CardEstimate
    nobody: float
    everybody: float


class Flagging(CardPart):
    """How students are called at risk: from which probability on, and what is behind it.

    at_risk: of the test students, those who ended at risk; average_precision: the area under the curve of
    precision and recall, which guessing brings to the share at risk; balanced_accuracy: the mean of the
    shares called rightly among those who ended at risk and among the others.
    """

    threshold: float
    at_risk: Share
    flagged: Share = Field(alias="called")
    average_precision: CardEstimate
    balanced_accuracy: CardEstimate
    price: Price | None = None


class CardFigure(CardPart):
    """A metric on the test split, its 95 % interval, and the best that could be had on this data."""

    name: str
    title: str
    value: float
    low: float | None = None
    high: float | None = None
    limit: float | None = None


class ComparedModel(CardPart):
    """A model beside the chosen one, cross-validated on the same folds.

    `difference`: its mean log loss less the chosen one's, with the 95 % interval of a paired bootstrap;
    None of the chosen one, and in bundles of the time before there was one: these say `as_good` of a model
    that is not surely worse.
    """

    name: str
    log_loss: float
    accuracy: float
    f1_macro: float
    chosen: bool
    as_good: bool = False
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def comparison(self) -> str:
        """Whether it is better, worse, or cannot be told apart from the chosen one; else nothing."""
        if self.low is None or self.high is None:
            return "not surely worse" if self.as_good else ""
        return comparison_of(self.low, self.high)

    @property
    def mark(self) -> str:
        """What it is beside the chosen one, and by how much."""
        if self.chosen:
            return "chosen"
        if self.difference is None or self.low is None or self.high is None:
            return self.comparison
        if self.comparison == ALIKE:
            return f"{ALIKE} ({self.low:.3f} to {self.high:.3f})"
        ends = sorted((abs(self.low), abs(self.high)))
        return f"{self.comparison} by {abs(self.difference):.3f} ({ends[0]:.3f} to {ends[1]:.3f})"


class ClassFigures(CardPart):
    """Precision, recall and F1 of one class, where it has test rows enough."""

    label: str
    n: int
    precision: float | None
    recall: float | None
    f1: float | None


class ReliabilityBin(CardPart):
    """Forecasts of about one probability of being at risk: its mean, and how many came to be."""

    said: float
    seen: Share


class RiskError(CardPart):
    """The calibration error of being at risk of n students, with its 95 % interval.

    `held_out`: of the test split, else of the training split forecast out of fold; `luck` is the error that
    a perfect model would show on them by luck alone. `slope` and `intercept` are of the log odds of what
    came on those forecast, each with the ends of its 95 % interval; 1 and 0 are right.
    """

    held_out: bool
    value: float
    low: float
    high: float
    n: int
    luck: float
    slope: tuple[float, float, float] | None = None
    intercept: tuple[float, float, float] | None = None


class PartOfYear(CardPart):
    """How the model does on records of part of the year; of the shares, n are the test students.

    `so_far` takes counts as they stand then, `projected` as they would be at the end at this pace.
    """

    part: float
    so_far: Share
    projected: Share
    found_so_far: Share
    found_projected: Share


class PartWay(CardPart):
    """How good a model is on n test students as they stood after a part of the period.

    `log_loss` has the best possible beside it where that is known; `recall` is of those who ended at risk,
    `sets_by_class` of each class's students: those whose set of plausible classes held it.
    """

    elapsed: float
    n: int
    log_loss: CardFigure
    ece: CardFigure
    recall: Share
    sets_by_class: tuple[Share, ...]


class DayGroup(CardPart):
    """One group of an audited column on a day: whom of those at risk it finds, how often it is right."""

    column: str
    label: str
    recall: Share
    accuracy: Share


class DayRule(CardPart):
    """The school's own rule on a day: whom it flags, whom of those at risk it finds, who of those ended so.

    `recall_alike`: of those at risk, whom the model finds when it flags as many.
    """

    flagged: Share
    recall: Share
    precision: Share
    recall_alike: Share


class DayFigures(CardPart):
    """How good a model is on one day of dated records, on the test students who were there then.

    recall_first: of those who ended at risk, the ones among the tenth with the highest risk.
    baselines: log loss and accuracy of what knows less, with the difference to the model's log loss.
    """

    as_of: int
    n: int
    at_risk: Share
    accuracy: Share
    log_loss: CardEstimate
    auc: CardEstimate
    recall_first: Share
    ece_at_risk: CardEstimate
    sets_by_class: tuple[Share, ...]
    baselines: tuple[ComparedModel, ...]
    rule: DayRule | None = None
    groups: tuple[DayGroup, ...] = ()
    limit: float | None = None
    """The best log loss that could be had, where it is known."""

    @property
    def ahead(self) -> bool:
        """Whether the model's log loss is surely below that of each baseline."""
        return all(line.comparison == WORSE for line in self.baselines)


class Data(CardPart):
    """What a model learned from."""

    source: str
    sha256: str
    date: str
    generated: bool
    rows: int
    clean: int
    train_rows: int
    test_rows: int
    quarantined: dict[str, int]


class Card(CardPart):
    """All figures of a card."""

    format: int = 1
    data: Data
    figures: tuple[CardFigure, ...]
    baselines: tuple[ComparedModel, ...] = Field(alias="rivals")
    classes: tuple[ClassFigures, ...]
    sets: Share
    """Of all test students, those whose set of plausible classes held the true one."""
    sets_by_class: tuple[Share, ...]
    sets_by_members: tuple[Share, ...] = Field(default=())
    """By the classes that a set names: its label, as `members` writes it."""
    recall: Share = Field(alias="found")
    """Of the students who ended at risk, those forecast so."""
    precision: Share = Field(alias="right")
    """Of the students forecast at risk, those who ended so."""
    flagging: Flagging | None = Field(default=None, alias="calls")
    """None where the bundle is of the time before there were any."""
    reliability: tuple[ReliabilityBin, ...]
    calibration_luck: float
    """The calibration error that a perfect model would show on the test split by luck alone."""
    risk_errors: tuple[RiskError, ...] = Field(default=())
    """Empty where it was not measured."""
    audits: tuple[Audit, ...]
    counted: tuple[str, ...]
    """Columns that count something up over a period, and are known in full at its end alone."""
    part_year: tuple[PartOfYear, ...] = Field(default=())
    """Of bundles of earlier releases, which took a count so far for the whole period's; else empty."""
    part_way: tuple[PartWay, ...] = Field(default=())
    """Empty where nothing accumulates, and of those bundles."""
    days: tuple[DayFigures, ...] = Field(default=())
    """By checkpoint; empty where records have no dates."""
    notes: tuple[str, ...]

    @property
    def ahead_from(self) -> int | None:
        """The first day from which on the model is surely better than each baseline, if there is one."""
        first = None
        for day in reversed(self.days):
            if not day.ahead:
                break
            first = day.as_of
        return first


def members(labels: Sequence[str]) -> str:
    """Return the label of a set of classes."""
    return "|".join(labels)


def read_card(folder: Path, manifest: Manifest) -> Card | None:
    """Read a bundle's figures; None where it is of the time before there were any.

    Raises BundleError where they are not those that were registered.
    """
    if FIGURES not in manifest.files:
        return None
    try:
        return Card.model_validate_json(verified(folder / FIGURES, manifest))
    except ValidationError as error:
        raise BundleError(f"{folder / FIGURES}: no readable figures: {error}") from error
