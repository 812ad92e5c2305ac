"""Why a forecast is as it is, in words: from the average student to this one to the next grade's line."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data.bundle.bundle import Bundle
from data.contract.columns import Column
from data.rows.records import Record
from serving.pages import show

HARDLY, LITTLE, CLEARLY = 0.1, 0.5, 1.5
"""Effects in standard deviations of students who are alike: below each of them another word is used."""
LOW, HIGH = 0.2, 0.8
"""Parts of the range in which most students are."""

Reason = dict[str, Any]


class Way(NamedTuple):
    """Where the average student, this one and the next grade's line are on the scale of the latent score."""

    average: float
    here: float
    cuts: tuple[float, ...]
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
            "usual": usual(bundle, bundle.contract.columns[reason["feature"]], record.get(reason["feature"])),
        }
        for reason in reasons
        if not bundle.contract.columns[reason["feature"]].audited
    ]


def effect_in_words(effect: float, bundle: Bundle) -> str:
    """Say how much an effect moves a forecast, and which way: `lowers it a little`."""
    size = abs(effect) / bundle.spread
    if size < HARDLY:
        return "hardly matters"
    much = _much(effect, bundle)
    way = ("raises it", "lowers it") if bundle.contract.target.ordered else ("speaks for it", "against it")
    return f"{way[effect < 0]} {much}"


def usual(bundle: Bundle, column: Column, value: Any) -> str:
    """Say whether a number is low or high among the students that the model learned from; else nothing."""
    ends = bundle.population.ranges.get(column.name)
    if ends is None or value is None or column.coded or ends[0] >= ends[1]:
        return ""
    part = (value - ends[0]) / (ends[1] - ends[0])
    return "low here" if part < LOW else "high here" if part > HIGH else "about usual"


def way_of(bundle: Bundle, record: Record, reasons: Sequence[Mapping[str, Any]]) -> Way | None:
    """Return the way from the average student to this one; None where no line between grades is known.

    The effects add up to what lies between the two.
    """
    if not bundle.cuts:
        return None
    here = float(bundle.latent(bundle.matrix([record]), bundle.elapsed([record]))[0])
    average = here - sum(float(reason["effect"]) for reason in reasons)
    return Way(average, here, bundle.cuts, _sentences(bundle, average, here))


def _sentences(bundle: Bundle, average: float, here: float) -> list[str]:
    labels, cuts, own = bundle.contract.target.labels, bundle.cuts, bundle.scale.own
    unit = bundle.scale.unit

    def at(latent: float) -> str:
        return "" if own else f" at {show.figure(latent, 2)} {unit}"

    def grade(latent: float) -> str:
        return labels[sum(latent < cut for cut in cuts)]

    known = f"is{at(average)} ({grade(average)})" if not own else f"would most likely get {grade(average)}"
    told = [f"The average student that the model learned from {known}."]
    if abs(here - average) < HARDLY * bundle.spread:
        told.append(f"This student is close to the average{at(here).replace(' at', ', at')} ({grade(here)}).")
    else:
        verb = "raise" if here > average else "lower"
        to = "" if own else f", to {show.figure(here, 2)}"
        much = _much(here - average, bundle)
        told.append(f"All the facts below together {verb} the forecast {much}{to} ({grade(here)}).")
    place = labels.index(grade(here))
    if place:
        gap = cuts[place - 1] - here
        line = (
            f"{labels[place - 1]} starts{at(cuts[place - 1])}" if not own else f"{labels[place - 1]} is next"
        )
        told.append(f"{line}, {_far(gap, bundle)}.")
    return told


def _much(effect: float, bundle: Bundle) -> str:
    size = abs(effect) / bundle.spread
    return "a little" if size < LITTLE else "clearly" if size < CLEARLY else "a lot"


def _far(gap: float, bundle: Bundle) -> str:
    size = gap / bundle.spread
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
    good = 1 if bundle.contract.target.ordered else -1
    matter = [reason for reason in reasons if abs(reason["effect"]) >= HARDLY * bundle.spread]
    strengths = [reason for reason in matter if good * reason["effect"] > 0]
    concerns = [reason for reason in matter if good * reason["effect"] < 0]
    return strengths[:most], concerns[:most]
