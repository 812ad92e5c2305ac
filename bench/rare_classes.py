"""What is done about rare classes: a threshold by cost on calibrated shares, or weights in training."""

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data.bundle.answers import risk_of, risky
from data.contract.columns import Costs, Target
from flows.reports.figures import PER, cost_of, flagging_metrics
from flows.training.data import TrainingData, stratified_folds
from flows.training.metrics import calibration_error
from flows.training.ordinal import row_losses

FIGURES = ("log loss", "ece", "AP", "bal. acc.", "recall", "precision", "cost/100")
Weights = Callable[[np.ndarray], np.ndarray]


def print_rare(data: TrainingData, target: Target, ours: list[np.ndarray]) -> None:
    """Print what calling at risk costs, by threshold and by weights, the mean over the runs."""
    true = risky(target)[data.y]
    costs, half = target.costs, target.model_copy(update={"costs": None})
    if costs is None:
        return
    balanced, by_cost = weights_of(true, costs)
    linear = [weighted(data, seed, None) for seed in range(len(ours))]
    tried = {
        f"Gradecast, called from {target.call_from:.2f}": (ours, target),
        "Gradecast, called from 0.50": (ours, half),
        f"logistic, called from {target.call_from:.2f}": (linear, target),
        "logistic, called from 0.50": (linear, half),
        "logistic, balanced weights, 0.50": ([weighted(data, s, balanced) for s in range(len(ours))], half),
        "logistic, cost weights, 0.50": ([weighted(data, s, by_cost) for s in range(len(ours))], half),
    }
    print(f"  at risk {true.mean():.1%}; missed {costs.missed:g}, false alarm {costs.false_alarm:g}")
    print(f"  {'':34}" + "".join(f"{name:>10}" for name in FIGURES))
    for name, (runs, asked) in tried.items():
        figures = np.mean([figures_of(run, data.y, true, asked, costs) for run in runs], axis=0)
        print(f"  {name:34}" + "".join(f"{value:10.4f}" for value in figures))
    print(f"  nobody called costs {PER * costs.missed * true.mean():.1f}, everybody "
          f"{PER * costs.false_alarm * (1 - true.mean()):.1f}")  # fmt: skip


def figures_of(
    shares: np.ndarray, y: np.ndarray, true: np.ndarray, target: Target, costs: Costs
) -> list[float]:
    """Return the figures of one model's held-out probabilities (n, K), called by one threshold."""
    risk = risk_of(shares, target)
    calls = flagging_metrics(risk, true, target)
    names = ("average_precision", "balanced_accuracy", "recall", "precision")
    cost = PER * cost_of(risk, true, costs, target.call_from).mean()
    told = [calls[f"test_at_risk_{name}"] for name in names]
    return [row_losses(shares, y).mean(), calibration_error(shares, y), *told, cost]


def weights_of(true: np.ndarray, costs: Costs) -> tuple[Weights, Weights]:
    """Return how rows are weighted to balance the classes, and to weigh as their mistakes cost."""
    share = true.mean()
    return (
        lambda rows: np.where(true[rows], 0.5 / share, 0.5 / (1 - share)),
        lambda rows: np.where(true[rows], costs.missed, costs.false_alarm),
    )


def weighted(data: TrainingData, seed: int, weights: Weights | None) -> np.ndarray:
    """Return held-out probabilities (n, K) of a logistic regression with weighted rows."""
    pooled = np.empty((len(data.y), data.classes))
    for rows, held in stratified_folds(data, 5, seed):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
        given = None if weights is None else weights(rows)
        model.fit(data.X[rows], data.y[rows], logisticregression__sample_weight=given)
        pooled[held] = model.predict_proba(data.X[held])
    return pooled
