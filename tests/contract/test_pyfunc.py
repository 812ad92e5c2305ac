"""The registered model answers raw records through MLflow as its bundle does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server import invocations

from data.bundle.bundle import Bundle
from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.frames import matrix, parse, to_records
from flows.registry.registration import Registered
from flows.registry.store import point_mlflow_at
from flows.settings import Settings


@pytest.fixture(scope="module")
def model(registered: Registered, settings: Settings) -> Any:
    """The champion, loaded by its alias."""
    point_mlflow_at(settings.mlflow_uri)
    return mlflow.pyfunc.load_model(f"models:/{registered.name}@champion")


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    """Raw records of students that the model has not seen, with their outcome withheld."""
    return cohort.generate(50, seed=9).drop(columns=["StudentID", "GPA", "GradeClass"])


def test_the_champion_predicts_raw_records_as_its_bundle_does(
    model: Any, raw: pd.DataFrame, bundle: Bundle, grade_class: Contract
) -> None:
    found = model.predict(raw)
    answers = bundle.answers(
        bundle.probabilities(matrix(parse(raw, grade_class, labelled=False), grade_class))
    )
    assert found["grade_class"].tolist() == [answer["grade_class"] for answer in answers]
    assert found["grade_set"].tolist() == [answer["grade_set"] for answer in answers]
    for label in grade_class.target.labels:
        expected = [answer["probabilities"][label] for answer in answers]
        np.testing.assert_array_equal(found[f"probability_{label}"], expected)


def test_a_column_may_say_how_much_of_the_period_has_passed(
    model: Any, raw: pd.DataFrame, bundle: Bundle, grade_class: Contract
) -> None:
    passed = np.where(np.arange(len(raw)) % 2, 0.25, 1.0)
    found = model.predict(raw.assign(elapsed=np.where(passed < 1, passed, np.nan)))
    features = matrix(parse(raw, grade_class, labelled=False), grade_class)
    answers = bundle.answers(bundle.probabilities(features, passed), passed)
    assert found["at_risk"].tolist() == [answer["at_risk"] for answer in answers]
    assert found["grade_set"].tolist() == [answer["grade_set"] for answer in answers]
    with pytest.raises(Exception, match="elapsed: out of range"):
        model.predict(raw.assign(elapsed=0.0))


def test_forecasts_keep_the_order_and_the_index_of_the_records(model: Any, raw: pd.DataFrame) -> None:
    mixed = raw.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(model.predict(mixed), model.predict(raw).loc[mixed.index])


def test_audit_columns_may_be_left_out_and_change_nothing(
    model: Any, raw: pd.DataFrame, grade_class: Contract
) -> None:
    without = raw.drop(columns=[column.name for column in grade_class.audit])
    pd.testing.assert_frame_equal(model.predict(without), model.predict(raw))


def test_json_records_are_answered_as_frames_are(
    model: Any, raw: pd.DataFrame, grade_class: Contract
) -> None:
    records = to_records(parse(raw, grade_class, labelled=False), grade_class)
    np.testing.assert_array_equal(
        model.predict(pd.DataFrame(records))["probability_A"], model.predict(raw)["probability_A"]
    )


def test_labels_are_answered_as_their_codes_are_by_a_scoring_server_too(
    model: Any, raw: pd.DataFrame, grade_class: Contract
) -> None:
    coded = [column for column in grade_class.asked if column.coded]
    labelled = raw.assign(**{column.name: raw[column.name].map(column.codes) for column in coded})
    assert labelled["Gender"].isin(["Male", "Female"]).all()
    pd.testing.assert_frame_equal(model.predict(labelled), model.predict(raw))
    sent = json.dumps({"dataframe_split": json.loads(labelled.head(3).to_json(orient="split"))})
    served = invocations(sent, "application/json", model, model.metadata.get_input_schema())
    assert (served.status, len(json.loads(served.response)["predictions"])) == (200, 3)
    assert json.loads(served.response)["predictions"][0]["grade_set"]


@pytest.mark.filterwarnings("ignore")  # MLflow's own, on how it draws its figures
def test_mlflow_evaluates_the_registered_model_as_the_classifier_that_it_is(
    registered: Registered, model: Any, settings: Settings
) -> None:
    graded = cohort.generate(200, seed=9)
    asked = graded.drop(columns=["StudentID", "GPA", "GradeClass"])
    letters = graded["GradeClass"].astype(int).map(dict(enumerate("ABCDF")))
    point_mlflow_at(settings.mlflow_uri)
    with mlflow.start_run(experiment_id=registered.experiment):
        found = mlflow.models.evaluate(
            f"models:/{registered.name}@champion",
            asked.assign(letter=letters),
            targets="letter",
            model_type="classifier",
            model_config={"only": "grade_class"},
        )
    expected = (model.predict(asked)["grade_class"] == letters).mean()
    assert found.metrics["accuracy_score"] == pytest.approx(expected)


def test_bad_rows_are_named_with_every_reason(model: Any, raw: pd.DataFrame) -> None:
    bad = raw.copy()
    bad.loc[3, "Absences"] = 99
    bad.loc[7, ["StudyTimeWeekly", "ParentalSupport"]] = [-1, 9]
    with pytest.raises(BadInput) as refusal:
        model.predict(bad)
    assert str(refusal.value) == (
        "row 5: Absences: out of range; row 9: ParentalSupport: unknown code; StudyTimeWeekly: out of range. "
        "Mend or leave out these rows (the header counts as row 1)."
    )


def test_of_many_bad_rows_the_first_twenty_are_named(model: Any, raw: pd.DataFrame) -> None:
    with pytest.raises(BadInput, match=r"row 21: Absences: out of range; and 30 more\."):
        model.predict(raw.assign(Absences=99))


def test_a_missing_value_is_refused_where_the_contract_does_not_allow_it(
    model: Any, raw: pd.DataFrame
) -> None:
    bad = raw.copy()
    bad.loc[0, "StudyTimeWeekly"] = np.nan
    with pytest.raises(BadInput, match="row 2: StudyTimeWeekly: missing"):
        model.predict(bad)


def test_a_missing_column_is_refused(model: Any, raw: pd.DataFrame) -> None:
    with pytest.raises(mlflow.MlflowException, match="Absences"):
        model.predict(raw.drop(columns="Absences"))


def test_the_model_brings_the_code_that_it_needs_and_no_other(
    model: Any, raw: pd.DataFrame, registered: Registered, settings: Settings, tmp_path: Path
) -> None:
    raw.to_json(tmp_path / "raw.json", orient="records")
    elsewhere = (
        "import json, sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "found = model.predict(pd.read_json('raw.json', orient='records'))\n"
        "code = {m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'data'}\n"
        "print(json.dumps([found['at_risk'].tolist(), sorted(filter(None, code))]))\n"
    )
    command = [sys.executable, "-c", elsewhere, f"models:/{registered.name}@champion"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": settings.mlflow_uri, "PYTHONPATH": ""}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    risks, code = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(risks, model.predict(raw)["at_risk"], atol=1e-6)
    (package,) = {next(up for up in Path(file).parents if up.name == "data") for file in code}
    assert package.is_relative_to(settings.home)
    assert {folder.name for folder in package.iterdir() if folder.is_dir()} - {"__pycache__"} == {
        "bundle",
        "contract",
        "rows",
    }
