"""What the training core is given: plain arrays and what is known of their columns."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Kind = Literal["score", "ordinal", "softmax"]
PAIR = 2


@dataclass(frozen=True)
class TrainingData:
    """Feature matrix, classes and what the contract says of both.

    X is float32 (n, F) with NaN only where a feature is nullable; y is int64 (n,), 0 = best class;
    score is float64 (n,) in the contract's unit, None where it may not be trained on.
    """

    X: np.ndarray
    y: np.ndarray
    score: np.ndarray | None
    names: tuple[str, ...]
    monotone: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    ordered: bool
    bounds: tuple[float, ...] | None
    rule_of_thumb: int | None

    @property
    def kind(self) -> Kind:
        """How the latent is learned: on the score, by the ordinal objective, or one margin a class.

        Two classes are in order, whether or not it means anything.
        """
        if self.ordered and self.score is not None and self.bounds is not None:
            return "score"
        return "ordinal" if self.ordered or self.classes == PAIR else "softmax"

    @property
    def classes(self) -> int:
        """The number of classes, whether or not each has a row."""
        return len(self.labels)

    @property
    def target(self) -> np.ndarray:
        """What the booster is fitted to: the score, else the classes."""
        return self.y if self.score is None or self.kind != "score" else self.score

    @property
    def spread(self) -> float:
        """The scale of the latent, where the search for sigma starts."""
        return float(np.std(self.target)) or 1.0 if self.kind == "score" else 1.0

    def rows(self, index: np.ndarray) -> "TrainingData":
        """Return the same data with these rows alone."""
        score = None if self.score is None else self.score[index]
        return replace(self, X=self.X[index], y=self.y[index], score=score)
