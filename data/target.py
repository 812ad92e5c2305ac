"""The target of a contract: its classes and the rule that ties them to a score."""

import math
import re
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from data.columns import RESERVED, Codes, Misfit, Name, Strict, check_codes

DERIVATION = re.compile(r"^\s*(?P<score>\S+)\s*>=\s*(?P<bound>-?\d+(?:\.\d+)?)\s*$")
LONGEST_LABEL = 200  # it is part of the names of metrics, which the registry holds to 250


class Costs(Strict):
    """What the two mistakes of calling students at risk cost, in any one unit.

    missed: a student who ends at risk and was not called so; false_alarm: one called so who does not.
    """

    missed: Annotated[FiniteFloat, Field(gt=0, le=1e100)]
    false_alarm: Annotated[FiniteFloat, Field(gt=0, le=1e100)]


class Target(Strict):
    """The class to forecast; ordered classes are listed best first."""

    column: Name
    title: Name
    ordered: bool = True
    classes: Codes
    at_risk: tuple[str, ...]
    at_least: dict[str, FiniteFloat] = Field(default_factory=dict)
    derive: str | None = None
    train_on_score: bool = True
    unit: str = "points"
    costs: Costs | None = None

    @model_validator(mode="after")
    def _classes_risk_and_rule_agree(self) -> Self:
        labels = self.labels
        if self.column in RESERVED:
            raise Misfit("Gradecast keeps a column of its own under this name", "column")
        if len(labels) < 2:
            raise Misfit("there must be at least two", "classes")
        check_codes(self.classes, "classes")
        if max(map(len, labels)) > LONGEST_LABEL:
            raise Misfit(f"a label has at most {LONGEST_LABEL} characters", "classes")
        for key, named in (("at_risk", self.at_risk), ("at_least", self.at_least)):
            unknown = next((label for label in named if label not in labels), None)
            if unknown is not None:
                raise Misfit(f"{unknown!r} is not one of the classes {', '.join(labels)}", key)
        if not self.at_risk or set(self.at_risk) == set(labels):
            raise Misfit("name some of the classes, but not all", "at_risk")
        if len(set(self.at_risk)) < len(self.at_risk):
            raise Misfit("name each class once", "at_risk")
        self._check_derivation(labels)
        self._check_bounds(labels)
        return self

    def _check_derivation(self, labels: tuple[str, ...]) -> None:
        if self.derive is None:
            return
        if not self.derive_rule and self.derive != "at_least":
            raise Misfit("write COLUMN >= NUMBER, or at_least to derive from that rule", "derive")
        if self.derive_rule and not math.isfinite(float(self.derive_rule["bound"])):
            raise Misfit("write a finite number", "derive")
        if self.at_least and self.derive_rule:
            raise Misfit("give the rule once: either at_least, or derive: COLUMN >= NUMBER", "derive")
        if self.derive_rule and len(labels) != 2:
            raise Misfit("COLUMN >= NUMBER makes two classes, the first where it holds", "derive")
        if self.derive == "at_least" and not self.at_least:
            raise Misfit("this needs at_least, the lower bound of each class but the last", "derive")
        if not self.ordered:
            raise Misfit("an unordered target has no rule on a score", "derive")

    def _check_bounds(self, labels: tuple[str, ...]) -> None:
        if not self.at_least:
            return
        if tuple(self.at_least) != labels[:-1]:
            raise Misfit(
                f"give a lower bound for each of {', '.join(labels[:-1])}, in this order", "at_least"
            )
        bounds = list(self.at_least.values())
        if any(upper <= lower for upper, lower in pairwise(bounds)):
            raise Misfit("the bounds must fall from one class to the next", "at_least")
        if not self.ordered:
            raise Misfit("an unordered target has no rule on a score", "at_least")

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, best first where ordered."""
        return tuple(self.classes.values())

    @property
    def derive_rule(self) -> re.Match[str] | None:
        """The parts of `derive: COLUMN >= NUMBER`."""
        return DERIVATION.match(self.derive) if self.derive else None

    @property
    def derived(self) -> bool:
        """Whether the class is computed from the score instead of read from the file."""
        return self.derive is not None

    @property
    def bounds(self) -> tuple[float, ...] | None:
        """Lower bounds of the score for all classes but the last, falling; None without a rule."""
        if self.derive_rule:
            return (float(self.derive_rule["bound"]),)
        return tuple(self.at_least.values()) or None

    @property
    def call_from(self) -> float:
        """The probability of the at-risk classes from which a student is called at risk.

        Where probabilities are calibrated, false_alarm / (missed + false_alarm) makes the expected cost
        least (Elkan 2001, "The Foundations of Cost-Sensitive Learning"); 0.5 without costs.
        """
        costs = self.costs
        return 0.5 if costs is None else costs.false_alarm / (costs.missed + costs.false_alarm)
