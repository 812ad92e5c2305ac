"""One student: the form, the forecast, what drives it and what would help."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Response, current_app, jsonify, render_template, request

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.bundle.card import read_card
from data.contract.columns import Column
from data.contract.contract import Contract
from data.log.entries import prediction_entries
from data.rows.records import Record
from serving.api import ready_predictor, write_down
from serving.cells import ColumnReader, Fault
from serving.pages.layout import page_blueprint, render
from serving.pages.model_card import changed, outlook
from serving.pages.words import describe_allowed
from serving.predictor import Answer, Predictor
from serving.suggestions import actionable, suggest

SHORT = 14  # letters of a choice that fits on a button
STOPS = 40  # of a slider, at least
TRIED = "try."
"""What stands before a column's name where another value is only tried."""


class Field(NamedTuple):
    """One column as a field of a form: what it is asked with, what it says, what is wrong with that."""

    column: Column
    id: str
    name: str
    widget: str
    text: str
    fault: str
    required: bool

    @property
    def step(self) -> str:
        """The distance between two stops of a slider, and of the arrows of a number."""
        if self.column.whole:
            return "1"
        low, high = self.column.limits
        return f"{nice_step((high - low) / STOPS):g}"


def field_id(column: Column, contract: Contract, prefix: str = "") -> str:
    """Return what a page calls a column's field: names may hold what an id may not."""
    return f"{prefix}field-{list(contract.columns).index(column.name)}".replace(".", "-")


def fields(
    columns: Sequence[Column],
    contract: Contract,
    texts: Mapping[str, str],
    faults: Mapping[str, str],
    prefix: str = "",
) -> list[Field]:
    """Return columns of a contract as fields that say these texts, by column."""
    return [
        Field(
            column=column,
            id=field_id(column, contract, prefix),
            name=prefix + column.name,
            widget=widget(column),
            text=texts.get(column.name, ""),
            fault=faults.get(column.name, ""),
            required=needed(column),
        )
        for column in columns
    ]


def widget(column: Column) -> str:
    """Return how a column is asked for: buttons for a short yes or no, menus for other codes."""
    if not column.coded:
        return "text" if column.unordered else "number"
    short = len(column.codes) == 2 and all(len(label) <= SHORT for label in column.codes.values())
    return "choices" if short and needed(column) else "menu"


def needed(column: Column) -> bool:
    """Tell whether there is no forecast without this column."""
    return column.role == "feature" and not column.nullable


def texts_of(record: Mapping[str, Any], contract: Contract) -> dict[str, str]:
    """Return a record as the texts of its form."""
    return {
        name: f"{value:.3g}" if contract.columns[name].decimal else str(value)
        for name, value in record.items()
        if value is not None
    }


def read_form(columns: Sequence[Column], texts: Mapping[str, str]) -> tuple[Record, dict[str, str]]:
    """Return the record that texts give, by column, and what is wrong with those that give none."""
    record: Record = {}
    faults: dict[str, str] = {}
    for column in columns:
        text = texts.get(column.name, "")
        value = ColumnReader(column, 0)[text]
        if isinstance(value, Fault):
            faults[column.name] = f"{_what_is_wrong(value, text)} {describe_allowed(column)}"
        elif value is not None or column.role == "feature":
            record[column.name] = value
    return record, faults


def _what_is_wrong(fault: Fault, text: str) -> str:
    return "This is still missing." if fault == "missing" else f"“{text.strip()[:40]}” is {fault}."


def nice_step(wanted_step: float) -> float:
    """Return the round number at or below a step: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(wanted_step))
    return max(part for part in (1, 2, 5) if part * power <= wanted_step * (1 + 1e-9)) * power


Texts = Mapping[str, str]
View = dict[str, Any]


def asked(contract: Contract) -> list[Column]:
    """Return the columns of the form: features and audit columns, then the id."""
    return [*contract.asked, *([contract.id] if contract.id else [])]


def example(bundle: Bundle) -> Record:
    """Return the record that the form is filled in with: of those that may be shown the most open one."""
    records = [bundle.record.validate_python(record) for record in bundle.shown]
    risks = risk_of(bundle.probabilities(bundle.matrix(records)), bundle.contract.target)
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


JSON = "application/json"

student = page_blueprint("student")


@student.get("/")
def show_form() -> Response:
    """Show the form, filled in with an example."""
    predictor = _predictor()
    bundle = predictor.bundle
    return _show(form_view(predictor, texts_of(example(bundle), bundle.contract), {}))


@student.post("/")
def forecast() -> Response:
    """Forecast the student of the form, and write the forecast down unless it is the example's."""
    predictor = _predictor()
    bundle, texts = predictor.bundle, request.form.to_dict()
    record, faults = read_form(asked(bundle.contract), texts)
    view = form_view(predictor, texts, faults)
    if faults:
        return _show(view, HTTPStatus.UNPROCESSABLE_ENTITY)
    answer = predictor.predict([record], explain=True)[0]
    kept = record != example(bundle)
    if kept:
        _keep(record, answer, predictor)
    return _show({**view, **forecast_view(bundle, record, answer, texts), "kept": kept})


@student.post("/try")
def try_values() -> Response:
    """Show what other values of the actionable columns would make of a forecast; nothing is kept."""
    predictor = _predictor()
    bundle, texts = predictor.bundle, request.form.to_dict()
    tried = {column.name: texts.pop(TRIED + column.name, "") for column in actionable(bundle)}
    record, faults = read_form(asked(bundle.contract), texts)
    view = form_view(predictor, texts, faults)
    if faults:
        return _show(view, HTTPStatus.UNPROCESSABLE_ENTITY)
    other, tried_faults = read_form(asked(bundle.contract), {**texts, **tried})
    before = predictor.predict([record], explain=True)[0]
    after = None if tried_faults else predictor.predict([other])[0]
    if request.accept_mimetypes.best == JSON:
        return _difference(predictor, before, after)
    view |= forecast_view(bundle, record, before, texts) | tried_view(bundle, tried, tried_faults, after)
    return _show(view, HTTPStatus.UNPROCESSABLE_ENTITY if tried_faults else HTTPStatus.OK)


def _predictor() -> Predictor:
    return ready_predictor(current_app.extensions["predictor"])


def _show(view: dict[str, object], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return render("student.html", status, **view)


def _keep(record: Record, answer: Answer, predictor: Predictor) -> None:
    """Write a forecast down before it is shown, and count it; raises Problem 503 where it cannot be."""
    extensions = current_app.extensions
    told = {name: value for name, value in answer.items() if name != "reasons"}
    key, contract = extensions["settings"].id_key, predictor.bundle.contract
    write_down(extensions["spool"], prediction_entries([record], [told], contract, key, "page"))
    extensions["metrics"].predicted([answer["grade_class"]], answer["at_risk"])


def _difference(predictor: Predictor, before: Answer, after: Answer | None) -> Response:
    """Return the same as a piece of the page, for the sliders, and as one sentence."""
    if after is None:
        return jsonify({"html": "", "said": "One of these values is outside its range."})
    contract = predictor.bundle.contract
    html = render_template("_tried.html", contract=contract, before=before, after=after)
    return jsonify({"html": html, "said": changed(before, after)})
