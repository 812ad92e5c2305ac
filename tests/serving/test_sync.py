"""serving.sync: from a registry or a folder to a verified bundle on disk."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data.bundle.manifest import FILES, MANIFEST, MODEL, REFERENCE, BundleError
from data.durable import digest
from data.errors import BadInput
from flows.registry.registration import Registered
from flows.settings import Settings
from serving.settings import PredictorSettings
from serving.sync.__main__ import main
from serving.sync.bring import sync
from tests.serving.running import PYTHON, ROOT
from tests.serving.variants import copy_registry, flip

Make = Callable[..., PredictorSettings]


@pytest.fixture(autouse=True)
def serving_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bundles be tried in the environment that `make serve` runs in."""
    monkeypatch.setattr(sys, "executable", PYTHON)


def current(settings: PredictorSettings) -> str:
    """The name of the bundle that is served."""
    return settings.current_bundle.readlink().name


@pytest.fixture
def home_with_registry(tmp_path: Path, settings: Settings, registered: Registered) -> dict[str, object]:
    """Variables that name an empty home and the session's registry."""
    return {"GRADECAST_HOME": tmp_path, "MLFLOW_TRACKING_URI": settings.mlflow_uri}


@pytest.mark.parametrize("model", ["grade-class@champion", "grade-class/1", "grade-class/latest"])
def test_a_registered_model_is_served_under_its_version(
    home_with_registry: dict[str, object], settings_for: Make, model: str
) -> None:
    wanted = settings_for(**home_with_registry, GRADECAST_MODEL_URI=f"models:/{model}")
    folder = sync(wanted)
    assert folder.name.startswith("1-")
    assert current(wanted) == folder.name
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in wanted.current_bundle.iterdir()
    )


def test_no_student_comes_along_with_a_model(
    home_with_registry: dict[str, object], bundle_folder: Path, settings_for: Make
) -> None:
    registered = settings_for(**home_with_registry)
    for wanted in (registered, registered.model_copy(update={"model_uri": str(bundle_folder)})):
        folder = sync(wanted)
        assert {path.name for path in folder.iterdir()} == {*FILES, MANIFEST} - {REFERENCE}
        assert digest(folder / MANIFEST) == digest(bundle_folder / MANIFEST)


def test_what_is_brought_is_nobody_elses_to_read(tmp_path: Path, bundle_folder: Path) -> None:
    home = tmp_path / "home"
    (home / "bundle").mkdir(parents=True, mode=0o755)  # as an earlier release left it
    home.chmod(0o755)
    named = {"GRADECAST_HOME": str(home), "GRADECAST_MODEL_URI": str(bundle_folder)}
    command = [PYTHON, "-m", "serving.sync"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **named}, check=True, umask=0o022)
    found = [home, *(path for path in home.rglob("*") if path != home / "bundle" and not path.is_symlink())]
    assert len(found) > len(FILES)
    assert [path for path in found if path.stat().st_mode & 0o077] == []


def test_a_second_sync_copies_nothing_but_mends_and_clears_what_it_meets(
    tmp_path: Path, bundle_folder: Path, settings_for: Make
) -> None:
    wanted = settings_for(GRADECAST_HOME=tmp_path, GRADECAST_MODEL_URI=bundle_folder)
    model = sync(wanted) / MODEL
    before = model.stat()
    shutil.copy(bundle_folder / REFERENCE, model.parent)  # students, whom an earlier release fetched
    half = wanted.bundles / ".drafts" / "bundle"  # of a sync that was killed
    half.mkdir(parents=True)
    (half / MODEL).write_bytes(b"half of a mod")
    folder = sync(wanted)
    after = model.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert not (folder / REFERENCE).exists()
    assert {path.name for path in wanted.bundles.iterdir()} == {folder.name, "current", ".lock"}
    model.write_bytes(b"damaged")
    assert (sync(wanted) / MODEL).read_bytes() == (bundle_folder / MODEL).read_bytes()


def test_a_spoilt_bundle_is_refused_and_the_last_good_one_stays(
    tmp_path: Path, settings_for: Make, bundle_folder: Path
) -> None:
    own_copy = Path(shutil.copytree(bundle_folder, tmp_path / "bundle-to-spoil"))
    wanted = settings_for(GRADECAST_HOME=tmp_path / "home", GRADECAST_MODEL_URI=own_copy)
    sync(wanted)
    good, before = current(wanted), set(wanted.bundles.iterdir())
    flip(own_copy / MODEL, 100)
    manifest = own_copy / MANIFEST
    manifest.write_text(manifest.read_text() + "\n")  # another digest, so that it counts as a new bundle
    with pytest.raises(BundleError):
        sync(wanted)
    assert current(wanted) == good
    assert set(wanted.bundles.iterdir()) == before


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("models:/grade-class@champion", "no registry yet"),
        ("models:/grade-class", "models:/NAME@ALIAS"),
        ("/no/such/folder", "no such folder"),
    ],
)
def test_a_model_that_is_not_there_is_said_with_a_remedy(
    tmp_path: Path, settings_for: Make, uri: str, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        sync(settings_for(GRADECAST_HOME=tmp_path, GRADECAST_MODEL_URI=uri))
    assert not list(tmp_path.iterdir()), "asking changes nothing"


@pytest.mark.parametrize("model", ["grade-class@nobody", "grade-class/99", "other@champion", "other/latest"])
def test_a_version_that_the_registry_does_not_have_is_said(
    home_with_registry: dict[str, object], settings_for: Make, model: str
) -> None:
    wanted = settings_for(**home_with_registry, GRADECAST_MODEL_URI=f"models:/{model}")
    with pytest.raises(BadInput, match="make pipeline"):
        sync(wanted)


def test_the_command_says_in_one_line_what_it_would_bring_and_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    assert main(["--uri"]) == main(["--contract", "pass_fail", "--uri"]) == 0
    assert capsys.readouterr().out == "models:/grade-class@champion\nmodels:/pass-fail@champion\n"
    assert main(["--contract", "pass_fail"]) == 2
    assert capsys.readouterr().err.startswith("sync: there is no registry yet")


def test_a_folder_that_is_no_bundle_is_not_copied(tmp_path: Path, settings_for: Make) -> None:
    (tmp_path / "anything").mkdir()
    (tmp_path / "anything" / "large.bin").write_bytes(b"x")
    wanted = settings_for(GRADECAST_HOME=tmp_path / "home", GRADECAST_MODEL_URI=tmp_path / "anything")
    with pytest.raises(BundleError, match=r"no bundle there \(manifest.json is missing\)"):
        sync(wanted)


def test_a_version_that_nobody_sealed_is_refused(
    tmp_path: Path, settings: Settings, registered: Registered, settings_for: Make
) -> None:
    shelf = copy_registry(settings.home / "mlflow.db", tmp_path)
    version = shelf.client.create_model_version("grade-class", tmp_path.as_uri()).version
    uri = f"models:/grade-class/{version}"
    wanted = settings_for(GRADECAST_HOME=tmp_path, MLFLOW_TRACKING_URI=shelf.uri, GRADECAST_MODEL_URI=uri)
    with pytest.raises(BadInput, match="has no manifest_sha256 tag"):
        sync(wanted)
