"""What candidates say of rows that none of them saw: each alone, and several pooled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from data.bundle.bundle import TITLES
from data.bundle.manifest import FamilyName
from data.bundle.models import Member, PoolModel
from data.words import percent
from flows.training.data import TrainingData
from flows.training.families import Refitted
from flows.training.ordinal import Head, OrdinalLink, fit_head, fit_sigma, floor_of, row_losses


@dataclass(frozen=True)
class OutOfFold:
    """What the folds say of rows none of them saw, in the data's own row order.

    latent is (n,), or margins (n, K) for softmax; cuts are those of each row's own fold, (n, K-1),
    (n, 0) for softmax.
    """

    family: FamilyName
    rounds: int
    head: Head
    log_loss: float
    latent: np.ndarray
    cuts: np.ndarray

    settled_at: int = 0
    """The rounds at which all of the head was fitted, and not its sigma alone."""

    @classmethod
    def at(
        cls,
        data: TrainingData,
        family: FamilyName,
        rounds: int,
        latent: np.ndarray,
        cuts: np.ndarray,
        before: Self | None,
    ) -> Self:
        """Fit the head at a checkpoint: whenever the rounds have doubled all of it, else sigma alone."""
        if before is not None and rounds < 2 * before.settled_at:
            head = before.head  # whose sigma moves little
            sigma, loss = fit_sigma(latent, data.y, cuts + head.shifts, head.sigma, 3.0, head.base)
            return cls(family, rounds, head._replace(sigma=sigma), loss, latent, cuts, before.settled_at)
        near, _ = fit_sigma(latent, data.y, cuts, data.latent_scale if latent.ndim == 1 else 1.0)
        floor = floor_of(data.students_in_all, data.classes)
        head = fit_head(latent, data.y, cuts, near, floor, data.shares)
        loss = float(row_losses(head.probabilities(latent, cuts), data.y).mean())
        return cls(family, rounds, head, loss, latent, cuts, rounds)

    def settled(self, data: TrainingData) -> Self:
        """Return the same with all of its head fitted here."""
        if self.rounds == self.settled_at:
            return self
        return self.at(data, self.family, self.rounds, self.latent, self.cuts, None)

    def probabilities(self) -> np.ndarray:
        """Return the class probabilities (n, K), float64."""
        return self.head.probabilities(self.latent, self.cuts)


PSEUDO_ROWS = 100  # that speak for each family alike
LEAST, ALONE = 0.05, 0.95
STEPS, SETTLED = 2_000, 1e-8
FIRST: FamilyName = "xgboost"
"""The family that is in every pool, and named first."""


class Chosen(NamedTuple):
    """A candidate that is fitted again on all rows, and its share of the forecast."""

    params: Mapping[str, Any]
    out_of_fold: OutOfFold
    weight: float


def pooled(
    candidates: Sequence[tuple[Mapping[str, Any], OutOfFold]], data: TrainingData
) -> tuple[Chosen, ...]:
    """Return the best candidate of each family with its share, the first family's first.

    Who has less than a twentieth is left out, but for the first family, which stays alone where it has
    nearly all. Pools of calibrated forecasts lose less than picking the one that looks best (Timmermann 2006,
    "Forecast combinations"; linear pools, Stone 1961).
    """
    best: dict[FamilyName, Chosen] = {}
    for params, found in sorted(candidates, key=lambda one: one[1].log_loss):
        best.setdefault(found.family, Chosen(params, found, 0.0))
    if FIRST in best:
        best = {FIRST: best.pop(FIRST), **best}
    members = list(best.values())
    while True:
        own = [one.out_of_fold.probabilities()[np.arange(len(data.y)), data.y] for one in members]
        weights = weights_of(np.column_stack(own), data.students_in_all)
        if members[0].out_of_fold.family == FIRST and weights[0] >= ALONE:
            return (members[0]._replace(weight=1.0),)
        kept = [place == 0 or weight >= LEAST for place, weight in enumerate(weights)]
        if all(kept):
            pairs = zip(members, weights.tolist(), strict=True)
            return tuple(one._replace(weight=weight) for one, weight in pairs)
        members = [one for one, stays in zip(members, kept, strict=True) if stays]


def weights_of(own: np.ndarray, students: int) -> np.ndarray:
    """Return the weights (M,) of forecasts that gave what came the probabilities `own` (n, M).

    By expectation and maximisation of the pool's log loss (Dempster, Laird and Rubin 1977), shrunk towards
    equal weights by 100 pseudo-rows: w = (sum of responsibilities + 100 / M) / (n + 100). Rows of one student
    count as one row together.
    """
    count = own.shape[1]
    weights = np.full(count, 1 / count)
    for _ in range(STEPS):
        parts = own * weights
        shares = (parts / parts.sum(axis=1, keepdims=True)).mean(axis=0)
        before, weights = weights, (students * shares + PSEUDO_ROWS / count) / (students + PSEUDO_ROWS)
        if np.abs(weights - before).max() < SETTLED:
            break
    return np.asarray(weights)


def together(members: Sequence[Chosen]) -> tuple[np.ndarray, Head]:
    """Return what chosen candidates say together: probabilities (n, K), and the head of it.

    The bases of members stay, each by its weight; the rest is shared out among their forecasts.
    """
    if len(members) == 1:
        return members[0].out_of_fold.probabilities(), members[0].out_of_fold.head
    shares = np.asarray(sum(one.weight * one.out_of_fold.probabilities() for one in members))
    base = np.asarray(sum(one.weight * one.out_of_fold.head.base for one in members))
    outliers = float(sum(one.weight * one.out_of_fold.head.outliers for one in members))
    return shares, Head(1.0, np.empty(0), outliers, base)


def assemble(members: Sequence[Chosen], refitted: Sequence[Refitted], head: Head) -> Refitted:
    """Return one model of members that were fitted again, whose probabilities are those of `together`."""
    rest, parts = 1 - head.base.sum(), []
    for one, again in zip(members, refitted, strict=True):
        own: OrdinalLink = again.link(one.out_of_fold.head)
        weight = one.weight * (1 - one.out_of_fold.head.base.sum()) / rest
        if isinstance(again.model, PoolModel):
            raise TypeError("a pool is no member of a pool")
        parts.append(Member.of(one.out_of_fold.family, float(weight), own.cuts, own.sigma, again.model))
    return Refitted(PoolModel(members=tuple(parts)), np.empty(0))


def in_words(members: Sequence[Chosen]) -> str:
    """Name the members with their shares: `XGBoost 46 %, logistic regression 54 %`."""
    return ", ".join(f"{TITLES[one.out_of_fold.family]} {percent(one.weight)}" for one in members)
