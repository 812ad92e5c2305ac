"""What the release before registered is served, answers the same, and can be rolled back to.

`release_before.tar.xz` is the state folder of that release: two champions of 600 generated students, the
history of both, and in answers.json what it answered with each. It lay in FORMER.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.bundle.bundle import Bundle
from data.log.database import open_log
from data.log.history import read, verify
from flows.registry.rollout import roll_back
from flows.settings import Settings
from serving.settings import PredictorSettings
from serving.sync.bring import sync

ARCHIVE = Path(__file__).with_name("release_before.tar.xz")
FORMER = "/home-of-before"
PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder, as if it had always been here."""
    home = tmp_path_factory.mktemp("before")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(home, filter="data")
    with closing(sqlite3.connect(home / "mlflow.db")) as registry, registry:
        for table, column in PLACES.items():
            registry.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (FORMER, str(home)))
    for model in home.rglob("MLmodel"):
        model.write_text(model.read_text().replace(FORMER, str(home)))
    return home


def served(home: Path) -> str:
    """Sync the champion, compare what it answers with what it was known to, and return its version."""
    bundle = Bundle.load(sync(PredictorSettings.model_validate({"GRADECAST_HOME": home})))
    bundle.check()
    version = bundle.folder.name.partition("-")[0]
    known = json.loads((home / "answers.json").read_bytes())[version]
    rows = bundle.matrix([bundle.record.validate_python(one["record"]) for one in known])
    answers = bundle.answers(bundle.probabilities(rows))
    for answer, one in zip(answers, known, strict=True):
        assert answer.keys() == one["answer"].keys()
        for field in ("grade_class", "grade_class_index", "grade_set"):
            assert answer[field] == one["answer"][field]
        assert answer["at_risk"] == pytest.approx(one["answer"]["at_risk"], abs=1e-6)
        assert answer["probabilities"] == pytest.approx(one["answer"]["probabilities"], abs=1e-6)
    np.testing.assert_allclose(bundle.explain(rows), [one["effects"] for one in known], atol=1e-5)
    return version


def test_what_the_release_before_registered_is_served_and_can_be_rolled_back_to(home: Path) -> None:
    settings = Settings(home=home, tracking_uri="")
    assert served(home) == "2"
    log = open_log(f"sqlite:///{home / 'predictions.db'}")
    assert verify(read(log, "grade-class")) == []
    assert roll_back(settings, "grade-class", None, reason="a test", by="nobody").champion == "1"
    assert served(home) == "1"
    assert [entry.event for entry in read(log, "grade-class")] == ["promoted", "promoted", "rolled back"]
    assert verify(read(log, "grade-class")) == []


def test_its_models_bring_their_own_code_along(home: Path, tmp_path: Path) -> None:
    (one, *_) = json.loads((home / "answers.json").read_bytes())["2"]
    pd.DataFrame([one["record"]]).to_json(tmp_path / "raw.json", orient="records")
    elsewhere = (
        "import sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model('models:/grade-class/2')\n"
        "print(model.predict(pd.read_json('raw.json', orient='records'))['at_risk'][0])\n"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", elsewhere], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) == pytest.approx(one["answer"]["at_risk"], abs=1e-6)
