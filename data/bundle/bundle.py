"""A registered model on disk: opened, verified, asked; its forecasts, reasons' units and grade sets."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from data.bundle.answers import answer_of, grade_sets
from data.bundle.manifest import (
    CONTRACT,
    EXAMPLES,
    MANIFEST,
    MODEL,
    MODEL_FILES,
    BundleError,
    FamilyName,
    Manifest,
    read_manifest,
    verified,
)
from data.bundle.models import Model, open_model
from data.bundle.population import Accumulation, Population, read_population
from data.bundle.reasons import Scale, column_effects, kind_of, noise_of, scale_of, standing_of
from data.contract.columns import ELAPSED
from data.contract.contract import Contract, load_contract
from data.contract.dated import AS_OF
from data.errors import BadInput
from data.rows.records import (
    FeatureSpace,
    Record,
    feature_space,
    matrix_maker,
    record_adapter,
    typical_record,
)

TITLES: dict[FamilyName, str] = {
    "xgboost": "XGBoost",
    "catboost": "CatBoost",
    "logistic": "logistic regression",
    "linear": "linear score model",
    "neural": "neural network",
    "pool": "pool",
}
MODELS: dict[FamilyName, str] = {
    "xgboost": "XGBoost booster",
    "catboost": "CatBoost model",
    "logistic": "logistic regression",
    "linear": "linear model of the score",
    "neural": "small neural network",
    "pool": "pool of models",
}

BETTER, WORSE, ALIKE = "better", "worse", "cannot be told apart"


def method(family: FamilyName, head: str) -> str:
    """Say how a model with this kind of head forecasts, in one sentence."""
    if family == "pool":
        return (
            "A pool of models, an XGBoost booster first: each gives the probability of each class, and the "
            "forecast is their weighted mean."
        )
    if head == "softmax":
        return f"One {MODELS[family]} gives a margin for each class; softmax makes them probabilities."
    return (
        f"One {MODELS[family]} predicts a latent score; cut points on it, with normal noise, give the "
        "probability of each class."
    )


def comparison_of(low: float, high: float) -> str:
    """Return what a model is whose log loss less the chosen one's has this interval."""
    return BETTER if high < 0 else WORSE if low > 0 else ALIKE


def comparison_sentence(name: str, difference: float, low: float, high: float) -> str:
    """Say whether a model is better or worse than the chosen one or cannot be told apart, and by how much."""
    comparison = comparison_of(low, high)
    apart = comparison if comparison == ALIKE else f"is {comparison}"
    return (
        f"{name} {apart}: its log loss less the chosen model's is {difference:+.4f} "
        f"(95 %: {low:+.4f} to {high:+.4f}) on the same folds."
    )


TOLERANCE = 1e-5


def _agreed_contract(folder: Path, manifest: Manifest) -> Contract:
    """Load a bundle's contract; raises BundleError where the manifest speaks of another one."""
    try:
        contract = load_contract(folder / CONTRACT, strict=False)
    except BadInput as error:
        raise BundleError(str(error)) from error
    target = contract.target
    said = (manifest.contract, manifest.labels, manifest.unit, len(manifest.set_thresholds))
    if said != (contract.name, target.labels, target.unit, len(target.labels)):
        raise BundleError(f"{folder / MANIFEST}: it does not agree with {CONTRACT}")
    return contract


def open_session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """Open an ONNX model, a file or its bytes, on one thread: input "features", output "probabilities"."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _why_no_elapsed(population: Population | None, contract: Contract) -> str:
    if population is None:
        return (
            "this model was registered by an earlier release, which did not keep what a count so far may "
            "come to: register it anew (`make pipeline`), or leave this out and give whole counts"
        )
    if not contract.accumulating:
        return "no column of this contract accumulates over a period: leave this out"
    return ""


def _verified_model(folder: Path, manifest: Manifest) -> Model:
    path = folder / MODEL_FILES[manifest.family]
    try:
        return open_model(path.name, verified(path, manifest))
    except ValueError as error:
        raise BundleError(f"{path}: no model of the family {manifest.family}: {error}") from error


class Bundle:
    """A verified bundle, open for forecasts."""

    def __init__(self, folder: Path, manifest: Manifest, contract: Contract) -> None:
        self.folder, self.manifest, self.contract = folder, manifest, contract
        self.record = record_adapter(contract)
        self.matrix = matrix_maker(contract)
        self.space: FeatureSpace = feature_space(contract)
        population = read_population(folder, manifest)
        self.foresees = population is not None
        """Whether it keeps what a count so far may come to; bundles of earlier releases do not."""
        self.population = population or Population()
        self.accumulation = Accumulation(self.population.totals, contract)
        self.no_elapsed = _why_no_elapsed(population, contract)
        """Why this bundle cannot be told how much of the period has passed; nothing where it can."""
        self._kind = kind_of(manifest.head, manifest.training, contract.target)
        risky = [manifest.labels.index(label) for label in contract.target.at_risk]
        self._rule = manifest.labels, manifest.set_thresholds, risky
        self._contiguous = bool(manifest.head.get("contiguous"))
        # The bytes that were checked are those that are used, whatever becomes of the folder.
        self._session = open_session(verified(folder / MODEL, manifest))
        self._model = _verified_model(folder, manifest)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open a bundle after checking every digest; raises BundleError."""
        path = Path(folder)
        manifest = read_manifest(path)
        return cls(path, manifest, _agreed_contract(path, manifest))

    def elapsed(self, records: Sequence[Record]) -> np.ndarray | None:
        """Return how much of the period has passed for each record (n,); None where all of it for all.

        Of dated records, the day that each is of.
        """
        if self.population.days:
            return np.array([float(record[AS_OF]) for record in records])
        if not self.contract.accumulating or not any(ELAPSED in record for record in records):
            return None
        return np.array([record.get(ELAPSED, 1.0) for record in records])

    def probabilities(
        self, matrix: np.ndarray, elapsed: np.ndarray | None = None, limits: np.ndarray | None = None
    ) -> np.ndarray:
        """Return class probabilities (rows, classes), float32, of a feature matrix.

        Args:
            matrix: feature rows (n, F).
            elapsed: how much of the period has passed for each (n,); all of it if None. Before its end the
                probabilities are the mean over what the totals may yet become.
            limits: between what each total (n, C, 2) is known to come to be.
        """
        if elapsed is None or self.population.days:
            return self._ask(matrix)
        return self.accumulation.mean(self._ask, matrix, elapsed, limits)

    def explain(self, matrix: np.ndarray, elapsed: np.ndarray | None = None) -> np.ndarray:
        """Return each contract feature's effect on the forecast (rows, features), as `scale` has it.

        TreeSHAP of a booster, integrated gradients of a dense model; before the period's end their mean over
        what the totals may yet become.
        """
        if elapsed is None or self.population.days:
            return self._effects(matrix)
        return self.accumulation.mean(self._effects, matrix, elapsed)

    def latent(self, matrix: np.ndarray, elapsed: np.ndarray | None = None) -> np.ndarray:
        """Return where each row stands (n,), float64: the larger, the farther from being at risk.

        In the unit of `scale`: the latent score or, of margins, the log odds of not being at risk. It tells
        rows apart whose risk is the same to the last digit. Before the period's end it is the mean over what
        the totals may yet become.
        """
        if elapsed is None or self.population.days:
            return self._standing(matrix)
        return self.accumulation.mean(lambda rows: self._standing(rows)[:, None], matrix, elapsed)[:, 0]

    @property
    def cuts(self) -> tuple[float, ...]:
        """The cut points on `latent`, falling; none of margins or without an order."""
        if not self.contract.target.ordered:
            return ()
        latent_unit = 1.0 if self._kind == "score" else float(self.manifest.head["sigma"])
        return tuple(cut / latent_unit for cut in self.manifest.head.get("cuts", ()))

    @property
    def spread(self) -> float:
        """The standard deviation of students who are alike in every column, on `latent`."""
        return float(self.manifest.head["sigma"]) if self._kind == "score" else 1.0

    def _standing(self, matrix: np.ndarray) -> np.ndarray:
        noise = noise_of(self.manifest.head, matrix)
        return standing_of(self._model.latent(matrix), self.contract.target, self._kind, noise)

    def _ask(self, matrix: np.ndarray) -> np.ndarray:
        return self._session.run(["probabilities"], {"features": matrix})[0]

    def _effects(self, matrix: np.ndarray) -> np.ndarray:
        return column_effects(self._model, matrix, self.contract, self._kind, self.manifest.head)

    @property
    def scale(self) -> Scale:
        """The unit of the effects, and what a positive one speaks for."""
        return scale_of(self.contract.target, self._kind, self.manifest.head)

    def thresholds(self, elapsed: np.ndarray | None = None) -> np.ndarray:
        """Return the least probabilities of classes in a grade set: (K,), or of each row (n, K)."""
        whole = self.manifest.set_thresholds
        return np.array(whole) if elapsed is None else self.population.thresholds(whole, elapsed)

    def grade_sets(self, probabilities: np.ndarray, elapsed: np.ndarray | None = None) -> list[list[str]]:
        """Return the labels whose conformal sets hold each row: always with the likeliest class."""
        labels = np.array(self.manifest.labels)
        return [labels[row].tolist() for row in self.members(probabilities, elapsed)]

    def members(self, probabilities: np.ndarray, elapsed: np.ndarray | None = None) -> np.ndarray:
        """Return which classes (n, K) are in each row's grade set."""
        return grade_sets(probabilities, self.thresholds(elapsed), self._contiguous)

    def answers(self, probabilities: np.ndarray, elapsed: np.ndarray | None = None) -> list[dict[str, Any]]:
        """Return each row's forecast under the fixed JSON names."""
        labels, whole, risky, filled = *self._rule, self._contiguous
        if elapsed is None:
            return [answer_of(row, labels, whole, risky, filled) for row in probabilities.tolist()]
        rows = zip(probabilities.tolist(), self.thresholds(elapsed).tolist(), strict=True)
        return [answer_of(row, labels, least, risky, filled) for row, least in rows]

    def check(self) -> None:
        """Answer the bundle's own examples, graph and model alike; raises BundleError."""
        rows, expected = self._examples()
        if expected.shape != (len(rows), len(self.manifest.labels)) or not len(rows):
            raise BundleError(f"{self.folder / EXAMPLES}: no example, or not one probability a class")
        gap = float(np.abs(self.probabilities(rows) - expected).max())
        if not gap <= TOLERANCE:
            raise BundleError(
                f"{self.folder}: its examples are answered {gap:.2g} away from what was registered"
            )
        if not np.isfinite(self.explain(rows)).all():
            raise BundleError(f"{self.folder}: the model gives reasons that are not numbers")

    @cached_property
    def shown(self) -> list[Record]:
        """Records to show how one is written, never a real student's; raises BundleError.

        Bundles of earlier releases hold students of their test split, who are shown if they were generated.
        """
        told = json.loads(verified(self.folder / EXAMPLES, self.manifest))
        nobodys = [item["record"] for item in told if self.manifest.generated or item.get("made_up")]
        return nobodys or [typical_record(self.contract)]

    def _examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples' feature matrix and the probabilities registered for them."""
        try:
            examples: list[dict[str, Any]] = json.loads((self.folder / EXAMPLES).read_bytes())
            records: list[Record] = [self.record.validate_python(example["record"]) for example in examples]
            expected = np.array([example["probabilities"] for example in examples], dtype=float)
        except (ValueError, TypeError, KeyError) as error:
            raise BundleError(f"{self.folder / EXAMPLES}: not records of this contract: {error}") from error
        return self.matrix(records), expected
