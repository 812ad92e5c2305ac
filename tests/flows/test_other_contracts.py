"""Contracts unlike the default one go through every stage: bands of a text file, classes without order."""

import json

import numpy as np
import pytest

from data.bundle.bundle import Bundle
from data.bundle.manifest import CARD, EXAMPLES
from data.cohorts.addresses import GENERATORS
from data.contract.contract import load_contract
from data.rows.frames import parse, to_records
from flows.evaluate import gather_evidence
from flows.process import process_records
from flows.registry.bundling import Submission, make_bundle
from flows.registry.registration import example_input, model_signature
from flows.reports.artifacts import metrics_table
from flows.reports.card_json import card_figures
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid

GRID = Grid.model_validate({"families": [{"max_depth": 1, "learning_rate": 0.2, "n_estimators": 60}]})


@pytest.fixture(scope="module", params=["exam_scores", "after_school"])
def submitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Submission:
    name = request.param
    settings = Settings(home=tmp_path_factory.mktemp(name), folds=2, jobs=1, tracking_uri="")
    contract = load_contract(name)
    processed = process_records("cohort://500", contract, settings)
    trained = train_model(processed, contract, GRID, settings)
    evidence = gather_evidence(trained, processed, contract, settings)
    submission = Submission(trained, processed, name, evidence, settings)
    make_bundle(submission)
    return submission


def test_the_bundle_answers_new_students_with_reasons(submitted: Submission) -> None:
    bundle, contract = Bundle.load(submitted.bundle), submitted.contract
    raw = GENERATORS[contract.name].generate(200, seed=77)
    records = [bundle.record.validate_python(r) for r in to_records(parse(raw, contract), contract)]
    rows = bundle.matrix(records)
    truth = GENERATORS[contract.name].true_probabilities(raw)
    assert np.abs(bundle.probabilities(rows) - truth).mean() < 0.1
    assert bundle.explain(rows).shape == (200, len(contract.features))
    assert set(bundle.answers(bundle.probabilities(rows))[0]["probabilities"]) == set(contract.target.labels)


def test_the_best_possible_figures_are_those_of_its_own_generator(submitted: Submission) -> None:
    best = submitted.evidence.bayes
    assert best is not None
    assert best["log_loss"] < submitted.evidence.metrics["test_log_loss"] + 0.05


def test_agreement_that_forgives_near_misses_is_told_of_ordered_classes_alone(submitted: Submission) -> None:
    ordered = submitted.contract.target.ordered
    assert ("test_qwk" in submitted.evidence.metrics) == ordered
    for told in (metrics_table(submitted.evidence), (submitted.bundle / CARD).read_text(encoding="utf-8")):
        assert ("Quadratic kappa" in told) == ordered
    names = {figure.name for figure in card_figures(submitted.evidence).figures}
    assert ("test_qwk" in names) == ordered


def test_its_flips_are_those_of_records_changed_and_sent_to_the_bundle(submitted: Submission) -> None:
    bundle, evidence = Bundle.load(submitted.bundle), submitted.evidence
    records = to_records(evidence.frame, bundle.contract)
    before = bundle.probabilities(bundle.matrix(records)).argmax(axis=1)
    for column in bundle.contract.audited:
        changes = np.zeros(len(records), dtype=bool)
        for code in column.codes:
            after = bundle.matrix([{**record, column.name: code} for record in records])
            changes |= bundle.probabilities(after).argmax(axis=1) != before
        flips = evidence.flips[column.name]
        assert flips.classes == pytest.approx(changes.mean())
        assert flips.feature == (column in bundle.contract.features) == (flips.most > 0)


def test_mlflow_takes_its_example_under_its_signature(submitted: Submission) -> None:
    from mlflow.models.utils import _enforce_schema

    contract = submitted.contract
    example = example_input(submitted.evidence.frame, contract)
    _enforce_schema(example, model_signature(contract).inputs)
    coded = {column.name for column in contract.asked if column.coded and column.nullable}
    assert all(isinstance(value, str) for name in coded for value in example[name].dropna())


def test_its_examples_keep_a_missing_value_missing(submitted: Submission) -> None:
    examples = json.loads((submitted.bundle / EXAMPLES).read_bytes())
    nullable = {column.name for column in submitted.contract.features if column.nullable}
    for example in examples:
        missing = {name for name, value in example["record"].items() if value is None}
        assert missing <= nullable
