"""The two contracts load, and what is derived from a contract fits it."""

import re
from pathlib import Path

import pytest

from data.contract.columns import Role
from data.contract.contract import FOLDER, Contract, load_contract
from data.errors import BadInput
from data.rows.kinds import rule_of
from data.rows.records import feature_space, record_adapter
from tests.contract.tiny import STUDENT, YAML, contract_of

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_contract_loads_under_its_own_name(name: str) -> None:
    assert load_contract(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_a_contract_can_be_named_with_dashes_or_by_its_path(name: str) -> None:
    expected = load_contract(name)
    assert load_contract(name.replace("_", "-")) == expected
    assert load_contract(FOLDER / f"{name}.yaml") == expected
    assert load_contract(str(FOLDER / f"{name}.yaml")) == expected


def test_the_default_contract_lists_its_classes_best_first(grade_class: Contract) -> None:
    target = grade_class.target
    assert target.labels == ("A", "B", "C", "D", "F")
    assert target.bounds == (3.5, 3.0, 2.5, 2.0)
    assert target.at_risk == ("D", "F")
    assert not target.derived
    assert grade_class.model_name == "grade-class"


def test_the_second_contract_derives_its_target_and_bars_its_score_from_training(pass_fail: Contract) -> None:
    assert pass_fail.target.derived
    assert pass_fail.target.bounds == (10.0,)
    assert not pass_fail.target.train_on_score
    assert pass_fail.id is None
    assert [column.name for column in pass_fail.leaks] == ["G1", "G2"]


def test_students_are_called_at_risk_from_one_half_on_unless_costs_say_otherwise(pass_fail: Contract) -> None:
    assert contract_of().target.call_from == 0.5
    assert pass_fail.target.call_from == pytest.approx(0.2)
    costly = YAML.replace("  at_risk: [C]", "  at_risk: [C]\n  costs: {missed: 1, false_alarm: 3}")
    assert contract_of(costly).target.call_from == 0.75


def test_audited_are_the_columns_kept_for_it_and_the_features_that_say_so(tiny: Contract) -> None:
    assert [column.name for column in tiny.audited] == ["Group"]
    job = YAML.replace("{title: Job,", "{title: Job, audited: true,")
    assert [column.name for column in contract_of(job).audited] == ["Group", "Job"]
    assert contract_of(job).features == tiny.features[:4] + contract_of(job).audited[1:] + tiny.features[5:]
    assert [c.name for c in load_contract("exam_scores").audited] == ["gender", "race/ethnicity"]


@pytest.mark.parametrize("name", ["grade_class", "pass_fail"])
def test_the_published_files_have_every_column_of_their_contract(
    name: str, real_grades: Path, real_courses: Path
) -> None:
    contract = load_contract(name)
    path = {"grade_class": real_grades, "pass_fail": real_courses}[name]
    header = set(re.split("[,;]", path.read_text(encoding="utf-8").splitlines()[0]))
    assert header - {contract.target.column} == set(contract.columns)


def test_a_boolean_without_codes_says_no_and_yes(tiny: Contract) -> None:
    assert tiny.columns["Club"].codes == {0: "No", 1: "Yes"}


def test_a_quoted_code_stays_text_and_a_number_a_number() -> None:
    contract = contract_of(YAML.replace("{0: North, 1: South}", '{"0": North, 1: South}'))
    assert list(contract.columns["Group"].codes) == ["0", 1]


def test_the_order_of_columns_is_that_of_the_file(tiny: Contract) -> None:
    assert list(tiny.columns)[:4] == ["Student", "Group", "Hours", "Days"]
    assert [column.name for column in tiny.asked][-1] == "Group"
    assert feature_space(tiny).columns[:2] == ("Hours", "Days")


def test_each_column_has_one_role(tiny: Contract) -> None:
    assert tiny.id is not None
    assert tiny.score is not None
    parts = [*tiny.features, *tiny.audit, *tiny.leaks, tiny.id, tiny.score]
    assert sorted(c.name for c in parts) == sorted(tiny.columns)
    assert all(column.role is Role.FEATURE for column in tiny.features)


def test_a_contract_cannot_be_changed(tiny: Contract) -> None:
    with pytest.raises(ValueError, match="frozen"):
        tiny.title = "Another"  # type: ignore[misc]


def test_a_merged_anchor_may_be_used_by_many_columns_and_inside_another() -> None:
    merged = """
  Base: &base {title: Base, kind: ordinal, codes: &codes {0: Low, 1: High}}
  Next: &next {<<: *base, title: Next}
  Last: {<<: *next, title: Last, codes: *codes}
"""
    contract = contract_of(YAML.rstrip() + merged)
    assert contract.columns["Last"].codes == {0: "Low", 1: "High"}


def test_an_id_may_be_any_text() -> None:
    contract = contract_of(YAML.replace("role: id, kind: integer, min: 1", "role: id, kind: nominal"))
    assert contract.id is not None
    assert not contract.id.coded


def test_a_class_can_be_derived_from_a_rule_of_many_bounds() -> None:
    target = contract_of(YAML.replace("  at_least", "  derive: at_least\n  at_least")).target
    assert target.derived
    assert target.bounds == (3.0, 2.0)


def test_a_copy_with_other_columns_derives_nothing_from_those_of_the_first(tiny: Contract) -> None:
    first = tiny.model_copy()
    assert len(first.asked) == 12  # asked before it is copied
    assert first.id is not None
    fewer = {name: column for name, column in tiny.columns.items() if name not in ("Group", "Student")}
    second = first.model_copy(update={"columns": fewer})
    assert [column.name for column in second.asked] == [c.name for c in tiny.asked if c.name != "Group"]
    assert (second.id, second.audit) == (None, ())
    assert len(first.asked) == 12


def test_a_column_can_be_ignored_and_is_then_known_and_used_for_nothing() -> None:
    leak = "  Early: {title: Early grade, role: leak, kind: number}"
    contract = contract_of(YAML.replace(leak, "  Early: {role: ignore}"))
    assert contract.ignored == ("Early",)
    assert "Early" not in contract.columns
    assert "Early" not in contract.readable
    assert contract == contract_of(YAML.replace(leak, "  Early: {title: Too early, role: ignore}"))
    with pytest.raises(BadInput, match=r"Early\.kind: an ignored column has a title and a help at most"):
        contract_of(YAML.replace(leak, "  Early: {role: ignore, kind: number}"))


def test_several_codes_of_a_source_can_stand_for_one_and_the_rest_for_other() -> None:
    codes = "codes: {farm: Farm, shop: Shop, other: Other}"
    also = "codes: {farm: Farm, shop: Shop}, also: {farm: [7, Ranch], shop: [8]}, other: true"
    contract = contract_of(
        YAML.replace(codes, also).replace("2: C}\n  at_risk", "2: C}\n  also: {2: [W, 9]}\n  at_risk")
    )
    column = contract.columns["Job"]
    assert list(column.codes) == ["farm", "shop", "other"]
    read = rule_of(column).read
    assert [read(cell) for cell in ("Farm", "7", 7, "ranch", "8.0", "mine", "", "-")] == [
        *["farm"] * 4, "shop", "other", None, None,
    ]  # fmt: skip
    record = {name: STUDENT[name] for name in STUDENT}
    adapter = record_adapter(contract)
    assert [adapter.validate_python({**record, "Job": cell})["Job"] for cell in (7, 99, "mine")] == [
        "farm",
        "other",
        "other",
    ]
    grade = rule_of(contract.target.as_column).read
    assert [grade(cell) for cell in ("w", "9", "C", "B")] == [2, 2, 2, 1]
    assert contract_of(YAML) != contract


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("also: {farm: [shop]}", "'shop' could mean 'farm' or 'shop'"),
        ("also: {mine: [x]}", "'mine' is none of the codes"),
        ("also: {farm: [NA]}", "'na' stands for a missing value"),
        ("also: {farm: [x], shop: [X]}", "'x' could mean 'farm' or 'shop'"),
    ],
)
def test_what_else_stands_for_a_code_must_be_clear(mistake: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        contract_of(YAML.replace("codes: {farm: Farm,", f"{mistake}, codes: {{farm: Farm,"))
    with pytest.raises(BadInput, match="has a place among names alone"):
        contract_of(
            YAML.replace("kind: ordinal, codes: {0: None,", "kind: ordinal, other: true, codes: {0: None,")
        )
