"""Figures and values as the pages say them."""

import re
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader

from data.bundle.card import Share
from data.bundle.reasons import scale_of
from data.contract.columns import Column
from data.contract.contract import FOLDER, Contract, load_contract
from flows.reports.figures import card_figures
from serving.pages import show, student
from tests.contract.tiny import YAML, contract_of
from tests.flows.reports.evidences import grade_evidence

SAID = "When the model said “{}” for 30 past students, 27 of them (95%: 80 to 95%) got {}."
ALL = "For 446 of 480 past students, the grades named held the true one."


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0%"), (0.004, "under 1%"), (0.5, "50%"), (0.996, "over 99%"), (1, "100%"), (None, "–")],
)
def test_shares_are_said_in_percent_and_the_nearly_certain_stays_uncertain(share: Any, said: str) -> None:
    assert show.percent(share).replace(show.GAP, " ") == said


@pytest.mark.parametrize(("share", "said"), [(0, "under 1%"), (1, "over 99%"), (0.25, "25%")])
def test_a_forecast_is_never_certain(share: float, said: str) -> None:
    assert show.chance(share).replace(show.GAP, " ") == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.92, "+0.9"), (-0.92, "−0.9"), (0.01, "0.0"), (-0.01, "0.0"), (0, "0.0")]
)
def test_a_change_has_a_sign_unless_it_rounds_to_nothing(value: float, said: str) -> None:
    assert show.signed(value) == said


def test_values_have_their_label_or_their_unit(grade_class: Contract) -> None:
    def said(name: str, value: Any) -> str:
        return show.value_of(grade_class.columns[name], value).replace(show.GAP, " ")

    assert said("Absences", 21) == "21 days"
    assert said("Absences", 1) == "1 day"
    assert said("StudyTimeWeekly", 9.512345) == "9.512 hours a week"
    assert said("StudyTimeWeekly", 1) == "1 hour a week"
    assert said("ParentalSupport", 2) == "Moderate"
    assert said("Absences", None) == "not known"


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (
            {"kind": "integer", "min": 0, "max": 30, "unit": "days"},
            "Give a whole number from 0 to 30 (days).",
        ),
        ({"kind": "number", "min": 0}, "Give a number of at least 0."),
        ({"kind": "number", "max": 5}, "Give a number of at most 5."),
        ({"kind": "number"}, "Give a number."),
        ({"kind": "boolean"}, "Choose one of the answers listed."),
    ],
)
def test_what_to_give_is_said_from_the_contract(about: dict[str, Any], told: str) -> None:
    assert show.describe_allowed(Column.model_validate({"name": "x", "title": "X", **about})) == told


def answer(plausible: list[str], top: str = "B") -> dict[str, Any]:
    return {
        "grade_class": top,
        "grade_set": plausible,
        "probabilities": dict.fromkeys("ABC", 1 / 3),
        "at_risk": 0.2,
    }


def test_a_headline_names_what_is_plausible() -> None:
    assert show.likely(answer(["B"])) == "Most likely B"
    assert show.likely(answer(["B", "C"])) == "Most likely B or C"
    assert show.likely(answer(["A", "B", "C"])) == "B is likeliest, but A or C is possible"


@pytest.mark.parametrize(
    ("plausible", "n", "told"),
    [
        (["B"], 30, SAID.format("B alone", "B")),
        (
            ["B", "C"],
            30,
            SAID.format("B or C", "B or C"),
        ),
        (["B"], 29, f"{ALL} Here the chance of B is 58%."),
        (["C", "D"], 30, f"{ALL} Here the chance of C or D is 58%."),
    ],
)
def test_how_often_such_sets_held_the_truth_is_said_where_there_are_students_enough(
    grade_class: Contract, plausible: list[str], n: int, told: str
) -> None:
    known = tuple(Share(label=label, share=0.9, low=0.8, high=0.95, n=n) for label in ("B", "B|C"))
    everyone = Share(share=0.93, low=0.9, high=0.95, n=480)
    measured = card_figures(grade_evidence(grade_class))
    card = measured.model_copy(update={"sets": everyone, "sets_by_members": known})
    assert student.describe_coverage(plausible, 0.58, card).replace(show.GAP, " ") == told
    assert "not measured" in student.describe_coverage(plausible, 0.58, None)


def test_the_gist_names_the_largest_effect_on_either_side(grade_class: Contract) -> None:
    reasons = [
        {"feature": "Absences", "value": 21, "effect": -0.92},
        {"feature": "Tutoring", "value": 1, "effect": 0.2},
        {"feature": "Age", "value": 15, "effect": 0.01},
    ]
    scale = scale_of(grade_class.target, "score")
    told = student.describe_reasons(reasons, grade_class, scale).replace(show.GAP, " ")
    assert told == (
        "Absences (21 days) is the main thing lowering this forecast (by about 0.92 grade points). "
        "Tutoring (Yes) helps most (by about 0.2 grade points)."
    )
    assert student.describe_reasons(reasons[2:], grade_class, scale).startswith("Nothing stands out")
    assert "lowering" not in student.describe_reasons(reasons[1:], grade_class, scale)


def test_where_classes_have_no_order_the_gist_is_about_being_at_risk_and_names_no_unreadable_unit() -> None:
    contract = load_contract("after_school")
    reasons = [
        {"feature": "mean_mark", "value": 7.5, "effect": 1.9},
        {"feature": "internship", "value": 1, "effect": -0.8},
    ]
    told = student.describe_reasons(reasons, contract, scale_of(contract.target, "softmax")).replace(
        show.GAP, " "
    )
    assert told == (
        "Had an internship (Yes) speaks most against No place. "
        "Mean mark (7.5 points of 20) speaks most for No place."
    )


def test_a_student_is_called_at_risk_from_the_chance_on_that_the_contract_says(pass_fail: Contract) -> None:
    assert (
        student.describe_call({"at_risk": 0.2}, pass_fail).replace(show.GAP, " ")
        == "Flagged as at risk (20% or more)"
    )
    assert student.describe_call({"at_risk": 0.19}, pass_fail) == ""


def test_fields_stand_in_the_contracts_groups_and_a_date_is_asked_for_as_one() -> None:
    text = YAML.replace("{title: Hours,", "{title: Hours, group: At home,")
    text = text.replace("{title: Days,", "{title: Days, group: At home,").replace(
        "{title: Born,", "{title: Born, group: Who,"
    )
    contract = contract_of(text)
    environment = Environment(
        loader=FileSystemLoader(FOLDER.parents[1] / "serving" / "templates"), autoescape=True
    )
    template = environment.from_string('{% from "_fields.html" import grouped %}{{ grouped(fields) }}')
    page = template.render(fields=student.fields(contract.features, contract, {"Born": "2010-05-31"}, {}))
    assert re.findall(r'<h3 class="group">(.*?)</h3>', page) == ["At home", "Who"]
    assert page.index(">At home<") < page.index(">Hours") < page.index(">Days") < page.index(">Who<")
    assert re.search(r'<input id="\S+" name="Born" type="date" value="2010-05-31"', page)
