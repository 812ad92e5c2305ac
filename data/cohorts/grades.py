"""Generated cohorts of students whose true grade probabilities are known, and the ways they can drift.

The shares and the rule are those read off the real A–F set ("Students Performance Dataset", 2,392 rows).
"""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, ndtr

SHARES: dict[str, tuple[float, ...]] = {
    "Age": (0.25, 0.25, 0.25, 0.25),
    "Gender": (0.5, 0.5),
    "Ethnicity": (0.5, 0.2, 0.2, 0.1),
    "ParentalEducation": (0.10, 0.30, 0.40, 0.15, 0.05),
    "Tutoring": (0.70, 0.30),
    "ParentalSupport": (0.10, 0.20, 0.30, 0.30, 0.10),
    "Extracurricular": (0.60, 0.40),
    "Sports": (0.70, 0.30),
    "Music": (0.80, 0.20),
    "Volunteering": (0.85, 0.15),
}
FIRST_AGE, MAX_HOURS, DAYS = 15, 20.0, np.arange(30)
INTERCEPT, SIGMA = 2.5, 0.2  # grade points
EFFECTS = {  # grade points for one hour a week, one day, one step
    "StudyTimeWeekly": 0.03,
    "Absences": -0.10,
    "Tutoring": 0.25,
    "ParentalSupport": 0.15,
    "Extracurricular": 0.20,
    "Sports": 0.20,
    "Music": 0.15,
}
CUTS = np.array([3.5, 3.0, 2.5, 2.0])  # lower bounds of A, B, C and D
F_SHARE = 0.53  # of a cohort without drift
CODED = list(SHARES)
FILE_COLUMNS = ["StudentID", *CODED[:4], "StudyTimeWeekly", "Absences", *CODED[4:], "GPA", "GradeClass"]

SCENARIOS: dict[str, float] = {  # name: default strength, and what that measures
    "absences": 3.0,  # rise of the mean of Absences, days
    "new-category": 0.08,  # share of students with the unknown Ethnicity 4
    "missing-at-random": 0.20,  # share missing of study time and of support, more with absences
    "label-tail": 0.09,  # share of students, the last ones, whose class is drawn uniformly
    "tutoring-void": 1.0,  # share of Tutoring's effect that is gone
    "grading-inflation": 0.15,  # grade points given to everyone
    "prior-shift": 0.35,  # new share of class F; within each class the students are as before
}


def generate(
    rows: int = 2392,
    seed: int = 1,
    scenario: str | None = None,
    strength: float | None = None,
    first_id: int = 1001,
) -> pd.DataFrame:
    """Generate a cohort with the columns and types of the published file, drifted by a scenario.

    Ids ascend from `first_id`. Raises ValueError for an unknown scenario.
    """
    level = _strength(scenario, strength)
    rng = np.random.default_rng(seed)
    shifted = scenario == "prior-shift"
    columns = _prior_shifted(rows, rng, level) if shifted else _draw(rows, rng, scenario, level)
    columns["StudentID"] = np.arange(first_id, first_id + rows)
    return _spoil(pd.DataFrame(columns, copy=False)[FILE_COLUMNS], rng, scenario, level)


def true_probabilities(
    frame: pd.DataFrame, scenario: str | None = None, strength: float | None = None
) -> np.ndarray:
    """Give each row's true class probabilities, (n, 5), A first: P(GPA < t) = Φ((t − mean) / 0.2).

    Missing hours or support are averaged out over their distribution. Of `label-tail` the rows must be
    all those generated, in their order. Raises ValueError for an unknown scenario.
    """
    level = _strength(scenario, strength)
    reached = _reached(frame, *_rule(scenario, level))
    end = np.zeros((len(frame), 1))
    probabilities = np.diff(np.hstack([end, reached, end + 1]), axis=1)
    if scenario == "prior-shift":
        weighted = probabilities * [1, 1, 1, 1, _weight_of_f(level)]
        return weighted / weighted.sum(axis=1, keepdims=True)
    if scenario == "label-tail":
        probabilities[_tail(len(frame), level) :] = 1 / 5
    return probabilities


def true_totals(scenario: str | None = None, strength: float | None = None) -> dict[str, np.ndarray] | None:
    """Give the chance of each number of days missed; None where it depends on the rest of the record.

    Raises ValueError for an unknown scenario.
    """
    level = _strength(scenario, strength)
    if scenario in ("prior-shift", "missing-at-random", "label-tail"):
        return None
    return {"Absences": _tilted(level if scenario == "absences" else 0.0)}


def _strength(scenario: str | None, strength: float | None) -> float:
    if scenario is None:
        return 0.0
    if scenario not in SCENARIOS:
        raise ValueError(f"no drift scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    return SCENARIOS[scenario] if strength is None else strength


def _rule(scenario: str | None, level: float) -> tuple[float, dict[str, float]]:
    """Give the intercept and the effects in force, in grade points."""
    if scenario == "tutoring-void":
        return INTERCEPT, {**EFFECTS, "Tutoring": EFFECTS["Tutoring"] * (1 - level)}
    return INTERCEPT + (level if scenario == "grading-inflation" else 0.0), EFFECTS


def _draw(rows: int, rng: np.random.Generator, scenario: str | None, level: float) -> dict[str, np.ndarray]:
    columns = {name: _codes(np.array(shares), rows, rng) for name, shares in SHARES.items()}
    columns["Age"] += FIRST_AGE
    columns["StudyTimeWeekly"] = rng.uniform(0, MAX_HOURS, rows)
    columns["Absences"] = _codes(_tilted(level if scenario == "absences" else 0.0), rows, rng)
    intercept, effects = _rule(scenario, level)
    gpa = intercept + rng.normal(0, SIGMA, rows)
    for name, effect in effects.items():
        gpa += effect * columns[name]
    columns["GPA"] = np.clip(gpa, 0, 4)
    columns["GradeClass"] = 4.0 - np.searchsorted(np.sort(CUTS), columns["GPA"], side="right")
    return columns


def _prior_shifted(rows: int, rng: np.random.Generator, share: float) -> dict[str, np.ndarray]:
    """Draw more students than needed and thin either F or the other classes."""
    weight = _weight_of_f(share)
    keep_f, keep_rest = weight / max(1, weight), 1 / max(1, weight)
    kept = F_SHARE * keep_f + (1 - F_SHARE) * keep_rest
    drawn = _draw(int(1.05 * rows / kept) + 500, rng, None, 0.0)
    keep = rng.random(len(drawn["GPA"])) < np.where(drawn["GradeClass"] == 4, keep_f, keep_rest)
    chosen = np.flatnonzero(keep)[:rows]
    return {name: values[chosen] for name, values in drawn.items()}


def _weight_of_f(share: float) -> float:
    """Weigh an F against any other class so that the share of F becomes `share`."""
    return share / (1 - share) * (1 - F_SHARE) / F_SHARE


def _codes(shares: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random(rows), side="right")


def _tilted(rise: float) -> np.ndarray:
    """Tilt the uniform distribution of Absences exponentially so that its mean rises by `rise` days."""

    def shares(tilt: float) -> np.ndarray:
        weights = np.exp(tilt * (DAYS - DAYS.mean()))
        return weights / weights.sum()

    return shares(brentq(lambda tilt: shares(tilt) @ DAYS - DAYS.mean() - rise, -2, 2))


def _tail(rows: int, share: float) -> int:
    return rows - round(rows * share)


def _spoil(frame: pd.DataFrame, rng: np.random.Generator, scenario: str | None, level: float) -> pd.DataFrame:
    rows = len(frame)
    if scenario == "new-category":
        frame["Ethnicity"] = frame["Ethnicity"].mask(rng.random(rows) < level, 4)
    if scenario == "label-tail":
        start = _tail(rows, level)
        frame.loc[start:, "GradeClass"] = rng.integers(0, 5, rows - start).astype(float)
    if scenario == "missing-at-random":
        slope = 0.1 * (DAYS - DAYS.mean())
        base = brentq(lambda b: expit(b + slope).mean() - level, -20, 20)
        missing = expit(base + slope)[frame["Absences"]]
        for name in ("StudyTimeWeekly", "ParentalSupport"):
            frame[name] = frame[name].mask(rng.random(rows) < missing)
    return frame


def _reached(frame: pd.DataFrame, intercept: float, effects: dict[str, float]) -> np.ndarray:
    """Give P(GPA ≥ cut) for each of the cuts, (n, 4); what is missing is averaged out."""
    known = frame[list(effects)].astype(float)
    mean = intercept + known.fillna(0).to_numpy() @ np.fromiter(effects.values(), float)
    reached = ndtr((mean[:, None] - CUTS) / SIGMA)
    gone = known[["StudyTimeWeekly", "ParentalSupport"]].isna().to_numpy()
    rows = gone.any(axis=1)
    if rows.any():
        reached[rows] = 0
    for support, share in enumerate(SHARES["ParentalSupport"] if rows.any() else ()):
        for hours in np.arange(0.5, MAX_HOURS):
            hidden = gone[rows] @ [effects["StudyTimeWeekly"] * hours, effects["ParentalSupport"] * support]
            reached[rows] += share / MAX_HOURS * ndtr(((mean[rows] + hidden)[:, None] - CUTS) / SIGMA)
    return reached
