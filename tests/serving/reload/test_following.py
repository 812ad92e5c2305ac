"""The follower, look by look, on a real registry."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from data.bundle.bundle import Bundle
from data.bundle.manifest import BOOSTER, MODEL
from serving.health import Status, describe_error, read_status
from serving.settings import PredictorSettings
from serving.sync.follow import ModelSyncer, last_status
from tests.contract.tampering import seal
from tests.serving.reload.conftest import settings_of
from tests.serving.running import ROOT, wait_until
from tests.serving.variants import Shelf, copy_registry, flip, write_crashing

DAY = 86_400.0


@pytest.fixture
def follower(serving_first: PredictorSettings) -> ModelSyncer:
    """A follower that has found version 1 current."""
    follower = started(serving_first)
    follower.look(0)
    assert (follower.status.state, follower.status.version) == ("ok", "1")
    return follower


def folders(settings: PredictorSettings) -> set[str]:
    """The versions whose bundles are on disk."""
    found = {path.name.partition("-")[0] for path in settings.bundles.iterdir() if path.is_dir()}
    return found - {"current"}


def test_a_moved_alias_is_followed_and_the_previous_bundle_kept(
    follower: ModelSyncer, wanted: PredictorSettings, shelf: Shelf, milder: Path, stricter: Path
) -> None:
    versions = [shelf.add(milder), shelf.add(stricter)]
    for version in versions:
        shelf.seat(version)
        follower.look(0)
    assert Bundle.load(wanted.current_bundle).manifest == Bundle.load(stricter).manifest
    assert folders(wanted) == set(versions)
    status = read_status(wanted.bundles)
    assert (status.state, status.version, status.ok, status.refused) == ("ok", versions[1], 2, 0)


def test_while_nothing_changes_what_is_on_disk_stays_unless_it_is_gone_or_damaged(
    follower: ModelSyncer, wanted: PredictorSettings
) -> None:
    before = wanted.current_bundle.lstat()
    follower.look(1)
    after = wanted.current_bundle.lstat()  # whose time of reading may be another
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert follower.status.ok == 0
    shutil.rmtree(wanted.current_bundle.resolve())
    follower.look(0)
    assert (wanted.current_bundle / BOOSTER).is_file()
    flip(wanted.current_bundle / MODEL, 100)
    started(wanted).look(0)
    Bundle.load(wanted.current_bundle)


def test_a_rollback_takes_the_bundle_that_is_still_there(
    follower: ModelSyncer, wanted: PredictorSettings, shelf: Shelf, milder: Path
) -> None:
    first = wanted.current_bundle.resolve()
    made = first.stat().st_ctime_ns
    shelf.seat(shelf.add(milder))
    follower.look(0)
    shelf.seat("1")
    follower.look(0)
    assert wanted.current_bundle.resolve() == first
    assert first.stat().st_ctime_ns == made


def test_wrong_bytes_leave_the_last_good_bundle_are_told_and_tried_again_later(
    follower: ModelSyncer, wanted: PredictorSettings, shelf: Shelf, milder: Path
) -> None:
    version = shelf.add(milder)
    flip(shelf.stored(version) / MODEL, 100)
    shelf.seat(version)
    follower.look(0)
    status = read_status(wanted.bundles)
    assert (status.state, status.version, status.refused) == ("degraded", "1", 1)
    why = "model.onnx: the bytes are not those that were registered"
    assert (status.wanted, status.error) == (version, f"version {version} was refused: {why}")
    assert folders(wanted) == {"1"}
    flip(shelf.stored(version) / MODEL, 100)
    follower.look(0.01)
    assert follower.status.refused == 1, "too early for another try"
    assert follower.status.error
    follower.look(DAY)
    assert (follower.status.state, follower.status.version) == ("ok", version)
    assert (follower.status.ok, follower.status.refused) == (1, 1)


def otherwise(whole: Path, other: Path, folder: Path) -> Path:
    """Write a bundle whose model is another one's."""
    shutil.copytree(whole, folder)
    shutil.copyfile(other / MODEL, folder / MODEL)
    seal(folder, MODEL)
    return folder


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda whole, _, folder: write_crashing(whole, folder), "trying it crashed the process (SIGSEGV)"),
        (otherwise, "its examples are answered"),
    ],
)
def test_a_bundle_that_crashes_or_answers_otherwise_is_refused_by_a_process_of_its_own(
    follower: ModelSyncer,
    wanted: PredictorSettings,
    shelf: Shelf,
    milder: Path,
    bundle_folder: Path,
    tmp_path: Path,
    write: Callable[[Path, Path, Path], Path],
    says: str,
) -> None:
    version = shelf.add(write(bundle_folder, milder, tmp_path / "spoilt"))
    shelf.seat(version)
    follower.look(0)
    assert str(follower.status.error).startswith(f"version {version} was refused: {says}")
    assert str(tmp_path) not in str(follower.status.error), "no path of the machine is told"
    assert folders(wanted) == {"1"}


def test_a_registry_that_is_away_is_told_and_then_followed_again(
    follower: ModelSyncer, shelf: Shelf, wanted: PredictorSettings
) -> None:
    registry = shelf.file
    registry.rename(registry.with_name("away"))
    follower.look(0)
    assert read_status(wanted.bundles).state == "degraded"
    assert "there is no registry yet" in str(follower.status.error)
    assert not registry.exists(), "looking makes none"
    registry.with_name("away").rename(registry)
    follower.look(0)
    assert follower.status.error is None


@pytest.mark.parametrize("content", [b"", b"not a database, but text" * 100])
def test_a_registry_that_is_none_yet_is_left_alone(tmp_path: Path, content: bytes) -> None:
    registry = tmp_path / "mlflow.db"
    registry.write_bytes(content)
    follower = started(settings_of(tmp_path, ""))
    follower.look(0)
    assert follower.status.state == "no model"
    assert registry.read_bytes() == content, "MLflow would have begun to migrate it"


def test_a_server_that_is_away_is_told_without_its_password(wanted: PredictorSettings) -> None:
    away = wanted.model_copy(update={"tracking_uri": "http://user:secret@127.0.0.1:9"})
    follower = started(away)
    follower.look(0)
    assert follower.status.state == "no model"
    assert "cannot be had" in str(follower.status.error)
    assert "secret" not in str(follower.status.error)


def test_a_plain_folder_is_followed_when_its_files_change(
    wanted: PredictorSettings, bundle_folder: Path, milder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle_folder, tmp_path / "mine"))
    follower = started(wanted.model_copy(update={"model_uri": str(folder)}))
    follower.look(0)
    shutil.copyfile(milder / MODEL, folder / MODEL)
    follower.look(0)
    assert follower.status.state == "degraded", "half of the new bundle is no bundle"
    shutil.copytree(milder, folder, dirs_exist_ok=True)
    follower.look(0)
    assert (follower.status.state, follower.status.version, follower.status.ok) == ("ok", "local", 2)


def test_the_counters_go_on_after_a_restart(
    wanted: PredictorSettings, shelf: Shelf, milder: Path, stricter: Path
) -> None:
    for switches, bundle in enumerate([milder, stricter], start=1):
        shelf.seat(shelf.add(bundle))
        with following(wanted) as process:
            wait_until(partial(switched, wanted, switches), "the bundle is current")
            process.terminate()
            assert process.wait(60) == 0
    assert read_status(wanted.bundles).state == "ok"


def test_it_starts_anew_when_another_registry_is_in_the_place_of_the_old_one(
    serving_first: PredictorSettings, shelf: Shelf
) -> None:
    (serving_first.home / "backup").mkdir()
    folders = (serving_first.home, serving_first.home / "backup")
    registry, restored = (copy_registry(shelf.file, folder).file for folder in folders)
    own = serving_first.model_copy(update={"tracking_uri": ""})
    with following(own) as process:
        wait_until(lambda: read_status(own.bundles).checked is not None, "it has looked")
        restored.replace(registry)
        assert process.wait(60) == 0


def test_a_second_follower_waits_for_the_first_to_end(wanted: PredictorSettings) -> None:
    with following(wanted) as first, following(wanted) as second:
        wait_until(lambda: read_status(wanted.bundles).checked is not None, "a model is current")
        first.kill()
        first.wait()
        killed = datetime.now(UTC)
        wait_until(lambda: read_status(wanted.bundles).checked > killed, "the second takes over")
        assert second.poll() is None


def switched(settings: PredictorSettings, times: int) -> bool:
    return read_status(settings.bundles).ok == times


def started(settings: PredictorSettings) -> ModelSyncer:
    """A follower as its process starts it."""
    return ModelSyncer(settings, last_status(settings))


@contextmanager
def following(settings: PredictorSettings) -> Iterator[subprocess.Popen[bytes]]:
    """Run a follower's process, which does not outlive the block."""
    own = {
        "GRADECAST_HOME": str(settings.home),
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "GRADECAST_MODEL_URI": settings.model_uri,
        "GRADECAST_SYNC_SECONDS": "0.1",
    }
    command = [sys.executable, "-m", "serving.sync.follow"]
    environment = {**os.environ, **own}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("content", ["", "{", '{"ok": "many"}', "[]"])
def test_a_status_that_cannot_be_read_is_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path) == Status()


def test_a_status_is_plain_json_for_whoever_looks(follower: ModelSyncer, wanted: PredictorSettings) -> None:
    status = json.loads((wanted.bundles / "status.json").read_text())
    assert {"state", "wanted", "version", "since", "checked", "error", "ok", "refused"} == set(status)


def test_an_error_is_told_in_one_line_without_credentials() -> None:
    error = ValueError("cannot reach\n postgresql+psycopg://school:p@ss@db/log")
    assert describe_error(error) == "cannot reach postgresql+psycopg://db/log"
