"""A draft is what a person would write: it holds, whatever is in the file, and says what it leaves out."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from data.cohorts import grades as cohort
from data.contract.__main__ import main
from data.contract.columns import Kind, Role
from data.contract.contract import Contract
from data.contract.yaml_files import parse_yaml
from data.errors import BadInput
from data.intake.check import check
from data.intake.draft import Draft, Wishes, draft_contract, flow
from tests.contract.tiny import contract_of

COUNT = 300


def drafted(frame: pd.DataFrame, tmp_path: Path, **wishes: Sequence[str]) -> tuple[Contract, Draft]:
    path = tmp_path / "year.csv"
    frame.to_csv(path, index=False)
    draft = draft_contract(path, "GradeClass", wishes=Wishes(**wishes))
    return contract_of(draft.text), draft


def with_column(name: str, values: Sequence[object], seed: int = 0) -> pd.DataFrame:
    """Return students with a column more, drawn of these values."""
    drawn = np.random.default_rng(seed).choice(np.array(values, dtype=object), COUNT)
    return cohort.generate(COUNT, seed=3).assign(**{name: drawn})


@pytest.mark.parametrize(
    "words",
    [
        ["Low", "Medium", "High"],
        ["Negative", "Neutral", "Positive"],
        ["Near", "Moderate", "Far"],
        ["C", "B-", "B", "A−", "A", "A+"],
        ["None", "Low", "High"],
        ["nie", "selten", "oft", "immer"],
        ["faible", "moyen", "élevé"],
        ["bajo", "medio", "alto"],
        ["baixo", "médio", "alto"],
    ],
    ids=str,
)
def test_words_that_have_an_order_are_put_into_it(words: list[str], tmp_path: Path) -> None:
    contract, _ = drafted(with_column("support", words), tmp_path)
    assert contract.columns["support"].kind is Kind.ORDINAL
    assert list(contract.columns["support"].codes) == words


@pytest.mark.parametrize(
    "name", ["Geschlecht", "Sexe", "género", "Nacionalidade", "Staatsangehörigkeit", "race"]
)
@pytest.mark.parametrize("values", [[1, 2], ["m", "w"], [3, 17, 101, 44]], ids=str)
def test_what_an_audit_asks_about_is_audited_in_five_languages_however_it_is_coded(
    name: str, values: list[object], tmp_path: Path
) -> None:
    contract, _ = drafted(with_column(name, values), tmp_path)
    assert contract.columns[name].role is Role.AUDIT
    assert set(contract.columns[name].codes) == set(values)


def test_numbers_that_behave_like_names_are_nominal_and_counts_are_not(tmp_path: Path) -> None:
    courses = [33, 171, 8014, 9003, 9070, 9085, 9119, 9254]
    frame = with_column("Course", courses).assign(
        fees=np.arange(COUNT) % 12 * 250, visits=np.arange(COUNT) % 37
    )
    contract, _ = drafted(frame, tmp_path)
    assert contract.columns["Course"].kind is Kind.NOMINAL
    assert list(contract.columns["Course"].codes) == courses
    assert {contract.columns[name].kind for name in ("fees", "visits")} == {Kind.INTEGER}


def test_one_slip_and_five_empty_rows_change_neither_kind_nor_nullable(tmp_path: Path) -> None:
    frame = cohort.generate(COUNT, seed=3).astype(object)
    usual, _ = drafted(frame, tmp_path)
    frame.loc[7, "Absences"] = "12 (?)"
    frame = pd.concat([frame, pd.DataFrame([{"StudentID": f"{n}"} for n in range(9_000, 9_005)])])
    contract, draft = drafted(frame, tmp_path)
    assert contract == usual
    assert "1 of its cells are no numbers, such as '12 (?)': mend them in the file" in draft.text


def test_what_a_person_says_of_columns_comes_first(tmp_path: Path) -> None:
    frame = with_column("Course", [1, 2, 3, 4])
    contract, _ = drafted(
        frame, tmp_path, nominal=["Course"], leak=["Study*"], audit=["music"], ignore=["Sports", "Volunt*"]
    )
    assert contract.columns["Course"].kind is Kind.NOMINAL
    assert contract.columns["StudyTimeWeekly"].role is Role.LEAK
    assert contract.columns["Music"].role is Role.AUDIT
    assert contract.ignored == ("Sports", "Volunteering")
    with pytest.raises(BadInput, match=r"no column is named 'Cours'\. There are: StudentID,"):
        drafted(frame, tmp_path, nominal=["Cours"])


def test_dates_are_drafted_as_ages_or_days_with_the_order_that_the_file_has(tmp_path: Path) -> None:
    born = [f"{1 + n % 28}.{1 + n % 12}.2008" for n in range(COUNT)]
    joined = [f"{1 + n % 12}/{1 + n % 28}/2024" for n in range(COUNT)]
    frame = with_column("birth_date", born).assign(joined=joined)
    contract, draft = drafted(frame, tmp_path)
    birth, day = contract.columns["birth_date"], contract.columns["joined"]
    assert (birth.kind, birth.day_first, birth.age_at is not None) == (Kind.DATE, True, True)
    assert (day.kind, day.day_first, str(day.days_since)) == (Kind.DATE, False, "2024-01-01")
    assert "date of birth, by its name, 2008-01-01 to" in draft.text
    stored = frame.assign(birth_date=pd.to_datetime(frame["birth_date"], format="%d.%m.%Y"))
    stored.to_parquet(tmp_path / "year.parquet")
    assert (
        "birth_date: {title: Birth date, kind: date"
        in draft_contract(tmp_path / "year.parquet", "GradeClass").text
    )


def test_none_is_a_label_where_only_one_other_is_said(tmp_path: Path) -> None:
    contract, draft = drafted(with_column("preparation", ["none", "completed"]), tmp_path)
    assert set(contract.columns["preparation"].codes) == {"none", "completed"}
    assert "None is taken for a label" in draft.text


def test_a_student_who_comes_again_is_drafted_so_and_outcomes_that_are_not_known_wait(tmp_path: Path) -> None:
    frame = with_column("note", ["x", "y"]).assign(StudentID=[n // 2 for n in range(COUNT)])
    frame["GradeClass"] = frame["GradeClass"].astype(object)
    frame.loc[frame.index % 10 == 0, "GradeClass"] = None
    contract, draft = drafted(frame, tmp_path)
    assert contract.id is not None
    assert contract.id.several
    assert contract.target.waiting is True
    assert "30 rows have no outcome yet" in draft.text


def test_marks_that_are_better_when_low_give_upper_bounds_where_the_classes_say_their_order(
    tmp_path: Path,
) -> None:
    marks = np.random.default_rng(1).integers(10, 60, COUNT) / 10
    frame = cohort.generate(COUNT, seed=3).drop(columns=["GPA"]).assign(mark=marks)
    frame["GradeClass"] = np.where(marks <= 2.5, "A", np.where(marks <= 4.0, "B", "C"))
    contract, _ = drafted(frame, tmp_path)
    assert contract.target.at_most == {"A": 2.5, "B": 4.0}
    assert contract.score is not None
    assert contract.score.name == "mark"


def test_a_target_that_nearly_fits_is_asked_about(tmp_path: Path) -> None:
    frame = with_column("note", ["x", "y"]).rename(columns={"GradeClass": "grade class"})
    with pytest.raises(BadInput, match="Did you mean 'grade class'"):
        drafted(frame, tmp_path)


def test_what_is_left_out_is_said_on_the_screen_with_what_would_bring_it_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = with_column("note", [f"a remark of four {n}" for n in range(200)]).assign(fee=["1.234 €"] * COUNT)
    frame.to_csv(tmp_path / "year.csv", index=False, sep=";")
    out = tmp_path / "year.yaml"
    assert main(["infer", str(tmp_path / "year.csv"), "--target", "GradeClass", "--output", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("column note: left out: free text, too many for codes; make a few" in line for line in lines)
    assert any("column fee: left out: 1 value" in line for line in lines)


def test_units_of_the_cells_are_the_units_of_the_contract(tmp_path: Path) -> None:
    frame = cohort.generate(COUNT, seed=3)
    frame["StudyTimeWeekly"] = [f"{value:.1f} hours" for value in frame["StudyTimeWeekly"]]
    contract, draft = drafted(frame, tmp_path)
    assert (contract.columns["StudyTimeWeekly"].unit, contract.columns["StudyTimeWeekly"].max) == (
        "hours",
        20,
    )
    cell = frame["StudyTimeWeekly"][0]
    said = f"numbers are written with their unit; {cell!r} is {cell.removesuffix(' hours')}"
    assert draft.assumed == (f"column StudyTimeWeekly: {said}",)


NAMES = st.sampled_from(
    [
        "x",
        "a b",
        "#",
        "- y",
        "{}",
        "yes",
        "1",
        "Größe",
        "row",
        "note: z",
        "'q'",
        '"',
        "a\nb",
        "_",
        "%",
        "G" * 300,
    ]
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1, max_size=6)
CELLS = [
    st.sampled_from(["yes", "no", "Yes", "ja", "nein", "None", "", "NA"]),
    st.sampled_from(["low", "medium", "high", "None"]),
    st.integers(-3, 9).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(repr),
    st.floats(0, 5_000).map(lambda value: f"{value:,.2f} €"),
    st.sampled_from(["1.234", "1,234", "12 %", "-", "?"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=4),
    st.sampled_from(["A", "A+", "B", "b", "0", "0.0", "01", "1.0", "1"]),
    st.just("x" * 300) | st.sampled_from(["a", "b"]),
    st.sampled_from(["31.12.2025", "2025-01-02", "TRUE", "null"]),
]
FAIR = (
    "fewer than two values",
    "too many classes",
    "no column of it can be",
    "could be",
    "is there twice",
    "no rows",
    "too long for a class",
    "differ in capitals",
)
"""What may be said of a file; nothing may be said of the draft."""


@st.composite
def files(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(2, 30))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.strip))
    column = st.sampled_from(CELLS).flatmap(lambda cells: st.lists(cells, min_size=rows, max_size=rows))
    return pd.DataFrame({name: draw(column) for name in [*names, "the target"]})


def check_drafts(count: int, folder: Path) -> Counter[str]:
    """Draft so many files and check each by its draft; count what became of them."""
    found: Counter[str] = Counter()

    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate])
    @given(frame=files())
    def every_file(frame: pd.DataFrame) -> None:
        path, out = folder / "file.csv", folder / "draft.yaml"
        frame.to_csv(path, index=False)
        try:
            draft = draft_contract(path, "the target")
        except BadInput as error:
            if not any(said in str(error) for said in FAIR):
                raise
            found["refused"] += 1
            return
        out.write_text(draft.text, encoding="utf-8")
        report = check(str(path), str(out))
        assert not [problem for problem in report.problems if str(out) in problem]
        found["drafted"] += 1

    every_file()
    return found


def test_a_draft_is_never_refused_for_a_fault_of_its_own(tmp_path: Path) -> None:
    assert check_drafts(25, tmp_path)["drafted"] > 0


@pytest.mark.parametrize(
    "name", ["𐀃 a\nb", "\U000f2ea2" * 150, "\x85", "a\u2028b", "\ufffe", "😀", "\\ud800\n"], ids=range(7)
)
def test_any_text_is_read_back_from_the_line_of_yaml_that_it_becomes(name: str) -> None:
    _, read = parse_yaml(f"{flow({name: name})}\n", file="a draft")
    assert read == {name: name}


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_ten_thousand_drafts_are_never_refused_for_a_fault_of_their_own(tmp_path: Path) -> None:
    found = check_drafts(10_000, tmp_path)
    print(dict(found))
    assert found["drafted"] > found["refused"] / 4
