"""The model's card as a page: its figures, and what was decided of its versions."""

import logging
from typing import TYPE_CHECKING, Any

from flask import Response, current_app

from data.bundle import card_text
from data.bundle.bundle import method
from data.bundle.card import ENOUGH, Audit, Card, read_card
from serving.pages.layout import page_blueprint, predictor_now, render
from serving.settings import PredictorSettings

if TYPE_CHECKING:
    from data.log.history import Entry

PATIENCE = 2  # seconds that a reader of the page may wait for a database that is busy

log = logging.getLogger("gradecast.pages")


def recorded_decisions(settings: PredictorSettings, model: str) -> "list[Entry] | None":
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


@model_card.get("/model/card")
def show_card() -> Response:
    """Show the card of the model that answers."""
    predictor = predictor_now()
    bundle = predictor.bundle
    card = read_card(bundle.folder, bundle.manifest)
    return render(
        "card.html",
        contract=bundle.contract,
        training=bundle.manifest.training,
        method=method(bundle.manifest.family, bundle.manifest.head["kind"]),
        commit=bundle.manifest.git_commit,
        card=card,
        text=card_text,
        explained=EXPLAINED,
        enough=ENOUGH,
        decisions=recorded_decisions(current_app.extensions["settings"], bundle.contract.model_name),
        **(_figures(card, bundle.contract.columns) if card else {}),
    )


def _figures(card: Card, columns: dict[str, Any]) -> dict[str, Any]:
    accuracy = next((figure for figure in card.figures if figure.name == "test_accuracy"), None)
    return {
        "accuracy": accuracy,
        "bins": card.reliability,
        "audits": [_audited(audit, columns[audit.column].title, len(card.audits)) for audit in card.audits],
        "counted": [columns[name].title for name in card.counted],
        "errors": {figure.name: figure for figure in card.figures},
    }


def _audited(audit: Audit, title: str, columns: int) -> dict[str, Any]:
    """Say how the groups fare, whether by more than luck, and what the column alone changes."""
    shown = [group.wrong.high or 0.0 for group in audit.groups if group.wrong.n >= ENOUGH]
    return {
        "title": title,
        "audit": audit,
        "fares": card_text.groups_sentence(audit),
        "verdict": card_text.verdict(audit, columns),
        "worrying": card_text.worrying(audit, columns),
        "counterfactuals": card_text.counterfactuals_sentence(audit.counterfactuals, title)
        if audit.counterfactuals
        else "",
        "most": max(shown, default=1.0),
    }
