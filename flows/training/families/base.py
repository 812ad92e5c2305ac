"""What every family gives the search and the refit."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data.model_files import Model
from flows.training.heads import Head


class Learner(Protocol):
    """One fold's model on its way, and the rows that were held out from it."""

    @property
    def cuts(self) -> np.ndarray:
        """The cut points so far: (K-1,) for a latent, (0,) for margins."""

    def grow(self, until: int) -> None:
        """Learn up to this number of rounds."""

    def held(self) -> np.ndarray:
        """Return the latent (n,), or margins (n, K), of the held-out rows."""


@dataclass(frozen=True)
class Grown:
    """A model fitted to all rows, with its cuts: (K-1,) for a latent, (0,) for margins."""

    model: Model
    cuts: np.ndarray

    def head(self, sigma: float) -> Head:
        """Return the head that belongs to the model, given the noise of its latent."""
        return Head("probit" if len(self.cuts) else "softmax", tuple(self.cuts.tolist()), sigma)


NO_CUTS = np.empty(0)
