"""Which contract has a generated cohort, and the address that asks for one: `cohort://ROWS?seed=N`.

A contract whose records have dates has tables; of others, a cohort is one table with a row a student.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from data.cohorts import after_school as cohort_after_school
from data.cohorts import exams as cohort_exam
from data.cohorts import grades as cohort
from data.cohorts import leaving_exam as cohort_leaving
from data.cohorts import school_year as cohort_school_year
from data.contract.contract import Contract
from data.errors import BadInput

ADDRESS = "Write cohort://ROWS?seed=N&scenario=NAME&strength=X."


class Generator(Protocol):
    """A module that generates the cohorts of one contract, with a scenario and a strength if it has any.

    generate: of a number of rows and a seed, raw and labelled rows. true_probabilities: of such rows, their
    class probabilities (n, K). true_totals: of the columns that accumulate, the chance of each total 0, 1, …;
    None where it is not the same whatever the other columns are.
    """

    SCENARIOS: dict[str, float]
    generate: Callable[..., pd.DataFrame]
    true_probabilities: Callable[..., np.ndarray]
    true_totals: Callable[..., dict[str, np.ndarray] | None]


class DatedGenerator(Protocol):
    """A module that generates the tables of one contract with dates.

    tables: of a number of students and a seed, the tables by name. true_probabilities: of such tables and a
    day, the class probabilities of each student who is there on it, by the name of the student.
    """

    SCENARIOS: dict[str, float]
    tables: Callable[..., dict[str, pd.DataFrame]]
    true_probabilities: Callable[..., pd.DataFrame]


GENERATORS: Mapping[str, Generator] = {
    "grade_class": cohort,
    "exam_scores": cohort_exam,
    "after_school": cohort_after_school,
    "leaving_exam": cohort_leaving,
}
"""The generators by the name of their contract."""
DATED_GENERATORS: Mapping[str, DatedGenerator] = {"school_year": cohort_school_year}
"""The generators of contracts with dates, likewise."""
AnyGenerator = TypeVar("AnyGenerator", Generator, DatedGenerator)
Generated = TypeVar("Generated")


class CohortPlan(BaseModel):
    """What a `cohort://` address asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=1, le=20_000_000)
    seed: int = Field(2392, ge=0)
    scenario: str | None = None
    strength: FiniteFloat | None = None

    @classmethod
    def of(cls, uri: str) -> Self:
        """Read an address; raises ValueError, of which pydantic's ValidationError is one."""
        parts = urlsplit(uri)
        asked = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        keys = {"rows", *dict(asked)}
        if parts.path or parts.fragment or len(keys) <= len(asked):
            raise ValueError("there is something in it that is not understood")
        return cls.model_validate({"rows": parts.netloc, **dict(asked)})

    @property
    def drift(self) -> dict[str, Any]:
        """The scenario and its strength, as a generator takes them; nothing where there is none."""
        return self.model_dump(include={"scenario", "strength"}) if self.scenario is not None else {}

    @model_validator(mode="after")
    def _strength_is_of_a_scenario(self) -> Self:
        if self.strength is not None and self.scenario is None:
            raise ValueError("a strength needs a scenario")
        return self


def generate_cohort(uri: str, contract: Contract) -> tuple[pd.DataFrame, CohortPlan]:
    """Generate what an address asks for under a contract without dates; raises BadInput."""
    generator, plan = _asked(uri, contract, GENERATORS)
    return _generated(uri, plan, generator.generate), plan


def generate_tables(uri: str, contract: Contract) -> tuple[dict[str, pd.DataFrame], CohortPlan]:
    """Generate the tables that an address asks for under a contract with dates; raises BadInput."""
    generator, plan = _asked(uri, contract, DATED_GENERATORS)
    return _generated(uri, plan, generator.tables), plan


def write_cohort(uri: str, contract: Contract, folder: Path) -> tuple[dict[str, int], CohortPlan]:
    """Write each table of a cohort as a CSV file of a folder that is made for it; return their rows.

    A contract without dates has one table, `students`. Raises BadInput where the address cannot be had, or
    the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput("there is something here already.", file=folder, remedy="Name a new folder.")
    if contract.name in DATED_GENERATORS:
        tables, plan = generate_tables(uri, contract)
    else:
        students, plan = generate_cohort(uri, contract)
        tables = {"students": students}
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return {name: len(table) for name, table in tables.items()}, plan


def _asked(
    uri: str, contract: Contract, generators: Mapping[str, AnyGenerator]
) -> tuple[AnyGenerator, CohortPlan]:
    generator = generators.get(contract.name)
    if generator is None:
        reason = f"there is no generated cohort for the contract {contract.name}."
        raise BadInput(reason, remedy="Give a file: DATA=… or --data ….")
    try:
        plan = CohortPlan.of(uri)
        if plan.scenario is not None and plan.scenario not in generator.SCENARIOS:
            known = ", ".join(generator.SCENARIOS) or "none for this contract"
            raise ValueError(f"no scenario {plan.scenario!r}; there are {known}")
    except ValueError as error:
        raise _bad_address(uri, _reason(error)) from error
    return generator, plan


def _generated(uri: str, plan: CohortPlan, generate: Callable[..., Generated]) -> Generated:
    try:
        return generate(plan.rows, plan.seed, **plan.drift)
    except (ValueError, ArithmeticError) as error:
        raise _bad_address(uri, f"{plan.scenario} cannot be that strong") from error


def _bad_address(uri: str, reason: str) -> BadInput:
    return BadInput(f"{uri}: {reason}.", remedy=ADDRESS)


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "this should")
    return ": ".join([*map(str, first["loc"]), message])
