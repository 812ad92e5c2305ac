"""The processes beside the workers, and what is answered while they have trouble."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.settings import PredictorSettings
from serving.sync.bring import sync
from tests.serving.running import Running, alive, answers, running, serve, wait_until
from tests.serving.variants import write_crashing

Student = dict[str, Any]


@pytest.fixture(scope="module")
def bundle_link(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models that the predictor follows: a link that tests point elsewhere."""
    return tmp_path_factory.mktemp("followed") / "bundle"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bundle_link: Path) -> Iterator[Running]:
    """A predictor that was started before there was any model."""
    with running(tmp_path_factory.mktemp("beside"), GRADECAST_MODEL_URI=bundle_link) as server:
        yield server


def point(link: Path, folder: Path) -> None:
    new = link.with_name("new")
    new.symlink_to(folder)
    new.replace(link)


@pytest.fixture
def with_model(server: Running, bundle_link: Path, bundle_folder: Path) -> Running:
    """The same predictor, with the session's model."""
    point(bundle_link, bundle_folder)
    wait_until(lambda: server.ready()[1]["status"] == "ok", "the model is served")
    return server


def test_without_a_model_it_says_what_to_do_and_serves_the_first_that_comes(
    server: Running, bundle_link: Path, bundle_folder: Path, student: Student
) -> None:
    assert server.get("/health/live") == (200, {"status": "ok"})
    for status, answer in (server.ready(), server.post("/predict", student)):
        assert status == 503
        assert "make pipeline" in answer["detail"]
    point(bundle_link, bundle_folder)
    wait_until(lambda: server.ready()[0] == 200, "there is a model")
    wait_until(lambda: server.post("/predict", student)[0] == 200, "all workers have it")


def test_a_crashing_bundle_is_refused_and_the_last_good_one_serves_on(
    with_model: Running, bundle_link: Path, bundle_folder: Path, tmp_path: Path, student: Student
) -> None:
    workers = with_model.workers()
    point(bundle_link, write_crashing(bundle_folder, tmp_path / "crashing"))
    wait_until(lambda: with_model.ready()[1]["status"] == "degraded", "the bundle is refused")
    status, answer = with_model.ready()
    assert (status, answer["model_version"]) == (200, "local")
    assert "SIGSEGV" in answer["detail"]
    assert with_model.post("/predict?explain=true", student)[0] == 200
    assert with_model.workers() == workers


def test_a_source_that_is_gone_degrades_until_it_is_back(
    with_model: Running, bundle_link: Path, bundle_folder: Path, student: Student
) -> None:
    bundle_link.unlink()
    wait_until(lambda: with_model.ready()[1]["status"] == "degraded", "the loss is told")
    assert with_model.post("/predict", student)[0] == 200
    point(bundle_link, bundle_folder)
    wait_until(lambda: with_model.ready()[1]["status"] == "ok", "it is found again")


@pytest.mark.parametrize("module", ["serving.sync.follow", "serving.drain"])
def test_a_process_beside_the_workers_that_is_killed_is_started_again(
    with_model: Running, module: str
) -> None:
    (first,) = with_model.beside(module)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: with_model.beside(module) not in ([], [first]), "another is there")
    assert with_model.ready()[0] == 200


def test_a_killed_worker_is_replaced_by_one_that_has_the_model(with_model: Running, student: Student) -> None:
    before = with_model.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(with_model.workers()) - {before[0]}) == len(before), "another is there")
    assert all(with_model.post("/predict", student)[0] == 200 for _ in range(10))


def test_a_reload_of_the_settings_keeps_one_of_each_beside(with_model: Running) -> None:
    followers, workers = with_model.beside("serving.sync.follow"), with_model.workers()
    with_model.master.send_signal(signal.SIGHUP)
    wait_until(lambda: not set(with_model.workers()) & set(workers), "the workers are new")
    assert with_model.beside("serving.sync.follow") == followers


def test_nothing_is_left_when_the_master_is_killed(
    tmp_path: Path, bundle_folder: Path, wanted: PredictorSettings
) -> None:
    folder = {"GRADECAST_MODEL_URI": bundle_folder}
    sync(wanted.model_copy(update={"model_uri": str(bundle_folder)}))
    with serve(wanted.home, tmp_path / "said.txt", folder) as server:
        wait_until(lambda: answers(server), "it answers")
        wait_until(lambda: len(server.workers()) == 2, "both workers are there")
        mine = [*server.workers(), *server.beside("serving.sync.follow"), *server.beside("serving.drain")]
        assert len(mine) == 4
        server.master.kill()
        server.master.wait()
        wait_until(lambda: not any(map(alive, mine)), "all have ended")
