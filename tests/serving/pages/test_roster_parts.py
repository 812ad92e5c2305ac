"""The roster's parts by themselves: rows that travel, single steps, orders."""

import base64
import contextlib
import io
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.cohorts.grades import generate
from data.contract.columns import Costs
from data.contract.contract import Contract
from serving.pages.roster_file import COLUMN, MOST_CARRIED, PACKING, pack, unpack
from serving.pages.roster_list import (
    NEAR,
    Choice,
    ClassForecasts,
    ListRule,
    Only,
    Order,
    choose,
    listed_of,
    ranks_of,
    read_choice,
)
from serving.pages.roster_rows import Naming, read_roster
from serving.pages.steps import Gains, describe_step, gains_of, steps_of
from serving.problems import Problem
from serving.sheet import Sheet
from serving.suggestions import LEAST_GAIN
from tests.contract.tiny import YAML, contract_of

CELL = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6)


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="module")
def matrix(bundle: Bundle) -> np.ndarray:
    cohort = generate(120, seed=9)
    return np.asarray(cohort[list(bundle.space.names)].to_numpy(np.float32))


@pytest.fixture(scope="module")
def forecasts(bundle: Bundle) -> ClassForecasts:
    header = ["StudentID", *(column.name for column in bundle.contract.features)]
    text = generate(120, seed=9)[header].astype(str).to_csv(index=False)
    records = read_roster(Sheet(io.BytesIO(text.encode())), bundle.contract).records
    return ClassForecasts(bundle, records)


@given(rows=st.lists(st.lists(CELL, max_size=4).map(tuple), max_size=6))
@settings(max_examples=60, deadline=None)
def test_rows_come_back_as_they_were(grade_class: Contract, rows: list[tuple[str, ...]]) -> None:
    header = ["first", "second", "third"]
    before = [list(row) for row in rows]
    sheet = unpack(pack(header, before, ";", grade_class))
    assert sheet.header == header
    assert [row for chunk in sheet.chunks(100, blank=True) for row in chunk] == before


def carried(told: object, *columns: str) -> str:
    """The text that a page would carry, of what was never packed."""
    text = COLUMN.join([json.dumps(told), *columns])
    return base64.urlsafe_b64encode(lzma.compress(text.encode(), filters=PACKING)).decode()


@pytest.mark.parametrize(
    "told",
    [
        {"odd": {"7": ["a"]}, "delimiter": ","},
        {"odd": {"0": [{}]}, "delimiter": ","},
        {"odd": {}, "delimiter": ""},
        {"odd": {}, "delimiter": "\r"},
        {"odd": {}},
        7,
    ],
    ids=str,
)
def test_rows_that_we_never_packed_are_refused(told: object) -> None:
    with pytest.raises(Problem, match="came back changed"):
        unpack(carried(told, "first\x1f1", "second\x1f2"))


@given(
    odd=st.dictionaries(st.text(), st.lists(st.text()) | st.text() | st.integers()),
    delimiter=st.text(),
    cells=st.text(),
)
@settings(max_examples=100, deadline=None)
def test_whatever_travels_back_is_read_or_refused(
    grade_class: Contract, odd: dict[str, object], delimiter: str, cells: str
) -> None:
    with contextlib.suppress(Problem):
        sheet = unpack(carried({"odd": odd, "delimiter": delimiter}, cells))
        read_roster(sheet, grade_class)


def test_numbers_travel_as_the_model_reads_them(grade_class: Contract) -> None:
    numbers = ["19.833722807854713", "0.1", "17", "1_0.000000000", "1e9999999"]
    header = [column.name for column in grade_class.features if column.kind == "number"]
    sheet = unpack(pack(header, [[text] for text in numbers], ",", grade_class))
    back = [row[0] for chunk in sheet.chunks(100) for row in chunk]
    assert back == ["19.833723", *numbers[1:]]
    assert np.float32(back[0]) == np.float32(numbers[0])


def test_a_school_of_ten_thousand_fits_into_its_page(grade_class: Contract) -> None:
    cohort = generate(10_000, seed=2).drop(columns=["GPA", "GradeClass"]).astype(str)
    packed = pack(list(map(str, cohort)), cohort.to_numpy().tolist(), ",", grade_class)
    assert 0 < len(packed) * 3 / 4 <= MOST_CARRIED


def test_where_not_all_fits_the_columns_of_the_contract_travel(
    grade_class: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = [*(column.name for column in grade_class.features), "Remarks"]
    rng = np.random.default_rng(1)
    rows = [["1"] * (len(header) - 1) + [rng.bytes(40).hex()] for _ in range(200)]
    monkeypatch.setattr("serving.pages.roster_file.MOST_CARRIED", 2_000)
    assert unpack(pack(header, rows, ",", grade_class)).header == header[:-1]


@pytest.mark.parametrize(
    ("header", "beside", "named"),
    [
        (["StudentID", "Date of birth", "First name", "Surname", "Form"], "", "Ada Khan"),
        (["StudentID", "Date of birth", "Nickname", "Who", "Form"], "", "Ada"),
        (["StudentID", "Date of birth", "Nickname", "Who", "Form"], "Form", "7B"),
        (["StudentID", "Date of birth", "Pupil no", "GPA", "Form"], "", ""),
    ],
)
def test_a_student_is_called_by_the_columns_that_hold_names_or_by_the_one_that_was_chosen(
    grade_class: Contract, header: list[str], beside: str, named: str
) -> None:
    rows = [["7", "2011-02-03", "Ada", "Khan", "7B"], ["8", "2011-04-05", "Ben", "Wu", "7B"]]
    if not named:
        rows = [[row[0], row[1], "17", "3.1", "7B"] for row in rows]
    naming = Naming(header, rows, grade_class, beside)
    assert (naming.name(rows[0]), naming.id(rows[0])) == (named, "7")


def test_a_step_gains_what_the_model_says_keeps_the_range_and_moves_a_quarter_of_it(
    bundle: Bundle, matrix: np.ndarray
) -> None:
    target = bundle.contract.target
    risks = risk_of(bundle.probabilities(matrix), target)
    gains = gains_of(bundle, matrix, risks)
    assert (gains.gain >= 0).all()
    helped = np.flatnonzero(gains.best >= 0).tolist()
    assert len(helped) > 10
    for student in helped:
        step, stepped = gains.steps[gains.best[student]], matrix[student : student + 1].copy()
        stepped[0, step.places[0]] = gains.after[student]
        fall = risks[student] - risk_of(bundle.probabilities(stepped), target)[0]
        assert gains.gain[student] == pytest.approx(fall, abs=1e-5)
        assert step.column.actionable
        value, before = gains.value(student), matrix[student, step.places[0]]
        if step.column.coded:
            assert value in step.column.codes
        else:
            low, high = step.column.limits
            assert low <= value <= high
            assert abs(value - before) <= (high - low) / 4 + 1e-6


@pytest.mark.parametrize("elapsed", [None, 0.25, 0.75])
def test_no_step_takes_back_what_has_been_counted_nor_goes_beyond_most_students(
    bundle: Bundle, matrix: np.ndarray, elapsed: float | None
) -> None:
    place = bundle.space.columns.index("Absences")
    so_far = matrix.copy()
    so_far[:, place] = np.floor(so_far[:, place] * (elapsed or 1))
    passed = None if elapsed is None else np.full(len(matrix), elapsed)
    risks = risk_of(bundle.probabilities(so_far, passed), bundle.contract.target)
    gains = gains_of(bundle, so_far, risks, passed)
    assert gains.gain[gains.best >= 0].min() >= LEAST_GAIN
    steps = [gains.steps[best].column.name for best in gains.best[gains.best >= 0]]
    assert ("Absences" in steps) == (elapsed is not None)
    _, high = bundle.population.ranges["StudyTimeWeekly"]
    for student in np.flatnonzero(gains.best >= 0).tolist():
        check_step(bundle, gains, student, so_far, passed)
        step = gains.steps[gains.best[student]]
        if step.column.name == "StudyTimeWeekly":
            assert so_far[student, step.places[0]] < gains.value(student) <= high + 1e-5
        elif step.column.name == "Absences":
            told = describe_step(student, {"Absences": int(so_far[student, place])}, gains)
            assert told.startswith("Absences: from now on ")


def check_step(
    bundle: Bundle, gains: Gains, student: int, matrix: np.ndarray, passed: np.ndarray | None
) -> None:
    """Hold a step from now on against what is left, and against the forecast of whoever keeps to it."""
    step, further = gains.steps[gains.best[student]], gains.after[student]
    if not step.column.accumulates:
        return
    assert passed is not None
    row, part = matrix[[student]], passed[[student]]
    mean, low, _ = bundle.accumulation.expected(row, part)[0, 0]
    total = row[0, step.places[0]] + further
    assert further >= 0
    assert low <= total < mean
    limits = np.array([[[0.0, total]]])
    before, after = (
        risk_of(bundle.probabilities(row, part, one), bundle.contract.target)[0] for one in (None, limits)
    )
    assert gains.gain[student] == pytest.approx(before - after, abs=1e-5)


def test_every_kind_of_column_has_its_steps() -> None:
    text = YAML.replace("max: 20, effect: raises", "max: 20, effect: raises, actionable: true")
    text = text.replace("Job, kind: nominal", "Job, actionable: true, kind: nominal")
    text = text.replace("Help, kind: ordinal", "Help, actionable: true, kind: ordinal")
    assert steps_in(text) == [("Hours", 1, 0)], "the others' directions are not known"
    jobs = [("Job", 0, 0), ("Job", 0, 1), ("Job", 0, 2)]
    unknown = text.replace("effect: raises, actionable: true", "effect: raises")
    assert steps_in(unknown) == [("Help", 1, 0), ("Help", -1, 0), *jobs]


def steps_in(text: str) -> list[tuple[str, int, int]]:
    return [(step.column.name, step.sign, step.code) for step in steps_of(contract_of(text))]


def test_every_order_is_the_one_it_says(bundle: Bundle, forecasts: ClassForecasts) -> None:
    names = [str(900 + place) for place in range(len(forecasts.risks))][::-1]

    def places(order: Order, reverse: bool = False) -> np.ndarray:
        choice = Choice(order, reverse=reverse)
        return choose(choice, forecasts, bundle.contract.target, names, range(len(names))).places

    assert (np.diff(forecasts.risks[places(Order.RISK)]) <= 0).all()
    assert (np.diff(forecasts.risks[places(Order.RISK, reverse=True)]) >= 0).all()
    assert (np.diff(forecasts.gains.gain[places(Order.GAIN)]) <= 0).all()
    assert (np.diff(forecasts.sure[places(Order.UNSURE)]) >= 0).all()
    assert (np.diff(forecasts.tops[places(Order.LABEL)]) <= 0).all()
    assert places(Order.FILE).tolist() == list(range(len(names)))
    assert places(Order.NAME).tolist() == list(range(len(names)))[::-1]


VIEWS = st.fixed_dictionaries(
    {
        "sort": st.sampled_from([f"{way}{order}" for way in ("", "-") for order in Order]),
        "only": st.sampled_from([*Only]),
        "label": st.sampled_from(["", "A", "C", "F"]),
        "find": st.sampled_from(["", "9", "nobody"]),
        "page": st.sampled_from(["1", "3"]),
    }
)


@given(
    views=st.lists(VIEWS, min_size=1, max_size=4),
    seats=st.integers(0, 130),
    rule=st.sampled_from([*ListRule]),
    ticks=st.dictionaries(st.integers(0, 119), st.booleans(), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_however_the_table_is_looked_at_the_same_students_are_on_the_list(
    bundle: Bundle,
    forecasts: ClassForecasts,
    views: list[dict[str, str]],
    seats: int,
    rule: ListRule,
    ticks: dict[int, bool],
) -> None:
    target, rows = bundle.contract.target, [place + 2 for place in range(len(forecasts.risks))]
    names = [str(900 + place) for place in rows]
    added, skipped = ({rows[place] for place, on in ticks.items() if on is way} for way in (True, False))
    said = {"seats": str(seats), "rule": rule, **joined(added, skipped)}
    order = np.argsort(forecasts.turns)
    first = order[(forecasts.risks[order] >= NEAR[0]) & (forecasts.risks[order] <= NEAR[1])]
    wanted = {rows[place] for place in (first if rule is ListRule.NEAR else order)[:seats]} - skipped | added
    for view in views:
        choice = read_choice({**said, **view}, target.labels)
        shown = choose(choice, forecasts, target, names, rows)
        assert {rows[place] for place in np.flatnonzero(shown.listed)} == wanted
        # Without a script the rows that were seen come back with their ticks, as they were.
        seen = [rows[place] for place in shown.places]
        was = [row for row in seen if row in wanted]
        again = {**said, **view, "seen": ",".join(map(str, seen)), "was": ",".join(map(str, was))}
        choice = read_choice(again, target.labels, [str(row) for row in was])
        assert (set(choice.added), set(choice.skipped)) == (added, skipped)
        assert (listed_of(choice, forecasts, rows) == shown.listed).all()


def joined(added: set[int], skipped: set[int]) -> dict[str, str]:
    return {"added": ",".join(map(str, added)), "skipped": ",".join(map(str, skipped))}


def test_the_lists_order_is_by_risk_then_the_latent_score_then_what_could_be_gained(
    bundle: Bundle, forecasts: ClassForecasts
) -> None:
    order = np.argsort(forecasts.turns)
    risks, latents = forecasts.risks[order], forecasts.latents[order]
    assert (np.diff(risks) <= 0).all()
    assert (np.diff(latents)[np.diff(risks) == 0] >= 0).all()
    assert (np.diff(risks) == 0).sum() > 5, "there are such"


def test_those_at_risk_are_those_whom_the_contracts_costs_call_so(
    bundle: Bundle, forecasts: ClassForecasts
) -> None:
    target = bundle.contract.target
    costly = target.model_copy(update={"costs": Costs(missed=9, false_alarm=1)})
    names = [str(place) for place in range(len(forecasts.risks))]
    half, tenth = (
        set(choose(Choice(only=Only.AT_RISK), forecasts, asked, names, range(len(names))).places.tolist())
        for asked in (target, costly)
    )
    assert half == set(np.flatnonzero(forecasts.risks >= 0.5).tolist())
    assert tenth == set(np.flatnonzero(forecasts.risks >= 0.1).tolist())
    assert half < tenth


def test_names_are_put_in_order_numbers_by_their_value_and_those_beyond_all_numbers_as_words() -> None:
    assert ranks_of(["10", "9", "bea", "Ada", "100"]).tolist() == [1, 0, 4, 3, 2]
    assert ranks_of(["9" * 5_000, "10", "9", "b", "a"]).tolist() == [2, 1, 0, 4, 3]


def test_what_cannot_be_read_of_a_choice_counts_as_not_chosen() -> None:
    form = {"order": "alphabet", "only": "boys", "label": "Z", "seats": "-3", "page": "x", "find": " a "}
    assert read_choice(form, ("A", "B")) == Choice(find="a")
    assert read_choice({"sort": "-name", "order": "risk"}, ("A", "B")) == Choice(Order.NAME, reverse=True)
    form = {"order": "gain", "only": "unsure", "label": "B", "seats": "8", "page": "2"}
    assert read_choice(form, ("A", "B")) == Choice(Order.GAIN, Only.UNSURE, "B", "", 8, 2)
