"""The contract of a data set: its columns and target, checked as one whole.

Everything else about a record is derived from it: see `features`, `records` and `frames`.
"""

import sys
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import StringConstraints, model_validator

from data.columns import Column, Kind, Misfit, Name, Role, Strict
from data.contract_file import read_contract
from data.target import Target


class Contract(Strict):
    """A data set's columns and target, checked as one whole."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=200)]
    title: Name
    description: str = ""
    target: Target
    columns: dict[str, Column]
    rule_of_thumb: str | None = None

    def __copy__(self) -> Self:
        """Return a copy without what was derived: `model_copy` may give it other columns."""
        copied = super().__copy__()
        for name in set(copied.__dict__) - set(type(self).model_fields):
            del copied.__dict__[name]
        return copied

    @model_validator(mode="before")
    @classmethod
    def _columns_know_their_names(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("columns"), dict):
            return raw
        named = {k: _named(k, v) if isinstance(v, dict) else v for k, v in raw["columns"].items()}
        return {**raw, "columns": named}

    @model_validator(mode="after")
    def _roles_and_target_agree(self) -> Self:
        if not self.features:
            raise Misfit("at least one needs the role feature", "columns")
        for role in (Role.ID, Role.SCORE):
            names = [column.name for column in self._having(role)]
            if len(names) > 1:
                raise Misfit(
                    f"{names[0]} has the role {role} already, at most one may", "columns", names[1], "role"
                )
        if self.target.column in self.columns:
            raise Misfit("this is the target and cannot be a column as well", "columns", self.target.column)
        self._check_score()
        if self.rule_of_thumb and self.rule_of_thumb not in {c.name for c in self.features}:
            raise Misfit(f"{self.rule_of_thumb!r} is not a feature", "rule_of_thumb")
        return self

    def _check_score(self) -> None:
        rule, score = self.target.derive_rule, self.score
        if rule and (score is None or score.name != rule["score"]):
            raise Misfit(f"{rule['score']!r} must be the column with the role score", "target", "derive")
        if self.target.bounds and score is None:
            raise Misfit("the rule needs a column with the role score", "target", "at_least")
        if score is not None and score.coded:
            raise Misfit("a score is of kind number or integer", "columns", score.name, "kind")
        if score is not None and self.target.bounds is None:
            raise Misfit(
                "a score needs a rule in the target: at_least, or derive", "columns", score.name, "role"
            )

    def _having(self, role: Role) -> tuple[Column, ...]:
        return tuple(column for column in self.columns.values() if column.role is role)

    @property
    def model_name(self) -> str:
        """The registered model's name: the contract's, with dashes."""
        return self.name.replace("_", "-")

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """Columns that the model sees."""
        return self._having(Role.FEATURE)

    @cached_property
    def audit(self) -> tuple[Column, ...]:
        """Columns recorded for the fairness audit and never seen by the model."""
        return self._having(Role.AUDIT)

    @cached_property
    def audited(self) -> tuple[Column, ...]:
        """Columns of the fairness audit: those recorded for it, then the features that are audited too."""
        return self.audit + tuple(column for column in self.features if column.audited)

    @cached_property
    def leaks(self) -> tuple[Column, ...]:
        """Columns that give the outcome away and are never used."""
        return self._having(Role.LEAK)

    @cached_property
    def readable(self) -> frozenset[str]:
        """Names of the columns that are read from a source: all but the leaks, and the target."""
        return frozenset({*self.columns, self.target.column} - {column.name for column in self.leaks})

    @cached_property
    def asked(self) -> tuple[Column, ...]:
        """Columns known when a forecast is asked for: features, then audit columns."""
        return self.features + self.audit

    @cached_property
    def counted(self) -> tuple[Column, ...]:
        """Features that look like counts over a period: whole, from 0, of a unit that is no mark."""
        whole = (c for c in self.features if c.kind is Kind.INTEGER and c.min == 0)
        return tuple(column for column in whole if column.unit and "point" not in column.unit)

    @cached_property
    def id(self) -> Column | None:
        """The column that names a student, if there is one."""
        return next(iter(self._having(Role.ID)), None)

    @cached_property
    def score(self) -> Column | None:
        """The numeric score that the class is derived from, if there is one."""
        return next(iter(self._having(Role.SCORE)), None)


def _named(name: Any, column: dict[Any, Any]) -> dict[Any, Any]:
    if column.get("name", name) != name:
        raise Misfit("a column's name is the key that it stands under", "columns", name, "name")
    return {**column, "name": name}


def load_contract(name_or_path: str | Path, *, strict: bool = True) -> Contract:
    """Load a contract by name or from a YAML file; not strict for that of a registered bundle.

    Raises BadInput naming the file, the line and what is allowed there.
    """
    return read_contract(name_or_path, Contract, strict=strict)


if (
    __name__ == "__main__"
):  # by its name: the command needs pandas, and the predictor, which imports this, has none
    sys.exit(import_module("data.contract_command").main())
