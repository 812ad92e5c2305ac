"""Why a forecast is as it is, in words: from the average student to this one to the next grade's line."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data.bundle.bundle import Bundle
from data.bundle.reasons import RISK
from data.contract.columns import Column
from data.rows.records import Record
from serving.pages import show

HARDLY, LITTLE, CLEARLY = 0.1, 0.5, 1.5
"""Effects in steps: below each of them another word is used."""
POINTS, PART = 10.0, 0.4
"""A step: so many points of risk, or this part of what lies between two grades."""
LOW, HIGH = 0.2, 0.8
"""Parts of the range in which most students are."""

Reason = dict[str, Any]


class ReasonWay(NamedTuple):
    """Where the average student and this one are on the scale of the reasons, and the way in words."""

    average: float
    here: float
    sentences: list[str]


def reasons_in_words(reasons: Sequence[Mapping[str, Any]], bundle: Bundle, record: Record) -> list[Reason]:
    """Return an answer's reasons, each with how much it moves the forecast and how usual its value is.

    What a contract audits, such as gender, is no reason to treat anybody otherwise, and is not among them.
    """
    return [
        {
            **reason,
            "words": effect_in_words(reason["effect"], bundle),
            "figure": "" if bundle.scale.own else show.signed(reason["effect"], 2),
            "up_is_good": bundle.scale.ordered,
            "usual": usual(bundle, bundle.contract.columns[reason["feature"]], record.get(reason["feature"])),
        }
        for reason in reasons
        if not bundle.contract.columns[reason["feature"]].audited
    ]


def effect_in_words(effect: float, bundle: Bundle) -> str:
    """Say how much an effect moves a forecast, and which way: `lowers it a little`."""
    if abs(effect) < HARDLY * step_of(bundle):
        return "hardly matters"
    way = ("raises it", "lowers it") if bundle.scale.ordered else ("raises the risk", "lowers the risk")
    return f"{way[effect < 0]} {_much(effect, bundle)}"


def step_of(bundle: Bundle) -> float:
    """Return what an effect is compared with to say how much it is, in the unit of the reasons."""
    if bundle.scale.unit == RISK:
        return POINTS
    bounds = bundle.contract.target.bounds or ()
    if not bundle.scale.own and len(bounds) > 1:
        return PART * abs(bounds[0] - bounds[-1]) / (len(bounds) - 1)
    return bundle.spread


def usual(bundle: Bundle, column: Column, value: Any) -> str:
    """Say whether a number is low or high among the students that the model learned from; else nothing."""
    ends = bundle.population.ranges.get(column.name)
    if ends is None or value is None or column.coded or ends[0] >= ends[1]:
        return ""
    part = (value - ends[0]) / (ends[1] - ends[0])
    return "low here" if part < LOW else "high here" if part > HIGH else "about usual"


def way_of(bundle: Bundle, record: Record, reasons: Sequence[Mapping[str, Any]]) -> ReasonWay | None:
    """Return the way from the average student to this one; None where nothing is known of its ends.

    The effects add up to what lies between the two.
    """
    matrix, elapsed = bundle.matrix([record]), bundle.elapsed([record])
    told = bundle.manifest.head.get("reasons")
    if told is not None:
        here = float(bundle.probabilities(matrix, elapsed)[0] @ np.array(told["levels"]))
        lines = () if bundle.scale.unit == RISK else tuple(bundle.contract.target.bounds or ())
    else:
        here, lines = float(bundle.latent(matrix, elapsed)[0]), bundle.cuts
    average = here - sum(float(reason["effect"]) for reason in reasons)
    if bundle.scale.unit == RISK:
        return ReasonWay(average, here, _in_risk(bundle, average, here))
    return ReasonWay(average, here, _in_grades(bundle, lines, average, here)) if lines else None


def _in_risk(bundle: Bundle, average: float, here: float) -> list[str]:
    target = bundle.contract.target
    known, now = show.chance(average / 100), show.chance(here / 100)
    ends = show.listed(target.at_risk, "or")
    told = [f"The average student that the model learned from has a {known} chance of {ends}."]
    if abs(here - average) < HARDLY * POINTS:
        return [*told, "This student is close to that."]
    verb = "raise" if here > average else "lower"
    return [*told, f"All the facts below together {verb} it {_much(here - average, bundle)}, to {now}."]


def _in_grades(bundle: Bundle, lines: Sequence[float], average: float, here: float) -> list[str]:
    labels, own = bundle.contract.target.labels, bundle.scale.own

    def at(latent: float) -> str:
        return "" if own else f" at {show.figure(latent, 2)} {bundle.scale.unit}"

    def grade(latent: float) -> str:
        return labels[sum(latent < line for line in lines)]

    known = f"would most likely get {grade(average)}" if own else f"is{at(average)} ({grade(average)})"
    told = [f"The average student that the model learned from {known}."]
    if abs(here - average) < HARDLY * step_of(bundle):
        told.append(f"This student is close to that ({grade(here)}).")
    else:
        verb = "raise" if here > average else "lower"
        to = "" if own else f", to {show.figure(here, 2)}"
        much = _much(here - average, bundle)
        told.append(f"All the facts below together {verb} the forecast {much}{to} ({grade(here)}).")
    place = labels.index(grade(here))
    if place:
        above = lines[place - 1]
        line = f"{labels[place - 1]} is next" if own else f"{labels[place - 1]} starts{at(above)}"
        told.append(f"{line}, {_far(above - here, bundle)}.")
    return told


def _much(effect: float, bundle: Bundle) -> str:
    size = abs(effect) / step_of(bundle)
    return "a little" if size < LITTLE else "clearly" if size < CLEARLY else "a lot"


def _far(gap: float, bundle: Bundle) -> str:
    size = gap / step_of(bundle)
    return "close by" if size < LITTLE else "within reach" if size < CLEARLY else "a long way off"


def in_ten(risk: float) -> str:
    """Say a chance as a number of ten students: `about 6 of 10`."""
    count = round(10 * risk)
    if count == 0:
        return "fewer than 1 of 10"
    return "nearly all of 10" if count == 10 else f"about {count} of 10"


def strengths_and_concerns(
    reasons: Sequence[Reason], bundle: Bundle, most: int = 3
) -> tuple[list[Reason], list[Reason]]:
    """Return the few reasons that speak for a good outcome and those against one, as far as they matter."""
    good = 1 if bundle.scale.ordered else -1
    matter = [reason for reason in reasons if abs(reason["effect"]) >= HARDLY * step_of(bundle)]
    strengths = [reason for reason in matter if good * reason["effect"] > 0]
    concerns = [reason for reason in matter if good * reason["effect"] < 0]
    return strengths[:most], concerns[:most]
