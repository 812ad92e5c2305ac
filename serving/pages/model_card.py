"""GET /model/card: what the model is for, how good it is, and when not to trust it."""

from typing import Any, NamedTuple

from flask import Response, current_app

from data import card_sentences, card_words
from data.card import Card, read_card
from data.card_audit import Audit
from data.model_words import method
from serving import charts
from serving.api import ready_predictor
from serving.pages.shell import page_blueprint, render
from serving.pages.versions import recorded_decisions

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
        enough=card_sentences.ENOUGH,
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


def _bin(found: Any) -> charts.Bin:
    return charts.Bin(found.said, found.seen.share, found.seen.low, found.seen.high, found.seen.n)


def _audited(audit: Audit, title: str, columns: int) -> Audited:
    """Say how the groups fare, whether by more than luck, and what the column alone changes."""
    shown = [group.wrong.high or 0.0 for group in audit.groups if group.wrong.n >= card_sentences.ENOUGH]
    return Audited(
        title=title,
        audit=audit,
        fares=card_sentences.groups_sentence(audit),
        verdict=card_sentences.verdict(audit, columns),
        worrying=card_sentences.worrying(audit, columns),
        flips=card_sentences.flips_sentence(audit.flips, title) if audit.flips else "",
        most=max(shown, default=1.0),
    )
