"""Families and contracts unlike the default ones go through every stage, and are answered with reasons."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from mlflow.models.utils import _enforce_schema

from data.bundle.bundle import MODELS, Bundle
from data.bundle.manifest import (
    CARD,
    DENSE,
    EXAMPLES,
    MANIFEST,
    MODEL_FILES,
    BundleError,
    FamilyName,
    read_manifest,
)
from data.bundle.reasons import RISK
from data.cohorts.addresses import GENERATORS
from data.contract.contract import load_contract
from data.rows.frames import parse, to_records
from flows.evaluate import gather_evidence
from flows.process import process_records
from flows.registry.bundling import Submission, make_bundle
from flows.registry.registration import example_input, model_signature, register_submission
from flows.reports.artifacts import metrics_table
from flows.reports.figures import card_figures, figures_on_test
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid
from serving.app import create_app
from serving.settings import PredictorSettings
from serving.sync.bring import sync
from tests.contract.tampering import seal
from tests.serving.pages.rosters import token_of

GRIDS: dict[FamilyName, dict[str, Any]] = {
    "catboost": {"family": "catboost", "depth": 2, "learning_rate": 0.2, "iterations": 80},
    "logistic": {"family": "logistic", "C": [1, 10]},
    "neural": {"family": "neural", "hidden_units": 8, "epochs": 60},
}
LINEAR = {"family": "linear", "alpha": 1}
HOPELESS = {"max_depth": 1, "learning_rate": 0.01, "n_estimators": 2}


UNORDERED, ORDERED, TEXT_BANDS = (
    ("after_school", "catboost"),
    ("grade_class", "logistic"),
    ("exam_scores", "pool"),
)
named = " ".join


@dataclass(frozen=True)
class Served:
    """A model in its bundle, with a client of a predictor that has it."""

    submission: Submission
    folder: Path
    client: FlaskClient
    records: list[dict[str, Any]]

    @property
    def ordered(self) -> bool:
        return self.submission.contract.target.ordered

    @property
    def family(self) -> FamilyName:
        return self.submission.trained.family


@pytest.fixture(scope="module", params=[UNORDERED, ORDERED, TEXT_BANDS], ids=named)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    name, family = request.param
    home = tmp_path_factory.mktemp(family)
    settings = Settings(home=home / "flows", folds=2, jobs=1, tracking_uri="")
    contract = load_contract(name)
    processed = process_records("cohort://500", contract, settings)
    families = [HOPELESS, GRIDS[family]] if family in GRIDS else [HOPELESS, GRIDS["neural"], LINEAR]
    grid = Grid.model_validate({"families": families, "pool": family == "pool"})
    trained = train_model(processed, contract, grid, settings)
    evidence = gather_evidence(trained, processed, contract, settings)
    submission = Submission(trained, processed, name, evidence, settings)
    make_bundle(submission)  # which checks that graph and model agree, nullable columns missing too
    predictor = PredictorSettings.from_environment(
        {"GRADECAST_HOME": str(home / "serving"), "GRADECAST_MODEL_URI": str(submission.bundle)}
    )
    sync(predictor)
    records = to_records(parse(GENERATORS[name].generate(60, seed=77), contract), contract)
    return Served(submission, submission.bundle, create_app(predictor).test_client(), records)


def copied(folder: Path, to: Path) -> Path:
    """Copy a bundle, to change it."""
    return Path(shutil.copytree(folder, to / "bundle"))


def test_the_family_of_the_lowest_loss_is_chosen_and_its_bundle_says_so(served: Served) -> None:
    manifest = read_manifest(served.folder)
    assert manifest.family == served.family != "xgboost"
    assert MODEL_FILES[served.family] in manifest.files
    assert any("XGBoost's best" in note for note in manifest.training["notes"])


def test_it_answers_close_to_the_truth(served: Served) -> None:
    contract, bundle = served.submission.contract, Bundle.load(served.folder)
    raw = GENERATORS[contract.name].generate(200, seed=78)
    records = [bundle.record.validate_python(one) for one in to_records(parse(raw, contract), contract)]
    shares = bundle.probabilities(bundle.matrix(records))
    truth = GENERATORS[contract.name].true_probabilities(raw)
    assert np.abs(shares - truth).mean() < 0.12
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_predictor_gives_its_reasons_missing_cells_included(served: Served) -> None:
    contract = served.submission.contract
    answered = served.client.post("/predict?explain=true", json=served.records).get_json()
    assert len(answered) == len(served.records)
    for record, answer in zip(served.records, answered, strict=True):
        effects = [reason["effect"] for reason in answer["reasons"]]
        assert {r["feature"]: r["value"] for r in answer["reasons"]}.keys() <= record.keys()
        assert len(effects) == len(contract.features)
        assert np.isfinite(effects).all()
        assert sorted(map(abs, effects), reverse=True) == [abs(effect) for effect in effects]
        unit = contract.target.unit if served.ordered else RISK
        assert {reason["unit"] for reason in answer["reasons"]} == {unit}
        toward = contract.target.labels[:1] if served.ordered else contract.target.at_risk
        assert {tuple(reason["toward"]) for reason in answer["reasons"]} == {toward}


@pytest.mark.parametrize("served", [UNORDERED], indirect=True, ids=named)
def test_reasons_without_an_order_add_up_to_the_risk_that_is_shown(served: Served) -> None:
    answered = served.client.post("/predict?explain=true", json=served.records).get_json()
    risks = np.array([answer["at_risk"] for answer in answered])
    sums = np.array([sum(reason["effect"] for reason in answer["reasons"]) for answer in answered])
    assert np.ptp(sums) > 30
    assert np.ptp(100 * risks - sums) < 0.01, "all start from the average student"


def test_the_pages_show_it(served: Served) -> None:
    form = {name: "" if value is None else str(value) for name, value in served.records[0].items()}
    shown = served.client.post("/", data=form | {"csrf_token": token_of(served.client)})
    card = served.client.get("/model/card")
    assert (shown.status_code, card.status_code) == (200, 200)
    assert MODELS[served.family] in card.text
    unit = served.submission.contract.target.unit if served.ordered else RISK
    assert (f"in {unit}" in shown.text, "for and against No place" in shown.text) == (
        True,
        not served.ordered,
    )


@pytest.mark.parametrize("served", [ORDERED], indirect=True, ids=named)
def test_what_helps_reads_as_help(served: Served) -> None:
    bundle = Bundle.load(served.folder)
    raises = [place for place, column in enumerate(bundle.contract.features) if column.effect == "raises"]
    lowers = [place for place, column in enumerate(bundle.contract.features) if column.effect == "lowers"]
    records = [bundle.record.validate_python(record) for record in served.records]
    matrix = bundle.matrix(records)
    effects, best = bundle.explain(matrix), bundle.probabilities(matrix)[:, 0]
    strong = max(raises + lowers, key=lambda place: np.abs(effects[:, place]).mean())
    values = matrix[:, bundle.space.groups[strong][0]]
    same_way = 1 if strong in raises else -1
    assert np.corrcoef(values, effects[:, strong])[0, 1] * same_way > 0.9
    assert np.corrcoef(effects.sum(axis=1), best)[0, 1] > 0.3


@pytest.mark.parametrize("served", [ORDERED], indirect=True, ids=named)
def test_numbers_that_are_no_model_are_refused_even_with_their_digest(served: Served, tmp_path: Path) -> None:
    folder = copied(served.folder, tmp_path)
    numbers = json.loads((folder / DENSE).read_bytes())
    numbers["means"].pop()
    (folder / DENSE).write_text(json.dumps(numbers))
    seal(folder, DENSE)
    with pytest.raises(BundleError, match=rf"dense\.json: no model of the family {served.family}"):
        Bundle.load(folder)


def test_a_manifest_of_another_family_is_refused(served: Served, tmp_path: Path) -> None:
    folder = copied(served.folder, tmp_path)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["family"] = "xgboost" if served.family != "catboost" else "logistic"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="files missing, or not in the manifest"):
        Bundle.load(folder)


@pytest.mark.parametrize("served", [ORDERED], indirect=True, ids=named)
def test_it_is_registered_under_its_contracts_name(served: Served) -> None:
    registered = register_submission(served.submission)
    assert (registered.version, registered.promoted) == ("1", True)
    assert read_manifest(served.submission.bundle).family == "logistic"


def test_the_best_possible_figures_are_those_of_its_own_generator(served: Served) -> None:
    best = served.submission.evidence.bayes
    assert best is not None
    assert best["log_loss"] < served.submission.evidence.metrics["test_log_loss"] + 0.05


def test_agreement_that_forgives_near_misses_is_told_of_ordered_classes_alone(served: Served) -> None:
    ordered = served.submission.contract.target.ordered
    assert ("test_qwk" in served.submission.evidence.metrics) == ordered
    for told in (
        metrics_table(figures_on_test(served.submission.evidence)),
        (served.folder / CARD).read_text(encoding="utf-8"),
    ):
        assert ("Quadratic kappa" in told) == ordered
    names = {figure.name for figure in card_figures(served.submission.evidence).figures}
    assert ("test_qwk" in names) == ordered


def test_its_flips_are_those_of_records_changed_and_sent_to_the_bundle(served: Served) -> None:
    bundle, evidence = Bundle.load(served.folder), served.submission.evidence
    records = to_records(evidence.frame, bundle.contract)
    before = bundle.probabilities(bundle.matrix(records)).argmax(axis=1)
    for column in bundle.contract.audited:
        changes = np.zeros(len(records), dtype=bool)
        for code in column.codes:
            after = bundle.matrix([{**record, column.name: code} for record in records])
            changes |= bundle.probabilities(after).argmax(axis=1) != before
        flips = evidence.counterfactuals[column.name]
        assert flips.classes == pytest.approx(changes.mean())
        assert flips.feature == (column in bundle.contract.features) == (flips.most > 0)


def test_mlflow_takes_its_example_under_its_signature(served: Served) -> None:
    contract = served.submission.contract
    example = example_input(served.submission.evidence.frame, contract)
    _enforce_schema(example, model_signature(contract).inputs)
    coded = {column.name for column in contract.asked if column.coded and column.nullable}
    assert all(isinstance(value, str) for name in coded for value in example[name].dropna())


def test_its_examples_keep_a_missing_value_missing(served: Served) -> None:
    examples = json.loads((served.folder / EXAMPLES).read_bytes())
    nullable = {column.name for column in served.submission.contract.features if column.nullable}
    for example in examples:
        missing = {name for name, value in example["record"].items() if value is None}
        assert missing <= nullable
