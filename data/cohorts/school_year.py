"""Generated school years with dated tables, whose true class probabilities are known on each day.

The columns are those of the contract `school_year`; shares and effects are ours, of a plausible size, and say
nothing of any school. Days are whole, from the first of the year. Of each student there are three latents:

    engagement  e ~ N(0.3 (support − 1.5) − 0.15 (travel − 25) / 15, 1)
    ability     a ~ N(0.45 (prior attainment − 60) / 12 + 0.35 e, 0.7²)
    growth      g ~ N(0.25, 0.6²), over the whole year

    days missed in a week   Binomial(5, expit(−2.7 − 0.7 e)), known when the week is over
    leaving in a week       1 − exp(−0.0015 exp(−0.8 e))
    mark of a test          N(60 + 8 (a + g day / 270), 7²), rounded; known five days later
    a piece of work         handed in with expit(2.0 + 1.0 e), and then on time with expit(1.4 + 0.8 e):
                            up to 6 days before it is due, else 1 to 13 days after; all days alike
    mark of a piece         Binomial(10, expit(0.8 + 0.35 e)), for the care taken
    final score             58 + 9 (a + g) − 0.5 for each day missed + what the work brings + N(0, 4²)

All the work of a course brings 20 points, a late piece half of its own. Who leaves has no score and ends in
the worst class. Given e, everything above is either Gaussian or a count with known probabilities, so that the
truth is a sum over a grid of e.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit, ndtr, softmax

YEAR, WEEK, SCHOOL_DAYS = 270, 7, 5
WEEKS = np.arange(YEAR // WEEK)
TEST_EACH = 18
TESTS = np.arange(12, 250, TEST_EACH)  # days on which they are written
MARKING = 5  # days until a mark is known
EARLIEST, LATEST = -6, 13  # days from the due day on which work comes in
COURSES = {"arts": 8, "sciences": 10, "languages": 16}  # pieces of work in each
DUE = {course: np.arange(1, pieces + 1) * 252 // pieces for course, pieces in COURSES.items()}
JOINING = {0: 0.96, 28: 0.02, 56: 0.01, 84: 0.01}
NO_PRIOR = 0.06  # share of students whose prior attainment is not known
ALL_WORK, FULL_CARE = 20.0, 10  # points of the final score; marks for a piece

FROM_PRIOR, FROM_ENGAGEMENT, RESIDUAL = 0.45, 0.35, 0.7
GROWTH, GROWTH_SD = 0.25, 0.6
MARK, MARK_A_UNIT, MARK_SD = 60.0, 8.0, 7.0
SCORE, SCORE_A_UNIT, SCORE_SD, A_DAY = 58.0, 9.0, 4.0, 0.5
GRADES = ("A", "B", "C", "D", "F")
CUTS = np.array([85.0, 75.0, 65.0, 55.0])  # lower bounds of the grades but the last
DIGITS = 1  # of the final score

GRID = np.arange(-6, 6.01, 0.2)  # of the engagement; its posterior is never narrower than one step
STEP = 0.25  # points of the final score; with this grid, no probability is off by more than 0.0002

TURN, WAVE_WEEKS = 18 * WEEK, 6  # the day on which a scenario begins, and how long the wave is
SCENARIOS: dict[str, float] = {  # name: default strength, and what that measures
    "illness-wave": 3.0,  # times the odds of missing a day, for six weeks
    "marks-inflated": 8.0,  # points given to everyone in each test
    "absences-cost-more": 1.0,  # more points of the final score for each day missed
    "work-lost": 0.3,  # share of the work that never comes in, whoever the student is
}

Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class YearRule:
    """What is in force in each week, test and piece of work; a scenario changes it from `TURN` on."""

    scenario: str | None
    level: float

    @classmethod
    def of(cls, scenario: str | None, strength: float | None) -> Self:
        """Give the rule under a scenario; raises ValueError for an unknown one, or one too strong."""
        if scenario is None:
            return cls(None, 0.0)
        if scenario not in SCENARIOS:
            raise ValueError(f"no drift scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
        rule = cls(scenario, SCENARIOS[scenario] if strength is None else strength)
        if (scenario == "illness-wave" and rule.level <= 0) or not 0 <= rule._in("work-lost") < 1:
            raise ValueError(f"{scenario} cannot be that strong")
        return rule

    def _in(self, scenario: str) -> float:
        return self.level if self.scenario == scenario else 0.0

    @cached_property
    def costs(self) -> np.ndarray:
        """Points that a day missed in each week costs."""
        return A_DAY + self._in("absences-cost-more") * (WEEKS * WEEK >= TURN)

    @cached_property
    def raised(self) -> np.ndarray:
        """Points that each test's marks are raised by."""
        return self._in("marks-inflated") * (TESTS >= TURN)

    def missing(self, engagement: np.ndarray) -> np.ndarray:
        """Give the log odds of missing a day, (n, weeks)."""
        wave = (WEEKS >= TURN // WEEK) & (WEEKS < TURN // WEEK + WAVE_WEEKS)
        odds = np.log(self._in("illness-wave") or 1.0)
        return np.asarray(-2.7 - 0.7 * engagement[:, None] + odds * wave)

    def handing_in(self, engagement: np.ndarray, due: np.ndarray) -> np.ndarray:
        """Give the probabilities that work comes in on time, late, never, (n, pieces, 3)."""
        lost = self._in("work-lost") * (due >= TURN)
        some = (1 - lost) * expit(2.0 + engagement)[:, None]
        on_time = expit(1.4 + 0.8 * engagement)[:, None]
        return np.stack([some * on_time, some * (1 - on_time), 1 - some], axis=-1)


def _leaving(engagement: np.ndarray) -> np.ndarray:
    """Give the hazard of leaving, a week."""
    return np.asarray(0.0015 * np.exp(-0.8 * engagement))


def _care(engagement: np.ndarray) -> np.ndarray:
    """Give the log odds of each mark for a piece of work."""
    return 0.8 + 0.35 * engagement


def _expected_engagement(students: pd.DataFrame) -> np.ndarray:
    support, travel = (students[name].to_numpy(dtype=float) for name in ("support_at_home", "travel_time"))
    return np.asarray(0.3 * (support - 1.5) - 0.15 * (travel - 25) / 15)


def _from_prior(students: pd.DataFrame) -> np.ndarray:
    """Give what the prior attainment adds to the ability; NaN where it is not known."""
    return FROM_PRIOR * (students["prior_attainment"].to_numpy(dtype=float) - 60) / 12


def tables(
    rows: int = 1200,
    seed: int = 1,
    scenario: str | None = None,
    strength: float | None = None,
    years: tuple[int, ...] = (2022, 2023, 2024),
) -> Tables:
    """Generate the tables that a school would export, of students of one or several school years.

    students: one row each, with joining, leaving (empty for who stayed) and outcome. attendance: the weeks
    in which days were missed. marks: of tests. tasks: the work of each course. work: what was handed in. The
    column `known` says from which day a row is known; work is known when it is handed in. Students stand in
    the order of their school years. Raises ValueError for an unknown scenario, or one too strong.
    """
    rule, rng = YearRule.of(scenario, strength), np.random.default_rng(seed)
    students = _students(rows, seed, rng, years)
    engagement = _expected_engagement(students) + rng.normal(0, 1, rows)
    prior = np.where(np.isnan(_from_prior(students)), rng.normal(0, FROM_PRIOR, rows), _from_prior(students))
    ability = prior + FROM_ENGAGEMENT * engagement + rng.normal(0, RESIDUAL, rows)
    growth = rng.normal(GROWTH, GROWTH_SD, rows)
    week = students["enrolled"] // WEEK + rng.geometric(-np.expm1(-_leaving(engagement)))
    students["left"] = (week * WEEK).where(week <= len(WEEKS)).astype("Int64")
    attendance, missed = _attendance(students, engagement, rule, rng)
    work, brought = _work(students, engagement, rule, rng)
    score = SCORE + SCORE_A_UNIT * (ability + growth) - missed + brought + rng.normal(0, SCORE_SD, rows)
    return {
        "students": _with_outcome(students, score),
        "attendance": attendance,
        "marks": _marks(students, ability, growth, rule, rng),
        "tasks": _tasks(),
        "work": work,
    }


def _students(rows: int, seed: int, rng: np.random.Generator, years: tuple[int, ...]) -> pd.DataFrame:
    prior = np.round(rng.normal(60, 12, rows))
    return pd.DataFrame(
        {
            "student_no": [f"S-{seed}-{number:06d}" for number in range(1, rows + 1)],
            "school_year": [f"{years[len(years) * row // rows]}" for row in range(rows)],
            "course": rng.choice(list(COURSES), rows),
            "gender": rng.choice(["female", "male"], rows),
            "first_language": rng.choice(["country", "another"], rows, p=(0.8, 0.2)),
            "support_at_home": rng.choice(4, rows, p=(0.15, 0.30, 0.35, 0.20)),
            "travel_time": np.clip(rng.gamma(3, 25 / 3, rows).round(), 1, 90).astype(int),
            "prior_attainment": pd.array(np.where(rng.random(rows) < NO_PRIOR, np.nan, prior), dtype="Int64"),
            "enrolled": rng.choice(list(JOINING), rows, p=list(JOINING.values())),
        }
    )


def _with_outcome(students: pd.DataFrame, score: np.ndarray) -> pd.DataFrame:
    final = np.clip(np.floor(score * 10**DIGITS + 0.5) / 10**DIGITS, 0, 100)
    reached = (final[:, None] < CUTS).sum(axis=1)
    stayed = students["left"].isna()
    grade = np.array(GRADES, dtype=object)[np.where(stayed, reached, len(CUTS))]
    return students.assign(final_score=pd.Series(final).where(stayed), final_grade=grade)


def _attendance(
    students: pd.DataFrame, engagement: np.ndarray, rule: YearRule, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw the days missed; give their table, and the points that they cost each student."""
    days = rng.binomial(SCHOOL_DAYS, expit(rule.missing(engagement)))
    days *= _there(students, WEEKS * WEEK)
    who, week = np.nonzero(days)
    table = {"student_no": students["student_no"].to_numpy()[who], "week_from": week * WEEK}
    known = (week + 1) * WEEK
    return pd.DataFrame({**table, "days": days[who, week], "known": known}), days @ rule.costs


def _there(students: pd.DataFrame, days: np.ndarray) -> np.ndarray:
    """Tell on which days each student is there, (n, days)."""
    first, left = students["enrolled"].to_numpy()[:, None], students["left"].fillna(YEAR + 1).to_numpy(int)
    return (days >= first) & (days < left[:, None])


def _marks(
    students: pd.DataFrame, ability: np.ndarray, growth: np.ndarray, rule: YearRule, rng: np.random.Generator
) -> pd.DataFrame:
    level = ability[:, None] + growth[:, None] * TESTS / YEAR
    drawn = MARK + MARK_A_UNIT * level + rule.raised + rng.normal(0, MARK_SD, level.shape)
    who, test = np.nonzero(_there(students, TESTS))
    return pd.DataFrame(
        {
            "student_no": students["student_no"].to_numpy()[who],
            "written": TESTS[test],
            "mark": np.clip(drawn.round(), 0, 100).astype(int)[who, test],
            "known": TESTS[test] + MARKING,
        }
    )


def _tasks() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"task": f"{course}-{number:02d}", "course": course, "due": due, "weight": ALL_WORK / len(days)}
            for course, days in DUE.items()
            for number, due in enumerate(days, start=1)
        ]
    )


def _work(
    students: pd.DataFrame, engagement: np.ndarray, rule: YearRule, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw the work handed in; give its table, and the points that it brings each student."""
    parts, brought = [], np.zeros(len(students))
    for course, due in DUE.items():
        rows = np.flatnonzero(students["course"] == course)
        chances = rule.handing_in(engagement[rows], due).cumsum(axis=-1)
        state = (rng.random((len(rows), len(due), 1)) > chances[..., :2]).sum(axis=-1)
        late = rng.integers(1, LATEST + 1, state.shape)
        day = due + np.where(state == 0, rng.integers(EARLIEST, 1, state.shape), late)
        care = rng.binomial(FULL_CARE, expit(_care(engagement[rows]))[:, None], state.shape)
        some = (state < 2) & _asked(students.iloc[rows], due)
        brought[rows] = (some * (1 - state / 2)).sum(axis=1) * ALL_WORK / len(due)
        left = students["left"].fillna(YEAR + 1).to_numpy(int)[rows]
        who, piece = np.nonzero(some & (day < left[:, None]))
        table = {"student_no": students["student_no"].to_numpy()[rows[who]]}
        tasks = [f"{course}-{number + 1:02d}" for number in piece]
        parts.append(
            pd.DataFrame({**table, "task": tasks, "handed_in": day[who, piece], "mark": care[who, piece]})
        )
    return pd.concat(parts, ignore_index=True), brought


def _asked(students: pd.DataFrame, due: np.ndarray) -> np.ndarray:
    """Tell which work of a course is asked of each student: what is due after the first week there."""
    return np.asarray(due >= students["enrolled"].to_numpy()[:, None] + WEEK)


def true_probabilities(
    tables: Tables, day: int, scenario: str | None = None, strength: float | None = None
) -> pd.DataFrame:
    """Give the true class probabilities of all students who are there on a day, from what is known by then.

    One row each, by the name of the student; one column for each grade, best first. With w the posterior of
    the engagement, m and v mean and variance of the ability at the end given the marks, X the points that
    absences and work will still bring, h the hazard of leaving in each of the W weeks to come:

        P(score ≥ t) = Σ_e w(e) exp(−h(e) W) Σ_x P(X = x | e) Φ((m(e) + x − t + 0.05) / √(4² + 81 v))
    """
    rule, everyone = YearRule.of(scenario, strength), tables["students"]
    students = everyone[_there(everyone, np.array([day]))[:, 0]].reset_index(drop=True)
    known = _Known.of(tables, students, day)
    shares = np.zeros((len(students), len(GRADES)))
    for course, due in DUE.items():
        may_come = due + LATEST > day
        alike = np.column_stack([students["enrolled"], students["prior_attainment"].isna()])
        alike = np.hstack([alike, known.work[:, : len(due)].astype(bool) & may_come]).astype(int)
        ours = np.flatnonzero(students["course"] == course)
        groups = np.unique(alike[ours], axis=0, return_inverse=True)[1].ravel()
        for group in range(groups.max(initial=-1) + 1):
            rows = ours[groups == group]
            reached = _Group(students.iloc[rows], known.at(rows), due, day, rule).reached()
            shares[rows] = np.diff(reached, axis=1, prepend=0, append=1)
    return pd.DataFrame(shares.clip(0, 1), columns=list(GRADES), index=pd.Index(students["student_no"]))


@dataclass(frozen=True)
class _Known:
    """What is known of each student by a day.

    days: missed in each week. marks: of each test. work: of each piece, 0 not there, 1 on time, 2 late, with
    room for more pieces than there are. care: the sum of its marks.
    """

    days: np.ndarray
    marks: np.ndarray
    work: np.ndarray
    care: np.ndarray

    @classmethod
    def of(cls, tables: Tables, students: pd.DataFrame, day: int) -> Self:
        place = pd.Series(np.arange(len(students)), index=students["student_no"])

        def spread(table: pd.DataFrame, known: str, slot: pd.Series, value: pd.Series) -> np.ndarray:
            kept = (table[known] <= day) & table["student_no"].isin(place.index)
            found = np.zeros((len(students), len(WEEKS)))  # more weeks than tests, or pieces of work
            found[place[table["student_no"][kept]], slot[kept]] = value[kept]
            return found

        attendance, marks = tables["attendance"], tables["marks"]
        work = tables["work"].merge(tables["tasks"], on="task", how="left")
        piece = work["task"].str[-2:].astype(int) - 1
        test = (marks["written"] - TESTS[0]) // TEST_EACH
        late = 1 + (work["handed_in"] > work["due"])
        return cls(
            spread(attendance, "known", attendance["week_from"] // WEEK, attendance["days"]),
            spread(marks, "known", test, marks["mark"])[:, : len(TESTS)],
            spread(work, "handed_in", piece, late),
            spread(work, "handed_in", piece, work["mark"]).sum(axis=1),
        )

    def at(self, rows: np.ndarray) -> Self:
        """Give what is known of some students."""
        return type(self)(self.days[rows], self.marks[rows], self.work[rows], self.care[rows])


@dataclass(frozen=True)
class _Group:
    """Students of one course who joined on one day and of whom the same work may still come in."""

    students: pd.DataFrame
    known: _Known
    due: np.ndarray
    day: int
    rule: YearRule

    @cached_property
    def weeks(self) -> tuple[np.ndarray, np.ndarray]:
        """The weeks that are over, from the joining on, and those to come."""
        over = min(self.day // WEEK, len(WEEKS))
        return WEEKS[self.joined // WEEK : over], WEEKS[over:]

    @cached_property
    def joined(self) -> int:
        return int(self.students["enrolled"].iloc[0])

    @cached_property
    def absent(self) -> np.ndarray:
        """Probability of missing a day, (grid, weeks)."""
        return np.asarray(expit(self.rule.missing(GRID)))

    @cached_property
    def pieces(self) -> np.ndarray:
        """Which work is asked of them."""
        return np.flatnonzero(_asked(self.students.iloc[:1], self.due)[0])

    @cached_property
    def open(self) -> np.ndarray:
        """Probabilities that work has not come in yet and comes on time, late, never, (grid, pieces, 3)."""
        since = self.day - self.due[self.pieces]
        on_time = np.clip(-since, 0, 1 - EARLIEST) / (1 - EARLIEST)
        late = np.clip(LATEST - since, 0, LATEST) / LATEST
        to_come = np.stack([on_time, late, np.ones_like(late)], axis=-1)
        return np.asarray(self.rule.handing_in(GRID, self.due[self.pieces]) * to_come)

    @cached_property
    def start(self) -> np.ndarray:
        """Mean of the ability before any mark, (n, grid)."""
        prior = np.nan_to_num(_from_prior(self.students))
        return np.asarray(prior[:, None] + FROM_ENGAGEMENT * GRID)

    def reached(self) -> np.ndarray:
        """Give the probability of reaching each cut, (n, cuts)."""
        from scipy.signal import fftconvolve  # a second to import

        ability, variance, marks = self._ability()
        weights = softmax(self._counts() + marks, axis=1)
        weights *= np.exp(-_leaving(GRID) * len(self.weeks[1]))
        mean = SCORE + SCORE_A_UNIT * ability + self._so_far()[:, None] + 10.0**-DIGITS / 2
        points, chances = self._to_come()
        sd = np.sqrt(SCORE_SD**2 + SCORE_A_UNIT**2 * variance)
        low = np.floor((mean.min() - CUTS.max()) / STEP) * STEP
        away = low + STEP * np.arange((mean.max() - CUTS.min() - low) / STEP + 2)
        lattice = away[0] + points[0] + STEP * np.arange(len(away) + len(points) - 1)
        mixed = fftconvolve(ndtr(lattice / sd)[None], chances[:, ::-1], mode="valid", axes=1)
        places = [(mean - cut - low) / STEP for cut in CUTS]
        return np.stack([(weights * _between(mixed, place)).sum(axis=1) for place in places], axis=1)

    def _counts(self) -> np.ndarray:
        """Give the log likelihood of everything but the marks at each engagement, (n, grid)."""
        over, days = self.weeks[0], self.known.days[:, self.weeks[0]]
        absent, work = self.absent[:, over], self.known.work[:, self.pieces]
        handing_in = np.log(self.rule.handing_in(GRID, self.due[self.pieces]))
        care, marks = _care(GRID), FULL_CARE * (work > 0).sum(axis=1)
        found = -0.5 * (GRID - _expected_engagement(self.students)[:, None]) ** 2
        found += days @ np.log(absent).T + (SCHOOL_DAYS - days) @ np.log1p(-absent).T
        found -= _leaving(GRID) * len(over)
        found += (work == 1) @ handing_in[..., 0].T + (work == 2) @ handing_in[..., 1].T
        found += (work == 0) @ np.log(self.open.sum(axis=-1)).T
        found += self.known.care[:, None] * log_expit(care)
        return np.asarray(found + (marks - self.known.care)[:, None] * log_expit(-care))

    def _ability(self) -> tuple[np.ndarray, float, np.ndarray]:
        """Give mean (n, grid) and variance of the ability at the end, and the log likelihood of the marks.

        Ability and growth are Gaussian given the engagement, and so are the marks: what is wanted follows
        from their joint covariance.
        """
        taken = (self.joined <= TESTS) & (self.day - MARKING >= TESTS)
        unknown = bool(self.students["prior_attainment"].isna().iloc[0])
        covariance = np.diag([RESIDUAL**2 + FROM_PRIOR**2 * unknown, GROWTH_SD**2])
        loads = MARK_A_UNIT * np.column_stack([np.ones(taken.sum()), TESTS[taken] / YEAR])
        noise = (MARK_SD**2 + 1 / 12) * np.eye(taken.sum())  # 1/12 is the variance of rounding
        precision = np.linalg.inv(loads @ covariance @ loads.T + noise)
        gain = covariance.sum(axis=0) @ loads.T @ precision
        expected = MARK + self.rule.raised[taken] + GROWTH * loads[:, 1]
        above = self.known.marks[:, taken] - expected  # of a student whose ability is 0
        of_ability = loads[:, 0]
        linear = (above @ precision @ of_ability)[:, None] * self.start
        likelihood = linear - 0.5 * (of_ability @ precision @ of_ability) * self.start**2
        mean = self.start * (1 - gain @ of_ability) + (above @ gain)[:, None] + GROWTH
        return mean, float(covariance.sum() - gain @ loads @ covariance.sum(axis=0)), likelihood

    def _so_far(self) -> np.ndarray:
        """Give the points of the final score that absences and work have brought already."""
        over, work = self.weeks[0], self.known.work
        brought = ((work == 1) + (work == 2) / 2).sum(axis=1) * ALL_WORK / len(self.due)
        return np.asarray(brought - self.known.days[:, over] @ self.rule.costs[over])

    def _to_come(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the points that may still come, a lattice, and their probabilities, (grid, points)."""
        from scipy.signal import fftconvolve  # a second to import
        from scipy.stats import binom

        parts = []
        to_come = self.weeks[1]
        alike = np.column_stack([self.rule.costs, self.absent[0]])[to_come]
        for cost, first, weeks in zip(*_runs(alike), strict=True):
            days = np.arange(SCHOOL_DAYS * weeks + 1)
            parts.append((-cost * days, binom.pmf(days, days[-1], self.absent[:, [to_come[first]]])))
        missing = self.known.work[0, self.pieces] == 0
        whole = ALL_WORK / len(self.due)
        for piece in np.flatnonzero(missing & (self.due[self.pieces] + LATEST > self.day)):
            chances = self.open[:, piece]
            parts.append((whole * np.array([1, 0.5, 0]), chances / chances.sum(axis=1, keepdims=True)))
        low, found = 0.0, np.ones((len(GRID), 1))
        for values, chances in parts:
            first, spread = _on_lattice(values, chances)
            low, found = low + first, fftconvolve(found, spread, axes=1)
        return low + STEP * np.arange(found.shape[1]), found


def _runs(alike: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give of each kind of row what its first column says, its first place and how many there are."""
    kinds, first, count = np.unique(alike, axis=0, return_index=True, return_counts=True)
    return kinds[:, 0], first, count


def _on_lattice(values: np.ndarray, chances: np.ndarray) -> tuple[float, np.ndarray]:
    """Spread values over their neighbours on the lattice, so that the mean stays; give its first point."""
    place = values / STEP
    low, below = np.floor(place.min()), np.floor(place)
    found = np.zeros((len(chances), int(place.max() - low) + 2))
    for column, (here, at) in enumerate(zip(below, place, strict=True)):
        found[:, int(here - low)] += chances[:, column] * (1 - (at - here))
        found[:, int(here - low) + 1] += chances[:, column] * (at - here)
    return float(low * STEP), found


def _between(table: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Read each row of a table (grid, points) at fractional places (n, grid), linearly."""
    left = np.floor(place).astype(int)
    row = np.arange(len(table))
    return np.asarray(table[row, left] + (place - left) * (table[row, left + 1] - table[row, left]))
