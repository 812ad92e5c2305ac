"""What a count so far may yet become: Bayes' rule, told by the numbers that it must give."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bundle.population import (
    POINTS,
    Accumulation,
    PartWaySets,
    Population,
    Totals,
    _log_gamma,
    totals_of,
)
from data.contract.contract import Contract
from tests.contract.tiny import YAML, contract_of

DAYS = YAML.replace("effect: lowers", "effect: lowers, accumulates: true")
BOTH = DAYS.replace("max: 20, effect: raises", "max: 20, effect: raises, accumulates: true")
UNIFORM = Totals(values=tuple(range(31)), shares=tuple([1 / 31] * 31))
PARTS = st.floats(1e-6, 1 - 1e-6)


def days(totals: Totals = UNIFORM, text: str = DAYS) -> Accumulation:
    return Accumulation({"Days": totals}, contract_of(text))


def rows(accumulation: Accumulation, counts: Sequence[float], place: int = 0) -> np.ndarray:
    width = max(accumulation.places) + 3
    matrix = np.zeros((len(counts), width), dtype=np.float32)
    matrix[:, accumulation.places[place]] = counts
    return matrix


def posterior(totals: Totals, count: int, part: float) -> dict[float, float]:
    """Bayes' rule as it is written down, with whole numbers."""
    weights = {
        total: share * math.comb(int(total), count) * part**count * (1 - part) ** (total - count)
        for total, share in zip(totals.values, totals.shares, strict=True)
        if total >= count
    }
    return {total: weight / sum(weights.values()) for total, weight in weights.items()}


@pytest.mark.parametrize(("count", "part"), [(0, 0.25), (3, 0.25), (7, 0.5), (29, 0.9), (30, 0.1)])
def test_the_points_are_the_posterior_by_the_rule_itself(count: int, part: float) -> None:
    accumulation = days()
    points = accumulation.points(rows(accumulation, [count]), np.array([part]))
    place = accumulation.places[0]
    told = dict(zip(points.matrix[:, place].tolist(), points.weights.tolist(), strict=True))
    wanted = posterior(UNIFORM, count, part)
    assert sum(told.values()) == pytest.approx(1)
    assert all(told.get(total, 0) == pytest.approx(chance, abs=1e-9) for total, chance in wanted.items())
    mean = sum(total * chance for total, chance in wanted.items())
    found = accumulation.expected(rows(accumulation, [count]), np.array([part]))[0, 0]
    assert found[0] == pytest.approx(mean)
    assert count <= found[1] <= found[2] <= 30


@given(count=st.integers(0, 30), parts=st.tuples(PARTS, PARTS))
def test_the_less_has_passed_the_more_is_expected_of_the_same_count(
    count: int, parts: tuple[float, float]
) -> None:
    accumulation = days()
    early, late = accumulation.expected(rows(accumulation, [count] * 2), np.array(sorted(parts)))[:, 0, 0]
    assert early >= late - 1e-9


@given(counts=st.tuples(st.integers(0, 30), st.integers(0, 30)), part=PARTS)
def test_the_more_has_been_counted_the_more_is_expected(counts: tuple[int, int], part: float) -> None:
    accumulation = days()
    less, more = accumulation.expected(rows(accumulation, sorted(counts)), np.array([part] * 2))[:, 0, 0]
    assert more >= less - 1e-9


def test_near_the_end_a_count_is_what_it_will_be() -> None:
    accumulation = days()
    mean, low, high = accumulation.expected(rows(accumulation, [7]), np.array([1 - 1e-9]))[0, 0]
    assert (mean, low, high) == (pytest.approx(7, abs=1e-6), 7, 7)


@pytest.mark.parametrize("text", [DAYS, BOTH])
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    part=PARTS,
    hours=st.floats(0, 20, width=32),
)
def test_no_point_is_below_what_has_been_counted_and_a_student_has_few(
    text: str, counts: list[int], part: float, hours: float
) -> None:
    contract = contract_of(text)
    tables = {"Days": UNIFORM, "Hours": totals_of(np.linspace(0.5, 19, 400), whole=False, most=20)}
    accumulation = Accumulation(tables, contract)
    matrix = rows(accumulation, counts, place=len(accumulation.columns) - 1)
    if len(accumulation.columns) == 2:
        matrix[:, accumulation.places[0]] = hours
    points = accumulation.points(matrix, np.full(len(counts), part))
    assert (points.matrix[:, accumulation.places] >= matrix[points.owners][:, accumulation.places]).all()
    assert np.bincount(points.owners).max() <= POINTS
    assert np.bincount(points.owners, points.weights) == pytest.approx(1)
    assert (np.diff(points.owners) >= 0).all()


def test_two_columns_go_through_their_quantiles_side_by_side_and_apart() -> None:
    tables = {"Days": UNIFORM, "Hours": totals_of(np.linspace(0, 20, 300), whole=False, most=20)}
    accumulation = Accumulation(tables, contract_of(BOTH))
    matrix, part = rows(accumulation, [2], place=1), np.array([0.2])
    points = accumulation.points(matrix, part)
    drawn = points.matrix[:, accumulation.places]
    assert len(drawn) == POINTS
    assert drawn.mean(axis=0) == pytest.approx(accumulation.expected(matrix, part)[0, :, 0], rel=0.05)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.2


def test_a_range_that_is_known_leaves_the_rest_out() -> None:
    accumulation = days()
    limits = np.array([[[0.0, 9.0]]])
    points = accumulation.points(rows(accumulation, [6]), np.array([0.25]), limits)
    assert set(points.matrix[:, accumulation.places[0]]) == {6, 7, 8, 9}
    whole = posterior(UNIFORM, 6, 0.25)
    kept = {total: whole[total] for total in (6, 7, 8, 9)}
    told = dict(zip(points.matrix[:, accumulation.places[0]].tolist(), points.weights, strict=True))
    assert all(told[total] == pytest.approx(chance / sum(kept.values())) for total, chance in kept.items())


def test_what_is_missing_stays_missing() -> None:
    accumulation = days()
    points = accumulation.points(rows(accumulation, [math.nan, 3]), np.array([0.5, 0.5]))
    assert np.isnan(points.matrix[points.owners == 0][:, accumulation.places]).all()
    assert not np.isnan(points.matrix[points.owners == 1]).any()


def test_beyond_all_that_was_seen_it_goes_on_at_its_pace_within_the_contract() -> None:
    few = Totals(values=(0.0, 5.0), shares=(0.5, 0.5))
    accumulation = days(few)
    expected = accumulation.expected(rows(accumulation, [8, 20]), np.array([0.5, 0.5]))[:, 0, 0]
    assert expected.tolist() == [16, 30]


def test_a_mean_is_each_students_own_and_of_the_type_of_what_it_is_the_mean_of() -> None:
    accumulation = days()
    matrix = rows(accumulation, [1, 12, 30])
    points = accumulation.points(matrix, np.array([0.5, 0.9, 0.1]))
    days_missed = points.matrix[:, accumulation.places]
    means = points.mean(days_missed)
    assert means.dtype == np.float32
    expected = accumulation.expected(matrix, np.array([0.5, 0.9, 0.1]))[:, 0, 0]
    assert means[:, 0] == pytest.approx(expected, rel=1e-5)


def test_many_students_at_once_are_each_as_alone() -> None:
    accumulation = days()
    rng = np.random.default_rng(0)
    matrix, parts = rows(accumulation, rng.integers(0, 31, 5_000).tolist()), rng.uniform(0.01, 0.99, 5_000)
    together = accumulation.points(matrix, parts)
    for student in (0, 2_047, 2_048, 4_999):
        alone = accumulation.points(matrix[[student]], parts[[student]])
        mine = together.owners == student
        assert np.array_equal(together.matrix[mine], alone.matrix)
        assert together.weights[mine] == pytest.approx(alone.weights)


def test_at_the_end_a_row_is_asked_as_it_is_and_before_it_for_the_mean() -> None:
    accumulation = days()
    matrix = rows(accumulation, [5, 5, 12])
    asked: list[int] = []

    def squares(some: np.ndarray) -> np.ndarray:
        asked.append(len(some))
        return some[:, accumulation.places] ** 2

    found = accumulation.mean(squares, matrix, np.array([1.0, 0.5, 0.9]))[:, 0]
    wanted = [sum(t**2 * c for t, c in posterior(UNIFORM, n, e).items()) for n, e in ((5, 0.5), (12, 0.9))]
    assert found == pytest.approx([25, *wanted], rel=1e-5)
    assert max(asked) <= 2 * 31


def test_the_totals_of_training_students_leave_nothing_of_the_range_impossible() -> None:
    table = totals_of(np.array([0.0] * 30 + [4.0] * 70), whole=True, most=30)
    shares = dict(zip(table.values, table.shares, strict=True))
    assert set(shares) == set(range(31))
    assert shares[4] == pytest.approx(0.7, abs=0.01)
    assert sum(shares.values()) == pytest.approx(1)
    assert 0 < shares[29] < 1 / 1000


@pytest.mark.parametrize("whole", [True, False])
def test_a_table_is_small_whatever_the_students_had(whole: bool) -> None:
    known = np.round(np.random.default_rng(0).gamma(2, 500, 20_000), 0 if whole else 6)
    table = totals_of(known, whole=whole, most=math.inf)
    assert len(table.values) <= 400
    assert np.dot(table.values, table.shares) == pytest.approx(known.mean(), rel=0.01)
    assert max(table.values) > known.max()


def test_thresholds_between_two_parts_are_between_theirs() -> None:
    sets = [PartWaySets(elapsed=0.25, thresholds=(0.1, 0.3)), PartWaySets(elapsed=0.5, thresholds=(0.3, 0.1))]
    found = Population(sets=tuple(sets)).thresholds((0.5, 0.5), np.array([0.1, 0.25, 0.375, 0.75, 1.0]))
    wanted = [[0.1, 0.3], [0.1, 0.3], [0.2, 0.2], [0.4, 0.3], [0.5, 0.5]]
    assert found == pytest.approx(np.array(wanted))


@pytest.mark.parametrize("values", [(0.0,), (1.0, 1.0), (2.0, 1.0), (-1.0, 2.0)])
def test_a_table_that_is_no_distribution_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="totals"):
        Totals(values=values, shares=(0.5, 0.5))


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=20))
def test_the_logarithm_of_the_gamma_function_is_that_of_the_library(numbers: list[float]) -> None:
    assert _log_gamma(np.array(numbers)) == pytest.approx(
        [math.lgamma(n) for n in numbers], rel=1e-9, abs=1e-9
    )


def test_a_contract_without_such_columns_has_nothing_to_ask(tiny: Contract) -> None:
    assert Accumulation({}, tiny).columns == ()
