"""What each family of a grid file may vary, by the names of its own library."""

from itertools import product
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from data.manifest import FamilyName


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


class CatBoostFamily(AnyFamily):
    """CatBoost with symmetric trees. A tree of depth d is rewritten with 2^d leaves, so d has a limit."""

    ROUNDS = "iterations"
    family: Literal["catboost"]
    depth: LowDepths
    learning_rate: Shares
    iterations: Rounds
    l2_leaf_reg: Amounts = (3.0,)
    subsample: Shares = (1.0,)
    random_strength: Amounts = (1.0,)


class LogisticFamily(AnyFamily):
    """Multinomial logistic regression; C is the inverse of its ridge penalty."""

    family: Literal["logistic"]
    patience: None = None
    C: Strengths = (1.0,)


class NeuralFamily(AnyFamily):
    """A neural network with one layer of hidden units, trained by Adam."""

    ROUNDS = "epochs"
    family: Literal["neural"]
    hidden_units: Units
    epochs: Rounds
    learning_rate_init: Shares = (0.01,)
    alpha: Amounts = (0.0001,)


def _named(value: Any) -> str | None:
    if isinstance(value, AnyFamily):
        return value.family
    return str(value.get("family", "xgboost")) if isinstance(value, dict) else "xgboost"


FamilyOfGrid = Annotated[
    Annotated[Family, Tag("xgboost")]
    | Annotated[CatBoostFamily, Tag("catboost")]
    | Annotated[LogisticFamily, Tag("logistic")]
    | Annotated[NeuralFamily, Tag("neural")],
    Discriminator(
        _named,
        custom_error_type="family",
        custom_error_message="family must be xgboost (or left out), catboost, logistic or neural",
    ),
]
