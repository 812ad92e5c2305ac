"""What is old and can be made again goes; what is in use, new or a person's own stays."""

import os
import shutil
import time
from pathlib import Path

import pytest

from data.errors import BadInput
from flows.backup import forget
from flows.processing.processed import Processed
from flows.prune import main
from flows.registry.bundling import Submission
from flows.registry.registration import Registered
from flows.settings import Settings

OLD = 200 * 86_400


def put(path: Path, *, old: bool) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return age(path) if old else path


def age(path: Path) -> Path:
    then = time.time() - OLD
    os.utime(path, (then, then))
    return path


@pytest.fixture
def home(
    registered: Registered,
    submission: Submission,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A state folder of its own with the session's registry, and the champion's records in it."""
    assert registered.promoted
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.mlflow_uri)
    in_use = submission.processed.folder
    shutil.copytree(in_use, tmp_path / "processed" / in_use.name)
    age(tmp_path / "processed" / in_use.name)
    return tmp_path


def test_old_reports_candidates_and_records_that_nothing_is_learned_from_any_more_go(
    home: Path, processed: Processed, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = [
        put(home / "reports" / "drift-old.html", old=True),
        put(home / "evidently" / "project" / "snapshots" / "a.json", old=True),
        put(home / "retraining" / "grade_class-1.parquet", old=True),
        age(put(home / "candidates" / "grade_class-1" / "model.onnx", old=False).parent),
        age(put(home / "processed" / "grade_class-1" / "rows.parquet", old=False).parent),
    ]
    stay = [
        put(home / "reports" / "drift-new.html", old=False),
        put(home / "scores" / "class.csv", old=True),
        put(home / "predictions.db", old=True),
        home / "processed" / processed.folder.name,
    ]
    assert main(["--look"]) == 0
    assert all(path.exists() for path in gone)
    assert main([]) == 0
    assert [path for path in gone if path.exists()] == []
    assert [path for path in stay if not path.exists()] == []
    assert "5 things older than 180 days" in capsys.readouterr().out


def test_no_number_of_days_is_bad_input(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert home.exists()
    assert main(["--days", "0"]) == 2
    assert "0 is no number of days" in capsys.readouterr().out


def test_so_many_backups_are_kept_the_newest(tmp_path: Path) -> None:
    for day in ("20261101-010000", "20261102-010000", "20261103-010000"):
        put(tmp_path / f"gradecast-{day}" / "manifest.json", old=False)
    put(tmp_path / "notes" / "mine.txt", old=False)
    assert [path.name for path in forget(tmp_path, 2)] == ["gradecast-20261101-010000"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gradecast-20261102-010000",
        "gradecast-20261103-010000",
        "notes",
    ]
    with pytest.raises(BadInput, match="0 backups"):
        forget(tmp_path, 0)
