"""Train: search the grid by cross-validation on the train split, refit the best on all of it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from prefect import flow, task

from data.contract.contract import Contract, load_contract
from data.durable import digest as file_digest
from data.words import plural
from flows.processing.processed import PARSED, Processed
from flows.reports import artifacts
from flows.runtime.engine import Engine
from flows.runtime.progress import OnDone, open_console, print_line, stage
from flows.runtime.run_page import publish, shown_search, stage_named
from flows.runtime.workspace import code_digest, contract_part, fingerprint, finished_folder
from flows.settings import Settings
from flows.training.data import TUNING_ROWS, TrainingData
from flows.training.distributed import DISTRIBUTED, refit_on_workers
from flows.training.families import refit_booster
from flows.training.fit import Fitted, fit
from flows.training.grid import Grid, grid_for, load_grid
from flows.training.metrics import chosen_of
from flows.training.rows import check_leakage, rows_to_learn
from flows.training.trained import SUMMARY, Trained, write_fitted


def train_model(
    processed: Processed,
    contract: Contract,
    grid: Grid,
    settings: Settings,
    engine: Engine | None = None,
) -> Trained:
    """Train on the train split into `candidates/`, or return what an equal run left there.

    The engine searches the grid; beyond 50,000 rows it also fits XGBoost to all of them. Raises
    BadInput where a class has too few rows, Stopped where a feature gives the class away.
    """
    engine = engine or Engine.local()
    distributed = engine.dask and processed.train_rows > TUNING_ROWS
    digest = _fingerprint(processed, contract, grid, settings, distributed)
    folder = settings.home / "candidates" / f"{contract.name}-{digest}"

    def build(draft: Path) -> None:
        rows, data = rows_to_learn(processed, contract, draft)
        declared = check_leakage(rows, contract)
        _tell_budget(grid, settings)
        with shown_search(contract.name) as on_progress:
            fitted = _fit(data, grid, settings, engine, distributed, on_progress)
        by_workers = (DISTRIBUTED,) if distributed and fitted.family in ("xgboost", "pool") else ()
        fitted = replace(fitted, notes=declared + fitted.notes + by_workers)
        write_fitted(draft, fitted, data, contract, digest)

    fresh = finished_folder(folder, build)
    summary = Trained.model_validate_json((folder / SUMMARY).read_bytes())
    return summary.model_copy(update={"folder": folder, "reused": not fresh})


def _fingerprint(
    processed: Processed, contract: Contract, grid: Grid, settings: Settings, distributed: bool
) -> str:
    return fingerprint(
        rows=file_digest(processed.folder / PARSED),
        contract=contract_part(contract, "title", "unit"),
        grid=grid.model_dump(mode="json"),
        folds=settings.folds,
        seed=settings.seed,
        budget=settings.budget,
        refit="dask" if distributed else "here",
        code=code_digest("flows/train.py"),
    )


def _tell_budget(grid: Grid, settings: Settings) -> None:
    budget = settings.budget or grid.budget
    if budget:
        line = f"grid search: {plural(grid.size(), 'candidate')}, {budget:g} s at most (BUDGET=)"
        print_line(open_console(), line)


def _fit(
    data: TrainingData, grid: Grid, settings: Settings, engine: Engine, distributed: bool, on_progress: OnDone
) -> Fitted:
    return fit(
        data,
        grid,
        seed=settings.seed,
        folds=settings.folds,
        jobs=settings.jobs,
        on_progress=on_progress,
        refit=partial(refit_on_workers, engine=engine) if distributed else refit_booster,
        engine=engine,
        budget=settings.budget or grid.budget,
    )


@task(task_run_name="search the grid, refit the best")
@stage("train")
def train_candidate(processed: Processed, contract_name: str, grid_name: str, engine: Engine) -> Trained:
    """Search a grid, refit the best candidate, keep it on disk."""
    contract = load_contract(contract_name)
    grid = load_grid(grid_for(contract, grid_name))
    trained = train_model(processed, contract, grid, Settings(), engine)
    board = trained.leaderboard()
    candidates = trained.candidates()
    lowest = chosen_of(candidates)["cv_log_loss"].item()
    best = f"The best of {plural(len(candidates), 'candidate')}: cross-validated log loss {lowest:.4f}."
    publish(contract_name, "train", artifacts.train_markdown(board, trained.notes), best)
    return trained


@flow(name="train", flow_run_name=stage_named)
def train(
    processed: Processed, contract: str, grid: str = "default", engine: Engine | None = None
) -> Trained:
    """Turn clean splits into a trained candidate."""
    return train_candidate(processed, contract, grid, engine or Engine.local())
