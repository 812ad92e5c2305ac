"""What the page of one student shows: the form, the forecast, and values that are only tried."""

from collections.abc import Mapping
from typing import Any

from data.bundle import Bundle
from data.card import read_card
from data.columns import Column
from data.contract import Contract
from data.records import Record
from serving.pages.forms import TRIED, field_id, fields, read_form, texts_of
from serving.pages.outlook import changed, outlook
from serving.predictor import Answer, Predictor
from serving.suggestions import actionable, risks_of, suggest

Texts = Mapping[str, str]
View = dict[str, Any]


def asked(contract: Contract) -> list[Column]:
    """Return the columns of the form: features and audit columns, then the id."""
    return [*contract.asked, *([contract.id] if contract.id else [])]


def example(bundle: Bundle) -> Record:
    """Return the record that the form is filled in with: of those that may be shown the most open one."""
    records = [bundle.record.validate_python(record) for record in bundle.shown]
    risks = risks_of(bundle, bundle.probabilities(bundle.matrix(records)))
    most_open = records[int(abs(risks - 0.5).argmin())]
    return read_form(bundle.contract.features, texts_of(most_open, bundle.contract))[0]


def form_view(predictor: Predictor, texts: Texts, faults: Texts) -> View:
    """Return the form, with what is wrong in it, and no forecast yet."""
    contract = predictor.bundle.contract
    features = contract.features
    optional = [*([contract.id] if contract.id else []), *contract.audit]
    return {
        "contract": contract,
        "counts": predictor.counts_warning,
        "changeable": fields([c for c in features if c.actionable], contract, texts, faults),
        "given": fields([c for c in features if not c.actionable], contract, texts, faults),
        "optional": fields(optional, contract, texts, faults),
        "faults": faults,
        "ids": {name: field_id(contract.columns[name], contract) for name in faults},
        "result": None,
        "kept": False,
        "after": None,
    }


def forecast_view(bundle: Bundle, record: Record, answer: Answer, texts: Texts) -> View:
    """Return a forecast with reasons, what might help, and the form to try it in."""
    return {
        "result": outlook(answer, bundle, read_card(bundle.folder, bundle.manifest)),
        "suggestions": suggest(bundle, record),
        "levers": fields(actionable(bundle), bundle.contract, texts, {}, TRIED),
        "base": {column.name: texts.get(column.name, "") for column in asked(bundle.contract)},
        "record": record,
        "changed": changed,
    }


def tried_view(bundle: Bundle, tried: Texts, faults: Texts, after: Answer | None) -> View:
    """Return the values that are tried, what is wrong with them, and the forecast that they make."""
    return {
        "levers": fields(actionable(bundle), bundle.contract, tried, faults, TRIED),
        "after": after,
    }
