"""What a worker does when the current bundle changes under it."""

import gc
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.bundle.bundle import Bundle
from data.bundle.manifest import MODEL, BundleError
from serving.predictor import CurrentPredictor
from serving.settings import PredictorSettings
from serving.sync.bring import sync
from tests.serving.running import wait_until
from tests.serving.variants import Shelf, flip

Student = dict[str, Any]


@pytest.fixture
def current(serving_first: PredictorSettings) -> CurrentPredictor:
    """A worker's predictor, on version 1."""
    return CurrentPredictor(serving_first.current_bundle)


def test_it_answers_with_the_new_bundle_by_itself(
    current: CurrentPredictor, wanted: PredictorSettings, shelf: Shelf, milder: Path, student: Student
) -> None:
    before = current.get()
    assert before.version == "1"
    version = shelf.add(milder)
    shelf.seat(version)
    sync(wanted)
    wait_until(lambda: current.get().version == version, "the bundle is swapped")
    opened = Bundle.load(milder)
    expected = opened.answers(opened.probabilities(opened.matrix([student])))[0]
    answer = current.get().predict([student])[0]
    assert answer.items() >= expected.items()
    assert before.predict([student])[0]["probabilities"] != answer["probabilities"], "who has it keeps it"


def test_without_a_model_it_says_so_and_who_asks_first_waits_for_one_that_is_there(
    wanted: PredictorSettings, student: Student
) -> None:
    current = CurrentPredictor(wanted.current_bundle)
    with pytest.raises(BundleError, match="no model has been synced yet"):
        current.get()
    sync(wanted)
    assert CurrentPredictor(wanted.current_bundle).get().predict([student]), "its thread may not have looked"
    wait_until(lambda: has_model(current), "the bundle is opened")
    assert current.problem is None


@pytest.mark.parametrize("spoil", [lambda model: flip(model, 100), Path.unlink])
def test_a_bundle_that_it_cannot_open_leaves_the_last_good_one(
    current: CurrentPredictor,
    wanted: PredictorSettings,
    milder: Path,
    spoil: Callable[[Path], object],
    student: Student,
) -> None:
    spoilt = Path(shutil.copytree(milder, wanted.bundles / "2-000000000000"))
    spoil(spoilt / MODEL)
    point_at(wanted, spoilt)
    wait_until(lambda: current.problem is not None, "the bundle is refused")
    assert current.get().predict([student])
    wanted.current_bundle.unlink()
    current.look()
    assert current.get().predict([student])


def test_a_problem_is_over_when_a_good_bundle_comes(
    current: CurrentPredictor, wanted: PredictorSettings, shelf: Shelf, milder: Path
) -> None:
    version = shelf.add(milder)
    shelf.seat(version)
    misnamed = wanted.bundles / "local-000000000000"
    point_at(wanted, Path(shutil.copytree(milder, misnamed)))
    wait_until(lambda: current.problem is not None, "the bundle is refused")
    sync(wanted)
    wait_until(lambda: current.get().version == version, "the bundle is swapped")
    assert current.problem is None


def test_its_thread_ends_with_it(wanted: PredictorSettings) -> None:
    before = set(threading.enumerate())
    current = CurrentPredictor(wanted.current_bundle)
    (watcher,) = set(threading.enumerate()) - before
    assert watcher.is_alive()
    del current
    gc.collect()
    wait_until(lambda: not watcher.is_alive(), "its thread has ended")


def point_at(settings: PredictorSettings, folder: Path) -> None:
    """Make a folder of the bundles current, whatever it is."""
    link = settings.bundles / "link"
    link.symlink_to(folder.name)
    link.replace(settings.current_bundle)


def has_model(current: CurrentPredictor) -> bool:
    try:
        return bool(current.get())
    except BundleError:
        return False
