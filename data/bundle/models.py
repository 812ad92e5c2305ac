"""The models of a bundle as they are on disk: trees, boosters, dense layers, and pools of them."""

from base64 import b64decode, b64encode
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from data.bundle.manifest import BOOSTER, DENSE, POOL

Numbers = tuple[FiniteFloat, ...]


class Layer(BaseModel):
    """Weights (in, out) and biases (out,)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Annotated[tuple[Numbers, ...], Field(min_length=1)]
    biases: Annotated[Numbers, Field(min_length=1)]


DAY_POWERS = 3
"""Times that the columns are there where a model goes by the day: alone, times it, times its square."""


def with_days(rows: np.ndarray, day: int | None) -> np.ndarray:
    """Return standardised rows (n, w); where they go by a day's column, with their products (n, 3 w)."""
    if day is None:
        return rows
    days = rows[:, [day]]
    return np.concatenate([rows, rows * days, rows * days**2], axis=1)


class DenseModel(BaseModel):
    """Margins of classes from feature rows, or one latent.

    fills (F,) stand in for missing cells; `marked` holds the columns whose missing cells a column of
    its own marks; means and scales are of the F columns and the marks behind them. With a `day`, the
    column of it, each weight is a square function of the day: that of a column, of the column times the
    day, and times its square, one behind the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fills: Numbers
    marked: tuple[Annotated[int, Field(ge=0)], ...]
    means: Numbers
    scales: tuple[Annotated[FiniteFloat, Field(gt=0)], ...]
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=2)]
    day: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        width = len(self.fills) + len(self.marked)
        sizes = [width if self.day is None else DAY_POWERS * width]
        for layer in self.layers:
            if len(layer.weights) != sizes[-1] or {len(row) for row in layer.weights} != {len(layer.biases)}:
                raise ValueError("a layer does not fit the one before")
            sizes.append(len(layer.biases))
        if (len(self.means), len(self.scales)) != (width, width) or max(
            (*self.marked, self.day or 0)
        ) >= width:
            raise ValueError("columns, means and scales are not as many")
        return self

    @cached_property
    def arrays(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The weights (in, out) and biases (out,) of each layer."""
        return [(np.array(layer.weights), np.array(layer.biases)) for layer in self.layers]

    def latent(self, matrix: np.ndarray) -> np.ndarray:
        """Return the margins (n, K), float64, or a latent (n,), of feature rows (n, F); NaN is missing."""
        margins = self._margins(with_days(self._standardised(matrix), self.day))
        return margins[:, 0] if margins.shape[1] == 1 else margins

    def _margins(self, rows: np.ndarray) -> np.ndarray:
        for weights, biases in self.arrays[:-1]:
            rows = np.maximum(rows @ weights + biases, 0)
        weights, biases = self.arrays[-1]
        return rows @ weights + biases

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return each float column's part in each margin (n, K, F + 1), or in the latent (n, F + 1).

        The last is the average row's.

        Integrated gradients (Sundararajan, Taly and Yan 2017), exact where there is one hidden layer: for
        a logistic regression coefficient times (value - mean), and always parts that add up to the row's
        margin.
        """
        rows, width = self._standardised(matrix), len(self.fills)
        inputs = with_days(rows, self.day)
        parts = inputs[:, None] * self._mean_slopes(inputs)
        parts = parts.reshape(*parts.shape[:2], -1, rows.shape[1]).sum(axis=2)
        parts[..., list(self.marked)] += parts[..., width:]
        average = np.broadcast_to(self._margins(np.zeros_like(inputs[:1])), parts.shape[:2])
        found = np.concatenate([parts[..., :width], average[..., None]], axis=2)
        return found[:, 0] if found.shape[1] == 1 else found

    def to_bytes(self) -> bytes:
        """Return the model as JSON."""
        return self.model_dump_json().encode()

    def _standardised(self, matrix: np.ndarray) -> np.ndarray:
        missing = np.isnan(matrix)
        filled = np.where(missing, np.array(self.fills), matrix)
        rows = np.concatenate([filled, missing[:, list(self.marked)]], axis=1)
        return (rows - np.array(self.means)) / np.array(self.scales)

    def _mean_slopes(self, rows: np.ndarray) -> np.ndarray:
        """Return each margin's mean gradient on the way from the average row to each (n, K, columns).

        A hidden unit counts for the part of the way on which it is active.
        """
        slopes = self.arrays[-1][0].T[None]
        for weights, biases in self.arrays[:-1]:
            way = rows @ weights
            rise = np.maximum(way + biases, 0) - np.maximum(biases, 0)
            active = np.divide(rise, way, out=np.zeros_like(way), where=way != 0)
            slopes = (slopes * active[:, None]) @ weights.T
        return slopes


class TreeModel:
    """An XGBoost booster, read from UBJSON when it is first asked."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @classmethod
    def of(cls, booster: Any) -> Self:
        """Return a grown booster as a model."""
        return cls(bytes(booster.save_raw("ubj")))

    @cached_property
    def booster(self) -> Any:
        """The booster, on one thread."""
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(self._content))
        return booster

    def latent(self, matrix: np.ndarray) -> np.ndarray:
        """Return the latent (n,), or margins (n, K), of feature rows (n, F); NaN is a missing value."""
        return self.booster.predict(self._rows(matrix), output_margin=True)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return each float column's part in the latent (n, F + 1), or in each margin (n, K, F + 1).

        By TreeSHAP; the last is the average row's, and all of them add up to the row's.
        """
        return self.booster.predict(self._rows(matrix), pred_contribs=True)

    def to_bytes(self) -> bytes:
        """Return the booster as UBJSON."""
        return self._content

    def _rows(self, matrix: np.ndarray) -> Any:
        import xgboost

        return xgboost.DMatrix(matrix, nthread=1)


def forecast_of(latent: np.ndarray, cuts: np.ndarray, sigma: float) -> np.ndarray:
    """Return the class probabilities (n, K), float64, best class first.

    Args:
        latent: (n,) with cuts; margins (n, K), which have none, go through softmax.
        cuts: falling, (K-1,), or (n, K-1) where each row has its own; in the latent's unit.
        sigma: the latent's noise, or the margins' temperature.
    """
    from scipy.special import ndtr, softmax

    latent = latent.astype(np.float64)
    if latent.ndim > 1:
        return np.asarray(softmax(latent / sigma, axis=1))
    reach = ndtr((latent[:, None] - cuts) / sigma)
    return np.diff(reach, axis=1, prepend=0, append=1)


class Member(BaseModel):
    """A model of a pool: its share of the forecast, its head, and itself, a booster's UBJSON in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    weight: Annotated[FiniteFloat, Field(gt=0, le=1)]
    cuts: Numbers
    sigma: Annotated[FiniteFloat, Field(gt=0)]
    booster: str = ""
    dense: DenseModel | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if bool(self.booster) == bool(self.dense):
            raise ValueError("a member is a booster or a dense model")
        return self

    @cached_property
    def model(self) -> TreeModel | DenseModel:
        """The model itself."""
        return self.dense or TreeModel(b64decode(self.booster, validate=True))

    @classmethod
    def of(
        cls, family: str, weight: float, cuts: tuple[float, ...], sigma: float, model: TreeModel | DenseModel
    ) -> Self:
        """Return a model as a member."""
        own = {"dense": model} if isinstance(model, DenseModel) else {"booster": _as_text(model)}
        return cls(family=family, weight=weight, cuts=cuts, sigma=sigma, **own)

    def forecast(self, latent: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, K) of its latent (n,), or of its margins (n, K)."""
        return forecast_of(latent, np.array(self.cuts), self.sigma)

    def slope(self, latent: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return the slope by the latent (n,), or margins (n, K), of what has these by the classes (n, K)."""
        if latent.ndim > 1:
            shares = self.forecast(latent)
            return shares * (slopes - (shares * slopes).sum(axis=1, keepdims=True)) / self.sigma
        away = (latent[:, None] - np.array(self.cuts)) / self.sigma
        density = np.exp(-0.5 * away * away) / np.sqrt(2 * np.pi) / self.sigma
        return np.asarray((density * (slopes[:, :-1] - slopes[:, 1:])).sum(axis=1))


def _as_text(model: TreeModel) -> str:
    return b64encode(model.to_bytes()).decode()


class PoolModel(BaseModel):
    """Models whose probabilities are averaged by their weights, which add up to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    members: Annotated[tuple[Member, ...], Field(min_length=2)]

    def latent(self, matrix: np.ndarray) -> np.ndarray:
        """Return the log of the averaged probabilities (n, K): margins, which softmax gives back."""
        shares = sum(member.weight * member.forecast(member.model.latent(matrix)) for member in self.members)
        return np.log(np.maximum(shares, np.finfo(float).tiny))

    def to_bytes(self) -> bytes:
        """Return the pool as JSON."""
        return self.model_dump_json().encode()


Model = TreeModel | DenseModel | PoolModel
"""What the graph is checked against, and what gives the reasons."""


def open_model(file: str, content: bytes) -> Model:
    """Open a model from its file's name and content; raises ValueError for numbers that are no model."""
    if file == POOL:
        return PoolModel.model_validate_json(content)
    return DenseModel.model_validate_json(content) if file == DENSE else TreeModel(content)


def read_model(folder: Path) -> Model:
    """Open the model that a folder holds."""
    file = next(path for path in (folder / BOOSTER, folder / DENSE, folder / POOL) if path.is_file())
    return open_model(file.name, file.read_bytes())
