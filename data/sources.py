"""Read records from where they are: a CSV or Parquet file, or a generated cohort, as a raw frame."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from data import cohort
from data.contract import Contract
from data.csv_files import no_rows, read_csv
from data.errors import BadInput
from data.frames import refuse_missing, refuse_twice

DEFAULT = "cohort://2392"
GENERATED = "grade_class"
"""The contract that the generated cohorts follow."""
FIRST_ID, STUDENTS_A_SEED = 1001, 100_000_000
READERS = ".csv .tsv .txt .parquet"


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

    @model_validator(mode="after")
    def _strength_is_of_a_scenario(self) -> Self:
        if self.scenario is not None and self.scenario not in cohort.SCENARIOS:
            raise ValueError(f"no scenario {self.scenario!r}; there are {', '.join(cohort.SCENARIOS)}")
        if self.strength is not None and self.scenario is None:
            raise ValueError("a strength needs a scenario")
        return self


@dataclass(frozen=True)
class Records:
    """A raw frame with where it came from; `generated` is the plan of a generated cohort."""

    frame: pd.DataFrame
    uri: str
    sha256: str
    undeclared: tuple[str, ...] = ()
    generated: CohortPlan | None = None


def read_records(uri: str, contract: Contract, *, labelled: bool = True) -> Records:
    """Read the declared columns of a source, to train on (labelled) or to score.

    `cohort://ROWS?seed=N&scenario=NAME&strength=X` generates a cohort; anything else is the path of
    a CSV (comma, semicolon or tab; UTF-8) or Parquet file. Raises BadInput.
    """
    path = check_source(uri)
    if path is None:
        return _generate(uri, contract)
    if path.suffix.lower() == ".parquet":
        frame, header = _read_parquet(path, contract, labelled=labelled)
    elif path.suffix.lower() in READERS.split():
        frame, header = read_csv(path, contract, labelled=labelled)
    else:
        reason = f"{path.suffix or 'no suffix'}: not a kind of file that can be read."
        raise BadInput(reason, file=path, remedy=f"Give one of: {READERS}.")
    if not len(frame):
        raise no_rows(path)
    undeclared = tuple(name for name in header if name not in {*contract.columns, contract.target.column})
    return Records(frame, str(path), _sha256(path), undeclared)


def check_source(uri: str) -> Path | None:
    """Return the file of a source, None for a cohort; raises BadInput where there is no file to read."""
    parts = urlsplit(uri)
    if parts.scheme == "cohort":
        return None
    if "://" in uri and parts.scheme != "file":
        raise BadInput(f"{uri}: nothing here reads {parts.scheme}://.", remedy="Give the path of a file.")
    path = Path(unquote(parts.path) if parts.scheme == "file" else uri)
    _check_file(path, uri)
    return path


def _read_parquet(path: Path, contract: Contract, *, labelled: bool) -> tuple[pd.DataFrame, list[str]]:
    with _reading_parquet(path):
        names = pyarrow.parquet.read_schema(path).names
    refuse_twice(names, path)
    refuse_missing(names, contract, labelled=labelled, file=path)
    with _reading_parquet(path):
        table = pyarrow.parquet.read_table(path, columns=[n for n in names if n in contract.readable])
        frame = table.to_pandas(ignore_metadata=True)  # which would make an index of a column
    return frame, names


@contextmanager
def _reading_parquet(path: Path) -> Iterator[None]:
    """Say of whatever a damaged file ends in that it is none."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput("this is not a Parquet file.", file=path, remedy="Write it again.") from error


def _generate(uri: str, contract: Contract) -> Records:
    if contract.name != GENERATED:
        reason = f"there is no generated cohort for the contract {contract.name}."
        raise BadInput(reason, remedy="Give a file: DATA=… or --data ….")
    try:
        plan = CohortPlan.of(uri)
    except ValueError as error:
        raise _bad_address(uri, _reason(error)) from error
    try:
        frame = cohort.generate(plan.rows, seed=plan.seed, scenario=plan.scenario, strength=plan.strength)
    except (ValueError, ArithmeticError) as error:
        raise _bad_address(uri, f"{plan.scenario} cannot be that strong") from error
    content = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return Records(frame, uri, hashlib.sha256(content.tobytes()).hexdigest(), generated=plan)


def _bad_address(uri: str, reason: str) -> BadInput:
    return BadInput(f"{uri}: {reason}.", remedy="Write cohort://ROWS?seed=N&scenario=NAME&strength=X.")


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "this should")
    return ": ".join([*map(str, first["loc"]), message])


def _check_file(path: Path, uri: str) -> None:
    if uri and path.is_dir():
        raise BadInput("this is a directory.", file=path, remedy="Give the file in it.")
    if not path.is_file():
        raise BadInput(
            "there is no such file.", file=path, remedy="Check the path; it is taken from where you are."
        )
    if path.stat().st_size == 0:
        raise BadInput("the file is empty.", file=path, remedy="Give one with a header and students in it.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
