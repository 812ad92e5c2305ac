"""The card's figures for programs and pages; `card` puts the same into Markdown."""

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from data.bundle.answers import risk_of
from data.bundle.card import (
    Card,
    CardFigure,
    ClassFigures,
    Data,
    PartOfYear,
    ReliabilityBin,
    RiskError,
    Share,
    members,
)
from data.statistics import proportion_ci
from flows.reports.calls import flagging_of
from flows.reports.evidence import Evidence, found_and_right, risks, set_coverage
from flows.reports.fairness import card_share, fairness_audits, known
from flows.reports.screen import lines_of
from flows.reports.text import FIGURES
from flows.training.metrics import FEW, null_calibration_error, null_chance_error

BINS = 10
OF_ORDER = "test_qwk"
"""A figure that means something where classes have an order."""


def card_figures(evidence: Evidence, part_year: Sequence[PartOfYear] = ()) -> Card:
    """Return every figure of the card."""
    held = {label: card_share(share, label) for label, share in set_coverage(evidence).items()}
    found, right = found_and_right(evidence)
    return Card(
        data=_data(evidence),
        figures=tuple(_figures(evidence)),
        baselines=tuple(lines_of(evidence.leaderboard)),
        classes=tuple(_classes(evidence)),
        sets=card_share(proportion_ci(_held(evidence))),
        sets_by_class=tuple(held.values()),
        sets_by_members=tuple(_by_members(evidence)),
        recall=card_share(found),
        precision=card_share(right),
        flagging=flagging_of(evidence),
        reliability=tuple(reliability_bins(*risks(evidence))),
        calibration_luck=null_calibration_error(evidence.probabilities),
        risk_errors=tuple(risk_errors(evidence)),
        audits=fairness_audits(evidence),
        counted=tuple(column.name for column in evidence.contract.counted),
        part_year=tuple(part_year),
        notes=evidence.notes,
    )


def risk_errors(evidence: Evidence) -> list[RiskError]:
    """Return the calibration error of being at risk, out of fold on the training split, then on the test."""
    target, pooled = evidence.contract.target, risk_of(evidence.pooled[0], evidence.contract.target)
    found = []
    for prefix, risk in (("cv_", pooled), ("test_", risk_of(evidence.probabilities, target))):
        figures = {part: evidence.metrics.get(f"{prefix}ece_at_risk{part}") for part in ("", "_low", "_high")}
        value, low, high = figures.values()
        if value is not None and low is not None and high is not None:
            held_out, luck = prefix == "test_", null_chance_error(risk)
            found.append(
                RiskError(held_out=held_out, value=value, low=low, high=high, n=len(risk), luck=luck)
            )
    return found


def reliability_bins(said: np.ndarray, came: np.ndarray) -> list[ReliabilityBin]:
    """Return forecast probabilities (n,) in bins of equal width, beside how often they came true (n,)."""
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    return [
        ReliabilityBin(said=float(said[place == k].mean()), seen=card_share(proportion_ci(came[place == k])))
        for k in np.unique(place)
    ]


def _data(evidence: Evidence) -> Data:
    known = evidence.data
    source = str(known["source"])
    return Data.model_validate(
        {
            **{name: known[name] for name in Data.model_fields if name in known},
            "source": source if "://" in source else PurePath(source).name,
            "generated": known.get("generated") not in (None, False),
        }
    )


def _figures(evidence: Evidence) -> list[CardFigure]:
    limit = evidence.bayes or {}
    found = []
    for name, title in FIGURES.items():
        value = known(evidence.metrics.get(name))
        low, high = evidence.intervals.get(name, (None, None))
        if value is not None and (name != OF_ORDER or evidence.contract.target.ordered):
            best = limit.get(name.removeprefix("test_"))
            found.append(
                CardFigure(name=name, title=title, value=value, low=known(low), high=known(high), limit=best)
            )
    return found


def _classes(evidence: Evidence) -> list[ClassFigures]:
    labels = evidence.contract.target.labels
    rows = np.bincount(evidence.y, minlength=len(labels)).tolist()
    return [
        ClassFigures.model_validate(
            {"label": label, "n": n}
            | {
                name: known(evidence.metrics.get(f"test_{name}_{label}")) if n >= FEW else None
                for name in ("precision", "recall", "f1")
            }
        )
        for label, n in zip(labels, rows, strict=True)
    ]


def _held(evidence: Evidence) -> np.ndarray:
    labels = evidence.contract.target.labels
    return np.array([labels[k] in s for k, s in zip(evidence.y, evidence.sets, strict=True)], dtype=bool)


def _by_members(evidence: Evidence) -> list[Share]:
    """Return, for each set of classes that was given, how often it held the true one."""
    held, named = _held(evidence), np.array([members(labels) for labels in evidence.sets], dtype=object)
    return [card_share(proportion_ci(held[named == one]), one) for one in sorted(set(named))]
