"""Bare FastAPI with `inplace_predict` and the same pydantic record: no log, no metrics, no key."""

import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import xgboost
from fastapi import FastAPI
from pydantic import BeforeValidator
from scipy.special import ndtr

from data.bundle.bundle import Bundle
from data.bundle.manifest import BOOSTER


def create_app() -> FastAPI:
    """Make the application on the bundle of BENCH_BUNDLE."""
    bundle = Bundle.load(Path(os.environ["BENCH_BUNDLE"]))
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bundle.folder / BOOSTER)
    head, labels = bundle.manifest.head, bundle.manifest.labels
    cuts, base = np.asarray(head["cuts"]), np.asarray(head["base"])
    record = Annotated[dict[str, Any], BeforeValidator(bundle.record.validate_python)]
    app = FastAPI()

    @app.post("/predict")
    def predict(student: record) -> dict[str, Any]:
        latent = booster.inplace_predict(bundle.matrix([student]))
        above = np.concatenate([[0.0], ndtr((latent[0] - cuts) / head["sigma"]), [1.0]])
        shares = (1 - base.sum()) * np.diff(above) + base
        return {
            "grade_class": labels[int(shares.argmax())],
            "probabilities": dict(zip(labels, shares.tolist(), strict=True)),
        }

    return app
