"""How a model of each family was trained, in words."""

from data.manifest import FamilyName
from flows.training.data import Kind, TrainingData


def how(family: FamilyName, kind: Kind, data: TrainingData) -> str:
    """Say how a model was trained."""
    if family == "logistic":
        return f"A multinomial logistic regression on standardised features.{_without_order(data)}"
    if family == "neural":
        return f"A small neural network on standardised features.{_without_order(data)}"
    if family == "catboost":
        return f"CatBoost, its trees rewritten as XGBoost's. {_of_catboost(kind, data)}"
    return HOW[kind]


def _without_order(data: TrainingData) -> str:
    return " It makes no use of the order of the classes, nor of known directions." if data.ordered else ""


def _of_catboost(kind: Kind, data: TrainingData) -> str:
    if kind == "ordinal":
        return "Its latent is the log odds of the first class."
    return HOW[kind] if kind == "score" or not data.ordered else f"A margin a class.{_without_order(data)}"


HOW: dict[Kind, str] = {
    "score": "The booster was trained on the score; the classes' own bounds are its cut points.",
    "ordinal": "No score to train on: the ordinal objective learned the cut points.",
    "softmax": "The classes have no order: one margin a class, and softmax.",
}
