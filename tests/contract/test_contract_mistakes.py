"""A mistake in a contract is named with its file, its line, and what is allowed there."""

import re
from pathlib import Path

import pytest

from data.contract.contract import load_contract
from data.errors import BadInput
from tests.contract.tiny import YAML, contract_of

KINDS = "'number', 'integer', 'boolean', 'ordinal', 'nominal' or 'date'"
TEXT = "write a text; quote it where it looks like a number, or is yes, no or empty"
CODE = "a code is a whole number or a text; quote yes, no and the like"
MAPPING = "write keys with values here, {key: value}"

# what is replaced, by what; a piece of the line that is then wrong; what is said of it
MISTAKES = {
    "unknown key": ("name: tiny", "name: tiny\ncolour: red", "colour", "there are name, title, description"),
    "unknown key of the target": ("  at_risk: [C]", "  at_risk: [C]\n  risky: [C]", "risky",
        "there are column,"),
    "unknown key of a column": ("Days: {", "Days: {\n    least: 0, ", "    least: 0",
        "there are title, kind, role,"),
    "missing key": ("title: Days, ", "", "  Days:", "columns.Days.title: this key is missing"),
    "missing key of the target": ("  at_risk: [C]\n", "", "target:", "target.at_risk: this key is missing"),
    "missing target": (YAML[YAML.index("target:") : YAML.index("rule_")], "", "name:", "target: this key is"),
    "missing columns": (YAML[YAML.index("columns:") :], "", "name:", "columns: this key is missing"),
    "wrong kind": ("kind: ordinal, codes", "kind: ordinary, codes", "Help:",
        f"Help.kind: give one of {KINDS}"),
    "wrong role": ("role: audit", "role: auditor", "Group:", "'feature', 'audit', 'id', 'leak' or 'score'"),
    "wrong effect": ("effect: lowers", "effect: down", "Days:", "give one of 'raises' or 'lowers'"),
    "codes on a number": ("Hours, kind: number, min: 0, max: 20", "H, kind: number, codes: {0: a, 1: b}",
        "Hours:", "a column of kind number has min and max, not codes"),
    "min on a nominal": ("kind: nominal, codes: {farm", "kind: nominal, min: 0, codes: {farm", "Job:",
        "a column of kind nominal has codes, not min and max"),
    "a date of which nothing is taken": ("age_at: 2025-09-01, min: 5, max: 90", "min: 5", "Born:",
        "say what is taken from a date: age_at: DAY, or days_since: DAY"),
    "a date that is none": ("age_at: 2025-09-01", "age_at: soon", "Born:", "age_at: write a day, 2025-09-01"),
    "a day of a number": ("Days, kind: integer", "Days, age_at: 2025-09-01, kind: integer", "Days:",
        "this is for a column of kind date"),
    "a date that is a score": ("role: score, kind: number", "role: score, kind: date, age_at: 2025-09-01",
        "Points:", "a score is of kind number or integer"),
    "a date to be changed": ("kind: date,", "kind: date, actionable: true,", "Born:", "nobody can change a"),
    "one code": ("{0: North, 1: South}", "{0: North}", "Group:", "needs at least two codes"),
    "no codes": (", codes: {0: North, 1: South}", "", "Group:", "needs at least two codes"),
    "three codes of a boolean": ("kind: boolean}", "kind: boolean, codes: {0: a, 1: b, 2: c}}", "Club:",
        "a boolean has exactly two codes: no first, then yes"),
    "codes in a list": ("{0: North, 1: South}", "[North, South]", "Group:", f"Group.codes: {MAPPING}"),
    "yes and no as codes": ("{0: North, 1: South}", "{no: North,\n      yes: South}",
        "yes: South", f"columns.Group.codes.yes: {CODE}"),
    "yes and no as classes": ("{0: A, 1: B, 2: C}", "{yes: A, no: B, 2: C}", "classes:",
        f"classes.no: {CODE}"),
    "no as a label": ("{0: North, 1: South}", "{0: no, 1: South}", "Group:", f"Group.codes.0: {TEXT}"),
    "nothing as a label": ("{0: North, 1: South}", "{0: , 1: South}", "Group:", f"Group.codes.0: {TEXT}"),
    "an empty label": ("{0: North, 1: South}", "{0: '', 1: South}", "Group:",
        "codes.0: this may not be empty"),
    "a fraction as a code": ("{0: North, 1: South}", "{0.5: North, 1: South}", "Group:", CODE),
    "two codes with one label": ("{0: North, 1: South}", "{0: North, 1: north}", "Group:",
        "'north' could mean 0 or 1"),
    "a label that is another code": ("{0: North, 1: South}", "{0: '1', 1: South}", "Group:",
        "'1' could mean 0 or 1"),
    "a code that stands for nothing": ("{0: North, 1: South}", "{NA: North, 1: South}", "Group:",
        "'na' stands for a missing value"),
    "the same code twice": ("{0: North, 1: South}", "{0: North, 0: South}", "Group:", "'0' is there twice"),
    "the same column twice": ("  Early:", "  Days: {title: Days, kind: integer}\n  Early:",
        "Days, kind: integer}", "'Days' is there twice"),
    "the same key twice": ("Days: {title: Days,", "Days: {title: Days, title: Day,", "Days:",
        "'title' is there twice"),
    "another name than the key": ("Days: {title", "Days: {name: Day, title", "Days:",
        "a column's name is the key that it stands under"),
    "a column of ours": ("  Early:", "  split: {title: Split, kind: number}\n  Early:", "split:",
        "Gradecast keeps a column of its own under this name"),
    "a number as a column": ("  Early:", "  7: {title: Seven, kind: number}\n  Early:", "7:",
        f"columns.7: {TEXT}"),
    "a column without anything": ("  Early: {title: Early grade, role: leak, kind: number}", "  Early:",
        "Early:",
        f"columns.Early: {MAPPING}"),
    "min above max": ("min: 0, max: 30", "min: 30, max: 0", "Days:", "min 30 is not below max 0"),
    "min that is no number": ("min: 0, max: 30", "min: none, max: 30", "Days:", "Days.min: write a number"),
    "max without end": ("min: 0, max: 30", "min: 0, max: .inf", "Days:", "Days.max: write a finite number"),
    "neither true nor false": ("kind: boolean}", "kind: boolean, actionable: perhaps}", "Club:",
        "Club.actionable: write true or false"),
    "an audit column that accumulates": ("role: audit,", "role: audit, accumulates: true,", "Group:",
        "only a feature can accumulate"),
    "codes that accumulate": ("Club, kind: boolean}", "Club, kind: boolean, accumulates: true}", "Club:",
        "what accumulates is of kind integer or number"),
    "what accumulates from no beginning": ("Sleep, kind: number,", "Sleep, kind: number, accumulates: true,",
        "Sleep:", "what accumulates begins at nothing: give min: 0"),
    "a column of a name that says how much has passed": ("  Days: {",
        "  elapsed: {title: Time, kind: number}\n  Days: {accumulates: true, ", "elapsed:",
        "columns.elapsed: where a column accumulates, this name says how much of the period has passed"),
    "a nullable audit column": ("role: audit,", "role: audit, nullable: true,", "Group:",
        "only a feature can be nullable"),
    "an effect without an order": ("Job: {", "Job: {effect: raises, ", "Job:",
        "a nominal column has no order"),
    "an id of another kind": ("role: id, kind: integer", "role: id, kind: number", "Student:",
        "an id is of kind integer, or of kind nominal for any text"),
    "an id with codes": ("role: id, kind: integer, min: 1", "role: id, kind: nominal, codes: {a: A, b: B}",
        "Student:", "it has no codes"),
    "two ids": ("Days: {", "Days: {role: id, ", "Days:", "Student has the role id already, at most one may"),
    "two scores": ("role: leak", "role: score", "Points:",
        "Early has the role score already, at most one may"),
    "a score with codes": ("role: score, kind: number, min: 0, max: 4", "role: score, kind: boolean",
        "Points:",
        "a score is of kind number or integer"),
    "a score without a rule": ("  at_least: {A: 3.0, B: 2.0}\n", "", "Points:",
        "a score needs a rule in the target"),
    "a rule without a score": ("role: score", "role: leak", "at_least:",
        "the rule needs a column with the role"),
    "the target among the columns": ("  Early:", "  Grade: {title: Grade, kind: number}\n  Early:",
        "  Grade: {",
        "columns.Grade: this is the target and cannot be a column as well"),
    "at_risk with an unknown class": ("at_risk: [C]", "at_risk: [D]", "at_risk",
        "'D' is not one of the classes A, B,"),
    "at_risk with every class": ("at_risk: [C]", "at_risk: [A, B, C]", "at_risk",
        "name some of the classes, but not all"),
    "at_risk with no class": ("at_risk: [C]", "at_risk: []", "at_risk",
        "name some of the classes, but not all"),
    "at_risk with a class twice": ("at_risk: [C]", "at_risk: [C, C]", "at_risk", "name each class once"),
    "at_risk that is no list": ("at_risk: [C]", "at_risk: C", "at_risk", "write a list here, [one, another]"),
    "at_risk with a code": ("at_risk: [C]", "at_risk: [2]", "at_risk", TEXT),
    "one cost alone": ("  at_risk: [C]", "  at_risk: [C]\n  costs: {missed: 4}", "costs:",
        "target.costs.false_alarm: this key is missing"),
    "a cost of nothing": ("  at_risk: [C]", "  at_risk: [C]\n  costs: {missed: 4, false_alarm: 0}", "costs:",
        "costs.false_alarm: write a number above 0"),
    "an unknown cost": ("  at_risk: [C]", "  at_risk: [C]\n  costs:\n    right: 0", "right",
        "this key is not known here; there are missed, false_alarm"),
    "an audited audit column": ("role: audit,", "role: audit, audited: true,", "Group:",
        "a column with the role audit is audited anyway"),
    "at_least out of order": ("{A: 3.0, B: 2.0}", "{A: 2.0, B: 3.0}", "at_least", "the bounds must fall"),
    "at_least twice the same": ("{A: 3.0, B: 2.0}", "{A: 2.0, B: 2.0}", "at_least", "the bounds must fall"),
    "at_least of the last class": ("{A: 3.0, B: 2.0}", "{A: 3.0, C: 2.0}", "at_least",
        "give a lower bound for each of A, B, in this order"),
    "at_least of an unknown class": ("{A: 3.0, B: 2.0}", "{A: 3.0, Z: 2.0}", "at_least", "'Z' is not one of"),
    "at_least that is no number": ("{A: 3.0, B: 2.0}", "{A: 3.0, B: two}", "at_least",
        "at_least.B: write a number"),
    "derive of another column": ("{0: A, 1: B, 2: C}\n  at_risk: [C]\n  at_least: {A: 3.0, B: 2.0}",
        "{0: A, 1: C}\n  at_risk: [C]\n  derive: Hours >= 3", "derive",
        "'Hours' must be the column with the role score"),
    "derive that is no rule": ("at_least: {A: 3.0, B: 2.0}", "derive: Points > 3", "derive",
        "write COLUMN >= NUMBER or COLUMN <= NUMBER, or at_least"),
    "derive of three classes": ("at_least: {A: 3.0, B: 2.0}", "derive: Points >= 3", "derive",
        "makes two classes"),
    "derive from an absent rule": ("at_least: {A: 3.0, B: 2.0}", "derive: at_least", "derive",
        "this needs at_least"),
    "two rules": ("  at_risk:", "  derive: Points >= 3\n  at_risk:", "derive", "give the rule once"),
    "a rule of an unordered target": ("  at_risk:", "  ordered: false\n  at_risk:", "at_least",
        "no rule on a score"),
    "one class": ("{0: A, 1: B, 2: C}", "{0: A}", "classes", "there must be at least two"),
    "two classes of one name": ("{0: A, 1: B, 2: C}", "{0: A, 1: B, 2: A}", "classes",
        "'a' could mean 0 or 2"),
    "a rule of thumb that is no feature": ("rule_of_thumb: Days", "rule_of_thumb: Group", "rule_of_thumb",
        "'Group' is not a feature"),
    "a name with a space": ("name: tiny", "name: Tiny One", "name:", "use lower-case letters, digits and _"),
    "a name too long": ("name: tiny", "name: " + 201 * "a", "name:", "name: write at most 200 characters"),
    "a label too long": ("{0: A, 1: B, 2: C}", "{0: A, 1: B, 2: C, 3: " + 201 * "D" + "}", "classes:",
        "a label has at most 200 characters"),
    "a column's name too long": ("  Early:", "  " + 500 * "E" + ":", "EEE", "a text of 500 characters"),
    "a cost that is no sum": ("  at_risk: [C]", "  at_risk: [C]\n  costs: {missed: 1.0e+308, false_alarm: 1}",
        "costs:", "costs.missed: write a number up to 1e+100"),
    "a derivation without end": ("{0: A, 1: B, 2: C}\n  at_risk: [C]\n  at_least: {A: 3.0, B: 2.0}",
        "{0: A, 1: C}\n  at_risk: [C]\n  derive: Points >= " + 400 * "9", "derive", "write a finite number"),
    "an octal number": ("{0: North, 1: South}", "{0: North, 010: South}", "Group:",
        "'010' would be read as 8; write a plain decimal number, or quote a text"),
    "a number to the base of sixty": ("max: 30", "max: 1:30", "Days:", "'1:30' would be read as 90"),
    "a hexadecimal number": ("max: 30", "max: 0x1F", "Days:", "'0x1F' would be read as 31"),
    "a binary number": ("max: 30", "max: 0b11", "Days:", "'0b11' would be read as 3"),
    "a number with underscores": ("max: 30", "max: 1_000", "Days:", "'1_000' would be read as 1000"),
    "a number of 5,000 digits": ("max: 30", "max: " + 5000 * "9", "Days:", "9…' cannot be read as a whole"),
    "a number of 400 digits": ("max: 30", "max: " + 400 * "9", "Days:", "9…' is longer than 18 digits"),
    "a day that is none": ("title: Days,", "title: 2020-13-45,", "Days:",
        "'2020-13-45' cannot be read as a date"),
    "a tag that does not fit": ("title: Days,", "title: !!int '',", "Days:", "'' cannot be read as a whole"),
    "a truth that is none": ("title: Days,", "title: !!bool x,", "Days:", "'x' cannot be read as true or"),
    "lists 900 deep": ("name: tiny", "name: " + 900 * "[" + 900 * "]", "name:", "nested more than 20 deep"),
    "an alias inside what it stands for": ("name: tiny", "name: &a [*a]", "name:", "nested more than 20"),
    "aliases of aliases": ("name: tiny", "a: &a [" + 99 * "x," + "x]\nb: &b [" + 99 * "*a," + "*a]\nc: &c ["
        + 99 * "*b," + "*b]\nname: tiny", "a: &a", "more than 50,000 entries in all"),
    "too many entries": ("at_risk: [C]", "at_risk: [" + 50_001 * "C," + "C]", "at_risk", "more than 50,000"),
    "too many codes": ("{0: North, 1: South}", str({n: f"L{n}" for n in range(1_001)}), "Group:",
        "1,001 entries here, and at most 1,000 can be"),
    "a merged mapping beside a mistake": ("Days: {title", "Days: {<<: {unit: d}, odd: 1, title", "Days:",
        "columns.Days.odd: this key is not known"),
    "a mistake in a merged mapping": ("Days: {", "Days: {\n    <<: {unit: 7}, ", "    <<:",
        f"columns.Days.unit: {TEXT}"),
    "a mistake that a merged mapping does not have": ("Days: {title: Days, kind: integer",
        "Days: {<<: {kind: number},\n    title: Days, kind: whole", "kind: whole", "Days.kind: give one of"),
    "not YAML": ("columns:", "columns: [", "  Group:", "expected ',' or ']'"),
    "a tab": ("  title: Grade", "\ttitle: Grade", "title: Grade", "found character '\\t'"),
    "a number as a key": ("name: tiny", "name: tiny\n7: seven", "7: seven", "a key here must be a text"),
    "a list as a key": ("name: tiny", "name: tiny\n? [a, b]\n: 1", "? [", "a key must be a text or a number"),
    "a Python object": ("name: tiny", "name: !!python/name:os.system", "name",
        "could not determine a constructor"),
    "an anchor that is not there": ("name: tiny", "name: *tiny", "name", "found undefined alias"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_line_and_what_is_allowed(
    old: str, new: str, place: str, words: str
) -> None:
    assert old in YAML
    text = YAML.replace(old, new, 1)
    line = next(n for n, content in enumerate(text.splitlines(), start=1) if place in content)
    with pytest.raises(BadInput) as refusal:
        contract_of(text)
    message = str(refusal.value)
    assert message.startswith("tiny.yaml: ")
    assert words in message
    assert f"line {line}: " in message
    assert "Input should" not in message
    assert "union" not in message


def test_every_mistake_is_named_at_once_and_only_once() -> None:
    text = YAML.replace("kind: ordinal, codes", "kind: odd, codes").replace("role: audit", "role: it")
    with pytest.raises(BadInput) as refusal:
        contract_of(text.replace("{farm: Farm", "{no: Farm"))
    problems = str(refusal.value).split("; line ")
    assert [re.findall(r"columns[.\w]+", problem) for problem in problems] == [
        ["columns.Group.role"],
        ["columns.Help.kind"],
        ["columns.Job.codes.no"],
    ]


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "gradecast", "- a\n- b\n", "---\n"])
def test_a_file_without_a_contract_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"the file holds no contract\. Start from an existing one."):
        contract_of(text)


def test_a_control_character_is_refused_as_not_yaml() -> None:
    with pytest.raises(BadInput, match="not YAML: special characters are not allowed"):
        contract_of(YAML.replace("tiny", "ti\x07ny"))


def test_a_contract_may_merge_mappings_and_refer_to_what_it_has_said() -> None:
    merged = YAML.replace("Days: {title", "Days: {<<: &days {unit: d, help: Much}, help: More, title")
    days = contract_of(merged).columns["Days"]
    assert (days.unit, days.help) == ("d", "More")


def test_a_contract_of_a_hundred_megabytes_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML + "#" + 500_000 * "x")
    with pytest.raises(BadInput, match=r"tiny.yaml: it is larger than 500 kB\. Leave out"):
        load_contract(path)
    path.write_text(f"#{400_000 * 'x'}\n{YAML}")
    assert load_contract(path) == contract_of(YAML)


def test_a_registered_contract_is_read_as_it_was_when_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML.replace("max: 30", "max: 036"))
    with pytest.raises(BadInput, match="'036' would be read as 30"):
        load_contract(path)
    assert load_contract(path, strict=False) == contract_of(YAML)


def test_a_contract_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(YAML.replace("Much", "Möglich").encode("latin-1"))
    with pytest.raises(BadInput, match=r"latin.yaml: not UTF-8 text. Save it as UTF-8."):
        load_contract(path)


def test_a_name_that_is_nearly_one_of_ours_is_asked_about() -> None:
    with pytest.raises(BadInput, match=r"no contract 'grade-clas'\. Did you mean grade_class\? Name"):
        load_contract("grade-clas")


@pytest.mark.parametrize("name", ["grades", "nowhere/tiny.yaml", "", 5000 * "a", f"{300 * 'a'}.yaml"])
def test_an_unknown_contract_is_answered_with_those_that_there_are(name: str) -> None:
    with pytest.raises(
        BadInput,
        match="exam_scores, grade_class, leaving_exam, oneroster, oulad, pass_fail, school_year",
    ):
        load_contract(name)
