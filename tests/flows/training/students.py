"""Small students with a known rule: score = 3 + 0.05 hours - 0.1 absences + 0.3 help + noise."""

from collections.abc import Callable

import numpy as np

from data.bundle.models import Model
from flows.training.data import TrainingData

NOISE = 0.25
BOUNDS = (3.2, 2.6)

Make = Callable[..., TrainingData]


def make_students(n: int = 400, seed: int = 0, *, kind: str = "score", missing: float = 0.0) -> TrainingData:
    """Make n students: hours 0-20, absences 0-29, help 0/1, shoe size; three classes."""
    rng = np.random.default_rng(seed)
    X = np.column_stack(
        [rng.uniform(0, 20, n), rng.integers(0, 30, n), rng.integers(0, 2, n), rng.normal(40, 3, n)]
    ).astype(np.float32)
    score = 3 + 0.05 * X[:, 0] - 0.1 * X[:, 1] + 0.3 * X[:, 2] + rng.normal(0, NOISE, n)
    score = np.clip(score.astype(np.float64), 0, 4)
    X[rng.random(X.shape) < missing] = np.nan
    return TrainingData(
        X=X,
        y=(score[:, None] < BOUNDS).sum(axis=1),
        score=score if kind == "score" else None,
        names=("hours", "absences", "help", "shoe"),
        monotone=(1, -1, 1, 0),
        groups=((0,), (1,), (2,), (3,)),
        labels=("good", "fair", "poor"),
        ordered=kind != "softmax",
        bounds=BOUNDS,
        rule_of_thumb=1,
    )


def steps_toward(model: Model, data: TrainingData) -> np.ndarray:
    """Return how the latent rises with each known column in its direction (columns, students, steps)."""
    steps = []
    for column, direction in enumerate(data.monotone[:3]):
        rows = np.repeat(data.X[:50, None], 30, axis=1)
        rows[:, :, column] = np.linspace(0, 30, 30)
        steps.append(np.diff(model.latent(rows.reshape(-1, 4)).reshape(50, 30), axis=1) * direction)
    return np.array(steps)
