"""The figures of a model card: what `flows` measures of a model and the pages show."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from data.card_audit import Audit
from data.card_calls import Calls
from data.card_shares import Part, Share
from data.manifest import FIGURES, BundleError, Manifest, verified
from data.model_words import ALIKE, standing_of


class Figure(Part):
    """A metric on the test split, its 95 % interval, and the best that could be had on this data."""

    name: str
    title: str
    value: float
    low: float | None = None
    high: float | None = None
    limit: float | None = None


class Rival(Part):
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
    def standing(self) -> str:
        """Whether it is better, worse, or cannot be told apart from the chosen one; else nothing."""
        if self.low is None or self.high is None:
            return "not surely worse" if self.as_good else ""
        return standing_of(self.low, self.high)

    @property
    def mark(self) -> str:
        """What it is beside the chosen one, and by how much."""
        if self.chosen:
            return "chosen"
        if self.difference is None or self.low is None or self.high is None:
            return self.standing
        if self.standing == ALIKE:
            return f"{ALIKE} ({self.low:.3f} to {self.high:.3f})"
        ends = sorted((abs(self.low), abs(self.high)))
        return f"{self.standing} by {abs(self.difference):.3f} ({ends[0]:.3f} to {ends[1]:.3f})"


class ClassFigures(Part):
    """Precision, recall and F1 of one class, where it has test rows enough."""

    label: str
    n: int
    precision: float | None
    recall: float | None
    f1: float | None


class Bin(Part):
    """Forecasts of about one probability of being at risk: its mean, and how many came to be."""

    said: float
    seen: Share


class RiskError(Part):
    """The calibration error of being at risk of n students, with its 95 % interval.

    `held_out`: of the test split, else of the training split forecast out of fold; `luck` is the error that
    a perfect model would show on them by luck alone.
    """

    held_out: bool
    value: float
    low: float
    high: float
    n: int
    luck: float


class PartOfYear(Part):
    """How the model does on records of part of the year; of the shares, n are the test students.

    `so_far` takes counts as they stand then, `projected` as they would be at the end at this pace.
    """

    part: float
    so_far: Share
    projected: Share
    found_so_far: Share
    found_projected: Share


class Data(Part):
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


class Card(Part):
    """All figures of a card."""

    format: int = 1
    data: Data
    figures: tuple[Figure, ...]
    rivals: tuple[Rival, ...]
    classes: tuple[ClassFigures, ...]
    sets: Share
    """Of all test students, those whose set of plausible classes held the true one."""
    sets_by_class: tuple[Share, ...]
    sets_by_members: tuple[Share, ...] = Field(default=())
    """By the classes that a set names: its label, as `members` writes it."""
    found: Share
    """Of the students who ended at risk, those forecast so."""
    right: Share
    """Of the students forecast at risk, those who ended so."""
    calls: Calls | None = None
    """None where the bundle is of the time before there were any."""
    reliability: tuple[Bin, ...]
    calibration_luck: float
    """The calibration error that a perfect model would show on the test split by luck alone."""
    risk_errors: tuple[RiskError, ...] = Field(default=())
    """Empty where it was not measured."""
    audits: tuple[Audit, ...]
    counted: tuple[str, ...]
    """Columns that count something up over a period, and are known in full at its end alone."""
    part_year: tuple[PartOfYear, ...] = Field(default=())
    """Empty where it was not measured."""
    notes: tuple[str, ...]


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
