"""Generated students of a leaving examination that follow no simple rule; their truth is known all the same.

Whole points with heavy tails, a few that nothing explains, effects that depend on each other, columns that
tell sex and home (AUC 0.75 each), schools and years that differ, and results that are known the sooner the
worse they are. The columns are those of the contract `leaving_exam`; all of it is ours, of a plausible size,
and says nothing of any school.
"""

import numpy as np
import pandas as pd

COURSEWORK, MOCK, LESSONS, PAGES = "coursework_mark", "mock_points", "lessons_attended", "pages_read"
WAY, COURSE, EXTRA, POINTS = "way_to_school", "course_chosen", "extra_lessons", "paper_points"
SCHOOL, YEAR, SEX, HOME = "exam_centre", "sat_in", "registered_sex", "lives_in"
SCHOOLS, YEARS = tuple(f"S{number}" for number in range(1, 9)), ("2021", "2022", "2023")
COURSES = {"arts": 0.4, "natural": 0.35, "technical": 0.25}
APART = 0.954  # standard deviations between two groups that a column tells apart with an AUC of 0.75
NO_MOCK = 0.1  # share of students who did not sit the mock
CENTRE, TAILS, SCALE = 61.0, 3, 3.6  # points; Student's t of three degrees of freedom
OUTLIERS, HIGHEST = 0.01, 100  # share whose points are any at all
OF_SCHOOL, OF_YEAR = 1.6, 1.0  # standard deviations, points: with both an intraclass correlation of 0.05
CUTS = np.array([72.0, 62.0, 50.0])
DAYS_TO_WAIT = np.array([60.0, 50.0, 40.0, 5.0])  # for a result, on average, by band, best first
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)

SCENARIOS: dict[str, float] = {  # name: default strength, and what that measures
    "harder-paper": 5.0,  # points taken from everyone
    "coursework-void": 1.0,  # share of the coursework's effect that is gone
    "harder-for-villages": 8.0,  # points taken from those who live in a village, and from nobody else
}


def generate(
    rows: int = 1200, seed: int = 1, scenario: str | None = None, strength: float | None = None
) -> pd.DataFrame:
    """Generate a cohort of eight schools and three years; raises ValueError for an unknown scenario."""
    level = _level(scenario, strength)
    rng = np.random.default_rng(seed)
    frame = _students(rows, seed, rng)
    mean = _mean(frame, scenario, level)
    for column, names, spread in ((SCHOOL, SCHOOLS, OF_SCHOOL), (YEAR, YEARS, OF_YEAR)):
        effects = rng.normal(0, 1, len(names))
        effects = (effects - effects.mean()) / effects.std() * spread  # so that the truth below is theirs
        mean += effects[pd.Categorical(frame[column], names).codes]
    drawn = mean + SCALE * rng.standard_t(TAILS, rows)
    any_at_all = rng.random(rows) < OUTLIERS
    points = np.where(any_at_all, rng.integers(0, HIGHEST + 1, rows), np.floor(drawn + 0.5))
    return frame.assign(**{POINTS: np.clip(points, 0, HIGHEST).astype(np.int64)})


def true_probabilities(
    frame: pd.DataFrame, scenario: str | None = None, strength: float | None = None
) -> np.ndarray:
    """Give each row's true probabilities of the bands, (n, 4), best first, whatever its school and year.

    P(points ≥ t) = (1 − 0.01) E[T₃((mean + u − t + 1/2) / 3.6)] + 0.01 (101 − t) / 101, the expectation over
    the normal u of schools and years by Gauss and Hermite's rule. A mock that was not sat adds what those who
    sat none have on average.
    """
    from scipy.stats import t as student_t  # a second to import

    mean, away = _mean(frame, scenario, _level(scenario, strength)), np.hypot(OF_SCHOOL, OF_YEAR)
    reached = np.zeros((len(frame), len(CUTS)))
    for node, weight in zip(NODES, WEIGHTS / WEIGHTS.sum(), strict=True):
        latent = (mean[:, None] + away * node - CUTS + 0.5) / SCALE
        reached += weight * student_t.cdf(latent, TAILS)
    reached = (1 - OUTLIERS) * reached + OUTLIERS * (HIGHEST + 1 - CUTS) / (HIGHEST + 1)
    end = np.zeros((len(frame), 1))
    return np.diff(np.hstack([end, reached, end + 1]), axis=1)


def days_until_known(bands: np.ndarray, seed: int = 1) -> np.ndarray:
    """Draw after how many days each result is known, of bands (n,), 0 = best: the worst is known first."""
    return np.random.default_rng(seed).exponential(DAYS_TO_WAIT[bands])


def true_totals(**_: str | float | None) -> dict[str, np.ndarray] | None:
    """Give nothing, whatever the scenario: no column accumulates."""
    return {}


def _level(scenario: str | None, strength: float | None) -> float:
    if scenario is not None and scenario not in SCENARIOS:
        raise ValueError(f"no drift scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    return SCENARIOS.get(scenario or "", 0.0) if strength is None else strength


def _students(rows: int, seed: int, rng: np.random.Generator) -> pd.DataFrame:
    ability, male, village = rng.normal(0, 1, rows), rng.random(rows) < 0.5, rng.random(rows) < 0.35
    mock = np.clip(np.round(58 + 11 * ability + 7 * rng.standard_t(TAILS, rows)), 0, 100)
    pages = np.clip(130 - 45 * APART * male + rng.normal(0, 45, rows), 0, 500)
    way = np.clip(40 + 14 * APART * village + rng.normal(0, 14, rows), 0, 180)
    return pd.DataFrame(
        {
            "candidate_no": [f"L-{seed}-{number:06d}" for number in range(1, rows + 1)],
            SCHOOL: rng.choice(np.array(SCHOOLS, dtype=object), rows),
            YEAR: np.array(YEARS, dtype=object)[np.arange(rows) * len(YEARS) // rows],
            SEX: np.where(male, "m", "f"),
            HOME: np.where(village, "village", "town"),
            COURSEWORK: np.clip(62 + 9 * ability + rng.normal(0, 8, rows), 0, 100).round(1),
            MOCK: np.where(rng.random(rows) < NO_MOCK, np.nan, mock),
            LESSONS: np.clip(100 - rng.gamma(1.5, 6, rows), 0, 100).round(1),
            PAGES: pages.round(),
            WAY: way.round(),
            COURSE: rng.choice(np.array(list(COURSES), dtype=object), rows, p=list(COURSES.values())),
            EXTRA: (rng.random(rows) < 0.3).astype(int),
        }
    )


def _mean(frame: pd.DataFrame, scenario: str | None, level: float) -> np.ndarray:
    """Give the points that each row is expected to have in an average school and year."""
    number = {name: frame[name].to_numpy(dtype=float) for name in (COURSEWORK, LESSONS, PAGES, WAY, EXTRA)}
    own = (number[COURSEWORK] - 62) / 12 * (1 - level * (scenario == "coursework-void"))
    mock = np.nan_to_num((frame[MOCK].to_numpy(dtype=float) - 58) / 14, nan=-0.3)
    missed, technical = (100 - number[LESSONS]) / 10, frame[COURSE].eq("technical").to_numpy()
    mean = CENTRE + 4.5 * own + 3.5 * np.tanh(mock) + 0.8 * (number[PAGES] - 110) / 50
    mean -= missed * np.where(technical, 4.0, 0.5)  # lessons in the workshop cannot be caught up on
    mean += number[EXTRA] * np.where(own < 0, 6.0, -1.0)  # extra lessons help those who are behind
    mean += 2.0 * own * frame[COURSE].eq("natural").to_numpy()
    mean -= level * (scenario == "harder-paper")
    return np.asarray(
        mean - level * (scenario == "harder-for-villages") * frame[HOME].eq("village").to_numpy()
    )
