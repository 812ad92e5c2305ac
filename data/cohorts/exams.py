"""Generated students of the mathematics examination, whose true probabilities of each band are known.

The columns are those of the contract `exam_scores`; shares and effects are ours, of a plausible size,
and say nothing of any school.
"""

import numpy as np
import pandas as pd
from scipy.special import ndtr

EDUCATION = "parental level of education"
SHARES: dict[str, dict[str, float]] = {
    "gender": {"female": 0.52, "male": 0.48},
    "race/ethnicity": {"group A": 0.09, "group B": 0.19, "group C": 0.32, "group D": 0.26, "group E": 0.14},
    EDUCATION: {
        "some high school": 0.18,
        "high school": 0.20,
        "some college": 0.22,
        "associate's degree": 0.22,
        "bachelor's degree": 0.12,
        "master's degree": 0.06,
    },
    "lunch": {"standard": 0.65, "free/reduced": 0.35},
    "test preparation course": {"none": 0.64, "completed": 0.36},
}
READING, WRITING, MATHS = "reading score", "writing score", "math score"
EFFECTS: dict[str, dict[str, float]] = {  # points of mathematics, at the same reading and writing
    "gender": {"male": 10.0},
    "race/ethnicity": {"group D": 1.0, "group E": 4.0},
    "lunch": {"standard": 4.0},
    "test preparation course": {"completed": 1.0},
}
INTERCEPT, A_POINT_READ, A_POINT_WRITTEN, SIGMA = -8.5, 0.45, 0.5, 5.5
CUTS = np.array([80.0, 65.0, 50.0])  # lower bounds of the bands but the last
SCENARIOS: dict[str, float] = {}


def generate(rows: int, seed: int = 1) -> pd.DataFrame:
    """Generate a cohort; it has no drift scenarios."""
    rng = np.random.default_rng(seed)
    columns = {
        name: rng.choice(list(shares), rows, p=list(shares.values())) for name, shares in SHARES.items()
    }
    ability = rng.normal(0, 13, rows)
    ability += 1.5 * pd.Categorical(columns[EDUCATION], list(SHARES[EDUCATION])).codes
    ability += np.where(columns["test preparation course"] == "completed", 6.0, 0.0)
    ability += np.where(columns["lunch"] == "standard", 5.0, 0.0)
    female = columns["gender"] == "female"
    frame = pd.DataFrame(columns).assign(
        **{
            READING: _points(58 + ability + np.where(female, 6, 0) + rng.normal(0, 4, rows)),
            WRITING: _points(56 + ability + np.where(female, 8, 0) + rng.normal(0, 4, rows)),
        }
    )
    return frame.assign(**{MATHS: _points(_mean(frame) + rng.normal(0, SIGMA, rows))})


def true_probabilities(frame: pd.DataFrame) -> np.ndarray:
    """Give each row's true probabilities of the bands, (n, 4), best first.

    A score is the rounded latent: P(score ≥ t) = Φ((mean − t + 1/2) / 5.5).
    """
    reached = ndtr((_mean(frame)[:, None] - CUTS + 0.5) / SIGMA)
    end = np.zeros((len(frame), 1))
    return np.diff(np.hstack([end, reached, end + 1]), axis=1)


def _mean(frame: pd.DataFrame) -> np.ndarray:
    """Give the mean of each row's mathematics, in points, before rounding and clipping."""
    mean = INTERCEPT + A_POINT_READ * frame[READING] + A_POINT_WRITTEN * frame[WRITING]
    for name, effects in EFFECTS.items():
        mean += frame[name].map(effects).fillna(0.0).astype(float)
    return mean.to_numpy(dtype=float)


def _points(latent: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(latent + 0.5), 0, 100).astype(np.int64)


def true_totals() -> dict[str, np.ndarray] | None:
    """Give nothing: no column accumulates."""
    return {}
