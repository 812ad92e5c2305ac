"""Generated students of the last year, whose true probabilities of three ways without order are known.

The columns are those of the contract `after_school`; shares and effects are ours, of a plausible size,
and say nothing of any school.
"""

import numpy as np
import pandas as pd
from scipy.special import softmax

WAYS = ("university", "training", "nothing")
INTERESTS = ("sciences", "crafts", "languages", "trade")
MEAN_MARK, MATHS, DAYS, INTEREST = "mean_mark", "maths_mark", "days_missed", "interest"
INTERNSHIP, TALKS, WAY = "internship", "counselling", "next_step"
EFFECTS: dict[str, tuple[float, float, float]] = {  # on the margin of each way, for one unit
    MEAN_MARK: (0.50, -0.10, -0.25),
    MATHS: (0.12, 0.05, -0.05),
    DAYS: (-0.03, -0.01, 0.06),
    INTERNSHIP: (-0.2, 1.1, -0.4),
    TALKS: (0.15, 0.25, -0.35),
}
CENTRES = {MEAN_MARK: 11.5, MATHS: 11.0, DAYS: 10.0, INTERNSHIP: 0.0, TALKS: 0.0}
OF_INTEREST = {"sciences": (1.0, 0.0, 0.0), "crafts": (-0.8, 1.4, 0.0), "trade": (-0.2, 0.7, 0.0)}
FIRST = (0.4, -0.3, -0.2)
NO_MATHS, NOT_ASKED = 0.15, 0.08  # shares of students without the mark, without the interest
SPELLS, MOST_DAYS = (2, 2 / 12), 60  # of days missed: a negative binomial, cut off
OFFERED = (6, 0.3)  # talks, and how likely each is taken up
SCENARIOS: dict[str, float] = {}


def generate(rows: int, seed: int = 1) -> pd.DataFrame:
    """Generate a cohort; it has no drift scenarios."""
    rng = np.random.default_rng(seed)
    ability = rng.normal(0, 1, rows)
    maths = np.clip(np.round(11 + 2.5 * ability + rng.normal(0, 2.5, rows)), 0, 20)
    interest = rng.choice(np.array(INTERESTS, dtype=object), rows, p=(0.3, 0.25, 0.25, 0.2))
    frame = pd.DataFrame(
        {
            "student_code": [f"P-{seed}-{number:06d}" for number in range(1, rows + 1)],
            "first_language": rng.choice(["country", "another"], rows, p=(0.8, 0.2)),
            MEAN_MARK: np.clip(11.5 + 2.2 * ability + rng.normal(0, 1.2, rows), 0, 20).round(2),
            MATHS: np.where(rng.random(rows) < NO_MATHS, np.nan, maths),
            DAYS: np.clip(rng.negative_binomial(*SPELLS, rows), 0, MOST_DAYS),
            INTEREST: pd.Series(interest).mask(rng.random(rows) < NOT_ASKED),
            INTERNSHIP: (rng.random(rows) < 0.4).astype(int),
            TALKS: rng.binomial(*OFFERED, rows),
        }
    )
    reached = true_probabilities(frame).cumsum(axis=1)
    drawn = (rng.random((rows, 1)) > reached[:, :-1]).sum(axis=1)
    return frame.assign(**{WAY: np.array(WAYS, dtype=object)[drawn]})


def true_probabilities(frame: pd.DataFrame) -> np.ndarray:
    """Give each row's true probabilities of the three ways, (n, 3): softmax of linear margins.

    What is missing adds nothing to any margin.
    """
    margins = np.tile(FIRST, (len(frame), 1)).astype(float)
    for name, effects in EFFECTS.items():
        away = frame[name].astype(float).to_numpy() - CENTRES[name]
        margins += np.nan_to_num(away)[:, None] * effects
    for code, of_ways in OF_INTEREST.items():
        margins += frame[INTEREST].eq(code).to_numpy(dtype=float)[:, None] * of_ways
    return np.asarray(softmax(margins, axis=1))


def true_totals() -> dict[str, np.ndarray] | None:
    """Give the chance of each number of days missed and of talks, which no other column tells."""
    from scipy.stats import binom, nbinom  # a second to import

    days = nbinom.pmf(np.arange(MOST_DAYS + 1), *SPELLS)
    days[-1] = nbinom.sf(MOST_DAYS - 1, *SPELLS)
    return {DAYS: days, TALKS: binom.pmf(np.arange(OFFERED[0] + 1), *OFFERED)}
