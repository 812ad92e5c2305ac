"""The model's card as a page, its versions and its outlook."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Response, current_app

from data.bundle import card_text as card_sentences
from data.bundle import card_text as card_words
from data.bundle.bundle import Bundle, method
from data.bundle.card import ENOUGH, Audit, Card, Share, members, read_card
from data.bundle.reasons import Scale
from data.contract.contract import Contract
from serving.api import ready_predictor
from serving.pages import charts, words
from serving.pages.layout import page_blueprint, render
from serving.predictor import Answer
from serving.settings import Settings

if TYPE_CHECKING:
    from data.log.history import Entry

PATIENCE = 2  # seconds that a reader of the page may wait for a database that is busy

log = logging.getLogger("gradecast.pages")


def recorded_decisions(settings: Settings, model: str) -> "list[Entry] | None":
    """Return what was decided of a model's versions, newest first; None where it cannot be read now."""
    import sqlalchemy as sa  # costs a worker memory that forecasts do not need

    from data.errors import BadInput
    from data.log.database import open_log
    from data.log.history import read

    try:
        return read(open_log(settings.database_url, patience=PATIENCE), model)[::-1]
    except (sa.exc.SQLAlchemyError, BadInput) as error:
        log.warning("the history of %s cannot be read: %s", model, type(error).__name__)
        return None


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


EXPLAINED = {
    "test_accuracy": "how often the likeliest class was the true one",
    "test_f1_macro": "hits and misses, each class counting alike; 1 is perfect",
    "test_qwk": "agreement that forgives near misses; 1 is perfect",
    "test_log_loss": "how surprised it was by the truth; lower is better",
    "test_ece_at_risk": "how far the forecast risk was from how often students ended at risk; 0 is perfect",
    "test_ece": "how far its certainty was from how often it was right; 0 is perfect",
    "test_roc_auc_ovr": "how well it tells each class from the rest; 1 is perfect, 0.5 is guessing",
    "test_accuracy_published": "the same on the labels as published, contradictions included",
}

model_card = page_blueprint("model_card")


class Audited(NamedTuple):
    """One audited column with what its figures allow to be said."""

    title: str
    audit: Audit
    fares: str
    verdict: str
    worrying: bool
    flips: str
    most: float


@model_card.get("/model/card")
def show_card() -> Response:
    """Show the card of the model that answers."""
    predictor = ready_predictor(current_app.extensions["predictor"])
    bundle = predictor.bundle
    card = read_card(bundle.folder, bundle.manifest)
    return render(
        "card.html",
        contract=bundle.contract,
        training=bundle.manifest.training,
        method=method(bundle.manifest.family, bundle.manifest.head["kind"]),
        commit=bundle.manifest.git_commit,
        card=card,
        said=card_words,
        told=card_sentences,
        explained=EXPLAINED,
        enough=ENOUGH,
        decisions=recorded_decisions(current_app.extensions["settings"], bundle.contract.model_name),
        **(_figures(card, bundle.contract.columns) if card else {}),
    )


def _figures(card: Card, columns: dict[str, Any]) -> dict[str, Any]:
    accuracy = next((figure for figure in card.figures if figure.name == "test_accuracy"), None)
    return {
        "accuracy": accuracy,
        "bins": [_bin(found) for found in card.reliability],
        "audits": [_audited(audit, columns[audit.column].title, len(card.audits)) for audit in card.audits],
        "counted": [columns[name].title for name in card.counted],
        "errors": {figure.name: figure for figure in card.figures},
    }


def _bin(found: Any) -> charts.ReliabilityBin:
    return charts.ReliabilityBin(found.said, found.seen.share, found.seen.low, found.seen.high, found.seen.n)


def _audited(audit: Audit, title: str, columns: int) -> Audited:
    """Say how the groups fare, whether by more than luck, and what the column alone changes."""
    shown = [group.wrong.high or 0.0 for group in audit.groups if group.wrong.n >= ENOUGH]
    return Audited(
        title=title,
        audit=audit,
        fares=card_sentences.groups_sentence(audit),
        verdict=card_sentences.verdict(audit, columns),
        worrying=card_sentences.worrying(audit, columns),
        flips=card_sentences.flips_sentence(audit.flips, title) if audit.flips else "",
        most=max(shown, default=1.0),
    )
