"""One student: the form, the forecast, what drives it and what would help."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Response, current_app, jsonify, render_template, request

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.bundle.card import ENOUGH, Card, Share, members, read_card
from data.bundle.reasons import Scale
from data.contract.columns import ELAPSED, Column, Kind, Role
from data.contract.contract import Contract
from data.log.entries import prediction_entries
from data.rows.kinds import Reason
from data.rows.notation import read_alone
from data.rows.records import Record, settle_elapsed
from serving.api import JSON, write_down
from serving.pages import show
from serving.pages.layout import page_blueprint, predictor_now, render
from serving.pages.steps import describe_totals
from serving.pages.why import in_ten, reasons_in_words, strengths_and_concerns, way_of
from serving.predictor import Answer, Predictor
from serving.suggestions import actionable, answer_with, suggest

SHORT = 14  # letters of a choice that fits on a button
STOPS = 40  # of a slider, at least
TRIED = "try."
"""What stands before a column's name where another value is only tried."""

ABOUT, LONGEST_NAME = "about", 80
"""The field that says whom a forecast is about, and how many letters of it are taken."""
LOWERS = "is the main thing lowering this forecast"
STEPS = 2  # on the sheet for a meeting
TELLING = 0.05  # points; less is not worth a sentence
REASONS = 8  # before the rest is folded away
UNSURE = 3  # plausible classes
SURE = 0.75  # that what is named holds the truth; below it people are told that it is hard to tell

PERCENT = Column(
    name=ELAPSED,
    title="How much of the period has passed",
    kind=Kind.NUMBER,
    role=Role.AUDIT,
    min=1,
    max=100,
    unit="%",
    help="Leave it empty at the end of the period, when all is counted.",
)
"""How the pages ask for what `elapsed` says: people count in hundredths."""

Texts = Mapping[str, str]
View = dict[str, Any]

student = page_blueprint("student")


@student.get("/")
def show_form() -> Response:
    """Show the form: empty, or filled in with an example if one is asked for."""
    predictor = predictor_now()
    bundle = predictor.bundle
    shown = example(bundle) if "example" in request.args else {}
    return _show(_form(predictor, texts_of(shown, bundle.contract), {}))


@student.post("/")
def forecast() -> Response:
    """Forecast the student of the form, and write the forecast down unless it is the example's."""
    predictor = predictor_now()
    bundle, texts = predictor.bundle, request.form.to_dict()
    record, faults = read_student(bundle.contract, texts)
    view = _form(predictor, texts, faults)
    if faults:
        return _show(view, HTTPStatus.UNPROCESSABLE_ENTITY)
    answer = predictor.predict([record], explain=True)[0]
    kept = record != example(bundle)
    if kept:
        _keep(record, answer, predictor)
    return _show({**view, **_result(bundle, record, answer, texts), "kept": kept})


@student.post("/try")
def try_values() -> Response:
    """Show what other values of the actionable columns would make of a forecast; nothing is kept."""
    predictor = predictor_now()
    bundle, texts = predictor.bundle, request.form.to_dict()
    tried = {name: texts.pop(TRIED + name, "") for name in bundle.contract.columns}
    record, faults = read_student(bundle.contract, texts)
    view = _form(predictor, texts, faults)
    if faults:
        return _show(view, HTTPStatus.UNPROCESSABLE_ENTITY)
    levers = levers_of(bundle, record)
    changes, tried_faults = read_form(levers, tried)
    before = predictor.predict([record], explain=True)[0]
    after = None if tried_faults else answer_with(bundle, record, changes)
    if request.accept_mimetypes.best == JSON:
        wrong = [
            f"{column.title}: {tried_faults[column.name]}" for column in levers if column.name in tried_faults
        ]
        return _difference(bundle.contract, before, after, " ".join(wrong))
    view |= _result(bundle, record, before, texts)
    view |= {"levers": fields(levers, bundle.contract, tried, tried_faults, TRIED), "after": after}
    return _show(view, HTTPStatus.UNPROCESSABLE_ENTITY if tried_faults else HTTPStatus.OK)


@student.post("/sheet")
def show_sheet() -> Response:
    """Show a sheet to print for a meeting about the student of the form; nothing is kept."""
    predictor, texts = predictor_now(), request.form.to_dict()
    record, faults = read_student(predictor.bundle.contract, texts)
    if faults:
        return _show(_form(predictor, texts, faults), HTTPStatus.UNPROCESSABLE_ENTITY)
    return meeting_sheet(predictor, record, told_name(texts, predictor.bundle.contract))


def meeting_sheet(predictor: Predictor, record: Record, name: str) -> Response:
    """Return the sheet for a meeting about a student: facts and reasons, strengths first, and what to do."""
    bundle = predictor.bundle
    (answer,) = predictor.predict([record], explain=True)
    reasons = reasons_in_words(answer["reasons"], bundle, record)
    strengths, concerns = strengths_and_concerns(reasons, bundle)
    return render(
        "sheet.html",
        name=name,
        today=datetime.now(UTC).date(),
        contract=bundle.contract,
        record=record,
        answer=answer,
        in_ten=in_ten(answer["at_risk"]),
        strengths=strengths,
        concerns=concerns,
        steps=suggest(bundle, record)[:STEPS],
    )


def told_name(texts: Texts, contract: Contract) -> str:
    """Return what the form calls the student: by name, else by the id; nothing is kept of either."""
    by_id = texts.get(contract.id.name, "") if contract.id else ""
    return (texts.get(ABOUT, "").strip() or by_id.strip())[:LONGEST_NAME]


def _show(view: View, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return render("student.html", status, **view)


def _keep(record: Record, answer: Answer, predictor: Predictor) -> None:
    """Write a forecast down before it is shown, and count it; raises Problem 503 where it cannot be."""
    extensions = current_app.extensions
    logged = {name: value for name, value in answer.items() if name != "reasons"}
    key, contract = extensions["settings"].id_key, predictor.bundle.contract
    write_down(extensions["spool"], prediction_entries([record], [logged], contract, key, "page"))
    extensions["metrics"].predicted([answer["grade_class"]], answer["at_risk"])


def _difference(contract: Contract, before: Answer, after: Answer | None, wrong: str) -> Response:
    """Return the same as a piece of the page, for the sliders, and as one sentence."""
    if after is None:
        return jsonify({"html": "", "said": wrong})
    html = render_template("_tried.html", contract=contract, before=before, after=after)
    return jsonify({"html": html, "said": describe_change(before, after)})


def _form(predictor: Predictor, texts: Texts, faults: Texts) -> View:
    """Return the form, with what is wrong in it, and no forecast yet."""
    contract = predictor.bundle.contract
    features, about = contract.features, texts.get(ABOUT, "")[:LONGEST_NAME]
    optional = [*([contract.id] if contract.id else []), *contract.audit]
    groups = {
        "passed": [PERCENT] if contract.accumulating else [],
        "changeable": [column for column in features if column.actionable],
        "given": [column for column in features if not column.actionable],
        "optional": optional,
    }
    order = [column.name for columns in groups.values() for column in columns]
    return {
        "contract": contract,
        "counts": predictor.counts_hint,
        **{name: fields(columns, contract, texts, faults) for name, columns in groups.items()},
        "faults": {name: faults[name] for name in order if name in faults},
        "ids": {column.name: field_id(column, contract) for column in asked(contract)},
        "titles": {column.name: column.title for column in asked(contract)},
        "about": about,
        "name": told_name(texts, contract),
        "filled": any(texts.get(column.name) for column in features),
        "result": None,
        "kept": False,
        "after": None,
    }


def _result(bundle: Bundle, record: Record, answer: Answer, texts: Texts) -> View:
    """Return a forecast with reasons, what might help, and the form to try it in."""
    levers = levers_of(bundle, record)
    as_it_is = {column.name: "" if column.accumulates else texts.get(column.name, "") for column in levers}
    return {
        "result": outlook(answer, bundle, read_card(bundle.folder, bundle.manifest), record),
        "ahead": describe_totals(bundle, record),
        "suggestions": suggest(bundle, record),
        "levers": fields(levers, bundle.contract, as_it_is, {}, TRIED),
        "as_it_is": as_it_is,
        "base": {name: texts.get(name, "") for name in (*(c.name for c in asked(bundle.contract)), ABOUT)},
        "record": record,
        "changed": describe_change,
    }


# The form


class Field(NamedTuple):
    """One column as a field of a form: what it is called, what it says, what is wrong with that."""

    column: Column
    id: str
    name: str
    text: str
    fault: str

    @property
    def required(self) -> bool:
        """Whether there is no forecast without this column."""
        return self.column.required

    @property
    def widget(self) -> str:
        """How the column is asked for: buttons for a short yes or no, menus for other codes."""
        labels = self.column.codes.values()
        if self.column.dated:
            return "date"
        if not self.column.coded:
            return "text" if self.column.unordered else "number"
        short = len(labels) == 2 and all(len(label) <= SHORT for label in labels)
        return "choices" if short and self.required else "menu"

    @property
    def step(self) -> str:
        """The distance between two stops of a slider, and of the arrows of a number."""
        if self.column.whole:
            return "1"
        low, high = self.column.limits
        return f"{nice_step((high - low) / STOPS):g}"


def asked(contract: Contract) -> list[Column]:
    """Return the columns of the form: features and audit columns, then the id, then what has passed."""
    ids = [contract.id] if contract.id else []
    return [*contract.asked, *ids, *([PERCENT] if contract.accumulating else [])]


def read_student(contract: Contract, texts: Texts) -> tuple[Record, dict[str, str]]:
    """Return the record of a form, and what is wrong with the fields that give none."""
    record, faults = read_form(asked(contract), texts)
    if contract.accumulating and ELAPSED in record:
        record[ELAPSED] /= 100
    settle_elapsed([record], contract)
    return record, faults


def levers_of(bundle: Bundle, record: Record) -> list[Column]:
    """Return the columns of which other values may be tried.

    Of what accumulates so many more are tried, for as long as the period goes on.
    """
    ahead = bundle.elapsed([record]) is not None
    return [
        _further(column) if column.accumulates else _from_here(column, record[column.name])
        for column in actionable(bundle)
        if not column.accumulates or (ahead and record[column.name] is not None)
    ]


def _from_here(column: Column, value: Any) -> Column:
    """Return a column whose values go on from the one that it has, where it counts until a day."""
    if not column.only_grows or value is None or column.max == value:
        return column
    return column.model_copy(update={"min": float(value)})


def _further(column: Column) -> Column:
    most = "least" if column.effect == "raises" else "most"
    told = {"title": f"{column.title} from now on, at {most}", "help": "", "nullable": False, "max": None}
    told["role"] = Role.AUDIT  # it may be left empty
    return column.model_copy(update=told)


def fields(
    columns: Sequence[Column], contract: Contract, texts: Texts, faults: Texts, prefix: str = ""
) -> list[Field]:
    """Return columns of a contract as fields that say these texts, by column."""
    found = []
    for column in columns:
        name, field = column.name, field_id(column, contract, prefix)
        found.append(Field(column, field, prefix + name, texts.get(name, ""), faults.get(name, "")))
    return found


def field_id(column: Column, contract: Contract, prefix: str = "") -> str:
    """Return what a page calls a column's field: names may hold what an id may not."""
    names = list(contract.columns)
    place = names.index(column.name) if column.name in names else len(names)
    return f"{prefix}field-{place}".replace(".", "-")


def nice_step(wanted: float) -> float:
    """Return the round number at or below a step: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return max(part for part in (1, 2, 5) if part * power <= wanted * (1 + 1e-9)) * power


def texts_of(record: Mapping[str, Any], contract: Contract) -> dict[str, str]:
    """Return a record as the texts of its form."""
    return {
        name: f"{value:.3g}" if contract.columns[name].decimal else str(value)
        for name, value in record.items()
        if value is not None
    }


def read_form(columns: Sequence[Column], texts: Texts) -> tuple[Record, dict[str, str]]:
    """Return the record that texts give, by column, and what is wrong with those that give none."""
    record: Record = {}
    faults: dict[str, str] = {}
    for column in columns:
        text = texts.get(column.name, "")
        value = read_alone(column, text)
        if value is None and column.required:
            value = Reason.MISSING
        if isinstance(value, Reason):
            missing = value is Reason.MISSING
            wrong = "This is still missing." if missing else show.describe_fault(text, value)
            faults[column.name] = f"{wrong} {show.describe_allowed(column)}"
        elif value is not None or column.role == "feature":
            record[column.name] = value
    return record, faults


def example(bundle: Bundle) -> Record:
    """Return the record that the form is filled in with: of those that may be shown the most open one."""
    records = [bundle.record.validate_python(record) for record in bundle.shown]
    risks = risk_of(bundle.probabilities(bundle.matrix(records)), bundle.contract.target)
    most_open = records[int(abs(risks - 0.5).argmin())]
    return read_form(bundle.contract.features, texts_of(most_open, bundle.contract))[0]


# The forecast in words


def outlook(answer: Answer, bundle: Bundle, card: Card | None, record: Record) -> View:
    """Put a forecast with its reasons into words."""
    contract, plausible = bundle.contract, answer["grade_set"]
    reasons = reasons_in_words(answer["reasons"], bundle, record)
    chance = sum(answer["probabilities"][label] for label in plausible)
    everything = len(plausible) == len(contract.target.labels)
    coverage = describe_coverage(plausible, chance, card)
    return {
        "answer": answer,
        "headline": show.likely(answer),
        "tested": _nothing_ruled_out(plausible) if everything else coverage,
        "risk": show.listed(contract.target.at_risk, "or"),
        "call": describe_call(answer, contract),
        "gist": describe_reasons(reasons, contract, bundle.scale),
        "compared": show.compared(bundle.scale),
        "way": way_of(bundle, record, reasons),
        "first": reasons[:REASONS],
        "rest": reasons[REASONS:],
        "unsure": everything or len(plausible) >= UNSURE or chance < SURE,
    }


def describe_call(answer: Answer, contract: Contract) -> str:
    """Say that a student is flagged, and from which chance on; nothing of the others."""
    threshold = contract.target.call_from
    return f"Flagged as at risk ({show.percent(threshold)} or more)" if answer["at_risk"] >= threshold else ""


def _nothing_ruled_out(labels: Sequence[str]) -> str:
    return "Either is possible." if len(labels) == 2 else "The forecast rules nothing out."


def describe_coverage(plausible: Sequence[str], chance: float, card: Card | None) -> str:
    """Say how often the same set held the true class in tests; of all sets, where too few were the same.

    `chance` is what the classes of the set add up to for this student.
    """
    named = show.listed(plausible, "or")
    here = f"Here the chance of {named} is {show.chance(chance)}."
    if card is None:
        return f"How often such a forecast is right was not measured for this model. {here}"
    same = next((share for share in card.sets_by_members if share.label == members(plausible)), None)
    if same is None or same.n < ENOUGH:
        return f"For {_of(card.sets)}, the grades named held the true one. {here}"
    which = f"“{named}{' alone' * (len(plausible) == 1)}”"
    return f"When the model said {which} for {show.plural(same.n, 'past student')}, {_got(same)} {named}."


def _of(share: Share) -> str:
    return f"{_right(share)} of {show.plural(share.n, 'past student')}"


def _right(share: Share) -> str:
    return show.count(round(share.n * (share.share or 0.0)))


def _got(share: Share) -> str:
    """Say how many of the students in a share were rightly forecast, with the interval in percent."""
    right = round(share.n * (share.share or 0.0))
    many = f"all {show.count(right)}" if right == share.n else f"{show.count(right)} of them"
    span = f" (95%: {round(100 * share.low)} to {show.percent(share.high)})" if share.low is not None else ""
    return f"{many}{span} got"


def describe_reasons(reasons: Sequence[Mapping[str, Any]], contract: Contract, scale: Scale) -> str:
    """Say what lowers and what raises a forecast most, in a sentence or two."""
    toward = show.listed(scale.toward, "or")
    down = min(reasons, key=lambda reason: reason["effect"])
    up = max(reasons, key=lambda reason: reason["effect"])
    said = [
        f"{_named(reason, contract)} {verb}{_by(reason['effect'], scale)}."
        for reason, verb in (
            (
                down,
                "is the main thing lowering this forecast"
                if scale.ordered
                else f"speaks most against {toward}",
            ),
            (up, "helps most" if scale.ordered else f"speaks most for {toward}"),
        )
        if abs(reason["effect"]) >= TELLING and (reason["effect"] < 0) == (reason is down)
    ]
    return " ".join(said) or "Nothing stands out: on these columns the student is close to the average."


def _by(effect: float, scale: Scale) -> str:
    """Say how large an effect is, where its unit is one that people know."""
    return "" if scale.own else f" (by about {show.number(round(abs(effect), 2))} {scale.unit})"


def _named(reason: Mapping[str, Any], contract: Contract) -> str:
    column = contract.columns[reason["feature"]]
    return f"{column.title} ({show.value_of(column, reason['value'])})"


def describe_change(before: Answer, after: Answer) -> str:
    """Say in one line what a change does to the risk and to the set of plausible classes."""
    risk = f"At risk {show.chance(after['at_risk'])}, was {show.chance(before['at_risk'])}"
    return f"{show.likely(after)}. {risk}."
