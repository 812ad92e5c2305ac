"""The grid file: families, their parameters and limits, and the candidates that follow."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError

from data.bundle.manifest import FamilyName
from data.contract.contract import Contract
from data.contract.yaml_files import find_yaml, parse_yaml, read_text
from data.errors import BadInput


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


ONE_OR_MORE = (BeforeValidator(_as_list), Field(min_length=1))
Depths = Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], *ONE_OR_MORE]
LowDepths = Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], *ONE_OR_MORE]
Rounds = Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], *ONE_OR_MORE]
Units = Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], *ONE_OR_MORE]
Shares = Annotated[tuple[Annotated[float, Field(ge=1e-9, le=1)], ...], *ONE_OR_MORE]
Amounts = Annotated[tuple[Annotated[float, Field(ge=0, le=1e9)], ...], *ONE_OR_MORE]
Strengths = Annotated[tuple[Annotated[float, Field(ge=1e-9, le=1e9)], ...], *ONE_OR_MORE]
Bins = Annotated[tuple[Annotated[int, Field(ge=2, le=1024)], ...], *ONE_OR_MORE]
Heads = Annotated[tuple[Literal["own", "ordinal", "softmax"], ...], *ONE_OR_MORE]
Switches = Annotated[tuple[bool, ...], *ONE_OR_MORE]
Patience = Annotated[int, Field(ge=1)] | None


class Candidates(BaseModel):
    """One fit and its checkpoints: the family's parameters, and the rounds to stop and look at.

    `rounds` names the parameter that the checkpoints are values of; None where a fit has no rounds.
    """

    model_config = ConfigDict(frozen=True)

    family: FamilyName = "xgboost"
    rounds: str | None = "n_estimators"
    params: dict[str, Any]
    checkpoints: tuple[int, ...]
    patience: int | None


class AnyFamily(BaseModel):
    """Every combination of its lists; one value stands for a list of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ROUNDS: ClassVar[str | None] = None
    family: FamilyName
    patience: Patience = None

    def fits(self) -> list[Candidates]:
        """Return one entry for each fit; it holds a candidate for each value of its rounds."""
        apart = {self.ROUNDS, "family", "patience"}
        axes = {name: getattr(self, name) for name in type(self).model_fields if name not in apart}
        limits = getattr(self, self.ROUNDS) if self.ROUNDS else (1,)
        return [
            Candidates(
                family=self.family,
                rounds=self.ROUNDS,
                params=dict(zip(axes, point, strict=True)),
                checkpoints=tuple(sorted(set(limits))),
                patience=self.patience,
            )
            for point in product(*axes.values())
        ]


class Family(AnyFamily):
    """XGBoost, and what no other family is named for."""

    ROUNDS = "n_estimators"
    family: Literal["xgboost"] = "xgboost"
    max_depth: Depths
    learning_rate: Shares
    n_estimators: Rounds
    min_child_weight: Amounts = (1.0,)
    subsample: Shares = (1.0,)
    colsample_bytree: Shares = (1.0,)
    gamma: Amounts = (0.0,)
    reg_lambda: Amounts = (1.0,)
    additive: Switches = (False,)
    max_bin: Bins = (256,)
    head: Heads = ("own",)
    """What makes the probabilities of ordered classes: their `own` latent with cut points, of the score where
    there is one; an `ordinal` latent that makes no use of the score; or `softmax`."""


class CatBoostFamily(AnyFamily):
    """CatBoost with symmetric trees. A tree of depth d is rewritten with 2^d leaves, so d has a limit."""

    ROUNDS = "iterations"
    family: Literal["catboost"]
    depth: LowDepths
    learning_rate: Shares
    iterations: Rounds
    l2_leaf_reg: Amounts = (3.0,)
    head: Heads = ("own",)
    subsample: Shares = (1.0,)
    random_strength: Amounts = (1.0,)


class LogisticFamily(AnyFamily):
    """Multinomial logistic regression; C is the inverse of its ridge penalty.

    by_day: of dated records, each coefficient is a square function of the day.
    """

    family: Literal["logistic"]
    patience: None = None
    C: Strengths = (1.0,)
    by_day: Switches = (False,)


class LinearFamily(AnyFamily):
    """A linear model of the score, with cut points; `alpha` is its ridge penalty; needs a score."""

    family: Literal["linear"]
    patience: None = None
    alpha: Amounts = (1.0,)
    by_day: Switches = (False,)


class NeuralFamily(AnyFamily):
    """A neural network with one layer of hidden units, trained by Adam."""

    ROUNDS = "epochs"
    family: Literal["neural"]
    hidden_units: Units
    epochs: Rounds
    learning_rate_init: Shares = (0.01,)
    alpha: Amounts = (0.0001,)
    by_day: Switches = (False,)


def _named(value: Any) -> str | None:
    if isinstance(value, AnyFamily):
        return value.family
    return str(value.get("family", "xgboost")) if isinstance(value, dict) else "xgboost"


FamilyOfGrid = Annotated[
    Annotated[Family, Tag("xgboost")]
    | Annotated[CatBoostFamily, Tag("catboost")]
    | Annotated[LogisticFamily, Tag("logistic")]
    | Annotated[LinearFamily, Tag("linear")]
    | Annotated[NeuralFamily, Tag("neural")],
    Discriminator(
        _named,
        custom_error_type="family",
        custom_error_message="family must be xgboost (or left out), catboost, logistic, linear or neural",
    ),
]


TAGS = set(get_args(FamilyName))

GRIDS = Path(__file__).parents[1] / "grids"


class Grid(BaseModel):
    """The candidates of a search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: tuple[FamilyOfGrid, ...] = Field(min_length=1)
    pool: bool = False
    """Whether the families' best candidates are pooled, or the best of all is chosen."""
    budget: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which no further candidate is begun, unless whoever runs it gives others."""

    def fits(self) -> list[Candidates]:
        """Return the fits of all families, in their order."""
        return [fit for family in self.families for fit in family.fits()]

    def size(self) -> int:
        """Return the number of candidates."""
        return sum(len(fit.checkpoints) for fit in self.fits())


def grid_for(contract: Contract, asked: str) -> str:
    """Return the grid that is meant: the default of dated records is one of their own."""
    return "dated" if asked == "default" and contract.dated else asked


def load_grid(name_or_path: str | Path) -> Grid:
    """Read a grid by the name of one of ours (`default`, `dated`, `wide`, `families`) or by its path.

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
