"""A booster as the model of a bundle: its latent, and each column's part in it by TreeSHAP."""

from functools import cached_property
from typing import Any, Self

import numpy as np


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
