"""What people are told of a model: of its family, and where it stands beside the chosen one."""

from data.manifest import FamilyName

TITLES: dict[FamilyName, str] = {
    "xgboost": "XGBoost",
    "catboost": "CatBoost",
    "logistic": "logistic regression",
    "neural": "neural network",
}
MODELS: dict[FamilyName, str] = {
    "xgboost": "XGBoost booster",
    "catboost": "CatBoost model",
    "logistic": "logistic regression",
    "neural": "small neural network",
}

BETTER, WORSE, ALIKE = "better", "worse", "cannot be told apart"


def method(family: FamilyName, head: str) -> str:
    """Say how a model with this kind of head forecasts, in one sentence."""
    if head == "softmax":
        return f"One {MODELS[family]} gives a margin for each class; softmax makes them probabilities."
    return (
        f"One {MODELS[family]} predicts a latent score; cut points on it, with normal noise, give the "
        "probability of each class."
    )


def standing_of(low: float, high: float) -> str:
    """Return what a model is whose log loss less the chosen one's has this interval."""
    return BETTER if high < 0 else WORSE if low > 0 else ALIKE


def standing_sentence(name: str, difference: float, low: float, high: float) -> str:
    """Say whether a model is better or worse than the chosen one or cannot be told apart, and by how much."""
    standing = standing_of(low, high)
    apart = standing if standing == ALIKE else f"is {standing}"
    return (
        f"{name} {apart}: its log loss less the chosen model's is {difference:+.4f} "
        f"(95 %: {low:+.4f} to {high:+.4f}) on the same folds."
    )
