"""What people are told of a model's family."""

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


def method(family: FamilyName, head: str) -> str:
    """Say how a model with this kind of head forecasts, in one sentence."""
    if head == "softmax":
        return f"One {MODELS[family]} gives a margin for each class; softmax makes them probabilities."
    return (
        f"One {MODELS[family]} predicts a latent score; cut points on it, with normal noise, give the "
        "probability of each class."
    )
