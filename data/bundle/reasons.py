"""The reasons of a forecast: what they are about, in which unit, and how large each is.

They are of the forecast that is shown, and lead from the average student's to this one's: their sum is the
difference. Where there is a score they are in its unit, and a positive effect moves the forecast towards the
best class: of a latent that is the score itself, else of the score that the class probabilities expect.
Where there is none they are in percentage points of being at risk, which is what people act on, and a
positive effect speaks for the classes at risk. Bundles of earlier releases have units of their own.
Whoever shows a reason (API, pages, card, plots) takes its unit from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from data.bundle.models import Member, Model, PoolModel
from data.contract.columns import Target
from data.contract.contract import Contract
from data.rows.records import feature_space

RISK = "percentage points of risk"
LOG_ODDS = "log odds"
NOISE = "standard deviations of the noise"
SMALLEST = 1e-12  # of a probability whose logarithm is taken
PAIR = 2
STEPS = 24  # of the way from the average student along which a slope is averaged
GLOSSES = {
    LOG_ODDS: "0.7 more doubles the odds",
    NOISE: "1 is how far students who are alike in every column still differ",
}
"""What one of a unit that no contract names comes to."""


class Scale(NamedTuple):
    """What the effects of a model are measured in, and the classes that a positive one speaks for."""

    unit: str
    toward: tuple[str, ...]
    ordered: bool

    @property
    def own(self) -> bool:
        """Whether the unit is the model's own, so that its numbers say little to a reader."""
        return self.unit in GLOSSES

    @property
    def gloss(self) -> str:
        """What one of the unit comes to; nothing for the unit of a score."""
        return GLOSSES.get(self.unit, "")


def scale_of(target: Target, kind: str, head: Mapping[str, Any] | None = None) -> Scale:
    """Return the scale of a model's reasons.

    Args:
        target: says what is at risk, and the unit of the score.
        kind: what the model's latent is: score, ordinal, softmax, or pool.
        head: of the bundle, which says what the effects are about but for the score and older bundles.
    """
    about = (head or {}).get("reasons", {}).get("about")
    if about == "risk":
        return Scale(RISK, target.at_risk, ordered=False)
    if about == "score":
        return Scale(target.unit, target.labels[:1], ordered=True)
    units = {"score": target.unit, "softmax": LOG_ODDS}
    toward = target.labels[:1] if target.ordered else target.at_risk
    return Scale(units.get(kind, NOISE), toward, target.ordered)


def effect_in_words(scale: Scale) -> str:
    """Say what the effects are in: `in grade points`, `in log odds, for and against No place`."""
    toward = "" if scale.ordered else f", for and against {' or '.join(scale.toward)}"
    return f"in {scale.unit}{toward}"


def kind_of(head: Mapping[str, Any], training: Mapping[str, Any], target: Target) -> str:
    """Return what a bundle's latent is; the oldest bundles do not say, and knew scores and margins alone."""
    known = "softmax" if head["kind"] == "softmax" else "score" if target.bounds else "ordinal"
    return str(training.get("kind", known))


@dataclass(frozen=True)
class Tempering:
    """How much less sure the forecasts of each day are made, since a new cohort is not like those before.

    days: of the snapshots, rising; sharpness: of each, the power to which probabilities are raised before
    they add up to 1 again (one divided by a temperature), between days on the straight line; column: of the
    day, in a feature matrix.
    """

    days: tuple[int, ...]
    sharpness: tuple[float, ...]
    column: int

    def on(self, days: np.ndarray) -> np.ndarray:
        """Return the sharpness of forecasts as of these days (n,)."""
        return np.interp(days, self.days, self.sharpness)

    def apply(self, probabilities: np.ndarray, days: np.ndarray) -> np.ndarray:
        """Return probabilities (n, K) as of these days (n,) as sure as they may be."""
        raised = np.maximum(probabilities, SMALLEST) ** self.on(days)[:, None]
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def noise_of(head: Mapping[str, Any], matrix: np.ndarray) -> np.ndarray:
    """Return the noise of a latent, or the temperature of margins, by which each row (n,) is forecast."""
    sigma = np.full(len(matrix), float(head["sigma"]))
    if head["kind"] != "softmax" or not head.get("tempering"):
        return sigma
    tempering = Tempering(**head["tempering"])
    return np.asarray(sigma / tempering.on(matrix[:, tempering.column]))


def column_effects(
    model: Model, matrix: np.ndarray, contract: Contract, kind: str, head: Mapping[str, Any]
) -> np.ndarray:
    """Return each contract feature's effect (rows, features) in the unit of `scale_of`.

    `head` is the bundle's: cuts, sigma, base, tempering, and what the reasons are about. A nominal's float
    columns are added up.
    """
    told = head.get("reasons")
    effects = (
        _of_forecast(model, matrix, head, np.array(told["levels"]))
        if told
        else _of_latent(model, matrix, contract, kind, head)
    )
    groups = feature_space(contract).groups
    return np.stack([effects[:, list(group)].sum(axis=1) for group in groups], axis=1)


def _of_forecast(model: Model, matrix: np.ndarray, head: Mapping[str, Any], levels: np.ndarray) -> np.ndarray:
    """Return each float column's effect (n, F) on the level expected, of those of the classes (K,).

    All members of a pool go straight from the average student's latents or margins to this one's, and each
    column has its part in every step (Aumann and Shapley 1974, "Values of Non-Atomic Games"). What the finite
    steps leave of the whole difference is shared out by size, so that the effects add up to it.
    """
    members, base, sharpness = _members_of(model, head), np.asarray(head["base"]), _sharpness(head, matrix)
    parts = [member.model.contributions(matrix).astype(np.float64) for member in members]
    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    here, shares = _on_the_way(members, parts, base, (nodes + 1) / 2)
    slopes = (1 - base.sum()) * _slopes_of_level(shares, levels, np.tile(sharpness, STEPS))
    effects = np.zeros(())
    for one, latent, part in zip(members, here, parts, strict=True):
        each = one.weight * one.slope(latent, slopes)
        mean = np.tensordot(weights / 2, each.reshape(STEPS, len(matrix), *each.shape[1:]), axes=1)
        steps = mean[..., None] * part[..., :-1]
        effects = effects + (steps.sum(axis=1) if steps.ndim > PAIR else steps)
    _, ends = _on_the_way(members, parts, base, np.array([0.0, 1.0]))
    start, end = _level(ends, levels, np.tile(sharpness, 2)).reshape(2, -1)
    sizes = np.abs(effects) + np.finfo(float).tiny
    left = end - start - effects.sum(axis=1)
    return np.asarray(effects + left[:, None] * sizes / sizes.sum(axis=1, keepdims=True))


def _on_the_way(
    members: Sequence[Member], parts: Sequence[np.ndarray], base: np.ndarray, places: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each member's latents or margins at some places of the way, and what is forecast there.

    All rows (n,) at the first of the places (S,), then at the second: (S n,), (S n, K).
    """
    here = []
    for part in parts:
        start, away = part[..., -1], part[..., :-1].sum(axis=-1)
        here.append(np.concatenate([start + place * away for place in places]))
    shares = sum(one.weight * one.forecast(latent) for one, latent in zip(members, here, strict=True))
    return here, (1 - base.sum()) * shares + base


def _members_of(model: Model, head: Mapping[str, Any]) -> tuple[Member, ...]:
    if isinstance(model, PoolModel):
        return model.members
    return (Member.of("", 1.0, tuple(head["cuts"]), float(head["sigma"]), model),)


def _sharpness(head: Mapping[str, Any], matrix: np.ndarray) -> np.ndarray:
    tempering = Tempering(**head["tempering"]) if head.get("tempering") else None
    return tempering.on(matrix[:, tempering.column]) if tempering else np.ones(len(matrix))


def _level(shares: np.ndarray, levels: np.ndarray, sharpness: np.ndarray) -> np.ndarray:
    tempered = shares ** sharpness[:, None]
    return np.asarray((tempered @ levels) / tempered.sum(axis=1))


def _slopes_of_level(shares: np.ndarray, levels: np.ndarray, sharpness: np.ndarray) -> np.ndarray:
    """Return the gradient (n, K) of the level by the shares, before these are made as sure as they may be."""
    powers = sharpness[:, None] * shares ** (sharpness[:, None] - 1)
    total = (shares ** sharpness[:, None]).sum(axis=1)
    away = levels - _level(shares, levels, sharpness)[:, None]
    return np.asarray(powers * away / total[:, None])


def _of_latent(
    model: Model, matrix: np.ndarray, contract: Contract, kind: str, head: Mapping[str, Any]
) -> np.ndarray:
    """Return the effects (n, F) on the latent score, or in the units of bundles of earlier releases."""
    if isinstance(model, PoolModel):
        raise ValueError("a pool does not say what its reasons are about")
    parts, sigma = model.contributions(matrix), noise_of(head, matrix)[:, None]
    effects = _of_margins(parts, contract.target, sigma) if parts.ndim > PAIR else parts[:, :-1]
    if parts.ndim == PAIR and not contract.target.ordered:
        effects = effects if contract.target.labels[0] in contract.target.at_risk else -effects
    return effects if kind == "score" else effects / sigma


def standing_of(latent: np.ndarray, target: Target, kind: str, noise: np.ndarray) -> np.ndarray:
    """Return how far from being at risk rows are (n,), in the latent's own unit or in log odds.

    Args:
        latent: of the rows (n,), or margins of the classes (n, K).
        target: says which classes are at risk.
        kind: what the latent is: score, ordinal or softmax.
        noise: of the latent, or temperature of the margins, by which each row is forecast (n,).
    """
    latent = latent.astype(np.float64)
    if latent.ndim == 2:
        risky = np.isin(target.labels, target.at_risk)
        margins = latent / noise[:, None]
        return _log_sum(margins[:, ~risky]) - _log_sum(margins[:, risky])
    turned = not target.ordered and target.labels[0] in target.at_risk
    return (-latent if turned else latent) / (1.0 if kind == "score" else noise)


def _log_sum(margins: np.ndarray) -> np.ndarray:
    most = margins.max(axis=1)
    return np.asarray(most + np.log(np.exp(margins - most[:, None]).sum(axis=1)))


def _of_margins(parts: np.ndarray, target: Target, sigma: np.ndarray) -> np.ndarray:
    """Return the effects (n, F) of margins' parts (n, K, F + 1), the average row's at the end.

    In order: the first class's lead over the last. Without one: the log odds of being at risk, by the
    mean slope on the straight way from the average row's margins to the row's (Aumann and Shapley 1974,
    "Values of Non-Atomic Games"), so that they add up to the whole difference.
    """
    if target.ordered:
        return np.asarray(parts[:, 0, :-1] - parts[:, -1, :-1])
    start = parts[..., -1].astype(np.float64) / sigma
    end = parts.sum(axis=2, dtype=np.float64) / sigma
    risky = [target.labels.index(label) for label in target.at_risk]
    return np.einsum("nk,nkf->nf", _mean_slopes(start, end, risky), parts[..., :-1])


def _mean_slopes(start: np.ndarray, end: np.ndarray, risky: Sequence[int]) -> np.ndarray:
    """Return the mean gradient (n, K) of the log odds of the risky classes between margins (n, K)."""
    others = [place for place in range(start.shape[1]) if place not in risky]
    slopes = np.zeros_like(start)
    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        here = start + node * (end - start)
        slopes[:, list(risky)] += weight * _shares(here[:, list(risky)])
        slopes[:, others] -= weight * _shares(here[:, others])
    return slopes


def _shares(margins: np.ndarray) -> np.ndarray:
    raised = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
