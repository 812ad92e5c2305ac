"""What a power failure may leave: files empty, cut or flipped. The next run mends them or says what to do."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from data.contract.contract import Contract
from data.errors import Stopped
from flows.process import process_records
from flows.processing.processed import PARSED
from flows.registry.bundling import Submission
from flows.registry.registration import Registered
from flows.registry.store import TRAINED, load_version, open_registry
from flows.runtime.workspace import SEAL, fault_of, finished_folder
from flows.scoring.parts import SUFFIX, PartScorer, score_part
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid
from tests.contract.logged import STUDENT

Damage = Callable[[Path], object]


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: list[Damage] = [empty, cut, flip, Path.unlink]


@pytest.fixture
def home(tmp_path: Path, submission: Submission, settings: Settings) -> Settings:
    """Settings of a home that has what the session's run left."""
    for place in ("processed", "candidates"):
        shutil.copytree(settings.home / place, tmp_path / place, ignore=shutil.ignore_patterns(".drafts"))
    return settings.model_copy(update={"home": tmp_path})


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def write_some(draft: Path) -> None:
    (draft / "inner").mkdir()
    (draft / "inner" / "model").write_bytes(b"model" * 100)
    (draft / "summary").write_bytes(b"summary" * 100)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["inner/model", "summary", SEAL])
def test_a_damaged_folder_is_made_anew_and_what_was_there_is_kept(
    tmp_path: Path,
    name: str,
    damage: Damage,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A library that sets logging up for itself may have switched off the loggers that were there before.
    monkeypatch.setattr(logging.getLogger("gradecast.workspace"), "disabled", False)
    caplog.set_level(logging.WARNING, "gradecast.workspace")
    final = tmp_path / "final"
    assert finished_folder(final, write_some)
    damage(final / name)
    left = {path.name: path.read_bytes() for path in files_of(final)}
    assert finished_folder(final, write_some)
    assert fault_of(final) is None
    assert not finished_folder(final, write_some)
    assert {path.name: path.read_bytes() for path in files_of(tmp_path / ".damaged" / "final")} == left
    assert "was damaged and is made anew" in caplog.text


def test_a_folder_of_a_release_that_sealed_nothing_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    assert finished_folder(tmp_path / "final", write_some)


def test_a_file_that_somebody_laid_beside_is_no_damage(tmp_path: Path) -> None:
    finished_folder(tmp_path / "final", write_some)
    (tmp_path / "final" / ".~lock.quarantine.csv#").touch()
    assert not finished_folder(tmp_path / "final", write_some)


def test_damaged_processed_records_are_processed_anew(
    home: Settings, submission: Submission, grade_class: Contract
) -> None:
    whole = submission.processed.folder / PARSED
    cut(home.home / "processed" / submission.processed.folder.name / PARSED)
    processed = process_records("cohort://600", grade_class, home)
    assert not processed.reused
    assert (processed.folder / PARSED).read_bytes() == whole.read_bytes()
    assert process_records("cohort://600", grade_class, home).reused


def test_a_damaged_candidate_is_trained_anew_and_not_registered(
    home: Settings,
    submission: Submission,
    grade_class: Contract,
    small_grid: Grid,
) -> None:
    whole = submission.trained.folder
    flip(home.home / "candidates" / whole.name / "booster.ubj")
    trained = train_model(submission.processed, grade_class, small_grid, home)
    assert not trained.reused
    assert (trained.folder / "booster.ubj").read_bytes() == (whole / "booster.ubj").read_bytes()


def test_a_registry_that_is_an_empty_file_is_made_anew(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "mlflow.db").touch()
    client = open_registry(settings.model_copy(update={"home": tmp_path}))
    assert client.search_registered_models() == []


@pytest.mark.parametrize("damage", [empty, cut, Path.unlink])
def test_a_version_whose_students_cannot_be_read_stops_with_a_remedy(
    registered: Registered, settings: Settings, damage: Damage
) -> None:
    client = open_registry(settings)
    place = client.get_run(registered.run_id).info.artifact_uri.removeprefix("file://")
    lineage = Path(place) / TRAINED
    whole = lineage.read_bytes()
    damage(lineage)
    try:
        with pytest.raises(Stopped, match=r"cannot be read.*Restore its artifacts"):
            load_version(client, registered.name, registered.version)
    finally:
        lineage.write_bytes(whole)


@pytest.mark.parametrize("damage", [empty, cut])
def test_a_damaged_part_of_a_roster_is_scored_anew(
    bundle_folder: Path, tmp_path: Path, damage: Damage
) -> None:
    chunk = pa.table({name: [str(value)] * 50 for name, value in STUDENT.items()})
    scorer = PartScorer(bundle_folder, "1", "a key of the test's")
    first = score_part(tmp_path, 0, chunk, scorer)
    (part,) = tmp_path.glob(f"*{SUFFIX}")
    damage(part)
    again = score_part(tmp_path, 0, chunk, scorer)
    assert not again.reused
    assert again.read().num_rows == 50
    assert score_part(tmp_path, 0, chunk, scorer).reused
    assert first.path == again.path
