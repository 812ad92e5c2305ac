"""The folder of a trained candidate: its model, leaderboard, out-of-fold probabilities, and its summary."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from data.bundle.answers import risky
from data.bundle.manifest import MODEL, MODEL_FILES, FamilyName
from data.bundle.population import DaySets
from data.bundle.reasons import Tempering
from data.contract.contract import Contract
from data.rows.frames import nearest
from flows.training.cohorts import HeldCohorts, cautious_thresholds
from flows.training.data import TrainingData
from flows.training.fit import Fitted
from flows.training.metrics import OURS, calibrate
from flows.training.onnx_export import export
from flows.training.ordinal import OrdinalLink, row_losses

LEADERBOARD, OUT_OF_FOLD, SUMMARY = "leaderboard.parquet", "out_of_fold.parquet", "trained.json"
COHORTS = "held_cohorts.parquet"
OF_ROWS, FOLD = ("as_of", "students"), "fold"


class Trained(BaseModel):
    """Where a trained model is, and how it came to be."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    fingerprint: str
    family: FamilyName = "xgboost"
    kind: str
    params: dict[str, Any]
    rounds: int
    head: dict[str, Any]
    set_thresholds: tuple[float, ...]
    set_rows: tuple[int, ...]
    notes: tuple[str, ...]
    by_round: tuple[tuple[int, float], ...]
    """Of the chosen fit: rounds, and the pooled log loss of the folds after so many."""
    reused: bool = False

    def leaderboard(self) -> pd.DataFrame:
        """Read every candidate and baseline, lowest cross-validated log loss first."""
        return pd.read_parquet(self.folder / LEADERBOARD)

    def candidates(self) -> pd.DataFrame:
        """Return every candidate of the grid, lowest cross-validated log loss first."""
        board = self.leaderboard()
        return board[board["model"] == OURS].reset_index(drop=True)

    def out_of_fold(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the pooled out-of-fold probabilities (rows, classes) and classes (rows,)."""
        frame = pd.read_parquet(self.folder / OUT_OF_FOLD)
        return frame.drop(columns=["y", FOLD, *OF_ROWS], errors="ignore").to_numpy(), frame["y"].to_numpy()

    def by_fold(self) -> list[dict[str, float]]:
        """Return the chosen candidate's log loss and accuracy in each fold, on the rows held out there."""
        shares, y = self.out_of_fold()
        right, losses = shares.argmax(axis=1) == y, row_losses(shares, y)
        fold = pd.read_parquet(self.folder / OUT_OF_FOLD, columns=[FOLD])[FOLD].to_numpy()
        return [
            {
                "log_loss": float(losses[fold == number].mean()),
                "accuracy": float(right[fold == number].mean()),
            }
            for number in np.unique(fold)
        ]

    def out_of_fold_rows(self) -> dict[str, np.ndarray]:
        """Read the day `as_of` and whose each of these rows is, `students`; of dated records alone."""
        frame = pd.read_parquet(self.folder / OUT_OF_FOLD)
        return {name: frame[name].to_numpy() for name in OF_ROWS if name in frame}

    def day_sets(self, checkpoints: Sequence[int]) -> tuple[DaySets, ...]:
        """Set the thresholds of the grade sets for each checkpoint, on the out-of-fold rows nearest to it.

        Where there are several cohorts, so low that they would have done for those held out too.
        """
        days = self.out_of_fold_rows().get("as_of")
        if days is None:
            return ()
        (probabilities, y), days = self.out_of_fold(), nearest(days, checkpoints)
        found = {int(day): calibrate(probabilities[days == day], y[days == day]) for day in np.unique(days)}
        path = self.folder / COHORTS
        held = HeldCohorts.read(path).at(checkpoints) if path.is_file() else None
        return tuple(
            DaySets(
                as_of=day,
                thresholds=cautious_thresholds(own.least, held.of_day(day)) if held else own.least,
            )
            for day, own in found.items()
        )

    @property
    def link(self) -> OrdinalLink:
        """The last step of the model."""
        return OrdinalLink(**{name: self.head[name] for name in ("kind", "cuts", "sigma", "base")})

    @property
    def tempering(self) -> Tempering | None:
        """How much less sure forecasts are made on each day, of dated records with several cohorts."""
        told = self.head.get("tempering")
        return Tempering(**told) if told else None


def write_fitted(folder: Path, fitted: Fitted, data: TrainingData, contract: Contract, digest: str) -> None:
    """Write a model fitted to data: its own file, ONNX, leaderboard, out-of-fold probabilities, summary."""
    tuned = data.rows(fitted.tuned_on)
    of_rows = {name: getattr(tuned, name) for name in OF_ROWS if getattr(tuned, name) is not None}
    (folder / MODEL_FILES[fitted.family]).write_bytes(fitted.model.to_bytes())
    (folder / MODEL).write_bytes(export(fitted.model, fitted.link, fitted.tempering).SerializeToString())
    fitted.leaderboard.to_parquet(folder / LEADERBOARD, index=False)
    shares = pd.DataFrame(fitted.oof_probabilities, columns=list(contract.target.labels))
    shares.assign(y=tuned.y, **of_rows, fold=fitted.fold).to_parquet(folder / OUT_OF_FOLD, index=False)
    if fitted.cohorts:
        fitted.cohorts.write(folder / COHORTS)
    summary = Trained(
        folder=folder,
        fingerprint=digest,
        family=fitted.family,
        kind=fitted.kind,
        params=fitted.params,
        rounds=fitted.rounds,
        head=_head(fitted, data, contract),
        set_thresholds=fitted.thresholds.least,
        set_rows=fitted.thresholds.rows,
        notes=fitted.notes,
        by_round=fitted.by_round,
    )
    (folder / SUMMARY).write_text(summary.model_dump_json(indent=2), encoding="utf-8")


def _head(fitted: Fitted, data: TrainingData, contract: Contract) -> dict[str, Any]:
    """Return what makes probabilities of the latent, and reasons of them."""
    head: dict[str, Any] = {
        "kind": fitted.link.kind,
        "cuts": list(fitted.link.cuts),
        "sigma": fitted.link.sigma,
        "base": list(fitted.link.base),
        "contiguous": contract.target.ordered,
        **_reasons(fitted.kind, data, contract),
    }
    return head | ({"tempering": asdict(fitted.tempering)} if fitted.tempering else {})


def _reasons(kind: str, data: TrainingData, contract: Contract) -> dict[str, Any]:
    """Return what reasons are about, and the level of each class; nothing where the latent is the score.

    The mean score of a class, or 100 where it is at risk, so that effects are percentage points.
    """
    if kind == "score":
        return {}
    if data.ordered and data.score is not None:
        sums = np.bincount(data.y, data.score, minlength=data.classes)
        levels = sums / np.maximum(np.bincount(data.y, minlength=data.classes), 1)
        return {"reasons": {"about": "score", "levels": levels.tolist()}}
    return {"reasons": {"about": "risk", "levels": (100.0 * risky(contract.target)).tolist()}}
