"""Grid files: families of candidates in YAML, checked before anything is fitted."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from data.errors import BadInput

GRIDS = Path(__file__).parents[1] / "grids"


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


ONE_OR_MORE = (BeforeValidator(_as_list), Field(min_length=1))
Depths = Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], *ONE_OR_MORE]
Rounds = Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], *ONE_OR_MORE]
Shares = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], *ONE_OR_MORE]
Amounts = Annotated[tuple[Annotated[float, Field(ge=0)], ...], *ONE_OR_MORE]
Switches = Annotated[tuple[bool, ...], *ONE_OR_MORE]


class Candidates(BaseModel):
    """One fit and its checkpoints: XGBoost's parameters, and the rounds to stop and look at."""

    model_config = ConfigDict(frozen=True)

    params: dict[str, Any]
    checkpoints: tuple[int, ...]
    patience: int | None


class Family(BaseModel):
    """Every combination of its lists; one value stands for a list of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_depth: Depths
    learning_rate: Shares
    n_estimators: Rounds
    min_child_weight: Amounts = (1.0,)
    subsample: Shares = (1.0,)
    colsample_bytree: Shares = (1.0,)
    gamma: Amounts = (0.0,)
    reg_lambda: Amounts = (1.0,)
    additive: Switches = (False,)
    patience: Annotated[int, Field(ge=1)] | None = None

    def fits(self) -> list[Candidates]:
        """Return one entry for each fit; it holds a candidate for each value of n_estimators."""
        axes = {name: getattr(self, name) for name in type(self).model_fields}
        axes = {name: values for name, values in axes.items() if name not in {"n_estimators", "patience"}}
        checkpoints = tuple(sorted(set(self.n_estimators)))
        return [
            Candidates(
                params=dict(zip(axes, point, strict=True)), checkpoints=checkpoints, patience=self.patience
            )
            for point in product(*axes.values())
        ]


class Grid(BaseModel):
    """The candidates of a search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: tuple[Family, ...] = Field(min_length=1)

    def fits(self) -> list[Candidates]:
        """Return the fits of all families, in their order."""
        return [fit for family in self.families for fit in family.fits()]

    def size(self) -> int:
        """Return the number of candidates."""
        return sum(len(fit.checkpoints) for fit in self.fits())

    def without_patience(self) -> "Grid":
        """Return the same candidates, each grown to its full number of rounds."""
        return Grid(families=tuple(f.model_copy(update={"patience": None}) for f in self.families))


def load_grid(name_or_path: str | Path) -> Grid:
    """Read a grid by the name of one of ours (`default`, `wide`) or by its path.

    Raises BadInput naming the file, the field and what is allowed.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = GRIDS / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in GRIDS.glob("*.yaml")))
        raise BadInput(f"There is no grid {name_or_path}.", remedy=f"Known: {known}; or give a YAML file.")
    try:
        return Grid.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"This is not YAML: {error}.", file=path) from error
    except ValidationError as error:
        raise BadInput(_readable(error), file=path) from error


def _readable(error: ValidationError) -> str:
    """Return one line for each wrong field, as `families 1, max_depth: what is wrong`."""
    lines = []
    for problem in error.errors():
        place = [f"{part + 1}" if isinstance(part, int) else part for part in problem["loc"]]
        where = ", ".join(part for part in (" ".join(place[:2]), " ".join(place[2:])) if part)
        lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    return "; ".join(lines) + "."
