"""Grid files: families of candidates in YAML, checked before anything is fitted."""

from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import BadInput
from data.manifest import FamilyName
from data.yaml_files import find_yaml, parse_yaml, read_text
from flows.training.families.parameters import Candidates, Family, FamilyOfGrid

__all__ = ["Candidates", "Family", "Grid", "load_grid"]

TAGS = set(get_args(FamilyName))

GRIDS = Path(__file__).parents[1] / "grids"


class Grid(BaseModel):
    """The candidates of a search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: tuple[FamilyOfGrid, ...] = Field(min_length=1)

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
    """Read a grid by the name of one of ours (`default`, `wide`, `families`) or by its path.

    Raises BadInput naming the file, the field and what is allowed.
    """
    path = find_yaml("grid", name_or_path, GRIDS)
    _, raw = parse_yaml(read_text(path), file=path)
    try:
        return Grid.model_validate(raw)
    except ValidationError as error:
        raise BadInput(_readable(error), file=path) from error


def _readable(error: ValidationError) -> str:
    """Return one line for each wrong field, as `families 1, max_depth: what is wrong`."""
    lines = []
    for problem in error.errors():
        parts = [part for number, part in enumerate(problem["loc"]) if not (number == 2 and part in TAGS)]
        place = [f"{part + 1}" if isinstance(part, int) else part for part in parts]
        where = ", ".join(part for part in (" ".join(place[:2]), " ".join(place[2:])) if part)
        lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    return "; ".join(lines) + "."
