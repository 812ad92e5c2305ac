"""What the page says of one forecast, in the words of its contract."""

from typing import Any, NamedTuple

from data.bundle import Bundle
from data.card import Card, Share
from data.contract import Contract
from serving.pages import words
from serving.predictor import Answer

ENOUGH = 30
"""Test students below which nothing is claimed of a share."""
TELLING = 0.05  # points; less is not worth a sentence
SHOWN = 8  # reasons, before the rest is folded away
UNSURE = 3  # plausible classes
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Outlook(NamedTuple):
    """One forecast with its sentences."""

    answer: Answer
    headline: str
    tested: str
    risk: str
    gist: str
    unit: str
    lowers: str
    raises: str
    first: list[dict[str, Any]]
    rest: list[dict[str, Any]]
    unsure: bool


def outlook(answer: Answer, bundle: Bundle, card: Card | None) -> Outlook:
    """Put a forecast with its reasons into words."""
    contract, reasons, plausible = bundle.contract, answer["reasons"], answer["grade_set"]
    everything = len(plausible) == len(contract.target.labels)
    unit = words.effect_unit(contract, str(bundle.manifest.training.get("kind", "")))
    return Outlook(
        answer=answer,
        headline=words.likely(answer),
        tested="It can rule nothing out." if everything else how_often_held(len(plausible), card),
        risk=words.listed(contract.target.at_risk, "or"),
        gist=gist(reasons, contract, unit),
        unit=unit,
        lowers="lowers" if contract.target.ordered else "against",
        raises="raises" if contract.target.ordered else "for",
        first=reasons[:SHOWN],
        rest=reasons[SHOWN:],
        unsure=everything or len(plausible) >= UNSURE,
    )


def how_often_held(size: int, card: Card | None) -> str:
    """Say how often sets of as many classes held the true one in tests; of all sets where few are so."""
    if card is None:
        return "How often such a forecast holds the true one was not measured for this model."
    own = next((share for share in card.sets_by_size if share.label == str(size)), None)
    if own is None or own.n < ENOUGH:
        return f"In tests, the truth was among those named for {_of(card.sets)}."
    if size == 1:
        return f"In tests, forecasts that named a single one were right for {_of(own)}."
    return f"In tests, one of the {_number(size)} named was right for {_of(own)}."


def _of(share: Share) -> str:
    return f"{words.percent(share.share)} of {words.plural(share.n, 'student')}"


def _number(size: int) -> str:
    return NUMBERS[size] if size < len(NUMBERS) else str(size)


def gist(reasons: list[dict[str, Any]], contract: Contract, unit: str) -> str:
    """Say what lowers and what raises a forecast most, in a sentence or two."""
    ordered = contract.target.ordered
    down = min(reasons, key=lambda reason: reason["effect"])
    up = max(reasons, key=lambda reason: reason["effect"])
    said = [
        f"{_named(reason, contract)} {verb} most, by {abs(reason['effect']):.2f} {unit}."
        for reason, verb in (
            (down, "lowers it" if ordered else f"speaks against {contract.target.labels[0]}"),
            (up, "raises it" if ordered else f"speaks for {contract.target.labels[0]}"),
        )
        if abs(reason["effect"]) >= TELLING and (reason["effect"] < 0) == (reason is down)
    ]
    return " ".join(said) or "Nothing stands out: on these columns the student is close to the average."


def _named(reason: dict[str, Any], contract: Contract) -> str:
    column = contract.columns[reason["feature"]]
    return f"{column.title} ({words.value_of(column, reason['value'])})"


def changed(before: Answer, after: Answer) -> str:
    """Say in one line what a change does to the risk and to the set of plausible classes."""
    risk = f"At risk {words.chance(after['at_risk'])}, was {words.chance(before['at_risk'])}"
    return f"{words.likely(after)}. {risk}."
