"""What the page says of one forecast, in the words of its contract."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from data.bundle import Bundle
from data.card import Card, members
from data.card_sentences import ENOUGH
from data.card_shares import Share
from data.contract import Contract
from data.reasons import Scale
from serving.pages import words
from serving.predictor import Answer

TELLING = 0.05  # points; less is not worth a sentence
SHOWN = 8  # reasons, before the rest is folded away
UNSURE = 3  # plausible classes
SURE = 0.75  # that what is named holds the truth; below it people are told that it is hard to tell


class Outlook(NamedTuple):
    """One forecast with its sentences."""

    answer: Answer
    headline: str
    tested: str
    risk: str
    call: str
    gist: str
    compared: str
    lowers: str
    raises: str
    first: list[dict[str, Any]]
    rest: list[dict[str, Any]]
    unsure: bool


def outlook(answer: Answer, bundle: Bundle, card: Card | None) -> Outlook:
    """Put a forecast with its reasons into words."""
    contract, reasons, plausible = bundle.contract, answer["reasons"], answer["grade_set"]
    chance = sum(answer["probabilities"][label] for label in plausible)
    everything = len(plausible) == len(contract.target.labels)
    return Outlook(
        answer=answer,
        headline=words.likely(answer),
        tested="It can rule nothing out." if everything else how_often_held(plausible, chance, card),
        risk=words.listed(contract.target.at_risk, "or"),
        call=called(answer, contract),
        gist=gist(reasons, contract, bundle.scale),
        compared=words.compared(bundle.scale),
        lowers="lowers" if contract.target.ordered else "against",
        raises="raises" if contract.target.ordered else "for",
        first=reasons[:SHOWN],
        rest=reasons[SHOWN:],
        unsure=everything or len(plausible) >= UNSURE or chance < SURE,
    )


def called(answer: Answer, contract: Contract) -> str:
    """Say that a student is called at risk, and from which chance on; nothing of the others."""
    threshold = contract.target.call_from
    return f"called at risk, from {words.percent(threshold)} on" if answer["at_risk"] >= threshold else ""


def how_often_held(plausible: Sequence[str], chance: float, card: Card | None) -> str:
    """Say how often the same set held the true class in tests; of all sets, where too few were the same.

    `chance` is what the classes of the set add up to for this student.
    """
    named = words.listed(plausible, "or")
    here = f"Here the chance of {named} is {words.chance(chance)}."
    if card is None:
        return f"How often such a forecast is right was not measured for this model. {here}"
    same = next((share for share in card.sets_by_members if share.label == members(plausible)), None)
    if same is None or same.n < ENOUGH:
        return f"In tests, the truth was among those named for {_of(card.sets)}. {here}"
    return f"In tests, when it named {named}{' alone' * (len(plausible) == 1)}, it was right for {_of(same)}."


def _of(share: Share) -> str:
    return f"{words.percent(share.share)} of {words.plural(share.n, 'student')}"


def gist(reasons: list[dict[str, Any]], contract: Contract, scale: Scale) -> str:
    """Say what lowers and what raises a forecast most, in a sentence or two."""
    toward = words.listed(scale.toward, "or")
    down = min(reasons, key=lambda reason: reason["effect"])
    up = max(reasons, key=lambda reason: reason["effect"])
    said = [
        f"{_named(reason, contract)} {verb} most{_by(reason['effect'], scale)}."
        for reason, verb in (
            (down, "lowers it" if scale.ordered else f"speaks against {toward}"),
            (up, "raises it" if scale.ordered else f"speaks for {toward}"),
        )
        if abs(reason["effect"]) >= TELLING and (reason["effect"] < 0) == (reason is down)
    ]
    return " ".join(said) or "Nothing stands out: on these columns the student is close to the average."


def _by(effect: float, scale: Scale) -> str:
    """Say how large an effect is, where its unit is one that people know."""
    return "" if scale.own else f", by {abs(effect):.2f} {scale.unit}"


def _named(reason: dict[str, Any], contract: Contract) -> str:
    column = contract.columns[reason["feature"]]
    return f"{column.title} ({words.value_of(column, reason['value'])})"


def changed(before: Answer, after: Answer) -> str:
    """Say in one line what a change does to the risk and to the set of plausible classes."""
    risk = f"At risk {words.chance(after['at_risk'])}, was {words.chance(before['at_risk'])}"
    return f"{words.likely(after)}. {risk}."
