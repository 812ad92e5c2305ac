"""Several models in one state folder: each predictor answers with the one it was asked for, or not at all."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.bundle.bundle import Bundle
from data.bundle.manifest import MODEL
from data.durable import file_lock
from serving.app import create_app
from serving.health import Status, begin_status, read_status, write_status
from serving.metrics_files import hold_folder
from serving.settings import PredictorSettings
from serving.sync.__main__ import main
from serving.sync.bring import adopt_former, sync
from serving.sync.follow import LOCK
from tests.serving.running import PYTHON, ROOT, Running, answers, serve, wait_until
from tests.serving.variants import Shelf, flip

Student = dict[str, Any]
Make = Callable[..., PredictorSettings]


@contextmanager
def serving(home: Path, bundle: Path) -> Iterator[Running]:
    """Run a predictor of a bundle's folder on a home that others may use too."""
    with serve(home, home / f"{bundle.parent.name}.txt", {"GRADECAST_MODEL_URI": bundle}) as server:
        wait_until(lambda: answers(server), "it answers")
        yield server


def looks_until_ready(server: Running) -> list[tuple[int, Any]]:
    """What a predictor says of itself, look by look, until it has its model."""
    seen: list[tuple[int, Any]] = []

    def is_ready() -> bool:
        seen.append(server.ready())
        return seen[-1][0] == 200

    wait_until(is_ready, "it has its model")
    return seen


def test_two_predictors_on_one_home_answer_each_with_the_model_it_was_asked_for(
    tmp_path: Path, milder: Path, stricter: Path, student: Student
) -> None:
    with serving(tmp_path, milder) as first:
        wait_until(lambda: first.ready()[0] == 200, "the first has its model")
        with serving(tmp_path, stricter) as second:
            seen = looks_until_ready(second)
            for server, bundle in ((first, milder), (second, stricter)):
                opened = Bundle.load(bundle)
                expected = opened.answers(opened.probabilities(opened.matrix([student])))[0]
                assert server.post("/predict", student)[1].items() >= expected.items()
    assert {status for status, _ in seen[:-1]} == {503}, "until then it had no model to answer with"
    assert "make pipeline" in seen[0][1]["detail"]


@pytest.mark.parametrize(
    "uri", ["models:/small@champion", "models:/grade-class@challenger", "models:/grade-class/2", "/no/folder"]
)
def test_what_was_served_before_is_not_served_for_a_model_that_is_not_there(
    synced: PredictorSettings, settings_for: Make, student: Student, uri: str
) -> None:
    client = create_app(settings_for(GRADECAST_HOME=synced.home, GRADECAST_MODEL_URI=uri)).test_client()
    assert [client.get(path).status_code for path in ("/health/ready", "/", "/model")] == [503] * 3
    answer = client.post("/predict", json=student)
    assert answer.status_code == 503
    assert "make pipeline" in answer.get_json()["detail"]


def test_a_model_is_its_address_and_its_registry(settings_for: Make) -> None:
    uris = [
        "grade-class@champion",
        "grade-class@other",
        "grade-class/1",
        "grade-class/latest",
        "exam@champion",
    ]
    registries = ["", "http://one:5000", "http://two:5000"]
    folders = {
        settings_for(GRADECAST_MODEL_URI=f"models:/{uri}", MLFLOW_TRACKING_URI=registry).bundles
        for uri in uris
        for registry in registries
    }
    folders |= {settings_for(GRADECAST_MODEL_URI=f"/bundles/{name}").bundles for name in "ab"}
    assert len(folders) == len(uris) * len(registries) + 2


def test_the_homes_own_registry_and_another_password_make_no_other_model(settings_for: Make) -> None:
    plain = settings_for(GRADECAST_HOME="/var")
    assert plain.bundles == Path("/var/bundle/grade-class@champion")
    assert (
        settings_for(GRADECAST_HOME="/var", MLFLOW_TRACKING_URI=plain.registry_uri).bundles == plain.bundles
    )
    one, two = (settings_for(MLFLOW_TRACKING_URI=f"http://me:{word}@mlflow") for word in ("old", "new"))
    assert one.bundles == two.bundles


def test_it_is_degraded_until_the_follower_has_looked_and_while_a_new_version_is_fetched(
    serving_first: PredictorSettings,
) -> None:
    client = create_app(serving_first).test_client()
    for wanted, status, detail in (("1", "ok", None), ("2", "degraded", "version 2 is being fetched")):
        write_status(serving_first.bundles, Status(wanted=wanted, version="1", checked=datetime.now(UTC)))
        ready = client.get("/health/ready").get_json()
        assert (ready["status"], ready["model_version"], ready.get("detail")) == (status, "1", detail)
        assert "wanted_version" not in ready, "which would say that it was refused"
    begin_status(serving_first.bundles)
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.get_json()["status"]) == (200, "degraded")
    assert "nobody has looked yet" in ready.get_json()["detail"]


@pytest.fixture
def of_before(serving_first: PredictorSettings) -> PredictorSettings:
    """A home as the release before left it: one model, in the folder that holds the models' folders now."""
    own = serving_first.bundles
    write_status(own, Status(wanted="1", version="1", ok=7))
    (own / ".follower").touch()
    for path in list(own.iterdir()):
        path.rename(own.parent / path.name)
    shutil.copytree(own.parent / "current", own.parent / "0-0123456789ab")
    own.rmdir()
    return serving_first


def away(settings: PredictorSettings) -> PredictorSettings:
    """The same settings, with a registry that cannot be had."""
    return settings.model_copy(update={"home": settings.home, "tracking_uri": ""})


def test_what_the_release_before_served_is_served_on_though_the_registry_is_away(
    of_before: PredictorSettings,
) -> None:
    adopt_former(away(of_before))
    own = away(of_before)
    assert create_app(own).test_client().get("/model").get_json()["version"] == "1"
    assert read_status(own.bundles).ok == 7, "its counters go on"
    assert [path.name for path in own.bundles.parent.iterdir()] == [own.bundles.name], "nothing else is left"


def test_what_the_release_before_left_is_not_touched_for_another_model_or_while_it_is_at_work(
    of_before: PredictorSettings,
) -> None:
    before = sorted(of_before.bundles.parent.iterdir())
    for uri in ("models:/exam-scores@champion", "models:/grade-class/2"):
        other = of_before.model_copy(update={"model_uri": uri})
        adopt_former(other)
        assert not other.bundles.exists()
    with file_lock(of_before.bundles.parent / LOCK):
        adopt_former(of_before)
    assert sorted(of_before.bundles.parent.iterdir()) == before
    flip(of_before.bundles.parent / "current" / MODEL, 100)
    adopt_former(of_before)
    assert not of_before.current_bundle.exists(), "a damaged one is not taken over"


def test_taking_over_is_gone_on_with_after_a_kill(of_before: PredictorSettings) -> None:
    of_before.bundles.mkdir()
    of_before.current_bundle.symlink_to((of_before.bundles.parent / "current").readlink())
    adopt_former(of_before)
    Bundle.load(of_before.current_bundle)
    assert not (of_before.bundles.parent / "current").is_symlink()


def test_a_bundle_is_copied_for_an_image_wherever_it_lies(
    serving_first: PredictorSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shelf: Shelf
) -> None:
    monkeypatch.setenv("GRADECAST_HOME", str(serving_first.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shelf.uri)
    target = tmp_path / "build" / "bundle"
    assert main(["--copy-to", str(target)]) == 0
    assert Bundle.load(target).manifest == Bundle.load(sync(serving_first)).manifest
    assert main(["--copy-to", str(target)]) == 2, "what is there is not written over"


def test_a_second_predictor_on_the_same_port_says_who_has_it_and_touches_nothing_of_the_first(
    tmp_path: Path, bundle_folder: Path, student: Student
) -> None:
    with serving(tmp_path, bundle_folder) as first:
        wait_until(lambda: first.post("/predict", student)[0] == 200, "it forecasts")
        counted = sorted((tmp_path / "metrics").rglob("*.db"))
        said = tmp_path / "second.txt"
        with serve(tmp_path, said, {"GRADECAST_MODEL_URI": bundle_folder, "PORT": first.port}) as second:
            assert second.master.wait(60) == 1
        assert f"process {first.master.pid}, since " in said.read_text()
        assert "give this one another PORT" in said.read_text()
        assert sorted((tmp_path / "metrics").rglob("*.db")) == counted
        assert 'gradecast_requests_total{route="/predict",status="200"}' in first.text("/metrics")


def test_a_predictor_that_was_killed_holds_its_port_no_longer(tmp_path: Path) -> None:
    folder = tmp_path / "metrics" / "9696"
    hold = f"""
import os
from pathlib import Path
from serving.metrics_files import hold_folder
held = hold_folder(Path({str(folder)!r}), "of before")
os.kill(os.getpid(), 9)
"""
    subprocess.run([PYTHON, "-c", hold], cwd=ROOT, check=False)
    with hold_folder(folder, "of now") as held:
        held.seek(0)
        assert held.read() == f"process {os.getpid()}, of now"
