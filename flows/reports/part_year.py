"""What a model is worth before the year is over: its accuracy on generated part-year records."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from data.card import PartOfYear
from data.card_sentences import counts_warning
from data.card_shares import Share
from data.columns import Column
from flows.reports import shares
from flows.reports.card_shares import card_share
from flows.reports.evidence import Evidence
from flows.reports.groups import risk_of, risky
from flows.reports.markdown import section, table
from flows.reports.wording import NOTHING, listed, percent

PARTS = (0.25, 0.5, 0.75, 1.0)
HEADER = [
    "Part",
    "as counted, right class",
    "as counted, at risk found",
    "projected, right class",
    "projected, at risk found",
]
Forecast = Callable[[pd.DataFrame], np.ndarray]


def part_year_figures(evidence: Evidence, forecast: Forecast, seed: int = 0) -> list[PartOfYear]:
    """Return how a model does on the test students as they stood after parts of the year.

    Generated students alone have such records: of what a column counts up over the year, each unit has
    come by then with the chance of that part, independently (binomial thinning). `forecast` gives the
    class probabilities (n, K) of a frame. Empty for real data, and where no column counts anything up.
    """
    counted = evidence.contract.counted
    if evidence.data.get("generated") in (None, False) or not counted:
        return []
    rng = np.random.default_rng(seed)
    return [_at(part, evidence, forecast, counted, rng) for part in PARTS]


def _at(
    part: float, evidence: Evidence, forecast: Forecast, counted: Sequence[Column], rng: np.random.Generator
) -> PartOfYear:
    so_far = evidence.frame.assign(**{c.name: _thinned(evidence.frame[c.name], part, rng) for c in counted})
    projected = so_far.assign(
        **{c.name: (so_far[c.name] / part).round().clip(upper=c.limits[1]) for c in counted}
    )
    target = evidence.contract.target
    said, said_projected = forecast(so_far), forecast(projected)
    true = risky(target)[evidence.y]
    return PartOfYear(
        part=part,
        so_far=_share(said.argmax(axis=1) == evidence.y),
        projected=_share(said_projected.argmax(axis=1) == evidence.y),
        found_so_far=_share(risk_of(said, target)[true] >= target.call_from),
        found_projected=_share(risk_of(said_projected, target)[true] >= target.call_from),
    )


def _share(hits: np.ndarray) -> Share:
    return card_share(shares.share_of(hits))


def _thinned(counts: pd.Series, part: float, rng: np.random.Generator) -> pd.Series:
    """Return counts (n,) as they stood after a part of the period; what is missing stays missing."""
    values = counts.to_numpy(dtype=float, na_value=np.nan)
    known = ~np.isnan(values)
    drawn = rng.binomial(np.where(known, values, 0).astype(np.int64), part)
    return pd.Series(np.where(known, drawn, np.nan), index=counts.index)


def before_the_end(evidence: Evidence, part_year: Sequence[PartOfYear]) -> str:
    """Say what the model is worth while what it counts is still being counted."""
    counted = listed([column.title for column in evidence.contract.counted])
    if not counted:
        return ""
    lines = [
        [
            "the whole" if line.part == 1 else percent(line.part),
            *map(_of_card, (line.so_far, line.found_so_far, line.projected, line.found_projected)),
        ]
        for line in part_year
    ]
    return section(
        "Before the end of the period",
        counts_warning(evidence.contract, part_year),
        f"{counted} as they stood after part of the period, for the same test students, generated. “As "
        "counted” is what the model makes of the count so far; “projected”, of what it would be at the end "
        "if it went on at that pace."
        if lines
        else f"How good it is while {counted} are still being counted is not known: these records do not say "
        "how they stood at an earlier time.",
        table(HEADER, lines) if lines else "",
    )


def _of_card(share: Share) -> str:
    if share.share is None or share.low is None or share.high is None:
        return NOTHING
    return f"{percent(share.share)} ({percent(share.low)} to {percent(share.high)})"
