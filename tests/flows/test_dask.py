"""Processing and the refit on a real Dask cluster, whose workers die; the result is that of one machine."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.bundle.models import TreeModel
from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.errors import BadInput
from data.sources.reading import ChunkedRecords, open_chunks
from flows.process import process_records, write_processed
from flows.processing.processed import PARSED, QUARANTINE, Processed
from flows.runtime.engine import Engine, dask_client, running, worker_addresses
from flows.runtime.workspace import ROOT
from flows.settings import Settings
from flows.train import train_model
from flows.training.data import TrainingData
from flows.training.distributed import DISTRIBUTED, refit_on_workers
from flows.training.families import Refitted, refit_booster
from flows.training.grid import Grid
from flows.training.ordinal import row_losses
from tests.flows.dask_cluster import kill_a_worker, scheduler, until, workers
from tests.flows.training.students import make_students

PARAMS = {"max_depth": 2, "learning_rate": 0.1}
CHUNK = 100


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of two thousand students; one comes twice, one has too many absences."""
    frame = cohort.generate(2_000, seed=6)
    frame.loc[150, "Absences"] = 99
    frame["StudentID"] = frame["StudentID"].replace(frame["StudentID"][1_950], frame["StudentID"][2])
    path = tmp_path_factory.mktemp("source") / "students.csv"
    frame.to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def here(source: str, tmp_path_factory: pytest.TempPathFactory, grade_class: Contract) -> Processed:
    """The file, processed in this process."""
    settings = Settings(home=tmp_path_factory.mktemp("here"), jobs=1, folds=3)
    return process_records(source, grade_class, settings, chunk_rows=CHUNK)


def test_processing_on_workers_writes_the_same(
    here: Processed, source: str, tmp_path: Path, grade_class: Contract, engine: Engine
) -> None:
    there = process_records(source, grade_class, Settings(home=tmp_path), engine, CHUNK)
    assert there.fingerprint == here.fingerprint
    same(here.folder, there.folder)


def test_processing_goes_on_when_a_worker_is_killed(
    here: Processed, source: str, tmp_path: Path, grade_class: Contract, engine: Engine
) -> None:
    with open_chunks(source, grade_class, CHUNK) as chunks:
        deadly = replace(chunks, read=lambda: killing(chunks, engine))
        write_processed(tmp_path, deadly, grade_class, Settings(home=tmp_path), engine, "")
    same(here.folder, tmp_path)


def killing(chunks: ChunkedRecords, engine: Engine) -> Iterator[pd.DataFrame]:
    """Yield the chunks, and kill a worker when some of them are under way."""
    for number, frame in enumerate(chunks.read()):
        if number == 4:
            kill_a_worker(engine)
        yield frame


def same(one: Path, two: Path) -> None:
    """Both folders hold the same rows and the same quarantine."""
    first, second = (pd.read_parquet(folder / PARSED) for folder in (one, two))
    pd.testing.assert_frame_equal(first, second, check_categorical=False)
    assert (one / QUARANTINE).read_bytes() == (two / QUARANTINE).read_bytes()


def compare(data: TrainingData, local: Refitted, distributed: Refitted) -> tuple[float, float]:
    """Return the mean difference of probabilities, and that of the log loss."""
    sigma = 0.25 if data.kind == "score" else 1.0
    shares = [one.link(sigma).probabilities(one.model.latent(data.X)) for one in (local, distributed)]
    losses = [row_losses(share, data.y).mean() for share in shares]
    return float(np.abs(shares[0] - shares[1]).mean()), float(losses[1] - losses[0])


@pytest.mark.parametrize("kind", ["score", "ordinal", "softmax"])
def test_the_refit_on_workers_is_the_local_one_but_for_its_quantiles(kind: str, engine: Engine) -> None:
    data = make_students(20_000, kind=kind, missing=0.02)
    local = refit_booster(data, PARAMS, 60, seed=7)
    moved, lost = compare(data, local, refit_on_workers(data, PARAMS, 60, 7, engine=engine))
    assert moved < 0.01
    assert abs(lost) < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["score", "ordinal"])
def test_the_refit_on_workers_starts_again_when_one_is_killed(
    kind: str, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_students(20_000, kind=kind)
    killer = threading.Thread(target=kill_while_training, args=(engine,))
    killer.start()
    distributed = refit_on_workers(data, PARAMS, 400, 7, engine=engine)
    killer.join()
    assert "train: a worker was lost, the refit starts again" in capsys.readouterr().out
    assert isinstance(distributed.model, TreeModel)
    assert distributed.model.booster.num_boosted_rounds() == 400
    assert abs(compare(data, refit_booster(data, PARAMS, 400, seed=7), distributed)[1]) < 0.005


def kill_while_training(engine: Engine) -> None:
    """Kill a worker as soon as XGBoost is at work on it."""
    with dask_client(engine) as client:
        until(lambda: all(keys and "fn" in str(keys) for keys in client.processing().values()))
    kill_a_worker(engine)


def test_many_rows_are_tuned_on_a_sample_and_refitted_by_the_workers(
    here: Processed,
    tmp_path: Path,
    grade_class: Contract,
    small_grid: Grid,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("flows.train", "flows.training.rows"):
        monkeypatch.setattr(f"{module}.TUNING_ROWS", 1_000)
    settings = Settings(home=tmp_path, jobs=1, folds=3)
    there = train_model(here, grade_class, small_grid, settings, engine)
    local = train_model(here, grade_class, small_grid, settings)
    assert DISTRIBUTED in there.notes
    assert DISTRIBUTED not in local.notes
    assert there.fingerprint != local.fingerprint
    first, second = (trained.leaderboard().drop(columns="seconds") for trained in (there, local))
    pd.testing.assert_frame_equal(first, second)


def test_a_schedulers_workers_are_taken_if_there_are_any_and_they_run_this_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.runtime.engine.PATIENCE", 2)
    with scheduler(tmp_path) as address:
        asked = Engine.of("dask", address)
        with pytest.raises(BadInput, match=f"scheduler at {address} has no workers"), running(asked):
            pass
        with workers(tmp_path, address, 1):
            with running(asked) as ready, dask_client(ready) as client:
                assert len(worker_addresses(client)) == 1
            others = workers(tmp_path, address, 1, code=other_code(tmp_path))
            refused = pytest.raises(BadInput, match="do not have the code that runs here")
            with others, refused, running(asked):
                pass


def other_code(folder: Path) -> Path:
    """A checkout in which one line is another."""
    for name in ("data", "flows"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "data" / "__init__.py").open("a") as file:
        file.write("# another line\n")
    return folder
