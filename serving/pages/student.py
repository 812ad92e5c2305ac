"""GET and POST /, POST /try: the forecast of one student, and what other values would make of it."""

from http import HTTPStatus

from flask import Response, current_app, jsonify, render_template, request

from data.log_entries import prediction_entries
from data.records import Record
from serving.api import ready_predictor, write_down
from serving.pages.forms import TRIED, read_form, texts_of
from serving.pages.outlook import changed
from serving.pages.shell import page_blueprint, render
from serving.pages.student_view import asked, example, forecast_view, form_view, tried_view
from serving.predictor import Answer, Predictor
from serving.suggestions import actionable

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
